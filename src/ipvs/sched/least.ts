/** Search for the least loaded real server, shared by the schedulers that count connections. */
import type { Dest } from '../service.js';
import type { Load } from './scheduler.js';

export interface LeastState {
  /** Where each search starts, so that lcores don't all prefer the same one of equals. */
  readonly start: number;
}

export const leastState = (dests: readonly Dest[], start: number): LeastState => ({
  start: dests.length === 0 ? 0 : start % dests.length,
});

/** What a real server's connections cost it. An established connection counts as 256 others. */
export type Cost = (active: number, inactive: number) => number;
export const overhead: Cost = (active, inactive) => active * 256 + inactive;
/** The new connection included. */
export const expected: Cost = (active, inactive) => (active + 1) * 256 + inactive;

/**
 * The usable real server of the smallest cost / weight, the first of equals. Compared by cross multiplication, exact in
 * doubles (2^28 * 2^16 < 2^53).
 * @param weighted false: weights don't count, beyond 0 or not
 * @param idle only those without established connections
 */
export function least(
  dests: readonly Dest[],
  start: number,
  load: Load,
  cost: Cost,
  weighted = true,
  idle = false,
): Dest | undefined {
  const n = dests.length;
  let best: Dest | undefined;
  let bestCost = 0;
  let bestWeight = 1;
  let i = start < n ? start : 0;
  for (let k = 0; k < n; k++, i = i + 1 < n ? i + 1 : 0) {
    const dest = dests[i]!;
    if (!load.usable(dest)) continue;
    const active = load.active(dest);
    if (idle && active > 0) continue;
    const c = cost(active, load.inactive(dest));
    const weight = weighted ? dest.weight : 1;
    if (best === undefined || c * bestWeight < bestCost * weight) {
      best = dest;
      bestCost = c;
      bestWeight = weight;
    }
  }
  return best;
}
