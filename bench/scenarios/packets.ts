/**
 * Packets of established connections: Full-NAT in both directions, each flow's packets in random order, against testpmd
 * in io and 5tswap mode on the same source and sink. Before it is measured, every packet that is forwarded
 * during a verifying pass is checked byte by byte.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Dpvs, type Fwd, Testpmd } from '../lib/forwarder.js';
import { type Contestant, inTurns, rate, ratioOf } from '../lib/measure.js';
import { NET } from '../lib/network.js';
import type { Run } from '../lib/results.js';
import { count } from '../lib/table.js';
import type { Context, Scenario } from './context.js';

export interface Traffic {
  name: string;
  proto: 'udp' | 'tcp';
  flows: number;
  /** Full-NAT when not said. */
  fwd?: Fwd;
  /** 0 = IMIX. */
  frame: number;
  /** Share of 5tswap to reach, by path. */
  targets?: { flow?: number; typescript?: number };
  slow?: boolean;
}

/** Answers of direct routing and tunnels do not come through the load balancer. */
const sidesOf = (fwd: Fwd | undefined): number => (fwd === 'dr' || fwd === 'tunnel' ? 1 : 3);

const PROTO = { udp: 17, tcp: 6 } as const;

/** Opens `flows` connections, one after the other, and learns what each was given. @throws Error when some stay closed */
export async function open(
  d: Dpvs,
  t: Pick<Traffic, 'proto' | 'flows' | 'frame' | 'fwd'>,
  say: (s: string) => void,
): Promise<void> {
  const { source } = d;
  source.mode('IDLE');
  // Whatever its frames are later, it is opened by small ones.
  source.setAll({
    PROTO: PROTO[t.proto],
    FRAME: 64,
    FLOWS: t.flows,
    SIDES: sidesOf(t.fwd),
    RATE: 0,
    VERIFY: 1,
    LATENCY: 0,
  });
  await source.order('CLEAR');
  source.mode('WALK');
  let before = -1;
  for (let still = 0; ;) {
    await sleep(50);
    const { learnt } = source.counters();
    if (learnt >= t.flows) break;
    say(`opening connections: ${count(learnt)} of ${count(t.flows)}`);
    still = learnt === before ? still + 1 : 0;
    before = learnt;
    if (still > 200) {
      const why = JSON.stringify({ ...source.counters(), bad: source.badReasons(), drops: await d.drops() });
      throw new Error(`only ${learnt} of ${t.flows} connections open: ${why}`);
    }
  }
  // What is still under way, and packets of it that wait.
  await sleep(50);
  source.mode('IDLE');
  await sleep(20);
  source.set('FRAME', t.frame);
  await source.order('BUILD');
}

/**
 * Forwards and checks every packet, at least one of each direction of each flow: the first one is TypeScript's also when
 * the flow engine does the rest, and would cost the measuring that follows.
 * @returns how many were checked
 */
export async function verify(d: Dpvs, ms: number): Promise<number> {
  const { source } = d;
  const flows = source.get('FLOWS');
  const before = source.counters();
  const sides = ['RX0', 'RX1']
    .filter((_, i) => (source.get('SIDES') & (1 << i)) !== 0)
    .map((field) => ({ field, from: source.get(field) }));
  source.set('VERIFY', 1);
  source.mode('RUN');
  const end = Date.now() + ms;
  while (Date.now() < end || sides.some(({ field, from }) => source.get(field) - from < flows)) {
    await sleep(20);
    if (Date.now() > end + 120_000) throw new Error(`too slow to verify: ${JSON.stringify(await d.drops())}`);
  }
  source.set('VERIFY', 0);
  const { bad, verified } = source.counters();
  if (bad > 0)
    throw new Error(`${bad} of ${verified} frames are wrong: ${JSON.stringify(source.badReasons())}`);
  if (verified === before.verified)
    throw new Error(`nothing was forwarded: ${JSON.stringify(await d.drops())}`);
  return verified - before.verified;
}

/** A testpmd that makes up the replies which dpvs would have translated. */
export async function pmd(
  mode: 'io' | '5tswap',
  t: Pick<Traffic, 'proto' | 'flows' | 'frame' | 'fwd'>,
): Promise<Testpmd> {
  const p = await Testpmd.start(mode);
  p.source.setAll({ PROTO: PROTO[t.proto], FRAME: t.frame, FLOWS: t.flows, SIDES: sidesOf(t.fwd) });
  await p.source.order('BUILD');
  p.source.mode('RUN');
  return p;
}

export async function measure(c: Context, t: Traffic): Promise<void> {
  const contestants: (Contestant & { path: Run['path'] })[] = [];
  let verified = 0;
  try {
    for (const path of c.paths) {
      c.say(`starting dpvs (${path})`);
      const d = await Dpvs.start({
        flowOffload: path === 'flow',
        connections: t.flows,
        tcpTimeouts: { established: 3600 },
      });
      contestants.push({ name: path, forwarder: d, path });
      if (t.fwd === 'snat') await d.snat(t.proto);
      else await d.service(t.proto, NET.vport, t.fwd);
      await open(d, t, (s) => c.say(s));
      c.say('verifying every packet');
      verified += await verify(d, c.quick ? 200 : 1000);
      d.pause();
    }
    for (const mode of ['io', '5tswap'] as const) {
      c.say(`starting testpmd ${mode}`);
      const p = await pmd(mode, t);
      p.pause();
      contestants.push({ name: `testpmd ${mode}`, forwarder: p, path: '-' });
    }
    const slices = await inTurns(contestants, { ...c, onRound: (n) => c.say(`round ${n} of ${c.rounds}`) });
    const base = slices.get('testpmd 5tswap')!;
    for (const { name, path } of contestants) {
      const own = slices.get(name)!;
      const ratio = ratioOf(own, base);
      const bound = path === '-' ? undefined : t.targets?.[path];
      c.add({
        name: t.name,
        mode: path === '-' ? name : (t.fwd ?? 'fullnat'),
        proto: t.proto,
        flows: t.flows,
        lcores: 1,
        frameBytes: t.frame,
        path,
        ...rate(own),
        baseline: 'testpmd 5tswap',
        ratio: ratio.median,
        ratioMin: ratio.min,
        ratioMax: ratio.max,
        ...(bound === undefined ? {} : { target: { of: 'ratio', sign: '>=', bound } }),
        detail: path === '-' ? {} : { verified },
      });
    }
  } finally {
    await Promise.all(contestants.map(({ forwarder }) => forwarder.end()));
  }
}

export const PACKETS: Scenario[] = (
  [
    { name: 'udp-1k', proto: 'udp', flows: 1000, frame: 64, targets: { flow: 0.6, typescript: 0.15 } },
    { name: 'udp-64k', proto: 'udp', flows: 64_000, frame: 64, targets: { flow: 0.45 } },
    ...(['nat', 'dr', 'tunnel', 'snat'] as const).map((fwd) => ({
      name: `udp-64k-${fwd}`,
      fwd,
      proto: 'udp' as const,
      flows: 64_000,
      frame: 64,
      slow: true,
    })),
    { name: 'udp-1m', proto: 'udp', flows: 1_000_000, frame: 64, targets: { flow: 0.3, typescript: 0.07 } },
    { name: 'udp-4m', proto: 'udp', flows: 4_000_000, frame: 64, targets: { flow: 0.22 }, slow: true },
    { name: 'udp-imix', proto: 'udp', flows: 64_000, frame: 0, slow: true },
    { name: 'tcp-64k', proto: 'tcp', flows: 64_000, frame: 64, slow: true },
    { name: 'tcp-1m', proto: 'tcp', flows: 1_000_000, frame: 64, slow: true },
  ] satisfies Traffic[]
).map((t: Traffic) => ({
  name: t.name,
  what: `${t.fwd === undefined ? '' : `${t.fwd}, `}${t.proto.toUpperCase()}, ${t.frame === 0 ? 'IMIX' : `${t.frame} bytes`}, ${count(t.flows)} flows`,
  slow: t.slow === true,
  run: (c) => measure(c, t),
}));
