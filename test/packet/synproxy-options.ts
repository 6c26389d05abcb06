/**
 * Syn-proxy in packets: what a SYN may offer and how it may be written, and what becomes of it for the life of the connection:
 * segment sizes, window scales, time stamps, SACK, the client's address.
 */
import { Isn } from '../../src/ipvs/isn.js';
import { sharedMemory } from '../../src/ipvs/shared.js';
import { packData } from '../../src/ipvs/synproxy/cookie.js';
import { parseIpv4 } from '../../src/wire/ipv4.js';
import { openSecret } from '../support/untouched.js';
import { EPOCH_MS } from './dpdk-lab.js';
import type { Fixture } from './fixtures.js';
import {
  clock,
  CLIENT_IP,
  fixture,
  HANDSHAKE,
  JOINED,
  LIP_IP,
  type Mode,
  MODES,
  PLAIN,
  plus,
  RICH,
  RS_IP,
  sack,
  type Segment,
  setup,
  stamps,
  step,
  SVC,
  Talk,
  type Terms,
} from './synproxy-scene.js';

const OUR_MSS = 1452;
const OUR_WSCALE = 4;
const EVERYTHING = { wscale: OUR_WSCALE, timestamp: true };
const TSVAL = 9;

const MSS = [2, 4, 5, 180];
const WSCALE = [3, 3, 7];
const SACK_OK = [4, 2];
const STAMP = [8, 10, 0, 0, 0, TSVAL, 0, 0, 0, 0];

/** What a SYN offers. */
interface Offered {
  /** As the client says it, and as a cookie can name it. */
  mss?: number;
  named?: number;
  wscale?: number;
  sack?: boolean;
  stamp?: boolean;
}

/** Options as we write them, `[tsval, tsecr]` if any. */
function options(mss: number, o: Offered, wscale: number, times: number[][]): number[] {
  const out = [2, 4, mss >>> 8, mss & 255];
  if (o.stamp) out.push(...(o.sack ? SACK_OK : [1, 1]), 8, 10, ...times.flat());
  else if (o.sack) out.push(...SACK_OK, 1, 1);
  if (o.wscale !== undefined) out.push(1, 3, 3, wscale);
  return out;
}

function termsOf(offer: number[], o: Offered): Terms {
  const { mss = 536, named = mss, wscale } = o;
  return {
    offer,
    answer: options(Math.min(mss, OUR_MSS), o, OUR_WSCALE, [clock(), [0, 0, 0, TSVAL]]),
    stamp: o.stamp ? stamps(TSVAL + 1, clock()) : [],
    confirmed: o.stamp ? stamps(TSVAL + 1, TSVAL + 1) : [],
    syn: options(named, o, wscale ?? 0, [
      [0, 0, 0, TSVAL + 1],
      [0, 0, 0, 0],
    ]),
    data: packData(named, wscale ?? 15, o.sack ?? false, o.stamp ?? false),
    synWindow: 500 << (wscale ?? 0),
  };
}

const ALL: Offered = { mss: 1460, wscale: 7, sack: true, stamp: true };

const LAYOUTS: [string, number[], Offered][] = [
  ['none', [], {}],
  ['the segment size alone', MSS, { mss: 1460 }],
  ['the order of Linux', [...MSS, ...SACK_OK, ...STAMP, 1, ...WSCALE], ALL],
  ['the order of Windows and macOS', [...MSS, 1, ...WSCALE, 1, 1, ...STAMP, ...SACK_OK, 0, 0], ALL],
  ['each behind padding, on odd bytes', [1, ...MSS, 1, 1, ...SACK_OK, 1, ...WSCALE, 1, ...STAMP, 1], ALL],
  ['padding alone', Array<number>(40).fill(1), {}],
  ['time stamps first', [...STAMP, ...MSS, ...SACK_OK, 1, ...WSCALE], ALL],
  ['SACK-permitted first', [...SACK_OK, ...MSS, 1, 1], { mss: 1460, sack: true }],
  ['window scale first, none else', [...WSCALE, 0], { wscale: 7 }],
  ['time stamps without SACK', [...MSS, 1, 1, ...STAMP], { mss: 1460, stamp: true }],
  ['the end of the list in front of the rest', [...MSS, 0, ...WSCALE, ...SACK_OK, 1, 1], { mss: 1460 }],
  ['the end of the list at once', [0, ...MSS, ...SACK_OK, 1], {}],
  // Fast Open, Multipath TCP, TOA, experimental.
  [
    'unknown ones among them',
    [34, 2, ...MSS, 30, 4, 0, 1, ...SACK_OK, 254, 8, 1, 2, 3, 4, 5, 6, 253, 5, 1, 2, 3, 1, ...WSCALE],
    { mss: 1460, wscale: 7, sack: true },
  ],
  [
    'twice the same: the last one counts',
    [...MSS, 2, 4, 5, 120, ...WSCALE, 3, 3, 2, 1, 1],
    { mss: 1400, wscale: 2 },
  ],
  ['a length of 0', [...MSS, 4, 0, ...WSCALE, 1, 1, 1], { mss: 1460 }],
  ['a length of 1', [...SACK_OK, 3, 1, ...MSS], { sack: true }],
  ['a length beyond the header', [...SACK_OK, ...MSS, 8, 10], { mss: 1460, sack: true }],
  ['a kind as last byte', [...MSS, 1, 1, 1, 3], { mss: 1460 }],
  ['lengths that are not those of the option', [2, 3, 5, 3, 4, 7, 0, 4, 3, 1, 8, 6, 0, 0, 0, 9], {}],
  ['a window scale beyond 14', [...MSS, 1, 3, 3, 15], { mss: 1460, wscale: 14 }],
  ['a segment size that no cookie can name', [2, 4, 3, 232], { mss: 1000, named: 768 }],
  ['the smallest segment size that a cookie can name', [2, 4, 0, 64], { mss: 64 }],
  ['jumbo frames', [2, 4, 35, 40], { mss: 9000, named: 8960 }],
];

const layouts = (mode: Mode): Fixture[] =>
  LAYOUTS.map(([what, offer, offered]) => {
    const t = new Talk(mode, termsOf(offer, offered));
    // The scale of 14 that is left of a greater one makes the window of our SYN as large as can be.
    const asks = { window: Math.min(500 << (offered.wscale ?? 0), 0xffff) };
    return fixture(
      mode,
      `options of the SYN: ${what}`,
      EVERYTHING,
      [t.opening(), step(t.shows(), t.asks(asks)), t.joining()],
      { drops: HANDSHAKE, open: 1, events: JOINED },
    );
  });

/** Scales of windows: what we have told the client (0 = none), what the real server says. */
const windows = (mode: Mode): Fixture[] =>
  (
    [
      [4, 4, 1000, 1000, 300],
      [4, 7, 1000, 8000, 300],
      [4, 7, 60_000, 65_535, 300],
      [7, 4, 1000, 125, 300],
      [7, undefined, 1000, 7, 1200],
      [0, undefined, 1000, 1000, 300],
    ] as const
  ).map(([ours, its, window, seen, up]) => {
    const scale = (v: number | undefined): number[] => [...MSS, ...(v === undefined ? [] : [1, 3, 3, v])];
    const t = new Talk(mode, {
      offer: scale(2),
      answer: [2, 4, 5, 172, ...(ours === 0 ? [] : [1, 3, 3, ours])],
      syn: scale(ours === 0 ? undefined : 2),
      serverOffer: scale(its),
      data: packData(1460, ours === 0 ? 15 : 2, false, false),
      synWindow: ours === 0 ? 500 : 2000,
    });
    const told = ours === 0 ? 'none' : ours;
    return fixture(
      mode,
      `window scales: the client was told ${told}, the real server says ${its ?? 'none'}: ${window} becomes ${seen}`,
      { wscale: ours },
      [
        t.opening(),
        t.showing(),
        step(t.accepts(), t.confirms(its === undefined && ours !== 0 ? { window: 2000 } : {})),
        t.down(0, 0, { flags: 'PA', data: 'x', window }, { window: seen }),
        t.up(0, 1, { flags: 'A', window: 300 }, { window: up }),
      ],
      { drops: HANDSHAKE, open: 1, events: JOINED },
    );
  });

function life(mode: Mode): Fixture[] {
  const done = { drops: HANDSHAKE, open: 1, events: JOINED };
  const plain = new Talk(mode);
  const rich = new Talk(mode, RICH);
  const late = new Talk(mode, {
    ...RICH,
    serverOffer: [...MSS, ...SACK_OK, 8, 10, 0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 10, 1, 3, 3, 4],
    confirmed: stamps(10, 0xfffffff0),
  });
  const bare = new Talk(mode, { ...RICH, serverOffer: MSS, confirmed: [] });
  const closed = new Talk(mode, {
    ...termsOf([...MSS, 1, ...WSCALE], { mss: 1460, wscale: 7 }),
    serverOffer: [...MSS, 1, 3, 3, 6],
    ourWindow: 0,
  });
  const opened = new Talk(mode, { ...RICH, ourWindow: 0 });
  return [
    fixture(
      mode,
      'the window opens with time stamps where they are agreed upon',
      { ...EVERYTHING, closeClientWindow: true },
      [
        opened.opening(),
        opened.showing(),
        step(
          opened.accepts({ window: 6400 }),
          opened.toClient({
            flags: 'A',
            seq: opened.ack,
            ack: opened.seq,
            window: 400,
            df: true,
            tcpOptions: stamps(clock(), 10),
          }),
          opened.confirms(),
        ),
      ],
      done,
    ),
    fixture(
      mode,
      'the clock of the real server wraps: to the client it goes on where ours began',
      EVERYTHING,
      [
        ...late.joined(),
        late.down(
          0,
          0,
          { flags: 'PA', data: 'x', tcpOptions: stamps(4, 10) },
          { tcpOptions: stamps(clock(20), 10) },
        ),
        // On odd bytes.
        late.up(
          0,
          1,
          { flags: 'A', tcpOptions: [1, 8, 10, 0, 0, 0, 11, ...clock(20), 1] },
          { tcpOptions: [1, 8, 10, 0, 0, 0, 11, 0, 0, 0, 4, 1] },
        ),
        // Without: as they are.
        late.up(0, 1, { flags: 'A' }),
      ],
      done,
    ),
    fixture(
      mode,
      'a real server without time stamps, SACK and window scale behind a client that was told of all',
      EVERYTHING,
      [
        bare.opening(),
        bare.showing(),
        step(bare.accepts(), bare.confirms({ window: 64_000 })),
        bare.down(0, 0, { flags: 'PA', data: 'x', window: 3200 }, { window: 200 }),
        bare.up(0, 1, { flags: 'A', window: 3, tcpOptions: stamps(11, clock()) }, { window: 384 }),
      ],
      done,
    ),
    fixture(
      mode,
      'SACK blocks over the wrap, alone, many and beside time stamps, and those of the real server',
      {},
      [
        ...plain.joined(),
        plain.down(0, 0, { flags: 'PA', data: 'x'.repeat(300) }),
        plain.up(
          0,
          300,
          { flags: 'A', tcpOptions: sack(plus(plain.ack, 310), plus(plain.ack, 320)) },
          { tcpOptions: sack(plus(plain.farAck, 310), plus(plain.farAck, 320)) },
        ),
        plain.up(
          0,
          100,
          {
            flags: 'A',
            tcpOptions: [
              ...sack(plus(plain.ack, 250), plus(plain.ack, 260), plus(plain.ack, 200), plus(plain.ack, 210)),
              ...stamps(1, 2),
            ],
          },
          {
            tcpOptions: [
              ...sack(
                plus(plain.farAck, 250),
                plus(plain.farAck, 260),
                plus(plain.farAck, 200),
                plus(plain.farAck, 210),
              ),
              ...stamps(1, 2),
            ],
          },
        ),
        plain.down(300, 4, { flags: 'A', tcpOptions: sack(plus(plain.seq, 10), plus(plain.seq, 20)) }),
      ],
      done,
    ),
    fixture(
      mode,
      'the window opens in the scale that the client was told',
      { wscale: OUR_WSCALE, closeClientWindow: true },
      [
        closed.opening(),
        closed.showing(),
        step(
          closed.accepts({ window: 6400 }),
          closed.toClient({ flags: 'A', seq: closed.ack, ack: closed.seq, window: 400, df: true }),
          closed.confirms(),
        ),
      ],
      done,
    ),
    fixture(
      mode,
      'time stamps of the client while its real server is asked: the last one goes into the next SYN',
      { ...EVERYTHING, rsSynMaxRetry: 1 },
      [
        rich.opening(),
        rich.showing(),
        step(rich.shows({ data: 'hello', tcpOptions: stamps(12, clock()) })),
        {
          wait: 3100,
          out: [
            {
              port: 0,
              frame: rich.asks({
                tcpOptions: [...MSS, ...SACK_OK, 8, 10, 0, 0, 0, 12, 0, 0, 0, 0, 1, ...WSCALE],
              }),
            },
          ],
        },
      ],
      {
        drops: { SYNPROXY_ACK: 1 },
        open: 1,
        held: 1,
        events: { SYNPROXY_ANSWERED: 1, SYNPROXY_OPENED: 1, SYNPROXY_RETRIED: 1 },
      },
    ),
  ];
}

/** Full-NAT: numbers of ours in both directions, and the client's address. */
function fullnat(): Fixture[] {
  const secret = new Uint32Array(openSecret(sharedMemory(1)).secret);
  // The number goes to the packet that opens the connection, the ACK.
  const ours = new Isn(secret).of(parseIpv4(LIP_IP), parseIpv4(RS_IP), (1025 << 16) | 80, EPOCH_MS);
  const farIsn = plus(ours, -1);
  const t = new Talk('fullnat', PLAIN, { farIsn });
  const plain = new Talk('fullnat');
  const tcp = { rebase: true, keepTimestamps: false, toa: false, ackStorm: 10 };
  const TOA = [254, 8, 40000 >>> 8, 40000 & 255, ...CLIENT_IP.split('.').map(Number)];
  const header = `PROXY TCP4 ${CLIENT_IP} ${SVC.addr} 40000 80\r\n`;
  const hello: Segment = { flags: 'PA', window: 500, data: 'hello' };
  return [
    fixture(
      'fullnat',
      'numbers of ours towards both ends, SACK blocks of both translated',
      {},
      [
        ...t.joined(),
        t.up(0, 0, { flags: 'PA', data: 'hello' }),
        t.down(
          0,
          0,
          { flags: 'PA', data: 'x'.repeat(300), tcpOptions: sack(plus(t.farSeq, 5), plus(t.farSeq, 9)) },
          { tcpOptions: sack(plus(t.seq, 5), plus(t.seq, 9)) },
        ),
        t.up(
          5,
          100,
          { flags: 'A', tcpOptions: sack(plus(t.ack, 250), plus(t.ack, 260)) },
          { tcpOptions: sack(plus(t.farAck, 250), plus(t.farAck, 260)) },
        ),
        t.up(5, 300, { flags: 'FA' }),
        t.down(300, 6, { flags: 'FA' }),
        t.up(6, 301, { flags: 'A' }),
      ],
      { config: { tcp, synproxy: {} }, drops: HANDSHAKE, open: 1, events: JOINED },
    ),
    fixture(
      'fullnat',
      'TOA goes with the first segments behind the handshake',
      {},
      [
        plain.opening(),
        step(plain.shows({ data: 'hello' }), plain.asks()),
        step(
          plain.accepts(),
          plain.toServer({ ...hello, seq: plain.seq, ack: plain.farAck, tcpOptions: TOA }),
        ),
        plain.down(0, 5, { flags: 'A' }),
      ],
      {
        config: { tcp: { ...tcp, rebase: false, toa: true }, synproxy: {} },
        drops: { SYNPROXY_SYNACK: 1 },
        open: 1,
        events: { ...JOINED, TOA_INSERTED: 1 },
      },
    ),
    fixture(
      'fullnat',
      'a PROXY header goes in front of the first byte, and the client hears nothing of its length',
      {},
      [
        plain.opening(),
        step(plain.shows({ data: 'hello' }), plain.asks()),
        step(
          plain.accepts(),
          plain.toServer({ ...hello, seq: plain.seq, ack: plain.farAck, data: `${header}hello` }),
        ),
        step(
          plain.server({ flags: 'A', seq: plain.farAck, ack: plus(plain.seq, header.length + 5) }),
          plain.toClient({ flags: 'A', seq: plain.ack, ack: plus(plain.seq, 5) }),
        ),
      ],
      {
        setup: [...setup('fullnat'), { op: 'svc.edit', svc: SVC, proxyProtocol: 'v1' }],
        drops: { SYNPROXY_SYNACK: 1 },
        open: 1,
        events: { ...JOINED, PROXY_INSERTED: 1 },
      },
    ),
  ];
}

export const SYNPROXY_OPTIONS: readonly Fixture[] = [
  ...MODES.flatMap((mode) => [...layouts(mode), ...windows(mode), ...life(mode)]),
  ...fullnat(),
];
