import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { schedulerByName } from '../../../../src/ipvs/sched/index.js';
import { Harness, servers, weights } from './harness.js';

describe('nq', () => {
  const nq = schedulerByName('nq');

  it('takes an idle one before a faster one, then goes by delay', () => {
    const h = new Harness(nq, servers(1, 10, 1));
    const order = Array.from({ length: 6 }, () => {
      const s = h.pick()!;
      s.active++;
      return s.name;
    });
    expect(order.join('')).toBe('BACBBB');
  });

  it('spreads connections that are never established by weight', () => {
    const h = new Harness(nq, servers(1, 3));
    for (let i = 0; i < 4000; i++) h.pick()!.inactive++;
    const [a, b] = h.servers.map((s) => s.inactive) as [number, number];
    expect(Math.abs(b - 3 * a)).toBeLessThan(3 * 256);
  });

  it('leaves nobody idle before somebody has two', () => {
    fc.assert(
      fc.property(weights(), (w) => {
        const h = new Harness(nq, servers(...w));
        const n = w.filter((x) => x > 0).length;
        for (let i = 0; i < n; i++) h.pick()!.active++;
        expect(h.servers.map((s) => s.active)).toEqual(w.map((x) => (x > 0 ? 1 : 0)));
      }),
    );
  });
});
