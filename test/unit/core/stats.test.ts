import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DROP, DROP_REASONS } from '../../../src/core/drops.js';
import { EVENT, EVENT_KINDS } from '../../../src/core/events.js';
import {
  DEST_CAP,
  DEST_STATS,
  DROP_CAP,
  EVENT_KIND_CAP,
  LCORE_STATS,
  SVC_CAP,
  SVC_DROP_CAP,
  SVC_STATS,
} from '../../../src/core/layout.js';
import {
  PORT_STATS,
  PORT_STATS_CAP,
  StatsReader,
  StatsSegment,
  destIndex,
  segmentLayout,
  svcIndex,
} from '../../../src/core/stats.js';
import { SVC_DROP_OF, SVC_DROPS } from '../../../src/core/svc-counts.js';

function make(lcores = 2): { buffer: SharedArrayBuffer; segment: StatsSegment } {
  const buffer = new SharedArrayBuffer(segmentLayout({ lcores }).bytes);
  return { buffer, segment: StatsSegment.create(buffer, { lcores }) };
}

describe('layout of the statistics segment', () => {
  it('every area begins on a page of its own and none overlaps another', () => {
    for (const lcores of [0, 1, 9, 10, 127]) {
      const l = segmentLayout({ lcores });
      const directoryEnd = 64 + JSON.stringify(l.directory).length;
      expect(l.ports).toBeGreaterThanOrEqual(directoryEnd);
      expect(l.lcores).toBeGreaterThanOrEqual(l.ports + PORT_STATS.size * PORT_STATS_CAP);
      expect(l.destsInLcore).toBeGreaterThanOrEqual(LCORE_STATS.size);
      expect(l.svcsInLcore).toBeGreaterThanOrEqual(l.destsInLcore + DEST_STATS.size * DEST_CAP);
      expect(l.lcoreStride).toBeGreaterThanOrEqual(l.svcsInLcore + SVC_STATS.size * SVC_CAP);
      expect(l.bytes).toBe(l.lcores + (lcores + 1) * l.lcoreStride);
      for (const at of [l.ports, l.lcores, l.destsInLcore, l.svcsInLcore, l.lcoreStride])
        expect(at % 4096).toBe(0);
    }
  });

  it('refuses impossible numbers of lcores', () => {
    for (const lcores of [-1, 1.5, 128, NaN])
      expect(() => segmentLayout({ lcores })).toThrow(expect.objectContaining({ code: 'INVAL' }));
  });

  it('the directory tells every field of every struct with its offset', () => {
    const { directory } = segmentLayout({ lcores: 1 });
    const [port, lcore, dest] = directory.arrays;
    expect(directory.lcores).toEqual(['master', 'lcore-1']);
    expect(directory.drops).toEqual(DROP_REASONS.map((r) => r.name));
    expect(lcore).toMatchObject({
      name: 'lcore',
      struct: 'LcoreStats',
      elementSize: LCORE_STATS.size,
      count: 2,
    });
    expect(lcore!.fields).toContainEqual({
      name: 'txBytes',
      kind: 'f64',
      count: 1,
      offset: LCORE_STATS.at.txBytes,
    });
    expect(lcore!.fields).toContainEqual({
      name: 'drops',
      kind: 'f64',
      count: 128,
      offset: LCORE_STATS.at.drops,
    });
    expect(dest!.fields.map((f) => f.name)).toEqual(Object.keys(DEST_STATS.fields));
    expect(port).toMatchObject({ name: 'port', elementSize: 128, count: 32 });
  });
});

describe('statistics segment', () => {
  it('what each writer counts is read back by name, the master first', () => {
    const { buffer, segment } = make(2);
    for (const lcore of [0, 1, 2]) {
      const c = segment.lcoreStats(lcore);
      c[LCORE_STATS.at.rxPackets >>> 3] = 10 + lcore;
      c[LCORE_STATS.at.conns >>> 3] = 100 * lcore;
      c[(LCORE_STATS.at.drops >>> 3) + DROP.IP_TTL] = 7 * lcore;
    }
    const reader = new StatsReader(buffer);
    expect(reader.lcores).toEqual(['master', 'lcore-1', 'lcore-2']);
    expect(reader.lcore(0)).toMatchObject({ rxPackets: 10, conns: 0, txBytes: 0 });
    expect(reader.lcore(2)).toMatchObject({ rxPackets: 12, conns: 200 });
    expect(Object.keys(reader.lcore(1))).not.toContain('drops');
    expect(reader.lcoreTotal()).toMatchObject({ rxPackets: 33, conns: 300 });
    const drops = reader.drops(2);
    expect(drops).toHaveLength(reader.dropNames.length);
    expect(drops[reader.dropNames.indexOf('IP_TTL')]).toBe(14);
    expect(drops.reduce((a, b) => a + b)).toBe(14);
  });

  it("counters that native code writes at the lcore's offset are the same ones", () => {
    const { buffer, segment } = make(1);
    new DataView(buffer).setFloat64(segment.lcoreOffset(1) + LCORE_STATS.at.rxBytes, 1500, true);
    expect(segment.lcoreStats(1)[LCORE_STATS.at.rxBytes >>> 3]).toBe(1500);
    expect(new StatsReader(buffer).lcore(1)['rxBytes']).toBe(1500);
  });

  it('destinations are summed over the lcores, or told for one', () => {
    const { buffer, segment } = make(3);
    for (const lcore of [1, 2, 3]) {
      const d = segment.destStats(lcore);
      d[destIndex(5) + (DEST_STATS.at.active >>> 3)]! += lcore;
      d[destIndex(DEST_CAP - 1) + (DEST_STATS.at.inactive >>> 3)]! += 1;
    }
    const reader = new StatsReader(buffer);
    expect(reader.dest(5)).toEqual({
      conns: 0,
      inPackets: 0,
      inBytes: 0,
      outPackets: 0,
      outBytes: 0,
      active: 6,
      inactive: 0,
    });
    expect(reader.dest(5, 2)['active']).toBe(2);
    expect(reader.dest(4)['active']).toBe(0);
    expect(reader.dest(DEST_CAP - 1)['inactive']).toBe(3);
  });

  it('drops of services are told by reason, summed over the lcores or for one', () => {
    const { buffer, segment } = make(2);
    const add = (lcore: number, slot: number, reason: number): void => {
      segment.svcStats(lcore)[svcIndex(slot) + SVC_DROP_OF[reason]!]! += 1;
    };
    add(1, 5, DROP.SVC_NO_DEST);
    add(2, 5, DROP.SVC_NO_DEST);
    add(2, 5, DROP.ARP_BAD);
    add(2, SVC_CAP - 1, DROP.CONN_FULL);
    const reader = new StatsReader(buffer);
    expect(reader.svcDrops(5)).toMatchObject({ SVC_NO_DEST: 2, OTHER: 1, CONN_FULL: 0 });
    expect(reader.svcDrops(5, 1)).toMatchObject({ SVC_NO_DEST: 1, OTHER: 0 });
    expect(reader.svcDrops(SVC_CAP - 1)).toMatchObject({ SVC_NO_DEST: 0, CONN_FULL: 1 });
    expect(() => reader.svcDrops(SVC_CAP)).toThrow(expect.objectContaining({ code: 'INVAL' }));
  });

  it('events are told by name', () => {
    const { buffer, segment } = make(1);
    segment.lcoreStats(1)[(LCORE_STATS.at.events >>> 3) + EVENT.CONN_REUSED] = 9;
    expect(new StatsReader(buffer).events(1)).toMatchObject({ CONN_REUSED: 9, CONN_QUIESCENT: 0 });
  });

  it('has room for every reason and every event, and tells marked reasons apart', () => {
    expect(DROP_REASONS.length).toBeLessThanOrEqual(DROP_CAP);
    expect(EVENT_KINDS.length).toBeLessThanOrEqual(EVENT_KIND_CAP);
    expect(SVC_DROPS.length).toBeLessThanOrEqual(SVC_DROP_CAP);
    DROP_REASONS.forEach((r, i) => expect(SVC_DROPS[SVC_DROP_OF[i]!]).toBe(r.svc ? r.name : 'OTHER'));
  });

  it('ports have their own counters', () => {
    const { buffer, segment } = make(1);
    segment.portStats(0)[PORT_STATS.at.ipackets >>> 3] = 3;
    segment.portStats(31)[PORT_STATS.at.rxNombuf >>> 3] = 4;
    const reader = new StatsReader(buffer);
    expect(reader.port(0)).toEqual({
      ipackets: 3,
      opackets: 0,
      ibytes: 0,
      obytes: 0,
      imissed: 0,
      ierrors: 0,
      oerrors: 0,
      rxNombuf: 0,
    });
    expect(reader.port(31)).toMatchObject({ rxNombuf: 4 });
  });

  it('no counter shares its memory with another', () => {
    const lcores = 2;
    const { segment } = make(lcores);
    let n = 0;
    const areas = [
      ...Array.from({ length: PORT_STATS_CAP }, (_, p) => segment.portStats(p)),
      ...Array.from({ length: lcores + 1 }, (_, l) => segment.lcoreStats(l)),
      ...Array.from({ length: lcores + 1 }, (_, l) => segment.destStats(l)),
      ...Array.from({ length: lcores + 1 }, (_, l) => segment.svcStats(l)),
    ];
    for (const a of areas) for (let i = 0; i < a.length; i++) a[i] = ++n;
    n = 0;
    for (const a of areas)
      for (let i = 0; i < a.length; i++) if (a[i] !== ++n) throw new Error(`counter ${n} is ${a[i]}`);
    expect(new StatsReader(segment.buffer).lcores).toHaveLength(3);
  });

  it('another thread opens what the master created and lands on the same counters', () => {
    const { buffer, segment } = make(4);
    const other = StatsSegment.open(buffer);
    expect(other.lcores).toBe(4);
    expect(other.lcoreOffset(4)).toBe(segment.lcoreOffset(4));
    other.lcoreStats(4)[0] = 42;
    expect(segment.lcoreStats(4)[0]).toBe(42);
  });

  it('is read the same from a copy at any alignment and from a larger mapping', () => {
    const { buffer, segment } = make(1);
    segment.lcoreStats(1)[LCORE_STATS.at.loops >>> 3] = 99;
    const copy = Buffer.alloc(buffer.byteLength + 4099);
    copy.set(new Uint8Array(buffer), 3);
    expect(new StatsReader(copy.subarray(3)).lcore(1)['loops']).toBe(99);
    expect(new StatsReader(copy.subarray(3)).createdMs).toBeGreaterThan(1.6e12);
  });

  it('refuses indices outside of it', () => {
    const { buffer, segment } = make(1);
    const reader = new StatsReader(buffer);
    const invalid = expect.objectContaining({ code: 'INVAL' });
    for (const bad of [-1, 2, 0.5, NaN]) {
      expect(() => segment.lcoreOffset(bad)).toThrow(invalid);
      expect(() => reader.lcore(bad)).toThrow(invalid);
      expect(() => reader.drops(bad)).toThrow(invalid);
      expect(() => reader.dest(0, bad)).toThrow(invalid);
    }
    for (const bad of [-1, DEST_CAP]) expect(() => reader.dest(bad)).toThrow(invalid);
    for (const bad of [-1, PORT_STATS_CAP]) {
      expect(() => reader.port(bad)).toThrow(invalid);
      expect(() => segment.portStats(bad)).toThrow(invalid);
    }
  });
});

describe('a file that is no sound segment', () => {
  const { buffer } = make(1);
  /** The head of a sound one is enough for most of what can be wrong; the rest is zeros. */
  const damaged = (change: (b: Buffer) => void): Buffer => {
    const copy = Buffer.alloc(buffer.byteLength);
    copy.set(new Uint8Array(buffer, 0, 16_384));
    change(copy);
    return copy;
  };
  const redirected = (
    change: (directory: { arrays: Record<string, unknown>[]; [k: string]: unknown }) => void,
  ): Buffer =>
    damaged((b) => {
      const directory = JSON.parse(b.toString('utf8', 64, 64 + b.readUInt32LE(8)));
      change(directory);
      b.writeUInt32LE(b.write(JSON.stringify(directory), 64), 8);
    });

  it('an unfinished or foreign one: INVAL', () => {
    expect(() => new StatsReader(damaged((b) => b.fill(0, 0, 4)))).toThrow(
      expect.objectContaining({ code: 'INVAL' }),
    );
    expect(() => new StatsReader(Buffer.alloc(4096, 'x'))).toThrow(/magic 0x78787878/);
    expect(() => StatsSegment.open(new SharedArrayBuffer(4096))).toThrow(
      expect.objectContaining({ code: 'INVAL' }),
    );
  });

  it('another version: NOTSUPP, with both numbers', () => {
    const other = damaged((b) => b.writeUInt32LE(77, 4));
    expect(() => new StatsReader(other)).toThrow(expect.objectContaining({ code: 'NOTSUPP' }));
    expect(() => new StatsReader(other)).toThrow(/version 77, this program reads 2/);
  });

  it('a truncated one: IO, wherever it was cut', () => {
    const whole = damaged(() => {});
    expect(() => new StatsReader(whole)).not.toThrow();
    for (const len of [0, 3, 63, 64, 4096, whole.length - 1])
      expect(() => new StatsReader(whole.subarray(0, len)), `${len} bytes`).toThrow(
        expect.objectContaining({ code: 'IO' }),
      );
  });

  it('a buffer that is too small for its lcores: NOROOM', () => {
    expect(() => StatsSegment.create(new SharedArrayBuffer(8192), { lcores: 1 })).toThrow(
      expect.objectContaining({ code: 'NOROOM' }),
    );
  });

  it('a directory that points outside or lacks something: INVAL when it is opened, not when it is read', () => {
    const cases: Buffer[] = [
      damaged((b) => b.writeUInt32LE(0xffffffff, 8)),
      damaged((b) => b.write('[', 64)),
      damaged((b) => b.fill('!', 64, 80)),
      redirected((d) => (d['lcores'] = [])),
      redirected((d) => delete d['drops']),
      redirected((d) => delete d['events']),
      redirected((d) => (d['svcDrops'] = Array(99).fill('x'))),
      redirected((d) => (d.arrays[3]!['count'] = 2 ** 30)),
      redirected((d) => d.arrays.pop()),
      redirected((d) => (d.arrays[0]!['offset'] = 2 ** 40)),
      redirected((d) => (d.arrays[0]!['offset'] = -8)),
      redirected((d) => (d.arrays[1]!['stride'] = 2 ** 31)),
      redirected((d) => (d.arrays[1]!['count'] = 3)),
      redirected((d) => (d.arrays[1]!['fields'] = [])),
      redirected((d) => (d.arrays[2]!['lcoreStride'] = 2 ** 30)),
      redirected((d) => delete d.arrays[2]!['lcoreStride']),
      redirected((d) => (d.arrays[2]!['fields'] = [{ name: 'x', kind: 'f64', count: 1, offset: 64 }])),
      redirected((d) => (d.arrays[2]!['fields'] = [{ name: 'x', kind: 'f65', count: 1, offset: 0 }])),
    ];
    cases.forEach((c, i) =>
      expect(() => new StatsReader(c), `case ${i}`).toThrow(expect.objectContaining({ code: 'INVAL' })),
    );
  });

  it('never fails in another way, whichever bytes of its head are overwritten', () => {
    const base = damaged(() => {});
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(2500), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.nat(1),
        (changes, lcore) => {
          const before = changes.map(([at]) => [at, base[at]!] as const);
          for (const [at, v] of changes) base[at] = v;
          try {
            const r = new StatsReader(base);
            r.lcore(lcore % r.lcores.length);
            r.drops(0);
            r.dest(0);
            r.port(0);
          } catch (e) {
            expect(['INVAL', 'NOTSUPP', 'IO']).toContain((e as { code?: string }).code);
          } finally {
            for (const [at, v] of before.reverse()) base[at] = v;
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
