/** What a run of the bench says, as JSON (`npm run bench -- --json`, bench/results/*.json). */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './paths.js';

export interface Run {
  /** The scenario, such as `udp-1m`. */
  name: string;
  /** Forwarding mode; for baselines the name of the program. */
  mode: string;
  proto: 'udp' | 'tcp' | '-';
  flows: number;
  lcores: number;
  /** 0 = IMIX. */
  frameBytes: number;
  path: 'flow' | 'typescript' | '-';
  /** Millions of packets per CPU second of the lcore's thread (median). */
  mpps: number;
  nsPerPacket: number;
  lossPct: number;
  /** Name of the run that `ratio` is against, or null. */
  baseline: string | null;
  ratio: number | null;
  /** Of `mpps`, or of `value` where there is one. */
  min: number;
  max: number;
  perCpuSecond: number;
  /** Millions of packets a second of wall clock: smaller where others used the CPU. */
  wallMpps?: number;
  ratioMin?: number;
  ratioMax?: number;
  /** For scenarios that measure something else than packets. */
  value?: number;
  unit?: string;
  /** From the issue; `value` or `ratio` must be at least (`>=`) or at most (`<=`) this. */
  target?: { of: 'ratio' | 'value'; sign: '>=' | '<='; bound: number };
  /** Anything else that was seen. */
  detail?: Record<string, unknown>;
}

/** A run whose result is no rate of packets: `value` and what differs is filled in. */
export const plainRun = (path: Run['path'], flows: number): Omit<Run, 'name' | 'mode'> => ({
  proto: '-',
  flows,
  lcores: 1,
  frameBytes: 64,
  path,
  mpps: 0,
  nsPerPacket: 0,
  lossPct: 0,
  baseline: null,
  ratio: null,
  min: 0,
  max: 0,
  perCpuSecond: 0,
});

export interface Report {
  machine: Record<string, string | number>;
  versions: Record<string, string>;
  /** ISO 8601. */
  at: string;
  quick: boolean;
  runs: Run[];
}

const tryRun = (file: string, ...args: string[]): string => {
  try {
    return execFileSync(file, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: ROOT,
    }).trim();
  } catch {
    return 'unknown';
  }
};

export function machine(): Report['machine'] {
  const hugepages = /^HugePages_Total:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? '0';
  const family = /^cpu family\s*:\s*(\d+)[\s\S]*?^model\s*:\s*(\d+)/m.exec(
    readFileSync('/proc/cpuinfo', 'utf8'),
  );
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cpuFamilyModel: family === null ? 'unknown' : `${family[1]}/${family[2]}`,
    cpus: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    hugepages: Number(hugepages),
    kernel: release(),
  };
}

export function versions(): Report['versions'] {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  return {
    dpvs: `${version} ${tryRun('git', 'describe', '--always', '--dirty')}`,
    node: process.versions.node,
    dpdk: tryRun('pkg-config', '--modversion', 'libdpdk'),
  };
}

/** True, false, or undefined when no target is set for it. */
export function reached(r: Run): boolean | undefined {
  if (r.target === undefined) return undefined;
  const v = r.target.of === 'ratio' ? r.ratio : r.value;
  if (v === null || v === undefined) return undefined;
  return r.target.sign === '>=' ? v >= r.target.bound : v <= r.target.bound;
}
