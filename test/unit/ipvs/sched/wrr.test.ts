import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { schedulerByName } from '../../../../src/ipvs/sched/index.js';
import { gcd } from '../../../../src/ipvs/sched/gcd.js';
import { counts, Harness, load, server, servers, weights } from './harness.js';

describe('wrr', () => {
  const wrr = schedulerByName('wrr');

  it('interleaves by weight: each gets weight / gcd of a cycle', () => {
    expect(new Harness(wrr, servers(4, 3, 2)).picks(18)).toBe('AABABCABCAABABCABC');
    expect(new Harness(wrr, servers(400, 300, 200)).picks(9)).toBe('AABABCABC');
  });

  it('is plain round robin for equal weights', () => {
    expect(new Harness(wrr, servers(7, 7, 7)).picks(7)).toBe('ABCABCA');
  });

  it('gives exact shares over whole cycles for uneven weights', () => {
    const got = new Harness(wrr, servers(5, 1, 17)).picks(23 * 4);
    const count = (n: string): number => [...got].filter((x) => x === n).length;
    expect([count('A'), count('B'), count('C')]).toEqual([20, 4, 68]);
  });

  it('follows a change of weights', () => {
    const h = new Harness(wrr, servers(1, 1));
    h.picks(3);
    h.servers[1]!.weight = 3;
    h.changed();
    h.picks(4);
    const got = h.picks(40);
    expect([...got].filter((x) => x === 'B')).toHaveLength(30);
  });

  it('does not search long when the heaviest is full: weights may be 65535', () => {
    const h = new Harness(wrr, [
      server('A', { weight: 65535, full: true }),
      server('B', { weight: 1 }),
      server('C', { weight: 2 }),
    ]);
    let asked = 0;
    h.o.load = { ...load, usable: (d) => (asked++, load.usable(d)) };
    expect([...h.picks(30)].filter((x) => x === 'C')).toHaveLength(20);
    expect(asked).toBeLessThan(30 * 9 + 1);
  });

  it('gives exact shares over a cycle, for any weights', () => {
    fc.assert(
      fc.property(weights(), (w) => {
        const h = new Harness(wrr, servers(...w));
        const parts = w.map((x) => x / w.reduce(gcd));
        const cycle = parts.reduce((a, b) => a + b);
        expect(counts(h.clients(cycle), h.servers)).toEqual(parts);
        expect(counts(h.clients(2 * cycle), h.servers)).toEqual(parts.map((x) => 2 * x));
      }),
    );
  });
});
