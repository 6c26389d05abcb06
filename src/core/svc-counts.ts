/**
 * What is counted by service: the drop reasons and events that have `svc` in their tables (src/core/drops.ts, src/core/events.ts),
 * each with a counter for every service in the statistics segment (SVC_STATS). Names stand in the segment's directory, so a
 * reader needs no knowledge of the order.
 */
import { DROP_REASONS } from './drops.js';
import { EVENT_KINDS } from './events.js';
import { DROP_CAP } from './layout.js';

/** By index into SVC_STATS.drops. The first counts what is not marked in the table. */
export const SVC_DROPS: readonly string[] = [
  'OTHER',
  ...DROP_REASONS.filter((r) => r.svc === true).map((r) => r.name),
];

/** By drop reason: its index into SVC_STATS.drops. */
export const SVC_DROP_OF: Uint8Array = Uint8Array.from({ length: DROP_CAP }, (_, i) =>
  Math.max(SVC_DROPS.indexOf(DROP_REASONS[i]?.svc === true ? DROP_REASONS[i].name : ''), 0),
);

/** By index into SVC_STATS.events. */
export const SVC_EVENTS: readonly string[] = EVENT_KINDS.filter((e) => e.svc === true).map((e) => e.name);

/** By event that is marked in the table: its index into SVC_STATS.events. */
export const SVC_EVENT_OF: Int8Array = Int8Array.from(EVENT_KINDS, (e) => SVC_EVENTS.indexOf(e.name));
