/** What lblc and lblcr remember: destination addresses with a few words each, bounded and aged. */
import { IntMap } from '../../core/intmap.js';
import type { Dest } from '../service.js';
import { hash } from './hash.js';
import { leastState, type LeastState } from './least.js';

/** Addresses: 2048 sets of eight. */
const SETS = 2048;
const WAYS = 8;
export const ENTRIES = SETS * WAYS;
/** An address that had no new connection for this long is forgotten: a day, as in LVS. */
export const FORGET_MS = 24 * 3600 * 1000;

export class Addresses {
  private readonly keys = new Uint32Array(ENTRIES);
  private readonly usedMs = new Float64Array(ENTRIES).fill(-Infinity);

  /** The entry of an address, or -1. */
  find(addr: number, nowMs: number): number {
    const from = (hash(addr, 0, 0) % SETS) * WAYS;
    for (let e = from; e < from + WAYS; e++) {
      if (this.keys[e] === addr && nowMs - this.usedMs[e]! < FORGET_MS) {
        this.usedMs[e] = nowMs;
        return e;
      }
    }
    return -1;
  }

  /** An entry for an address that has none: the longest unused of its set. */
  claim(addr: number, nowMs: number): number {
    const from = (hash(addr, 0, 0) % SETS) * WAYS;
    let oldest = from;
    for (let e = from + 1; e < from + WAYS; e++) if (this.usedMs[e]! < this.usedMs[oldest]!) oldest = e;
    this.keys[oldest] = addr;
    this.usedMs[oldest] = nowMs;
    return oldest;
  }
}

/** (slot, 0) -> place in the list of real servers. */
export type Places = IntMap;

function placesOf(dests: readonly Dest[]): Places {
  const places = new IntMap(dests.length);
  dests.forEach((d, i) => places.set(d.slot, 0, i));
  return places;
}

export interface LocalityState<M> extends LeastState {
  places: Places;
  /** Made by the first connection: the master has none. */
  memory: M | undefined;
}

export const localityState = <M>(
  dests: readonly Dest[],
  start: number,
  old: LocalityState<M> | undefined,
): LocalityState<M> => ({
  start: leastState(dests, start).start,
  places: placesOf(dests),
  memory: old?.memory,
});

/** The real server of a slot, unless it is gone. */
export function destOf(slot: number, places: Places, dests: readonly Dest[]): Dest | undefined {
  const i = places.get(slot, 0);
  return i < 0 ? undefined : dests[i];
}
