/**
 * The real addon under a real EAL without hugepages, and what tests need around it: lcores with their shared memory,
 * loopback ports, worker threads.
 */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import { DROP, type DropName } from '../../../src/core/drops.js';
import { ADJ, ADJ_CAP, CONN4, LCORE_BLOCK, LCORE_STATS } from '../../../src/core/layout.js';
import type { LcoreConfig, Mempool, Native } from '../../../src/core/native.js';
import { Packets } from '../../../src/core/packet.js';

/** DPVS_NATIVE: another build of the addon (tools/build-native --asan). */
export const ADDON = resolve(process.env['DPVS_NATIVE'] ?? 'native');
export const native = createRequire(import.meta.url)(ADDON) as Native;

export const EAL_ARGS = [
  '--no-huge',
  '-m',
  '256',
  '--no-shconf',
  '--no-pci',
  '--no-telemetry',
  '--iova-mode=va',
  '--lcores',
  '0@(0,1)',
];

/** DPDK's log lines, in the order in which they arrived. */
export const logLines: string[] = [];

export function startEal(): void {
  native.ealInit(EAL_ARGS, (level, line) => logLines.push(`${level} ${line}`));
}

let mempool: Mempool | undefined;

/** The packet pool, made at the first call. */
export function pool(count = 8192): Mempool {
  mempool ??= native.mempoolCreate({ name: 'pkt', count, cache: 64, socket: -1 });
  return mempool;
}

/** Detaches every port; then every buffer must be back in the pool. */
export function leaveNothing(): void {
  for (const p of native.ports()) native.devDetach(p);
  assert.deepEqual(native.mempoolStats(), { available: pool().count, inUse: 0 });
}

/** The code of what `fn` throws, or `none: …` when it does not. */
export function codeOf(fn: () => unknown): string {
  try {
    return `none: ${String(fn())}`;
  } catch (e) {
    return String((e as { code?: unknown }).code);
  }
}

export const messageOf = (fn: () => unknown): string => {
  try {
    return `none: ${String(fn())}`;
  } catch (e) {
    return (e as Error).message;
  }
};

export const PORT_CONFIG = {
  rxQueues: 1,
  txQueues: 1,
  rxDesc: 512,
  txDesc: 512,
  mtu: 1500,
  rss: [] as string[],
  rxOffloads: [] as string[],
  txOffloads: [] as string[],
};

/** Attaches, configures and starts a device of one port. */
export function startPort(devargs: string, queues = 1): number {
  pool();
  const port = native.devAttach(devargs)[0]!;
  native.portConfigure(port, { ...PORT_CONFIG, rxQueues: queues, txQueues: queues });
  native.portStart(port);
  return port;
}

export const CONNS = 1024;

export interface TestLcore {
  id: number;
  config: LcoreConfig;
  packets: Packets;
  /** A counter of LCORE_STATS. */
  stat(name: Exclude<keyof typeof LCORE_STATS.at, 'drops' | 'spare'>): number;
  drops(name: DropName): number;
}

export function lcoreConfig(id: number, ports: readonly number[], queue = 0, conns = CONNS): LcoreConfig {
  return {
    id,
    block: new SharedArrayBuffer(LCORE_BLOCK.size),
    stats: new SharedArrayBuffer(LCORE_STATS.size),
    statsOffset: 0,
    rxQueues: ports.map((port) => ({ port, queue })),
    txQueues: ports.map((port) => ({ port, queue })),
    redirectRing: 256,
    conns: native.mapAnonymous(conns * CONN4.size),
    adjacencies: native.mapAnonymous(ADJ_CAP * ADJ.size),
  };
}

/** Makes an lcore; binds it to this thread unless told not to. */
export function makeLcore(config: LcoreConfig, bind = true): TestLcore {
  const { id } = config;
  native.lcoreCreate(config);
  if (bind) native.lcoreBind(id);
  const packets = new Packets({
    arena: pool().arena,
    bufferOffset: pool().bufferOffset,
    block: config.block,
    stats: { buffer: config.stats, offset: config.statsOffset },
    lcore: id,
    flush: () => void native.flush(id),
  });
  return {
    id,
    config,
    packets,
    stat: (name) => packets.counters[LCORE_STATS.at[name] >>> 3]!,
    drops: (name) => packets.dropped(DROP[name]),
  };
}

/** A generated packet with these bytes. */
export function build(lc: TestLcore, bytes: Uint8Array): number {
  const p = lc.packets.alloc();
  if (p === 0) throw new Error('packet pool is empty');
  lc.packets.bytes.raw.set(bytes, lc.packets.data(p));
  lc.packets.setLen(p, bytes.length);
  return p;
}

/** A copy of a packet's bytes. */
export const bytesOf = (lc: TestLcore, p: number): Uint8Array =>
  lc.packets.bytes.raw.slice(lc.packets.data(p), lc.packets.end(p));

/** The exceptions of one poll. */
export function poll(lc: TestLcore, budget = 256): number[] {
  const n = native.poll(lc.id, budget);
  return Array.from({ length: n }, (_, i) => lc.packets.exception(i));
}

/** Ends packets as processed. */
export function done(lc: TestLcore, packets: readonly number[]): void {
  for (const p of packets) lc.packets.drop(p, DROP.ARP_DONE);
  native.flush(lc.id);
}

/** A frame of `len` bytes, each different from the last one's. */
export const frame = (len: number, seed = 0): Uint8Array =>
  Uint8Array.from({ length: len }, (_, i) => (i * 7 + seed * 31 + (i >>> 8)) & 0xff);

/** A worker thread that has the addon as `native`; `body` is JavaScript and may use `data`, `flag`, `parentPort`. */
export function spawn(body: string, data: unknown, flag: Int32Array): Worker {
  const code = `
    const { parentPort, workerData: { data, flag } } = require('node:worker_threads');
    const native = require(${JSON.stringify(ADDON)});
    ${body}`;
  return new Worker(code, { eval: true, workerData: { data, flag } });
}

export const newFlag = (): Int32Array => new Int32Array(new SharedArrayBuffer(16));

/** Until element `i` of the flag has the value; fails after 20 s. */
export async function until(flag: Int32Array, i: number, reached: (value: number) => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!reached(Atomics.load(flag, i))) {
    if (Date.now() > deadline) throw new Error(`flag ${i} stayed at ${flag[i]}`);
    await new Promise((r) => setTimeout(r, 1));
  }
}

/**
 * The message that a worker ends with. Both events may come at once: who waits for the end after the message waits for ever.
 */
export async function lastMessage(w: Worker): Promise<unknown> {
  const message = new Promise((r) => w.once('message', r));
  await ended(w);
  return message;
}

export const ended = (w: Worker): Promise<number> => new Promise((r) => w.once('exit', r));
