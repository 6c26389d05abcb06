/**
 * Syn-proxy in packets: the SYN is answered by the native loop where that runs and by TypeScript where it does not, to the same
 * byte; so is all that follows when both ends are joined. Orders of handshakes: synproxy-handshakes.ts, what a SYN offers:
 * synproxy-options.ts.
 */
import type { Command } from '../../src/control/schema.js';
import { packData } from '../../src/ipvs/synproxy/cookie.js';
import type { Fixture } from './fixtures.js';
import { SYNPROXY_HANDSHAKES } from './synproxy-handshakes.js';
import { SYNPROXY_OPTIONS } from './synproxy-options.js';
import {
  CLIENT_IP,
  clock,
  fixture as make,
  HANDSHAKE,
  ISN,
  JOINED,
  type Mode,
  MODES,
  OFFER,
  PLAIN,
  plus,
  RICH,
  RS_IP,
  sack,
  SERVER_ISN,
  step,
  SVC,
  Talk,
  VIP_IP,
  wait,
} from './synproxy-scene.js';

/** Of a SYN that offers nothing that we answer. */
const BARE = { ...PLAIN, data: packData(536, 15, false, false), answer: [2, 4, 2, 24] };

function fixtures(mode: Mode): Fixture[] {
  const fixture = make.bind(undefined, mode);
  const plain = new Talk(mode);
  const rich = new Talk(mode, RICH);
  const bare = new Talk(mode, BARE);
  const now = clock();
  const seq = plus(ISN, 1);
  const hello = 'hello, this goes over the wrap';
  return [
    fixture('a SYN without options', {}, [step(plain.client({ flags: 'S', seq: ISN }), bare.answer())]),
    fixture(
      'a SYN that a list refuses gets no answer',
      {},
      [
        { op: 'acl.add', svc: SVC, list: 'black', entries: ['192.168.100.2/31'] },
        { op: 'acl.flush', svc: SVC },
        { op: 'acl.add', list: 'black', entries: ['192.168.0.0/16'] },
        { op: 'acl.add', list: 'white', entries: [CLIENT_IP] },
        { op: 'acl.add', svc: SVC, list: 'white', entries: [RS_IP] },
        { op: 'acl.add', svc: SVC, list: 'white', entries: [CLIENT_IP] },
      ].flatMap((command, i) => [
        { command: command as Command, out: [] },
        step(
          plain.client({ flags: 'S', seq: ISN }),
          // Refused after the first, third and fifth.
          ...(i % 2 === 0 ? [] : [bare.answer()]),
        ),
      ]),
      { drops: { ACL_BLACKLIST: 2, ACL_WHITELIST: 1 } },
    ),
    fixture(
      'SYNs of every kind are answered, or not',
      { mss: 1400, sack: false, ttl: 9, maxAckSaved: 63 },
      [
        step(
          plain.client({
            flags: 'S',
            seq: ISN,
            tcpOptions: OFFER,
            ttl: 1,
            tos: 4,
            id: 77,
            data: 'fast open',
          }),
          new Talk(mode, { ...PLAIN, data: packData(1460, 15, false, false) }).answer({
            tcpOptions: [2, 4, 5, 120],
            window: 65535,
            ttl: 9,
          }),
        ),
        // ECN is not agreed upon.
        step(plain.client({ flags: 'SEC', seq: ISN }), bare.answer({ window: 65535, ttl: 9 })),
        step(plain.client({ flags: 'S', seq: ISN, badL4Checksum: true })),
        step(plain.client({ flags: 'SA', seq: ISN })),
        step(plain.client({ flags: 'SF', seq: ISN })),
        step(plain.client({ flags: 'S', seq: ISN, src: `${VIP_IP}:1` })),
        step(plain.client({ flags: 'S', seq: ISN, src: '192.168.100.255:1' })),
        step(plain.client({ flags: 'S', seq: ISN, src: '127.0.0.1:1' })),
        step(plain.client({ flags: 'S', seq: ISN, src: '224.0.0.1:1' })),
        step(plain.client({ flags: 'S', seq: ISN, smac: '03:00:00:00:00:01' })),
        step(plain.client({ flags: 'S', seq: ISN, mf: true, data: 'x'.repeat(28) })),
      ],
      {
        drops: {
          SYNPROXY_BAD_SUM: 1,
          CONN_NO_SYN: 2,
          IP_BAD_ADDR: 4,
          SYNPROXY_STRAY: 1,
          SYNPROXY_FRAGMENT: 1,
        },
      },
    ),
    fixture('malformed options end the list', {}, [
      step(
        plain.client({ flags: 'S', seq: ISN, tcpOptions: [1, 4, 2, 3, 1, 2, 4, 9] }),
        new Talk(mode, { ...PLAIN, data: packData(536, 15, true, false) }).answer({
          tcpOptions: [2, 4, 2, 24, 4, 2, 1, 1],
        }),
      ),
    ]),
    fixture(
      'a whole connection, over the wrap of both ends',
      {},
      [
        ...plain.joined(),
        step(
          plain.client({ flags: 'PA', seq, ack: plain.ack, data: hello }),
          plain.toServer({ flags: 'PA', seq, ack: plus(SERVER_ISN, 1), data: hello }),
        ),
        step(
          plain.server({ flags: 'PA', seq: plus(SERVER_ISN, 1), ack: plus(seq, 30), data: 'x'.repeat(400) }),
          plain.toClient({ flags: 'PA', seq: plain.ack, ack: plus(seq, 30), data: 'x'.repeat(400) }),
        ),
        step(
          plain.client({
            flags: 'A',
            seq: plus(seq, 30),
            ack: plus(plain.ack, 400),
            tcpOptions: sack(plus(plain.ack, 404), plus(plain.ack, 408)),
          }),
          plain.toServer({
            flags: 'A',
            seq: plus(seq, 30),
            ack: plus(SERVER_ISN, 401),
            tcpOptions: sack(plus(SERVER_ISN, 405), plus(SERVER_ISN, 409)),
          }),
        ),
        // The real server's SYN-ACK again: the client says where it is.
        step(
          plain.server({ flags: 'SA', seq: SERVER_ISN, ack: seq }),
          plain.toClient({ flags: 'SA', seq: plain.cookie, ack: seq }),
        ),
        // Both close at once.
        step(
          plain.client({ flags: 'FA', seq: plus(seq, 30), ack: plus(plain.ack, 400) }),
          plain.toServer({ flags: 'FA', seq: plus(seq, 30), ack: plus(SERVER_ISN, 401) }),
        ),
        step(
          plain.server({ flags: 'FA', seq: plus(SERVER_ISN, 401), ack: plus(seq, 30) }),
          plain.toClient({ flags: 'FA', seq: plus(plain.ack, 400), ack: plus(seq, 30) }),
        ),
        step(
          plain.client({ flags: 'A', seq: plus(seq, 31), ack: plus(plain.ack, 401) }),
          plain.toServer({ flags: 'A', seq: plus(seq, 31), ack: plus(SERVER_ISN, 402) }),
        ),
        step(
          plain.server({ flags: 'A', seq: plus(SERVER_ISN, 402), ack: plus(seq, 31) }),
          plain.toClient({ flags: 'A', seq: plus(plain.ack, 401), ack: plus(seq, 31) }),
        ),
        wait(10_000),
      ],
      { drops: HANDSHAKE, events: JOINED },
    ),
    fixture(
      'window scale and time stamps for life',
      { wscale: 4, timestamp: true },
      [
        ...rich.joined(),
        step(
          rich.server({
            flags: 'A',
            seq: plus(SERVER_ISN, 1),
            ack: seq,
            window: 300,
            tcpOptions: [8, 10, 0, 0, 0, 0, 0, 0, 0, 10, 1, 1],
          }),
          rich.toClient({
            flags: 'A',
            seq: rich.ack,
            ack: seq,
            window: 1200,
            tcpOptions: [8, 10, ...now, 0, 0, 0, 10, 1, 1],
          }),
        ),
        step(
          rich.client({
            flags: 'A',
            seq,
            ack: rich.ack,
            window: 77,
            tcpOptions: [1, 8, 10, 0, 0, 0, 11, ...now, 1],
          }),
          rich.toServer({
            flags: 'A',
            seq,
            ack: plus(SERVER_ISN, 1),
            window: 77,
            tcpOptions: [1, 8, 10, 0, 0, 0, 11, 0, 0, 0, 0, 1],
          }),
        ),
      ],
      { drops: HANDSHAKE, open: 1, events: JOINED },
    ),
    fixture(
      'a reset of the client ends a joined connection',
      {},
      [
        ...plain.joined(),
        step(plain.client({ flags: 'R', seq }), plain.toServer({ flags: 'R', seq })),
        wait(4000),
      ],
      { drops: HANDSHAKE, events: JOINED },
    ),
  ];
}

export const SYNPROXY_FIXTURES: readonly Fixture[] = [
  ...MODES.flatMap(fixtures),
  ...SYNPROXY_HANDSHAKES,
  ...SYNPROXY_OPTIONS,
];
