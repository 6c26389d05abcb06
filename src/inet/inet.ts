/**
 * The IPv4 stack of one lcore, put together: neighbours, ARP, IPv4 and ICMP over the models of the control plane.
 * It follows the models by itself: what a command changes there is in force for the next packet.
 */
import type { Packets } from '../core/packet.js';
import type { Netif } from '../netif/netif.js';
import { TYPE_ARP, TYPE_IPV4 } from '../wire/ethernet.js';
import type { Hook, Inet, Route } from './api.js';
import { Arp } from './arp.js';
import type { FibEntry } from './fib.js';
import { xmitFragments } from './fragment.js';
import { Ipv4, type Ipv4Config } from './ipv4.js';
import type { InetModels } from './models.js';
import { NeighTable } from './neigh.js';

export { InetModels } from './models.js';
export type { InetOp, InetParams } from './models.js';

export interface InetConfig extends Ipv4Config {
  /** How long a neighbour counts as reachable without confirmation. */
  neighTimeoutMs: number;
  /** Packets that may wait for one neighbour. */
  unresQueueLength: number;
  /** Packets that may wait for all neighbours together. */
  unresTotalLength: number;
}

export interface InetOptions {
  packets: Packets;
  netif: Netif;
  models: InetModels;
  /** This lcore's adjacency table, ADJ_CAP x ADJ.size; cleared here. */
  adjacencies: SharedArrayBuffer;
  config: InetConfig;
  /** This lcore announces addresses that are added (one lcore of an instance does). */
  announce?: boolean;
}

export class InetStack implements Inet {
  readonly neigh: NeighTable;
  readonly arp: Arp;
  readonly ipv4: Ipv4;
  readonly preRouting: Hook[];
  readonly localIn: (Hook | undefined)[];
  readonly adjacencies: SharedArrayBuffer;
  private readonly models: InetModels;
  private readonly packets: Packets;

  constructor(o: InetOptions) {
    const { models, netif, packets, config } = o;
    const { routes, addresses, devices, staticNeighs } = models;
    this.models = models;
    this.packets = packets;
    this.adjacencies = o.adjacencies;
    this.neigh = new NeighTable({
      packets,
      netif,
      adjacencies: o.adjacencies,
      generation: routes.generation,
      reachableMs: config.neighTimeoutMs,
      queueLimit: config.unresQueueLength,
      totalLimit: config.unresTotalLength,
      sourceFor: (ifindex, addr) => routes.sourceFor(ifindex, 0, addr),
      unreachable: (p) => this.ipv4.icmp.unreachable(p),
    });
    this.arp = new Arp(netif, addresses, routes, this.neigh);
    this.ipv4 = new Ipv4(packets, devices, routes, this.neigh, config);
    this.preRouting = this.ipv4.preRouting;
    this.localIn = this.ipv4.localIn;
    netif.handle(TYPE_ARP, (p, dev) => this.arp.receive(p, dev));
    netif.handle(TYPE_IPV4, (p) => this.ipv4.receive(p));

    staticNeighs.listen({
      added: (ifindex, addr, mac) => this.neigh.addStatic(ifindex, addr, mac),
      removed: (ifindex, addr) => this.neigh.forget(ifindex, addr),
      flushed: (ifindex) => this.neigh.flush(ifindex),
    });
    for (const n of staticNeighs.entries()) this.neigh.addStatic(n.ifindex, n.addr, n.mac);
    if (o.announce === true) this.announceChanges();
  }

  /** Timers; `nowMs` as poll() left it. */
  tick(nowMs: number): void {
    this.neigh.tick(nowMs);
    this.ipv4.reassembly.table.tick(nowMs);
  }

  /** Sends a gratuitous ARP for an address of ours, so that neighbours and switches learn where it is. */
  announce(ifindex: number, addr: number): void {
    const dev = this.models.devices.byIndex(ifindex);
    if (dev !== undefined) this.arp.announce(dev, addr);
  }

  private announceChanges(): void {
    const { addresses, devices } = this.models;
    addresses.listen({ added: (ifa) => this.announce(ifa.ifindex, ifa.addr) });
    const known = new Map(devices.list().map((d) => [d.ifindex, `${d.up} ${d.mac}`]));
    devices.onChange((dev) => {
      // Up again, or with another MAC: the tables of neighbours and switches may be wrong.
      const now = `${dev.up} ${dev.mac}`;
      if (known.get(dev.ifindex) !== now)
        for (const ifa of addresses.of(dev.ifindex)) this.announce(dev.ifindex, ifa.addr);
      known.set(dev.ifindex, now);
    });
  }

  // ----- Inet

  get refuses(): Inet['refuses'] {
    return this.ipv4.refuses;
  }
  set refuses(ask: Inet['refuses']) {
    this.ipv4.refuses = ask;
  }

  get sharedSource(): Inet['sharedSource'] {
    return this.models.routes.sharedSource;
  }
  set sharedSource(is: Inet['sharedSource']) {
    this.models.routes.sharedSource = is;
  }

  get generation(): number {
    return this.models.routes.generation.value;
  }

  /** Where `generation` stands. */
  get generationCell(): Uint32Array {
    return this.models.routes.generation.cell;
  }

  martians(): number[] {
    return this.models.routes.martians();
  }

  otherwise(): ReturnType<Inet['otherwise']> {
    return this.models.routes.otherwise();
  }

  lookup(daddr: number): Route | undefined {
    return this.entry(daddr);
  }

  sourceFor(route: Route, daddr: number): number {
    return this.models.routes.sourceFor(route.ifindex, route.src, route.via === 0 ? daddr : route.via);
  }

  adjacency(ifindex: number, nexthop: number): number {
    return this.neigh.adjacency(ifindex, nexthop);
  }

  adjacencyFor(daddr: number): number {
    const entry = this.entry(daddr);
    return entry === undefined || entry.local ? 0 : this.ipv4.adjacencyBy(entry, daddr);
  }

  adjMtu(adj: number): number {
    return this.neigh.mtu(adj);
  }

  xmit(p: number, adj: number): void {
    this.neigh.xmit(p, adj);
  }

  xmitFragments(p: number, adj: number, mtu: number): void {
    xmitFragments(this.packets, this.neigh, p, mtu, adj);
  }

  output(p: number): void {
    this.ipv4.output(p);
  }

  proceed(p: number): void {
    this.ipv4.proceed(p);
  }

  icmpError(p: number, type: number, code: number, info: number): void {
    this.ipv4.icmp.error(p, type, code, info);
  }

  isLocal(addr: number): boolean {
    return this.models.routes.isLocal(addr);
  }

  /** A broadcast address is nothing that a datagram may be routed to. */
  private entry(daddr: number): FibEntry | undefined {
    const entry = this.models.routes.lookup(daddr);
    return entry !== undefined && entry.broadcast ? undefined : entry;
  }
}
