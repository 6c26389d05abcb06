import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { schedulerByName } from '../../../../src/ipvs/sched/index.js';
import { Harness, server, servers, weights } from './harness.js';

describe('lc', () => {
  const lc = schedulerByName('lc');

  it('takes the least active * 256 + inactive, whatever the weights', () => {
    const h = new Harness(lc, [
      server('A', { weight: 100, active: 1 }),
      server('B', { weight: 1, inactive: 255 }),
      server('C', { weight: 1, inactive: 256 }),
    ]);
    expect(h.name()).toBe('B');
    h.servers[1]!.inactive = 257;
    expect(h.name()).toBe('A');
  });

  it('keeps as many connections on each that has a weight', () => {
    fc.assert(
      fc.property(weights(), (w) => {
        const h = new Harness(lc, servers(...w));
        for (let i = 0; i < w.filter((x) => x > 0).length * 4; i++) h.pick()!.active++;
        expect(h.servers.map((s) => s.active)).toEqual(w.map((x) => (x > 0 ? 4 : 0)));
      }),
    );
  });
});
