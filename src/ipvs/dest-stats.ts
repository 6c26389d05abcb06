/**
 * Counters and gauges of real servers on one lcore, in its DEST_STATS area of the statistics segment. It is also
 * what schedulers know of load. All of it is plain array access.
 */
import { destIndex } from '../core/stats.js';
import { DEST_STATS, DIR_IN } from '../core/layout.js';
import type { Dest } from './service.js';
import type { Load } from './sched/scheduler.js';

const CONNS = DEST_STATS.at.conns >>> 3;
const IN_PACKETS = DEST_STATS.at.inPackets >>> 3;
const IN_BYTES = DEST_STATS.at.inBytes >>> 3;
const OUT_PACKETS = DEST_STATS.at.outPackets >>> 3;
const OUT_BYTES = DEST_STATS.at.outBytes >>> 3;
const ACTIVE = DEST_STATS.at.active >>> 3;
const INACTIVE = DEST_STATS.at.inactive >>> 3;
const PERSIST = DEST_STATS.at.persist >>> 3;
const WORDS = DEST_STATS.size >>> 3;

export class DestStats implements Load {
  /**
   * @param own this lcore's area, by slot
   * @param peers the areas of the other lcores, read only: connection limits hold over all lcores
   */
  constructor(
    private readonly own: Float64Array,
    private readonly peers: readonly Float64Array[],
  ) {}

  // ----- Load

  usable(dest: Dest): boolean {
    return dest.weight > 0 && !this.overloaded(dest);
  }
  active(dest: Dest): number {
    return this.own[destIndex(dest.slot) + ACTIVE]!;
  }
  inactive(dest: Dest): number {
    return this.own[destIndex(dest.slot) + INACTIVE]!;
  }

  /** True when the real server has as many connections as it may have. */
  overloaded(dest: Dest): boolean {
    if (dest.maxConn === 0) return false;
    const at = destIndex(dest.slot);
    let total = this.own[at + ACTIVE]! + this.own[at + INACTIVE]!;
    for (let i = 0; i < this.peers.length; i++) {
      const peer = this.peers[i]!;
      total += peer[at + ACTIVE]! + peer[at + INACTIVE]!;
    }
    return total >= dest.maxConn;
  }

  // ----- packet path

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

  closed(slot: number, active: boolean): void {
    this.own[destIndex(slot) + (active ? ACTIVE : INACTIVE)]! -= 1;
  }

  // ----- control

  /** Zeroes the counters of a slot; the gauges stay. */
  zero(slot: number): void {
    const at = destIndex(slot);
    this.own.fill(0, at + CONNS, at + OUT_BYTES + 1);
  }

  /** A slot begins anew. */
  clear(slot: number): void {
    this.own.fill(0, destIndex(slot), destIndex(slot) + WORDS);
  }

  /** Zeroes the gauges of all slots, before connections are counted again. */
  forget(): void {
    for (let at = 0; at < this.own.length; at += WORDS)
      this.own[at + ACTIVE] = this.own[at + INACTIVE] = this.own[at + PERSIST] = 0;
  }

  /** True for a slot number that exists. */
  has(slot: number): boolean {
    return slot > 0 && destIndex(slot) < this.own.length;
  }

  /** Counts a connection that was there before. */
  adopt(slot: number, active: boolean): void {
    this.own[destIndex(slot) + (active ? ACTIVE : INACTIVE)]! += 1;
  }
}
