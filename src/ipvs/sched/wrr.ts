/**
 * Weighted round robin, interleaved: a level falls from the largest weight to the smallest in steps of the
 * greatest common divisor, each pass takes the real servers whose weight reaches the level. Over one
 * cycle each gets `weight / gcd` connections.
 */
import type { Dest } from '../service.js';
import { gcd } from './gcd.js';
import type { Load, Scheduler } from './scheduler.js';

interface WrrState {
  /** Index chosen last, -1 before a pass. */
  at: number;
  /** Weight that a real server needs in this pass; 0 before the first. */
  level: number;
  max: number;
  gcd: number;
  /** False until the first pick: the start position still applies. */
  begun: boolean;
}

export const wrr: Scheduler<WrrState> = {
  name: 'wrr',
  text: 'weighted round robin',
  goesRound: true,

  state(dests, start, old) {
    const max = dests.reduce((m, d) => Math.max(m, d.weight), 0);
    const step = dests.reduce((g, d) => gcd(g, d.weight), 0);
    const n = dests.length;
    if (!old?.begun) return { at: n === 0 ? -1 : (start % n) - 1, level: max, max, gcd: step, begun: false };
    // Levels are max, max - gcd, …: keep the place in the cycle as far as the new weights have it.
    const level = old.level > max ? max : max - Math.floor((max - old.level) / (step || 1)) * step;
    return { at: Math.min(old.at, n - 1), level, max, gcd: step, begun: true };
  },

  pick(state: WrrState, dests: readonly Dest[], load: Load): Dest | undefined {
    const n = dests.length;
    let i = state.at;
    let best = 0; // largest weight among the usable ones that this call saw below the level
    // One pass may have begun before this call; after two more that found nothing, the level is at `best`.
    for (let tries = 0; tries < 3 * n; tries++) {
      i++;
      if (i >= n) {
        i = 0;
        state.level -= state.gcd;
        // Don't step through levels that only real servers at their limit could reach.
        if (tries >= n && state.level > best) state.level = best;
        if (state.level <= 0) state.level = state.max;
      }
      const dest = dests[i]!;
      if (!load.usable(dest)) continue;
      if (dest.weight >= state.level) {
        state.at = i;
        state.begun = true;
        return dest;
      }
      if (dest.weight > best) best = dest.weight;
    }
    return undefined;
  },
};
