/**
 * Locality-based least connection (caches, SNAT): connections to one destination address stay with one real server, unless it
 * is overloaded while another is half idle; then, and for a new address, the least loaded takes it over.
 */
import type { Dest } from '../service.js';
import { least, overhead } from './least.js';
import { Addresses, destOf, ENTRIES, type LocalityState, localityState } from './locality.js';
import type { Load, Scheduler } from './scheduler.js';

class Memory {
  readonly addresses = new Addresses();
  /** Slot by entry. */
  readonly owners = new Uint16Array(ENTRIES);
}

export const lblc: Scheduler<LocalityState<Memory>> = {
  name: 'lblc',
  text: 'locality-based least connection',

  state: localityState,

  pick(state, dests, load, _caddr, _cport, vaddr, nowMs): Dest | undefined {
    const m = (state.memory ??= new Memory());
    let e = m.addresses.find(vaddr, nowMs);
    const own = e < 0 ? undefined : destOf(m.owners[e]!, state.places, dests);
    if (own !== undefined && load.usable(own) && !isOverloaded(own, dests, load)) return own;
    const dest = least(dests, state.start, load, overhead);
    if (dest === undefined) return undefined;
    if (e < 0) e = m.addresses.claim(vaddr, nowMs);
    m.owners[e] = dest.slot;
    return dest;
  },
};

/** More established connections than its weight, while another has less than half of its own. */
export function isOverloaded(dest: Dest, dests: readonly Dest[], load: Load): boolean {
  if (load.active(dest) <= dest.weight) return false;
  for (let i = 0; i < dests.length; i++) {
    const other = dests[i]!;
    if (load.active(other) * 2 < other.weight && load.usable(other)) return true;
  }
  return false;
}
