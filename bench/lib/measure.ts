/**
 * Measuring in turns: each round gives every contestant a slice of the data CPU, the others stopped, so that a change of
 * the machine's mood hits all of them alike. Rates are per second of CPU time of the data lcore's thread.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Forwarder } from './forwarder.js';
import { ratios, summary, type Summary } from './numbers.js';

/** What one slice of one contestant gave. */
export interface Slice {
  packets: number;
  received: number;
  missed: number;
  wallS: number;
  cpuS: number;
  /** Time that the lcore's thread wanted the CPU and did not get it. */
  waitedS: number;
  /** Connections made, lives ended. */
  syns: number;
  lives: number;
}

export interface Contestant {
  name: string;
  forwarder: Forwarder;
}

export interface Turns {
  rounds: number;
  /** Of measuring, per slice. */
  sliceMs: number;
  /** Before it, so that caches and code are warm again. */
  warmMs: number;
  onRound?: (round: number) => void;
}

/** Measures once, the forwarder running and its source on. */
export async function slice(f: Forwarder, ms: number): Promise<Slice> {
  const before = { c: await f.counters(), s: f.schedule(), t: process.hrtime.bigint() };
  await sleep(ms);
  const after = { c: await f.counters(), s: f.schedule(), t: process.hrtime.bigint() };
  return {
    packets: after.c.tx - before.c.tx,
    received: after.c.rx - before.c.rx,
    missed: after.c.missed - before.c.missed,
    wallS: Number(after.t - before.t) / 1e9,
    cpuS: (after.s.runNs - before.s.runNs) / 1e9,
    waitedS: (after.s.waitNs - before.s.waitNs) / 1e9,
    syns: after.c.syns - before.c.syns,
    lives: after.c.lives - before.c.lives,
  };
}

/** Slices by contestant, in rounds. Leaves everyone stopped. */
export async function inTurns(
  contestants: readonly Contestant[],
  turns: Turns,
): Promise<Map<string, Slice[]>> {
  const out = new Map<string, Slice[]>(contestants.map((c) => [c.name, []]));
  for (const c of contestants) c.forwarder.pause();
  for (let round = 0; round < turns.rounds; round++) {
    for (const { name, forwarder } of contestants) {
      forwarder.resume();
      await sleep(turns.warmMs);
      out.get(name)!.push(await slice(forwarder, turns.sliceMs));
      forwarder.pause();
    }
    turns.onRound?.(round + 1);
  }
  return out;
}

/** Packets a second of CPU time, in millions. */
export const mppsOf = (s: Slice): number => s.packets / s.cpuS / 1e6;

export interface Rate {
  mpps: number;
  nsPerPacket: number;
  lossPct: number;
  min: number;
  max: number;
  perCpuSecond: number;
  wallMpps: number;
}

export function rate(slices: readonly Slice[]): Rate {
  const perCpu = summary(slices.map(mppsOf));
  const offered = slices.reduce((n, s) => n + s.received + s.missed, 0);
  const sent = slices.reduce((n, s) => n + s.packets, 0);
  return {
    mpps: perCpu.median,
    nsPerPacket: 1000 / perCpu.median,
    // What is under way at the ends of a slice may make it a hair negative.
    lossPct: offered === 0 ? 0 : Math.max(0, (1 - sent / offered) * 100),
    min: perCpu.min,
    max: perCpu.max,
    perCpuSecond: perCpu.median * 1e6,
    wallMpps: summary(slices.map((s) => s.packets / s.wallS / 1e6)).median,
  };
}

export const ratioOf = (a: readonly Slice[], b: readonly Slice[]): Summary =>
  ratios(a.map(mppsOf), b.map(mppsOf));
