/**
 * Rendezvous hashing (Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", IEEE/ACM ToN 1998), with weights
 * (Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", SPAA 2005, logarithmic method): each real server draws a number for
 * a client, the best one wins. Who comes or goes moves only its own clients. It needs neither table nor memory, and as many hashes
 * as there are real servers.
 */
import { isQuiescent } from '../quiescent.js';
import type { Dest } from '../service.js';
import { hash } from './hash.js';

/**
 * Allocates nothing.
 * @param key hash of the client
 * @param may real servers that come into question, those that are not drained
 */
export function rendezvous(
  dests: readonly Dest[],
  key: number,
  may: (dest: Dest) => boolean,
): Dest | undefined {
  let best: Dest | undefined;
  let least = Infinity;
  for (let i = 0; i < dests.length; i++) {
    const dest = dests[i]!;
    if (isQuiescent(dest) || !may(dest)) continue;
    // Exponentially distributed with the weight as its rate: the least of several is each one's by weight.
    const drawn = -Math.log((hash(key, dest.addr, dest.port) + 1) / 2 ** 32) / dest.weight;
    if (drawn >= least) continue;
    best = dest;
    least = drawn;
  }
  return best;
}
