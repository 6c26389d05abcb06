/**
 * Packets that this lcore dropped for each service, by reason, in its SVC_STATS area of the statistics segment. Plain array access;
 * native code counts in the same place (`count_svc_drop`).
 */
import { SVC_STATS } from '../core/layout.js';
import { svcIndex } from '../core/stats.js';
import { SVC_DROP_OF } from '../core/svc-drops.js';

export class SvcStats {
  /** @param own this lcore's area, by slot of the service; slots behind its end are not counted */
  constructor(private readonly own: Float64Array) {}

  /** Counts a drop of the service in a slot; the packet itself is dropped by `Packets.drop`. */
  drop(slot: number, reason: number): void {
    this.own[svcIndex(slot) + SVC_DROP_OF[reason]!]! += 1;
  }

  /** A slot begins anew. */
  zero(slot: number): void {
    this.own.fill(0, svcIndex(slot), svcIndex(slot) + (SVC_STATS.size >>> 3));
  }
}
