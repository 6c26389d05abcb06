/** Counters of a connection's service, beside those of the lcore. */
import type { XmitContext } from './xmit/xmit.js';

/** Counts an event of connection `c`. */
export function eventFor(x: XmitContext, c: number, event: number): void {
  x.packets.countEvent(event);
  x.svcStats.event(x.stats.svc(x.records.dest(c)), event);
}

/** Drops a packet of connection `c`. */
export function dropFor(x: XmitContext, p: number, c: number, reason: number): void {
  x.svcStats.drop(x.stats.svc(x.records.dest(c)), reason);
  x.packets.drop(p, reason);
}
