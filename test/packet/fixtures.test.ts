/**
 * The table of fixtures, on real DPDK ports and on the fake native boundary of the unit tests: the same frames, the
 * same counters, nothing lost. It also says that the fake is like the real thing.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { LCORE_STATS } from '../../src/core/layout.js';
import { summary } from '../support/frames.js';
import type { LabNative } from '../support/lab.js';
import { native, startEal } from '../native/support/rig.js';
import { DpdkNative, padded, PaddedFakeNative } from './dpdk-lab.js';
import { ACL_FIXTURES } from './acl-fixtures.js';
import { CLIENT_ADDR_FIXTURES } from './client-addr-fixtures.js';
import { FEATURES } from './feature-fixtures.js';
import { FIXTURES } from './fixtures.js';
import type { Fixture, Placed } from './fixtures.js';
import { MODE_FIXTURES } from './mode-fixtures.js';
import { Scene } from './scene.js';
import { SYNPROXY_FIXTURES } from './synproxy-fixtures.js';
import type { Counters } from './scene.js';

beforeAll(startEal);

const portsOf = (f: Fixture): number => (Array.isArray(f.ports) ? f.ports.length : 1);

/** A frame as a test failure shows it: what it is, and all bytes. */
const readable = ({ port, frame }: Placed): string =>
  `dpdk${port} ${trySummary(frame)} | ${Buffer.from(padded(frame)).toString('hex')}`;

function trySummary(frame: Uint8Array): string {
  try {
    return summary(frame);
  } catch (e) {
    return String(e);
  }
}

interface Outcome {
  /** What each step sent. */
  sent: string[][];
  counters: Counters;
  events: Fixture['events'];
}

function play(f: Fixture, boundary: LabNative): Outcome {
  const scene = new Scene(boundary, f);
  const { lab } = scene;
  const sent = f.steps.map((s) => {
    if (s.command !== undefined) scene.command(s.command);
    if (s.wait !== undefined) lab.advance(s.wait);
    for (const { port, frame } of s.in ?? []) {
      lab.inject(port, frame);
      lab.run();
    }
    const out: string[] = [];
    for (let port = 0; port < portsOf(f); port++) {
      out.push(...lab.take(port).map((frame) => readable({ port, frame })));
    }
    return out;
  });
  lab.expectBalanced();
  return { sent, counters: scene.counters(), events: f.events && scene.events() };
}

/** What the table says. */
function expected(f: Fixture): Outcome {
  const all = (side: 'in' | 'out'): readonly Placed[] => f.steps.flatMap((s) => s[side] ?? []);
  const bytes = (frames: readonly Placed[]): number => frames.reduce((n, p) => n + padded(p.frame).length, 0);
  const [rx, tx] = [all('in'), all('out')];
  const drops = f.drops ?? {};
  const { held = 0, open = 0 } = f;
  const ended = Object.values(drops).reduce((n, v) => n + v, 0);
  const stats = {
    rxPackets: rx.length,
    rxBytes: bytes(rx),
    txPackets: tx.length,
    txBytes: bytes(tx),
    generated: tx.length + ended + held - rx.length,
    punted: 0,
    redirOut: 0,
    redirIn: 0,
    held,
    allocFail: 0,
    conns: open,
  };
  return {
    sent: f.steps.map((s) => s.out.map(readable)),
    counters: { stats, drops },
    events: f.events,
  };
}

function onDpdk(f: Fixture, flows: boolean): Outcome {
  const ports = new DpdkNative({ ports: portsOf(f), ...(f.conns === undefined ? {} : { conns: f.conns }) });
  try {
    const outcome = play({ ...f, flows }, ports);
    hits += new Float64Array(ports.stats)[LCORE_STATS.at.flowHits >>> 3]!;
    return outcome;
  } finally {
    ports.close();
  }
}

/** Packets that the native loop has forwarded. */
let hits = 0;

function onFake(f: Fixture): Outcome {
  return play(f, new PaddedFakeNative(f.conns === undefined ? {} : { conns: f.conns }));
}

const ROWS = [
  ...FIXTURES,
  ...MODE_FIXTURES,
  ...CLIENT_ADDR_FIXTURES,
  ...FEATURES,
  ...ACL_FIXTURES,
  ...SYNPROXY_FIXTURES,
].map((row): [string, Fixture] => [row.what, row]);

describe('on DPDK ports', () => {
  test.each(ROWS)('%s', (_what, f) => {
    expect(onDpdk(f, false)).toEqual(expected(f));
    expect(native.ports()).toEqual([]);
    expect(hits).toBe(0);
  });
});

describe('on DPDK ports, with the native flow engine', () => {
  test.each(ROWS)('%s', (_what, f) => {
    expect(onDpdk(f, true)).toEqual(expected(f));
  });

  test('it has forwarded some of them', () => {
    expect(hits).toBeGreaterThan(30);
  });
});

test.each([
  ['SYNs to services with syn-proxy are answered', SYNPROXY_FIXTURES[0]!, 1],
  ['SYNs that a list refuses are dropped, others answered,', SYNPROXY_FIXTURES[1]!, 3],
])('%s without TypeScript', (_what, fixture, answers) => {
  const ports = new DpdkNative();
  try {
    play({ ...fixture, flows: true }, ports);
    const stats = new Float64Array(ports.stats);
    expect(stats[LCORE_STATS.at.txPackets >>> 3]).toBe(answers);
    expect(stats[LCORE_STATS.at.exceptions >>> 3]).toBe(0);
  } finally {
    ports.close();
  }
});

test('a packet that nobody ends is noticed on DPDK ports', () => {
  const ports = new DpdkNative();
  try {
    const { lab } = new Scene(ports);
    const p = lab.packets.alloc();
    expect(() => lab.expectBalanced()).toThrow('1 packets unaccounted for');
    lab.packets.hold(p);
    lab.expectBalanced();
    lab.packets.hold(p);
    lab.packets.counters[LCORE_STATS.at.generated >>> 3]! += 1;
    expect(() => lab.expectBalanced()).toThrow('1 packets in use, 2 held');
  } finally {
    ports.close();
  }
});

// Nothing of it is native: tools/sanitize, which chooses the addon, has no use for it.
if (process.env['DPVS_NATIVE'] === undefined)
  describe('on the fake of the unit tests', () => {
    test.each(ROWS)('%s', (_what, f) => {
      expect(onFake(f)).toEqual(expected(f));
    });
  });
