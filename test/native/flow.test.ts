/** The connection index against a model that cannot be wrong: a Map of tuples. */
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { Bytes } from '../../src/core/bytes.js';
import { CONN4, CONN_BATCH, CONN_F_HASHED, DIR4, LCORE_BLOCK } from '../../src/core/layout.js';
import type { TestLcore } from './support/rig.js';
import { build, lcoreConfig, makeLcore, native, pool, startEal } from './support/rig.js';

interface Tuple {
  saddr: number;
  daddr: number;
  sport: number;
  dport: number;
  proto: number;
}

const keyOf = (t: Tuple): string => `${t.saddr} ${t.daddr} ${t.sport} ${t.dport} ${t.proto}`;

beforeAll(() => {
  startEal();
  pool();
});

/** An lcore with its records, a packet to look tuples up with, and the model. */
class Rig {
  readonly lc: TestLcore;
  readonly conns: Bytes;
  readonly model = new Map<string, number>();
  readonly l3: number;

  constructor(readonly capacity: number) {
    this.lc = makeLcore(lcoreConfig(1, [], 0, capacity));
    this.conns = new Bytes(this.lc.config.conns);
    this.l3 = this.lc.packets.data(build(this.lc, new Uint8Array(60)));
  }

  write(conn: number, tuples: readonly [Tuple, Tuple]): void {
    for (const [i, t] of tuples.entries()) {
      const at = conn * CONN4.size + (i === 0 ? CONN4.at.in : CONN4.at.out);
      this.conns.setU32(at + DIR4.at.saddr, t.saddr);
      this.conns.setU32(at + DIR4.at.daddr, t.daddr);
      this.conns.setU16(at + DIR4.at.sport, t.sport);
      this.conns.setU16(at + DIR4.at.dport, t.dport);
      this.conns.setU8(at + DIR4.at.proto, t.proto);
    }
  }

  setFlags(conn: number, flags: number): void {
    new DataView(this.lc.config.conns).setUint16(conn * CONN4.size + CONN4.at.flags, flags, true);
  }

  find(t: Tuple, inverse = false): number {
    const b = this.lc.packets.bytes;
    b.setU8(this.l3 + 9, t.proto);
    b.setU32(this.l3 + 12, inverse ? t.daddr : t.saddr);
    b.setU32(this.l3 + 16, inverse ? t.saddr : t.daddr);
    b.setU16(this.l3 + 20, inverse ? t.dport : t.sport);
    b.setU16(this.l3 + 22, inverse ? t.sport : t.dport);
    return native.flowFind(1, this.l3, this.l3 + 20, inverse);
  }

  close(): void {
    native.lcoreUnbind(1);
    native.lcoreDestroy(1);
  }
}

/** Few values, so that tuples meet, and values that would alias if a key field were forgotten. */
const tuple: fc.Arbitrary<Tuple> = fc.record({
  saddr: fc.constantFrom(0x0a000001, 0x0a000002, 0x0100000a, 0xffffffff),
  daddr: fc.constantFrom(0x0a000001, 0x0a000002, 0xc0a86401),
  sport: fc.constantFrom(0, 1, 80, 256, 65535),
  dport: fc.constantFrom(80, 443, 20480),
  proto: fc.constantFrom(6, 17),
});

describe('against a Map', () => {
  test('any sequence of inserts, removals and look-ups answers as the Map does', () => {
    const command = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({
          op: fc.constant('insert' as const),
          conn: fc.integer({ min: 1, max: 31 }),
          in: tuple,
          out: tuple,
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ op: fc.constant('remove' as const), conn: fc.integer({ min: 1, max: 31 }) }),
      },
      {
        weight: 3,
        arbitrary: fc.record({ op: fc.constant('find' as const), t: tuple, inverse: fc.boolean() }),
      },
    );
    fc.assert(
      fc.property(fc.array(command, { maxLength: 400 }), (commands) => {
        const rig = new Rig(32);
        const live = new Map<number, readonly [Tuple, Tuple]>();
        try {
          for (const c of commands) {
            if (c.op === 'find') {
              expect(rig.find(c.t, c.inverse)).toBe(rig.model.get(keyOf(c.t)) ?? -1);
            } else if (c.op === 'remove') {
              const tuples = live.get(c.conn);
              expect(native.flowRemove(1, c.conn)).toBe(tuples ? 0 : -1);
              for (const t of tuples ?? []) rig.model.delete(keyOf(t));
              live.delete(c.conn);
            } else if (!live.has(c.conn)) {
              rig.write(c.conn, [c.in, c.out]);
              const [a, b] = [keyOf(c.in), keyOf(c.out)];
              const taken = rig.model.has(a) || rig.model.has(b) || a === b;
              expect(native.flowInsert(1, c.conn)).toBe(taken ? -1 : 0);
              if (!taken) {
                rig.model.set(a, c.conn * 2).set(b, c.conn * 2 + 1);
                live.set(c.conn, [c.in, c.out]);
              }
            } else {
              expect(native.flowInsert(1, c.conn)).toBe(-1); // it is there itself
            }
            expect(native.flowCount(1)).toBe(live.size);
          }
          for (const [, [a, b]] of live) {
            expect(rig.find(a)).toBe(rig.model.get(keyOf(a)));
            expect(rig.find(b, true)).toBe(rig.model.get(keyOf(b)));
          }
        } finally {
          rig.close();
        }
      }),
      { numRuns: 60 },
    );
  });

  test('100,000 operations on a table that is kept nearly full', () => {
    const capacity = 4096;
    const rig = new Rig(capacity);
    let seed = 12345;
    const rand = (n: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return (seed >>> 8) % n;
    };
    const live = new Map<number, readonly [Tuple, Tuple]>();
    const idle = Array.from({ length: capacity - 1 }, (_, i) => i + 1);
    const random = (): Tuple => ({
      saddr: 0x0a000000 + rand(5000),
      daddr: 0xc0a86400 + rand(4),
      sport: rand(65536),
      dport: 80,
      proto: 6,
    });
    for (let i = 0; i < 100_000; i++) {
      if (idle.length > 0 && (rand(100) < 55 || live.size < 100)) {
        const conn = idle.pop()!;
        const tuples = [random(), random()] as const;
        rig.write(conn, tuples);
        const [a, b] = tuples.map(keyOf) as [string, string];
        const taken = rig.model.has(a) || rig.model.has(b) || a === b;
        expect(native.flowInsert(1, conn)).toBe(taken ? -1 : 0);
        if (taken) {
          idle.push(conn);
        } else {
          rig.model.set(a, conn * 2).set(b, conn * 2 + 1);
          live.set(conn, tuples);
        }
      } else if (rand(2) === 0) {
        const conn = 1 + rand(capacity - 1);
        const tuples = live.get(conn);
        if (tuples) {
          expect(native.flowRemove(1, conn)).toBe(0);
          for (const t of tuples) rig.model.delete(keyOf(t));
          live.delete(conn);
          idle.push(conn);
        }
      } else {
        const t = random();
        expect(rig.find(t)).toBe(rig.model.get(keyOf(t)) ?? -1);
      }
    }
    expect(live.size).toBeGreaterThan(capacity / 2);
    for (const [conn, [a, b]] of live) {
      expect(rig.find(a)).toBe(conn * 2);
      expect(rig.find(b)).toBe(conn * 2 + 1);
    }
    expect(native.flowCount(1)).toBe(live.size);
    rig.close();
  });
});

describe('a full table', () => {
  test.each([2, 3, 16, 100, 1000, 65536])(
    'of %d records takes every one of them, finds and gives back all',
    (capacity) => {
      const rig = new Rig(capacity);
      const at = (conn: number): [Tuple, Tuple] => [
        { saddr: 0x0a000000 + conn, daddr: 0xc0a86464, sport: 1024 + (conn % 60000), dport: 80, proto: 6 },
        { saddr: 0xc0a86402, daddr: 0xc0a864c8, sport: 80, dport: conn % 65536, proto: 17 + (conn >>> 16) },
      ];
      for (let round = 0; round < 2; round++) {
        for (let c = 1; c < capacity; c++) {
          rig.write(c, at(c));
          if (native.flowInsert(1, c) !== 0) throw new Error(`insert of ${c} failed`);
        }
        expect(native.flowCount(1)).toBe(capacity - 1);
        for (let c = 1; c < capacity; c++) {
          if (rig.find(at(c)[0]) !== c * 2 || rig.find(at(c)[1], true) !== c * 2 + 1)
            throw new Error(`${c} not found`);
        }
        for (let c = 1; c < capacity; c++) {
          if (native.flowRemove(1, c) !== 0) throw new Error(`removal of ${c} failed`);
        }
        expect(native.flowCount(1)).toBe(0);
        expect(rig.find(at(1)[0])).toBe(-1);
      }
      rig.close();
    },
  );
});

describe('several at once', () => {
  const at = (c: number): [Tuple, Tuple] => [
    { saddr: c, daddr: 1, sport: 1, dport: 1, proto: 6 },
    { saddr: c, daddr: 2, sport: 2, dport: 2, proto: 6 },
  ];

  test('are inserted, refused where their tuple is there already, and removed', () => {
    const rig = new Rig(1000);
    const batch = new Uint32Array(rig.lc.config.block, LCORE_BLOCK.at.conns, CONN_BATCH);
    for (let c = 1; c < 1000; c++) rig.write(c, at(c));
    rig.write(300, at(7));
    rig.write(301, at(8));
    native.flowInsert(1, 8);
    const own = [7, 300, 9, 301, 10];
    batch.set(own);
    expect(native.flowPrefetch(1, own.length)).toBe(0);
    expect(native.flowInsertMany(1, own.length)).toBe(2);
    expect([...batch.subarray(0, 2)]).toEqual([300, 301]);
    expect([7, 8, 9, 10, 11].map((c) => rig.find(at(c)[1]))).toEqual([15, 17, 19, 21, -1]);
    batch.set([9, 11, 7]);
    expect(native.flowRemoveMany(1, 3)).toBe(2);
    expect([7, 8, 9, 10].map((c) => rig.find(at(c)[0]))).toEqual([-1, 16, -1, 20]);
    batch.set(Array.from({ length: CONN_BATCH }, (_, i) => 400 + i));
    expect([native.flowInsertMany(1, CONN_BATCH), native.flowCount(1)]).toEqual([0, CONN_BATCH + 2]);
    expect([native.flowRemoveMany(1, CONN_BATCH), native.flowCount(1)]).toEqual([CONN_BATCH, 2]);
    expect([native.flowInsertMany(1, 0), native.flowRemoveMany(1, 0)]).toEqual([0, 0]);
    rig.close();
  });
});

describe('rebuild after a crash', () => {
  test('indexes exactly the records flagged HASHED', () => {
    const rig = new Rig(1000);
    const at = (c: number): [Tuple, Tuple] => [
      { saddr: c, daddr: 1, sport: 1, dport: 1, proto: 6 },
      { saddr: c, daddr: 2, sport: 2, dport: 2, proto: 6 },
    ];
    for (let c = 1; c < 1000; c++) {
      rig.write(c, at(c));
      rig.setFlags(c, c % 3 === 0 ? CONN_F_HASHED : 0);
      if (c % 2 === 0) native.flowInsert(1, c);
    }
    expect(native.flowRebuild(1)).toBe(333);
    expect(native.flowCount(1)).toBe(333);
    for (let c = 1; c < 1000; c++) expect(rig.find(at(c)[0])).toBe(c % 3 === 0 ? c * 2 : -1);
    rig.close();
  });
});

describe('flows of other lcores', () => {
  test('are found with the lcore that has them, never those of its own', () => {
    const rig = new Rig(16);
    const other = makeLcore(lcoreConfig(2, [], 0, 16), false);
    const t: Tuple = { saddr: 1, daddr: 2, sport: 3, dport: 4, proto: 6 };
    const back: Tuple = { saddr: 5, daddr: 6, sport: 7, dport: 8, proto: 6 };
    rig.write(1, [t, back]);
    new Uint8Array(other.config.conns).set(new Uint8Array(rig.lc.config.conns));
    const owner = (tuple: Tuple, inverse = false): number => {
      rig.find(tuple, inverse);
      return native.flowOwner(1, rig.l3, rig.l3 + 20, inverse);
    };
    expect(native.flowInsert(1, 1)).toBe(0);
    expect([owner(t), owner(back)]).toEqual([0, 0]);
    expect(native.flowInsert(2, 1)).toBe(0);
    expect([owner(t), owner(back), owner(back, true), owner({ ...t, sport: 9 })]).toEqual([2, 2, 2, 0]);
    native.lcoreDestroy(2);
    expect(owner(t)).toBe(0);
    rig.close();
  });
});

describe("the index follows the lcore's thread", () => {
  test('a master may rebuild it while no thread has the lcore, and a new context starts empty', () => {
    const rig = new Rig(16);
    rig.write(1, [
      { saddr: 1, daddr: 2, sport: 3, dport: 4, proto: 6 },
      { saddr: 5, daddr: 6, sport: 7, dport: 8, proto: 6 },
    ]);
    rig.setFlags(1, CONN_F_HASHED);
    native.flowInsert(1, 1);
    native.lcoreUnbind(1);
    expect(native.flowRebuild(1)).toBe(1);
    native.lcoreDestroy(1);
    native.lcoreCreate(rig.lc.config);
    expect(native.flowCount(1)).toBe(0);
    native.lcoreDestroy(1);
  });
});
