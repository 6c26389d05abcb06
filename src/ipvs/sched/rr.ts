/** Round robin: the next usable real server after the last one. */
import type { Dest } from '../service.js';
import type { Load, Scheduler } from './scheduler.js';

interface RrState {
  /** Index chosen last, -1 before the first. */
  at: number;
  /** What stood there, to find the place again when real servers come and go. */
  last: Dest | undefined;
  /** False until the first pick: the start position still applies. */
  begun: boolean;
}

export const rr: Scheduler<RrState> = {
  name: 'rr',
  text: 'round robin',
  goesRound: true,

  state(dests, start, old) {
    const n = dests.length;
    if (!old?.begun) return { at: n === 0 ? -1 : (start % n) - 1, last: undefined, begun: false };
    // Go on behind the one that was last; when it is gone, its successor has moved to its place.
    const found = old.last === undefined ? -1 : dests.indexOf(old.last);
    const at = found >= 0 ? found : Math.min(Math.max(old.at - 1, -1), n - 1);
    return { at, last: dests[at], begun: true };
  },

  pick(state: RrState, dests: readonly Dest[], load: Load): Dest | undefined {
    const n = dests.length;
    let i = state.at;
    for (let tries = 0; tries < n; tries++) {
      i = i + 1 < n ? i + 1 : 0;
      const dest = dests[i]!;
      if (load.usable(dest)) {
        state.at = i;
        state.last = dest;
        state.begun = true;
        return dest;
      }
    }
    return undefined;
  },
};
