/**
 * IPv4 of one lcore, RFC 791 and RFC 1122: what comes in is validated, shown to the hooks, then delivered,
 * forwarded or dropped; what goes out is routed and handed to a neighbour.
 *
 * Fragments are reassembled for our own addresses and forwarded as they are otherwise. Not supported: source routing
 * (refused), recording options (carried, not filled in), multicast groups, redirects.
 */
import { DROP } from '../core/drops.js';
import { L2_HOST, L2_OTHER, NO_PACKET } from '../core/packet.js';
import type { Packets } from '../core/packet.js';
import type { Devices } from '../netif/device.js';
import * as icmp from '../wire/icmp.js';
import * as ipv4 from '../wire/ipv4.js';
import { ACCEPT, STOLEN } from './api.js';
import type { Hook, Inet } from './api.js';
import type { FibEntry } from './fib.js';
import { xmitFragments } from './fragment.js';
import { dropChain, type FragmentLimits } from './fragments.js';
import { Icmp } from './icmp.js';
import type { NeighTable } from './neigh.js';
import { checkOptions, OPTIONS_OK, OPTIONS_REFUSED } from './options.js';
import { Reassembly } from './reassembly.js';
import { Refuse } from './refuse.js';
import type { Routes } from './route.js';

export interface Ipv4Config extends FragmentLimits {
  /** Datagrams for others are forwarded. */
  readonly forwarding: boolean;
  /** TTL of datagrams of our own. */
  readonly defaultTtl: number;
}

export class Ipv4 {
  readonly preRouting: Hook[] = [];
  /** See `Inet.refuses`. */
  refuses: Inet['refuses'];
  readonly localIn: (Hook | undefined)[] = Array.from({ length: 256 }, () => undefined);
  readonly icmp: Icmp;
  readonly reassembly: Reassembly;
  private readonly refuse: Refuse;
  private idCounter = (Math.random() * 65536) | 0;

  constructor(
    private readonly packets: Packets,
    private readonly devices: Devices,
    private readonly routes: Routes,
    private readonly neigh: NeighTable,
    private readonly config: Ipv4Config,
  ) {
    this.icmp = new Icmp(packets, routes, this);
    this.refuse = new Refuse(packets, this, this.icmp);
    this.reassembly = new Reassembly({
      packets,
      limits: config,
      onTimeout: (first) => this.icmp.error(first, icmp.TIME_EXCEEDED, icmp.REASSEMBLY_TIMEOUT, 0),
    });
  }

  get defaultTtl(): number {
    return this.config.defaultTtl;
  }

  // ----- in

  /** A datagram as it came from a device: data starts at its header. Takes ownership. */
  receive(p: number): void {
    const packets = this.packets;
    const b = packets.bytes;
    const l3 = packets.data(p);
    if (packets.l2Class(p) === L2_OTHER) {
      packets.drop(p, DROP.ETH_OTHER_HOST);
      return;
    }
    if (!ipv4.check(b, l3, packets.len(p))) {
      packets.drop(p, DROP.IP_BAD_HEADER);
      return;
    }
    if (!ipv4.checksumValid(b, l3)) {
      packets.drop(p, DROP.IP_BAD_CHECKSUM);
      return;
    }
    const hlen = ipv4.headerLen(b, l3);
    packets.setLen(p, ipv4.totalLen(b, l3));
    packets.setL3(p, l3);
    packets.setL4(p, l3 + hlen);
    if (this.refuses !== undefined && packets.l2Class(p) === L2_HOST && this.refuses(p, ipv4.src(b, l3)))
      return;
    if (hlen > ipv4.HEADER_LEN && !this.acceptOptions(p, l3, hlen)) return;
    this.route(p, l3);
  }

  private route(p: number, l3: number): void {
    const packets = this.packets;
    const b = packets.bytes;
    const src = ipv4.src(b, l3);
    const dst = ipv4.dst(b, l3);
    const unicastFrame = packets.l2Class(p) === L2_HOST;
    if (!ipv4.isUnicast(src) || this.isMartian(src, dst)) {
      packets.drop(p, DROP.IP_BAD_ADDR);
      return;
    }
    if (ipv4.isMulticast(dst)) {
      packets.drop(p, DROP.IP_NOT_JOINED);
      return;
    }
    if (dst === ipv4.BROADCAST) {
      this.deliver(p, l3);
      return;
    }
    if (!ipv4.isUnicast(dst)) {
      packets.drop(p, DROP.IP_BAD_ADDR);
      return;
    }
    const entry = this.routes.lookup(dst);
    if (entry !== undefined && entry.broadcast) {
      // RFC 1812 section 5.3.5.2: directed broadcasts of another network of ours are not forwarded.
      if (entry.ifindex === packets.ifindex(p)) this.deliver(p, l3);
      else packets.drop(p, DROP.IP_NOT_JOINED);
      return;
    }
    // RFC 1122 section 3.3.6: a link-layer broadcast has to carry an IP broadcast or multicast.
    if (!unicastFrame) {
      packets.drop(p, DROP.IP_BAD_ADDR);
      return;
    }
    const hooks = this.preRouting;
    for (let i = 0; i < hooks.length; i++) if (hooks[i]!(p) !== ACCEPT) return;
    // A hook may have rewritten the destination.
    this.onward(p, l3, ipv4.dst(b, l3) === dst ? entry : this.routes.lookup(ipv4.dst(b, l3)));
  }

  /** See `Inet.proceed`. Takes ownership. */
  proceed(p: number): void {
    const l3 = this.packets.l3(p);
    this.onward(p, l3, this.routes.lookup(ipv4.dst(this.packets.bytes, l3)));
  }

  private onward(p: number, l3: number, entry: FibEntry | undefined): void {
    if (entry !== undefined && entry.local) this.deliver(p, l3);
    else this.forward(p, l3, entry);
  }

  private acceptOptions(p: number, l3: number, hlen: number): boolean {
    const verdict = checkOptions(this.packets.bytes, l3, hlen);
    if (verdict === OPTIONS_OK) return true;
    // RFC 1122 section 3.2.2.5: the pointer names the octet where the problem was found.
    if (verdict !== OPTIONS_REFUSED) this.icmp.error(p, icmp.PARAM_PROBLEM, 0, (verdict << 24) >>> 0);
    this.packets.drop(p, DROP.IP_BAD_OPTION);
    return false;
  }

  /** Sources that nobody else has: broadcast addresses and our own, those apart that we share with the sender. */
  private isMartian(src: number, dst: number): boolean {
    const entry = this.routes.host(src);
    if (entry === undefined || !(entry.local || entry.broadcast)) return false;
    return entry.broadcast || !this.routes.isShared(src) || this.routes.isLocal(dst);
  }

  /** Shows the hooks a datagram of our own as if it had come in. @returns as a hook */
  reflect(p: number): typeof ACCEPT | typeof STOLEN {
    const hooks = this.preRouting;
    this.packets.setL2Class(p, L2_HOST);
    this.packets.setIfindex(p, 0);
    for (let i = 0; i < hooks.length; i++) if (hooks[i]!(p) !== ACCEPT) return STOLEN;
    return ACCEPT;
  }

  private deliver(p: number, l3: number): void {
    const b = this.packets.bytes;
    if (ipv4.isFragment(b, l3)) {
      const first = this.reassembly.add(p);
      if (first !== NO_PACKET) this.deliverParts(first);
      return;
    }
    const proto = ipv4.proto(b, l3);
    const handler = this.localIn[proto];
    if (handler !== undefined && handler(p) !== ACCEPT) return;
    if (proto === ipv4.PROTO_ICMP) this.icmp.receive(p);
    else this.refuse.receive(p);
  }

  /** A datagram that came in fragments, all of them linked in order. Takes ownership. */
  private deliverParts(first: number): void {
    const { packets } = this;
    const l3 = packets.l3(first);
    if (this.reassembly.join(first)) this.deliver(first, l3);
    else if (ipv4.proto(packets.bytes, l3) === ipv4.PROTO_ICMP) this.icmp.receiveParts(first);
    else {
      // Too long for one buffer, and nobody here takes it: what it gets is what `Refuse` would say.
      const udp = ipv4.proto(packets.bytes, l3) === ipv4.PROTO_UDP;
      this.icmp.error(first, icmp.DEST_UNREACH, udp ? icmp.PORT_UNREACH : icmp.PROTO_UNREACH, 0);
      dropChain(packets, first, DROP.IP_NO_PROTO);
    }
  }

  // ----- through

  private forward(p: number, l3: number, entry: FibEntry | undefined): void {
    const packets = this.packets;
    const b = packets.bytes;
    if (!this.config.forwarding) {
      packets.drop(p, DROP.IP_NO_FORWARD);
      return;
    }
    if (this.refuses !== undefined && this.refuses(p, ipv4.dst(b, l3))) return;
    if (entry === undefined) {
      this.icmp.error(p, icmp.DEST_UNREACH, icmp.NET_UNREACH, 0);
      packets.drop(p, DROP.IP_NO_ROUTE);
      return;
    }
    if (ipv4.ttl(b, l3) <= 1) {
      this.icmp.error(p, icmp.TIME_EXCEEDED, icmp.TTL_EXCEEDED, 0);
      packets.drop(p, DROP.IP_TTL);
      return;
    }
    const mtu = this.mtuOf(entry);
    if (packets.len(p) > mtu && ipv4.dontFragment(b, l3)) {
      this.icmp.error(p, icmp.DEST_UNREACH, icmp.FRAG_NEEDED, mtu);
      packets.drop(p, DROP.IP_TOO_BIG);
      return;
    }
    ipv4.decrementTtl(b, l3);
    this.sendBy(entry, p, l3, mtu);
  }

  // ----- out

  /** See `Inet.output`. Takes ownership. */
  output(p: number): void {
    const packets = this.packets;
    const b = packets.bytes;
    const l3 = packets.data(p);
    if (this.refuses !== undefined && this.refuses(p, ipv4.dst(b, l3))) return;
    const entry = this.routes.lookup(ipv4.dst(b, l3));
    if (entry === undefined) {
      packets.drop(p, DROP.IP_NO_ROUTE);
      return;
    }
    if (entry.local || entry.broadcast) {
      packets.drop(p, DROP.IP_BAD_ADDR);
      return;
    }
    const mtu = this.mtuOf(entry);
    if (packets.len(p) > mtu && ipv4.dontFragment(b, l3)) {
      packets.drop(p, DROP.IP_TOO_BIG);
      return;
    }
    this.sendBy(entry, p, l3, mtu);
  }

  /** Identification of the next datagram of our own. */
  nextId(): number {
    this.idCounter = (this.idCounter + 1) & 0xffff;
    return this.idCounter;
  }

  /** Index of the adjacency towards `daddr`. */
  adjacencyBy(entry: FibEntry, daddr: number): number {
    return this.neigh.adjacency(entry.ifindex, entry.via === 0 ? daddr : entry.via);
  }

  private sendBy(entry: FibEntry, p: number, l3: number, mtu: number): void {
    const adj = this.adjacencyBy(entry, ipv4.dst(this.packets.bytes, l3));
    if (adj === 0) this.packets.drop(p, DROP.NEIGH_TABLE_FULL);
    else if (this.packets.len(p) <= mtu) this.neigh.xmit(p, adj);
    else xmitFragments(this.packets, this.neigh, p, mtu, adj);
  }

  private mtuOf(entry: FibEntry): number {
    const dev = this.devices.byIndex(entry.ifindex);
    const mtu = dev === undefined ? ipv4.MIN_MTU : dev.mtu;
    return entry.mtu !== 0 && entry.mtu < mtu ? entry.mtu : mtu;
  }
}
