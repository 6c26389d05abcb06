import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { schedulerByName } from '../../../../src/ipvs/sched/index.js';
import { client, equal, Harness, type Server, servers, weights } from './harness.js';

const DAY = 24 * 3600 * 1000;

describe('lblcr', () => {
  const lblcr = schedulerByName('lblcr');

  it('stays with one real server for a destination as long as that is not overloaded', () => {
    const h = new Harness(lblcr, equal(3, 4));
    expect(h.name({ vaddr: 9 })).toBe('A');
    h.servers[0]!.active = 4;
    expect(h.name({ vaddr: 9, caddr: 77 })).toBe('A');
  });

  it('adds the least loaded to the set when the set is overloaded and another half idle', () => {
    const h = new Harness(lblcr, equal(3, 4));
    const [a, b, c] = h.servers as [Server, Server, Server];
    h.pick({ vaddr: 9 });
    a.active = 5;
    b.active = c.active = 2;
    expect(h.name({ vaddr: 9 })).toBe('A');
    c.active = 1;
    expect(h.name({ vaddr: 9 })).toBe('C');
    // Both are its set now: the less loaded of them, not the least loaded of all.
    c.active = 3;
    b.active = 0;
    expect(h.name({ vaddr: 9 })).toBe('C');
    a.active = 2;
    expect(h.name({ vaddr: 9 })).toBe('A');
  });

  it('takes the most loaded out of a set that has not changed for a day', () => {
    const h = new Harness(lblcr, equal(3, 4));
    const [a, , c] = h.servers as [Server, Server, Server];
    h.pick({ vaddr: 9, nowMs: 0 });
    a.active = 5;
    h.servers[1]!.active = 2;
    expect(h.name({ vaddr: 9, nowMs: 1000 })).toBe('C');
    expect(h.name({ vaddr: 9, nowMs: DAY / 2 })).toBe('C');
    expect(h.name({ vaddr: 9, nowMs: DAY + 1000 })).toBe('C');
    a.active = 0;
    c.active = 3;
    expect(h.name({ vaddr: 9, nowMs: DAY + 1001 })).toBe('C');
  });

  it('forgets a destination after a day without connections', () => {
    const h = new Harness(lblcr, equal(2));
    h.pick({ vaddr: 9, nowMs: 5 })!.active = 1;
    expect(h.name({ vaddr: 9, nowMs: DAY })).toBe('A');
    expect(h.name({ vaddr: 9, nowMs: 2 * DAY })).toBe('B');
  });

  it('leaves out members at their limit, drained and removed ones, without forgetting the first', () => {
    const h = new Harness(lblcr, equal(2, 4));
    const [a, b] = h.servers as [Server, Server];
    h.pick({ vaddr: 9 });
    a.full = true;
    expect(h.name({ vaddr: 9 })).toBe('B');
    a.full = false;
    b.active = 1;
    expect(h.name({ vaddr: 9 })).toBe('A');
    a.weight = 0;
    h.changed();
    expect(h.name({ vaddr: 9 })).toBe('B');
    h.changed([a]);
    expect(h.name({ vaddr: 9 })).toBe('-');
  });

  it('has bounded sets: more overloaded real servers than fit take turns', () => {
    const h = new Harness(lblcr, equal(20));
    const got = new Set<string>();
    for (let i = 0; i < 40; i++) {
      const s = h.pick({ vaddr: 9 })!;
      s.active += 2;
      got.add(s.name);
    }
    expect(got.size).toBe(20);
    const { memory } = h.state as { memory: { sizes: Uint8Array } };
    expect(Math.max(...memory.sizes)).toBe(8);
  });

  it('spreads new destinations by weight', () => {
    fc.assert(
      fc.property(weights(20, 8), (w) => {
        const h = new Harness(lblcr, servers(...w));
        const total = w.reduce((a, b) => a + b);
        for (let i = 0; i < total * 2; i++) h.pick(client(i))!.inactive++;
        expect(h.servers.map((s) => s.inactive)).toEqual(w.map((x) => 2 * x));
      }),
    );
  });
});
