import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DpvsError } from '../../../src/core/errors.js';
import { TICK_MS, Wheel } from '../../../src/core/wheel.js';

/** A wheel that records what fires. */
function recorder(capacity: number, startMs = 0) {
  const fired: number[] = [];
  const wheel = new Wheel(capacity, (id) => fired.push(id));
  wheel.start(startMs);
  return { wheel, fired, take: () => fired.splice(0) };
}

const HOUR = 3_600_000;

describe('timing wheel', () => {
  it('fires an id at its deadline, not before', () => {
    const { wheel, take } = recorder(4);
    wheel.schedule(2, 100);
    expect(wheel.advance(99)).toBe(0);
    expect(wheel.isScheduled(2)).toBe(true);
    expect(wheel.advance(100)).toBe(1);
    expect(take()).toEqual([2]);
    expect(wheel.isScheduled(2)).toBe(false);
    expect(wheel.size).toBe(0);
    expect(wheel.advance(HOUR)).toBe(0);
  });

  it('fires a deadline between ticks at the tick behind it', () => {
    const { wheel, take } = recorder(4);
    wheel.schedule(0, 100.5);
    wheel.advance(103.9);
    expect(take()).toEqual([]);
    wheel.advance(104);
    expect(take()).toEqual([0]);
  });

  it('re-schedules an id in place of its old deadline', () => {
    const { wheel, take } = recorder(4);
    wheel.schedule(1, 100);
    wheel.schedule(1, 5000);
    expect(wheel.size).toBe(1);
    wheel.advance(4999);
    expect(take()).toEqual([]);
    wheel.advance(5000);
    expect(take()).toEqual([1]);
  });

  it('fires ids in the order of their deadlines across levels', () => {
    const deadlines = [80_000, 12, 4_000_000, 300, 16_500, 24 * HOUR, 260];
    const { wheel, take } = recorder(deadlines.length);
    deadlines.forEach((at, id) => wheel.schedule(id, at));
    expect(wheel.advance(48 * HOUR)).toBe(deadlines.length);
    const order = deadlines.map((_, id) => id).sort((a, b) => deadlines[a]! - deadlines[b]!);
    expect(take()).toEqual(order);
  });

  it('a cancelled id never fires', () => {
    const { wheel, take } = recorder(4);
    wheel.schedule(0, 100);
    wheel.schedule(1, 100);
    expect(wheel.cancel(0)).toBe(true);
    expect(wheel.cancel(0)).toBe(false);
    wheel.advance(200);
    expect(take()).toEqual([1]);
  });

  it('a deadline in the past fires at the next advance, even when the clock stands still', () => {
    const { wheel, take } = recorder(4, 1000);
    wheel.schedule(3, -5e9);
    wheel.schedule(2, 1000);
    expect(take()).toEqual([]);
    expect(wheel.advance(1000)).toBe(2);
    expect(take().sort((a, b) => a - b)).toEqual([2, 3]);
  });

  it('an id that re-schedules itself for now fires once an advance', () => {
    let fires = 0;
    const wheel: Wheel = new Wheel(1, (id) => {
      fires++;
      wheel.schedule(id, 500);
    });
    wheel.start(0);
    wheel.schedule(0, 10);
    expect(wheel.advance(1000)).toBe(1);
    expect(wheel.advance(1000)).toBe(1);
    expect(fires).toBe(2);
    expect(wheel.isScheduled(0)).toBe(true);
  });

  it('a callback may cancel another id that is due in the same advance', () => {
    const fired: number[] = [];
    const wheel: Wheel = new Wheel(2, (id) => {
      fired.push(id);
      wheel.cancel(1 - id);
    });
    wheel.start(0);
    wheel.schedule(0, 100);
    wheel.schedule(1, 100);
    expect(wheel.advance(100)).toBe(1);
    expect(fired).toHaveLength(1);
    expect(wheel.size).toBe(0);
  });

  it('a callback that throws leaves the other ids scheduled', () => {
    const fired: number[] = [];
    const wheel = new Wheel(3, (id) => {
      if (id === 1) throw new Error('boom');
      fired.push(id);
    });
    wheel.start(0);
    for (let id = 0; id < 3; id++) wheel.schedule(id, 100 + 100 * id);
    expect(() => wheel.advance(1000)).toThrow('boom');
    wheel.advance(1000);
    expect(fired).toEqual([0, 2]);
    expect(wheel.size).toBe(0);
  });

  it('does not go back when the clock does', () => {
    const { wheel, take } = recorder(2);
    wheel.advance(1000);
    wheel.advance(500);
    wheel.schedule(0, 600);
    wheel.advance(500);
    expect(take()).toEqual([0]);
  });

  it('holds a deadline 2^32 ms ahead to the tick, from any start', () => {
    for (const start of [0, 1_234_567, 2 ** 32 - 3, 2 ** 34 - 8, 2 ** 41 + 123]) {
      const { wheel, take } = recorder(1, start);
      const at = start + 2 ** 32;
      wheel.schedule(0, at);
      wheel.advance(at - 1);
      expect(take()).toEqual([]);
      wheel.advance(at + TICK_MS);
      expect(take()).toEqual([0]);
    }
  });

  it('refuses deadlines beyond its horizon, nonsense and ids outside its capacity', () => {
    const { wheel } = recorder(2);
    for (const at of [2 ** 32 + 60_000, Infinity, NaN])
      expect(() => wheel.schedule(0, at)).toThrow(expect.objectContaining({ code: 'INVAL' }));
    for (const id of [-1, 2, NaN]) expect(() => wheel.schedule(id, 1)).toThrow(DpvsError);
    expect(wheel.cancel(7)).toBe(false);
    expect(wheel.isScheduled(7)).toBe(false);
    expect(wheel.size).toBe(0);
    for (const capacity of [0, -1, 1.5, 2 ** 31])
      expect(() => new Wheel(capacity, () => {})).toThrow(DpvsError);
  });

  it('maxFires bounds an advance; the rest goes on at the next one', () => {
    const { wheel, take } = recorder(100);
    for (let id = 0; id < 100; id++) wheel.schedule(id, 100 + id * 1000);
    const all: number[] = [];
    let calls = 0;
    do {
      const n = wheel.advance(HOUR, 7);
      expect(n).toBeLessThanOrEqual(7);
      all.push(...take());
      calls++;
    } while (wheel.behind);
    expect(calls).toBeGreaterThanOrEqual(15);
    expect(all).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  it('maxFires bounds the moves between levels as well, where nothing fires yet', () => {
    const { wheel, take } = recorder(1000);
    // All on one slot of an upper level, which is taken apart before the first of them is due.
    for (let id = 0; id < 1000; id++) wheel.schedule(id, 70_000 + id);
    let calls = 0;
    do {
      expect(wheel.advance(69_999, 10)).toBe(0);
      calls++;
    } while (wheel.behind);
    expect(calls).toBeGreaterThan(10);
    wheel.advance(71_000);
    expect(take()).toHaveLength(1000);
  });

  it('a deadline that passed while work was left over fires with the rest', () => {
    const { wheel, take } = recorder(20);
    for (let id = 0; id < 10; id++) wheel.schedule(id, 1000 * (id + 1));
    wheel.advance(20_000, 3);
    expect(wheel.behind).toBe(true);
    wheel.schedule(15, 9_500);
    wheel.schedule(16, 30_000);
    wheel.advance(20_000);
    expect(take().sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15]);
    expect(wheel.behind).toBe(false);
    wheel.advance(30_000);
    expect(take()).toEqual([16]);
  });

  it('tells an idle loop how long it may sleep without oversleeping', () => {
    const { wheel, take } = recorder(4);
    expect(wheel.nextMs()).toBe(Infinity);
    wheel.schedule(0, 100_000);
    let now = 0;
    let naps = 0;
    while (take().length === 0) {
      const next = wheel.nextMs();
      expect(next).toBeGreaterThan(now);
      expect(next).toBeLessThanOrEqual(100_000);
      now = next;
      wheel.advance(now);
      naps++;
    }
    expect(now).toBe(100_000);
    expect(naps).toBeLessThanOrEqual(4);
    wheel.schedule(1, now - 1);
    expect(wheel.nextMs()).toBeLessThanOrEqual(now);
  });

  it('start forgets everything', () => {
    const { wheel, take } = recorder(3);
    wheel.schedule(0, 100);
    wheel.schedule(1, 100_000);
    wheel.start(50);
    expect(wheel.size).toBe(0);
    expect(wheel.isScheduled(0)).toBe(false);
    wheel.advance(HOUR);
    expect(take()).toEqual([]);
  });
});

// ---------------------------------------------------------------------------------------------
// Against a naive model: a Map of deadlines.

const CAPACITY = 24;
const id = fc.nat(CAPACITY - 1);
/** Distances that reach every level, with the borders between levels. */
const distance = fc.oneof(
  fc.integer({ min: -50, max: 300 }),
  fc.constantFrom(
    0,
    252,
    256,
    260,
    16_380,
    16_384,
    16_388,
    2 ** 20,
    2 ** 26 - 4,
    2 ** 26,
    2 ** 32 - 4,
    2 ** 32,
  ),
  fc.double({ min: 0, max: 2 ** 32, noNaN: true }),
  fc.integer({ min: 0, max: 200_000 }),
);

type Op =
  | { op: 'schedule'; id: number; in: number }
  | { op: 'cancel'; id: number }
  | { op: 'advance'; by: number };

const op: fc.Arbitrary<Op> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ op: fc.constant('schedule' as const), id, in: distance }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('cancel' as const), id }) },
  {
    weight: 3,
    arbitrary: fc.record({ op: fc.constant('advance' as const), by: distance.map((d) => Math.max(0, d)) }),
  },
);
const startMs = fc.oneof(
  fc.nat(),
  fc.constantFrom(0, 2 ** 32 - 20, 2 ** 33 - 1000, 2 ** 34 - 1000, 2 ** 42 - 999.5),
);

const dueTick = (atMs: number): number => Math.ceil(atMs / TICK_MS);

describe('timing wheel, against a naive model', () => {
  it('fires exactly what the model fires, in any sequence of operations', () => {
    fc.assert(
      fc.property(startMs, fc.array(op, { maxLength: 60 }), (start, ops) => {
        const { wheel, take } = recorder(CAPACITY, start);
        const model = new Map<number, number>();
        let now = start;
        for (const o of ops) {
          if (o.op === 'schedule') {
            wheel.schedule(o.id, now + o.in);
            model.set(o.id, now + o.in);
          } else if (o.op === 'cancel') {
            expect(wheel.cancel(o.id)).toBe(model.delete(o.id));
          } else {
            now += o.by;
            const expected = [...model]
              .filter(([, at]) => Math.floor(now / TICK_MS) >= dueTick(at))
              .map(([i]) => i);
            expected.forEach((i) => model.delete(i));
            expect(wheel.advance(now)).toBe(expected.length);
            expect(take().sort((a, b) => a - b)).toEqual(expected.sort((a, b) => a - b));
          }
          expect(wheel.size).toBe(model.size);
          const times = [...model.values()].map((at) => dueTick(at) * TICK_MS);
          expect(wheel.nextMs()).toBeLessThanOrEqual(Math.max(now, Math.min(...times)));
        }
        for (let i = 0; i < CAPACITY; i++) expect(wheel.isScheduled(i)).toBe(model.has(i));
      }),
      { numRuns: 400 },
    );
  });

  it('bounded advances fire the same ids, each once, however the bound falls', () => {
    fc.assert(
      fc.property(
        startMs,
        fc.array(fc.tuple(id, distance), { minLength: 1, maxLength: 60 }),
        distance.map((d) => Math.max(0, d)),
        fc.integer({ min: 1, max: 5 }),
        (start, plan, by, maxFires) => {
          const { wheel, take } = recorder(CAPACITY, start);
          const model = new Map<number, number>();
          for (const [i, d] of plan) {
            wheel.schedule(i, start + d);
            model.set(i, start + d);
          }
          const now = start + by;
          const expected = [...model]
            .filter(([, at]) => Math.floor(now / TICK_MS) >= dueTick(at))
            .map(([i]) => i);
          const fired: number[] = [];
          let calls = 0;
          do {
            expect(wheel.advance(now, maxFires)).toBeLessThanOrEqual(maxFires);
            fired.push(...take());
            expect(++calls).toBeLessThan(1000);
          } while (wheel.behind);
          expect(fired.sort((a, b) => a - b)).toEqual(expected.sort((a, b) => a - b));
          expect(wheel.size).toBe(model.size - expected.length);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('a callback inside an advance of 2^32 ms may schedule 2^32 ms ahead', () => {
    const fired: number[] = [];
    const wheel: Wheel = new Wheel(2, (i) => {
      fired.push(i);
      if (i === 0) wheel.schedule(1, 2 ** 33);
    });
    wheel.start(0);
    wheel.schedule(0, 1000);
    wheel.advance(2 ** 32);
    expect(fired).toEqual([0]);
    wheel.advance(2 ** 33 - TICK_MS);
    expect(fired).toEqual([0]);
    wheel.advance(2 ** 33);
    expect(fired).toEqual([0, 1]);
  });

  it('callbacks that schedule and cancel at random keep the books', () => {
    const reaction = fc.oneof(
      fc.record({ op: fc.constant('schedule' as const), id, in: distance }),
      fc.record({ op: fc.constant('cancel' as const), id }),
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(id, distance), { maxLength: 30 }),
        fc.array(reaction, { maxLength: 60 }),
        fc.array(
          distance.map((d) => Math.max(0, d)),
          { minLength: 1, maxLength: 20 },
        ),
        (plan, reactions, jumps) => {
          const model = new Map<number, number>();
          /** Scheduled for a time that had been reached, during an advance: for the next one. */
          const late = new Set<number>();
          let now = 0;
          let advancing = false;
          const schedule = (i: number, at: number): void => {
            wheel.schedule(i, at);
            model.set(i, at);
            late.delete(i);
            if (advancing && dueTick(at) <= Math.floor(now / TICK_MS)) late.add(i);
          };
          const wheel: Wheel = new Wheel(CAPACITY, (i) => {
            const at = model.get(i);
            expect(at, `id ${i} is scheduled`).toBeDefined();
            expect(Math.floor(now / TICK_MS)).toBeGreaterThanOrEqual(dueTick(at!));
            expect(late.has(i), `id ${i} waits for the next advance`).toBe(false);
            expect(wheel.isScheduled(i)).toBe(false);
            model.delete(i);
            const r = reactions.pop();
            if (r?.op === 'schedule') schedule(r.id, now + r.in);
            else if (r) {
              expect(wheel.cancel(r.id)).toBe(model.delete(r.id));
              late.delete(r.id);
            }
          });
          wheel.start(0);
          plan.forEach(([i, d]) => schedule(i, d));
          for (const by of jumps) {
            now += by;
            late.clear();
            advancing = true;
            wheel.advance(now);
            advancing = false;
            for (const [i, at] of model)
              expect(dueTick(at) > Math.floor(now / TICK_MS) || late.has(i), `id ${i} was due`).toBe(true);
            expect(wheel.size).toBe(model.size);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('whether a timer comes by a time', () => {
  it('counts in ticks, across 2^32 ms and for ids that are late', () => {
    const start = 2 ** 34 - 10;
    const { wheel } = recorder(4, start);
    expect(wheel.comesBy(0, start + HOUR)).toBe(false);
    wheel.schedule(0, start + 100);
    expect(wheel.comesBy(0, start + 100)).toBe(true);
    expect(wheel.comesBy(0, start + 100 + HOUR)).toBe(true);
    expect(wheel.comesBy(0, start + 100 - TICK_MS)).toBe(false);
    wheel.schedule(1, start - 5);
    expect(wheel.comesBy(1, start + 1)).toBe(true);
    wheel.cancel(0);
    expect(wheel.comesBy(0, start + HOUR)).toBe(false);
  });
});
