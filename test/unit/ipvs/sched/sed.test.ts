import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { schedulerByName } from '../../../../src/ipvs/sched/index.js';
import { Harness, server, servers, weights } from './harness.js';

describe('sed', () => {
  const sed = schedulerByName('sed');

  it('takes the least (active + 1) / weight: of idle ones the heaviest', () => {
    const h = new Harness(sed, servers(1, 3));
    expect(h.name()).toBe('B');
    h.servers[1]!.active = 1;
    expect(h.name()).toBe('B');
    h.servers[1]!.active = 2;
    expect(h.name()).toBe('A'); // 1/1 and 3/3: the first of equals
    h.servers[0]!.active = 1;
    expect(h.name()).toBe('B');
  });

  it('spreads connections that are never established, as those of UDP, by weight', () => {
    const h = new Harness(sed, [server('A', { weight: 1 }), server('B', { weight: 3 })]);
    for (let i = 0; i < 4000; i++) h.pick()!.inactive++;
    const [a, b] = h.servers.map((s) => s.inactive) as [number, number];
    expect(Math.abs(b - 3 * a)).toBeLessThan(3 * 256);
  });

  it('keeps (active + 1) in proportion to the weights, to one connection', () => {
    fc.assert(
      fc.property(weights(), (w) => {
        const h = new Harness(sed, servers(...w));
        for (let i = 0; i < 500; i++) h.pick()!.active++;
        const of = h.servers.filter((s) => s.weight > 0);
        // Nobody could have had a smaller delay elsewhere.
        for (const s of of.filter((x) => x.active > 0))
          for (const other of of)
            expect(s.active / s.weight).toBeLessThanOrEqual((other.active + 1) / other.weight);
      }),
    );
  });
});
