/**
 * The connection table of one lcore: records in shared memory, a free list, the native index over both directions,
 * and expiry. Creating and releasing allocate nothing.
 *
 * Expiry is lazy: a packet only stores when it was seen. When the timer of a connection fires too early for
 * that, it is set again for the rest; only a timeout that ends before the timer comes touches the wheel.
 *
 * The index is far larger than the caches. So what can wait goes to it by the batch, and waits for memory once: connections
 * that are known to be unique are inserted before the next lookup, timers that have come are taken from the wheel first
 * and their records asked for, what expires in a tick is removed together. Measured, per new and expired connection: a
 * third of the time.
 */
import type { Bytes } from '../../core/bytes.js';
import { CONN_BATCH, CONN_F_HASHED, HINT_ABSENT, DIR_IN, DIR_OUT } from '../../core/layout.js';
import { Wheel } from '../../core/wheel.js';
import type { FlowIndex } from './flow-index.js';
import { Fresh } from './fresh.js';
import { D, Records } from './records.js';

/** Batches of timers handled in one tick at most, so that a burst of expiries doesn't hold up packets. */
const BATCHES_PER_TICK = 4;

export class ConnTable {
  readonly records: Records;
  /** Time of the last tick. */
  nowMs: number;
  private readonly wheel: Wheel;
  /** Indices of free records; the first `freeCount` are valid. */
  private readonly freed: Uint32Array;
  private freeCount = 0;
  /** Records that were taken off the free list by `reserve` and have not become connections. */
  private reserved = 0;
  /** Tuples inserted since the last tick. */
  private readonly fresh = new Fresh();
  /** Connections in `index.batch`: outside of a tick they wait to be inserted, inside to be removed. */
  private waiting = 0;
  private ticking = false;
  /** Timers that have come. */
  private readonly due = new Uint32Array(CONN_BATCH);
  private dueCount = 0;

  /**
   * The records are taken as they are: call `rebuild` when an earlier life of the lcore has left some.
   * @param onExpire called with a connection whose time is up, or that the index has refused; ends with `release`
   */
  constructor(
    buffer: SharedArrayBuffer,
    private readonly index: FlowIndex,
    nowMs: number,
    private readonly onExpire: (c: number) => void,
  ) {
    this.records = new Records(buffer);
    this.nowMs = nowMs;
    const { capacity } = this.records;
    this.freed = new Uint32Array(capacity);
    this.wheel = new Wheel(capacity, (c) => void (this.due[this.dueCount++] = c));
    this.wheel.start(nowMs);
    // Popped from the end: low indices first, so that a small load touches little memory.
    for (let c = capacity - 1; c >= 1; c--) this.freed[this.freeCount++] = c;
  }

  /** Connections in the table. */
  get size(): number {
    return this.records.capacity - 1 - this.freeCount - this.reserved;
  }

  /** Records that `alloc` and `reserve` can have. */
  get free(): number {
    return this.freeCount;
  }

  get isFull(): boolean {
    return this.freeCount === 0;
  }

  /** A zeroed record marked as used, or 0 when the table is full. It is not indexed and has no timer yet. */
  readonly alloc = (nowMs: number): number => {
    if (this.freeCount === 0) return 0;
    const c = this.freed[--this.freeCount]!;
    const r = this.records;
    if (c > r.top) r.setTop(c);
    this.begin(c, nowMs);
    return c;
  };

  private readonly begin = (c: number, nowMs: number): void => {
    const r = this.records;
    r.begin(c);
    r.setCreatedMs(c, nowMs);
    r.setLastSeenMs(c, DIR_IN, nowMs);
    r.setLastSeenMs(c, DIR_OUT, nowMs);
  };

  /** A record for a connection to come, or 0 when the table is full: nobody sees it. */
  reserve(): number {
    if (this.freeCount === 0) return 0;
    this.reserved++;
    const c = this.freed[--this.freeCount]!;
    if (c > this.records.top) this.records.setTop(c);
    return c;
  }

  /** Gives back what `reserve` gave. */
  unreserve(c: number): void {
    this.reserved--;
    this.freed[this.freeCount++] = c;
  }

  /** The connection has come: as `alloc`, of a record that was reserved. */
  readonly allocReserved = (c: number, nowMs: number): void => {
    this.reserved--;
    this.begin(c, nowMs);
  };

  /** `n` of the reserved records are connections now, by the native loop. */
  born(n: number): void {
    this.reserved -= n;
  }

  /** Makes the connection findable by the tuples of its directions. @returns as `FlowIndex.insert` */
  insert(c: number): number {
    this.settle();
    const rc = this.index.insert(c);
    if (rc === 0) this.noteInserted(c);
    return rc;
  }

  /**
   * The same for a connection whose tuples nobody else has: it counts as inserted, and is before the next lookup. Should the
   * index refuse it after all, it expires.
   */
  readonly insertUnique = (c: number): void => {
    this.noteInserted(c);
    this.index.batch[this.waiting++] = c;
    if (this.waiting === CONN_BATCH) this.settle();
  };

  /**
   * The flow of a packet.
   * @param hint what poll() has found out about it
   * @param ports arena offset of its ports
   * @returns connection * 2 + direction, or -1
   */
  readonly find = (hint: number, b: Bytes, l3: number, ports: number): number => {
    if (hint >= 0 && this.records.isMatch(hint >>> 1, hint & 1, b, l3, ports)) return hint;
    if (hint === HINT_ABSENT && !this.fresh.has(b, l3, ports)) return -1;
    return this.findBy(l3, ports, false);
  };

  /** See `FlowIndex.find`. */
  findBy(l3: number, l4: number, inverse: boolean): number {
    this.settle();
    return this.index.find(l3, l4, inverse);
  }

  /** The lcore that has the flow, of all others; 0 = none. See `FlowIndex.owner`. */
  ownerOf(l3: number, l4: number, inverse = false): number {
    return this.index.owner(l3, l4, inverse);
  }

  /** Gives a connection, whose last packet has just been noted, the timeout that begins now. */
  readonly setTimeout = (c: number, timeoutMs: number, nowMs: number): void => {
    this.records.setTimeoutMs(c, timeoutMs);
    // A timer that comes earlier is set for the rest when it comes: a short connection's is touched once or twice.
    if (!this.wheel.comesBy(c, nowMs + timeoutMs)) this.wheel.schedule(c, nowMs + timeoutMs);
  };

  /** True for a connection that has a timeout. */
  readonly isTimed = (c: number): boolean => this.wheel.isScheduled(c);

  /** Ends a connection: out of the index, off the wheel, record free. */
  readonly release = (c: number): void => {
    const r = this.records;
    const hashed = (r.flags(c) & CONN_F_HASHED) !== 0;
    this.wheel.cancel(c);
    if (hashed && !this.ticking) {
      this.settle();
      this.index.remove(c);
    }
    r.setFlags(c, 0);
    // A packet of the same poll may still name it (`PktPriv.hint`).
    r.clearActions(c);
    if (hashed && this.ticking) {
      // Its tuples must stay as they are until the index has forgotten it.
      this.index.batch[this.waiting++] = c;
      if (this.waiting === CONN_BATCH) this.settle();
      return;
    }
    this.freed[this.freeCount++] = c;
  };

  /** Expires what is due. Call it once for every poll, behind its packets. */
  readonly tick = (nowMs: number): void => {
    this.nowMs = nowMs;
    this.settle();
    this.fresh.next();
    this.ticking = true;
    for (let i = 0; i < BATCHES_PER_TICK; i++) {
      this.dueCount = 0;
      if (this.wheel.advance(nowMs, CONN_BATCH) > 0) this.fire();
      if (!this.wheel.behind) break;
    }
    this.settle();
    this.ticking = false;
  };

  /** When the next timer may fire, Infinity when there is none. */
  nextMs(): number {
    return this.wheel.nextMs();
  }

  /**
   * Takes over the records that an earlier life of this lcore left: free list, index and timers are re-made
   * from them. A record that was not indexed yet was in the middle of creation and is freed.
   * @param adopt called for every connection that can be taken over; false refuses (its record makes no sense)
   * @returns how many
   */
  rebuild(nowMs: number, adopt: (c: number) => boolean): number {
    const r = this.records;
    this.nowMs = nowMs;
    this.wheel.start(nowMs);
    this.freeCount = 0;
    let kept = 0;
    for (let c = r.capacity - 1; c >= 1; c--) {
      const flags = r.flags(c);
      if ((flags & CONN_F_HASHED) !== 0 && r.isUsed(c) && adopt(c)) {
        const elapsed = (nowMs - r.lastSeenMs(c)) >>> 0;
        this.wheel.schedule(c, nowMs + Math.max(r.timeoutMs(c) - elapsed, 0));
        kept++;
      } else {
        if (flags !== 0) r.setFlags(c, 0);
        this.freed[this.freeCount++] = c;
      }
    }
    this.index.rebuild();
    return kept;
  }

  private readonly noteInserted = (c: number): void => {
    const r = this.records;
    r.setFlags(c, r.flags(c) | CONN_F_HASHED);
    for (let d = DIR_IN; d <= DIR_OUT; d++) {
      const dir = r.dir(c, d);
      this.fresh.add(r.bytes.u32(dir + D.saddr), r.bytes.u32(dir + D.daddr), r.bytes.u32(dir + D.sport));
    }
  };

  /** Tells the index what waits for it. */
  private readonly settle = (): void => {
    const n = this.waiting;
    if (n === 0) return;
    this.waiting = 0;
    const { batch } = this.index;
    if (this.ticking) {
      this.index.removeMany(n);
      for (let i = 0; i < n; i++) this.freed[this.freeCount++] = batch[i]!;
      return;
    }
    const refused = this.index.insertMany(n);
    for (let i = 0; i < refused; i++) {
      const c = batch[i]!;
      this.records.setFlags(c, this.records.flags(c) & ~CONN_F_HASHED);
      this.onExpire(c);
    }
  };

  /** Handles the timers in `due`. */
  private readonly fire = (): void => {
    const { due, dueCount, records: r } = this;
    this.settle();
    for (let i = 0; i < dueCount; i++) this.index.batch[i] = due[i]!;
    this.index.prefetch(dueCount);
    for (let i = 0; i < dueCount; i++) {
      const c = due[i]!;
      // An earlier one may have ended it or given it another timeout.
      if (!r.isUsed(c) || this.wheel.isScheduled(c)) continue;
      const elapsed = (this.nowMs - r.lastSeenMs(c)) >>> 0;
      const left = r.timeoutMs(c) - elapsed;
      if (left > 0) this.wheel.schedule(c, this.nowMs + left);
      else this.onExpire(c);
    }
  };
}
