/** Destination hashing: all connections to one address get the same real server (for SNAT and caches). */
import { hash } from './hash.js';
import type { Scheduler } from './scheduler.js';
import { pickShare, type Shares, shares } from './shares.js';

export const dh: Scheduler<Shares> = {
  name: 'dh',
  text: 'destination hashing',
  state: (dests) => shares(dests, false, false),
  pick: (state, _dests, load, _caddr, _cport, vaddr) => pickShare(state, hash(vaddr, 0, 0), load),
};
