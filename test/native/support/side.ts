/**
 * One lcore with the whole stack over the real addon, driven step by step on a stopped clock. Frames go in through queue 0
 * of its net_ring ports and come out of queue 1, where an injector (`Injector`) stands at the other end.
 */
import type { Command } from '../../../src/control/schema.js';
import {
  ADJ,
  ADJ_CAP,
  CONN4,
  CONN_F_HASHED,
  CONN_F_PENDING,
  DEST_CAP,
  DEST_STATS,
  DIR4,
  DIR_IN,
  DIR_OUT,
  DROP_CAP,
  EVENT_KIND_CAP,
  LCORE_BLOCK,
  LCORE_STATS,
  MBUF,
  SVC_CAP,
  SVC_STATS,
} from '../../../src/core/layout.js';
import { DROP } from '../../../src/core/drops.js';
import { EVENT, type EventName } from '../../../src/core/events.js';
import { Packets } from '../../../src/core/packet.js';
import { SaPool } from '../../../src/core/sapool.js';
import { InetStack } from '../../../src/inet/inet.js';
import { flowIndex } from '../../../src/ipvs/conn/flow-index.js';
import { takeShortWay } from '../../../src/ipvs/established.js';
import { flowRules } from '../../../src/ipvs/flow-rules.js';
import { Ipvs, type IpvsConfig } from '../../../src/ipvs/ipvs.js';
import { AccessLists, type AclCommand } from '../../../src/ipvs/acl/lists.js';
import { Verdicts } from '../../../src/ipvs/acl/verdicts.js';
import { VerdictWriter } from '../../../src/ipvs/acl/writer.js';
import { sharedMemory } from '../../../src/ipvs/shared.js';
import { setSeqDelta } from '../../../src/ipvs/xmit/seq.js';
import { Replica } from '../../../src/lcore/replica.js';
import { Netif } from '../../../src/netif/netif.js';
import { parseIpv4 } from '../../../src/wire/ipv4.js';
import { openSecret } from '../../support/untouched.js';
import { makeLcore, native, pool, type TestLcore } from './rig.js';

const PAGE = 4096;
const DEST_AT = Math.ceil(LCORE_STATS.size / PAGE) * PAGE;
const SVC_AT = DEST_AT + DEST_CAP * DEST_STATS.size;
/** Of real servers and services that a world can have. */
const SLOTS = 64;

export interface SideOptions {
  id: number;
  /** DPDK ports of dpdk0, dpdk1, … */
  ports: readonly number[];
  conns: number;
  /**
   * How packets of known connections may go: `flow` in the native loop, `short` by the short way of src/ipvs/established.ts,
   * `stack` by nothing but the stack, which is what the others are compared to.
   */
  path: 'flow' | 'short' | 'stack';
  nowMs: number;
  ipvs: IpvsConfig;
  neighTimeoutMs: number;
  /** As in LcoreConfig. */
  alwaysFront?: boolean;
}

export const macOf = (device: number): string => `02:00:00:00:00:0${device + 1}`;

export class Side {
  readonly id: number;
  readonly ports: readonly number[];
  readonly conns: SharedArrayBuffer;
  readonly adjacencies: SharedArrayBuffer;
  readonly block: SharedArrayBuffer;
  readonly stats: SharedArrayBuffer;
  packets!: Packets;
  replica!: Replica;
  inet!: InetStack;
  ipvs!: Ipvs;
  /** Changes of state that the native loop has told of. */
  events = 0;
  /** Connections that the native loop has opened. */
  opened = 0;
  /** Packets that took the short way. */
  short = 0;
  /** SYNs that TypeScript has answered with a cookie; what else was answered is the native loop's. */
  private answers = 0;
  /** By real server: what was noticed for its passive check. */
  readonly noticed: Record<number, { downs: number; ups: number }> = {};
  private netif!: Netif;
  private readonly shared = openSecret(sharedMemory(1));
  /** The master, as far as lists are concerned. */
  private readonly master: Replica;
  private readonly lists: AccessLists;

  constructor(private readonly o: SideOptions) {
    this.id = o.id;
    this.ports = o.ports;
    this.conns = native.mapAnonymous(o.conns * CONN4.size);
    this.adjacencies = native.mapAnonymous(ADJ_CAP * ADJ.size);
    this.stats = native.mapAnonymous(SVC_AT + SVC_CAP * SVC_STATS.size);
    this.block = native.mapAnonymous(LCORE_BLOCK.size);
    native.lcoreCreate({
      id: o.id,
      block: this.block,
      stats: this.stats,
      statsOffset: 0,
      rxQueues: o.ports.map((port) => ({ port, queue: 0 })),
      txQueues: o.ports.map((port) => ({ port, queue: 1 })),
      redirectRing: 256,
      conns: this.conns,
      adjacencies: this.adjacencies,
      alwaysFront: o.alwaysFront ?? false,
    });
    native.lcoreClock(o.id, o.nowMs);
    this.master = this.replicaOf(0);
    this.lists = new AccessLists(this.master.services, new VerdictWriter(new Verdicts(this.shared.verdicts)));
    this.begin([]);
  }

  /** The worker of src/lcore/lcore.ts begins: its stack over the memory of the lcore. */
  private begin(snapshot: readonly Command[]): void {
    const { o } = this;
    native.lcoreBind(o.id);
    native.poll(o.id, 0);
    const { arena, bufferOffset } = pool();
    const stats = { buffer: this.stats, offset: 0 };
    const flush = (): number => native.flush(o.id);
    this.packets = new Packets({ arena, bufferOffset, block: this.block, stats, lcore: o.id, flush });
    this.replica = this.replicaOf(1);
    this.netif = new Netif(this.packets, this.replica.inet.devices);
    this.inet = new InetStack({
      packets: this.packets,
      netif: this.netif,
      models: this.replica.inet,
      adjacencies: this.adjacencies,
      config: {
        forwarding: true,
        defaultTtl: 64,
        neighTimeoutMs: o.neighTimeoutMs,
        fragmentEntries: 64,
        fragmentBuffers: 64,
        fragmentTtlMs: 1000,
        unresQueueLength: 4,
        unresTotalLength: 32,
      },
    });
    const saPool = new SaPool({ lcore: 0, lcores: 1, poolHashSize: 16 });
    this.replica.inet.addresses.listen({
      added: (ifa) => void (ifa.sapool && saPool.add(ifa.addr)),
      removed: (ifa) => void (ifa.sapool && saPool.remove(saPool.slotOf(ifa.addr))),
    });
    this.ipvs = new Ipvs({
      packets: this.packets,
      netif: this.netif,
      inet: this.inet,
      services: this.replica.services,
      saPool,
      index: flowIndex(native, o.id, this.block),
      conns: this.conns,
      destStats: new Float64Array(this.stats, DEST_AT, (DEST_CAP * DEST_STATS.size) >>> 3),
      svcStats: new Float64Array(this.stats, SVC_AT),
      shared: this.shared,
      lcore: 1,
      lcores: 1,
      config: o.ipvs,
    });
    this.ipvs.notices.send = (notices) => {
      for (const { slot, downs, ups } of notices) {
        const sum = (this.noticed[slot] ??= { downs: 0, ups: 0 });
        sum.downs += downs;
        sum.ups += ups;
      }
    };
    const { answer } = this.ipvs.synproxy;
    const send = answer.send.bind(answer);
    answer.send = (...packet) => {
      this.answers++;
      send(...packet);
    };
    const { xmitTtl, tcp } = o.ipvs;
    native.flowRules(o.id, flowRules(DEST_AT, xmitTtl ?? false, SVC_AT, tcp?.ackStorm, this.shared.verdicts));
    if (o.path === 'flow') this.netif.offload();
    if (o.path !== 'stack') this.takeShortWay();
    for (const c of snapshot) this.replica.apply(c, true);
    while (this.replica.services.build());
  }

  private replicaOf(lcore: number): Replica {
    const { ports } = this.o;
    return new Replica(
      ports.map((portId, i) => ({ name: `dpdk${i}`, portId, mac: macOf(i), mtu: 1500 })),
      lcore,
    );
  }

  private takeShortWay(): void {
    takeShortWay(this.netif, this.inet, this.ipvs);
    const way = this.netif.shortcut!;
    this.netif.shortcut = (p) => {
      const taken = way(p);
      if (taken) this.short++;
      return taken;
    };
  }

  /** Dies between two bursts and lives again, as src/master/lcores.ts does it. */
  restart(): void {
    const freed = native.lcoreReclaim(this.id);
    const { counters } = this.packets;
    counters[(LCORE_STATS.at.drops >>> 3) + DROP.LCORE_RESTART]! += freed;
    counters[LCORE_STATS.at.held >>> 3] = 0;
    counters[LCORE_STATS.at.restarts >>> 3]! += 1;
    this.begin(this.replica.snapshot());
    this.ipvs.rebuild();
  }

  /** As between two turns of the loop: what a command sends leaves before anything that comes later. */
  apply(command: Command): void {
    if (command.op.startsWith('acl.')) {
      const note = this.lists.apply(command as AclCommand) as unknown as Command | undefined;
      if (note !== undefined) this.replica.apply(note);
      return;
    }
    this.master.apply(command);
    this.replica.apply(command);
    // At once: the two sides take their turns at other times.
    while (this.replica.services.build());
    if (this.packets.pending()) native.flush(this.id);
  }

  /** One turn of the loop of src/lcore/lcore.ts at `nowMs`. @returns packets received */
  turn(nowMs: number, budget = 1024): number {
    const { packets, ipvs, inet, netif, id } = this;
    native.lcoreClock(id, nowMs);
    packets.setGeneration(inet.generation);
    const n = native.poll(id, budget);
    const { received, eventCount } = packets;
    for (let i = 0; i < eventCount; i++) {
      if ((packets.move(i) & 0xf0) === 0 && ipvs.table.records.proto(packets.event(i)) === 6) this.opened++;
      ipvs.moved(packets.event(i), packets.move(i));
    }
    this.events += eventCount;
    for (let i = 0; i < n; i++) netif.receive(packets.exception(i));
    inet.tick(packets.nowMs);
    ipvs.tick(packets.nowMs);
    if (packets.pending()) native.flush(id);
    return received;
  }

  /**
   * Gives TCP connections a sequence translation, as a feature that makes one would: by their tuple, so that the other side
   * does the same.
   */
  translate(): void {
    const r = this.ipvs.table.records;
    for (let c = 1; c < r.capacity; c++) {
      if ((r.flags(c) & CONN_F_HASHED) === 0 || r.proto(c) !== 6) continue;
      const salt = Math.imul(
        r.u32[r.dir(c, DIR_IN) >>> 2]! ^ r.u32[(r.dir(c, DIR_IN) + 8) >>> 2]!,
        0x9e3779b1,
      );
      for (const d of [DIR_IN, DIR_OUT]) {
        setSeqDelta(r, c, d, d === DIR_IN ? salt : ~salt);
      }
    }
  }

  stat(name: Exclude<keyof typeof LCORE_STATS.at, 'drops' | 'spare'>): number {
    return this.packets.counters[LCORE_STATS.at[name] >>> 3]!;
  }

  /** SYNs that the native loop has answered. */
  get reflexes(): number {
    return this.event('SYNPROXY_ANSWERED') - this.answers;
  }

  event(name: EventName): number {
    return this.packets.counters[(LCORE_STATS.at.events >>> 3) + EVENT[name]]!;
  }

  /** All that both paths must agree on, but for connections. */
  counters(): Record<string, unknown> {
    const { drops, events, spare: _, ...fields } = LCORE_STATS.at;
    const own = new Set(['loops', 'flowHits', 'exceptions', 'busyTicks', 'idleTicks', 'allocFail']);
    const c = this.packets.counters;
    const dests = new Float64Array(this.stats, DEST_AT, SLOTS * (DEST_STATS.size >>> 3));
    const svcs = new Float64Array(this.stats, SVC_AT, SLOTS * (SVC_STATS.size >>> 3));
    const adjacencies = Buffer.from(new Uint8Array(this.adjacencies, 0, 64 * ADJ.size));
    // DPDK ports are numbered through; everything else of a neighbour is the same on both sides. Whether the native
    // loop may use it says nothing about the other side.
    for (let at = 0; at < adjacencies.length; at += ADJ.size)
      adjacencies.fill(0, at + ADJ.at.port, at + ADJ.at.port + 2);
    return {
      ...Object.fromEntries(
        Object.entries(fields)
          .filter(([k]) => !own.has(k))
          .map(([k, at]) => [k, c[at >>> 3]]),
      ),
      // Forwarded or dropped by the native loop, answered by it, or left to TypeScript.
      handled: this.stat('flowHits') + this.reflexes + this.stat('exceptions'),
      drops: Array.from(c.subarray(drops >>> 3, (drops >>> 3) + DROP_CAP)),
      events: Array.from(c.subarray(events >>> 3, (events >>> 3) + EVENT_KIND_CAP)),
      dests: Array.from(dests),
      svcs: Array.from(svcs),
      noticed: this.noticed,
      neighbours: JSON.stringify(this.inet.neigh.list()),
      adjacencies: adjacencies.toString('hex'),
      conns: this.ipvs.table.size,
      index: native.flowCount(this.id),
      balance: this.packets.balance(),
    };
  }

  /** Connection records as hex by the tuple of the client; those that have none by all that they are. */
  records(): Map<string, string> {
    const out = new Map<string, string>();
    const r = this.ipvs.table.records;
    for (let c = 1; c < r.capacity; c++) {
      if (!r.isUsed(c)) continue;
      let record: Buffer = Buffer.from(this.conns, c * CONN4.size, CONN4.size);
      if ((r.flags(c) & CONN_F_PENDING) !== 0) {
        // A handshake that goes on has a number, which the other side gives otherwise.
        record = Buffer.from(record);
        record.fill(0, CONN4.at.proxy, CONN4.at.proxy + 4);
      }
      let key = record.toString('hex', 0, DIR4.at.proto + 1);
      let hex = record.toString('hex');
      if (record[0] === 0) {
        // One-packet scheduling: in place of tuples there are numbers of connections, which the other side gives otherwise.
        const own = Buffer.from(record);
        own.fill(0, 0, 4);
        if (own[DIR4.size] === 0) own.fill(0, DIR4.size, DIR4.size + 4);
        hex = own.toString('hex');
        for (let n = 0; out.has((key = `${hex} ${n}`)); n++);
      }
      out.set(key, hex);
    }
    return out;
  }

  close(): void {
    native.lcoreUnbind(this.id);
    native.lcoreDestroy(this.id);
  }
}

/** The other end of the ports of several sides. */
export class Injector {
  private readonly lc: TestLcore;

  constructor(id: number, ports: readonly number[]) {
    const config = {
      id,
      block: native.mapAnonymous(LCORE_BLOCK.size),
      stats: new SharedArrayBuffer(LCORE_STATS.size),
      statsOffset: 0,
      rxQueues: ports.map((port) => ({ port, queue: 1 })),
      txQueues: ports.map((port) => ({ port, queue: 0 })),
      redirectRing: 2,
      conns: native.mapAnonymous(2 * CONN4.size),
      adjacencies: native.mapAnonymous(ADJ_CAP * ADJ.size),
    };
    this.lc = makeLcore(config);
  }

  /** A frame that arrives on device `device` of a side, or (`redirected`) that another lcore has received there. */
  send(side: Side, device: number, frame: Uint8Array, length: number, redirected: boolean): void {
    const { packets } = this.lc;
    const p = packets.alloc();
    if (p === 0) throw new Error('packet pool is empty');
    const port = side.ports[device]!;
    packets.bytes.raw.set(length === frame.length ? frame : frame.subarray(0, length), packets.data(p));
    packets.setLen(p, length);
    if (redirected) {
      packets.bytes.view.setUint16(p + MBUF.port, port, true);
      packets.redirect(p, side.id);
    } else {
      packets.transmit(p, port);
    }
  }

  flush(): void {
    native.flush(this.lc.id);
  }

  /** Frames that have come out since the last call, by port. */
  take(): Map<number, Buffer[]> {
    const out = new Map<number, Buffer[]>();
    const { packets, id } = this.lc;
    for (let n = native.poll(id, 1024); n > 0; n = native.poll(id, 1024)) {
      for (let i = 0; i < n; i++) {
        const p = packets.exception(i);
        const at = packets.data(p);
        const frames = out.get(packets.port(p)) ?? [];
        frames.push(Buffer.from(packets.bytes.raw.slice(at, at + packets.len(p))));
        out.set(packets.port(p), frames);
        packets.drop(p, 0);
      }
      native.flush(id);
    }
    return out;
  }

  close(): void {
    native.lcoreUnbind(this.lc.id);
    native.lcoreDestroy(this.lc.id);
  }
}

export const ip = parseIpv4;
