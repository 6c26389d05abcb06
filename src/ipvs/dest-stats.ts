/**
 * Counters and gauges of real servers on one lcore, in its DEST_STATS area of the statistics segment. It is also
 * what schedulers know of load. All of it is plain array access.
 */
import { destIndex } from '../core/stats.js';
import { DEST_F_LIMITED, DEST_STATS, DIR_IN } from '../core/layout.js';
import type { DestLimits } from './limits.js';
import { isInhibited } from './quiescent.js';
import type { Dest } from './service.js';
import type { Load } from './sched/scheduler.js';

const CONNS = DEST_STATS.at.conns >>> 3;
const IN_PACKETS = DEST_STATS.at.inPackets >>> 3;
const IN_BYTES = DEST_STATS.at.inBytes >>> 3;
const OUT_PACKETS = DEST_STATS.at.outPackets >>> 3;
const OUT_BYTES = DEST_STATS.at.outBytes >>> 3;
const ACTIVE = DEST_STATS.at.active >>> 3;
const INACTIVE = DEST_STATS.at.inactive >>> 3;
const FLAGS = DEST_STATS.at.flags >>> 2;
const SVC = FLAGS + 1;
const SIZE32 = DEST_STATS.size >>> 2;
const WORDS = DEST_STATS.size >>> 3;

export class DestStats implements Load {
  private readonly own32: Uint32Array;

  /**
   * @param own this lcore's area, by slot
   * @param limits shared with the other lcores
   */
  constructor(
    private readonly own: Float64Array,
    private readonly limits: DestLimits,
  ) {
    this.own32 = new Uint32Array(own.buffer, own.byteOffset, own.length * 2);
  }

  // ----- Load

  usable(dest: Dest): boolean {
    return dest.weight > 0 && !isInhibited(dest) && !this.overloaded(dest);
  }
  active(dest: Dest): number {
    return this.own[destIndex(dest.slot) + ACTIVE]!;
  }
  inactive(dest: Dest): number {
    return this.own[destIndex(dest.slot) + INACTIVE]!;
  }

  /** True when the real server has as many connections as it may have. */
  overloaded(dest: Dest): boolean {
    return dest.maxConn > 0 && this.limits.isFull(dest.slot, dest.maxConn);
  }

  // ----- packet path

  /** DEST_F bits of a slot. */
  flags(slot: number): number {
    return this.own32[slot * SIZE32 + FLAGS]!;
  }

  /** Slot of the service that the real server belongs or belonged to. */
  svc(slot: number): number {
    return this.own32[slot * SIZE32 + SVC]!;
  }

  /**
   * Takes a place for a connection where the real server has a limit; `opened` or `cancelled` follows.
   * @returns false when another lcore was faster
   */
  reserve(dest: Dest): boolean {
    return (this.flags(dest.slot) & DEST_F_LIMITED) === 0 || this.limits.reserve(dest.slot, dest.maxConn);
  }

  /** The connection that a place was taken for cannot be made. */
  cancelled(dest: Dest): void {
    if ((this.flags(dest.slot) & DEST_F_LIMITED) !== 0) this.release(dest.slot, dest);
  }

  packet(slot: number, dir: number, bytes: number): void {
    const at = destIndex(slot);
    if (dir === DIR_IN) {
      this.own[at + IN_PACKETS]! += 1;
      this.own[at + IN_BYTES]! += bytes;
    } else {
      this.own[at + OUT_PACKETS]! += 1;
      this.own[at + OUT_BYTES]! += bytes;
    }
  }

  /** A new connection, inactive as all are in the beginning. */
  opened(slot: number): void {
    const at = destIndex(slot);
    this.own[at + CONNS]! += 1;
    this.own[at + INACTIVE]! += 1;
  }

  /** A connection became active or inactive. */
  moved(slot: number, active: boolean): void {
    const at = destIndex(slot);
    this.own[at + ACTIVE]! += active ? 1 : -1;
    this.own[at + INACTIVE]! += active ? -1 : 1;
  }

  /** @param dest the holder of the slot, if there is one */
  closed(slot: number, active: boolean, dest: Dest | undefined): void {
    this.own[destIndex(slot) + (active ? ACTIVE : INACTIVE)]! -= 1;
    if ((this.flags(slot) & DEST_F_LIMITED) !== 0) this.release(slot, dest);
  }

  private release(slot: number, dest: Dest | undefined): void {
    this.limits.release(slot, dest === undefined ? 0 : dest.maxConn, dest === undefined ? 0 : dest.minConn);
  }

  // ----- control

  /** Sets the bits of `mask` to those of `value`. */
  setFlags(slot: number, mask: number, value: number): void {
    this.own32[slot * SIZE32 + FLAGS] = (this.flags(slot) & ~mask) | (value & mask);
  }

  setSvc(slot: number, svc: number): void {
    this.own32[slot * SIZE32 + SVC] = svc;
  }

  /** A real server is there with this limit, 0 = none: its connections begin or end to be counted over all lcores. */
  limit(slot: number, maxConn: number): void {
    const counted = (this.flags(slot) & DEST_F_LIMITED) !== 0;
    if (counted !== maxConn > 0) {
      this.setFlags(slot, DEST_F_LIMITED, counted ? 0 : DEST_F_LIMITED);
      this.limits.add(slot, counted ? -this.total(slot) : this.total(slot));
    }
    if (maxConn > 0) this.limits.settle(slot, maxConn);
  }

  /** Connections of this lcore. */
  private total(slot: number): number {
    const at = destIndex(slot);
    return this.own[at + ACTIVE]! + this.own[at + INACTIVE]!;
  }

  /** Zeroes the counters of a slot; the gauges stay. */
  zero(slot: number): void {
    const at = destIndex(slot);
    this.own.fill(0, at + CONNS, at + OUT_BYTES + 1);
  }

  /** A slot begins anew. */
  clear(slot: number): void {
    this.limit(slot, 0);
    this.own.fill(0, destIndex(slot), destIndex(slot) + WORDS);
  }

  /** Zeroes the gauges of all slots, before connections are counted again. */
  forget(): void {
    for (let slot = 0; slot < this.own.length / WORDS; slot++) {
      const total = this.total(slot);
      if (total === 0) continue;
      if ((this.flags(slot) & DEST_F_LIMITED) !== 0) this.limits.add(slot, -total);
      this.own[destIndex(slot) + ACTIVE] = this.own[destIndex(slot) + INACTIVE] = 0;
    }
  }

  /** True for a slot number that exists. */
  has(slot: number): boolean {
    return slot > 0 && destIndex(slot) < this.own.length;
  }

  /** Counts a connection that was there before. */
  adopt(slot: number, active: boolean): void {
    this.own[destIndex(slot) + (active ? ACTIVE : INACTIVE)]! += 1;
    if ((this.flags(slot) & DEST_F_LIMITED) !== 0) this.limits.add(slot, 1);
  }
}
