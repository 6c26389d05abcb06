import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SaPool, ownerOf, portMask } from '../../../src/core/sapool.js';

const LADDR = 0xc0a864c8; // 192.168.100.200
const RS = 0xc0a86402;

/** One pool with few ports: 1025 to 1024 + n. */
const small = (n: number, poolHashSize = 1): SaPool =>
  new SaPool({ lcore: 0, lcores: 1, poolHashSize, firstPort: 1025, lastPort: 1024 + n });

describe('whose a local port is', () => {
  it('with a power of two of lcores: the low bits of the port', () => {
    expect(portMask(8)).toBe(7);
    for (const port of [1025, 1032, 65535, 40_003]) expect(ownerOf(port, 8)).toBe(port & 7);
    expect(portMask(1)).toBe(0);
    expect(ownerOf(65535, 1)).toBe(0);
  });

  it('with another number of lcores no class of ports is wasted', () => {
    expect(portMask(3)).toBe(3);
    expect([0, 1, 2, 3].map((port) => ownerOf(port, 3))).toEqual([0, 1, 2, 0]);
    expect(portMask(6)).toBe(7);
    expect([0, 1, 2, 3, 4, 5, 6, 7].map((port) => ownerOf(port, 6))).toEqual([0, 1, 2, 3, 4, 5, 0, 1]);
  });

  it('pools may begin anywhere, and give out every port all the same, the longest free first', () => {
    const start = [0.5, 0.999, 0][Symbol.iterator]();
    const pool = new SaPool({
      lcore: 0,
      lcores: 1,
      poolHashSize: 3,
      firstPort: 1025,
      lastPort: 1028,
      start: () => start.next().value!,
    });
    const slot = pool.add(LADDR);
    const all = (dport: number): number[] => [1, 2, 3, 4, 5].map(() => pool.alloc(slot, RS, dport));
    expect([all(80), all(81), all(82)]).toEqual([
      [1027, 1028, 1025, 1026, 0],
      [1028, 1025, 1026, 1027, 0],
      [1025, 1026, 1027, 1028, 0],
    ]);
    for (const port of [1026, 1028]) expect(pool.free(slot, RS, 80, port)).toBe(true);
    expect(all(80)).toEqual([1026, 1028, 0, 0, 0]);
  });

  it('the lcores share all ports out among them: each to exactly one, which says the same', () => {
    for (let lcores = 1; lcores <= 17; lcores++) {
      const owners = new Int8Array(65536).fill(-1);
      for (let lcore = 0; lcore < lcores; lcore++) {
        const pool = new SaPool({ lcore, lcores, poolHashSize: 1 });
        const slot = pool.add(LADDR);
        let before = 0;
        for (let port = pool.alloc(slot, RS, 80); port !== 0; port = pool.alloc(slot, RS, 80)) {
          if (owners[port] !== -1) throw new Error(`port ${port} given out by ${owners[port]} and ${lcore}`);
          if (ownerOf(port, lcores) !== lcore) throw new Error(`port ${port} of ${lcore}`);
          if (port <= before) throw new Error(`port ${port} behind ${before}`);
          owners[port] = lcore;
          before = port;
        }
        expect(pool.used(slot)).toBe(pool.ports);
        expect(pool.available(slot)).toBe(0);
      }
      expect(owners.indexOf(-1)).toBe(0);
      expect(owners.subarray(0, 1025).every((o) => o === -1)).toBe(true);
      expect(owners.subarray(1025).every((o) => o !== -1)).toBe(true);
    }
  });

  it('the sizes are those of the original: 16 x 64511 for one address, 8063 or 8064 ports a pool of 8 lcores', () => {
    const one = new SaPool({ lcore: 0, lcores: 1 });
    expect(one.available(one.add(LADDR))).toBe(1_032_176);
    const sizes = Array.from({ length: 8 }, (_, lcore) => new SaPool({ lcore, lcores: 8 }).ports);
    expect(sizes).toEqual([8063, 8064, 8064, 8064, 8064, 8064, 8064, 8064]);
  });
});

describe('local ports', () => {
  it('the port that has been free longest is used next', () => {
    const pool = small(4);
    const slot = pool.add(LADDR);
    const alloc = (): number => pool.alloc(slot, RS, 80);
    expect([alloc(), alloc(), alloc()]).toEqual([1025, 1026, 1027]);
    pool.free(slot, RS, 80, 1026);
    pool.free(slot, RS, 80, 1025);
    expect([alloc(), alloc(), alloc()]).toEqual([1028, 1026, 1025]);
  });

  it('an exhausted pool answers 0 and counts the miss', () => {
    const pool = small(2);
    const slot = pool.add(LADDR);
    pool.alloc(slot, RS, 80);
    pool.alloc(slot, RS, 80);
    expect(pool.misses(slot)).toBe(0);
    expect(pool.alloc(slot, RS, 80)).toBe(0);
    expect(pool.misses(slot)).toBe(1);
    expect(pool.used(slot)).toBe(2);
    pool.free(slot, RS, 80, 1026);
    expect(pool.alloc(slot, RS, 80)).toBe(1026);
  });

  it('the same port serves destinations of different pools at once', () => {
    const pool = small(1, 16);
    const slot = pool.add(LADDR);
    const ports = Array.from({ length: 16 }, (_, i) => pool.alloc(slot, RS + i, 80));
    expect(ports).toEqual(Array.from({ length: 16 }, () => 1025));
    expect(pool.available(slot)).toBe(0);
    expect(pool.free(slot, RS + 3, 80, 1025)).toBe(true);
    expect(pool.alloc(slot, RS + 3, 80)).toBe(1025);
    expect(pool.alloc(slot, RS + 4, 80)).toBe(0);
  });

  it('a port is given back once only, and only where it was taken', () => {
    const pool = small(8, 2);
    const slot = pool.add(LADDR);
    const port = pool.alloc(slot, RS, 80);
    expect(pool.free(slot, RS + 1, 80, port)).toBe(false);
    for (const wrong of [0, 1024, 1033, 65536, -1]) expect(pool.free(slot, RS, 80, wrong)).toBe(false);
    expect(pool.free(slot + 1, RS, 80, port)).toBe(false);
    expect(pool.used(slot)).toBe(1);
    expect(pool.free(slot, RS, 80, port)).toBe(true);
    expect(pool.free(slot, RS, 80, port)).toBe(false);
    expect(pool.used(slot)).toBe(0);
  });

  it('a taken port is not given out, and comes back as any other', () => {
    const pool = small(3);
    const slot = pool.add(LADDR);
    expect(pool.take(slot, RS, 80, 1026)).toBe(true);
    expect(pool.take(slot, RS, 80, 1026)).toBe(false);
    expect([1, 2, 3].map(() => pool.alloc(slot, RS, 80))).toEqual([1025, 1027, 0]);
    expect(pool.free(slot, RS, 80, 1026)).toBe(true);
    expect(pool.alloc(slot, RS, 80)).toBe(1026);
    expect(pool.take(slot, RS, 80, 1024)).toBe(false);
  });

  it("another lcore's port cannot be taken", () => {
    const pool = new SaPool({ lcore: 1, lcores: 4 });
    const slot = pool.add(LADDR);
    expect(pool.take(slot, RS, 80, 2000)).toBe(false);
    expect(pool.take(slot, RS, 80, 2001)).toBe(true);
    expect(pool.used(slot)).toBe(1);
  });

  it('an lcore for which the range has no port answers 0', () => {
    const pool = new SaPool({ lcore: 0, lcores: 4, firstPort: 1025, lastPort: 1027 });
    const slot = pool.add(LADDR);
    expect(pool.ports).toBe(0);
    expect(pool.alloc(slot, RS, 80)).toBe(0);
    expect(pool.take(slot, RS, 80, 1025)).toBe(false);
  });

  it('refuses senseless options', () => {
    for (const bad of [
      { lcore: 1, lcores: 1 },
      { lcore: -1, lcores: 2 },
      { lcore: 0, lcores: 0 },
      { lcore: 0, lcores: 1, poolHashSize: 0 },
      { lcore: 0, lcores: 1, firstPort: 0 },
      { lcore: 0, lcores: 1, firstPort: 2000, lastPort: 1999 },
      { lcore: 0, lcores: 1, lastPort: 65536 },
    ])
      expect(() => new SaPool(bad), `lcore ${bad.lcore} of ${bad.lcores}`).toThrow(
        expect.objectContaining({ code: 'INVAL' }),
      );
  });
});

describe('local addresses', () => {
  it('an unused one goes at once, its slot is used again', () => {
    const pool = small(4);
    const slot = pool.add(LADDR);
    expect(pool.add(LADDR)).toBe(slot);
    expect(pool.slotOf(LADDR)).toBe(slot);
    pool.remove(slot);
    expect(pool.slotOf(LADDR)).toBe(-1);
    expect(pool.addrOf(slot)).toBe(-1);
    expect(() => pool.alloc(slot, RS, 80)).toThrow(expect.objectContaining({ code: 'NOTEXIST' }));
    expect(pool.add(LADDR + 1)).toBe(slot);
    expect(pool.addrOf(slot)).toBe(LADDR + 1);
  });

  it('one in use dies with its last port, and gives out none meanwhile', () => {
    const pool = small(4);
    const slot = pool.add(LADDR);
    const [a, b] = [pool.alloc(slot, RS, 80), pool.alloc(slot, RS, 80)];
    pool.remove(slot);
    expect(pool.slotOf(LADDR)).toBe(-1);
    expect(pool.addrOf(slot)).toBe(LADDR);
    expect(pool.alloc(slot, RS, 80)).toBe(0);
    expect(pool.add(LADDR + 1)).not.toBe(slot);
    expect(pool.free(slot, RS, 80, a)).toBe(true);
    expect(pool.used(slot)).toBe(1);
    expect(pool.free(slot, RS, 80, b)).toBe(true);
    expect(pool.addrOf(slot)).toBe(-1);
  });

  it('one that is added again while dying goes on with the ports in use', () => {
    const pool = small(3);
    const slot = pool.add(LADDR);
    const port = pool.alloc(slot, RS, 80);
    pool.remove(slot);
    expect(pool.add(LADDR)).toBe(slot);
    expect(pool.slotOf(LADDR)).toBe(slot);
    expect(pool.used(slot)).toBe(1);
    expect([1, 2, 3].map(() => pool.alloc(slot, RS, 80))).toEqual([1026, 1027, 0]);
    pool.free(slot, RS, 80, port);
    expect(pool.addrOf(slot)).toBe(LADDR);
  });

  it('addresses do not share ports or counters', () => {
    const pool = small(1);
    const a = pool.add(LADDR);
    const b = pool.add(LADDR + 1);
    expect(pool.alloc(a, RS, 80)).toBe(1025);
    expect(pool.alloc(a, RS, 80)).toBe(0);
    expect(pool.alloc(b, RS, 80)).toBe(1025);
    expect([pool.misses(a), pool.misses(b)]).toEqual([1, 0]);
  });
});

describe('local ports, against a naive model', () => {
  it('no port is twice in use, the longest-free goes first, everything is back at zero in the end', () => {
    const dest = fc.tuple(fc.constantFrom(RS, RS + 1, RS + 2, 0x0a000001), fc.constantFrom(80, 81, 443));
    const op = fc.oneof(
      { weight: 4, arbitrary: fc.record({ op: fc.constant('alloc' as const), dest, n: fc.nat() }) },
      { weight: 3, arbitrary: fc.record({ op: fc.constant('free' as const), dest, n: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ op: fc.constant('take' as const), dest, n: fc.nat() }) },
    );
    const setup = fc.integer({ min: 1, max: 9 }).chain((lcores) =>
      fc.record({
        lcores: fc.constant(lcores),
        lcore: fc.nat(lcores - 1),
        poolHashSize: fc.integer({ min: 1, max: 4 }),
        firstPort: fc.constantFrom(1, 2, 1025, 65500),
        range: fc.integer({ min: 0, max: 35 }),
      }),
    );
    fc.assert(
      fc.property(setup, fc.array(op, { maxLength: 150 }), ({ range, firstPort, ...o }, ops) => {
        const lastPort = firstPort + range;
        const pool = new SaPool({ ...o, firstPort, lastPort });
        const slot = pool.add(LADDR);
        const mine = Array.from({ length: range + 1 }, (_, i) => firstPort + i).filter(
          (p) => ownerOf(p, o.lcores) === o.lcore,
        );
        expect(pool.ports).toBe(mine.length);
        const free = Array.from({ length: o.poolHashSize }, () => [...mine]);
        const poolOf = (d: number, p: number): number[] => free[((d & 0xffff) + p) % o.poolHashSize]!;
        const held: { daddr: number; dport: number; port: number }[] = [];
        let misses = 0;
        for (const step of ops) {
          const [daddr, dport] = step.dest;
          if (step.op === 'alloc') {
            const expected = poolOf(daddr, dport).shift() ?? 0;
            expect(pool.alloc(slot, daddr, dport)).toBe(expected);
            if (expected === 0) misses++;
            else held.push({ daddr, dport, port: expected });
          } else if (step.op === 'free' && held.length > 0) {
            const [h] = held.splice(step.n % held.length, 1);
            expect(pool.free(slot, h!.daddr, h!.dport, h!.port)).toBe(true);
            poolOf(h!.daddr, h!.dport).push(h!.port);
          } else if (step.op === 'take') {
            const port = firstPort + (step.n % (range + 1));
            const list = poolOf(daddr, dport);
            const ok = list.includes(port);
            expect(pool.take(slot, daddr, dport, port)).toBe(ok);
            if (ok) {
              list.splice(list.indexOf(port), 1);
              held.push({ daddr, dport, port });
            }
          }
          expect(pool.used(slot)).toBe(held.length);
          expect(pool.misses(slot)).toBe(misses);
          expect(pool.available(slot)).toBe(free.reduce((n, f) => n + f.length, 0));
        }
        for (const h of held) expect(pool.free(slot, h.daddr, h.dport, h.port)).toBe(true);
        expect(pool.used(slot)).toBe(0);
        expect(pool.available(slot)).toBe(mine.length * o.poolHashSize);
        pool.remove(slot);
        expect(pool.addrOf(slot)).toBe(-1);
      }),
      { numRuns: 400 },
    );
  });
});
