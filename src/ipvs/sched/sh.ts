/** Source hashing: the same client always gets the same real server, as long as the real servers stay the same. */
import { hash } from './hash.js';
import type { Scheduler } from './scheduler.js';
import { pickShare, type Shares, shares } from './shares.js';

export const sh: Scheduler<Shares> = {
  name: 'sh',
  text: 'source hashing',
  flags: ['sh-fallback', 'sh-port'],
  state: (dests, _start, _old, flags) =>
    shares(dests, flags.includes('sh-fallback'), flags.includes('sh-port')),
  pick: (state, _dests, load, caddr, cport) => pickShare(state, hash(caddr, state.port ? cport : 0, 0), load),
};
