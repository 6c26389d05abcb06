/**
 * The table behind sh and dh: real servers side by side on a line, each as long as its weight; a hash is a point on
 * it. Every weight is met exactly, whatever its size. (LVS fills 256 buckets, in which large weights leave no place for the last
 * real servers.)
 */
import type { Dest } from '../service.js';
import { below, firstOf, hash, takes, TRIES, weighted } from './hash.js';
import type { Load } from './scheduler.js';

export interface Shares {
  readonly dests: readonly Dest[];
  /** Where each one ends on the line. */
  readonly ends: Float64Array;
  readonly fallback: boolean;
  /** The client's port counts, too. */
  readonly port: boolean;
}

export function shares(all: readonly Dest[], fallback: boolean, port: boolean): Shares {
  const dests = weighted(all);
  let sum = 0;
  return { dests, ends: Float64Array.from(dests, (d) => (sum += d.weight)), fallback, port };
}

/** The real server of a hash; another one only with `fallback`. */
export function pickShare(s: Shares, h: number, load: Load): Dest | undefined {
  if (s.dests.length === 0) return undefined;
  const own = at(s, h);
  if (takes(own, load)) return own;
  if (!s.fallback) return undefined;
  // By weight as long as that is quick: the connections of one that is full spread over all others.
  for (let i = 1; i <= TRIES; i++) {
    const other = at(s, hash(h, i, 0));
    if (takes(other, load)) return other;
  }
  return firstOf(s.dests, h, load);
}

function at({ dests, ends }: Shares, h: number): Dest {
  const x = below(h, ends[ends.length - 1]!);
  let lo = 0;
  for (let hi = ends.length - 1; lo < hi;) {
    const mid = (lo + hi) >>> 1;
    if (ends[mid]! > x) hi = mid;
    else lo = mid + 1;
  }
  return dests[lo]!;
}
