/**
 * Capture in, byte-identical capture out, through net_pcap ports and the whole stack; what comes out is judged by tshark.
 *
 * test/packet/golden/NAME.dpdkN.in.pcap  what arrives on a port (made from conversations.ts)
 * test/packet/golden/NAME.dpdkN.out.pcap what leaves there
 * test/packet/golden/NAME.txt            the same for people, with all counters: read its difference in a review
 *
 * After a change that is meant:
 *   DPVS_GOLDEN=write npx vitest run --config test/packet/vitest.config.ts pcap.test && git diff test/packet/golden
 *
 * Times are left out: both sides are compared as writePcap() writes them.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startEal } from '../native/support/rig.js';
import { summary } from '../support/frames.js';
import { judgeFile } from '../support/judge.js';
import { readPcap, writePcap } from '../support/pcap.js';
import { CONVERSATIONS } from './conversations.js';
import type { Conversation } from './conversations.js';
import { DpdkPcap } from './dpdk-pcap.js';
import { Scene } from './scene.js';
import type { Counters } from './scene.js';

const GOLDEN = fileURLToPath(new URL('golden', import.meta.url));
const WRITE = process.env['DPVS_GOLDEN'] === 'write';
const scratch = mkdtempSync(join(tmpdir(), 'dpvs-pcap-'));

beforeAll(startEal);
afterAll(() => rmSync(scratch, { recursive: true }));

const nameOf = (c: Conversation, port: number, side: 'in' | 'out'): string =>
  `${c.name}.dpdk${port}.${side}.pcap`;
const golden = (name: string): string => join(GOLDEN, name);

/**
 * Runs the captures of `c` through the stack.
 * @returns the frames that left each port
 */
function play(
  c: Conversation,
  { flows = false, burst = 32 } = {},
): { out: Uint8Array[][]; counters: Counters; hits: number } {
  const files = c.in.map((_, port) => ({
    rx: golden(nameOf(c, port, 'in')),
    tx: join(scratch, nameOf(c, port, 'out')),
  }));
  const ports = new DpdkPcap(files, { burst });
  let counters: Counters;
  let hits: number;
  try {
    const scene = new Scene(ports, { ...c, flows });
    ports.listening = true;
    scene.lab.run();
    hits = scene.lab.counter('flowHits');
    scene.lab.expectBalanced();
    expect(ports.lost).toBe(0);
    counters = scene.counters();
  } finally {
    ports.close();
  }
  return { out: files.map((f) => readPcap(readFileSync(f.tx))), counters, hits };
}

/** For people. */
function report(c: Conversation, o: ReturnType<typeof play>): string {
  const line = (frame: Uint8Array): string => {
    try {
      return `${String(frame.length).padStart(4)}  ${summary(frame)}`;
    } catch (e) {
      return `${String(frame.length).padStart(4)}  ${(e as Error).message}`;
    }
  };
  const section = (title: string, frames: readonly Uint8Array[]): string[] => [
    title,
    ...frames.map(line),
    '',
  ];
  return [
    ...c.in.flatMap((frames, port) => section(`dpdk${port} in`, frames)),
    ...o.out.flatMap((frames, port) => section(`dpdk${port} out`, frames)),
    JSON.stringify(o.counters, undefined, 2),
    '',
  ].join('\n');
}

if (WRITE) {
  for (const c of CONVERSATIONS) {
    c.in.forEach((frames, port) => writeFileSync(golden(nameOf(c, port, 'in')), writePcap(frames)));
  }
}

describe.each(CONVERSATIONS.map((c) => [c.name, c] as const))('%s', (_name, c) => {
  let played: ReturnType<typeof play>;

  test('the captures that come in are those of conversations.ts', () => {
    c.in.forEach((frames, port) => {
      expect(readPcap(readFileSync(golden(nameOf(c, port, 'in'))))).toEqual(frames);
    });
  });

  test('what goes out is byte for byte the golden capture, and every packet is accounted for', () => {
    played = play(c);
    const text = report(c, played);
    if (WRITE) {
      writeFileSync(golden(`${c.name}.txt`), text);
      played.out.forEach((frames, port) => writeFileSync(golden(nameOf(c, port, 'out')), writePcap(frames)));
    }
    expect(text).toBe(readFileSync(golden(`${c.name}.txt`), 'utf8'));
    played.out.forEach((frames, port) => {
      const file = readFileSync(golden(nameOf(c, port, 'out')));
      expect(Buffer.from(writePcap(frames)).equals(file), nameOf(c, port, 'out')).toBe(true);
    });
  });

  test('the native flow engine makes no difference', () => {
    // What arrives in one burst with a packet of its connection that goes to TypeScript follows it there.
    const [plain, flown] = [false, true].map((flows) => play(c, { flows, burst: 1 }));
    const balances = c.setup?.some((command) => command.op === 'svc.add') ?? false;
    expect([plain!.hits, flown!.hits > 0]).toEqual([0, balances]);
    expect(report(c, flown!)).toBe(report(c, plain!));
    expect(flown!.out).toEqual(plain!.out);
  });

  test('tshark finds nothing wrong in what goes out', async () => {
    for (let port = 0; port < c.in.length; port++) {
      expect(readPcap(readFileSync(golden(nameOf(c, port, 'out')))).length).toBeGreaterThan(0);
      expect(await judgeFile(join(scratch, nameOf(c, port, 'out')))).toEqual([]);
    }
  });
});
