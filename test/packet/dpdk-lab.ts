/**
 * What a `Lab` stands on when its packets are real: the addon, its mempool, and net_ring ports of two queues. The
 * stack's lcore receives on queue 0 and sends on queue 1; a second lcore context of the same thread, the tester,
 * sends on queue 0 and receives on queue 1. What net_ring sends on a queue it receives on that queue, so each end
 * hears the other and not itself:
 *
 *   tester --queue 0--> stack --queue 1--> tester
 *
 * Time is virtual: poll() takes the machine's clock only where it is ahead of the block's, and `nowMs` begins far
 * ahead of it.
 */
import {
  DEST_CAP,
  DEST_STATS,
  LCORE_BLOCK,
  LCORE_STATS,
  MBUF,
  MBUF_DATA_ROOM,
  TX_DST_REDIRECT,
} from '../../src/core/layout.js';
import type { FlowRules, LcoreConfig } from '../../src/core/native.js';
import { FakeNative } from '../support/fake-native.js';
import type { FakeNativeOptions } from '../support/fake-native.js';
import type { LabNative } from '../support/lab.js';
import {
  bytesOf,
  build,
  done,
  lcoreConfig,
  makeLcore,
  native,
  poll,
  pool,
  startPort,
} from '../native/support/rig.js';
import type { TestLcore } from '../native/support/rig.js';

/** Where virtual time begins: 34 years of uptime. Its low 32 bits are 1000, where those of FakeNative begin. */
export const EPOCH_MS = 2 ** 40 + 1000;

/** Counters of destinations begin here in the statistics. */
const DEST_AT = Math.ceil(LCORE_STATS.size / 4096) * 4096;
const STACK = 1;
const TESTER = 2;
const FROM_TESTER = 0;
const FROM_STACK = 1;
/** Without the frame check sequence; DPDK ports pad to it. */
export const MIN_FRAME = 60;

/** How the stack's lcore gets its packets and sends them. */
export interface Wiring {
  rxQueues: LcoreConfig['rxQueues'];
  txQueues: LcoreConfig['txQueues'];
}

/** The addon as one lcore of the stack sees it, on ports that are up already. The test's side is left to subclasses. */
export class DpdkLcore {
  readonly lcore = STACK;
  readonly arena = pool().arena;
  readonly bufferOffset = pool().bufferOffset;
  readonly block: SharedArrayBuffer;
  readonly stats: SharedArrayBuffer;
  readonly statsOffset = 0;
  readonly flows = {
    destOffset: DEST_AT,
    rules: (rules: FlowRules): void => native.flowRules(STACK, rules),
  };
  readonly conns: SharedArrayBuffer;
  readonly adjacencies: SharedArrayBuffer;
  nowMs = EPOCH_MS;
  private readonly clock: Float64Array;
  private readonly head: Uint32Array;

  constructor(wiring: Wiring, conns = 1024) {
    const stats = native.mapAnonymous(DEST_AT + DEST_CAP * DEST_STATS.size);
    const config = { ...lcoreConfig(STACK, [], 0, conns), ...wiring, stats };
    native.lcoreCreate(config);
    native.lcoreBind(STACK);
    this.block = config.block;
    this.stats = config.stats;
    this.conns = config.conns;
    this.adjacencies = config.adjacencies;
    this.clock = new Float64Array(this.block, LCORE_BLOCK.at.nowMs, 1);
    this.head = new Uint32Array(this.block);
  }

  poll(id: number, budget: number): number {
    this.setClock();
    return native.poll(id, budget);
  }
  flush(id: number): number {
    return native.flush(id);
  }
  flowInsert(id: number, conn: number): number {
    return native.flowInsert(id, conn);
  }
  flowRemove(id: number, conn: number): number {
    return native.flowRemove(id, conn);
  }
  flowOwner(id: number, l3: number, l4: number, inverse: boolean): number {
    return native.flowOwner(id, l3, l4, inverse);
  }
  flowInsertMany(id: number, n: number): number {
    return native.flowInsertMany(id, n);
  }
  flowRemoveMany(id: number, n: number): number {
    return native.flowRemoveMany(id, n);
  }
  flowPrefetch(id: number, n: number): number {
    return native.flowPrefetch(id, n);
  }
  flowFind(id: number, l3: number, l4: number, inverse: boolean): number {
    return native.flowFind(id, l3, l4, inverse);
  }
  flowCount(id: number): number {
    return native.flowCount(id);
  }
  flowRebuild(id: number): number {
    return native.flowRebuild(id);
  }

  /** Packets out of the pool, but for the blank ones that wait to be allocated. */
  get inUse(): number {
    return native.mempoolStats().inUse - this.head[LCORE_BLOCK.at.allocCount >>> 2]!;
  }

  /** Packets that the last poll received, those that the native loop forwarded included. */
  protected get received(): number {
    return this.head[LCORE_BLOCK.at.received >>> 2]!;
  }

  protected setClock(): void {
    this.clock[0] = this.nowMs;
  }

  /** Takes the lcore and all ports down. @throws Error when a packet has not come back to the pool */
  close(): void {
    native.lcoreUnbind(STACK);
    native.lcoreDestroy(STACK);
    for (const port of native.ports()) native.devDetach(port);
    const { inUse } = native.mempoolStats();
    if (inUse !== 0) throw new Error(`${inUse} packets are missing from the pool`);
  }
}

/** Ports dpdk0, dpdk1, … between the stack and the test. Frames shorter than 60 bytes are padded, as on any wire. */
export class DpdkNative extends DpdkLcore implements LabNative {
  pending = 0;
  private readonly ports: readonly number[];
  private readonly tester: TestLcore;
  private readonly output: Uint8Array[][];

  constructor(o: { ports?: number; conns?: number } = {}) {
    const ports = Array.from({ length: o.ports ?? 1 }, (_, i) => startPort(`net_ring${i}`, 2));
    if (ports.some((port, i) => port !== i)) throw new Error(`ports are ${ports.join(', ')}, not 0, 1, …`);
    const queue = (n: number): { port: number; queue: number }[] => ports.map((port) => ({ port, queue: n }));
    super({ rxQueues: queue(FROM_TESTER), txQueues: queue(FROM_STACK) }, o.conns);
    this.ports = ports;
    this.output = ports.map(() => []);
    this.tester = makeLcore({
      ...lcoreConfig(TESTER, []),
      rxQueues: queue(FROM_STACK),
      txQueues: queue(FROM_TESTER),
    });
  }

  inject(port: number, frame: Uint8Array): void {
    if (frame.length > MBUF_DATA_ROOM) throw new Error(`frame of ${frame.length} bytes`);
    this.tester.packets.transmit(build(this.tester, frame), port);
    if (native.flush(TESTER) !== 1) throw new Error(`port ${port} is full: ${this.pending} frames wait`);
    this.pending += 1;
  }

  sent(port: number): Uint8Array[] {
    this.collect();
    return this.output[port]!.splice(0);
  }

  override poll(id: number, budget: number): number {
    const n = super.poll(id, budget);
    this.pending -= this.received;
    return n;
  }

  override flush(id: number): number {
    const n = super.flush(id);
    this.collect();
    return n;
  }

  override get inUse(): number {
    this.collect();
    const spare = new Uint32Array(this.tester.config.block)[LCORE_BLOCK.at.allocCount >>> 2]!;
    return super.inUse - spare - this.pending;
  }

  override close(): void {
    this.collect();
    native.lcoreUnbind(TESTER);
    native.lcoreDestroy(TESTER);
    super.close();
  }

  /** Reads what the stack has sent, before a ring can fill up. */
  private collect(): void {
    for (let frames = poll(this.tester); frames.length > 0; frames = poll(this.tester)) {
      for (const p of frames)
        this.output[this.ports.indexOf(this.tester.packets.port(p))]!.push(bytesOf(this.tester, p));
      done(this.tester, frames);
    }
  }
}

/** FakeNative with a wire that pads: what goes in and comes out, and what is counted, is as on DPDK ports. */
export class PaddedFakeNative extends FakeNative {
  override nowMs = EPOCH_MS;

  constructor(o: FakeNativeOptions = {}) {
    super(o);
  }

  override inject(port: number, frame: Uint8Array): void {
    super.inject(port, padded(frame));
  }

  override flush(id: number): number {
    const { at } = LCORE_BLOCK;
    const head = new Uint32Array(this.block);
    const m = new DataView(this.arena);
    for (let i = 0; i < head[at.txCount >>> 2]!; i++) {
      const p = head[(at.txPkt >>> 2) + i]!;
      const len = m.getUint32(p + MBUF.pktLen, true);
      if (head[(at.txDst >>> 2) + i]! >= TX_DST_REDIRECT || len >= MIN_FRAME) continue;
      const start = p + this.bufferOffset + m.getUint16(p + MBUF.dataOff, true);
      new Uint8Array(this.arena, start + len, MIN_FRAME - len).fill(0);
      m.setUint32(p + MBUF.pktLen, MIN_FRAME, true);
      m.setUint16(p + MBUF.dataLen, MIN_FRAME, true);
    }
    return super.flush(id);
  }
}

/** The frame with zeros behind it up to Ethernet's minimum. */
export function padded(frame: Uint8Array): Uint8Array {
  if (frame.length >= MIN_FRAME) return frame;
  const out = new Uint8Array(MIN_FRAME);
  out.set(frame);
  return out;
}
