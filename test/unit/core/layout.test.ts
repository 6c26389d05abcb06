import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DROP, DROP_REASONS } from '../../../src/core/drops.js';
import {
  ADJ,
  CONN4,
  CONSTANTS,
  DEST_STATS,
  DIR4,
  DROP_CAP,
  KIND_SIZE,
  LCORE_BLOCK,
  LCORE_STATS,
  PKT,
  STRUCTS,
  struct,
} from '../../../src/core/layout.js';
import type { Field, Kind, Struct } from '../../../src/core/layout.js';

describe('struct', () => {
  it("follows C's rules: natural alignment, padding in between and behind", () => {
    const s = struct('S', '', { a: 'u8', b: 'u32', c: 'u8', d: 'u16', e: 'f64', f: ['u8', 3] });
    expect(s.at).toEqual({ a: 0, b: 4, c: 8, d: 10, e: 16, f: 24 });
    expect([s.size, s.align]).toEqual([32, 8]);
  });

  it('rounds the size up to the alignment asked for, and nests by it', () => {
    const inner = struct('Inner', '', { x: 'u16' }, 64);
    const outer = struct('Outer', '', { a: 'u8', inner, b: 'u8' });
    expect([inner.size, outer.at.inner, outer.at.b, outer.size, outer.align]).toEqual([64, 64, 128, 192, 64]);
  });

  it('for any fields: in order, aligned, without overlap, no more padding than needed', () => {
    const kind = fc.constantFrom(...(Object.keys(KIND_SIZE) as Kind[]));
    const field: fc.Arbitrary<Field> = fc.oneof(kind, fc.tuple(kind, fc.integer({ min: 1, max: 9 })));
    const scalar = (f: Field): number =>
      KIND_SIZE[typeof f === 'string' ? f : (f as readonly [Kind, number])[0]];
    const bytes = (f: Field): number =>
      scalar(f) * (typeof f === 'string' ? 1 : (f as readonly [Kind, number])[1]);
    fc.assert(
      fc.property(
        fc.array(field, { minLength: 1, maxLength: 12 }),
        fc.constantFrom(1, 8, 64),
        (fields, align) => {
          const s: Struct = struct('S', '', Object.fromEntries(fields.map((f, i) => [`f${i}`, f])), align);
          let end = 0;
          fields.forEach((f, i) => {
            const at = s.at[`f${i}`]!;
            expect(at % scalar(f)).toBe(0);
            expect(at - end).toBeGreaterThanOrEqual(0);
            expect(at - end).toBeLessThan(scalar(f));
            end = at + bytes(f);
          });
          expect(s.align).toBe(Math.max(align, ...fields.map(scalar)));
          expect(s.size % s.align).toBe(0);
          expect(s.size - end).toBeGreaterThanOrEqual(0);
          expect(s.size - end).toBeLessThan(s.align);
        },
      ),
    );
  });
});

describe('shared layouts', () => {
  it('take the cache lines that they were designed for', () => {
    expect(PKT.size).toBe(64);
    expect(ADJ.size).toBe(32);
    expect(DIR4.size).toBe(64);
    expect(CONN4.size).toBe(192);
    expect([CONN4.at.in, CONN4.at.out, CONN4.at.flags]).toEqual([0, 64, 128]);
    expect(DEST_STATS.size).toBe(64);
    expect(LCORE_STATS.size % 64).toBe(0);
  });

  it('put every counter on a multiple of 8: they are read through a Float64Array', () => {
    for (const s of [LCORE_STATS, DEST_STATS]) for (const off of Object.values(s.at)) expect(off % 8).toBe(0);
    expect(LCORE_BLOCK.at.nowMs % 8).toBe(0);
  });

  it('keep the match of a direction in one piece at its start', () => {
    const { saddr, daddr, sport, dport, proto } = DIR4.at;
    expect([saddr, daddr, sport, dport, proto]).toEqual([0, 4, 8, 10, 12]);
  });

  it('have names of their own, dependencies first', () => {
    const seen = new Set<string>();
    for (const s of STRUCTS) {
      expect(seen.has(s.name)).toBe(false);
      for (const f of Object.values(s.fields))
        if (typeof f === 'object' && 'fields' in f) expect([...seen]).toContain(f.name);
      seen.add(s.name);
    }
  });

  it('give C++ 32-bit constants only, unsigned unless negative', () => {
    for (const [name, v] of Object.entries(CONSTANTS))
      expect(v === v >>> 0 || v === (v | 0), name).toBe(true);
  });
});

describe('drop reasons', () => {
  it('keep their numbers: entries are only ever appended', () => {
    // Numbers are in the statistics segment and in other programs' dashboards.
    const fixed = `
      ARP_DONE ICMP_DONE LCORE_RESTART TX_FULL TX_NO_QUEUE PORT_DOWN REDIRECT_FULL
      REDIRECT_LOOP NO_MBUF SEGMENTED ETH_SHORT ETH_UNKNOWN_TYPE ETH_OTHER_HOST ARP_BAD
      ARP_NOT_OURS NEIGH_UNRESOLVED NEIGH_QUEUE_FULL NEIGH_TABLE_FULL IP_BAD_HEADER
      IP_BAD_CHECKSUM IP_BAD_ADDR IP_BAD_OPTION IP_FRAGMENT IP_TTL IP_TOO_BIG IP_NO_ROUTE
      IP_NO_FORWARD IP_NO_PROTO ICMP_BAD ICMP_IGNORED ICMP_RATE L4_BAD_HEADER SVC_NO_DEST
      SVC_NO_LADDR SVC_OVERLOAD CONN_FULL CONN_NO_SYN CONN_DEST_GONE ICMP_NO_CONN
      SEND_FAILED
    `
      .trim()
      .split(/\s+/);
    expect(DROP_REASONS.slice(0, fixed.length).map((r) => r.name)).toEqual(fixed);
  });

  it('have a number, a text and a hint each, and room in the statistics', () => {
    expect(DROP_REASONS.length).toBeLessThanOrEqual(DROP_CAP);
    DROP_REASONS.forEach((r, i) => {
      expect(DROP[r.name as keyof typeof DROP]).toBe(i);
      expect(r.text).not.toBe('');
      expect(r.hint).not.toBe('');
    });
    expect(new Set(DROP_REASONS.map((r) => r.text)).size).toBe(DROP_REASONS.length);
  });
});
