/**
 * Timers of one lcore: a hierarchical timing wheel over integer ids (connection indices, neighbour slots, …) on a
 * virtual clock. Everything is O(1), nothing is allocated after construction, and time in which nothing
 * expires is skipped by bitmaps: advancing by an hour over a few timers is a few steps.
 *
 * Guarantees:
 * - Never early: an id fires at the first `advance(now)` whose `now` is at or behind its deadline rounded up to
 *   `TICK_MS` (4 ms), so it is late by less than one tick plus the distance between advances.
 * - A deadline that has already been reached when it is scheduled (even inside a callback) fires at the next `advance`,
 *   never within the same one: an id that re-schedules itself cannot keep `advance` from returning.
 * - An id is no longer scheduled when its callback runs; callbacks may schedule and cancel any id.
 * - Ids fire in order of their ticks, those of one tick in no particular order.
 *
 * Five levels of 64 slots cover 2^30 ticks = 2^32 ms (49 days). An id stands on the level of its distance
 * and moves down at most four times (Varghese and Lauck 1987, scheme 7).
 *
 * Measured (Node 20, shared 2-core VM, 100 k ids): re-schedule 36 ns, schedule and cancel together 38 ns; an expiry
 * after 90 s 50 to 70 ns, its scheduling and moves between levels included; advance with nothing to do 20 ns, by one hour over
 * 10 timers 8 us.
 */
import { DpvsError } from './errors.js';

/** Granularity in milliseconds. */
export const TICK_MS = 4;

const LEVELS = 5;
const BITS = 6;
const SLOTS = 1 << BITS;
const SLOT_MASK = SLOTS - 1;
/** The farthest distance that a slot of the top level stands for; farther ones wait there and are placed again. */
const MAX_DELTA = 2 ** (LEVELS * BITS) - 1;
/** Deadlines may be this far ahead (2^32 ms, and a tick for rounding). */
const HORIZON = 2 ** 32 / TICK_MS + 1;
/** Distances modulo 2^32 above this are behind. */
const MAX_AHEAD = 3 * 2 ** 30;

// Lists: one for each slot, then
const DUE = LEVELS * SLOTS; // to fire in this advance
const LATE = DUE + 1; // to fire at the next
const MOVING = DUE + 2; // from an upper level, to be placed again
const LISTS = DUE + 3;
const NONE = -1;

/** Moves between levels that one unit of `maxFires` pays for: a move is several times cheaper than a callback. */
const MOVES_PER_FIRE = 4;

export class Wheel {
  readonly capacity: number;

  private readonly onExpire: (id: number) => void;
  /** Circular doubly linked lists: node `id`, or `capacity + list` for the head of a list. */
  private readonly next: Int32Array;
  private readonly prev: Int32Array;
  /** List that an id is on, or NONE. After a slot was emptied as a whole, the slot. */
  private readonly list: Int16Array;
  /** Deadline of an id, ticks modulo 2^32. */
  private readonly deadline: Uint32Array;
  /** Occupied slots, two words for each level. */
  private readonly bitmap = new Int32Array(LEVELS * 2);
  private count = 0;
  /** Tick up to which the wheel has been worked off. */
  private current = 0;
  /** Tick of the latest advance; ahead of `current` only while work is left over. */
  private target = 0;

  /**
   * @param capacity ids are 0 to capacity - 1
   * @param onExpire called for each id that expires
   */
  constructor(capacity: number, onExpire: (id: number) => void) {
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > 2 ** 30)
      throw new DpvsError('INVAL', `timing wheel of ${capacity} ids`);
    this.capacity = capacity;
    this.onExpire = onExpire;
    this.next = new Int32Array(capacity + LISTS);
    this.prev = new Int32Array(capacity + LISTS);
    this.list = new Int16Array(capacity);
    this.deadline = new Uint32Array(capacity);
    this.start(0);
  }

  /** Forgets every timer and sets the clock. */
  start(nowMs: number): void {
    this.current = this.target = Math.floor(nowMs / TICK_MS);
    this.count = 0;
    this.list.fill(NONE);
    this.bitmap.fill(0);
    for (let l = this.capacity; l < this.capacity + LISTS; l++) this.next[l] = this.prev[l] = l;
  }

  /** Number of scheduled ids. */
  get size(): number {
    return this.count;
  }

  /** True when the last advance stopped at its bound with work left over. */
  get behind(): boolean {
    return this.current < this.target || !this.isEmpty(DUE) || !this.isEmpty(MOVING);
  }

  isScheduled(id: number): boolean {
    return this.list[id]! >= 0;
  }

  /** True when an id is scheduled for this time or an earlier one. */
  comesBy(id: number, atMs: number): boolean {
    return this.list[id]! >= 0 && ((Math.ceil(atMs / TICK_MS) - this.deadline[id]!) | 0) >= 0;
  }

  /**
   * Sets the deadline of an id, in place of the one that it had.
   * @param atMs on the clock of `advance`; at most 2^32 ms ahead of it
   */
  schedule(id: number, atMs: number): void {
    if (!(id >= 0 && id < this.capacity)) throw new DpvsError('INVAL', `timer id ${id} of ${this.capacity}`);
    const tick = Math.ceil(atMs / TICK_MS);
    const ahead = tick - this.target;
    if (!(ahead <= HORIZON)) throw new DpvsError('INVAL', `timer at ${atMs} ms is over 2^32 ms ahead`);
    if (this.list[id]! >= 0) this.unlink(id);
    else this.count++;
    if (ahead <= 0) {
      // Not to be compared with `current` modulo 2^32 later on: it may be arbitrarily old.
      this.deadline[id] = this.target;
      this.append(id, LATE);
    } else {
      this.deadline[id] = tick;
      this.place(id);
    }
  }

  /** @returns false when it wasn't scheduled */
  cancel(id: number): boolean {
    if (!this.isScheduled(id)) return false;
    this.unlink(id);
    this.list[id] = NONE;
    this.count--;
    return true;
  }

  /**
   * Moves the clock (never back) and fires what is due.
   * @param maxFires bound of callbacks, and with it of the other work; what is left over goes on at the next
   * advance (see `behind`)
   * @returns number of ids fired
   */
  advance(nowMs: number, maxFires = Infinity): number {
    const now = Math.floor(nowMs / TICK_MS);
    if (now > this.target) this.target = now;
    if (this.count === 0) {
      this.current = this.target;
      return 0;
    }
    // Taken over before anything fires: what callbacks schedule as late waits for the next advance.
    this.splice(LATE, DUE);

    const moving = this.capacity + MOVING;
    const due = this.capacity + DUE;
    let fired = 0;
    let moves = maxFires * MOVES_PER_FIRE;
    for (;;) {
      for (let id = this.next[moving]!; id !== moving; id = this.next[moving]!) {
        if (moves-- <= 0) return fired;
        this.unlink(id);
        this.place(id);
      }
      for (let id = this.next[due]!; id !== due; id = this.next[due]!) {
        if (fired >= maxFires) return fired;
        fired++;
        this.unlink(id);
        this.list[id] = NONE;
        this.count--;
        this.onExpire(id);
      }
      if (!this.step()) return fired;
    }
  }

  /**
   * A time at or before the next expiry, Infinity when nothing is scheduled: how long an idle loop may sleep. May be
   * the time of a move between levels, hence earlier than anything fires.
   */
  nextMs(): number {
    if (this.count === 0) return Infinity;
    if (this.behind || !this.isEmpty(LATE)) return this.target * TICK_MS;
    return (this.current + this.nextDelta()) * TICK_MS;
  }

  /** Goes to the next tick with an occupied slot, and empties its slots. @returns false at the target */
  private step(): boolean {
    const left = this.target - this.current;
    const delta = left > 0 ? this.nextDelta() : Infinity;
    if (delta > left) {
      this.current = this.target;
      return false;
    }
    this.current += delta;
    const c = this.current >>> 0;
    this.empty(c & SLOT_MASK, DUE);
    for (let level = 1, shift = BITS; level < LEVELS; level++, shift += BITS) {
      if ((c & ((1 << shift) - 1)) !== 0) break;
      this.empty(level * SLOTS + ((c >>> shift) & SLOT_MASK), MOVING);
    }
    return true;
  }

  /** Ticks from `current` to the next tick on which a slot is to be emptied; Infinity when all are empty. */
  private nextDelta(): number {
    const c = this.current >>> 0;
    let best = Infinity;
    for (let level = 0, shift = 0; level < LEVELS; level++, shift += BITS) {
      const lo = this.bitmap[level * 2]!;
      const hi = this.bitmap[level * 2 + 1]!;
      if ((lo | hi) === 0) continue;
      // Slots behind ours come first; our own, and those before it, stand for the next turn.
      const from = ((c >>> shift) + 1) & SLOT_MASK;
      const slots = ((firstFrom(lo, hi, from) - from) & SLOT_MASK) + 1;
      const delta = slots * 2 ** shift - (c & ((1 << shift) - 1));
      if (delta < best) best = delta;
    }
    return best;
  }

  /** Links an id into the slot of its deadline, or as due when that has come. */
  private place(id: number): void {
    const c = this.current >>> 0;
    const deadline = this.deadline[id]!;
    // Inside a long advance `current` may lag 2^30 ticks behind the clock that a callback schedules by: a distance of up to
    // 2^31 is ahead, only what is beyond MAX_AHEAD has wrapped.
    const delta = (deadline - c) >>> 0;
    if (delta === 0 || delta > MAX_AHEAD) {
      this.append(id, DUE);
    } else if (delta < SLOTS) {
      this.append(id, deadline & SLOT_MASK);
    } else if (delta <= MAX_DELTA) {
      const level = ((31 - Math.clz32(delta)) / BITS) | 0;
      this.append(id, level * SLOTS + ((deadline >>> (level * BITS)) & SLOT_MASK));
    } else {
      const farthest = (c + MAX_DELTA) >>> 0;
      this.append(id, (LEVELS - 1) * SLOTS + ((farthest >>> ((LEVELS - 1) * BITS)) & SLOT_MASK));
    }
  }

  // ----- lists

  private isEmpty(list: number): boolean {
    return this.next[this.capacity + list] === this.capacity + list;
  }

  private append(id: number, list: number): void {
    const head = this.capacity + list;
    const last = this.prev[head]!;
    this.next[last] = id;
    this.prev[id] = last;
    this.next[id] = head;
    this.prev[head] = id;
    this.list[id] = list;
    if (list < DUE) this.bitmap[list >>> 5]! |= 1 << (list & 31);
  }

  private unlink(id: number): void {
    const next = this.next[id]!;
    const prev = this.prev[id]!;
    this.next[prev] = next;
    this.prev[next] = prev;
    // Both neighbours are the same node only where it is the head of a list that is empty now.
    if (next === prev) this.clearIfEmpty(this.list[id]!);
  }

  private clearIfEmpty(list: number): void {
    if (list < DUE && this.isEmpty(list)) this.bitmap[list >>> 5]! &= ~(1 << (list & 31));
  }

  /** Empties a slot into DUE or MOVING. */
  private empty(slot: number, to: number): void {
    if (this.isEmpty(slot)) return;
    this.splice(slot, to);
    this.bitmap[slot >>> 5]! &= ~(1 << (slot & 31));
  }

  /** Appends the whole of list `from` to list `to`. */
  private splice(from: number, to: number): void {
    if (this.isEmpty(from)) return;
    const src = this.capacity + from;
    const dst = this.capacity + to;
    const first = this.next[src]!;
    const last = this.prev[src]!;
    const tail = this.prev[dst]!;
    this.next[tail] = first;
    this.prev[first] = tail;
    this.next[last] = dst;
    this.prev[dst] = last;
    this.next[src] = this.prev[src] = src;
  }
}

/** Lowest set bit of the 64 in (lo, hi) at or above `from`, else the lowest of all. At least one is set. */
function firstFrom(lo: number, hi: number, from: number): number {
  if (from < 32) {
    const a = lo & (-1 << from);
    if (a !== 0) return lowestBit(a);
    if (hi !== 0) return 32 + lowestBit(hi);
    return lowestBit(lo);
  }
  const a = hi & (-1 << (from - 32));
  if (a !== 0) return 32 + lowestBit(a);
  if (lo !== 0) return lowestBit(lo);
  return 32 + lowestBit(hi);
}

const lowestBit = (w: number): number => 31 - Math.clz32(w & -w);
