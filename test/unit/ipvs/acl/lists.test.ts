import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DROP } from '../../../../src/core/drops.js';
import { DpvsError } from '../../../../src/core/errors.js';
import { formatRange, RangeReader } from '../../../../src/wire/range.js';
import { AccessLists, type AclCommand } from '../../../../src/ipvs/acl/lists.js';
import {
  BLACK,
  GLOBAL,
  listOf,
  PASSES,
  verdictBytes,
  Verdicts,
  WHITE,
} from '../../../../src/ipvs/acl/verdicts.js';
import { VerdictWriter } from '../../../../src/ipvs/acl/writer.js';
import { type ServiceCommand, Services } from '../../../../src/ipvs/service.js';
import { parseIpv4 } from '../../../../src/wire/ipv4.js';

const WEB = { proto: 'tcp' as const, addr: '10.0.0.100', port: 80 };
const DNS = { proto: 'udp' as const, addr: '10.0.0.100', port: 53 };

class Rig {
  readonly services = new Services(0, 200);
  readonly verdicts: Verdicts;
  readonly writer: VerdictWriter;
  readonly lists: AccessLists;
  nowMs = 0;

  constructor(buckets = 256) {
    this.verdicts = new Verdicts(new SharedArrayBuffer(verdictBytes(buckets)));
    this.writer = new VerdictWriter(this.verdicts);
    this.lists = new AccessLists(this.services, this.writer, () => this.nowMs);
    for (const svc of [WEB, DNS]) this.do({ op: 'svc.add', svc, scheduler: 'rr' });
  }

  do(c: ServiceCommand): void {
    this.services.apply(c.op, c);
  }
  black(entries: string[], svc?: AclCommand['svc']): ReturnType<AccessLists['apply']> {
    return this.lists.apply({ op: 'acl.add', list: 'black', entries, svc });
  }
  white(entries: string[], svc?: AclCommand['svc']): ReturnType<AccessLists['apply']> {
    return this.lists.apply({ op: 'acl.add', list: 'white', entries, svc });
  }
  of(svc: typeof WEB | typeof DNS, client: string): number {
    return this.verdicts.ofClient(this.services.get(svc).slot, parseIpv4(client));
  }
  source(addr: string): number {
    return this.verdicts.ofAddr(parseIpv4(addr));
  }
  all(): string[] {
    const { entries } = this.lists.page({ limit: 10_000 });
    return entries.map((e) => `${e.svc === undefined ? '*' : e.svc.proto} ${e.list} ${e.entry}`).sort();
  }
}

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (e) {
    if (e instanceof DpvsError) return e.code;
    throw e;
  }
  return 'taken';
};

test('a client on the black list of a service is refused there and nowhere else', () => {
  const rig = new Rig();
  rig.black(['203.0.113.7', '198.51.100.0/24', '192.0.2.5-192.0.2.9'], WEB);
  for (const c of ['203.0.113.7', '198.51.100.255', '192.0.2.5', '192.0.2.9'])
    expect(rig.of(WEB, c)).toBe(DROP.ACL_BLACKLIST);
  for (const c of ['203.0.113.6', '198.51.101.0', '192.0.2.4', '192.0.2.10'])
    expect(rig.of(WEB, c)).toBe(PASSES);
  expect(rig.of(DNS, '203.0.113.7')).toBe(PASSES);
  expect(rig.source('203.0.113.7')).toBe(PASSES);
});

test('a white list lets in whom it has, from its first entry to its last', () => {
  const rig = new Rig();
  expect(rig.of(WEB, '203.0.113.7')).toBe(PASSES);
  rig.white(['198.51.100.0/24'], WEB);
  expect(rig.of(WEB, '203.0.113.7')).toBe(DROP.ACL_WHITELIST);
  expect(rig.of(WEB, '198.51.100.1')).toBe(PASSES);
  rig.black(['198.51.100.1'], WEB);
  expect(rig.of(WEB, '198.51.100.1')).toBe(DROP.ACL_BLACKLIST);
  rig.lists.apply({ op: 'acl.del', list: 'white', entries: ['198.51.100.0/24'], svc: WEB });
  expect(rig.of(WEB, '203.0.113.7')).toBe(PASSES);
});

test('of the global lists the longer prefix holds, the white one where both are as long', () => {
  const rig = new Rig();
  rig.white(['10.1.0.0/16', '10.2.0.0/16', '10.3.0.0/24']);
  expect(rig.source('10.9.0.1')).toBe(PASSES);
  rig.black(['10.0.0.0/8', '10.2.5.0/24', '10.3.0.0/24']);
  expect(rig.source('10.9.0.1')).toBe(DROP.ACL_BLACKLIST);
  expect(rig.source('10.1.0.1')).toBe(PASSES);
  expect(rig.source('10.2.5.1')).toBe(DROP.ACL_BLACKLIST);
  expect(rig.source('10.2.6.1')).toBe(PASSES);
  expect(rig.source('10.3.0.1')).toBe(PASSES);
});

test('0.0.0.0/0 is a prefix like any other, and the shortest', () => {
  const rig = new Rig();
  rig.black(['0.0.0.0/0']);
  rig.white(['128.0.0.0/1']);
  expect(rig.source('127.0.0.1')).toBe(DROP.ACL_BLACKLIST);
  expect(rig.source('128.0.0.1')).toBe(PASSES);
});

test('the global black list spares real servers while they are there', () => {
  const rig = new Rig();
  const dest = { addr: '10.1.1.1', port: 80 };
  rig.black(['10.0.0.0/8']);
  rig.do({ op: 'dest.add', svc: WEB, dest, fwd: 'fullnat' });
  rig.do({ op: 'dest.add', svc: DNS, dest, fwd: 'fullnat' });
  expect(rig.source('10.1.1.1')).toBe(PASSES);
  rig.do({ op: 'dest.del', svc: WEB, dest });
  expect(rig.source('10.1.1.1')).toBe(PASSES);
  rig.do({ op: 'svc.del', svc: DNS });
  expect(rig.source('10.1.1.1')).toBe(DROP.ACL_BLACKLIST);
});

test('real servers alone make nobody look at lists', () => {
  const rig = new Rig();
  rig.do({ op: 'dest.add', svc: WEB, dest: { addr: '10.1.1.1', port: 80 }, fwd: 'fullnat' });
  expect(rig.verdicts.words[0]).toBe(0);
  rig.black(['10.0.0.1'], WEB);
  expect(rig.verdicts.words[0]).toBe(1);
});

test('a command is taken wholly or not at all', () => {
  const rig = new Rig();
  rig.black(['10.0.0.1', '10.0.0.2'], WEB);
  const before = rig.all();
  expect(codeOf(() => rig.black(['10.0.0.3', '10.0.0.1'], WEB))).toBe('EXIST');
  expect(codeOf(() => rig.black(['10.0.0.3', '10.0.0.3'], WEB))).toBe('EXIST');
  expect(codeOf(() => rig.black(['10.0.0.3', '10.0.0'], WEB))).toBe('INVAL');
  expect(codeOf(() => rig.black(['10.0.0.3', 'ipset:x'], WEB))).toBe('NOTSUPP');
  expect(codeOf(() => rig.black(['10.0.0.3'], { ...WEB, port: 81 }))).toBe('INVAL');
  const del = (entries: string[]): string =>
    codeOf(() => rig.lists.apply({ op: 'acl.del', list: 'black', entries, svc: WEB }));
  expect(del(['10.0.0.1', '10.0.0.9'])).toBe('NOTEXIST');
  expect(del(['10.0.0.1', '10.0.0.1'])).toBe('NOTEXIST');
  expect(rig.all()).toEqual(before);
  expect(rig.of(WEB, '10.0.0.3')).toBe(PASSES);
  expect(rig.of(WEB, '10.0.0.1')).toBe(DROP.ACL_BLACKLIST);
});

test('what does not fit is refused with what would', () => {
  const rig = new Rig(16);
  const all = Array.from({ length: rig.writer.capacity + 1 }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
  expect(() => rig.black(all, WEB)).toThrowError(/no room/);
  expect(rig.all()).toEqual([]);
  rig.black(all.slice(1), WEB);
  expect(rig.writer.room).toBe(0);
  for (const a of all.slice(1)) expect(rig.of(WEB, a)).toBe(DROP.ACL_BLACKLIST);
  expect(rig.of(WEB, all[0]!)).toBe(PASSES);
});

test('entries are listed as they were written, ranges in any notation are the same entry', () => {
  const rig = new Rig();
  rig.black(['10.0.0.0-10.0.0.255', '10.0.0.0-10.0.0.2', '10.0.0.2'], WEB);
  rig.white(['10.0.0.0/24']);
  expect(rig.all()).toEqual([
    '* white 10.0.0.0/24',
    'tcp black 10.0.0.0-10.0.0.2',
    'tcp black 10.0.0.0-10.0.0.255',
    'tcp black 10.0.0.2',
  ]);
  expect(codeOf(() => rig.black(['10.0.0.0/24'], WEB))).toBe('EXIST');
  // Entries that share a prefix don't take it from each other.
  rig.lists.apply({ op: 'acl.del', list: 'black', entries: ['10.0.0.0/24', '10.0.0.0-10.0.0.2'], svc: WEB });
  expect(rig.of(WEB, '10.0.0.2')).toBe(DROP.ACL_BLACKLIST);
  expect(rig.of(WEB, '10.0.0.1')).toBe(PASSES);
});

test('deleting a service flushes its lists, and another one with its number has none', () => {
  const rig = new Rig();
  rig.black(['10.0.0.1'], WEB);
  rig.white(['10.0.0.0/8'], WEB);
  rig.black(['10.0.0.1'], DNS);
  rig.do({ op: 'svc.del', svc: WEB });
  expect(rig.all()).toEqual(['udp black 10.0.0.1']);
  rig.do({ op: 'svc.add', svc: WEB, scheduler: 'rr' });
  expect(rig.of(WEB, '10.0.0.1')).toBe(PASSES);
  expect(rig.of(WEB, '99.0.0.1')).toBe(PASSES);
});

test('flushing empties one list or both', () => {
  const rig = new Rig();
  rig.black(['10.0.0.1'], WEB);
  rig.white(['10.0.0.0/8'], WEB);
  rig.black(['10.0.0.1']);
  rig.lists.apply({ op: 'acl.flush', svc: WEB, list: 'white' });
  expect(rig.all()).toEqual(['* black 10.0.0.1', 'tcp black 10.0.0.1']);
  rig.lists.apply({ op: 'acl.flush', svc: WEB });
  rig.lists.apply({ op: 'acl.flush' });
  expect(rig.all()).toEqual([]);
  expect(rig.lists.size).toBe(0);
});

test('parts of a load take effect with the last one, or not at all', () => {
  const rig = new Rig();
  const part = (entries: string[], more: boolean, load = 'a'): void =>
    void rig.lists.apply({ op: 'acl.add', list: 'black', svc: WEB, entries, load, more });
  part(['10.0.0.1'], true);
  expect(rig.of(WEB, '10.0.0.1')).toBe(PASSES);
  part(['10.0.0.2'], false);
  expect(rig.of(WEB, '10.0.0.1')).toBe(DROP.ACL_BLACKLIST);
  part(['10.0.0.3'], true);
  expect(codeOf(() => part(['10.0.0'], true))).toBe('INVAL');
  // The broken one is forgotten: this is a new one.
  part(['10.0.0.4'], false);
  expect(rig.all()).toEqual(['tcp black 10.0.0.1', 'tcp black 10.0.0.2', 'tcp black 10.0.0.4']);
  expect(
    codeOf(() => rig.lists.apply({ op: 'acl.add', list: 'black', entries: ['10.9.9.9'], more: true })),
  ).toBe('INVAL');
  part(['10.0.0.5'], true, 'b');
  expect(
    codeOf(() => rig.lists.apply({ op: 'acl.add', list: 'white', svc: WEB, entries: [], load: 'b' })),
  ).toBe('INVAL');
});

test('loads that nobody ends are bounded and forgotten', () => {
  const rig = new Rig();
  const begin = (load: string): string =>
    codeOf(() => rig.lists.apply({ op: 'acl.add', list: 'black', entries: ['10.0.0.1'], load, more: true }));
  expect(['a', 'b', 'c', 'd', 'e'].map(begin)).toEqual(['taken', 'taken', 'taken', 'taken', 'BUSY']);
  rig.nowMs = 60_001;
  expect(begin('e')).toBe('taken');
});

test('lcores are told of a service, never of its entries', () => {
  const rig = new Rig();
  expect(rig.black(['10.0.0.1'], WEB)).toEqual({ op: 'acl.note', svc: WEB });
  expect(rig.black(['10.0.0.1'])).toBeUndefined();
});

test('pages: everything once, whatever the size', () => {
  const rig = new Rig();
  const all = Array.from({ length: 300 }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
  rig.black(all, WEB);
  rig.white(['10.0.0.0/8'], WEB);
  const got: string[] = [];
  let cursor: string | undefined;
  do {
    const page = rig.lists.page({ svc: WEB, list: 'black', limit: 7, cursor });
    got.push(...page.entries.map((e) => e.entry));
    cursor = page.cursor;
  } while (cursor !== undefined);
  expect(got.sort()).toEqual(all.sort());
  expect(() => rig.lists.page({ limit: 1, cursor: 'x' })).toThrowError(/bad cursor/);
});

/** Lists as sets of ranges, asked one by one. */
class Model {
  readonly lists = new Map<number, Map<string, [number, number]>>();

  list(n: number): Map<string, [number, number]> {
    const l = this.lists.get(n) ?? new Map<string, [number, number]>();
    this.lists.set(n, l);
    return l;
  }
  has(n: number, addr: number): boolean {
    return [...this.list(n).values()].some(([from, to]) => addr >= from && addr <= to);
  }
}

test('property: lists of any ranges that come and go say what a naive model says', () => {
  const near = fc.integer({ min: 0, max: 40 }).map((n) => 0x0a000000 + n);
  const range = fc.tuple(near, near).map(([x, y]) => formatRange(Math.min(x, y), Math.max(x, y), -1));
  const prefix = fc.tuple(near, fc.integer({ min: 0, max: 32 })).map(([a, plen]) => {
    const size = 2 ** (32 - plen);
    return formatRange(Math.floor(a / size) * size, 0, plen);
  });
  const step = fc.record({
    op: fc.constantFrom('acl.add' as const, 'acl.add' as const, 'acl.del' as const),
    list: fc.constantFrom('black' as const, 'white' as const),
    svc: fc.constantFrom(WEB, DNS),
    entries: fc.array(fc.oneof(range, prefix), { minLength: 1, maxLength: 6 }),
  });
  const reader = new RangeReader();
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      const rig = new Rig(16);
      const model = new Model();
      for (const s of steps) {
        const n = listOf(rig.services.get(s.svc).slot, s.list === 'black' ? BLACK : WHITE);
        const next = new Map(model.list(n));
        let fits = true;
        for (const text of s.entries) {
          reader.read(text);
          const key = `${reader.from} ${reader.to}`;
          if (next.has(key) === (s.op === 'acl.add')) fits = false;
          if (s.op === 'acl.add') next.set(key, [reader.from, reader.to]);
          else next.delete(key);
        }
        const answer = codeOf(() => rig.lists.apply(s));
        if (answer === 'RESOURCE') continue;
        expect(answer === 'taken').toBe(fits);
        if (fits) model.lists.set(n, next);
        for (const svc of [WEB, DNS]) {
          const { slot } = rig.services.get(svc);
          const [b, w] = [listOf(slot, BLACK), listOf(slot, WHITE)];
          for (let addr = 0x0a000000 - 2; addr < 0x0a000000 + 44; addr++) {
            const want = model.has(b, addr)
              ? DROP.ACL_BLACKLIST
              : model.list(w).size > 0 && !model.has(w, addr)
                ? DROP.ACL_WHITELIST
                : PASSES;
            expect(rig.verdicts.ofClient(slot, addr)).toBe(want);
          }
        }
      }
      for (const svc of [WEB, DNS]) rig.do({ op: 'svc.del', svc });
      // Nothing is left behind, not even in the counts of full buckets.
      expect(rig.writer.room).toBe(rig.writer.capacity);
      expect(rig.verdicts.words.every((w) => w === 0)).toBe(true);
    }),
    { numRuns: 60 },
  );
});

test('global lists: a naive longest match', () => {
  const prefixes = fc.array(
    fc.tuple(fc.integer({ min: 0, max: 0xffffffff }), fc.integer({ min: 0, max: 32 })).map(([a, plen]) => {
      const size = 2 ** (32 - plen);
      return { from: Math.floor(a / size) * size, size, plen };
    }),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(prefixes, prefixes, fc.integer({ min: 0, max: 0xffffffff }), (black, white, other) => {
      const rig = new Rig(64);
      const unique = (list: typeof black): string[] => [
        ...new Set(list.map((p) => formatRange(p.from, 0, p.plen))),
      ];
      rig.black(unique(black));
      rig.white(unique(white));
      const longest = (list: typeof black, a: number): number =>
        Math.max(-1, ...list.filter((p) => a >= p.from && a < p.from + p.size).map((p) => p.plen));
      for (const a of [other, ...[...black, ...white].flatMap((p) => [p.from, p.from + p.size - 1])]) {
        const [b, w] = [longest(black, a), longest(white, a)];
        expect(rig.verdicts.ofAddr(a)).toBe(b >= 0 && w < b ? DROP.ACL_BLACKLIST : PASSES);
      }
      expect(rig.verdicts.has(listOf(GLOBAL, BLACK))).toBe(black.length > 0);
    }),
    { numRuns: 200 },
  );
});
