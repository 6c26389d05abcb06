/**
 * 100,000 damaged frames, of any length, through real ports and the whole stack: nothing crashes, every frame is
 * accounted for, every buffer comes back, and what is sent has right headers. Seeded: running it again repeats a failure.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Command } from '../../src/control/schema.js';
import { startEal } from '../native/support/rig.js';
import { checkFrame, rfc1071 } from '../support/frames.js';
import { judgeFile } from '../support/judge.js';
import { macOf } from '../support/lab.js';
import { readPcap, writePcap } from '../support/pcap.js';
import { DpdkPcap } from './dpdk-pcap.js';
import { FIXTURES } from './fixtures.js';
import { Scene } from './scene.js';
import type { Counters } from './scene.js';

const FRAMES = 100_000;
const SEED = 20_261_122;
/** Virtual time for a burst of 32 frames: 30 s in all, so that timers run and rate limits recover. */
const MS_PER_POLL = 10;

const scratch = mkdtempSync(join(tmpdir(), 'dpvs-mutated-'));
beforeAll(startEal);
afterAll(() => rmSync(scratch, { recursive: true }));

/** mulberry32. @returns numbers from 0 up to, not including, `n` */
function generator(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

/** One frame of the fixtures, damaged in one to three ways. */
function mutate(original: Uint8Array, below: (n: number) => number): Uint8Array {
  let frame = Uint8Array.from(original);
  for (let edits = below(4); edits > 0; edits--) {
    switch (below(6)) {
      case 0: // one bit
        frame[below(frame.length)]! ^= 1 << below(8);
        break;
      case 1: // a byte of the headers
        frame[below(Math.min(frame.length, 64))] = below(256);
        break;
      case 2: {
        // a run of one value
        const from = below(frame.length);
        frame.fill(below(2) * 255, from, from + 1 + below(8));
        break;
      }
      case 3: // cut short
        frame = frame.slice(0, 1 + below(frame.length));
        break;
      case 4: // something behind it, now and then more than a buffer holds
        frame = Uint8Array.from(
          Buffer.concat([frame, new Uint8Array(below(below(50) === 0 ? 3000 : 40)).fill(0xab)]),
        );
        break;
      default: {
        // a part repeated, everything behind it moves
        const from = below(frame.length);
        const part = frame.slice(from, from + 1 + below(16));
        frame = Uint8Array.from(Buffer.concat([frame.slice(0, from), part, frame.slice(from)]));
      }
    }
  }
  // A right header checksum takes the damage past the first check.
  if (below(4) > 0) fixIpv4(frame, below(2) === 0);
  return frame;
}

function fixIpv4(frame: Uint8Array, lengthToo: boolean): void {
  if (frame.length < 34 || frame[12] !== 8 || frame[13] !== 0) return;
  const end = 14 + (frame[14]! & 15) * 4;
  if (end < 34 || end > frame.length) return;
  const put = (at: number, v: number): void => frame.set([v >>> 8, v & 255], at);
  if (lengthToo) put(16, Math.min(frame.length - 14, 65535));
  put(24, 0);
  put(24, rfc1071(frame.subarray(14, end)));
  // ICMP is checked before anything is believed.
  if (frame[23] === 1 && lengthToo && frame.length >= end + 8) {
    put(end + 2, 0);
    put(end + 2, rfc1071(frame.subarray(end)));
  }
}

const addr = (a: string, plen: number, dev: string): Command => ({
  op: 'addr.add',
  dev,
  addr: a,
  plen,
  scope: 'global',
  validLft: 0,
  sapool: false,
});

/** A router that serves TCP and UDP: every part of the stack is there to be hit. */
const SETUP: Command[] = [
  addr('192.168.100.100', 24, 'dpdk0'),
  addr('10.0.0.1', 24, 'dpdk1'),
  { op: 'neigh.add', dev: 'dpdk0', addr: '192.168.100.3', lladdr: '02:00:00:00:00:03' },
  { op: 'neigh.add', dev: 'dpdk0', addr: '192.168.100.2', lladdr: '02:00:00:00:00:02' },
  ...(['tcp', 'udp'] as const).flatMap((proto): Command[] => {
    const svc = { proto, addr: '192.168.100.100', port: 80 };
    return [
      { op: 'svc.add', svc, scheduler: 'wlc', connTimeout: 0 },
      {
        op: 'dest.add',
        svc,
        dest: { addr: '192.168.100.2', port: 80 },
        fwd: 'fullnat',
        weight: 1,
        maxConn: 0,
        minConn: 0,
      },
      { op: 'laddr.add', svc, addr: '192.168.100.200', dev: 'dpdk0' },
    ];
  }),
];

describe.each([
  ['TypeScript alone', false],
  ['with native flows', true],
])('%s', (_name, flows) => {
  let counters: Counters;
  let hits: number;

  test(`${FRAMES} mutated frames: every one is accounted for, every buffer comes back`, () => {
    const corpus = FIXTURES.flatMap((f) => f.steps.flatMap((s) => (s.in ?? []).map((p) => p.frame)));
    const below = generator(SEED);
    const frames = Array.from({ length: FRAMES }, () => mutate(corpus[below(corpus.length)]!, below));
    const files = [0, 1].map((port) => ({
      rx: join(scratch, `in${port}.pcap`),
      tx: join(scratch, `out${port}.pcap`),
    }));
    writeFileSync(files[0]!.rx, writePcap(frames));
    writeFileSync(files[1]!.rx, writePcap([]));

    const ports = new DpdkPcap(files, { msPerPoll: MS_PER_POLL });
    try {
      const scene = new Scene(ports, {
        ports: [{}, { mtu: 1400 }],
        config: { forwarding: true },
        setup: SETUP,
        judge: false,
        flows,
      });
      ports.listening = true;
      scene.lab.run();
      scene.lab.expectBalanced();
      expect(ports.lost).toBe(0);
      counters = scene.counters();
      hits = scene.lab.counter('flowHits');
    } finally {
      // Throws unless the pool is as full as it was.
      ports.close();
    }
    expect(counters.stats['rxPackets']).toBe(FRAMES);
  });

  test('the damage went everywhere: many reasons to drop, many frames passed on', () => {
    expect(Object.keys(counters.drops).length).toBeGreaterThan(24);
    expect(counters.stats['txPackets']).toBeGreaterThan(FRAMES / 10);
    expect(hits > 0).toBe(flows);
  });

  test('headers of everything that was sent are right, and tshark agrees where no damage was handed on', async () => {
    const wrong: string[] = [];
    let sent = 0;
    for (const port of [0, 1]) {
      const frames = readPcap(readFileSync(join(scratch, `out${port}.pcap`)));
      sent += frames.length;
      for (const frame of frames) {
        const why = complaint(() => checkHeaders(frame, port));
        if (why !== undefined) wrong.push(`dpdk${port} ${why} ${Buffer.from(frame).toString('hex')}`);
      }
      const intact = frames.filter(
        (frame) =>
          isOurs(frame) && !isIcmpFragment(frame) && complaint(() => checkFrame(frame)) === undefined,
      );
      expect(intact.length).toBeGreaterThan(frames.length / 2);
      const file = join(scratch, `intact${port}.pcap`);
      writeFileSync(file, writePcap(intact));
      // Damage to a transport header may still be quoted in an ICMP error, or be in a fragment.
      expect((await judgeFile(file, { transport: false })).slice(0, 20)).toEqual([]);
    }
    expect(wrong.slice(0, 20)).toEqual([]);
    expect(sent).toBe(counters.stats['txPackets']);
  });
});

/** ARP, or ICMP, TCP, UDP over IPv4: tshark finds fault with the insides of other protocols, which are not ours. */
const isOurs = (frame: Uint8Array): boolean => frame[13] === 6 || [1, 6, 17].includes(frame[23]!);

/** tshark joins them and judges the checksum of the whole, which a router hands on damaged as it is. */
const isIcmpFragment = (frame: Uint8Array): boolean =>
  frame[13] === 0 && frame[23] === 1 && ((frame[20]! & 0x3f) | frame[21]!) !== 0;

function complaint(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (e) {
    return (e as Error).message;
  }
}

const OURS = ['192.168.100.100', '192.168.100.200', '10.0.0.1'];

/**
 * What has to be right in a frame of ours whatever came in: all of ARP, Ethernet and IPv4, and ICMP from our addresses.
 * Damage behind the IPv4 header of a packet that is passed on is for its receiver to see.
 */
function checkHeaders(frame: Uint8Array, port: number): void {
  const require = (ok: boolean, what: string): void => {
    if (!ok) throw new Error(what);
  };
  const hex = Buffer.from(frame).toString('hex');
  const u16 = (at: number): number => (frame[at]! << 8) | frame[at + 1]!;
  require(frame.length >= 60 && frame.length <= 1514, `length ${frame.length}`);
  require(hex.slice(12, 24) === macOf(port).replaceAll(':', ''), 'source MAC');
  if (u16(12) === 0x0806) {
    checkFrame(frame);
    return;
  }
  require(u16(12) === 0x0800, 'ethertype');
  const end = 14 + u16(16);
  const l4 = 14 + (frame[14]! & 15) * 4;
  require(frame[14]! >>> 4 === 4 && l4 >= 34 && l4 <= end && end <= frame.length, 'IPv4 lengths');
  require(frame.length === Math.max(60, end), 'bytes behind the datagram');
  require(frame.subarray(end).every((v) => v === 0), 'padding');
  require(rfc1071(frame.subarray(14, l4)) === 0, 'IPv4 checksum');
  require(frame[22]! > 0, 'TTL 0');
  const fragment = (u16(20) & 0x3fff) !== 0;
  if (frame[23] === 1 && !fragment && OURS.includes(frame.subarray(26, 30).join('.'))) {
    require(rfc1071(frame.subarray(l4, end)) === 0, 'ICMP checksum');
  }
}
