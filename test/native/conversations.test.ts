/**
 * The differential test as a property, small enough to shrink: whatever three clients and their servers say, in whatever order
 * and at whatever times, with changes and restarts in between, both paths answer with the same bytes and remember the same.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Command } from '../../src/control/schema.js';
import { DROP } from '../../src/core/drops.js';
import { XMITS } from '../../src/ipvs/xmit/index.js';
import { tcp, udp } from '../support/frames.js';
import { Pair, pairPorts } from './support/pair.js';
import { native } from './support/rig.js';
import { macOf } from './support/side.js';

const CLIENTS = 3;
const VIP = '10.1.1.1:80';
const RS = '192.168.0.10';
const LOCAL = '192.168.0.200';
/** Stands for an outer world beyond SNAT. */
const PEER = '10.1.2.99:53';
const DEFAULT_MTU = 1500;
/** Rounds of acknowledgements that pass. */
const STORM = 1;

const ports = pairPorts();
const hits = new Map<string, number>();
let storms = 0;

interface Packet {
  t: 'packet';
  client: number;
  /** From the real server. */
  back: boolean;
  flags: string;
  seq: number;
  ack: number;
  /** Bytes of data, or a datagram of the MTU and so many more. */
  size: { data: number } | { mtuAnd: number };
  ttl: number;
  df: boolean;
  sum: boolean;
  /** Worked off before the next one comes. */
  alone: boolean;
}
type Step =
  | Packet
  | { t: 'wait'; ms: number }
  | { t: 'turn' }
  | { t: 'restart' }
  | { t: 'command'; n: number }
  | Storm;
/** Client and real server acknowledge what they have acknowledged, by turns; one of the client's may have data. */
interface Storm {
  t: 'storm';
  client: number;
  seq: number;
  ack: number;
  rounds: number;
  dataAt: number;
  alone: boolean;
}

const word = fc.oneof(fc.constantFrom(0, 1, 2, 30, 0x7fffffff, 0x80000000, 0xffffffff), fc.nat(0xffffffff));
const packet: fc.Arbitrary<Packet> = fc.record({
  t: fc.constant('packet' as const),
  client: fc.nat(CLIENTS - 1),
  back: fc.boolean(),
  flags: fc.constantFrom(...'S,S,SA,A,A,A,A,PA,PA,FA,F,R,RA,,SF,UP'.split(',')),
  seq: word,
  ack: word,
  size: fc.oneof(
    { weight: 4, arbitrary: fc.record({ data: fc.nat(40) }) },
    { weight: 1, arbitrary: fc.record({ mtuAnd: fc.constantFrom(-21, -20, -19, -1, 0, 1) }) },
  ),
  ttl: fc.constantFrom(64, 64, 64, 64, 64, 64, 2, 1, 0),
  df: fc.boolean(),
  sum: fc.boolean(),
  alone: fc.boolean(),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 20, arbitrary: packet },
  { weight: 6, arbitrary: fc.constant({ t: 'turn' as const }) },
  {
    weight: 2,
    arbitrary: fc.record({
      t: fc.constant('wait' as const),
      ms: fc.constantFrom(1, 50, 900, 3000, 70_000, 400_000),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ t: fc.constant('command' as const), n: fc.nat(CHANGES().length - 1) }),
  },
  { weight: 1, arbitrary: fc.constant({ t: 'restart' as const }) },
  {
    weight: 4,
    arbitrary: fc.record({
      t: fc.constant('storm' as const),
      client: fc.nat(CLIENTS - 1),
      seq: word,
      ack: word,
      rounds: fc.integer({ min: 3, max: 8 }),
      dataAt: fc.nat(12),
      alone: fc.boolean(),
    }),
  },
);
const packetsOf = ({ client, seq, ack, rounds, dataAt, alone }: Storm): Packet[] => {
  const same = { t: 'packet' as const, client, ttl: 64, df: true, sum: true, alone };
  const none = { data: 0 };
  return [
    // The numbers begin anew here, whatever was said before.
    { ...same, back: true, flags: 'SA', seq: (seq - 1) >>> 0, ack, size: none },
    ...Array.from({ length: rounds }, (_, n): Packet[] => [
      { ...same, back: true, flags: 'A', seq, ack, size: none },
      { ...same, back: false, flags: 'A', seq: ack, ack: seq, size: n === dataAt ? { data: 3 } : none },
    ]).flat(),
  ];
};

/** Everybody opens a connection. */
const OPENING: readonly Packet[] = Array.from({ length: CLIENTS }, (_, client): Packet => {
  return {
    t: 'packet',
    client,
    back: false,
    flags: 'S',
    seq: 1,
    ack: 0,
    size: { data: 0 },
    ttl: 64,
    df: true,
    sum: true,
    alone: false,
  };
});

/** What may change while they talk. */
function CHANGES(): Command[] {
  const route = { dst: '10.1.2.0', plen: 24, mtu: 0, metric: 0, tos: 0, local: false };
  return [
    { op: 'route.add', ...route, via: '10.1.0.254', mtu: 600 },
    { op: 'route.del', dst: '10.1.2.0', plen: 24, local: false },
    { op: 'neigh.add', dev: 'dpdk1', addr: RS, lladdr: '02:00:00:00:77:77' },
    { op: 'neigh.del', dev: 'dpdk1', addr: RS },
    { op: 'link.set', dev: 'dpdk1', mtu: 576 },
    { op: 'link.set', dev: 'dpdk1', mtu: DEFAULT_MTU },
    { op: 'link.set', dev: 'dpdk0', up: false },
    { op: 'link.set', dev: 'dpdk0', up: true },
    { op: 'addr.add', dev: 'dpdk0', addr: '10.1.1.9', plen: 32, scope: 'global', validLft: 0, sapool: false },
  ];
}

function setup({ proto, fwd, address }: Talk): Command[] {
  const proxyProtocol = fwd === 'fullnat' && address === 'proxy' ? 'v2' : 'disable';
  const addr = (dev: string, a: string, plen: number, sapool = false): Command => ({
    op: 'addr.add',
    dev,
    addr: a,
    plen,
    scope: 'global',
    validLft: 0,
    sapool,
  });
  const neigh = (dev: string, a: string, n: number): Command => ({
    op: 'neigh.add',
    dev,
    addr: a,
    lladdr: `02:00:00:00:99:0${n}`,
  });
  const snat = fwd === 'snat';
  const inside = { from: '192.168.1.0', to: '192.168.1.255', fromPort: 0, toPort: 65535 };
  const svc = snat
    ? { proto, addr: '0.0.0.0', port: 0, match: { src: inside, oif: 'dpdk0' } }
    : { proto, addr: VIP.split(':')[0]!, port: 80 };
  const dest = snat
    ? { addr: '10.1.3.1', port: 0 }
    : { addr: RS, port: fwd === 'fullnat' || fwd === 'nat' ? 8080 : 80 };
  return [
    addr('dpdk0', '10.1.0.1', 16),
    addr('dpdk1', '192.168.0.1', 16),
    addr('dpdk0', '10.1.1.1', 32),
    addr('dpdk0', '10.1.3.1', 32, true),
    ...Array.from({ length: CLIENTS }, (_, i) => neigh('dpdk0', `10.1.2.${i + 1}`, i)),
    ...Array.from({ length: CLIENTS }, (_, i) => neigh('dpdk1', `192.168.1.${i + 1}`, i)),
    neigh('dpdk0', '10.1.2.99', 7),
    neigh('dpdk0', '10.1.0.254', 8),
    neigh('dpdk1', RS, 9),
    { op: 'svc.add', svc, scheduler: 'rr', connTimeout: 0, proxyProtocol },
    { op: 'dest.add', svc, dest, fwd, weight: 1, maxConn: 0, minConn: 0 },
    ...(fwd === 'fullnat' ? [{ op: 'laddr.add', svc, addr: LOCAL, dev: 'dpdk1' } as Command] : []),
  ];
}

interface Talk {
  proto: 'tcp' | 'udp';
  fwd: (typeof XMITS)[number]['name'];
  xmitTtl: boolean;
  conns: number;
  alwaysFront: boolean;
  /** What real servers of Full-NAT are told of their clients. */
  address: 'nothing' | 'option' | 'proxy';
  steps: Step[];
}

const talk: fc.Arbitrary<Talk> = fc.record({
  proto: fc.constantFrom('tcp' as const, 'udp' as const),
  fwd: fc.constantFrom(...XMITS.map((x) => x.name)),
  xmitTtl: fc.boolean(),
  /** Records: fewer than connections, or enough. */
  conns: fc.constantFrom(CLIENTS, 8, 8),
  alwaysFront: fc.boolean(),
  address: fc.constantFrom('nothing' as const, 'nothing', 'nothing', 'option' as const, 'proxy' as const),
  steps: fc.array(step, { minLength: 10, maxLength: 80 }),
});

/** `ADDR:PORT` of both ends as they stand in a frame. */
const ends = (f: Buffer): [string, string] => [
  `${[...f.subarray(26, 30)].join('.')}:${f.readUInt16BE(34)}`,
  `${[...f.subarray(30, 34)].join('.')}:${f.readUInt16BE(36)}`,
];

function play(t: Talk): void {
  let now = 1_000_000;
  const pair = new Pair(ports, {
    conns: t.conns,
    alwaysFront: t.alwaysFront,
    nowMs: now,
    neighTimeoutMs: 60_000,
    ipvs: {
      xmitTtl: t.xmitTtl,
      uoaMaxTrail: t.address === 'option' ? 2 : 0,
      tcp: { toa: t.address === 'option', ackStorm: STORM },
    },
    path: 'flow',
  });
  try {
    for (const c of setup(t)) pair.apply(c);
    const snat = t.fwd === 'snat';
    const there = snat ? 1 : 0;
    const mine = (i: number): string => `${snat ? '192.168.1' : '10.1.2'}.${i + 1}:${1000 + i}`;
    /** What the other end last saw of each client, to be answered. */
    const seen = new Map<number, [string, string]>();
    const turn = (where: string): void => {
      const out = pair.turn(now, where);
      for (const f of out[1 - there]!)
        if (f.readUInt16BE(12) === 0x0800 && f[23] !== 4) seen.set(f.readUInt16BE(18), ends(f));
      pair.compare(where);
    };
    const steps: Exclude<Step, Storm>[] = [
      ...OPENING,
      ...t.steps.flatMap((s): Exclude<Step, Storm>[] => (s.t === 'storm' ? packetsOf(s) : [s])),
    ];
    steps.forEach((s, n) => {
      const where = `step ${n}`;
      if (s.t === 'wait') now += s.ms;
      else if (s.t === 'restart') pair.restart();
      else if (s.t === 'command') pair.apply(CHANGES()[s.n]!);
      else if (s.t === 'turn') turn(where);
      else {
        const known = seen.get(s.client);
        if (s.back && known === undefined) return;
        const [src, dst] = s.back ? [known![1], known![0]] : [mine(s.client), snat ? PEER : VIP];
        const device = s.back ? 1 - there : there;
        const headers = t.proto === 'tcp' ? 40 : 28;
        const data = 'data' in s.size ? s.size.data : DEFAULT_MTU - headers + s.size.mtuAnd;
        const o = {
          src,
          dst,
          dmac: macOf(device),
          ttl: s.ttl,
          df: s.df,
          id: s.client,
          data: new Uint8Array(data).fill(s.client),
        };
        const frame =
          t.proto === 'tcp'
            ? tcp({ ...o, flags: s.flags, seq: s.seq, ack: s.ack, badL4Checksum: !s.sum })
            : udp({ ...o, noChecksum: !s.sum });
        pair.send(device, frame);
        if (s.alone) turn(where);
      }
    });
    turn('the end');
    hits.set(t.fwd, (hits.get(t.fwd) ?? 0) + pair.tested.stat('flowHits'));
    storms += pair.plain.packets.dropped(DROP.ACK_STORM);
  } finally {
    pair.close();
  }
}

test('whatever is said, both paths say and remember the same', { timeout: 120_000 }, () => {
  fc.assert(fc.property(talk, play), { numRuns: 150 });
  expect(native.mempoolStats().inUse).toBe(0);
});

test('and the native loop took part', () => {
  console.log(JSON.stringify(Object.fromEntries(hits)));
  for (const fwd of ['fullnat', 'nat', 'snat', 'dr', 'tunnel'])
    expect(hits.get(fwd), fwd).toBeGreaterThan(50);
  expect(storms).toBeGreaterThan(20);
});
