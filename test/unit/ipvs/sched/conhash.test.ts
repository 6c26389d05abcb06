import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { schedulerByName } from '../../../../src/ipvs/sched/index.js';
import { type Ring, ring } from '../../../../src/ipvs/sched/conhash.js';
import { asDests, client, counts, equal, Harness, type Server, server, servers, weights } from './harness.js';

const conhash = schedulerByName('conhash');

/** The ring that the harness's scheduler has built. */
const ringOf = (h: Harness): Ring => (h.state as { table: Ring }).table;

describe('the ring', () => {
  it('has 160 points for each weight / gcd', () => {
    const h = new Harness(conhash, servers(6, 9, 0, 3));
    const { owners, dests } = ringOf(h);
    expect(dests.map((d) => (d as unknown as Server).name)).toEqual(['A', 'B', 'D']);
    const n = [0, 0, 0];
    for (const o of owners) n[o]!++;
    expect(n).toEqual([320, 480, 160]);
  });

  it('is sorted, and its index leads to the first point of a range', () => {
    fc.assert(
      fc.property(weights(50), (w) => {
        const { points, first, shift } = ringOf(new Harness(conhash, servers(...w)));
        expect(points.every((p, i) => i === 0 || points[i - 1]! <= p)).toBe(true);
        const wrong = Array.from(first.subarray(0, -1)).findIndex(
          (i, r) =>
            (i > 0 && points[i - 1]! >>> shift >= r) || (i < points.length && points[i]! >>> shift < r),
        );
        expect(wrong).toBe(-1);
      }),
      { numRuns: 20 },
    );
  });

  it('stays bounded for weights that have nothing in common', () => {
    const h = new Harness(conhash, servers(65535, 65534, 1));
    const { owners } = ringOf(h);
    const n = counts(
      Array.from(owners, (o) => h.servers[o]),
      h.servers,
    );
    expect(owners.length).toBeLessThan(2 ** 18 + 3);
    expect(owners.length).toBeGreaterThan(2 ** 16);
    expect(n[2]).toBeGreaterThan(0);
    expect(Math.abs(n[0]! - n[1]!)).toBeLessThan(10);
  });

  it('of one point works', () => {
    const build = ring(asDests([server('A')]), () => 1);
    const { value } = build.next();
    expect((value as Ring).owners).toHaveLength(1);
  });
});

describe('conhash', () => {
  it('spreads clients by weight, as well as 160 points a unit do', () => {
    fc.assert(
      fc.property(weights(10, 10), (w) => {
        const h = new Harness(conhash, servers(...w));
        const n = 20_000;
        const got = counts(h.clients(n), h.servers);
        const total = w.reduce((a, b) => a + b);
        h.servers.forEach((s, i) => {
          const part = (n * s.weight) / total;
          // Arcs of 160 points vary by 1/sqrt(160); five times that, and chance.
          expect(Math.abs(got[i]! - part)).toBeLessThanOrEqual(
            (5 / Math.sqrt(160)) * part + 5 * Math.sqrt(part),
          );
        });
      }),
      { numRuns: 30 },
    );
  });

  it.each(['removed', 'drained', 'full'] as const)(
    'moves only the clients of the real server that is %s, before and after the ring is built anew',
    (how) => {
      fc.assert(
        fc.property(weights(20, 8), fc.nat(7), (w, k) => {
          const h = new Harness(conhash, servers(...w));
          const before = h.clients(300);
          const lost = h.servers[k % w.length]!;
          if (how === 'full') lost.full = true;
          if (how === 'drained') lost.weight = 0;
          h.changed(how === 'removed' ? h.servers.filter((s) => s !== lost) : h.servers);
          for (const built of [false, true]) {
            if (built) h.build();
            h.clients(300).forEach((s, i) => {
              if (before[i] !== lost) expect(s).toBe(before[i]);
              else expect(s).not.toBe(lost);
            });
          }
        }),
        { numRuns: 25 },
      );
    },
  );

  it('gives the clients of a lost one to all others, and back when it returns', () => {
    const h = new Harness(conhash, equal(5));
    const all = h.servers;
    const before = h.clients(3000);
    const lost = all[2]!;
    h.changed(all.filter((s) => s !== lost));
    h.build();
    const heirs = counts(
      h.clients(3000).filter((_, i) => before[i] === lost),
      all,
    );
    expect(heirs.filter((n) => n > 50)).toHaveLength(4);
    h.changed(all);
    h.build();
    expect(h.clients(3000)).toEqual(before);
  });

  it('goes by the client alone, and not by the order of real servers', () => {
    const h = new Harness(conhash, equal(10));
    expect(h.pick({ ...client(7), cport: 1, vaddr: 1 })).toBe(h.pick(client(7)));
    expect(new Harness(conhash, [...h.servers].reverse()).clients(200)).toEqual(h.clients(200));
  });
});
