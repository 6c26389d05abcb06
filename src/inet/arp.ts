/**
 * ARP, RFC 826: answers for our own addresses, learning, announcements, and a look-out for others that use an
 * address of ours (RFC 5227).
 */
import { DROP } from '../core/drops.js';
import { L2_OTHER, NO_PACKET } from '../core/packet.js';
import type { Packets } from '../core/packet.js';
import type { Device } from '../netif/device.js';
import type { Netif } from '../netif/netif.js';
import * as arp from '../wire/arp.js';
import * as ethernet from '../wire/ethernet.js';
import { isLoopback, isMulticast, isReserved, isThisNetwork } from '../wire/ipv4.js';
import type { Addresses, Ifa } from './address.js';
import type { NeighTable } from './neigh.js';
import type { Routes } from './route.js';

/** RFC 5227 section 2.4 (c): at most one defence of an address in this time. */
const DEFEND_INTERVAL_MS = 10_000;

/** Somebody else uses an address of ours. */
export type ConflictListener = (ifindex: number, addr: number, mac: string) => void;

export class Arp {
  private readonly packets: Packets;
  private readonly listeners: ConflictListener[] = [];

  constructor(
    private readonly netif: Netif,
    private readonly addresses: Addresses,
    private readonly routes: Routes,
    private readonly neigh: NeighTable,
  ) {
    this.packets = netif.packets;
  }

  /** Called when somebody else uses an address of ours, at most once in 10 s for each address. */
  onConflict(listener: ConflictListener): void {
    this.listeners.push(listener);
  }

  /** A message as it came from a device. Takes ownership. */
  receive(p: number, dev: Device): void {
    const packets = this.packets;
    const b = packets.bytes;
    const m = packets.data(p);
    if (packets.l2Class(p) === L2_OTHER) {
      packets.drop(p, DROP.ETH_OTHER_HOST);
      return;
    }
    if (!arp.check(b, m, packets.len(p)) || !this.isSane(m)) {
      packets.drop(p, DROP.ARP_BAD);
      return;
    }
    const sha = arp.sha(m);
    const hi = ethernet.macHi(b, sha);
    const lo = ethernet.macLo(b, sha);
    if (hi === dev.macHi && lo === dev.macLo) {
      // Our own announcement, come back over a loop or a second port on the same segment.
      packets.drop(p, DROP.ARP_DONE);
      return;
    }
    const spa = arp.spa(b, m);
    const tpa = arp.tpa(b, m);
    const claimed = spa === 0 ? undefined : this.addresses.find(dev.ifindex, spa);
    if (claimed !== undefined) {
      this.conflict(claimed, dev, sha);
      packets.drop(p, DROP.ARP_DONE);
      return;
    }
    const forUs = this.addresses.find(dev.ifindex, tpa) !== undefined;
    // RFC 826: merge what is known; add when we are the target. A probe (sender 0.0.0.0) teaches nothing.
    if (spa !== 0) this.neigh.update(dev.ifindex, spa, hi, lo, forUs && this.isOnLink(spa, dev));
    if (arp.op(b, m) !== arp.OP_REQUEST) packets.drop(p, DROP.ARP_DONE);
    else if (forUs) this.reply(p, dev, m);
    else packets.drop(p, spa === tpa ? DROP.ARP_DONE : DROP.ARP_NOT_OURS);
  }

  /** Announces an address to everybody on the link (gratuitous ARP: a request from itself for itself). */
  announce(dev: Device, addr: number): void {
    if (dev.up) requestArp(this.netif, dev, 0xffffffff, 0xffff, addr, addr);
  }

  private isSane(m: number): boolean {
    const b = this.packets.bytes;
    const op = arp.op(b, m);
    const spa = arp.spa(b, m);
    const tpa = arp.tpa(b, m);
    if (op !== arp.OP_REQUEST && op !== arp.OP_REPLY) return false;
    if (ethernet.isGroup(b, arp.sha(m)) || ethernet.isZero(b, arp.sha(m))) return false;
    if (spa === 0) return op === arp.OP_REQUEST && isNeighbour(tpa);
    return isNeighbour(spa) && isNeighbour(tpa);
  }

  private isOnLink(addr: number, dev: Device): boolean {
    const route = this.routes.lookup(addr);
    return (
      route !== undefined &&
      route.ifindex === dev.ifindex &&
      route.via === 0 &&
      !route.local &&
      !route.broadcast
    );
  }

  /** Turns the request around in place. */
  private reply(p: number, dev: Device, m: number): void {
    const b = this.packets.bytes;
    const hi = ethernet.macHi(b, arp.sha(m));
    const lo = ethernet.macLo(b, arp.sha(m));
    const spa = arp.spa(b, m);
    const tpa = arp.tpa(b, m);
    arp.setOp(b, m, arp.OP_REPLY);
    arp.setSpa(b, m, tpa);
    arp.setTpa(b, m, spa);
    ethernet.setMac(b, arp.tha(m), hi, lo);
    ethernet.setMac(b, arp.sha(m), dev.macHi, dev.macLo);
    this.packets.setLen(p, arp.MESSAGE_LEN);
    sendFrame(this.netif, dev, p, hi, lo);
  }

  private conflict(ifa: Ifa, dev: Device, sha: number): void {
    const now = this.packets.nowMs;
    if (now - ifa.defendedAt < DEFEND_INTERVAL_MS) return;
    ifa.defendedAt = now;
    this.announce(dev, ifa.addr);
    const mac = ethernet.formatMac(this.packets.bytes.raw, sha);
    for (const l of this.listeners) l(ifa.ifindex, ifa.addr, mac);
  }
}

/** Sends a request for `tpa`; `hi`, `lo`: the Ethernet destination, all ones or a neighbour that is asked again. */
export function requestArp(
  netif: Netif,
  dev: Device,
  hi: number,
  lo: number,
  spa: number,
  tpa: number,
): void {
  const packets = netif.packets;
  const p = packets.alloc();
  if (p === NO_PACKET) return;
  packets.setLen(p, arp.MESSAGE_LEN);
  const b = packets.bytes;
  const m = packets.data(p);
  arp.emit(b, m, arp.OP_REQUEST);
  ethernet.setMac(b, arp.sha(m), dev.macHi, dev.macLo);
  arp.setSpa(b, m, spa);
  ethernet.setMac(b, arp.tha(m), 0, 0);
  arp.setTpa(b, m, tpa);
  sendFrame(netif, dev, p, hi, lo);
}

function sendFrame(netif: Netif, dev: Device, p: number, hi: number, lo: number): void {
  const b = netif.packets.bytes;
  const off = netif.packets.push(p, ethernet.HEADER_LEN);
  if (off < 0) {
    netif.packets.drop(p, DROP.SEND_FAILED);
    return;
  }
  ethernet.setMac(b, ethernet.dst(off), hi, lo);
  ethernet.setMac(b, ethernet.src(off), dev.macHi, dev.macLo);
  ethernet.setEtherType(b, off, ethernet.TYPE_ARP);
  netif.transmit(p, dev);
}

const isNeighbour = (addr: number): boolean =>
  !isThisNetwork(addr) && !isLoopback(addr) && !isMulticast(addr) && !isReserved(addr);
