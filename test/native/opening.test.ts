/**
 * Connections that the native loop opens from stocks made ahead (src/ipvs/stocks.ts, native/src/open_flow.h): whatever a client offers,
 * its SYN reaches the same real server from the same local port with the same bytes as through TypeScript, and so does what follows.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { STOCKS } from '../../src/core/layout.js';
import { tcp } from '../support/frames.js';
import { Pair, pairPorts } from './support/pair.js';
import { native } from './support/rig.js';
import { macOf } from './support/side.js';

const VIP = '10.1.1.1';
const SVC = { proto: 'tcp' as const, addr: VIP, port: 80 };
const REAL = ['192.168.0.10', '192.168.0.11', '192.168.0.12'];
const LOCAL = '192.168.0.200';
const GATEWAY = '10.1.0.254';
const ports = pairPorts();

interface Settings {
  xmitTtl?: boolean;
  tcp?: Partial<Record<'toa' | 'rebase' | 'keepTimestamps', boolean>>;
}

/** A service with three real servers in turn, two of them of double weight; neighbours are known. */
function begin(ipvs: Settings, now: number): Pair {
  const pair = new Pair(ports, {
    conns: 8192,
    nowMs: now,
    neighTimeoutMs: 600_000,
    ipvs,
    path: 'flow',
  });
  const addr = { op: 'addr.add' as const, scope: 'global' as const, validLft: 0, sapool: false };
  pair.apply({ ...addr, dev: 'dpdk0', addr: '10.1.0.1', plen: 16 });
  pair.apply({ ...addr, dev: 'dpdk1', addr: '192.168.0.1', plen: 16 });
  pair.apply({ ...addr, dev: 'dpdk0', addr: VIP, plen: 32 });
  const route = { metric: 0, tos: 0, local: false, mtu: 0 };
  pair.apply({ op: 'route.add', dst: '0.0.0.0', plen: 0, via: GATEWAY, ...route });
  pair.apply({ op: 'route.add', dst: '172.17.0.0', plen: 16, via: '10.1.0.253', ...route });
  pair.apply({ op: 'svc.add', svc: SVC, scheduler: 'wrr' });
  REAL.forEach((dest, i) =>
    pair.apply({
      op: 'dest.add',
      svc: SVC,
      dest: { addr: dest, port: 8080 },
      fwd: 'fullnat',
      weight: 1 + (i & 1),
      maxConn: 0,
      minConn: 0,
    }),
  );
  pair.apply({ op: 'laddr.add', svc: SVC, addr: LOCAL, dev: 'dpdk1' });
  // Another service has the address, too.
  const other = { proto: 'udp' as const, addr: VIP, port: 53 };
  pair.apply({ op: 'svc.add', svc: other, scheduler: 'rr' });
  pair.apply({ op: 'laddr.add', svc: other, addr: LOCAL, dev: 'dpdk1' });
  REAL.forEach((dest, i) =>
    pair.apply({ op: 'neigh.add', dev: 'dpdk1', addr: dest, lladdr: `02:00:00:00:02:0${i}` }),
  );
  for (const [i, via] of [GATEWAY, '10.1.0.253'].entries())
    pair.apply({ op: 'neigh.add', dev: 'dpdk0', addr: via, lladdr: `02:00:00:00:03:0${i}` });
  return pair;
}

const syn = (src: string, more: object = {}): Uint8Array =>
  tcp({ src, dst: `${VIP}:80`, dmac: macOf(0), flags: 'S', ...more });

/** A client comes, so that the service gets a stock. */
function warmUp(pair: Pair, now: number): void {
  pair.send(0, syn('172.16.99.99:9'));
  pair.turn(now, 'the first client');
}

const byte = fc.nat(255);
const options = fc
  .array(
    fc.oneof(
      fc.nat(0xffff).map((v) => [2, 4, v >>> 8, v & 255]),
      byte.map((v) => [3, 3, v]),
      fc.constantFrom([1], [4, 2], [4, 2], [1], [0], [8, 4, 1, 2], [254, 8, 1, 2, 3, 4, 5, 6], [9, 0]),
      fc.tuple(byte, byte, byte, byte).map((v) => [8, 10, ...v, 0, 0, 0, 0]),
    ),
    { maxLength: 6 },
  )
  .map((parts) => {
    const all = parts.flat().slice(0, 40);
    while (all.length % 4 !== 0) all.push(1);
    return all;
  });
/** Four times out of five the first. */
const mostly = <T>(usual: T, ...others: T[]): fc.Arbitrary<T> =>
  fc.oneof(
    { arbitrary: fc.constant(usual), weight: 4 },
    { arbitrary: fc.constantFrom(...others), weight: 1 },
  );
const client = fc.record({
  src: fc.oneof(
    { arbitrary: fc.constantFrom('172.16.0.1', '172.16.0.2', '172.17.0.1', '10.1.2.1'), weight: 5 },
    { arbitrary: fc.constantFrom('127.0.0.1', '224.0.0.1', VIP, LOCAL), weight: 1 },
  ),
  port: fc.integer({ min: 0, max: 100 }),
  seq: fc.integer({ min: 0, max: 0xffffffff }),
  flags: mostly('S', 'SP', 'SU', 'SA', 'SF', 'A'),
  options,
  data: mostly(0, 5, 1400, 1441, 1460, 1461),
  ttl: mostly(64, 2, 1, 0),
  badSum: fc.boolean(),
  waitMs: mostly(1, 0, 500, 1500, 40_000),
});
const settings = fc.record({
  xmitTtl: fc.boolean(),
  tcp: fc.record({ toa: fc.boolean(), rebase: fc.boolean(), keepTimestamps: fc.boolean() }),
});

let opened = 0;
test('a SYN leaves as through TypeScript, and its answer', { timeout: 120_000 }, () => {
  fc.assert(
    fc.property(settings, fc.array(client, { minLength: 1, maxLength: 40 }), (ipvs, clients) => {
      let now = 1_000_000;
      const pair = begin(ipvs, now);
      try {
        warmUp(pair, now);
        clients.forEach((c, i) => {
          now += c.waitMs;
          const more = {
            flags: c.flags,
            seq: c.seq,
            tcpOptions: c.options,
            data: 'x'.repeat(c.data),
            ttl: c.ttl,
          };
          pair.send(0, syn(`${c.src}:${c.port}`, { ...more, badL4Checksum: c.badSum }));
          const [, toServer] = pair.turn(now, `client ${i}`);
          // The real server answers at once.
          for (const f of toServer!) {
            const buffer = Buffer.from(f);
            if (buffer.readUInt16BE(12) !== 0x0800 || buffer[23] !== 6) continue;
            const end = (at: number, port: number): string =>
              `${[...buffer.subarray(at, at + 4)].join('.')}:${buffer.readUInt16BE(port)}`;
            const answer = { src: end(30, 36), dst: end(26, 34), dmac: macOf(1), flags: 'SA', seq: 7 };
            pair.send(
              1,
              tcp({ ...answer, ack: (buffer.readUInt32BE(38) + 1) >>> 0, tcpOptions: [2, 4, 5, 180] }),
            );
          }
          pair.turn(now, `the answer to client ${i}`);
          pair.compare(`client ${i}`);
        });
        opened += pair.tested.opened;
      } finally {
        pair.close();
      }
    }),
    { numRuns: 120 },
  );
  expect(opened).toBeGreaterThan(300);
  expect(native.mempoolStats().inUse).toBe(0);
});

test('a thousand clients at once: in turn, from ports of their own, and nothing but connections counts', () => {
  let now = 1_000_000;
  const pair = begin({}, now);
  const CLIENTS = 1000;
  try {
    warmUp(pair, now);
    const servers = new Map<string, number>();
    const ends = new Set<string>();
    for (let i = 0; i < CLIENTS; i++) {
      pair.send(0, syn(`172.16.${i >>> 8}.${i & 255}:1000`));
      if (i % 50 !== 49) continue;
      for (const f of pair.turn(++now, `client ${i}`)[1]!) {
        const server = [...f.subarray(30, 34)].join('.');
        servers.set(server, (servers.get(server) ?? 0) + 1);
        ends.add(`${server} ${[...f.subarray(26, 30)].join('.')}:${f.readUInt16BE(34)}`);
      }
    }
    pair.compare('the end');
    expect(ends.size).toBe(CLIENTS);
    expect([...servers.values()].sort((a, b) => a - b)).toEqual([250, 250, 500]);
    expect(pair.tested.opened).toBeGreaterThan(CLIENTS * 0.9);
    for (const { ipvs } of [pair.tested, pair.plain]) {
      expect(ipvs.table.size).toBe(CLIENTS + 1);
      expect(ipvs.laddrUse()).toEqual([
        { addr: LOCAL, used: CLIENTS + 1, free: 16 * 64511 - CLIENTS - 1, miss: 0 },
      ]);
    }
  } finally {
    pair.close();
  }
});

test('more services than stocks: those that clients come to have them in turn', () => {
  let now = 1_000_000;
  const pair = begin({}, now);
  const SERVICES = STOCKS + 8;
  /** A client of each service from `from` on, three times. @returns connections that the native loop has opened */
  const clients = (name: string, from: number, n: number): number => {
    const before = pair.tested.opened;
    for (let i = 0; i < 3 * n; i++) {
      const dst = `${VIP}:${1000 + from + (i % n)}`;
      pair.send(0, tcp({ src: `172.16.1.1:${++now % 60000}`, dst, dmac: macOf(0), flags: 'S' }));
      pair.turn(now, `${name}, client ${i}`);
    }
    pair.compare(name);
    return pair.tested.opened - before;
  };
  try {
    for (let i = 0; i < SERVICES; i++) {
      const svc = { ...SVC, port: 1000 + i };
      pair.apply({ op: 'svc.add', svc, scheduler: 'rr' });
      const dest = { addr: REAL[i % 3]!, port: 8080 };
      pair.apply({ op: 'dest.add', svc, dest, fwd: 'fullnat', weight: 1, maxConn: 0, minConn: 0 });
      pair.apply({ op: 'laddr.add', svc, addr: LOCAL, dev: 'dpdk1' });
    }
    expect(clients('all', 0, SERVICES)).toBe(2 * STOCKS);
    pair.turn((now += 2000), 'silence');
    expect(clients('the last', STOCKS, 8)).toBe(2 * 8);
    pair.turn((now += 2000), 'silence');
    expect(clients('all again', 0, SERVICES)).toBe(2 * STOCKS);
  } finally {
    pair.close();
  }
});

/** What ends a stock. */
const CHANGES = {
  'a weight': { op: 'dest.edit', svc: SVC, dest: { addr: REAL[0]!, port: 8080 }, weight: 0 },
  'a real server of another mode': {
    op: 'dest.add',
    svc: SVC,
    dest: { addr: '192.168.0.13', port: 80 },
    fwd: 'nat',
    weight: 1,
    maxConn: 0,
    minConn: 0,
  },
  'a limit': { op: 'dest.edit', svc: SVC, dest: { addr: REAL[1]!, port: 8080 }, maxConn: 3 },
  'syn-proxy': { op: 'svc.edit', svc: SVC, synproxy: true },
  'a rate for each source': { op: 'svc.edit', svc: SVC, srcRate: 1, srcBurst: 1 },
  'a route': { op: 'route.del', dst: '172.17.0.0', plen: 16, local: false },
  'a service on a local port': { op: 'svc.add', svc: { ...SVC, addr: LOCAL }, scheduler: 'rr' },
  'a black list': { op: 'acl.add', svc: SVC, list: 'black', entries: ['172.16.1.8/29'], more: false },
  'no local address': { op: 'laddr.del', svc: SVC, addr: LOCAL, dev: 'dpdk1' },
  'the end of the service': { op: 'svc.del', svc: SVC },
} as const;

/** After these nobody gets a real server. */
const CLOSED: readonly string[] = ['no local address', 'the end of the service'];

test.each(Object.entries(CHANGES))('what was made ahead is gone after a change: %s', (name, command) => {
  let now = 1_000_000;
  const pair = begin({}, now);
  try {
    warmUp(pair, now);
    pair.send(0, syn('172.16.1.1:1'));
    pair.turn(++now, 'before');
    expect(pair.tested.opened).toBe(1);
    expect(pair.apply(command as unknown as Parameters<Pair['apply']>[0])).toBe('taken');
    for (let i = 2; i < 30; i++) {
      pair.send(0, syn(`172.16.1.${i}:1`));
      const [, toServers] = pair.turn(++now, `after ${name}, client ${i}`);
      if (CLOSED.includes(name)) expect(toServers).toEqual([]);
      pair.compare(`after ${name}, client ${i}`);
    }
    // Silence: nothing is held for nobody.
    pair.turn((now += 2000), 'silence');
    pair.turn(++now, 'silence');
    const { ipvs } = pair.tested;
    expect(ipvs.table.free + ipvs.table.size).toBe(8191);
  } finally {
    pair.close();
  }
});
