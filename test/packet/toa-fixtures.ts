/**
 * Full-NAT of TCP as it is by default, byte for byte: sequence numbers of ours, the client's address in option 254, options that
 * must not pass. What the real server is to see follows from the model of `src/ipvs/isn.ts` with the test's secret.
 */
import type { Command } from '../../src/control/schema.js';
import { Isn } from '../../src/ipvs/isn.js';
import { sharedMemory } from '../../src/ipvs/shared.js';
import { parseIpv4 } from '../../src/wire/ipv4.js';
import { ramp, tcp, type TcpOptions } from '../support/frames.js';
import { macOf } from '../support/lab.js';
import { openSecret } from '../support/untouched.js';
import type { Fixture, Step } from './fixtures.js';

/** `nowMs` when a fixture begins: EPOCH_MS of dpdk-lab.ts, which needs DPDK to be imported. */
const EPOCH_MS = 2 ** 40 + 1000;
const CLIENT_IP = '192.168.100.3';
const RS_IP = '192.168.100.2';
const VIP_IP = '192.168.100.100';
const LIP_IP = '192.168.100.200';
const CLIENT_MAC = '02:00:00:00:00:03';
const RS_MAC = '02:00:00:00:00:02';
const PORT = 40000;
const LOCAL_PORT = 1025;

const TOA = [254, 8, PORT >>> 8, PORT & 255, 192, 168, 100, 3];
const FORGED = [254, 8, 0, 80, 8, 8, 8, 8];
const NOPS = (n: number): number[] => Array<number>(n).fill(1);
const STAMP = [8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
const mss = (v: number): number[] => [2, 4, v >>> 8, v & 255];
const be = (v: number): number[] => [v >>> 24, (v >>> 16) & 255, (v >>> 8) & 255, v & 255];
const sack = (...edges: number[]): number[] => [5, 2 + edges.length * 4, ...edges.flatMap(be)];

const secret = new Uint32Array(openSecret(sharedMemory(1)).secret);
const OURS = new Isn(secret).of(parseIpv4(LIP_IP), parseIpv4(RS_IP), (LOCAL_PORT << 16) | 80, EPOCH_MS);

/** Numbers of the client and of the real server: both pass 2^32 within the first bytes. */
const C = 0xfffffffe;
const S = 0xfffffffd;
/** Number `n` behind the beginning, as each side knows it. */
const c = (n: number): number => (C + n) >>> 0;
const o = (n: number): number => (OURS + n) >>> 0;
const s = (n: number): number => (S + n) >>> 0;

const addr: Command = {
  op: 'addr.add',
  dev: 'dpdk0',
  addr: VIP_IP,
  plen: 24,
  scope: 'global',
  validLft: 0,
  sapool: false,
};
const svc = { proto: 'tcp' as const, addr: VIP_IP, port: 80 };
const dest = { addr: RS_IP, port: 80 };
const SCENE = {
  config: { tcp: { rebase: true, keepTimestamps: false, toa: true, ackStorm: 3 } },
  setup: [
    addr,
    { op: 'neigh.add', dev: 'dpdk0', addr: CLIENT_IP, lladdr: CLIENT_MAC },
    { op: 'neigh.add', dev: 'dpdk0', addr: RS_IP, lladdr: RS_MAC },
    { op: 'svc.add', svc, scheduler: 'rr', connTimeout: 5 },
    { op: 'dest.add', svc, dest, fwd: 'fullnat', weight: 1, maxConn: 0, minConn: 0 },
    { op: 'laddr.add', svc, addr: LIP_IP, dev: 'dpdk0' },
  ] as Command[],
};

type Seg = Partial<TcpOptions> & { flags: string };
const put = (frame: Uint8Array): { port: number; frame: Uint8Array }[] => [{ port: 0, frame }];
const toClient = (seg: Seg): Uint8Array =>
  tcp({ smac: macOf(0), dmac: CLIENT_MAC, src: `${VIP_IP}:80`, dst: `${CLIENT_IP}:${PORT}`, ...seg });
const toServer = (seg: Seg): Uint8Array =>
  tcp({ smac: macOf(0), dmac: RS_MAC, src: `${LIP_IP}:${LOCAL_PORT}`, dst: `${RS_IP}:80`, ...seg });

/** A segment of the client from byte `at` on that acknowledges `ack` bytes, and what of it is otherwise at the real server. */
const c2s = (at: number, ack: number, seg: Seg, seen: Partial<TcpOptions> = {}): Step => {
  const from = { smac: CLIENT_MAC, dmac: macOf(0), src: `${CLIENT_IP}:${PORT}`, dst: `${VIP_IP}:80` };
  const acks = seg.flags.includes('A') ? s(ack) : 0;
  return {
    in: put(tcp({ ...from, ...seg, seq: c(at), ack: acks })),
    out: put(toServer({ ...seg, ...seen, seq: o(at), ack: acks })),
  };
};
/** The same of the real server; `options` by the numbers that each side knows. */
const s2c = (at: number, ack: number, seg: Seg, options?: (of: (n: number) => number) => number[]): Step => {
  const from = { smac: RS_MAC, dmac: macOf(0), src: `${RS_IP}:80`, dst: `${LIP_IP}:${LOCAL_PORT}` };
  return {
    in: put(tcp({ ...from, tcpOptions: options?.(o) ?? [], ...seg, seq: s(at), ack: o(ack) })),
    out: put(toClient({ tcpOptions: options?.(c) ?? [], ...seg, seq: s(at), ack: c(ack) })),
  };
};

const SYN = c2s(0, 0, { flags: 'S' });
const SYN_ACK = s2c(0, 1, { flags: 'SA' });
const HANDSHAKE = [SYN, SYN_ACK, c2s(1, 1, { flags: 'A' }, { tcpOptions: TOA })];
/** Both have data of the other: from here on the native loop has the connection. */
const TALKING = [
  ...HANDSHAKE,
  c2s(1, 1, { flags: 'PA', data: ramp(10) }, { tcpOptions: TOA }),
  s2c(1, 11, { flags: 'PA', data: ramp(20) }),
  c2s(11, 21, { flags: 'A' }),
];

export const TOA_FIXTURES: Fixture[] = [
  {
    ...SCENE,
    what: 'TOA: a whole connection with numbers of ours across 2^32, SACK blocks given back, resets that both ends believe',
    steps: [
      ...TALKING,
      c2s(11, 21, { flags: 'PA', data: ramp(100) }),
      c2s(11, 21, { flags: 'A', tcpOptions: [1, 1, ...STAMP] }),
      s2c(21, 11, { flags: 'A' }, (of) => [1, 1, ...sack(of(61), of(111))]),
      s2c(21, 11, { flags: 'A' }, (of) => [...STAMP, ...sack(of(61), of(111)), ...NOPS(4)]),
      s2c(21, 11, { flags: 'A' }, (of) => [1, ...sack(of(61), of(111), of(1), of(2)), 1]),
      s2c(21, 111, { flags: 'PA', data: ramp(5) }),
      {
        wait: 6000,
        out: [
          ...put(toClient({ flags: 'RA', seq: s(26), ack: c(111), window: 0, df: true })),
          ...put(toServer({ flags: 'RA', seq: o(111), ack: s(26), window: 0, df: true })),
        ],
      },
    ],
  },
  {
    ...SCENE,
    what: 'Full-NAT TCP: acknowledgements that answer each other are dropped after so many rounds (here 3), those that data has caused are not',
    steps: [
      ...TALKING,
      // The first one says from where the client is watched.
      ...NOPS(1 + 3).flatMap(() => [s2c(21, 11, { flags: 'A' }), c2s(12, 21, { flags: 'A' })]),
      { in: s2c(21, 11, { flags: 'A' }).in!, out: [] },
      s2c(21, 11, { flags: 'A', window: 99 }),
      ...NOPS(8).flatMap(() => [
        c2s(30, 21, { flags: 'PA', data: ramp(1) }),
        s2c(21, 11, { flags: 'A', window: 99 }),
      ]),
      ...NOPS(8).map(() => s2c(21, 11, { flags: 'A', window: 99 })),
    ],
    drops: { ACK_STORM: 1 },
    open: 1,
  },
  {
    ...SCENE,
    what: 'TOA: timestamps go from the SYN, the MSS of the real server is lowered, SYNs that come again are treated alike',
    steps: [
      ...[1, 2].map(() =>
        c2s(
          0,
          0,
          { flags: 'S', tcpOptions: [...mss(1460), 4, 2, ...STAMP, 1, 3, 3, 7] },
          { tcpOptions: [...mss(1460), 4, 2, ...NOPS(11), 3, 3, 7] },
        ),
      ),
      ...[1, 2].map((): Step => {
        const answer = s2c(0, 1, { flags: 'SA', tcpOptions: [...mss(1460), 1, 1, 4, 2, 1, 3, 3, 7] });
        return {
          ...answer,
          out: put(
            toClient({
              flags: 'SA',
              seq: s(0),
              ack: c(1),
              tcpOptions: [...mss(1452), 1, 1, 4, 2, 1, 3, 3, 7],
            }),
          ),
        };
      }),
    ],
    open: 1,
  },
  {
    ...SCENE,
    what: 'TOA: what a client forges never arrives, before, during or long after the handshake',
    steps: [
      c2s(0, 0, { flags: 'S', tcpOptions: [1, ...FORGED, 1, 1, 1] }, { tcpOptions: NOPS(12) }),
      SYN_ACK,
      c2s(1, 1, { flags: 'A', tcpOptions: [...FORGED, ...FORGED] }, { tcpOptions: [...TOA, ...NOPS(16)] }),
      ...TALKING.slice(3),
      c2s(11, 21, { flags: 'PA', data: ramp(7), tcpOptions: FORGED }, { tcpOptions: NOPS(8) }),
      c2s(
        18,
        21,
        { flags: 'PA', data: ramp(7), tcpOptions: [...STAMP, 254, 20, ...ramp(18), 1, 1] },
        { tcpOptions: [...STAMP, ...NOPS(22)] },
      ),
      c2s(25, 21, { flags: 'PA', data: ramp(7), tcpOptions: [1, 1, ...STAMP] }),
    ],
    open: 1,
  },
  {
    ...SCENE,
    what: 'TOA: other options make way in a full header and where the datagram would be too large; without room it goes without',
    steps: [
      SYN,
      SYN_ACK,
      c2s(
        1,
        1,
        { flags: 'A', tcpOptions: [1, 1, ...STAMP, 1, 1, ...sack(1, 2, 3, 4, 5, 6)] },
        { tcpOptions: [...TOA, ...STAMP, 1, 1] },
      ),
      c2s(
        1,
        1,
        { flags: 'A', tcpOptions: [...sack(s(1), s(2)), 1, 1], data: ramp(1448) },
        { tcpOptions: TOA },
      ),
      c2s(1, 1, { flags: 'A', data: ramp(1452), df: true }, { tcpOptions: TOA }),
      c2s(1, 1, { flags: 'A', data: ramp(1453), df: true }),
    ],
    open: 1,
  },
];
