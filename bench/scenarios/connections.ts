/**
 * New connections a second: first SYNs only, and whole lives (SYN, SYN-ACK, request, response, FIN, FIN, ACK, then
 * expiry of what is left), alone and beside 1 M idle connections. Timeouts are a second, so that what is measured
 * contains the expiry of as many connections as are made.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Dpvs } from '../lib/forwarder.js';
import { type Contestant, inTurns, rate, ratioOf, type Slice } from '../lib/measure.js';
import { summary } from '../lib/numbers.js';
import type { Run } from '../lib/results.js';
import type { Context, Scenario } from './context.js';
import { open, verify } from './packets.js';

const SHORT = {
  syn_sent: 1,
  syn_recv: 1,
  synack: 1,
  fin_wait: 1,
  time_wait: 1,
  close: 1,
  close_wait: 1,
  last_ack: 1,
};
/** Connections that there may be: a second's worth of new ones and those that wait for their tick of the wheel. */
const ROOM = 4_000_000;
const WINDOW = 2000;
const IDLE = 1_000_000;

type Kind = 'SYN' | 'LIFE';

async function start(c: Context, path: 'flow' | 'typescript', kind: Kind, idle: number): Promise<Dpvs> {
  c.say(`starting dpvs (${path})`);
  const d = await Dpvs.start({
    flowOffload: path === 'flow',
    connections: ROOM,
    tcpTimeouts: { ...SHORT, established: 3600 },
  });
  await d.service('tcp');
  const { source } = d;
  if (idle > 0) await open(d, { proto: 'tcp', flows: idle, frame: 64 }, (s) => c.say(s));
  source.setAll({ PROTO: 6, FRAME: 64, WINDOW, RATE: 0, FIRST_ID: 0, LAST_ID: 1 << 26, FLOWS: 0 });
  await source.order('CLEAR');
  // Every segment of the first lives is checked.
  source.set('VERIFY', 1);
  source.mode('LIFE');
  for (let i = 0; i < 100 && source.counters().lives === 0; i++) await sleep(50);
  await sleep(c.quick ? 200 : 1000);
  source.set('VERIFY', 0);
  const { bad, lives } = source.counters();
  if (bad > 0) throw new Error(`${bad} frames are wrong: ${JSON.stringify(source.badReasons())}`);
  if (lives === 0)
    throw new Error(
      `no connection lived to its end: ${JSON.stringify([await d.drops(), source.counters()])}`,
    );
  source.mode(kind);
  // Until as many connections end as begin.
  await sleep(c.quick ? 1500 : 4000);
  return d;
}

async function measure(c: Context, name: string, kind: Kind, idle: number, bound: number): Promise<void> {
  const daemons = new Map<Contestant, Dpvs>();
  try {
    for (const path of c.paths) {
      const d = await start(c, path, kind, idle);
      d.pause();
      daemons.set({ name: path, forwarder: d }, d);
    }
    const contestants = [...daemons.keys()];
    // What expired while it was stopped is cleared away before it is measured.
    const warmMs = Math.max(c.warmMs, c.quick ? 300 : 1500);
    const slices = await inTurns(contestants, {
      ...c,
      warmMs,
      onRound: (n) => c.say(`round ${n} of ${c.rounds}`),
    });
    const made = (s: Slice): number => (kind === 'SYN' ? s.syns : s.lives) / s.cpuS;
    for (const [{ name: path }, d] of daemons) {
      d.resume();
      const own = slices.get(path)!;
      const v = summary(own.map(made));
      c.add({
        name,
        mode: 'fullnat',
        proto: 'tcp',
        flows: idle,
        lcores: 1,
        frameBytes: 64,
        path: path as Run['path'],
        ...rate(own),
        baseline: null,
        ratio: null,
        value: v.median,
        min: v.min,
        max: v.max,
        unit: 'conns/s',
        ...(path === 'flow' ? { target: { of: 'value', sign: '>=', bound } } : {}),
        detail: { drops: await d.drops() },
      });
    }
  } finally {
    await Promise.all([...daemons.values()].map((d) => d.end()));
  }
}

/** Packets of 1 k flows, with and without 1 M idle connections. */
async function besideIdle(c: Context): Promise<void> {
  for (const path of c.paths) {
    const contestants: Contestant[] = [];
    try {
      for (const idle of [0, c.quick ? IDLE / 4 : IDLE]) {
        c.say(`starting dpvs (${path})`);
        const d = await Dpvs.start({
          flowOffload: path === 'flow',
          connections: 2 * IDLE,
          tcpTimeouts: { established: 3600 },
        });
        contestants.push({ name: idle === 0 ? 'alone' : 'beside', forwarder: d });
        await d.service('tcp');
        if (idle > 0) await open(d, { proto: 'tcp', flows: idle, frame: 64 }, (s) => c.say(s));
        d.source.set('FIRST_ID', 1 << 26);
        await open(d, { proto: 'tcp', flows: 1000, frame: 64 }, (s) => c.say(s));
        await verify(d, 200);
        d.pause();
      }
      const slices = await inTurns(contestants, c);
      const beside = slices.get('beside')!;
      const ratio = ratioOf(beside, slices.get('alone')!);
      c.add({
        name: 'idle-1m',
        mode: 'fullnat, 1 k flows beside idle ones',
        proto: 'tcp',
        flows: c.quick ? IDLE / 4 : IDLE,
        lcores: 1,
        frameBytes: 64,
        path,
        ...rate(beside),
        baseline: 'the same without idle connections',
        ratio: ratio.median,
        ratioMin: ratio.min,
        ratioMax: ratio.max,
        target: { of: 'ratio', sign: '>=', bound: 0.85 },
      });
    } finally {
      await Promise.all(contestants.map(({ forwarder }) => forwarder.end()));
    }
  }
}

export const CONNECTIONS: Scenario[] = [
  {
    name: 'conn-syn',
    what: 'new connections, first SYN only',
    run: (c) => measure(c, 'conn-syn', 'SYN', 0, 700_000),
  },
  {
    name: 'conn-life',
    what: 'whole lives of connections',
    run: (c) => measure(c, 'conn-life', 'LIFE', 0, 350_000),
  },
  {
    name: 'conn-syn-1m',
    what: 'first SYNs beside 1 M idle connections',
    slow: true,
    run: (c) => measure(c, 'conn-syn-1m', 'SYN', IDLE, 700_000),
  },
  {
    name: 'conn-life-1m',
    what: 'whole lives beside 1 M idle connections',
    slow: true,
    run: (c) => measure(c, 'conn-life-1m', 'LIFE', IDLE, 350_000),
  },
  { name: 'idle-1m', what: 'packet rate beside 1 M idle connections', slow: true, run: besideIdle },
];
