/**
 * Consistent hashing on a ring: each real server has 160 points for each unit of weight, a client belongs to the next point behind
 * its hash. A real server that goes, is drained or is full leaves its clients to the points that follow; nobody else moves.
 *
 * The unit is the greatest common divisor of the weights, as in the original. It never grows as long as there are real servers, and
 * neither does the number of points by which a ring would be too large: who goes must not change the points of the others. A new
 * weight that makes the unit smaller gives all of them more points, and moves many clients.
 */
import type { Dest } from '../service.js';
import { gcd } from './gcd.js';
import { firstOf, hash, takes, TRIES, weighted } from './hash.js';
import type { Load, Scheduler } from './scheduler.js';
import { type Build, SLICE, Sliced } from './sliced.js';

const POINTS = 160;
/** Points of a ring at most, as long as each real server has one. */
const MAX_POINTS = 2 ** 18;

export interface Ring {
  readonly dests: readonly Dest[];
  /** Ascending. */
  readonly points: Uint32Array;
  /** Index into `dests` by point. */
  readonly owners: Uint16Array;
  /** A hash shifted right by `shift` -> its first point at or behind the beginning of that range. */
  readonly first: Uint32Array;
  readonly shift: number;
}

class ConhashState extends Sliced<Ring> {
  /** Weight of 160 points, 0 when there is no real server. */
  unit = 0;
  /** Points of all are divided by two as many times. */
  halvings = 0;

  /** Points of a real server. */
  points(d: Dest): number {
    return Math.max(1, Math.floor((POINTS * d.weight) / this.unit / 2 ** this.halvings));
  }
}

export const conhash: Scheduler<ConhashState> = {
  name: 'conhash',
  text: 'consistent hashing',
  hashTargets: ['sip'],

  state(dests, _start, old) {
    const state = old ?? new ConhashState();
    if (dests.length === 0) state.unit = state.halvings = 0;
    state.unit = dests.reduce((u, d) => gcd(u, d.weight), state.unit);
    const total = dests.reduce((sum, d) => sum + d.weight, 0);
    while ((POINTS * total) / state.unit / 2 ** state.halvings > MAX_POINTS) state.halvings++;
    state.want(() => ring(dests, (d) => state.points(d)));
    return state;
  },

  build: (state) => state.step(),

  pick(state: ConhashState, dests: readonly Dest[], load: Load, caddr: number): Dest | undefined {
    const h = hash(caddr, 0, 0);
    const { table } = state;
    // Until the first ring stands, each gets its part.
    if (table === undefined || table.dests.length === 0) return firstOf(dests, h, load);
    const { points, owners } = table;
    let i = table.first[h >>> table.shift]!;
    while (i < points.length && points[i]! < h) i++;
    for (let k = 0; k < TRIES; k++, i++) {
      if (i >= points.length) i = 0;
      const dest = table.dests[owners[i]!]!;
      if (takes(dest, load)) return dest;
    }
    return firstOf(dests, h, load);
  },
};

/** The ring of these real servers, sorted by distribution into ranges of a few points each. */
export function* ring(all: readonly Dest[], pointsOf: (d: Dest) => number): Build<Ring> {
  const dests = weighted(all);
  const counts = dests.map(pointsOf);
  const total = counts.reduce((sum, c) => sum + c, 0);
  const shift = Math.min(31, Math.clz32(total));
  const unsorted = new Uint32Array(total);
  const first = new Uint32Array(2 ** (32 - shift) + 1);
  let steps = 0;
  for (let i = 0, p = 0; i < dests.length; i++) {
    const name = hash(dests[i]!.addr, dests[i]!.port, 1);
    for (let j = 0; j < counts[i]!; j++, p++) {
      unsorted[p] = hash(name, j, 2);
      first[(unsorted[p]! >>> shift) + 1]!++;
      if (++steps % SLICE === 0) yield;
    }
  }
  for (let r = 1; r < first.length; r++) {
    first[r]! += first[r - 1]!;
    if (++steps % SLICE === 0) yield;
  }
  const filled = first.slice();
  const points = new Uint32Array(total);
  const owners = new Uint16Array(total);
  for (let i = 0, p = 0; i < dests.length; i++) {
    for (let j = 0; j < counts[i]!; j++, p++) {
      // Insertion into its range: it holds one or two on average.
      const point = unsorted[p]!;
      const range = point >>> shift;
      let at = filled[range]!++;
      for (; at > first[range]! && points[at - 1]! > point; at--) {
        points[at] = points[at - 1]!;
        owners[at] = owners[at - 1]!;
      }
      points[at] = point;
      owners[at] = i;
      if (++steps % SLICE === 0) yield;
    }
  }
  return { dests, points, owners, first, shift };
}
