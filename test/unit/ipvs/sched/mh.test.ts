import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { schedulerByName } from '../../../../src/ipvs/sched/index.js';
import { maglev, MH_SIZE, type MhTable } from '../../../../src/ipvs/sched/mh.js';
import {
  asDests,
  counts,
  equal,
  Harness,
  offShare,
  type Server,
  server,
  servers,
  weights,
} from './harness.js';

const mh = schedulerByName('mh');

/** @returns the real server of every entry */
function table(of: Server[], size = MH_SIZE): Server[] {
  const build = maglev(asDests(of), size);
  for (;;) {
    const { done, value } = build.next();
    if (done !== true) continue;
    const { dests, entries }: MhTable = value;
    return Array.from(entries, (e) => dests[e] as unknown as Server);
  }
}
/** Part of the entries of those in both tables that are another's now. */
function moved(before: Server[], after: Server[], gone: Server): number {
  const others = before.filter((s) => s !== gone).length;
  return before.filter((s, e) => s !== gone && after[e] !== s).length / others;
}
const share = (of: Server[], s: Server): number =>
  (MH_SIZE * s.weight) / of.reduce((sum, x) => sum + x.weight, 0);

describe('the Maglev table', () => {
  it.each([1, 2, 3, 7, 100, 655])('of %i equal real servers is off by at most 1 %%', (n) => {
    const of = equal(n, 7);
    const got = counts(table(of), of);
    for (const c of got) expect(Math.abs(c / (MH_SIZE / n) - 1)).toBeLessThanOrEqual(0.01);
    expect(got.reduce((a, b) => a + b)).toBe(MH_SIZE);
  });

  it('of 1000 as well', () => {
    const of = equal(1000);
    expect(Math.max(...counts(table(of), of)) / (MH_SIZE / 1000)).toBeLessThanOrEqual(1.01);
  });

  it('has each within one entry of its exact share, for any weights', () => {
    fc.assert(
      fc.property(weights(65535, 100), (w) => {
        const of = servers(...w);
        const got = counts(table(of), of);
        of.forEach((s, i) => {
          if (s.weight === 0) expect(got[i]).toBe(0);
          else if (share(of, s) > 2) expect(Math.abs(got[i]! - share(of, s))).toBeLessThanOrEqual(2);
        });
      }),
      { numRuns: 15 },
    );
  });

  it('has an entry for everyone with a weight, however small', () => {
    const of = [server('big', { weight: 65535, addr: 1 }), ...equal(300).map((s) => ({ ...s, weight: 1 }))];
    const more = [...of, ...equal(300, 65535).map((s) => ({ ...s, port: 81 }))];
    for (const some of [of, more]) expect(Math.min(...counts(table(some), some))).toBeGreaterThan(0);
  });

  it('moves at most 2 % of the others when one of 100 goes, whoever it is and wherever they are', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 1, max: 0xdfffffff }), { minLength: 100, maxLength: 100 }),
        fc.nat(99),
        (addrs, k) => {
          const of = addrs.map((addr, i) => server(String(i), { addr }));
          const gone = of[k]!;
          const before = table(of);
          expect(moved(before, table(of.filter((s) => s !== gone)), gone)).toBeLessThanOrEqual(0.02);
        },
      ),
      { numRuns: 5 },
    );
  });

  it('moves few of the others when one of any weights goes', () => {
    const of = Array.from({ length: 100 }, (_, i) =>
      server(String(i), { addr: 1000 + i, weight: 1 + (i % 10) }),
    );
    for (const k of [0, 9, 55]) {
      const after = table(of.filter((_, i) => i !== k));
      expect(moved(table(of), after, of[k]!)).toBeLessThanOrEqual(0.02);
    }
  });

  it('is the same whatever the order', () => {
    const of = servers(3, 1, 4, 1, 5, 9, 2, 6);
    expect(table([...of].reverse())).toEqual(table(of));
  });
});

describe('mh', () => {
  it('spreads clients by weight, for any weights', () => {
    fc.assert(
      fc.property(weights(), (w) => {
        const h = new Harness(mh, servers(...w));
        expect(offShare(counts(h.clients(20_000), h.servers), h.servers, 0.01)).toEqual([]);
      }),
      { numRuns: 15 },
    );
  });

  it('keeps a client with one real server, with mh-port a connection', () => {
    const [h, p] = [[], ['mh-port']].map((flags) => new Harness(mh, equal(10), { flags })) as [
      Harness,
      Harness,
    ];
    const ports = (of: Harness) =>
      new Set(Array.from({ length: 100 }, (_, cport) => of.name({ caddr: 1, cport }))).size;
    expect([ports(h), ports(p)]).toEqual([1, 10]);
  });

  it('has nothing for clients of a full real server, and gives them to all others with mh-fallback', () => {
    const h = new Harness(mh, equal(5));
    const before = h.clients(2000);
    const full = h.servers[2]!;
    full.full = true;
    expect(h.clients(2000)).toEqual(before.map((s) => (s === full ? undefined : s)));
    const f = new Harness(mh, h.servers, { flags: ['mh-fallback'] });
    const after = f.clients(2000);
    before.forEach((s, i) => s !== full && expect(after[i]).toBe(s));
    const others = counts(
      after.filter((_, i) => before[i] === full),
      h.servers,
    );
    for (const i of [0, 1, 3, 4]) expect(others[i]).toBeGreaterThan(50);
  });

  it('serves from the old table while the next is built: only clients of who is gone or drained move', () => {
    const h = new Harness(mh, equal(10));
    const before = h.clients(500);
    const [, gone, drained] = h.servers as [Server, Server, Server];
    drained.weight = 0;
    h.changed(h.servers.filter((s) => s !== gone));
    const meanwhile = h.clients(500);
    before.forEach((s, i) => {
      if (s !== gone && s !== drained) expect(meanwhile[i]).toBe(s);
      else expect([undefined, gone, drained]).not.toContain(meanwhile[i]);
    });
    expect(h.build()).toBeGreaterThan(20);
    const after = h.clients(500);
    expect(
      after.filter((s, i) => s !== before[i] && before[i] !== gone && before[i] !== drained).length,
    ).toBeLessThan(20);
  });

  it('uses all real servers before its first table is ready', () => {
    const h = new Harness(mh, []);
    h.changed(equal(8));
    expect(new Set(h.clients(200)).size).toBe(8);
  });

  it('finishes a table although weights change all the time, and the last one is of the last weights', () => {
    const h = new Harness(mh, equal(3));
    const d = server('D', { addr: 99 });
    h.changed([...h.servers, d]);
    let slices = 0;
    for (; !h.clients(100).includes(d) && slices < 10_000; slices++) {
      mh.build!(h.state);
      h.servers[0]!.weight = 1 + (slices % 3);
      h.changed();
    }
    expect(slices).toBeLessThan(500);
    h.servers[0]!.weight = 6;
    h.changed();
    h.build();
    expect(offShare(counts(h.clients(20_000), h.servers), h.servers, 0.01)).toEqual([]);
  });
});
