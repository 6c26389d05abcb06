import { describe, expect, it } from 'vitest';
import { SCHEDULERS, schedulerByName } from '../../../src/ipvs/sched/index.js';
import type { Load, Scheduler } from '../../../src/ipvs/sched/scheduler.js';
import type { Dest } from '../../../src/ipvs/service.js';

interface Server {
  name: string;
  weight: number;
  active?: number;
  inactive?: number;
  full?: boolean;
}
const asDests = (s: Server[]): Dest[] => s as unknown as Dest[];
const load: Load = {
  usable: (d) => d.weight > 0 && (d as unknown as Server).full !== true,
  active: (d) => (d as unknown as Server).active ?? 0,
  inactive: (d) => (d as unknown as Server).inactive ?? 0,
};

/** A service with its scheduler state, as `Services` keeps it. */
class Harness {
  state: unknown;
  constructor(
    readonly sched: Scheduler,
    public servers: Server[],
    private readonly start = 0,
  ) {
    this.state = sched.state([], start, undefined, []);
    this.changed();
  }
  changed(servers = this.servers): void {
    this.servers = servers;
    this.state = this.sched.state(asDests(servers), this.start, this.state, []);
  }
  pick(): string {
    const dest = this.sched.pick(this.state, asDests(this.servers), load, 1, 2, 3, 0);
    return (dest as unknown as Server | undefined)?.name ?? '-';
  }
  picks(n: number): string {
    return Array.from({ length: n }, () => this.pick()).join('');
  }
}
const servers = (...weights: number[]): Server[] =>
  weights.map((weight, i) => ({ name: 'ABCDEFGH'[i]!, weight }));

describe.each(SCHEDULERS.map((s) => [s.name, s] as const))('every scheduler: %s', (_name, sched) => {
  it('finds nobody in a service without real servers, or with all at weight 0 or full', () => {
    expect(new Harness(sched, []).pick()).toBe('-');
    expect(new Harness(sched, servers(0, 0)).picks(3)).toBe('---');
    expect(new Harness(sched, [{ name: 'A', weight: 5, full: true }]).pick()).toBe('-');
  });

  it('never picks weight 0 or a full one, and picks it again when that changes', () => {
    const h = new Harness(sched, [
      { name: 'A', weight: 0 },
      { name: 'B', weight: 3, full: true },
      { name: 'C', weight: 2 },
    ]);
    expect(h.picks(9)).toBe('CCCCCCCCC');
    h.servers[1]!.full = false;
    h.servers[2]!.active = 100;
    expect(h.picks(20)).toContain('B');
    expect(h.picks(20)).not.toContain('A');
  });

  it('survives every real server going and coming', () => {
    const [a, b, c] = servers(1, 1, 1) as [Server, Server, Server];
    const h = new Harness(sched, [a, b, c]);
    h.picks(2);
    h.changed([]);
    expect(h.pick()).toBe('-');
    h.changed([c]);
    expect(h.picks(2)).toBe('CC');
    h.changed([c, a, b]);
    expect('ABC').toContain(h.pick());
  });

  it('starts elsewhere on another lcore', () => {
    const first = [0, 1, 2].map((start) => new Harness(sched, servers(1, 1, 1), start).pick());
    expect(first).toEqual(['A', 'B', 'C']);
  });
});

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
    expect(h.pick()).toBe('C');
    expect(h.pick()).toBe('B');
    h.changed([c, d]); // the last one itself goes
    expect(h.picks(3)).toBe('CDC');
    h.changed([c, d, a]);
    expect(h.picks(3)).toBe('DAC');
  });
});

describe('wrr', () => {
  const wrr = schedulerByName('wrr');

  it('interleaves by weight: each gets weight / gcd of a cycle', () => {
    expect(new Harness(wrr, servers(4, 3, 2)).picks(18)).toBe('AABABCABCAABABCABC');
    expect(new Harness(wrr, servers(400, 300, 200)).picks(9)).toBe('AABABCABC');
  });

  it('is plain round robin for equal weights', () => {
    expect(new Harness(wrr, servers(7, 7, 7)).picks(7)).toBe('ABCABCA');
  });

  it('gives exact shares over whole cycles for uneven weights', () => {
    const got = new Harness(wrr, servers(5, 1, 17)).picks(23 * 4);
    const count = (n: string): number => [...got].filter((x) => x === n).length;
    expect([count('A'), count('B'), count('C')]).toEqual([20, 4, 68]);
  });

  it('follows a change of weights', () => {
    const h = new Harness(wrr, servers(1, 1));
    h.picks(3);
    h.servers[1]!.weight = 3;
    h.changed();
    h.picks(4);
    const got = h.picks(40);
    expect([...got].filter((x) => x === 'B')).toHaveLength(30);
  });

  it('does not search long when the heaviest is full: weights may be 65535', () => {
    const h = new Harness(wrr, [
      { name: 'A', weight: 65535, full: true },
      { name: 'B', weight: 1 },
      { name: 'C', weight: 2 },
    ]);
    let asked = 0;
    const counting: Load = { ...load, usable: (d) => (asked++, load.usable(d)) };
    const [, , c] = asDests(h.servers);
    const got = Array.from({ length: 30 }, () => wrr.pick(h.state, asDests(h.servers), counting, 1, 2, 3, 0));
    expect(got.filter((x) => x === c)).toHaveLength(20);
    expect(asked).toBeLessThan(30 * 9 + 1);
  });
});

describe('wlc', () => {
  const wlc = schedulerByName('wlc');

  it('takes the least (active * 256 + inactive) / weight, the first of equals', () => {
    const h = new Harness(wlc, servers(1, 1, 1));
    expect(h.pick()).toBe('A');
    h.servers[0]!.active = 1;
    expect(h.pick()).toBe('B');
    h.servers[1]!.inactive = 255;
    h.servers[2]!.inactive = 254;
    expect(h.pick()).toBe('C');
    h.servers[1]!.inactive = h.servers[2]!.inactive = 257;
    expect(h.pick()).toBe('A');
  });

  it('keeps connections in proportion to the weights', () => {
    const h = new Harness(wlc, servers(1, 2, 5));
    for (let i = 0; i < 80; i++) {
      const s = h.servers.find((x) => x.name === h.pick())!;
      s.active = (s.active ?? 0) + 1;
    }
    expect(h.servers.map((s) => s.active)).toEqual([10, 20, 50]);
  });

  it('tells loads apart that integer division would make equal', () => {
    const h = new Harness(wlc, [
      { name: 'A', weight: 65535, active: 2 },
      { name: 'B', weight: 65535, active: 1 },
    ]);
    expect(h.pick()).toBe('B');
  });
});

describe('the registry', () => {
  it('names what there is when a scheduler is unknown', () => {
    expect(() => schedulerByName('lblc')).toThrow(
      expect.objectContaining({ code: 'NOTSUPP', hint: expect.stringContaining('rr, wrr, wlc') }),
    );
  });
});
