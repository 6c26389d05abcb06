/**
 * Syn-proxy in packets: handshakes in every order in which they may go, with what is lost, refused, repeated, reset or forged,
 * and how a joined connection ends and begins anew.
 */
import { SYNPROXY_DEFAULTS } from '../../src/ipvs/synproxy/config.js';
import type { Fixture } from './fixtures.js';
import {
  command,
  DEST,
  fixture,
  HANDSHAKE,
  JOINED,
  type Mode,
  MODES,
  PLAIN,
  plus,
  SERVER_ISN,
  step,
  SVC,
  Talk,
  wait,
} from './synproxy-scene.js';

/** After so long a cookie is of the next minute: the clock begins 48.776 s into one. */
const MINUTE_ENDS_MS = 12_000;

function fromClient(mode: Mode): Fixture[] {
  const t = new Talk(mode);
  const later = new Talk(mode, PLAIN, { atMs: MINUTE_ENDS_MS });
  return [
    fixture(
      mode,
      'our SYN-ACK is lost: the SYN comes again, and any of the answers will do',
      {},
      [
        t.opening(),
        t.opening(),
        wait(MINUTE_ENDS_MS),
        later.opening(),
        t.showing(),
        t.joining(),
        // It arrives late: the real server challenges it (RFC 9293 section 3.10.7.4).
        step(t.syn(), t.toServer({ flags: 'S', seq: t.isn, tcpOptions: PLAIN.offer })),
        t.down(0, 0, { flags: 'A' }),
        t.up(0, 0, { flags: 'PA', data: 'hello' }),
      ],
      { drops: HANDSHAKE, open: 1, events: { ...JOINED, SYNPROXY_ANSWERED: 3 } },
    ),
    fixture(
      mode,
      'the ACK is lost: what comes first is data, twice',
      {},
      [
        t.opening(),
        step(t.shows({ data: 'hello' }), t.asks()),
        step(t.shows({ data: 'hello' })),
        step(t.accepts(), t.toServer({ flags: 'PA', seq: t.seq, ack: t.farAck, window: 500, data: 'hello' })),
        t.down(0, 5, { flags: 'PA', data: 'world' }),
        t.up(5, 5, { flags: 'A' }),
      ],
      { drops: HANDSHAKE, open: 1, events: JOINED },
    ),
    fixture(
      mode,
      'a request with FIN in one segment in place of the ACK',
      {},
      [
        t.opening(),
        step(t.shows({ flags: 'FPA', data: 'GET' }), t.asks()),
        step(t.accepts(), t.toServer({ flags: 'FPA', seq: t.seq, ack: t.farAck, window: 500, data: 'GET' })),
        t.down(0, 4, { flags: 'FPA', data: 'response' }),
        t.up(4, 9, { flags: 'A' }),
        wait(10_000),
      ],
      { drops: { SYNPROXY_SYNACK: 1 }, events: JOINED },
    ),
    fixture(
      mode,
      'the first segment comes behind the second: it alone shows the cookie',
      {},
      [
        t.opening(),
        step(t.shows({ seq: plus(t.seq, 5), data: 'world' })),
        step(t.shows({ data: 'hello' }), t.asks()),
        step(t.shows({ seq: plus(t.seq, 5), data: 'world' })),
        step(
          t.accepts(),
          t.toServer({ flags: 'PA', seq: t.seq, ack: t.farAck, window: 500, data: 'hello' }),
          t.toServer({ flags: 'PA', seq: plus(t.seq, 5), ack: t.farAck, window: 500, data: 'world' }),
        ),
      ],
      { drops: { SYNPROXY_BAD_ACK: 1, SYNPROXY_SYNACK: 1 }, open: 1, events: JOINED },
    ),
    fixture(
      mode,
      'what the client sends meanwhile is kept as far as may be, and follows in order with its FIN',
      { maxAckSaved: 3 },
      [
        t.opening(),
        step(t.shows({ data: 'aa' }), t.asks()),
        step(t.shows({ seq: plus(t.seq, 2), data: 'bb' })),
        step(t.shows({ seq: plus(t.seq, 2) })),
        step(t.shows({ flags: 'FPA', seq: plus(t.seq, 4), data: 'c' })),
        step(t.shows({ seq: plus(t.seq, 7), data: 'more than may be' })),
        step(
          t.accepts(),
          t.toServer({ flags: 'PA', seq: t.seq, ack: t.farAck, window: 500, data: 'aa' }),
          t.toServer({ flags: 'PA', seq: plus(t.seq, 2), ack: t.farAck, window: 500, data: 'bb' }),
          t.toServer({ flags: 'FPA', seq: plus(t.seq, 4), ack: t.farAck, window: 500, data: 'c' }),
        ),
      ],
      { drops: { ...HANDSHAKE, SYNPROXY_FULL: 1 }, open: 1, events: JOINED },
    ),
    fixture(
      mode,
      'packets are kept in the limits of the whole lcore as well',
      { packetsHeld: 1 },
      [
        t.opening(),
        step(t.shows({ data: 'aa' }), t.asks()),
        step(t.shows({ seq: plus(t.seq, 2), data: 'bb' })),
        step(t.accepts(), t.toServer({ flags: 'PA', seq: t.seq, ack: t.farAck, window: 500, data: 'aa' })),
        t.up(2, 0, { flags: 'PA', data: 'bb' }),
      ],
      { drops: { SYNPROXY_SYNACK: 1, SYNPROXY_FULL: 1 }, open: 1, events: JOINED },
    ),
    fixture(
      mode,
      'the client resets before it has shown its cookie, and after that',
      {},
      [
        t.opening(),
        step(t.client({ flags: 'R', seq: t.seq })),
        step(t.shows({ data: 'hello' }), t.asks()),
        // Of another connection of it.
        step(t.client({ flags: 'R', seq: plus(t.seq, 0x20000) })),
        step(t.client({ flags: 'R', seq: plus(t.seq, 5) }), t.toServer({ flags: 'R', seq: plus(t.seq, 5) })),
        wait(4000),
      ],
      {
        drops: { CONN_NO_SYN: 1, SYNPROXY_STRAY: 1, SYNPROXY_UNANSWERED: 1 },
        events: { SYNPROXY_ANSWERED: 1, SYNPROXY_OPENED: 1 },
      },
    ),
    fixture(
      mode,
      'the window stays closed until the real server has answered',
      { closeClientWindow: true },
      [
        step(t.syn(), t.answer({ window: 0 })),
        t.showing(),
        // Probes: the byte before the first, then the first.
        step(t.shows({ seq: t.isn })),
        step(t.shows({ data: 'h' })),
        step(
          t.accepts({ window: 6400 }),
          t.toClient({ flags: 'A', seq: t.ack, ack: t.seq, window: 6400, df: true }),
          t.toServer({ flags: 'PA', seq: t.seq, ack: t.farAck, window: 500, data: 'h' }),
        ),
        t.up(1, 0, { flags: 'PA', data: 'ello' }),
      ],
      { drops: { SYNPROXY_ACK: 2, SYNPROXY_SYNACK: 1 }, open: 1, events: JOINED },
    ),
    fixture(
      mode,
      'the real server is asked when there is data: its window is open meanwhile',
      { deferRsSyn: true, closeClientWindow: true },
      [
        t.opening(),
        step(t.shows()),
        step(t.shows()),
        step(t.shows({ data: 'GET' }), t.asks()),
        step(t.accepts(), t.toServer({ flags: 'PA', seq: t.seq, ack: t.farAck, window: 500, data: 'GET' })),
        t.down(0, 3, { flags: 'A' }),
      ],
      { drops: { SYNPROXY_NULL_ACK: 2, SYNPROXY_SYNACK: 1 }, open: 1, events: JOINED },
    ),
  ];
}

function fromServer(mode: Mode): Fixture[] {
  const t = new Talk(mode);
  const opened = { SYNPROXY_ANSWERED: 1, SYNPROXY_OPENED: 1 };
  const gaveUp = t.toClient({ flags: 'RA', seq: t.ack, ack: t.seq, window: 0, df: true });
  const refusal = { flags: 'RA', seq: 0, ack: t.seq, window: 0 };
  return [
    fixture(
      mode,
      'our SYN or the answer to it is lost: it is sent again, and the answer to any of them taken',
      {},
      [
        t.opening(),
        t.showing(),
        wait(2800),
        wait(300, t.asks()),
        step(t.shows()),
        t.joining(),
        // The answer to the first one: the client says where it is.
        step(t.accepts(), t.toClient({ flags: 'SA', seq: t.cookie, ack: t.seq, tcpOptions: PLAIN.syn })),
        t.up(0, 0, { flags: 'A' }),
      ],
      { drops: { SYNPROXY_ACK: 2, SYNPROXY_SYNACK: 1 }, open: 1, events: { ...JOINED, SYNPROXY_RETRIED: 1 } },
    ),
    ...[true, false].map((data) =>
      fixture(
        mode,
        `a real server that never answers: the client is reset, ${data ? 'what it has sent is gone' : 'it has sent nothing'}`,
        { rsSynMaxRetry: 2 },
        [
          t.opening(),
          step(t.shows(data ? { data: 'hello' } : {}), t.asks()),
          wait(2800),
          wait(300, t.asks()),
          wait(2800),
          wait(300, t.asks()),
          wait(3300, gaveUp),
        ],
        {
          drops: data ? { SYNPROXY_UNANSWERED: 1 } : { SYNPROXY_ACK: 1 },
          events: { ...opened, SYNPROXY_RETRIED: 2 },
        },
      ),
    ),
    ...[true, false].map((data) =>
      fixture(
        mode,
        `a real server that refuses: the client is reset, ${data ? 'what it has sent is gone' : 'it has sent nothing'}`,
        {},
        [
          t.opening(),
          step(t.shows(data ? { data: 'hello' } : {}), t.asks()),
          step(t.server(refusal), t.toClient({ ...refusal, seq: t.ack })),
          wait(4000),
        ],
        {
          drops: data ? { SYNPROXY_UNANSWERED: 1 } : { SYNPROXY_ACK: 1 },
          events: { ...opened, SYNPROXY_REFUSED: 1 },
        },
      ),
    ),
    fixture(
      mode,
      'what is no answer to our SYN: a refusal of something else, a SYN, the acknowledgement of an older connection',
      {},
      [
        t.opening(),
        t.showing(),
        step(t.server({ ...refusal, ack: t.isn })),
        step(t.server({ flags: 'R', seq: 0, ack: 0 })),
        step(t.server({ flags: 'S', seq: SERVER_ISN })),
        step(t.server({ flags: 'FA', seq: SERVER_ISN, ack: t.seq })),
        step(t.accepts({ badL4Checksum: true })),
        step(
          t.server({ flags: 'A', seq: 77, ack: 4711 }),
          t.toServer({ flags: 'R', seq: 4711, window: 0, df: true }),
        ),
        wait(3100, t.asks()),
        t.joining(),
      ],
      {
        drops: { ...HANDSHAKE, SYNPROXY_STRAY: 5, SYNPROXY_BAD_SUM: 1 },
        open: 1,
        events: { ...JOINED, SYNPROXY_RETRIED: 1 },
      },
    ),
    fixture(
      mode,
      'the real server speaks first, and closes first',
      {},
      [
        ...t.joined(),
        t.down(0, 0, { flags: 'PA', data: '220 ready' }),
        t.up(0, 9, { flags: 'A' }),
        t.down(9, 0, { flags: 'FA' }),
        t.up(0, 10, { flags: 'FA' }),
        t.down(10, 1, { flags: 'A' }),
        wait(10_000),
      ],
      { drops: HANDSHAKE, events: JOINED },
    ),
    fixture(
      mode,
      'the real server resets a joined connection',
      {},
      [...t.joined(), t.down(0, 0, { flags: 'R', window: 0 }, {}), wait(4000)],
      { drops: HANDSHAKE, events: JOINED },
    ),
    fixture(
      mode,
      'a joined connection that is silent too long is reset at both ends, each in its own numbers',
      {},
      [
        ...t.joined(),
        t.down(0, 0, { flags: 'PA', data: 'hello' }),
        wait(
          91_000,
          t.toClient({ flags: 'RA', seq: plus(t.ack, 5), ack: t.seq, window: 0, df: true }),
          t.toServer({ flags: 'RA', seq: t.seq, ack: plus(SERVER_ISN, 6), window: 0, df: true }),
        ),
      ],
      { drops: HANDSHAKE, events: JOINED },
    ),
  ];
}

/** A client that opens anew over a connection that it has already. */
function again(mode: Mode): Fixture[] {
  const t = new Talk(mode);
  const next = new Talk(mode, PLAIN, { isn: 5, local: 1026 });
  const twice = { SYNPROXY_ANSWERED: 2, SYNPROXY_OPENED: 2, SYNPROXY_JOINED: 2, SYNPROXY_REUSED: 1 };
  const drops = { SYNPROXY_ACK: 2, SYNPROXY_SYNACK: 2 };
  const { connReuse } = SYNPROXY_DEFAULTS;
  const closed = [...t.joined(), t.down(0, 0, { flags: 'RA', window: 0 })];
  const timeWait = [
    ...t.joined(),
    t.down(0, 0, { flags: 'FA' }),
    t.up(0, 1, { flags: 'FA' }),
    t.down(1, 1, { flags: 'A' }),
  ];
  const finWait = [...t.joined(), t.down(0, 0, { flags: 'FA' })];
  const passes = step(next.syn(), t.toServer({ flags: 'S', seq: 5, tcpOptions: PLAIN.offer }));
  return [
    ...(
      [
        ['CLOSE', closed, {}],
        ['TIME_WAIT', timeWait, {}],
        ['FIN_WAIT', finWait, { connReuse: { ...connReuse, finWait: true } }],
      ] as const
    ).map(([state, before, config]) =>
      fixture(
        mode,
        `in ${state} a new cookie replaces the connection, a SYN alone does not`,
        config,
        [
          ...before,
          next.opening(),
          // The old one is still there.
          t.up(0, 0, { flags: 'A' }),
          next.showing(),
          next.joining(),
          next.up(0, 0, { flags: 'PA', data: 'again' }),
        ],
        { drops, open: 1, events: twice },
      ),
    ),
    ...(
      [
        ['ESTABLISHED', t.joined(), {}],
        ['FIN_WAIT', finWait, {}],
        ['CLOSE', closed, { connReuse: { ...connReuse, close: false } }],
      ] as const
    ).map(([state, before, config]) =>
      fixture(
        mode,
        `in ${state}, where it may not replace it, a SYN reaches the real server`,
        config,
        [...before, passes],
        {
          drops: HANDSHAKE,
          open: 1,
          events: JOINED,
        },
      ),
    ),
    fixture(
      mode,
      'a client begins anew while its real server is asked',
      {},
      [
        t.opening(),
        step(t.shows({ data: 'hello' }), t.asks()),
        next.opening(),
        // It has forgotten the first attempt, and is not told how that ended.
        next.showing(),
        next.joining(),
      ],
      {
        drops: { ...HANDSHAKE, SYNPROXY_UNANSWERED: 1 },
        open: 1,
        events: { ...twice, SYNPROXY_JOINED: 1 },
      },
    ),
  ];
}

/** Who has no business here. */
function strangers(mode: Mode): Fixture[] {
  const t = new Talk(mode);
  const other = new Talk(mode, PLAIN, { port: 40001 });
  const old = new Talk(mode, PLAIN, { atMs: -180_000 });
  const next = new Talk(mode, PLAIN, { atMs: 60_000 });
  const HASH = 0x1000;
  return [
    fixture(
      mode,
      'cookies that are forged, of another client or first number, or with other terms',
      {},
      [
        t.opening(),
        step(t.shows({ ack: plus(t.ack, HASH) })),
        step(other.client({ flags: 'A', seq: t.seq, ack: t.ack })),
        step(t.shows({ seq: plus(t.seq, 1) })),
        // Another minute, another segment size, in the clear.
        step(t.shows({ ack: plus(t.cookie ^ 1, 1) })),
        step(t.shows({ ack: plus(t.cookie ^ 0x400, 1) })),
        // Half a handshake in one packet, and no handshake at all.
        ...['SA', 'RA', 'R', 'F', 'P'].map((flags) => step(t.shows({ flags }))),
        step(t.shows({ badL4Checksum: true })),
        step(t.shows({ mf: true, data: 'x'.repeat(28) })),
        t.showing(),
      ],
      {
        drops: {
          SYNPROXY_BAD_ACK: 5,
          CONN_NO_SYN: 5,
          SYNPROXY_BAD_SUM: 1,
          SYNPROXY_FRAGMENT: 1,
          SYNPROXY_ACK: 1,
        },
        open: 1,
        events: { SYNPROXY_ANSWERED: 1, SYNPROXY_OPENED: 1 },
      },
    ),
    fixture(
      mode,
      'a cookie of three minutes ago is outdated, one of the next minute is not',
      {},
      [step(t.shows({ ack: old.ack })), step(t.shows({ ack: next.ack }), t.asks())],
      {
        drops: { SYNPROXY_BAD_ACK: 1, SYNPROXY_ACK: 1 },
        open: 1,
        events: { SYNPROXY_OPENED: 1 },
      },
    ),
    fixture(
      mode,
      'who goes on without a cookie for 3.5 s is reset: it was no segment ahead of the first one',
      {},
      [
        step(t.shows({ ack: plus(t.ack, HASH) })),
        wait(3400),
        step(t.shows({ ack: plus(t.ack, HASH) })),
        wait(100),
        step(
          t.shows({ ack: plus(t.ack, HASH) }),
          t.toClient({ flags: 'R', seq: plus(t.ack, HASH), window: 0, df: true }),
        ),
      ],
      { drops: { SYNPROXY_BAD_ACK: 3 }, events: { SYNPROXY_RESET: 1 } },
    ),
    fixture(
      mode,
      'a client of a connection that has expired goes on: its ACK is the answer to none of ours and is reset at once',
      {},
      [
        ...t.joined(),
        t.down(0, 0, { flags: 'PA', data: 'x'.repeat(64) }),
        wait(
          91_000,
          t.toClient({ flags: 'RA', seq: plus(t.ack, 64), ack: t.seq, window: 0, df: true }),
          t.toServer({ flags: 'RA', seq: t.seq, ack: plus(t.farAck, 64), window: 0, df: true }),
        ),
        // It has not heard of it.
        step(
          t.shows({ ack: plus(t.ack, 64), data: 'are you there?' }),
          t.toClient({ flags: 'R', seq: plus(t.ack, 64), window: 0, df: true }),
        ),
      ],
      { drops: { ...HANDSHAKE, SYNPROXY_BAD_ACK: 1 }, events: { ...JOINED, SYNPROXY_RESET: 1 } },
    ),
    fixture(
      mode,
      'without syn-proxy a stray ACK is not answered, and a SYN reaches the real server',
      {},
      [
        t.opening(),
        command({ op: 'svc.edit', svc: SVC, synproxy: false }),
        step(t.shows()),
        step(t.syn(), t.toServer({ flags: 'S', seq: t.isn, tcpOptions: PLAIN.offer })),
      ],
      { drops: { CONN_NO_SYN: 1 }, open: 1, events: { SYNPROXY_ANSWERED: 1 } },
    ),
    fixture(
      mode,
      'switched off while a handshake goes on: it is completed, and the connection lives',
      {},
      [
        t.opening(),
        step(t.shows({ data: 'hello' }), t.asks()),
        command({ op: 'svc.edit', svc: SVC, synproxy: false }),
        step(t.accepts(), t.toServer({ flags: 'PA', seq: t.seq, ack: t.farAck, window: 500, data: 'hello' })),
        t.down(0, 5, { flags: 'PA', data: 'world' }),
        t.up(5, 5, { flags: 'A' }),
      ],
      { drops: { SYNPROXY_SYNACK: 1 }, open: 1, events: JOINED },
    ),
    fixture(
      mode,
      'no real server takes connections: no answer',
      {},
      [
        t.opening(),
        command({ op: 'dest.edit', svc: SVC, dest: DEST, weight: 0 }),
        step(t.syn()),
        step(t.shows()),
        command({ op: 'dest.edit', svc: SVC, dest: DEST, weight: 1 }),
        ...t.joined(),
      ],
      {
        drops: { ...HANDSHAKE, SYNPROXY_NO_DEST: 1, SVC_NO_DEST: 1 },
        open: 1,
        events: { ...JOINED, SYNPROXY_ANSWERED: 2 },
      },
    ),
  ];
}

export const SYNPROXY_HANDSHAKES: readonly Fixture[] = MODES.flatMap((mode) => [
  ...fromClient(mode),
  ...fromServer(mode),
  ...again(mode),
  ...strangers(mode),
]);
