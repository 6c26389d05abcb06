/** Bandwidth and share of new connections of a service: enforced, over all lcores, in both directions apart. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEST_F_SLOW } from '../../../src/core/layout.js';
import { Bandwidth } from '../../../src/ipvs/bandwidth.js';
import { ramp, tcp, udp } from '../../support/frames.js';
import { CLIENT, endpoint, LIP, Rig, RS, VIP } from './rig.js';

const svc = { proto: 'udp', ...endpoint(VIP) } as const;
const flags = (rig: Rig): number => new Uint32Array(rig.destStats.buffer)[16 + 14]!;

/** Bytes that get through when `offered` (Mbit/s) come in packets of `size` for a second, in steps of `stepMs`. */
function through(
  lcores: Bandwidth[],
  bps: number,
  offered: number,
  size: number,
  stepMs = 1,
  at = 0,
): number {
  let bytes = 0;
  let due = 0;
  let n = 0;
  for (let ms = 0; ms < 1000; ms += stepMs) {
    for (due += (offered / 8000) * 1e6 * stepMs; due >= size; due -= size)
      if (lcores[n++ % lcores.length]!.take(3, 0, size, bps, at + ms)) bytes += size;
  }
  return bytes;
}

describe('a bandwidth', () => {
  const make = (n = 1): Bandwidth[] => {
    const buffer = new SharedArrayBuffer(8 * 8);
    return Array.from({ length: n }, () => new Bandwidth(buffer));
  };

  it.each([
    [1, 1e6, 10, 1500],
    [1, 10e6, 100, 64],
    [4, 10e6, 100, 1500],
    [2, 1e9, 5000, 1500],
    [3, 100e6, 110, 700],
  ])('over %i lcores of %i bit/s lets that much through, and a burst of 50 ms', (n, bps, offered, size) => {
    const lcores = make(n);
    const first = through(lcores, bps, offered, size) * 8;
    expect(first).toBeGreaterThan(bps * 0.99);
    expect(first).toBeLessThan(bps * 1.06 + n * size * 8 + (n * bps) / 1000);
    const second = through(lcores, bps, offered, size, 1, 1000) * 8;
    expect(Math.abs(second - bps) / bps).toBeLessThan(0.03);
  });

  it('that is not reached drops nothing', () => {
    expect(through(make(2), 100e6, 90, 1000) * 8).toBeGreaterThan(89.9e6);
  });

  it('is whole for each direction and each service', () => {
    const [b] = make() as [Bandwidth];
    while (b.take(3, 0, 1000, 1e6, 5));
    expect([b.take(3, 1, 1000, 1e6, 5), b.take(2, 0, 1000, 1e6, 5)]).toEqual([true, true]);
  });

  it.each([0.001, 0.5, 0.9, 1, 1.19, 2, 71, 1000])(
    'is there again after %d hours of silence, also past the wrap of its clock',
    (hours) => {
      const [b] = make() as [Bandwidth];
      while (b.take(3, 0, 1000, 1e6, 7));
      const later = 7 + hours * 3_600_000;
      expect(b.take(3, 0, 1000, 1e6, later)).toBe(true);
      while (b.take(3, 0, 1000, 1e6, later));
      expect(b.take(3, 0, 1000, 1e6, later + 100)).toBe(true);
    },
  );

  it('is never exceeded by more than burst, chunks and a packet, whatever the traffic', () => {
    const step = fc.record({ lcore: fc.nat(2), size: fc.integer({ min: 20, max: 1500 }), ms: fc.nat(30) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), fc.integer({ min: 10_000, max: 1e9 }), (steps, bps) => {
        const lcores = make(3);
        let ms = 0;
        let bytes = 0;
        for (const s of steps) {
          ms += s.ms;
          if (lcores[s.lcore]!.take(1, 0, s.size, bps, ms)) bytes += s.size;
        }
        const most = (bps / 8000) * (ms + 50 + 1) + 1500 + 3 * (bps / 8000);
        expect(bytes).toBeLessThanOrEqual(most + steps.length * (bps / 8e6));
      }),
    );
  });
});

describe('a service with a bandwidth', () => {
  const packet = (n: number): Uint8Array => udp({ src: CLIENT, dst: VIP, data: ramp(n - 28) });

  it('drops what is over it, with a reason, and keeps its packets from the native loop', () => {
    const rig = new Rig();
    rig.serve('udp', { bps: 80_000 });
    expect(flags(rig)).toBe(DEST_F_SLOW);
    // 10 bytes a millisecond, 500 at once and the packet that goes over.
    expect(rig.fromClient(...[1, 2, 3, 4, 5, 6].map(() => packet(250)))).toHaveLength(3);
    expect(rig.drops).toEqual({ SVC_RATE: 3 });
    rig.advance(50);
    expect(rig.fromClient(packet(250), packet(250), packet(250))).toHaveLength(2);
    expect(rig.imbalance).toBe(0);
  });

  it('drops answers too, counted apart', () => {
    const rig = new Rig();
    rig.serve('udp', { bps: 80_000 });
    rig.fromClient(...[1, 2, 3, 4].map(() => packet(250)));
    const answer = udp({ src: RS, dst: `${LIP}:1025`, data: ramp(222) });
    expect(rig.fromServer(answer, answer, answer, answer)).toHaveLength(3);
  });

  it('can be given one and lose it while it runs', () => {
    const rig = new Rig();
    rig.serve('udp');
    rig.fromClient(packet(1000));
    rig.services.apply('svc.edit', { svc, bps: 8000 });
    expect(rig.fromClient(packet(1000), packet(1000))).toHaveLength(1);
    rig.services.apply('svc.edit', { svc, bps: 0 });
    expect(flags(rig)).toBe(0);
    expect(rig.fromClient(packet(1000), packet(1000))).toHaveLength(2);
  });

  it('is limited over all lcores together', () => {
    const a = new Rig({ lcore: 1, lcores: 2 });
    const b = new Rig({ lcore: 2, lcores: 2, shared: a.shared });
    for (const r of [a, b]) r.serve('udp', { bps: 80_000 });
    const sent = [a, b].map((r) => r.fromClient(...[1, 2, 3, 4].map(() => packet(250))).length);
    expect(sent).toEqual([3, 0]);
  });
});

describe('a service that lets in a share of new connections', () => {
  const syn = (n: number): Uint8Array => tcp({ src: `10.0.0.${n % 250}:${1000 + n}`, dst: VIP, flags: 'S' });

  it.each([0, 10, 50, 90, 99, 100])('of %i percent does so', (limitProportion) => {
    const rig = new Rig({ conns: 4096 });
    rig.serve('tcp', { limitProportion });
    let served = 0;
    for (let n = 0; n < 2000; n += 50)
      served += rig.fromClient(...Array.from({ length: 50 }, (_, i) => syn(n + i))).length;
    expect(rig.dropped('SVC_PROPORTION')).toBe(2000 - served);
    // Five standard deviations.
    const p = limitProportion / 100;
    expect(Math.abs(served - 2000 * p)).toBeLessThanOrEqual(5 * Math.sqrt(2000 * p * (1 - p)));
  });

  it('leaves connections that are there alone', () => {
    const rig = new Rig();
    rig.serve('tcp');
    rig.fromClient(syn(1));
    rig.services.apply('svc.edit', { svc: { ...svc, proto: 'tcp' }, limitProportion: 0 });
    expect(rig.fromClient(syn(1), tcp({ src: '10.0.0.1:1001', dst: VIP, flags: 'A' }))).toHaveLength(2);
    expect(rig.fromClient(syn(2))).toEqual([]);
  });
});
