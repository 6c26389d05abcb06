import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { schedulerByName } from '../../../../src/ipvs/sched/index.js';
import { Harness, servers, weights } from './harness.js';

describe('fo', () => {
  const fo = schedulerByName('fo');

  it('stays with the heaviest, falls to the next when it is full or drained, and comes back', () => {
    const h = new Harness(fo, servers(1, 5, 3));
    expect(h.picks(3)).toBe('BBB');
    h.servers[1]!.full = true;
    expect(h.picks(3)).toBe('CCC');
    h.servers[2]!.weight = 0;
    h.changed();
    expect(h.picks(3)).toBe('AAA');
    h.servers[1]!.full = false;
    expect(h.picks(3)).toBe('BBB');
  });

  it('takes the first of the heaviest usable ones, whatever their load', () => {
    fc.assert(
      fc.property(weights(), fc.array(fc.boolean()), fc.array(fc.nat(1000)), (w, full, active) => {
        const h = new Harness(fo, servers(...w));
        h.servers.forEach((s, i) => Object.assign(s, { full: full[i] ?? false, active: active[i] ?? 0 }));
        const usable = h.servers.filter((s) => s.weight > 0 && !s.full);
        const most = Math.max(...usable.map((s) => s.weight));
        expect(h.pick()).toBe(usable.find((s) => s.weight === most));
      }),
    );
  });
});
