/** What the hashing schedulers share. */
import { isQuiescent } from '../quiescent.js';
import type { Dest } from '../service.js';
import type { Load } from './scheduler.js';

/**
 * A 32-bit hash of two numbers. Nothing of it is random: all lcores, an instance after its restart and another one
 * beside it agree.
 */
export function hash(a: number, b: number, seed: number): number {
  let h = Math.imul(a ^ seed, 0xcc9e2d51);
  h = (h << 15) | (h >>> 17);
  h = Math.imul(h ^ b, 0x1b873593);
  h ^= h >>> 16;
  h = Math.imul(h ^ seed, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Scales a hash to 0 <= x < n. */
export const below = (h: number, n: number): number => Math.floor((h / 2 ** 32) * n);

/** May get connections. A table that is being built anew may still name one that has gone. */
export const takes = (dest: Dest, load: Load): boolean => !dest.removed && load.usable(dest);

/** Entries of a table that are tried in place of one that cannot take the connection, before all are looked through. */
export const TRIES = 32;

/** The first that takes connections, searched from where the hash says. */
export function firstOf(dests: readonly Dest[], h: number, load: Load): Dest | undefined {
  const n = dests.length;
  let i = below(h, n);
  for (let k = 0; k < n; k++, i = i + 1 < n ? i + 1 : 0) if (takes(dests[i]!, load)) return dests[i];
  return undefined;
}

/** Those that are not drained, in an order that does not depend on the order in which they were added. */
export const weighted = (dests: readonly Dest[]): Dest[] =>
  dests.filter((d) => !isQuiescent(d)).sort((a, b) => a.addr - b.addr || a.port - b.port);
