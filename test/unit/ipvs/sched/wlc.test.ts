import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { schedulerByName } from '../../../../src/ipvs/sched/index.js';
import { Harness, server, servers, weights } from './harness.js';

describe('wlc', () => {
  const wlc = schedulerByName('wlc');

  it('takes the least (active * 256 + inactive) / weight, the first of equals', () => {
    const h = new Harness(wlc, servers(1, 1, 1));
    expect(h.name()).toBe('A');
    h.servers[0]!.active = 1;
    expect(h.name()).toBe('B');
    h.servers[1]!.inactive = 255;
    h.servers[2]!.inactive = 254;
    expect(h.name()).toBe('C');
    h.servers[1]!.inactive = h.servers[2]!.inactive = 257;
    expect(h.name()).toBe('A');
  });

  it('keeps connections in proportion to the weights', () => {
    const h = new Harness(wlc, servers(1, 2, 5));
    for (let i = 0; i < 80; i++) h.pick()!.active++;
    expect(h.servers.map((s) => s.active)).toEqual([10, 20, 50]);
  });

  it('tells loads apart that integer division would make equal', () => {
    const h = new Harness(wlc, [
      server('A', { weight: 65535, active: 2 }),
      server('B', { weight: 65535, active: 1 }),
    ]);
    expect(h.name()).toBe('B');
  });

  it('keeps connections within one of the share, for any weights and any order of their ends', () => {
    fc.assert(
      fc.property(weights(20, 8), fc.array(fc.nat(7)), (w, ends) => {
        const h = new Harness(wlc, servers(...w));
        const total = w.reduce((a, b) => a + b);
        for (let i = 0; i < total * 3; i++) h.pick()!.active++;
        expect(h.servers.map((s) => s.active)).toEqual(w.map((x) => 3 * x));
        let ended = 0;
        for (const e of ends) {
          const s = h.servers[e % w.length]!;
          if (s.active > 0) ended++;
          s.active = Math.max(0, s.active - 1);
        }
        for (; ended > 0; ended--) h.pick()!.active++;
        expect(h.servers.map((s) => s.active)).toEqual(w.map((x) => 3 * x));
      }),
    );
  });
});
