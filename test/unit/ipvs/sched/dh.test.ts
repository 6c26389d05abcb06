import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { schedulerByName } from '../../../../src/ipvs/sched/index.js';
import { client, counts, equal, Harness, offShare, servers, weights } from './harness.js';

describe('dh', () => {
  const dh = schedulerByName('dh');

  it('gives all clients of one destination the same real server', () => {
    const h = new Harness(dh, equal(10));
    for (let i = 0; i < 100; i++) {
      const own = h.pick(client(i));
      expect(h.pick({ ...client(i), caddr: 5, cport: 9 })).toBe(own);
    }
    expect(new Set(h.clients(500)).size).toBe(10);
  });

  it('spreads destinations by weight, for any weights', () => {
    fc.assert(
      fc.property(weights(65535), (w) => {
        const h = new Harness(dh, servers(...w));
        expect(offShare(counts(h.clients(20_000), h.servers), h.servers)).toEqual([]);
      }),
      { numRuns: 30 },
    );
  });

  it('has nothing for destinations of a full real server', () => {
    const h = new Harness(dh, equal(4));
    const before = h.clients(500);
    h.servers[0]!.full = true;
    expect(h.clients(500)).toEqual(before.map((s) => (s === h.servers[0] ? undefined : s)));
  });
});
