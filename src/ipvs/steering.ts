/**
 * Packets that came to another lcore than the one that has their connection: passes them on. Who that is follows from a local
 * port of ours (`ownerOf` of src/core/sapool.ts) or from the client's end (owner.ts).
 */
import { DROP } from '../core/drops.js';
import { NO_PACKET, type Packets } from '../core/packet.js';
import { ownerOf, type SaPool } from '../core/sapool.js';
import { FIRST_PORT } from './laddr.js';
import { ownerByHash } from './owner.js';
import type { Services } from './service.js';

/** Frames that are passed to all lcores, each second. */
const SPREADS_PER_SECOND = 1000;

export interface SteeringOptions {
  packets: Packets;
  /** Puts the Ethernet header back in front of a received datagram. */
  netif: { restoreHeader(p: number): void };
  services: Services;
  /** Local addresses and their ports on this lcore. */
  saPool: SaPool;
  /** 1..lcores. */
  lcore: number;
  lcores: number;
}

export class Steering {
  /** For fragments: the packet in hand may be passed to an lcore although it has come from one. */
  mayPassAgain = false;
  /** The lcore that the packet in hand was passed to; 0 when whoever asks has set it so. */
  passedTo = 0;
  private readonly packets: Packets;
  private readonly netif: SteeringOptions['netif'];
  private readonly services: Services;
  private readonly saPool: SaPool;
  private readonly lcore: number;
  private readonly lcores: number;
  /** Frames passed to all lcores in this second, and its beginning. */
  private spreads = 0;
  private spreadsSinceMs: number;

  constructor(o: SteeringOptions) {
    this.packets = o.packets;
    this.netif = o.netif;
    this.services = o.services;
    this.saPool = o.saPool;
    this.lcore = o.lcore;
    this.lcores = o.lcores;
    this.spreadsSinceMs = o.packets.nowMs;
  }

  tick(nowMs: number): void {
    if (nowMs - this.spreadsSinceMs < 1000) return;
    this.spreadsSinceMs = nowMs;
    this.spreads = 0;
  }

  /** True for an address and port that local ends of connections have. */
  isLocalEnd(addr: number, port: number): boolean {
    return port >= FIRST_PORT && this.saPool.slotOf(addr) >= 0;
  }

  /**
   * Passes the frame to the lcore that owns local end `addr`:`port`, unless that is this one or the frame has been passed
   * on already. Takes ownership when it returns true.
   */
  redirect(p: number, addr: number, port: number): boolean {
    if (this.lcores === 1 || this.isPassed(p) || !this.isLocalEnd(addr, port)) return false;
    return this.redirectTo(p, ownerOf(port, this.lcores) + 1);
  }

  /**
   * Passes the frame to the lcore that owns NAT connections of client `caddr`:`cport`, if `addr`:`port` is the other end of such
   * ones (see owner.ts; 0 and 0 ask for services by match), unless that is this one or the frame has been passed on
   * already. Takes ownership when it returns true.
   */
  steer(p: number, proto: number, addr: number, port: number, caddr: number, cport: number): boolean {
    if (this.lcores === 1 || this.isPassed(p)) return false;
    if (!this.services.ends.isNat(proto, addr, port)) return false;
    return this.redirectTo(p, ownerByHash(caddr, cport, this.lcores));
  }

  /** Passes the frame to lcore `owner` unless that is this one. Takes ownership when it returns true. */
  redirectTo(p: number, owner: number): boolean {
    // What we have made ourselves (ifindex 0) has no frame around it.
    if (owner === this.lcore || this.packets.ifindex(p) === 0) return false;
    this.passedTo = owner;
    this.pass(p, owner);
    return true;
  }

  /** True for a packet that came from another lcore and goes to no other one. */
  private isPassed(p: number): boolean {
    return !this.mayPassAgain && this.packets.isRedirected(p);
  }

  /**
   * Passes the frame to every other lcore, unless it has been passed on already. Bounded, as it multiplies packets.
   * Takes ownership when it returns true.
   */
  spread(p: number): boolean {
    const { packets, lcore, lcores } = this;
    if (lcores === 1 || packets.isRedirected(p) || packets.ifindex(p) === 0) return false;
    if (this.spreads >= SPREADS_PER_SECOND) {
      packets.drop(p, DROP.ICMP_RATE);
      return true;
    }
    this.spreads++;
    this.netif.restoreHeader(p);
    const last = lcore === lcores ? lcores - 1 : lcores;
    for (let id = 1; id < last; id++) {
      if (id === lcore) continue;
      const copy = packets.clone(p);
      if (copy !== NO_PACKET) packets.redirect(copy, id);
    }
    packets.redirect(p, last);
    return true;
  }

  /** Passes the frame to an lcore. Takes ownership. */
  pass(p: number, lcore: number): void {
    this.netif.restoreHeader(p);
    this.packets.redirect(p, lcore);
  }
}
