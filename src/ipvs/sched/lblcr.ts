/**
 * Locality-based least connection with replication: a destination address has a set of real servers, of which the least loaded
 * gets the connection. When that is overloaded while another is half idle, the least loaded of all joins the set; when
 * the set has not changed for a day, the most loaded leaves it.
 */
import { isQuiescent } from '../quiescent.js';
import type { Dest } from '../service.js';
import { isOverloaded } from './lblc.js';
import { least, overhead } from './least.js';
import {
  Addresses,
  destOf,
  ENTRIES,
  FORGET_MS,
  type LocalityState,
  localityState,
  type Places,
} from './locality.js';
import type { Load, Scheduler } from './scheduler.js';

/** Real servers of a set at most; then the one that joins takes the place of the most loaded. */
const SET = 8;

class Memory {
  readonly addresses = new Addresses();
  /** Slots, SET by entry; those in use first. */
  readonly members = new Uint16Array(ENTRIES * SET);
  readonly sizes = new Uint8Array(ENTRIES);
  readonly changedMs = new Float64Array(ENTRIES);
}

export const lblcr: Scheduler<LocalityState<Memory>> = {
  name: 'lblcr',
  text: 'locality-based least connection with replication',

  state: localityState,

  pick(state, dests, load, _caddr, _cport, vaddr, nowMs): Dest | undefined {
    const m = (state.memory ??= new Memory());
    const { places } = state;
    let e = m.addresses.find(vaddr, nowMs);
    if (e < 0) {
      e = m.addresses.claim(vaddr, nowMs);
      m.sizes[e] = 0;
    }
    forgetGone(m, e, places, dests);
    const own = extreme(m, e, places, dests, load, false);
    if (own >= 0) {
      const dest = destOf(m.members[own]!, places, dests)!;
      if (!isOverloaded(dest, dests, load)) {
        if (m.sizes[e]! > 1 && nowMs - m.changedMs[e]! >= FORGET_MS) {
          remove(m, e, extreme(m, e, places, dests, load, true));
          m.changedMs[e] = nowMs;
        }
        return dest;
      }
    }
    const dest = least(dests, state.start, load, overhead);
    if (dest === undefined || has(m, e, dest.slot)) return dest;
    if (m.sizes[e] === SET) remove(m, e, extreme(m, e, places, dests, load, true));
    m.members[e * SET + m.sizes[e]!++] = dest.slot;
    m.changedMs[e] = nowMs;
    return dest;
  },
};

/** Where the least loaded usable member stands, or the most loaded one; -1 when there is none. */
function extreme(
  m: Memory,
  e: number,
  places: Places,
  dests: readonly Dest[],
  load: Load,
  most: boolean,
): number {
  let best = -1;
  let bestCost = 0;
  let bestWeight = 1;
  for (let i = e * SET; i < e * SET + m.sizes[e]!; i++) {
    const dest = destOf(m.members[i]!, places, dests)!;
    if (!most && !load.usable(dest)) continue;
    const cost = overhead(load.active(dest), load.inactive(dest));
    const difference = cost * bestWeight - bestCost * dest.weight;
    if (best >= 0 && (most ? difference <= 0 : difference >= 0)) continue;
    best = i;
    bestCost = cost;
    bestWeight = dest.weight;
  }
  return best;
}

function forgetGone(m: Memory, e: number, places: Places, dests: readonly Dest[]): void {
  for (let i = e * SET + m.sizes[e]! - 1; i >= e * SET; i--) {
    const dest = destOf(m.members[i]!, places, dests);
    if (dest === undefined || isQuiescent(dest)) remove(m, e, i);
  }
}

/** The last takes its place. */
function remove(m: Memory, e: number, i: number): void {
  m.members[i] = m.members[e * SET + --m.sizes[e]!]!;
}

function has(m: Memory, e: number, slot: number): boolean {
  for (let i = e * SET; i < e * SET + m.sizes[e]!; i++) if (m.members[i] === slot) return true;
  return false;
}
