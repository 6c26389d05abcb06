/** Schedulers alone: the time to build their tables, and to choose among 100 real servers. CPU time, since machines are shared. */
import { getHeapStatistics } from 'node:v8';
import { SCHEDULERS, schedulerByName } from '../../src/ipvs/sched/index.js';
import type { Load, Scheduler } from '../../src/ipvs/sched/scheduler.js';
import type { Dest } from '../../src/ipvs/service.js';
import { plainRun } from '../lib/results.js';
import type { Context, Scenario } from './context.js';

const row = { ...plainRun('typescript', 0), frameBytes: 0 };

const load: Load = { usable: (d) => d.weight > 0, active: () => 3, inactive: () => 5 };

const dests = (n: number): Dest[] =>
  Array.from(
    { length: n },
    (_, i) => ({ addr: 0xc0a80001 + i, port: 80, weight: 1, slot: i + 1, removed: false }) as Dest,
  );

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >>> 1]!;

/** A whole table, as an lcore builds it in slices. */
function build(s: Scheduler, of: Dest[]): { state: unknown; ms: number; slices: number; slice: number } {
  const state = s.state(of, 0, undefined, []);
  const took: number[] = [];
  const began = cpuMs();
  for (let more = true; more;) {
    const t = performance.now();
    more = s.build?.(state) === true;
    took.push(performance.now() - t);
  }
  return { state, ms: cpuMs() - began, slices: took.length, slice: median(took) * 1000 };
}

async function tables(c: Context): Promise<void> {
  for (const name of ['mh', 'conhash']) {
    const s = schedulerByName(name);
    for (const n of [10, 100, 1000]) {
      c.say(`${name}, ${n} real servers`);
      const of = dests(n);
      // The first ones warm the compiler up.
      const runs = Array.from({ length: 4 * c.rounds }, () => build(s, of)).slice(-2 * c.rounds);
      const ms = runs.map((r) => r.ms);
      c.add({
        ...row,
        name: 'sched-table',
        mode: `${name}: table of ${n} real servers, CPU time`,
        value: median(ms),
        unit: 'ms',
        min: Math.min(...ms),
        max: Math.max(...ms),
        ...(name === 'mh' && n === 1000 ? { target: { of: 'value', sign: '<=', bound: 50 } as const } : {}),
        detail: { slices: runs[0]!.slices, sliceUs: median(runs.map((r) => r.slice)) },
      });
      await new Promise(setImmediate);
    }
  }
}

async function picks(c: Context): Promise<void> {
  const of = dests(100);
  const n = c.quick ? 200_000 : 1_000_000;
  for (const s of SCHEDULERS) {
    c.say(s.name);
    const { state } = build(s, of);
    const round = (): { ns: number; bytes: number } => {
      const heap = getHeapStatistics().used_heap_size;
      const began = cpuMs();
      for (let i = 0; i < n; i++) s.pick(state, of, load, (i * 2654435761) >>> 0, i & 0xffff, i & 0xfff, i);
      return { ns: ((cpuMs() - began) * 1e6) / n, bytes: (getHeapStatistics().used_heap_size - heap) / n };
    };
    round();
    const runs = Array.from({ length: c.rounds }, round);
    const ns = runs.map((r) => r.ns);
    c.add({
      ...row,
      name: 'sched-pick',
      mode: `${s.name}: one choice among 100 real servers`,
      value: median(ns),
      unit: 'ns',
      min: Math.min(...ns),
      max: Math.max(...ns),
      detail: { heapBytes: median(runs.map((r) => r.bytes)) },
    });
    await new Promise(setImmediate);
  }
}

export const SCHED: Scenario[] = [
  { name: 'sched-table', what: 'building the tables of schedulers', slow: true, run: tables },
  { name: 'sched-pick', what: 'choosing a real server', slow: true, run: picks },
];
