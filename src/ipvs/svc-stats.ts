/**
 * Packets that this lcore dropped for each service, by reason, and events, in its SVC_STATS area of the statistics segment. Plain
 * array access; native code counts in the same place (`count_svc_drop`, `count_svc_event`).
 */
import { SVC_STATS } from '../core/layout.js';
import { svcEventIndex, svcIndex } from '../core/stats.js';
import { SVC_DROP_OF, SVC_EVENT_OF } from '../core/svc-counts.js';

export class SvcStats {
  /** @param own this lcore's area, by slot of the service; slots behind its end are not counted */
  constructor(private readonly own: Float64Array) {}

  /** Counts a drop of the service in a slot; the packet itself is dropped by `Packets.drop`. */
  drop(slot: number, reason: number): void {
    this.own[svcIndex(slot) + SVC_DROP_OF[reason]!]! += 1;
  }

  /** Counts an event that has `svc` in the table, of the service in a slot. */
  event(slot: number, event: number): void {
    this.own[svcEventIndex(slot) + SVC_EVENT_OF[event]!]! += 1;
  }

  /** A slot begins anew. */
  zero(slot: number): void {
    this.own.fill(0, svcIndex(slot), svcIndex(slot) + (SVC_STATS.size >>> 3));
  }
}
