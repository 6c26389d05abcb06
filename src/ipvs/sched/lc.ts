/** Least connection: the smallest `active * 256 + inactive`, the first of equals; weights don't count. */
import { least, type LeastState, leastState, overhead } from './least.js';
import type { Scheduler } from './scheduler.js';

export const lc: Scheduler<LeastState> = {
  name: 'lc',
  text: 'least connection',
  state: leastState,
  pick: (state, dests, load) => least(dests, state.start, load, overhead, false),
};
