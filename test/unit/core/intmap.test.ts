import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IntMap } from '../../../src/core/intmap.js';

const U32 = 0xffffffff;

/** What iteration yields. */
function entries(m: IntMap): [number, number, number][] {
  const out: [number, number, number][] = [];
  for (let i = m.next(-1); i >= 0; i = m.next(i)) out.push([m.key1At(i), m.key2At(i), m.valueAt(i)]);
  return out;
}

describe('IntMap', () => {
  it('answers -1 for what it does not hold', () => {
    const m = new IntMap();
    expect(m.get(0, 0)).toBe(-1);
    expect(m.has(0, 0)).toBe(false);
    expect(m.delete(0, 0)).toBe(false);
    expect(m.next(-1)).toBe(-1);
  });

  it('tells keys apart by both halves and their order', () => {
    const m = new IntMap();
    m.set(1, 2, 12);
    m.set(2, 1, 21);
    m.set(1, 1, 11);
    expect([m.get(1, 2), m.get(2, 1), m.get(1, 1), m.get(2, 2)]).toEqual([12, 21, 11, -1]);
  });

  it('holds addresses above 2^31 whether given signed or unsigned', () => {
    const m = new IntMap();
    m.set(0xc0a86401, U32, 7);
    expect(m.get(0xc0a86401, U32)).toBe(7);
    expect(m.get(0xc0a86401 | 0, -1)).toBe(7);
    expect(entries(m)).toEqual([[0xc0a86401, U32, 7]]);
  });

  it('replaces the value of a known key', () => {
    const m = new IntMap();
    m.set(5, 5, 1);
    m.set(5, 5, -2147483648);
    expect(m.size).toBe(1);
    expect(m.get(5, 5)).toBe(-2147483648);
  });

  it('refuses values that it could not give back', () => {
    const m = new IntMap();
    for (const v of [-1, 0.5, 2 ** 31, NaN]) expect(() => m.set(1, 1, v)).toThrow(/int32/);
    expect(m.size).toBe(0);
  });

  it('clear empties it and it goes on', () => {
    const m = new IntMap(100);
    for (let i = 0; i < 100; i++) m.set(i, i, i);
    m.clear();
    expect(m.size).toBe(0);
    expect(m.get(3, 3)).toBe(-1);
    m.set(3, 3, 9);
    expect(entries(m)).toEqual([[3, 3, 9]]);
  });

  it('grows past its expected size and keeps everything', () => {
    const m = new IntMap(4, 42);
    for (let i = 0; i < 20_000; i++) m.set(i * 65_536, i, i);
    expect(m.size).toBe(20_000);
    for (let i = 0; i < 20_000; i++) if (m.get(i * 65_536, i) !== i) throw new Error(`key ${i} lost`);
    expect(m.get(20_000 * 65_536, 20_000)).toBe(-1);
  });

  it('does what a Map does, in any sequence, with colliding keys', () => {
    // Few keys and the smallest table: long probe runs that wrap, and deletions inside them.
    const key = fc.constantFrom(0, 1, 2, 3, 255, 65_536, 2 ** 31, U32);
    const op = fc.oneof(
      { weight: 3, arbitrary: fc.tuple(fc.constant('set'), key, key, fc.nat(1000)) },
      { weight: 2, arbitrary: fc.tuple(fc.constant('delete'), key, key, fc.constant(0)) },
      { weight: 1, arbitrary: fc.tuple(fc.constant('get'), key, key, fc.constant(0)) },
    );
    fc.assert(
      fc.property(fc.integer(), fc.array(op, { maxLength: 200 }), (seed, ops) => {
        const m = new IntMap(0, seed);
        const model = new Map<string, number>();
        for (const [what, k1, k2, v] of ops) {
          const name = `${k1},${k2}`;
          if (what === 'set') {
            m.set(k1, k2, v);
            model.set(name, v);
          } else if (what === 'delete') {
            expect(m.delete(k1, k2)).toBe(model.delete(name));
          } else {
            expect(m.get(k1, k2)).toBe(model.get(name) ?? -1);
          }
          expect(m.size).toBe(model.size);
        }
        const found = entries(m).map(([k1, k2, v]) => [`${k1},${k2}`, v] as const);
        expect(new Map(found)).toEqual(model);
        expect(found.length).toBe(model.size);
        for (const [name, v] of model) {
          const [k1, k2] = name.split(',').map(Number);
          expect(m.get(k1!, k2!)).toBe(v);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('spreads neighbouring keys over the table whatever the seed', () => {
    // With a good hash at most 2/3 load the longest run of occupied positions stays short.
    for (const seed of [0, 1, 0x9e3779b9, -1]) {
      const m = new IntMap(4096, seed);
      for (let i = 0; i < 4096; i++) m.set(0x0a000000 + i, 80, i);
      let run = 0;
      let longest = 0;
      let before = -2;
      for (let i = m.next(-1); i >= 0; i = m.next(i)) {
        run = i === before + 1 ? run + 1 : 1;
        longest = Math.max(longest, run);
        before = i;
      }
      expect(longest).toBeLessThan(150);
    }
  });
});
