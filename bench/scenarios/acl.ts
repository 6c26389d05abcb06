/**
 * Black lists of a million entries: what they cost packets of clients that are on none, how fast a flood of listed clients is
 * dropped, and what loading them takes and does to traffic.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Dpvs, type Forwarder } from '../lib/forwarder.js';
import { type Contestant, inTurns, rate, ratioOf, slice, type Slice } from '../lib/measure.js';
import { ip, NET, text } from '../lib/network.js';
import { plainRun, type Run } from '../lib/results.js';
import { residentBytes } from '../lib/threads.js';
import type { Context, Scenario } from './context.js';
import { open, pmd, verify } from './packets.js';

const TRAFFIC = { proto: 'udp', flows: 64_000, frame: 64 } as const;
const ENTRIES = 1_000_000;
/** The source has so many client addresses (bench/native/source.h). */
const CLIENTS = 2 ** 20;
/** As ipvsadm sends a file. */
const PART = 20_000;
/** No client, no real server and none of ours is there. */
const ELSEWHERE = '20.0.0.0';

/** Puts `n` addresses on the global black list, in one command. @returns seconds until every lcore drops them */
async function load(d: Dpvs, first: string, n: number): Promise<number> {
  const begin = process.hrtime.bigint();
  for (let at = 0; at < n; at += PART) {
    const entries = Array.from({ length: Math.min(PART, n - at) }, (_, i) => text(ip(first) + at + i));
    const more = at + PART < n;
    await d.client.call('acl.add', { list: 'black', entries, load: 'bench', more });
  }
  return Number(process.hrtime.bigint() - begin) / 1e9;
}

async function started(c: Context, path: 'flow' | 'typescript'): Promise<Dpvs> {
  c.say(`starting dpvs (${path})`);
  const d = await Dpvs.start({ flowOffload: path === 'flow', connections: TRAFFIC.flows });
  await d.service(TRAFFIC.proto);
  await open(d, TRAFFIC, (s) => c.say(s));
  return d;
}

/** Loads the lists at half of the traffic that there could be, and tells what that did. */
async function loading(c: Context, d: Dpvs, path: 'flow' | 'typescript'): Promise<void> {
  const { source } = d;
  source.mode('RUN');
  const most = await slice(d, 300);
  source.set('RATE', Math.floor(most.packets / most.wallS / 2));
  await sleep(500);
  const rss = residentBytes(d.pid).total;
  source.clearGaps();
  const before = await d.counters();
  c.say(`loading ${ENTRIES} entries`);
  const seconds = await load(d, ELSEWHERE, ENTRIES);
  // Of those the time in which the lcore had its CPU.
  const gapMs = Math.max(0, ...source.gaps().map((g) => g.wall - g.off));
  const after = await d.counters();
  await sleep(300);
  const grown = (residentBytes(d.pid).total - rss) / 2 ** 20;
  const lost = ((after.missed - before.missed) / (after.rx - before.rx + after.missed - before.missed)) * 100;
  source.set('RATE', 0);
  c.add({
    name: 'acl',
    mode: `loading 1 M entries at half load: ${lost.toFixed(3)} % lost, longest gap of the lcore's own ${gapMs.toFixed(2)} ms, ${grown.toFixed(0)} MiB more`,
    ...plainRun(path, TRAFFIC.flows),
    proto: TRAFFIC.proto,
    value: seconds,
    unit: 's',
    detail: { gapMs, grownMiB: grown, lostPct: lost },
  });
}

/** SYNs of ever new clients, all of them listed. */
async function flood(c: Context, d: Dpvs, path: 'flow' | 'typescript'): Promise<void> {
  d.resume();
  await d.client.call('acl.flush', { list: 'black' });
  c.say(`loading ${CLIENTS} entries`);
  await load(d, NET.client, CLIENTS);
  const { source } = d;
  source.setAll({ PROTO: 6, RATE: 0, FIRST_ID: 0, LAST_ID: 1 << 26, FLOWS: 0 });
  source.mode('SYN');
  await sleep(c.warmMs);
  const from = await d.drops();
  const sent = d.source.counters().tx;
  const slices: Slice[] = [];
  for (let i = 0; i < c.rounds; i++) {
    c.say(`flood ${i + 1} of ${c.rounds}`);
    const s = await slice(d, c.sliceMs);
    slices.push({ ...s, packets: s.received });
  }
  const to = await d.drops();
  const others = Object.keys(to).filter((k) => k !== 'ACL_BLACKLIST' && to[k] !== (from[k] ?? 0));
  if (d.source.counters().tx !== sent || others.length > 0)
    throw new Error(`the flood was not dropped by the list: ${JSON.stringify(to)}`);
  const own = rate(slices);
  c.add({
    name: 'acl',
    mode: 'SYNs of 1 M clients, each on the list',
    ...plainRun(path, CLIENTS),
    proto: 'tcp',
    ...own,
    value: own.perCpuSecond,
    unit: 'dropped/s',
    detail: { drops: to },
  });
}

async function acl(c: Context): Promise<void> {
  const contestants: (Contestant & { what: string; path: Run['path'] })[] = [];
  const add = (what: string, path: Run['path'], forwarder: Forwarder): void => {
    forwarder.pause();
    contestants.push({ name: `${path} ${what}`, what, path, forwarder });
  };
  const listed: [Dpvs, 'flow' | 'typescript'][] = [];
  try {
    for (const path of c.paths) {
      const plain = await started(c, path);
      await verify(plain, c.quick ? 200 : 1000);
      add('fullnat, no lists', path, plain);
      const d = await started(c, path);
      listed.push([d, path]);
      await loading(c, d, path);
      c.say('verifying every packet');
      await verify(d, c.quick ? 200 : 1000);
      add('fullnat, 1 M entries that are others', path, d);
    }
    add('testpmd 5tswap', '-', await pmd('5tswap', TRAFFIC));
    const slices = await inTurns(contestants, { ...c, onRound: (n) => c.say(`round ${n} of ${c.rounds}`) });
    const base = slices.get('- testpmd 5tswap')!;
    for (const { name, what, path } of contestants) {
      const own = slices.get(name)!;
      const ratio = ratioOf(own, base);
      c.add({
        name: 'acl',
        mode: what,
        ...plainRun(path, TRAFFIC.flows),
        proto: TRAFFIC.proto,
        ...rate(own),
        baseline: 'testpmd 5tswap',
        ratio: ratio.median,
        ratioMin: ratio.min,
        ratioMax: ratio.max,
      });
    }
    for (const [d, path] of listed) {
      await flood(c, d, path);
      d.pause();
    }
  } finally {
    await Promise.all(contestants.map(({ forwarder }) => forwarder.end()));
  }
}

export const ACL: Scenario[] = [{ name: 'acl', what: 'black lists of 1 M entries', slow: true, run: acl }];
