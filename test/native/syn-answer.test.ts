/** SYN cookies: whatever a client offers, in whatever minute, the native loop answers its SYN with the same bytes as TypeScript. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { tcp } from '../support/frames.js';
import { Pair, pairPorts } from './support/pair.js';
import { native } from './support/rig.js';
import { macOf } from './support/side.js';

const VIP = '10.1.1.1';
const ports = pairPorts();
let answered = 0;

const word = fc.integer({ min: 0, max: 0xffffffff });
const byte = fc.nat(255);
const u16 = fc.nat(0xffff);
/** Options right and wrong, in any order; padded and cut to whole words. */
const options = fc
  .array(
    fc.oneof(
      u16.map((v) => [2, 4, v >>> 8, v & 255]),
      byte.map((v) => [3, 3, v]),
      fc.constantFrom([1], [4, 2], [0], [2, 3, 5], [8, 9], [2, 4], [9, 0]),
      fc.tuple(byte, byte, byte, byte).map((v) => [8, 10, ...v, 0, 0, 0, 0]),
    ),
    { maxLength: 7 },
  )
  .map((parts) => {
    const all = parts.flat().slice(0, 40);
    while (all.length % 4 !== 0) all.push(1);
    return all;
  });
const syn = fc.record({
  src: fc.constantFrom(
    ...Array.from({ length: 12 }, (_, i) => `10.1.2.${i + 1}`),
    '127.0.0.1',
    '224.0.0.1',
    VIP,
  ),
  port: u16,
  seq: word,
  flags: fc.constantFrom('S', 'S', 'S', 'S', 'SP', 'SA', 'SF', 'A'),
  options,
  data: fc.nat(5),
  badSum: fc.constantFrom(false, false, false, true),
  waitMs: fc.constantFrom(0, 0, 0, 0, 1, 1, 30_000, 60_000),
});
const config = fc.record({
  mss: fc.constantFrom(536, 1400, 1452),
  ttl: fc.constantFrom(1, 63, 255),
  sack: fc.boolean(),
  timestamp: fc.boolean(),
  wscale: fc.constantFrom(0, 1, 7, 14),
  closeClientWindow: fc.boolean(),
});

function begin(pair: Pair): void {
  const addr = { op: 'addr.add' as const, scope: 'global' as const, validLft: 0, sapool: false };
  pair.apply({ ...addr, dev: 'dpdk0', addr: '10.1.0.1', plen: 16 });
  pair.apply({ ...addr, dev: 'dpdk1', addr: '192.168.0.1', plen: 16 });
  pair.apply({ ...addr, dev: 'dpdk0', addr: VIP, plen: 32 });
}

function serve(pair: Pair, port: number): void {
  const svc = { proto: 'tcp' as const, addr: VIP, port };
  pair.apply({ op: 'svc.add', svc, scheduler: 'rr', synproxy: true });
  const dest = { addr: '192.168.0.10', port: 80 };
  pair.apply({ op: 'dest.add', svc, dest, fwd: 'nat', weight: 1, maxConn: 0, minConn: 0 });
}

test('the native loop answers every SYN as TypeScript does', { timeout: 120_000 }, () => {
  fc.assert(
    fc.property(config, fc.array(syn, { minLength: 1, maxLength: 30 }), (synproxy, syns) => {
      let now = 1_000_000;
      const pair = new Pair(ports, {
        conns: 64,
        nowMs: now,
        neighTimeoutMs: 600_000,
        ipvs: { synproxy },
        path: 'flow',
      });
      try {
        begin(pair);
        serve(pair, 80);
        pair.turn(now, 'the beginning');
        syns.forEach((s, i) => {
          now += s.waitMs;
          const frame = tcp({
            src: `${s.src}:${s.port}`,
            dst: `${VIP}:80`,
            dmac: macOf(0),
            flags: s.flags,
            seq: s.seq,
            tcpOptions: s.options,
            data: 'x'.repeat(s.data),
            badL4Checksum: s.badSum,
          });
          pair.send(0, frame);
          pair.turn(now, `SYN ${i}`);
          pair.compare(`SYN ${i}`);
        });
        answered += pair.tested.reflexes;
      } finally {
        pair.close();
      }
    }),
    { numRuns: 150 },
  );
  expect(answered).toBeGreaterThan(300);
  expect(native.mempoolStats().inUse).toBe(0);
});

test('services that the table of the native loop has no room for are answered by TypeScript', () => {
  const now = 1_000_000;
  const SERVICES = 2300;
  const pair = new Pair(ports, { conns: 64, nowMs: now, neighTimeoutMs: 600_000, ipvs: {}, path: 'flow' });
  try {
    begin(pair);
    for (let port = 1; port <= SERVICES; port++) serve(pair, port);
    pair.turn(now, 'the beginning');
    for (let port = 1; port <= SERVICES; port++) {
      pair.send(0, tcp({ src: '10.1.2.1:999', dst: `${VIP}:${port}`, dmac: macOf(0), flags: 'S' }));
      if (port % 100 === 0) expect(pair.turn(now, `${port}`)[0]).toHaveLength(100);
    }
    pair.compare('the end');
    const { reflexes } = pair.tested;
    expect(reflexes).toBeGreaterThan(2000);
    expect(reflexes).toBeLessThan(2048);
  } finally {
    pair.close();
  }
});
