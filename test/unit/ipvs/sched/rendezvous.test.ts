import { describe, expect, it } from 'vitest';
import { hash } from '../../../../src/ipvs/sched/hash.js';
import { rendezvous } from '../../../../src/ipvs/sched/rendezvous.js';
import { asDests, counts, equal, offShare, type Server, servers } from './harness.js';

const CLIENTS = 20_000;
const choice = (of: Server[], may: (s: Server) => boolean = () => true): (Server | undefined)[] =>
  Array.from(
    { length: CLIENTS },
    (_, n) => rendezvous(asDests(of), hash(n, 40_000, 0), may as never) as unknown as Server,
  );

describe('rendezvous hashing', () => {
  it('gives each real server clients by its weight', () => {
    const of = servers(1, 2, 3, 4, 0, 10);
    const got = choice(of) as Server[];
    expect(offShare(counts(got, of), of)).toEqual([]);
    expect(got).not.toContain(of[4]);
  });

  it('moves only the clients of one that goes, and gives back only those when it is there again', () => {
    const of = equal(10);
    const before = choice(of);
    const without = choice(of.filter((s) => s !== of[3]));
    before.forEach((s, n) => s !== of[3] && expect(without[n]).toBe(s));
    expect(new Set(without.filter((_, n) => before[n] === of[3])).size).toBe(9);
    expect(choice(of)).toEqual(before);
  });

  it('does not depend on the order of the real servers', () => {
    const of = servers(1, 5, 2, 9);
    expect(choice([...of].reverse())).toEqual(choice(of));
  });

  it('leaves out whom the caller does not want; of none there is none', () => {
    const of = equal(3);
    expect(new Set(choice(of, (s) => s !== of[0]))).toEqual(new Set([of[1], of[2]]));
    expect(rendezvous([], 1, () => true)).toBeUndefined();
    expect(new Set(choice(servers(0, 0)))).toEqual(new Set([undefined]));
  });
});
