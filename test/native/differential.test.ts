/**
 * The differential test: the same frames at the same virtual times through the native loop (flow offload on) or TypeScript's
 * short way (off, every third world), and through nothing but the TypeScript stack, a million of them over random services, flags, states, times, damage, configuration changes and
 * table pressure. What comes out is compared to the byte after every step; counters, gauges, neighbours and all connection records
 * (states, timeouts, times, sequence numbers) every few steps and at the end.
 *
 * Packets of different connections may overtake each other, those of one must not: frames are compared in the order of their
 * tuple.
 *
 * That it notices (each of these fails within 50,000 packets; done by hand, rebuild with tools/build-native): in
 * native/src/engine.cc leave out `dest.active += by`, the condition `is_behind`, or compare acknowledgement numbers without
 * their wrap; in src/ipvs set `optionalChecksum` of UDP to false or leave out `setLastSeenMs`; in support/side.ts leave
 * out `moved`.
 *
 * DPVS_DIFF_PACKETS sets the number of packets (default 1,000,000), DPVS_DIFF_SEED the first seed, DPVS_DIFF_VERBOSE=1 tells of every
 * world. A failure names its seed.
 */
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { DpvsError } from '../../src/core/errors.js';
import { DROP_REASONS } from '../../src/core/drops.js';
import { Injector, Side } from './support/side.js';
import { native, pool, startEal, startPort } from './support/rig.js';
import { Rng, World } from './support/traffic.js';

const PACKETS = Number(process.env['DPVS_DIFF_PACKETS'] ?? 1_000_000);
const SEED = Number(process.env['DPVS_DIFF_SEED'] ?? 1);
/** Packets of one world. Fewer connections than a port pool has ports, so that the order of expiry doesn't show. */
const PER_WORLD = 25_000;
const STEP = 64;

let ports: number[] = [];
let total = 0;
const seen = {
  hits: 0,
  short: 0,
  exceptions: 0,
  events: 0,
  drops: new Set<string>(),
  states: new Set<string>(),
};

beforeAll(() => {
  startEal();
  pool();
  ports = Array.from({ length: 4 }, (_, i) => startPort(`net_ring${i}`, 2));
  // Hash seeds, generations, IP identification: both sides begin alike.
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
});

afterAll(() => {
  vi.restoreAllMocks();
  for (const p of native.ports()) native.devDetach(p);
});

/** Frames by tuple, in their order within one; what a service of one-packet connections sends has none. */
function sorted(frames: Buffer[] | undefined, unordered: ReadonlySet<number>): Buffer[] {
  const key = (f: Buffer): number => (f.length < 38 ? -1 : f.readUInt32BE(26) * 65536 + f.readUInt16BE(34));
  return (frames ?? [])
    .map((f, i) => ({
      f,
      i,
      free: f.length >= 38 && unordered.has(f.readUInt32BE(26)),
      k: key(f),
      l: f.length < 38 ? 0 : f.readUInt32BE(30) * 65536 + f.readUInt16BE(36),
    }))
    .sort((a, b) => a.k - b.k || a.l - b.l || (a.free && Buffer.compare(a.f, b.f)) || a.i - b.i)
    .map(({ f }) => f);
}

function same(a: Buffer[], b: Buffer[]): boolean {
  return a.length === b.length && a.every((f, i) => f.equals(b[i]!));
}

function compareFrames(
  where: string,
  a: Buffer[] | undefined,
  b: Buffer[] | undefined,
  unordered: ReadonlySet<number>,
): void {
  const [x, y] = [sorted(a, unordered), sorted(b, unordered)];
  if (same(x, y)) return;
  expect(
    x.map((f) => f.toString('hex')),
    where,
  ).toEqual(y.map((f) => f.toString('hex')));
}

function compareStates(where: string, a: Side, b: Side): void {
  expect(a.counters(), where).toEqual(b.counters());
  const [x, y] = [a.records(), b.records()];
  expect([...x.keys()].sort(), where).toEqual([...y.keys()].sort());
  for (const [k, v] of x) if (v !== y.get(k)) expect(`${k} ${v}`, where).toBe(`${k} ${y.get(k)}`);
}

/** Applies a command to both; they take it or refuse it alike. */
function both(sides: readonly Side[], command: Parameters<Side['apply']>[0]): void {
  const answers = sides.map((s) => {
    try {
      s.apply(command);
      return 'taken';
    } catch (e) {
      if (!(e instanceof DpvsError)) throw e;
      return e.code;
    }
  });
  expect(answers[0], JSON.stringify(command)).toBe(answers[1]);
}

function run(seed: number, packets: number): void {
  const r = new Rng(seed * 7919);
  const world = new World(r);
  let now = r.chance(20) ? 2 ** 32 - 20_000 : 1_000_000;
  const o = {
    conns: r.pick([24, 128, 1024]),
    nowMs: now,
    neighTimeoutMs: r.pick([2000, 60_000]),
    ipvs: {
      xmitTtl: r.chance(40),
      ...(r.chance(50)
        ? { tcpTimeoutsMs: { established: 700, synRecv: 300, finWait: 900 }, udpTimeoutsMs: { oneway: 500 } }
        : {}),
    },
  };
  const path = seed % 3 === 0 ? 'short' : 'flow';
  const a = new Side({ ...o, id: 1, ports: ports.slice(0, 2), path });
  const b = new Side({ ...o, id: 2, ports: ports.slice(2, 4), path: 'stack' });
  const sides = [a, b];
  const translates = r.chance(30);
  const injector = new Injector(3, ports);
  for (const c of world.commands) both(sides, c);
  const replies: { device: number; frame: Buffer }[] = [];
  let sent = 0;
  for (let steps = 0; sent < packets; steps++) {
    const where = `seed ${seed}, step ${steps}`;
    now += r.chance(90) ? r.below(20) : r.chance(80) ? r.below(500) : r.below(8000);
    if (r.chance(2)) both(sides, world.change());
    if (translates && r.chance(10)) for (const s of sides) s.translate();
    for (const c of world.mend()) both(sides, c);
    for (const { device, frame } of replies.splice(0)) {
      for (const s of sides) injector.send(s, device, frame, frame.length, false);
      sent++;
    }
    const n = r.chance(10) ? 1 : 1 + r.below(STEP);
    for (let i = 0; i < n; i++) {
      const f = world.next(i);
      const redirected = r.chance(3);
      for (const s of sides) injector.send(s, f.device, f.frame, f.length, redirected);
    }
    sent += n;
    injector.flush();
    for (const s of sides) while (s.turn(now) > 0);
    const out = injector.take();
    for (const d of [0, 1]) {
      const [x, y] = [out.get(a.ports[d]!), out.get(b.ports[d]!)];
      compareFrames(`${where}, dpdk${d}`, x, y, world.onePacket);
      for (const f of y ?? []) {
        const reply = world.learn(d, f);
        if (reply !== undefined) replies.push({ device: d, frame: reply });
      }
    }
    if (steps % 16 === 0) {
      compareStates(where, a, b);
      const { records } = b.ipvs.table;
      for (let c = 1; c < records.capacity; c++)
        if (records.isUsed(c)) seen.states.add(`${records.proto(c)}:${records.state(c)}`);
    }
  }
  compareStates(`seed ${seed}, end`, a, b);
  expect([a.packets.balance(), b.stat('flowHits')]).toEqual([0, 0]);
  seen.hits += a.stat('flowHits');
  if (path === 'short') seen.short += a.short;
  seen.exceptions += a.stat('exceptions');
  seen.events += a.events;
  DROP_REASONS.forEach((d, i) => a.packets.dropped(i) > 0 && seen.drops.add(d.name));
  total += sent;
  if (process.env['DPVS_DIFF_VERBOSE'] === '1') {
    const drops = DROP_REASONS.map((d, i) => `${d.name} ${a.packets.dropped(i)}`).filter(
      (d) => !d.endsWith(' 0'),
    );
    console.log(
      `seed ${seed}: ${sent} packets, ${a.stat('flowHits')} hits, ${a.events} events, ${o.conns} conns: ${drops.join(', ')}`,
    );
  }
  // What waits for a neighbour goes back to the pool with the lcore.
  for (const s of sides) s.close();
  injector.close();
}

const worlds = Math.ceil(PACKETS / PER_WORLD);

test(
  `${PACKETS} packets through both paths: the same bytes, counters, states and timeouts`,
  { timeout: 600_000 },
  () => {
    for (let w = 0; w < worlds; w++) run(SEED + w, Math.min(PER_WORLD, PACKETS - w * PER_WORLD));
    expect(total).toBeGreaterThanOrEqual(PACKETS);
    expect(native.mempoolStats().inUse).toBe(0);
  },
);

test('and both paths were there: hits, exceptions, changes of state, most states, many reasons to drop', () => {
  console.log(
    `${total} packets: ${seen.hits} hits, ${seen.short} by the short way, ${seen.exceptions} exceptions, ${seen.events} changes of state, states ` +
      `${[...seen.states].sort().join(' ')}, drops ${[...seen.drops].sort().join(' ')}`,
  );
  expect(seen.hits).toBeGreaterThan(total * 0.15);
  expect(seen.short).toBeGreaterThan(total * 0.05);
  expect(seen.exceptions).toBeGreaterThan(total * 0.1);
  expect(seen.events).toBeGreaterThan(total * 0.01);
  expect(seen.states.size).toBeGreaterThan(8);
  expect(seen.drops.size).toBeGreaterThan(12);
});
