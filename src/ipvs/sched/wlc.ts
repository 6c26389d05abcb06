/**
 * Weighted least connection: the smallest `(active * 256 + inactive) / weight`, the first of equals. Compared
 * by cross multiplication, exact in doubles (2^28 * 2^16 < 2^53).
 */
import type { Dest } from '../service.js';
import type { Load, Scheduler } from './scheduler.js';

interface WlcState {
  /** Where each search starts, so that lcores don't all prefer the same one of equals. */
  readonly start: number;
}

export const wlc: Scheduler<WlcState> = {
  name: 'wlc',
  text: 'weighted least connection',

  state(dests, start) {
    return { start: dests.length === 0 ? 0 : start % dests.length };
  },

  pick(state: WlcState, dests: readonly Dest[], load: Load): Dest | undefined {
    const n = dests.length;
    let best: Dest | undefined;
    let bestLoad = 0;
    let bestWeight = 1;
    let i = state.start;
    for (let k = 0; k < n; k++, i = i + 1 < n ? i + 1 : 0) {
      const dest = dests[i]!;
      if (!load.usable(dest)) continue;
      const l = load.active(dest) * 256 + load.inactive(dest);
      if (best === undefined || l * bestWeight < bestLoad * dest.weight) {
        best = dest;
        bestLoad = l;
        bestWeight = dest.weight;
      }
    }
    return best;
  },
};
