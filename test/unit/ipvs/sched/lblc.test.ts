import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { schedulerByName } from '../../../../src/ipvs/sched/index.js';
import { client, equal, Harness, server, servers, weights } from './harness.js';

const DAY = 24 * 3600 * 1000;

describe('lblc', () => {
  const lblc = schedulerByName('lblc');

  it('stays with one real server for a destination, whoever asks, and gives a new one to the least loaded', () => {
    const h = new Harness(lblc, equal(3));
    for (const name of ['A', 'B', 'C']) {
      const vaddr = name.charCodeAt(0);
      const first = h.pick({ vaddr })!;
      expect(first.name).toBe(name);
      first.inactive += 300;
      expect(h.name({ vaddr, caddr: 99 })).toBe(name);
    }
    h.servers[1]!.inactive = 0;
    expect(h.name({ vaddr: 1 })).toBe('B');
  });

  it('leaves an overloaded one only when another is less than half loaded', () => {
    const h = new Harness(lblc, servers(4, 4));
    expect(h.name({ vaddr: 9 })).toBe('A');
    const [a, b] = h.servers as [(typeof h.servers)[0], (typeof h.servers)[0]];
    a.active = 5;
    b.active = 2;
    expect(h.name({ vaddr: 9 })).toBe('A');
    b.active = 1;
    expect(h.name({ vaddr: 9 })).toBe('B');
    a.active = 0; // and stays there
    expect(h.name({ vaddr: 9 })).toBe('B');
  });

  it('forgets a destination after a day without connections', () => {
    const h = new Harness(lblc, equal(2));
    expect(h.name({ vaddr: 9, nowMs: 5 })).toBe('A');
    h.servers[0]!.active = 1;
    expect(h.name({ vaddr: 9, nowMs: DAY })).toBe('A');
    expect(h.name({ vaddr: 9, nowMs: 2 * DAY - 1 })).toBe('A');
    expect(h.name({ vaddr: 9, nowMs: 3 * DAY })).toBe('B');
  });

  it('keeps what it knows when real servers change', () => {
    const h = new Harness(lblc, equal(2));
    h.pick({ vaddr: 9 })!.active = 1;
    h.changed([server('0', { addr: 1 }), ...h.servers]);
    expect(h.name({ vaddr: 9 })).toBe('A');
  });

  it('remembers many destinations, in bounded memory', () => {
    const h = new Harness(lblc, equal(7));
    for (let i = 0; i < 5000; i++) h.pick({ vaddr: i, nowMs: i })!.inactive++;
    const idle = server('Z', { addr: 1 });
    for (const s of h.servers) s.inactive = 1000;
    h.changed([...h.servers, idle]);
    let kept = 0;
    for (let i = 0; i < 5000; i++) if (h.pick({ vaddr: i, nowMs: 5000 }) !== idle) kept++;
    expect(kept).toBeGreaterThan(4900);
    for (let i = 0; i < 100_000; i++) h.pick({ vaddr: i, nowMs: 6000 + i });
    const { memory } = h.state as { memory: { addresses: { keys: Uint32Array }; owners: Uint16Array } };
    expect([memory.addresses.keys.length, memory.owners.length]).toEqual([16384, 16384]);
  });

  it('spreads new destinations by weight', () => {
    fc.assert(
      fc.property(weights(20, 8), (w) => {
        const h = new Harness(lblc, servers(...w));
        const total = w.reduce((a, b) => a + b);
        for (let i = 0; i < total * 2; i++) h.pick(client(i))!.inactive++;
        expect(h.servers.map((s) => s.inactive)).toEqual(w.map((x) => 2 * x));
      }),
    );
  });
});
