import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { schedulerByName } from '../../../../src/ipvs/sched/index.js';
import { counts, Harness, servers, type Server, weights } from './harness.js';

describe('rr', () => {
  const rr = schedulerByName('rr');

  it('takes turns, whatever the weights', () => {
    expect(new Harness(rr, servers(1, 5, 2)).picks(7)).toBe('ABCABCA');
  });

  it('gives each of n real servers exactly 1/n', () => {
    const got = new Harness(rr, servers(1, 1, 1, 1)).picks(400);
    for (const name of 'ABCD') expect([...got].filter((x) => x === name)).toHaveLength(100);
  });

  it('goes on behind the last one when real servers come and go', () => {
    const [a, b, c, d] = servers(1, 1, 1, 1) as [Server, Server, Server, Server];
    const h = new Harness(rr, [a, b, c]);
    expect(h.picks(2)).toBe('AB');
    h.changed([b, c]); // one before it goes
    expect(h.name()).toBe('C');
    expect(h.name()).toBe('B');
    h.changed([c, d]); // the last one itself goes
    expect(h.picks(3)).toBe('CDC');
    h.changed([c, d, a]);
    expect(h.picks(3)).toBe('DAC');
  });

  it('gives everyone with a weight the same, for any weights', () => {
    fc.assert(
      fc.property(weights(), fc.integer({ min: 1, max: 5 }), (w, rounds) => {
        const h = new Harness(rr, servers(...w));
        const n = w.filter((x) => x > 0).length;
        expect(counts(h.clients(n * rounds), h.servers)).toEqual(w.map((x) => (x > 0 ? rounds : 0)));
      }),
    );
  });
});
