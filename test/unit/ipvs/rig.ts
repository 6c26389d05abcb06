/**
 * The load balancer of one lcore on the fake native boundary, with the least stack below it that does its job: every
 * 10.0.0.0/8 address is a client behind port 0, every 192.168.0.0/16 address a real server behind port 1, nothing needs
 * resolving. What the load balancer lets pass is counted and dropped.
 */
import { DROP, DROP_REASONS } from '../../../src/core/drops.js';
import { DEST_STATS, LCORE_STATS, SVC_STATS } from '../../../src/core/layout.js';
import { Packets } from '../../../src/core/packet.js';
import { EVENT, type EventName } from '../../../src/core/events.js';
import { svcEventIndex, svcIndex } from '../../../src/core/stats.js';
import { SVC_DROPS, SVC_EVENTS } from '../../../src/core/svc-counts.js';
import { SaPool } from '../../../src/core/sapool.js';
import { ACCEPT, type Hook, type Inet, type Route } from '../../../src/inet/api.js';
import { flowIndex } from '../../../src/ipvs/conn/flow-index.js';
import type { Tell } from '../../../src/ipvs/alerts.js';
import { Ipvs, type IpvsConfig } from '../../../src/ipvs/ipvs.js';
import { type SharedMemory, sharedMemory } from '../../../src/ipvs/shared.js';
import { Services } from '../../../src/ipvs/service.js';
import type { SvcOptions } from '../../../src/ipvs/options.js';
import { parseIpv4 } from '../../../src/wire/ipv4.js';
import { FakeNative } from '../../support/fake-native.js';
import { checkFrame } from '../../support/frames.js';
import { UNTOUCHED } from '../../support/untouched.js';

export const CLIENT = '10.0.0.1:40000';
export const VIP = '10.1.1.1:80';
export const LIP = '192.168.0.200';
/** An address of ours that no service knows. */
export const OWN = '192.168.0.201';
export const RS = '192.168.0.2:8080';
export const RS2 = '192.168.0.3:8080';
export const CLIENT_PORT = 0;
export const RS_PORT = 1;

/** MACs of everything that the stub stack sends. */
export const OUR_MAC = '02:00:00:00:01:00';
export const PEER_MAC = '02:00:00:00:00:aa';

const DEST_SLOTS = 64;
const SVC_SLOTS = 64;

export interface RigOptions {
  lcore?: number;
  lcores?: number;
  conns?: number;
  mbufs?: number;
  config?: IpvsConfig;
  /** Go on with the memory of an lcore that has died. */
  native?: FakeNative;
  destStats?: Float64Array;
  svcStats?: Float64Array;
  alert?: Tell;
  /** What all lcores share; one of its own when left out. */
  shared?: SharedMemory;
  poolHashSize?: number;
  ports?: { firstPort: number; lastPort: number };
}

export class StubInet implements Inet {
  readonly preRouting: Hook[] = [];
  readonly localIn: (Hook | undefined)[] = [];
  generation = 1;
  mtu = 1500;
  routeMtu = 0;
  readonly unreachable = new Set<number>();
  lookups = 0;
  outputs = 0;
  /** MTUs that datagrams were to be cut to. */
  readonly fragmented: number[] = [];
  sharedSource: Inet['sharedSource'];
  refuses: Inet['refuses'];
  /** By real server: the gateway towards it. */
  readonly via = new Map<number, number>();
  /** Packets that the load balancer had kept and let pass. */
  proceeded = 0;
  readonly errors: { type: number; code: number; info: number; quoted: Uint8Array }[] = [];

  constructor(private readonly packets: Packets) {}

  martians(): number[] {
    return [];
  }
  otherwise(): undefined {
    return undefined;
  }
  lookup(daddr: number): Route | undefined {
    this.lookups++;
    if (this.unreachable.has(daddr)) return undefined;
    const ifindex = daddr >>> 24 === 10 ? 1 : 2;
    return {
      dst: daddr,
      plen: 32,
      via: this.via.get(daddr) ?? 0,
      src: 0,
      ifindex,
      mtu: this.routeMtu,
      metric: 0,
      tos: 0,
      scope: 'link',
      local: this.isLocal(daddr),
    };
  }
  /** The source of tunnel datagrams. */
  source = parseIpv4(LIP);
  sourceFor(): number {
    return this.source;
  }
  adjacency(ifindex: number): number {
    return ifindex;
  }
  adjacencyFor(daddr: number): number {
    return this.lookup(daddr)?.ifindex ?? 0;
  }
  adjMtu(): number {
    return this.mtu;
  }
  xmit(p: number, adj: number): void {
    const at = this.packets.push(p, 14);
    const header = Buffer.from(`${PEER_MAC}${OUR_MAC}0800`.replaceAll(':', ''), 'hex');
    this.packets.bytes.raw.set(header, at);
    this.packets.transmit(p, adj - 1);
  }
  /** Not cut: the length of what should have been is there. */
  xmitFragments(p: number, adj: number, mtu: number): void {
    this.fragmented.push(mtu);
    this.xmit(p, adj);
  }
  output(p: number): void {
    this.outputs++;
    this.xmit(p, this.adjacencyFor(this.packets.bytes.u32(this.packets.l3(p) + 16)));
  }
  proceed(p: number): void {
    this.proceeded++;
    this.packets.drop(p, DROP.IP_NO_PROTO);
  }
  icmpError(p: number, type: number, code: number, info: number): void {
    const at = this.packets.data(p);
    this.errors.push({
      type,
      code,
      info,
      quoted: this.packets.bytes.raw.slice(at, at + this.packets.len(p)),
    });
  }
  isLocal(addr: number): boolean {
    return addr === parseIpv4('10.1.1.1') || addr === parseIpv4(LIP) || addr === parseIpv4(OWN);
  }
}

export class Rig {
  readonly native: FakeNative;
  readonly packets: Packets;
  readonly inet: StubInet;
  readonly services: Services;
  readonly ipvs: Ipvs;
  readonly saPool: SaPool;
  readonly destStats: Float64Array;
  readonly svcStats: Float64Array;
  readonly shared: SharedMemory;
  /** False where wrong frames are sent through: they come out as wrong as they went in. */
  judging = true;
  /** Packets that the load balancer let pass. */
  accepted = 0;

  constructor(o: RigOptions = {}) {
    const { lcore = 1, lcores = 1 } = o;
    this.native = o.native ?? new FakeNative({ lcore, conns: o.conns ?? 64, mbufs: o.mbufs ?? 256 });
    const { arena, bufferOffset, block, stats, statsOffset } = this.native;
    this.packets = new Packets({
      arena,
      bufferOffset,
      block,
      stats: { buffer: stats, offset: statsOffset },
      lcore,
      flush: () => this.native.flush(lcore),
    });
    this.inet = new StubInet(this.packets);
    this.services = new Services(lcore, DEST_SLOTS);
    this.saPool = new SaPool({ lcore: lcore - 1, lcores, poolHashSize: o.poolHashSize ?? 16, ...o.ports });
    this.destStats = o.destStats ?? new Float64Array((DEST_SLOTS * DEST_STATS.size) >>> 3);
    this.svcStats = o.svcStats ?? new Float64Array((SVC_SLOTS * SVC_STATS.size) >>> 3);
    this.shared = o.shared ?? sharedMemory(lcores);
    this.native.poll(lcore, 0);
    this.ipvs = new Ipvs({
      packets: this.packets,
      inet: this.inet,
      netif: { restoreHeader: (p) => void this.packets.push(p, 14) },
      services: this.services,
      saPool: this.saPool,
      index: flowIndex(this.native, lcore, block),
      conns: this.native.conns,
      destStats: this.destStats,
      svcStats: this.svcStats,
      ...(o.alert && { alert: o.alert }),
      shared: this.shared,
      lcore,
      lcores,
      config: { ...o.config, tcp: { ...UNTOUCHED, ...o.config?.tcp } },
    });
  }

  // ----- control

  addAddress(addr: string): void {
    this.saPool.add(parseIpv4(addr));
  }
  removeAddress(addr: string): void {
    this.saPool.remove(this.saPool.slotOf(parseIpv4(addr)));
  }

  /** VIP with the given real servers by Full-NAT and one local address. */
  serve(
    proto: 'tcp' | 'udp' | 'sctp' = 'tcp',
    o: { dests?: string[]; scheduler?: string; fwd?: string } & Partial<SvcOptions> = {},
  ): void {
    const svc = { proto, ...endpoint(VIP) };
    const { dests = [RS], scheduler = 'rr', fwd = 'fullnat', ...settings } = o;
    this.services.apply('svc.add', { svc, scheduler, ...settings });
    for (const d of dests) this.addDest(d, proto, { fwd });
    this.addAddress(LIP);
    this.services.apply('laddr.add', { svc, addr: LIP, dev: 'dpdk0' });
  }

  addDest(
    at: string,
    proto: 'tcp' | 'udp' | 'sctp' = 'tcp',
    o: { weight?: number; maxConn?: number; minConn?: number; fwd?: string } = {},
  ): void {
    const svc = { proto, ...endpoint(VIP) };
    const { weight = 1, maxConn = 0, minConn = 0, fwd = 'fullnat' } = o;
    this.services.apply('dest.add', { svc, dest: endpoint(at), fwd, weight, maxConn, minConn });
  }

  // ----- traffic

  /** Frames that arrive on a port; what comes out is judged. @returns frames sent, by port */
  input(port: number, ...frames: Uint8Array[]): { client: Uint8Array[]; server: Uint8Array[] } {
    for (const f of frames) this.native.inject(port, f);
    return this.run();
  }

  fromClient(...frames: Uint8Array[]): Uint8Array[] {
    return this.input(CLIENT_PORT, ...frames).server;
  }
  fromServer(...frames: Uint8Array[]): Uint8Array[] {
    return this.input(RS_PORT, ...frames).client;
  }

  run(): { client: Uint8Array[]; server: Uint8Array[] } {
    const { native, packets, lcore } = this;
    for (let n = native.poll(lcore, 64); n > 0; n = native.poll(lcore, 64)) {
      for (let i = 0; i < n; i++) this.receive(packets.exception(i));
      this.ipvs.tick(packets.nowMs);
      native.flush(lcore);
    }
    return { client: this.sent(CLIENT_PORT), server: this.sent(RS_PORT) };
  }

  /** Lets time pass in steps. @returns frames sent meanwhile */
  advance(ms: number, step = 100): { client: Uint8Array[]; server: Uint8Array[] } {
    for (let left = ms; left > 0; left -= step) {
      this.native.nowMs += Math.min(left, step);
      this.native.poll(this.lcore, 0);
      this.ipvs.tick(this.packets.nowMs);
      this.native.flush(this.lcore);
    }
    return { client: this.sent(CLIENT_PORT), server: this.sent(RS_PORT) };
  }

  // ----- what is seen

  get conns(): number {
    return this.ipvs.table.size;
  }

  /** Names of the states of all connections, by record. */
  get states(): string[] {
    const { records } = this.ipvs.table;
    const out: string[] = [];
    for (let c = 1; c < records.capacity; c++)
      if (records.isUsed(c)) out.push(`${records.proto(c)}:${records.state(c)}`);
    return out;
  }

  dropped(name: keyof typeof DROP): number {
    return this.packets.dropped(DROP[name]);
  }

  /** All drops with a count, by name. */
  get drops(): Record<string, number> {
    return Object.fromEntries(
      DROP_REASONS.map((r, i) => [r.name, this.packets.dropped(i)] as const).filter(([, n]) => n > 0),
    );
  }

  /** Drops of the service in a slot that occurred, by name of the reason. */
  svcDrops(slot = 1): Record<string, number> {
    const of = this.svcStats.subarray(svcIndex(slot));
    return Object.fromEntries(SVC_DROPS.map((name, i) => [name, of[i]!] as const).filter(([, n]) => n > 0));
  }
  /** The same of events. */
  svcEvents(slot = 1): Record<string, number> {
    const of = this.svcStats.subarray(svcEventIndex(slot));
    return Object.fromEntries(SVC_EVENTS.map((name, i) => [name, of[i]!] as const).filter(([, n]) => n > 0));
  }
  /** How often an event was counted. */
  event(name: EventName): number {
    return this.packets.counters[(LCORE_STATS.at.events >>> 3) + EVENT[name]]!;
  }

  stat(field: keyof typeof DEST_STATS.at, slot = 1): number {
    return this.destStats[slot * (DEST_STATS.size >>> 3) + (DEST_STATS.at[field] >>> 3)]!;
  }

  /** Ports in use, over all local addresses. */
  get portsUsed(): number {
    return this.ipvs.laddrUse().reduce((n, l) => n + l.used, 0);
  }

  /** 0 when every packet is accounted for. */
  get imbalance(): number {
    return this.packets.balance();
  }
  get generated(): number {
    return this.packets.counters[LCORE_STATS.at.generated >>> 3]!;
  }

  private get lcore(): number {
    return this.native.lcore;
  }

  private sent(port: number): Uint8Array[] {
    const frames = this.native.sent(port);
    if (this.judging) frames.forEach(checkFrame);
    return frames;
  }

  /** What netif and IPv4 do with a good frame before the hook. */
  receive(p: number): void {
    const { packets } = this;
    const b = packets.bytes;
    const l3 = packets.data(p) + 14;
    packets.setL2Class(p, 0);
    packets.setIfindex(p, packets.port(p) + 1);
    packets.pullTo(p, l3);
    packets.setLen(p, b.u16(l3 + 2));
    packets.setL3(p, l3);
    packets.setL4(p, l3 + (b.u8(l3) & 15) * 4);
    if (this.inet.preRouting[0]!(p) !== ACCEPT) return;
    this.accepted++;
    packets.drop(p, DROP.IP_NO_PROTO);
  }
}

export function endpoint(text: string): { addr: string; port: number } {
  const [addr, port] = text.split(':') as [string, string];
  return { addr, port: Number(port) };
}
