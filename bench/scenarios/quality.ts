/**
 * What an lcore does to packets besides forwarding them: latency under load, loss while the control plane is busy, the
 * longest time between two polls. Sources are paced: a packet has a time at which it comes, a receive queue holds
 * 1024, and one that nobody reads overflows.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DATA_CPU, Dpvs } from '../lib/forwarder.js';
import { rate, slice, type Slice } from '../lib/measure.js';
import { percentile, summary } from '../lib/numbers.js';
import { ROOT } from '../lib/paths.js';
import type { Gap } from '../lib/source.js';
import type { Context, Scenario } from './context.js';
import { open, verify } from './packets.js';

const FLOWS = 64_000;
const SHARES = { p50: 0.5, p99: 0.99, 'p99.9': 0.999, 'p99.99': 0.9999 } as const;

/** A daemon that forwards `flows` UDP flows, and how many packets a second of wall clock it takes at most. */
async function ready(c: Context, path: 'flow' | 'typescript', flows: number): Promise<[Dpvs, number]> {
  c.say(`starting dpvs (${path})`);
  const d = await Dpvs.start({ flowOffload: path === 'flow', connections: flows });
  await d.service('udp');
  await open(d, { proto: 'udp', flows, frame: 64 }, (s) => c.say(s));
  await verify(d, 200);
  await sleep(500);
  const most: number[] = [];
  for (let i = 0; i < 5; i++) {
    const s = await slice(d, 200);
    most.push(s.packets / s.wallS);
  }
  return [d, Math.floor(summary(most).median)];
}

const common = (path: 'flow' | 'typescript', flows: number, s: readonly Slice[]) =>
  ({
    proto: 'udp',
    flows,
    lcores: 1,
    frameBytes: 64,
    path,
    ...rate(s),
    // A paced source leaves most of the CPU's time to polling: no figure of what a packet costs.
    mpps: rate(s).wallMpps,
    nsPerPacket: 0,
    min: 0,
    max: 0,
    baseline: null,
    ratio: null,
  }) as const;

async function latency(c: Context): Promise<void> {
  for (const path of c.paths) {
    const [d, most] = await ready(c, path, FLOWS);
    try {
      const { source } = d;
      const us = (ticks: number): number => (ticks / source.hz) * 1e6;
      for (const load of [10, 50, 90]) {
        c.say(`${load} % load`);
        source.setAll({ RATE: Math.floor((most * load) / 100), LATENCY: 1 });
        await sleep(300);
        source.clearLatency();
        const s = await slice(d, c.quick ? 700 : 10_000);
        const cells = source.latencyCells();
        const at = Object.fromEntries(
          Object.entries(SHARES).map(([k, share]) => [k, us(percentile(cells, share))]),
        );
        c.add({
          name: 'latency',
          mode: `fullnat at ${load} %: p50 ${at['p50']!.toFixed(1)} µs, p99.9 ${at['p99.9']!.toFixed(1)}, p99.99 ${at['p99.99']!.toFixed(1)}`,
          ...common(path, FLOWS, [s]),
          value: at['p99']!,
          unit: 'µs p99',
          detail: {
            load,
            offeredPps: Math.floor((most * load) / 100),
            us: at,
            maxUs: us(source.get('LATENCY_MAX')),
            waitedS: s.waitedS,
          },
        });
        source.set('LATENCY', 0);
      }
    } finally {
      await d.end();
    }
  }
}

/** Keeps calling until told to stop. @returns how often it was done */
function repeatedly(job: () => Promise<void>): () => Promise<number> {
  const state = { stop: false };
  let n = 0;
  const running = (async () => {
    for (; !state.stop; n++) await job();
  })();
  return async () => {
    state.stop = true;
    await running;
    return n;
  };
}

/** A tool of ours, its output thrown away. */
const tool = (d: Dpvs, name: string, args: string[]): Promise<void> =>
  new Promise((done, fail) => {
    const env = { ...process.env, DPVS_IPC_FILE: d.ipc };
    const child = spawn('taskset', ['-c', '0', join(ROOT, 'bin', name), ...args], {
      env,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    child.once('error', fail);
    child.once('exit', (code) =>
      code === 0 ? done() : fail(new Error(`${name} ${args.join(' ')}: exit code ${code}`)),
    );
  });

async function loss(c: Context): Promise<void> {
  const flows = c.quick ? 100_000 : 1_000_000;
  for (const path of c.paths) {
    const [d, most] = await ready(c, path, flows);
    try {
      const { source } = d;
      source.set('RATE', Math.floor(most / 2));
      await sleep(500);
      const during = async (what: string, job?: () => Promise<void>): Promise<void> => {
        c.say(what);
        const dropsBefore = await d.drops();
        const stop = job === undefined ? undefined : repeatedly(job);
        await sleep(100);
        const s = await slice(d, c.quick ? 1000 : 5000);
        const times = await stop?.();
        const drops = Object.fromEntries(
          Object.entries(await d.drops())
            .map(([k, n]) => [k, n - (dropsBefore[k] ?? 0)] as const)
            .filter(([, n]) => n > 0),
        );
        c.add({
          name: 'loss',
          mode: `50 % load, ${what}`,
          ...common(path, flows, [s]),
          detail: { missed: s.missed, drops, times, waitedS: s.waitedS },
        });
      };
      await during('undisturbed');
      let port = 1000;
      await during('services come and go', async () => {
        port = port === 60_000 ? 1000 : port + 1;
        await d.service('udp', port);
        await d.removeService('udp', port);
      });
      await during('ipvsadm -lnc', () => tool(d, 'ipvsadm', ['-lnc']));
    } finally {
      await d.end();
    }
  }
}

/** Of a gap in ms: what the lcore itself was to blame for. What it waited for counts, what others took from it does not. */
const ownOf = (g: Gap): number => (g.waited > 0 ? g.wall : g.wall - g.off);
/** The same of the garbage collections in it. */
const gcOf = (g: Gap): number => (g.waited > 0 ? g.gc : g.gc - g.gcOff);

/** Gaps by cause: the worst in ms, how many are above 1 ms, and the ten longest. */
export function gapCauses(
  gaps: readonly Gap[],
): Record<string, { worst: number; above1: number; longest: Gap[] }> {
  const causes: [string, (g: Gap) => number][] = [
    ['garbage collection', gcOf],
    ['anything else that the lcore does', (g) => ownOf(g) - gcOf(g)],
    ['whatever it was, other threads and the hypervisor included', (g) => g.wall],
  ];
  return Object.fromEntries(
    causes.map(([cause, of]) => {
      const longest = [...gaps].sort((a, b) => of(b) - of(a)).slice(0, 10);
      const worst = longest[0] === undefined ? 0 : of(longest[0]);
      return [cause, { worst, above1: gaps.filter((g) => of(g) > 1).length, longest }];
    }),
  );
}

/** Seconds that the hypervisor has given a CPU to others. */
const stolenS = (cpu: number): number =>
  Number(
    new RegExp(`^cpu${cpu} (?:\\d+ ){7}(\\d+)`, 'm').exec(readFileSync('/proc/stat', 'utf8'))?.[1] ?? 0,
  ) / 100;

async function gap(c: Context): Promise<void> {
  for (const path of c.paths) {
    const [d, most] = await ready(c, path, FLOWS);
    try {
      const { source } = d;
      const seconds = c.quick ? 5 : 60;
      source.set('RATE', Math.floor(most / 2));
      await sleep(500);
      // Listings make garbage in the master, services make some in the lcore.
      const stop = repeatedly(async () => {
        await d.client.call('conn.list', {});
        await d.client.call('svc.list', {});
        await d.service('udp', 9999);
        await d.removeService('udp', 9999);
      });
      c.say(`watching the loop for ${seconds} s`);
      const stolen = stolenS(DATA_CPU);
      source.clearGaps();
      const s = await slice(d, seconds * 1000);
      const gaps = source.gaps();
      const histogram = Object.fromEntries(
        source
          .gapCells()
          .flatMap((n, k) => (n === 0 ? [] : [[`from ${((2 ** k / source.hz) * 1e6).toFixed(0)} µs`, n]])),
      );
      const times = await stop();
      const detail = { times, histogram, waitedS: s.waitedS, stolenS: stolenS(DATA_CPU) - stolen };
      const collections = gaps.filter((g) => g.gc > 0).length;
      for (const [cause, { worst, above1, longest }] of Object.entries(gapCauses(gaps))) {
        const isGc = cause === 'garbage collection';
        c.add({
          name: 'gap',
          mode:
            `longest time between two polls in ${seconds} s, master busy: ${cause} (${above1} above 1 ms` +
            `${isGc ? `, ${collections} above 0.2 ms` : ''})`,
          ...common(path, FLOWS, [s]),
          value: worst,
          min: worst,
          max: worst,
          unit: 'ms',
          ...(isGc ? { target: { of: 'value', sign: '<=', bound: 1 } as const } : {}),
          detail: { ...detail, longest },
        });
      }
    } finally {
      await d.end();
    }
  }
}

export const QUALITY: Scenario[] = [
  { name: 'latency', what: 'added latency at 10, 50 and 90 % load', run: latency },
  { name: 'loss', what: 'loss while the control plane is busy', slow: true, run: loss },
  { name: 'gap', what: 'longest time between two polls', slow: true, run: gap },
];
