/** Weighted least connection: the smallest `(active * 256 + inactive) / weight`, the first of equals. */
import { least, type LeastState, leastState, overhead } from './least.js';
import type { Scheduler } from './scheduler.js';

export const wlc: Scheduler<LeastState> = {
  name: 'wlc',
  text: 'weighted least connection',
  state: leastState,
  pick: (state, dests, load) => least(dests, state.start, load, overhead),
};
