/**
 * Maglev hashing (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4): a table
 * of prime size, in which each real server has as many entries as its weight is worth; who comes or goes moves few of the others'
 * entries. The table follows from addresses, ports and weights alone, not from their order or history: all lcores and
 * instances have the same.
 */
import { isQuiescent } from '../quiescent.js';
import type { Dest } from '../service.js';
import { below, firstOf, hash, takes, TRIES, weighted } from './hash.js';
import type { Load, Scheduler } from './scheduler.js';
import { type Build, SLICE, Sliced } from './sliced.js';

/** Entries of a table: a prime, so that every stride visits all of them. */
export const MH_SIZE = 65537;
/** Rounds of the filling at most: bounds the work when weights differ much. */
const ROUNDS = 1024;
const EMPTY = 0xffff;

export interface MhTable {
  readonly dests: readonly Dest[];
  /** Index into `dests` by entry. */
  readonly entries: Uint16Array;
}

class MhState extends Sliced<MhTable> {
  fallback = false;
  port = false;
}

export const mh: Scheduler<MhState> = {
  name: 'mh',
  text: 'Maglev hashing',
  flags: ['mh-fallback', 'mh-port'],

  state(dests, _start, old, flags) {
    const state = old ?? new MhState();
    state.fallback = flags.includes('mh-fallback');
    state.port = flags.includes('mh-port');
    state.want(() => maglev(dests, MH_SIZE));
    return state;
  },

  build: (state) => state.step(),

  pick(state: MhState, dests: readonly Dest[], load: Load, caddr: number, cport: number): Dest | undefined {
    const h = hash(caddr, state.port ? cport : 0, 0);
    const { table } = state;
    // Until the first table stands, each gets its part.
    if (table === undefined || table.dests.length === 0) return firstOf(dests, h, load);
    const { entries } = table;
    let i = below(h, entries.length);
    const own = table.dests[entries[i]!]!;
    if (takes(own, load)) return own;
    // One that is gone or drained only stands here until the next table is ready.
    if (!state.fallback && !isQuiescent(own)) return undefined;
    // The entries that follow are of all the others, by weight.
    for (let k = 0; k < TRIES; k++) {
      i = i + 1 < entries.length ? i + 1 : 0;
      const other = table.dests[entries[i]!]!;
      if (takes(other, load)) return other;
    }
    return firstOf(dests, h, load);
  },
};

/** @param size a prime; as many real servers may have a weight */
export function* maglev(all: readonly Dest[], size: number): Build<MhTable> {
  const dests = weighted(all);
  const n = dests.length;
  if (n === 0) return { dests, entries: new Uint16Array(0) };
  const quotas = apportion(dests, size);
  const taken = new Uint32Array(n);
  const at = Uint32Array.from(dests, (d) => below(hash(d.addr, d.port, 1), size));
  const stride = Uint32Array.from(dests, (d) => 1 + below(hash(d.addr, d.port, 2), size - 1));
  const entries = new Uint16Array(size).fill(EMPTY);
  const rounds = Math.min(
    ROUNDS,
    quotas.reduce((a, b) => Math.max(a, b)),
  );
  let steps = 0;
  for (let round = 1; round <= rounds; round++) {
    for (let i = 0; i < n; i++) {
      if (++steps % SLICE === 0) yield;
      // Each is at any time as far in its quota as the others in theirs.
      for (const due = Math.floor((quotas[i]! * round) / rounds); taken[i]! < due; taken[i]!++) {
        let e = at[i]!;
        while (entries[e] !== EMPTY) {
          e += stride[i]!;
          if (e >= size) e -= size;
          if (++steps % SLICE === 0) yield;
        }
        entries[e] = i;
        at[i] = e;
      }
    }
  }
  return { dests, entries };
}

/** Entries of each: within one of the exact share, and at least one. */
function apportion(dests: readonly Dest[], size: number): Uint32Array {
  const total = dests.reduce((sum, d) => sum + d.weight, 0);
  let weight = 0;
  let given = 0;
  const quotas = Uint32Array.from(dests, (d) => {
    weight += d.weight;
    const upTo = Math.round((weight / total) * size);
    const quota = upTo - given;
    given = upTo;
    return quota;
  });
  const largest = (): number => quotas.reduce((best, q, i) => (q > quotas[best]! ? i : best), 0);
  let donor = largest();
  for (let i = 0; i < quotas.length; i++) {
    if (quotas[i]! > 0) continue;
    if (quotas[donor]! <= 2) donor = largest();
    quotas[donor]!--;
    quotas[i] = 1;
  }
  return quotas;
}
