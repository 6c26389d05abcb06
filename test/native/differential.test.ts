/**
 * The differential test: the same frames at the same virtual times through the native loop (flow offload on) or TypeScript's
 * short way (off, every third world), and through nothing but the TypeScript stack, a million of them over random services, flags, states, times, damage, configuration changes and
 * table pressure. What comes out is compared to the byte after every step; counters, gauges, neighbours and all connection records
 * (states, timeouts, times, sequence numbers) every few steps and at the end.
 *
 * Packets of different connections may overtake each other, those of one must not: frames are compared in the order of their
 * tuple (but for what syn-proxy answers without a connection). A scheduler that counts active connections would see that: with it packets come one by one.
 *
 * Real and direct servers, tunnels and SNAT take part, every scheduler, every way to tell a real server the client's address,
 * syn-proxy (its handshakes go on: World answers SYN-ACKs and SYNs; floods of SYNs), lists that change, full tables, both lcores die and
 * come back. That it notices what is broken on purpose: tools/mutants.mjs. Small cases that shrink: conversations.test.ts, verdicts.test.ts.
 *
 * DPVS_DIFF_PACKETS sets the number of packets (default 1,000,000), DPVS_DIFF_SEED the first seed, DPVS_DIFF_VERBOSE=1 tells of every
 * world. A failure names its seed.
 */
import { expect, test } from 'vitest';
import { DROP, DROP_REASONS } from '../../src/core/drops.js';
import { EVENT, type EventName } from '../../src/core/events.js';
import { DIR_IN, DIR_OUT } from '../../src/core/layout.js';
import { D } from '../../src/ipvs/conn/records.js';
import { SCHEDULERS } from '../../src/ipvs/sched/index.js';
import { XMIT_BY_FWD, XMITS } from '../../src/ipvs/xmit/index.js';
import * as opp from '../../src/wire/opp.js';
import { Pair, pairPorts } from './support/pair.js';
import { native } from './support/rig.js';
import { Rng, World } from './support/traffic.js';

const PACKETS = Number(process.env['DPVS_DIFF_PACKETS'] ?? 1_000_000);
const SEED = Number(process.env['DPVS_DIFF_SEED'] ?? 1);
/** Packets of one world. Fewer connections than a port pool has ports, so that the order of expiry doesn't show. */
const PER_WORLD = 25_000;
const STEP = 64;
/** Packets that a run which lacks variety may have besides. */
const EXTRA = 300_000;

const CLIENT_ADDRESSES = [
  'TOA',
  'UOA, protocol',
  'UOA, option',
  'PROXY v1, TCP',
  'PROXY v2, TCP',
  'PROXY v2, UDP',
] as const;
const SYNPROXY_EVENTS = (Object.keys(EVENT) as EventName[]).filter((name) => name.startsWith('SYNPROXY_'));

const ports = pairPorts();
let total = 0;
const seen = {
  hits: 0,
  short: 0,
  exceptions: 0,
  events: 0,
  restarts: 0,
  downs: 0,
  ups: 0,
  /** Packets that lists have refused. */
  refused: 0,
  evicted: 0,
  hashed: 0,
  resumed: 0,
  drops: new Set<string>(),
  states: new Set<string>(),
  modes: new Set<string>(),
  addresses: new Set<string>(),
  reflexes: 0,
  opened: 0,
  joined: 0,
  synproxy: new Set<string>(),
  schedulers: new Set<string>(),
};

/** How a frame to a real server tells it the client's address. */
function wayOf(f: Buffer): (typeof CLIENT_ADDRESSES)[number] | undefined {
  // From a local address.
  if (f.readUInt16BE(12) !== 0x0800 || f.readUInt32BE(26) >>> 8 !== 0xc0a800) return undefined;
  if (f[23] === opp.PROTO) return 'UOA, protocol';
  const l4 = 14 + (f[14]! & 15) * 4;
  if (f[23] === 17 && f[14]! > 0x45 && f[34] === opp.OPTION) return 'UOA, option';
  const data = f[23] === 6 ? l4 + (f[l4 + 12]! >>> 4) * 4 : l4 + 8;
  const proto = f[23] === 6 ? 'TCP' : 'UDP';
  if (f.subarray(data, data + 6).toString('latin1') === 'PROXY ') return 'PROXY v1, TCP';
  if (f.subarray(data, data + 4).toString('hex') === '0d0a0d0a') return `PROXY v2, ${proto}`;
  const isToa = proto === 'TCP' && f.subarray(l4 + 20, data).includes(Buffer.from([254, 8]));
  return isToa ? 'TOA' : undefined;
}

/** What has not been seen often enough. */
function lacking(): string[] {
  const enough = {
    hits: seen.hits > total * 0.15,
    'short way': seen.short > total * 0.05,
    exceptions: seen.exceptions > total * 0.1,
    // A SYN is TypeScript's: what is left are acknowledgements, ends and answers of UDP.
    'changes of state': seen.events > total / 500,
    'notices of real servers': Math.min(seen.downs, seen.ups) > total / 10_000,
    // In some of the worlds whose packets come one by one.
    'flood mode': PACKETS < 1_000_000 || Math.min(seen.evicted, seen.hashed, seen.resumed) > 5,
    states: seen.states.size > 8,
    'reasons to drop': seen.drops.size > 12,
    restarts: seen.restarts > total / 30_000,
    'SYNs answered by the native loop': seen.reflexes > total / 200,
    'connections opened by the native loop': seen.opened > total / 400,
    'handshakes of syn-proxy': seen.joined > total / 1000,
    'events of syn-proxy': SYNPROXY_EVENTS.every((name) => seen.synproxy.has(name)),
    lists: seen.drops.has('ACL_BLACKLIST') && seen.drops.has('ACL_WHITELIST') && seen.refused > total / 500,
    modes: XMITS.every((x) => seen.modes.has(x.name)),
    // In a short run the dice don't show all of them.
    schedulers: PACKETS < 1_000_000 || SCHEDULERS.every((x) => seen.schedulers.has(x.name)),
    "ways of the client's address":
      PACKETS < 1_000_000 || CLIENT_ADDRESSES.every((way) => seen.addresses.has(way)),
  };
  return Object.entries(enough)
    .filter(([, is]) => !is)
    .map(([what]) => what);
}

function run(seed: number, most: number): void {
  const r = new Rng(seed * 7919);
  const world = new World(r, seed);
  const packets = Math.min(most, world.oneByOne ? PER_WORLD / 10 : PER_WORLD);
  let now = r.chance(20) ? 2 ** 32 - 20_000 : 1_000_000;
  const o = {
    conns: world.oneByOne ? 12 : r.pick([24, 128, 1024, 8192, 8192]),
    nowMs: now,
    neighTimeoutMs: r.pick([2000, 60_000]),
    // Tables are too small here for the front of the index to be used by itself.
    alwaysFront: seed % 2 === 0,
    ipvs: {
      xmitTtl: r.chance(40),
      uoaMaxTrail: r.pick([0, 0, 3]),
      uoaMode: seed % 4 < 2 ? ('opp' as const) : ('ipo' as const),
      // With it, packets of TCP are for the stack until the real server has spoken.
      tcp: {
        toa: r.chance(40),
        rebase: r.chance(70),
        keepTimestamps: r.chance(30),
        ackStorm: r.pick([1, 2, 10]),
      },
      synproxy: world.synproxy,
      // Which connection ends, and whether there is room, depends on the order of packets within a poll.
      ...(world.oneByOne
        ? { floodHigh: 90, floodLow: r.pick([50, 80]), floodIdleMs: r.pick([500, 5000, 100_000]) }
        : {}),
      defenceTcpDrop: seed % 2 === 0,
      defenceUdpDrop: seed % 4 < 2,
      ...(r.chance(50)
        ? { tcpTimeoutsMs: { established: 700, synRecv: 300, finWait: 900 }, udpTimeoutsMs: { oneway: 500 } }
        : {}),
    },
  };
  const path = seed % 3 === 0 ? 'short' : 'flow';
  const pair = new Pair(ports, { ...o, path });
  for (const c of world.commands) pair.apply(c);
  const translates = r.chance(30);
  const replies: { device: number; frame: Buffer }[] = [];
  let sent = 0;
  let restarts = 0;
  for (let steps = 0; sent < packets; steps++) {
    const where = `seed ${seed}, step ${steps}`;
    now += r.chance(90) ? r.below(20) : r.chance(80) ? r.below(500) : r.below(8000);
    if (r.chance(2)) pair.apply(world.change());
    if (translates && r.chance(10)) pair.translate();
    for (const c of world.mend()) pair.apply(c);
    if (r.chance(world.oneByOne ? 0.1 : 0.4)) {
      pair.restart();
      restarts++;
    }
    for (const { device, frame } of replies.splice(0)) {
      pair.send(device, frame);
      sent++;
    }
    // Now and then nothing but SYNs: much of the rest leaves the connections of a poll to TypeScript.
    const isFlood = !world.oneByOne && r.chance(10);
    const n = isFlood ? 0 : world.oneByOne || r.chance(10) ? 1 : 1 + r.below(STEP);
    for (let i = 0; i < n; i++) {
      const f = world.next(i);
      pair.send(f.device, f.frame, f.length, r.chance(3));
    }
    sent += n;
    for (let i = isFlood ? r.below(2 * STEP) : 0; i > 0; i--) {
      const f = world.syn(i);
      if (f === undefined) break;
      pair.send(f.device, f.frame, f.length);
      sent++;
    }
    for (const [device, frames] of pair.turn(now, where, world.onePacket, world.proxied).entries()) {
      for (const f of frames) {
        const reply = world.learn(device, f);
        const way = wayOf(f);
        if (way !== undefined) seen.addresses.add(way);
        if (reply !== undefined) replies.push({ device, frame: reply });
      }
    }
    if (steps % (world.oneByOne ? 256 : 16) === 0) {
      pair.compare(where);
      const { records } = pair.plain.ipvs.table;
      for (let c = 1; c < records.capacity; c++) {
        if (!records.isUsed(c)) continue;
        seen.states.add(`${records.proto(c)}:${records.state(c)}`);
        seen.modes.add(XMIT_BY_FWD[records.fwd(c)]!.name);
        world.zeroSum(records.u16[(records.dir(c, r.pick([DIR_IN, DIR_OUT])) + D.l4Delta) >>> 1]!);
      }
    }
  }
  pair.compare(`seed ${seed}, end`);
  const { tested } = pair;
  seen.hits += tested.stat('flowHits');
  if (path === 'short') seen.short += tested.short;
  seen.reflexes += tested.reflexes;
  seen.opened += tested.opened;
  seen.joined += tested.event('SYNPROXY_JOINED');
  for (const name of SYNPROXY_EVENTS) if (tested.event(name) > 0) seen.synproxy.add(name);
  seen.exceptions += tested.stat('exceptions');
  seen.events += tested.events;
  seen.restarts += restarts;
  for (const n of Object.values(tested.noticed)) {
    seen.downs += n.downs;
    seen.ups += n.ups;
  }
  seen.refused += tested.packets.dropped(DROP.ACL_BLACKLIST) + tested.packets.dropped(DROP.ACL_WHITELIST);
  seen.evicted += tested.event('FLOOD_EVICTED');
  seen.hashed += tested.event('FLOOD_HASHED');
  seen.resumed += tested.event('FLOOD_RESUMED');
  for (const s of world.schedulers) seen.schedulers.add(s);
  DROP_REASONS.forEach((d, i) => tested.packets.dropped(i) > 0 && seen.drops.add(d.name));
  total += sent;
  if (process.env['DPVS_DIFF_VERBOSE'] === '1') {
    const drops = DROP_REASONS.map((d, i) => `${d.name} ${tested.packets.dropped(i)}`).filter(
      (d) => !d.endsWith(' 0'),
    );
    console.log(
      `seed ${seed}: ${sent} packets, ${tested.stat('flowHits')} hits, ${tested.events} events, ${restarts} restarts, ` +
        `${o.conns} conns: ${drops.join(', ')}`,
    );
  }
  // What waits for a neighbour goes back to the pool with the lcore.
  pair.close();
}

test(
  `${PACKETS} packets through both paths: the same bytes, counters, states and timeouts`,
  { timeout: 600_000 },
  () => {
    // A short run may lack something by chance: it goes on until it has seen all, for so long at most.
    for (let seed = SEED; total < PACKETS || (lacking().length > 0 && total < PACKETS + EXTRA); seed++)
      run(seed, total < PACKETS ? PACKETS - total : PER_WORLD);
    expect(total).toBeGreaterThanOrEqual(PACKETS);
    expect(native.mempoolStats().inUse).toBe(0);
  },
);

test('and both paths were there: hits, exceptions, changes of state, most states, many reasons to drop', () => {
  console.log(
    `${total} packets: ${seen.hits} hits, ${seen.short} by the short way, ${seen.exceptions} exceptions, ${seen.events} changes of state, noticed ${seen.downs} down ${seen.ups} up, states ` +
      `${[...seen.states].sort().join(' ')}, ${seen.restarts} restarts, ${seen.refused} refused by lists, flood mode ended ${seen.evicted}, hashed ${seen.hashed}, resumed ${seen.resumed}, modes ${[...seen.modes].sort().join(' ')}, ` +
      `schedulers ${[...seen.schedulers].sort().join(' ')}, drops ${[...seen.drops].sort().join(' ')}, client addresses by ${[...seen.addresses].sort().join(', ')}, ` +
      `${seen.opened} connections opened natively, syn-proxy: ${seen.reflexes} SYNs answered natively, ${seen.joined} handshakes, ${[...seen.synproxy].sort().join(' ')}`,
  );
  expect(lacking()).toEqual([]);
});
