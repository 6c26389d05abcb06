import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { schedulerByName } from '../../../../src/ipvs/sched/index.js';
import { client, counts, equal, Harness, offShare, servers, weights } from './harness.js';

describe('sh', () => {
  const sh = schedulerByName('sh');

  it('keeps a client with one real server, whatever its port, its destination and the load', () => {
    const h = new Harness(sh, equal(10));
    for (let i = 0; i < 100; i++) {
      const own = h.pick(client(i))!;
      own.active += 100;
      expect(h.pick({ ...client(i), cport: 9, vaddr: 7 })).toBe(own);
    }
  });

  it('tells connections of a client apart with sh-port', () => {
    const h = new Harness(sh, equal(10), { flags: ['sh-port'] });
    const got = new Set(Array.from({ length: 100 }, (_, cport) => h.pick({ caddr: 1, cport })));
    expect(got.size).toBe(10);
    expect(h.pick({ caddr: 1, cport: 5 })).toBe(h.pick({ caddr: 1, cport: 5 }));
  });

  it('spreads clients by weight, for any weights', () => {
    fc.assert(
      fc.property(weights(65535), (w) => {
        const h = new Harness(sh, servers(...w));
        expect(offShare(counts(h.clients(20_000), h.servers), h.servers)).toEqual([]);
      }),
      { numRuns: 30 },
    );
  });

  it('has a place for everyone, however many and heavy', () => {
    const h = new Harness(sh, equal(1000, 65535));
    expect(Math.min(...counts(h.clients(30_000), h.servers))).toBeGreaterThan(0);
  });

  it('has nothing for clients of a full real server, and gives them to all others with sh-fallback', () => {
    const h = new Harness(sh, equal(5));
    const before = h.clients(2000);
    h.servers[2]!.full = true;
    expect(h.clients(2000)).toEqual(before.map((s) => (s === h.servers[2] ? undefined : s)));
    const f = new Harness(sh, h.servers, { flags: ['sh-fallback'] });
    const after = f.clients(2000);
    before.forEach((s, i) => s !== h.servers[2] && expect(after[i]).toBe(s));
    const moved = counts(
      after.filter((_, i) => before[i] === h.servers[2]),
      h.servers,
    );
    expect(moved[2]).toBe(0);
    for (const i of [0, 1, 3, 4]) expect(moved[i]).toBeGreaterThan(50);
  });

  it('does not depend on the order in which real servers were added', () => {
    const all = servers(3, 1, 4, 1, 5);
    expect(new Harness(sh, [...all].reverse()).clients(200)).toEqual(new Harness(sh, all).clients(200));
  });
});
