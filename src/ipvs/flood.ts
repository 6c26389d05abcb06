/**
 * Flood mode: a connection table that fills up keeps its connections and makes room for new ones at the cost of those that nobody
 * has confirmed: half open, one-way, or over (`fleeting` in the tables of states). Established ones are never ended. What can do
 * without a record when the table is full is forwarded by hash instead: unrecorded.ts.
 *
 * From the high watermark on, until the low one, a hand goes round the records, some in every poll, and ends what is
 * fleeting and has been silent for `idleMs`, whatever its timeout. Should the table be full all the same, a new connection takes
 * the place of the one silent for the longest time among the next few that are fleeting. The hand goes on from where it
 * was, so each lives for about as long as it takes the attacker to go round the whole table.
 *
 * It costs nothing but a comparison for each poll while the table is not full.
 */
import { CONN_F_HASHED } from '../core/layout.js';
import { EVENT } from '../core/events.js';
import type { Packets } from '../core/packet.js';
import type { ConnTable } from './conn/table.js';
import { PROTO_BY_NUMBER } from './proto/index.js';

/** Records that the hand passes in a poll. */
const SWEEP = 256;
/** Records that are looked at to make room for one connection, and fleeting ones that are compared. */
const REACH = 128;
const CHOICE = 8;

export interface FloodConfig {
  /** Percent of the table from which on it is flood, 0 = there is no such mode; and below which it is over. */
  floodHigh: number;
  floodLow: number;
  /** What is fleeting and silent for so long is ended. */
  floodIdleMs: number;
}

/** By IP protocol number: fleeting states as bits. */
const FLEETING = Uint32Array.from(PROTO_BY_NUMBER, (p) =>
  p === undefined ? 0 : p.states.reduce((bits, s, i) => (s.fleeting === true ? bits | (1 << i) : bits), 0),
);

export class Flood {
  /** True between the watermarks. */
  on = false;
  private readonly high: number;
  private readonly low: number;
  private readonly idleMs: number;
  readonly enabled: boolean;
  /** The record looked at last. */
  private hand = 0;
  /** In this poll `makeRoom` has found nothing: so many established connections are not looked through for each new one. */
  private inVain = false;

  /**
   * @param end ends a connection
   * @param told called when the mode begins and ends
   */
  constructor(
    private readonly table: ConnTable,
    private readonly packets: Packets,
    { floodHigh, floodLow, floodIdleMs }: FloodConfig,
    private readonly end: (c: number) => void,
    private readonly told: (on: boolean) => void,
  ) {
    const all = table.records.capacity - 1;
    this.enabled = floodHigh > 0;
    this.high = this.enabled ? Math.max(Math.floor((all * floodHigh) / 100), 1) : Infinity;
    this.low = Math.min(Math.floor((all * floodLow) / 100), this.high);
    this.idleMs = floodIdleMs;
  }

  /** Once for every poll. */
  tick(nowMs: number): void {
    this.inVain = false;
    const { size } = this.table;
    if (!this.on) {
      if (size < this.high) return;
      this.turn(true);
    } else if (size < this.low) {
      this.turn(false);
      return;
    }
    for (let i = 0; i < SWEEP; i++) {
      const c = this.next();
      if (!this.isFleeting(c) || this.idle(c, nowMs) < this.idleMs) continue;
      this.packets.countEvent(EVENT.FLOOD_EXPIRED);
      this.end(c);
    }
  }

  /** Ends a connection for a new one. @returns false when there is none that may be ended */
  makeRoom(nowMs: number): boolean {
    if (!this.enabled || this.inVain) return false;
    let best = 0;
    let longest = -1;
    let seen = 0;
    for (let i = 0; i < REACH && seen < CHOICE; i++) {
      const c = this.next();
      if (!this.isFleeting(c)) continue;
      seen++;
      const idle = this.idle(c, nowMs);
      if (idle <= longest) continue;
      best = c;
      longest = idle;
    }
    if (best === 0) {
      this.inVain = true;
      return false;
    }
    this.packets.countEvent(EVENT.FLOOD_EVICTED);
    this.end(best);
    return true;
  }

  private turn(on: boolean): void {
    this.on = on;
    if (on) this.packets.countEvent(EVENT.FLOOD_BEGUN);
    this.told(on);
  }

  private next(): number {
    const { records } = this.table;
    this.hand = this.hand >= records.top ? 1 : this.hand + 1;
    return this.hand;
  }

  private isFleeting(c: number): boolean {
    const { records: r } = this.table;
    return (r.flags(c) & CONN_F_HASHED) !== 0 && ((FLEETING[r.proto(c)]! >>> r.state(c)) & 1) !== 0;
  }

  private idle(c: number, nowMs: number): number {
    return (nowMs - this.table.records.lastSeenMs(c)) >>> 0;
  }
}
