/** Never queue: a real server without established connections if there is one; of these, or else of all, as sed. */
import { expected, least, type LeastState, leastState } from './least.js';
import type { Scheduler } from './scheduler.js';

export const nq: Scheduler<LeastState> = {
  name: 'nq',
  text: 'never queue',
  state: leastState,
  pick: (state, dests, load) =>
    least(dests, state.start, load, expected, true, true) ?? least(dests, state.start, load, expected),
};
