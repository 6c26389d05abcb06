/** A service's scheduler on fake real servers, as `Services` keeps it. */
import fc from 'fast-check';
import type { Load, Scheduler } from '../../../../src/ipvs/sched/scheduler.js';
import type { Dest } from '../../../../src/ipvs/service.js';

export interface Server {
  name: string;
  weight: number;
  addr: number;
  port: number;
  slot: number;
  active: number;
  inactive: number;
  full: boolean;
  removed: boolean;
}

const FIRST = 0xc0a80001;
let made = 0;

/** Real servers of these weights, named A, B, C … or by number, at ascending addresses. */
export const servers = (...weights: number[]): Server[] =>
  weights.map((weight, i) =>
    server(weights.length <= 26 ? String.fromCharCode(65 + i) : String(i), { weight, addr: FIRST + i }),
  );

export const server = (name: string, o: Partial<Server> = {}): Server => ({
  name,
  weight: 1,
  addr: FIRST + name.charCodeAt(0),
  port: 80,
  slot: 1 + (made++ % 65535),
  active: 0,
  inactive: 0,
  full: false,
  removed: false,
  ...o,
});

/** `n` real servers of one weight. */
export const equal = (n: number, weight = 1): Server[] => servers(...Array.from({ length: n }, () => weight));

export const asDests = (s: Server[]): Dest[] => s as unknown as Dest[];
const asServer = (d: Dest): Server => d as unknown as Server;

export const load: Load = {
  usable: (d) => d.weight > 0 && !asServer(d).full,
  active: (d) => asServer(d).active,
  inactive: (d) => asServer(d).inactive,
};

/** What a connection is to a scheduler. */
export interface Packet {
  caddr?: number;
  cport?: number;
  vaddr?: number;
  nowMs?: number;
}

export class Harness {
  state: unknown;
  private readonly dests: Dest[] = [];

  constructor(
    readonly sched: Scheduler,
    public servers: Server[],
    readonly o: { start?: number; flags?: string[]; load?: Load } = {},
  ) {
    this.reschedule();
    this.changed(servers);
    this.build();
  }

  /** Real servers or weights are others now; a table is not built before `build`. */
  changed(servers = this.servers): void {
    for (const s of this.servers) s.removed = true;
    for (const s of servers) s.removed = false;
    this.servers = servers;
    this.dests.splice(0, Infinity, ...asDests(servers));
    this.reschedule();
  }

  /** As an lcore does between polls. @returns slices */
  build(): number {
    let slices = 1;
    while (this.sched.build?.(this.state) === true) slices++;
    return slices;
  }

  pick({ caddr = 1, cport = 2, vaddr = 3, nowMs = 0 }: Packet = {}): Server | undefined {
    const l = this.o.load ?? load;
    const dest = this.sched.pick(this.state, this.dests, l, caddr, cport, vaddr, nowMs);
    return dest === undefined ? undefined : asServer(dest);
  }

  name(p?: Packet): string {
    return this.pick(p)?.name ?? '-';
  }

  /** Names of the picks for one and the same client. */
  picks(n: number): string {
    return Array.from({ length: n }, () => this.name()).join('');
  }

  /** Who gets clients 1 to `n`. */
  clients(n: number): (Server | undefined)[] {
    return Array.from({ length: n }, (_, i) => this.pick(client(i)));
  }

  private reschedule(): void {
    const { start = 0, flags = [] } = this.o;
    this.state = this.sched.state(this.dests, start, this.state, flags);
  }
}

/** The i-th of many clients: 10.0.0.0/8, a destination of its own as well. */
export const client = (i: number): Packet => ({
  caddr: 0x0a000001 + i,
  cport: 1024 + (i % 60000),
  vaddr: 0x14000001 + i,
});

/** How many of `picked` each of `of` has. */
export function counts(picked: (Server | undefined)[], of: Server[]): number[] {
  const n = new Map<Server | undefined, number>();
  for (const s of picked) n.set(s, (n.get(s) ?? 0) + 1);
  return of.map((s) => n.get(s) ?? 0);
}

/** Weights of a service, at least one above 0. */
export const weights = (max = 100, maxLength = 20): fc.Arbitrary<number[]> =>
  fc.array(fc.integer({ min: 0, max }), { minLength: 1, maxLength }).filter((w) => w.some((x) => x > 0));

/**
 * Shares of the weights within what chance allows: five standard deviations of a share of `n` independent draws, and `slack` of
 * the share for what the scheduler itself is off.
 */
export function offShare(got: number[], of: Server[], slack = 0): string[] {
  const total = of.reduce((sum, s) => sum + s.weight, 0);
  const n = got.reduce((a, b) => a + b, 0);
  return of.flatMap((s, i) => {
    const p = s.weight / total;
    const may = 5 * Math.sqrt(n * p * (1 - p)) + slack * n * p + 1;
    return Math.abs(got[i]! - n * p) <= may ? [] : [`${s.name}: ${got[i]} of ${n}, share ${p.toFixed(4)}`];
  });
}
