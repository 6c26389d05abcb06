/** Weighted fail-over: always the heaviest usable real server, the first of equals. */
import type { Dest } from '../service.js';
import type { Scheduler } from './scheduler.js';

export const fo: Scheduler<undefined> = {
  name: 'fo',
  text: 'weighted fail-over',
  state: () => undefined,

  pick(_state, dests, load): Dest | undefined {
    let best: Dest | undefined;
    for (let i = 0; i < dests.length; i++) {
      const dest = dests[i]!;
      if ((best === undefined || dest.weight > best.weight) && load.usable(dest)) best = dest;
    }
    return best;
  },
};
