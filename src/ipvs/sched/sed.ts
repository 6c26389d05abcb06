/**
 * Shortest expected delay: the smallest `(active + 1) / weight`, so that of idle real servers the heaviest comes first.
 * Connections that are not established count a little (LVS ignores them): UDP has no others.
 */
import { expected, least, type LeastState, leastState } from './least.js';
import type { Scheduler } from './scheduler.js';

export const sed: Scheduler<LeastState> = {
  name: 'sed',
  text: 'shortest expected delay',
  state: leastState,
  pick: (state, dests, load) => least(dests, state.start, load, expected),
};
