/**
 * The connection table of one lcore: records in shared memory, a free list, the native index over both directions,
 * and expiry. Creating and releasing allocate nothing.
 *
 * Expiry is lazy: a packet only stores when it was seen. When the timer of a connection fires too early for
 * that, it is set again for the rest; only a change of the timeout itself touches the wheel.
 */
import { CONN_F_HASHED, DIR_IN, DIR_OUT } from '../../core/layout.js';
import { Wheel } from '../../core/wheel.js';
import type { FlowIndex } from './flow-index.js';
import { Records } from './records.js';

/** Timers handled in one tick at most, so that a burst of expiries doesn't hold up packets. */
const TIMERS_PER_TICK = 1024;

export class ConnTable {
  readonly records: Records;
  /** Time of the last tick. */
  nowMs: number;
  private readonly wheel: Wheel;
  /** Indices of free records; the first `freeCount` are valid. */
  private readonly free: Uint32Array;
  private freeCount = 0;

  /**
   * The records are taken as they are: call `rebuild` when an earlier life of the lcore has left some.
   * @param onExpire called with a connection whose time is up; ends with `release`
   */
  constructor(
    buffer: SharedArrayBuffer,
    readonly index: FlowIndex,
    nowMs: number,
    private readonly onExpire: (c: number) => void,
  ) {
    this.records = new Records(buffer);
    this.nowMs = nowMs;
    const { capacity } = this.records;
    this.free = new Uint32Array(capacity);
    this.wheel = new Wheel(capacity, (c) => this.timer(c));
    this.wheel.start(nowMs);
    // Popped from the end: low indices first, so that a small load touches little memory.
    for (let c = capacity - 1; c >= 1; c--) this.free[this.freeCount++] = c;
  }

  /** Connections in the table. */
  get size(): number {
    return this.records.capacity - 1 - this.freeCount;
  }

  /** A zeroed record marked as used, or 0 when the table is full. It is not indexed and has no timer yet. */
  alloc(nowMs: number): number {
    if (this.freeCount === 0) return 0;
    const c = this.free[--this.freeCount]!;
    const r = this.records;
    r.begin(c);
    if (c > r.top) r.setTop(c);
    r.setCreatedMs(c, nowMs);
    r.setLastSeenMs(c, DIR_IN, nowMs);
    r.setLastSeenMs(c, DIR_OUT, nowMs);
    return c;
  }

  /** Makes the connection findable by the tuples of its directions. @returns as `FlowIndex.insert` */
  insert(c: number): number {
    const rc = this.index.insert(c);
    if (rc === 0) this.records.setFlags(c, this.records.flags(c) | CONN_F_HASHED);
    return rc;
  }

  /** Gives a connection the timeout that begins now. */
  setTimeout(c: number, timeoutMs: number, nowMs: number): void {
    this.records.setTimeoutMs(c, timeoutMs);
    this.wheel.schedule(c, nowMs + timeoutMs);
  }

  /** Ends a connection: out of the index, off the wheel, record free. */
  release(c: number): void {
    const r = this.records;
    if ((r.flags(c) & CONN_F_HASHED) !== 0) this.index.remove(c);
    this.wheel.cancel(c);
    r.setFlags(c, 0);
    // A packet of the same poll may still name it (`PktPriv.hint`).
    r.clearActions(c);
    this.free[this.freeCount++] = c;
  }

  /** Expires what is due. */
  tick(nowMs: number): void {
    this.nowMs = nowMs;
    this.wheel.advance(nowMs, TIMERS_PER_TICK);
  }

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
        this.free[this.freeCount++] = c;
      }
    }
    this.index.rebuild();
    return kept;
  }

  private timer(c: number): void {
    const r = this.records;
    const elapsed = (this.nowMs - r.lastSeenMs(c)) >>> 0;
    const left = r.timeoutMs(c) - elapsed;
    if (left > 0) this.wheel.schedule(c, this.nowMs + left);
    else this.onExpire(c);
  }
}
