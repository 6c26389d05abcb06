/**
 * One lcore's real stack over memory and a virtual clock.
 *
 *   const lab = new Lab({ addrs: ['192.168.100.100/24'] });
 *   lab.inject(0, ping({ … }));
 *   lab.run();
 *   expect(lab.take(0)).toEqual([…]);
 *   lab.expectBalanced();
 *
 * Ports 0, 1, … are the devices dpdk0, dpdk1, … with the MACs 02:00:00:00:01:00, 02:00:00:00:01:01, …
 * An upper floor (ipvs) is built on `lab.packets`, `lab.netif`, `lab.inet`, `lab.native`, and adds its timer to `lab.onTick`.
 *
 * Below it is a FakeNative unless another `LabNative` is given: test/packet runs the same stack on DPDK ports.
 */
import { DROP_REASONS } from '../../src/core/drops.js';
import { ADJ, ADJ_CAP, LCORE_STATS } from '../../src/core/layout.js';
import type { FlowRules } from '../../src/core/native.js';
import { Packets } from '../../src/core/packet.js';
import { InetStack } from '../../src/inet/inet.js';
import type { InetConfig } from '../../src/inet/inet.js';
import { InetModels } from '../../src/inet/models.js';
import type { InetOp, InetParams } from '../../src/inet/models.js';
import { Netif } from '../../src/netif/netif.js';
import type { DeviceSpec } from '../../src/netif/device.js';
import { FakeNative } from './fake-native.js';
import type { FakeHot } from './fake-native.js';
import { arp, BROADCAST_MAC, checkFrame, summary } from './frames.js';

/** What a lab stands on: memory, the hot calls, and the test's side of the ports. */
export interface LabNative extends FakeHot {
  readonly lcore: number;
  readonly arena: SharedArrayBuffer;
  readonly bufferOffset: number;
  readonly block: SharedArrayBuffer;
  readonly stats: SharedArrayBuffer;
  readonly statsOffset: number;
  readonly conns: SharedArrayBuffer;
  /** Adjacency table, where the boundary must have it as well. */
  readonly adjacencies?: SharedArrayBuffer;
  /** Where the native loop can forward packets of known connections: offset of its DEST_STATS in `stats`, its `flowRules`. */
  readonly flows?: { readonly destOffset: number; rules(rules: FlowRules): void };
  /** Virtual clock that poll() copies into the block. */
  nowMs: number;
  inject(port: number, frame: Uint8Array): void;
  sent(port: number): Uint8Array[];
  /** Frames injected and not yet polled. */
  readonly pending: number;
  /** Packets that TypeScript owns right now. */
  readonly inUse: number;
}

export interface LabOptions {
  /** Number of ports, or what their devices differ in. */
  ports?: number | Partial<DeviceSpec>[];
  /** `ADDR/PLEN` on dpdk0, or `ADDR/PLEN DEV`. */
  addrs?: string[];
  /** Neighbours that are resolved from the start: `ADDR MAC`, or `ADDR MAC DEV`. */
  neighs?: string[];
  config?: Partial<InetConfig>;
  announce?: boolean;
  lcore?: number;
  mbufs?: number;
  conns?: number;
  /** Frames sent are judged by `checkFrame` unless this is false. */
  judge?: boolean;
  /** Models that have their devices already, in place of the lab's own. */
  models?: InetModels;
}

export const macOf = (port: number): string => `02:00:00:00:01:${port.toString(16).padStart(2, '0')}`;

/** Devices dpdk0, dpdk1, … on the ports 0, 1, … */
export function deviceSpecs(ports: LabOptions['ports'] = 1): DeviceSpec[] {
  const specs = typeof ports === 'object' ? ports : Array.from({ length: ports }, () => ({}));
  return specs.map((spec, i) => ({ name: `dpdk${i}`, portId: i, mac: macOf(i), mtu: 1500, ...spec }));
}

const fakeNative = (o: LabOptions): FakeNative =>
  new FakeNative({
    lcore: o.lcore ?? 1,
    ...(o.mbufs === undefined ? {} : { mbufs: o.mbufs }),
    ...(o.conns === undefined ? {} : { conns: o.conns }),
  });

export class Lab<N extends LabNative = FakeNative> {
  readonly native: N;
  readonly packets: Packets;
  readonly models: InetModels;
  readonly netif: Netif;
  readonly inet: InetStack;
  /** Timers of upper floors, called like `inet.tick`. */
  readonly onTick: ((nowMs: number) => void)[] = [];
  /** Told of connections whose state the native loop has changed. */
  readonly onMoved: ((conn: number, move: number) => void)[] = [];
  readonly adjacencies: SharedArrayBuffer;
  private readonly judge: boolean;

  /** @param native what to stand on; with it, `lcore`, `mbufs` and `conns` are its own business */
  constructor(o: LabOptions = {}, native?: N) {
    this.judge = o.judge ?? true;
    this.native = native ?? (fakeNative(o) as LabNative as N);
    this.adjacencies = this.native.adjacencies ?? new SharedArrayBuffer(ADJ_CAP * ADJ.size);
    this.packets = new Packets({
      arena: this.native.arena,
      bufferOffset: this.native.bufferOffset,
      block: this.native.block,
      stats: { buffer: this.native.stats, offset: this.native.statsOffset },
      lcore: this.native.lcore,
      flush: () => this.native.flush(this.native.lcore),
    });
    this.models = o.models ?? new InetModels(() => this.native.nowMs);
    if (o.models === undefined) for (const spec of deviceSpecs(o.ports)) this.models.devices.add(spec);
    this.native.poll(this.native.lcore, 0);
    this.netif = new Netif(this.packets, this.models.devices);
    this.inet = new InetStack({
      packets: this.packets,
      netif: this.netif,
      models: this.models,
      adjacencies: this.adjacencies,
      announce: o.announce ?? false,
      config: {
        forwarding: false,
        defaultTtl: 64,
        fragmentEntries: 64,
        fragmentBuffers: 256,
        fragmentTtlMs: 1000,
        neighTimeoutMs: 60_000,
        unresQueueLength: 128,
        unresTotalLength: 4096,
        ...o.config,
      },
    });
    for (const text of o.addrs ?? []) this.addr(text);
    for (const text of o.neighs ?? []) {
      const [addr, lladdr, dev] = text.split(' ');
      this.command('neigh.add', { addr: addr!, lladdr: lladdr!, dev: dev ?? 'dpdk0' });
    }
    this.run();
  }

  /** Virtual milliseconds. */
  get now(): number {
    return this.native.nowMs;
  }

  command<O extends InetOp>(op: O, params: InetParams<O>): void {
    this.models.apply(op, params);
  }

  /** Adds `ADDR/PLEN` to dpdk0, or `ADDR/PLEN DEV`. */
  addr(text: string): void {
    const [prefix, dev] = text.split(' ');
    const [addr, plen] = prefix!.split('/');
    this.command('addr.add', {
      dev: dev ?? 'dpdk0',
      addr: addr!,
      plen: Number(plen ?? 32),
      scope: 'global',
      validLft: 0,
      sapool: false,
    });
  }

  /** Adds a route: `DST/PLEN`, then any of via, dev, src, metric, mtu. */
  route(
    prefix: string,
    o: { via?: string; dev?: string; src?: string; metric?: number; mtu?: number } = {},
  ): void {
    const [dst, plen] = prefix.split('/');
    this.command('route.add', {
      dst: dst!,
      plen: Number(plen),
      mtu: 0,
      metric: 0,
      tos: 0,
      local: false,
      ...o,
    });
  }

  /** A frame arrives; the next `run` handles it. */
  inject(port: number, ...frames: Uint8Array[]): void {
    for (const frame of frames) this.native.inject(port, frame);
  }

  /** A host on the link says who it is, so that it need not be asked: an ARP request to us, answered and thrown away. */
  meet(port: number, addr: string, mac: string, ours: string): void {
    this.inject(port, arp({ op: 'request', sha: mac, spa: addr, tpa: ours, dmac: BROADCAST_MAC }));
    this.run();
    this.take(port);
  }

  /** The loop of an lcore until nothing is left to do. */
  run(): void {
    const id = this.native.lcore;
    do {
      this.packets.setGeneration(this.inet.generation);
      const n = this.native.poll(id, 32);
      for (let i = 0; i < this.packets.eventCount; i++)
        for (const moved of this.onMoved) moved(this.packets.event(i), this.packets.move(i));
      for (let i = 0; i < n; i++) this.netif.receive(this.packets.exception(i));
      this.inet.tick(this.packets.nowMs);
      for (const tick of this.onTick) tick(this.packets.nowMs);
      this.native.flush(id);
    } while (this.native.pending > 0);
  }

  /** Time passes in steps of at most `stepMs`, with a loop after each. */
  advance(ms: number, stepMs = 100): void {
    for (const end = this.native.nowMs + ms; this.native.nowMs < end;) {
      this.native.nowMs = Math.min(end, this.native.nowMs + stepMs);
      this.run();
    }
  }

  /** Frames sent on a port since the last call, each judged by `checkFrame`. */
  take(port: number): Uint8Array[] {
    const frames = this.native.sent(port);
    if (this.judge) for (const frame of frames) checkFrame(frame);
    return frames;
  }

  /** The same, one line for each frame. */
  takeSummaries(port: number): string[] {
    return this.take(port).map(summary);
  }

  /** Drop counters that are not 0, by name. */
  drops(): Record<string, number> {
    return Object.fromEntries(
      DROP_REASONS.map((r, i) => [r.name, this.packets.dropped(i)] as const).filter(([, n]) => n > 0),
    );
  }

  /** One counter of LCORE_STATS. */
  counter(name: Exclude<keyof typeof LCORE_STATS.at, 'drops' | 'spare'>): number {
    return this.packets.counters[LCORE_STATS.at[name] >>> 3]!;
  }

  /** Throws unless every packet is accounted for, in the counters and in memory. */
  expectBalanced(): void {
    this.native.flush(this.native.lcore);
    const balance = this.packets.balance();
    const held = this.counter('held');
    if (balance !== 0) throw new Error(`${balance} packets unaccounted for: ${JSON.stringify(this.drops())}`);
    if (this.native.inUse !== held) throw new Error(`${this.native.inUse} packets in use, ${held} held`);
  }
}
