/**
 * ICMP, RFC 792 with the rules of RFC 1122 section 3.2.2: echo is answered, errors are sent about datagrams of
 * others. Not supported: timestamp, address mask, redirects, router discovery.
 */
import { DROP } from '../core/drops.js';
import { L2_HOST, NO_PACKET } from '../core/packet.js';
import type { Packets } from '../core/packet.js';
import { ACCEPT } from './api.js';
import { fold, sum, update16 } from '../wire/checksum.js';
import * as icmp from '../wire/icmp.js';
import * as ipv4 from '../wire/ipv4.js';
import { dropChain } from './fragments.js';
import type { Ipv4 } from './ipv4.js';
import type { Routes } from './route.js';
import { TokenBucket } from './token-bucket.js';

/** RFC 1812 section 4.3.2.3: as much of the datagram as possible without the error exceeding 576 bytes. */
const MAX_LEN = 576;
/** Internetwork control, as RFC 1812 section 4.3.2.5 asks for. */
const ERROR_TOS = 0xc0;
/** Errors per second and at once (those of Linux: icmp_msgs_per_sec, icmp_msgs_burst). */
const RATE = 1000;
const BURST = 50;

export class Icmp {
  private readonly bucket = new TokenBucket(RATE, BURST);

  constructor(
    private readonly packets: Packets,
    private readonly routes: Routes,
    private readonly ip: Ipv4,
  ) {}

  /** A message to an address of ours. Takes ownership. */
  receive(p: number): void {
    const packets = this.packets;
    const b = packets.bytes;
    const l4 = packets.l4(p);
    const len = packets.end(p) - l4;
    if (!icmp.check(b, l4, len) || !icmp.checksumValid(b, l4, len)) packets.drop(p, DROP.ICMP_BAD);
    // RFC 1122 section 3.2.2.6: an echo request to a broadcast address may be ignored.
    else if (icmp.type(b, l4) !== icmp.ECHO_REQUEST || !this.isForOneHost(p))
      packets.drop(p, DROP.ICMP_IGNORED);
    else this.echo(p, l4);
  }

  /**
   * A message to an address of ours that is too long for one buffer: its fragments in order, linked by `Packets.next`. An echo
   * is answered in the fragments that it came in. Takes ownership.
   */
  receiveParts(first: number): void {
    const packets = this.packets;
    const b = packets.bytes;
    const l4 = packets.l4(first);
    let acc = 0;
    // All but the last are a multiple of 8 bytes: words don't cross them.
    for (let p = first; p !== NO_PACKET; p = packets.next(p))
      acc = fold(sum(b, packets.l4(p), packets.end(p) - packets.l4(p), acc));
    if (acc !== 0xffff) dropChain(packets, first, DROP.ICMP_BAD);
    else if (icmp.type(b, l4) !== icmp.ECHO_REQUEST || !this.isForOneHost(first))
      dropChain(packets, first, DROP.ICMP_IGNORED);
    else {
      this.turnRequest(l4);
      const id = this.ip.nextId();
      for (let p = first; p !== NO_PACKET;) {
        const next = packets.next(p);
        this.sendBack(p, id, ipv4.frag(b, packets.l3(p)) & ~ipv4.DF);
        p = next;
      }
    }
  }

  /** See `Inet.icmpError`. Leaves `p` with the caller. */
  error(p: number, type: number, code: number, info: number): void {
    this.report(p, type, code, info, false);
  }

  /**
   * A datagram that has waited for a neighbour in vain. It is as it would have left: what the load balancer has made of a
   * client's packet is reported in the client's terms. Leaves `p` with the caller.
   */
  unreachable(p: number): void {
    // What we send ourselves has no sender to be told.
    this.report(p, icmp.DEST_UNREACH, icmp.HOST_UNREACH, 0, this.packets.ifindex(p) !== 0);
  }

  /** @param passed the datagram has passed the hooks */
  private report(p: number, type: number, code: number, info: number, passed: boolean): void {
    const packets = this.packets;
    const b = packets.bytes;
    const l3 = packets.data(p);
    if (!this.mayAnswer(p, l3)) return;
    const to = ipv4.src(b, l3);
    const route = this.routes.lookup(to);
    if (route === undefined || route.broadcast) return;
    if (route.local && !passed && !this.routes.isShared(to)) return;
    const dst = ipv4.dst(b, l3);
    let from = dst;
    if (route.local) from = this.routes.sourceFor(packets.ifindex(p), 0, 0);
    else if (!this.routes.isLocal(dst))
      from = this.routes.sourceFor(route.ifindex, route.src, route.via === 0 ? to : route.via);
    if (from === 0 || (from === to && !passed)) return;
    const q = packets.alloc();
    if (q === NO_PACKET) return;
    if (!this.bucket.take(packets.nowMs)) {
      packets.drop(q, DROP.ICMP_RATE);
      return;
    }
    const quoted = Math.min(packets.len(p), MAX_LEN - ipv4.HEADER_LEN - icmp.HEADER_LEN);
    const total = ipv4.HEADER_LEN + icmp.HEADER_LEN + quoted;
    const q3 = packets.data(q);
    const q4 = q3 + ipv4.HEADER_LEN;
    packets.setLen(q, total);
    packets.setL3(q, q3);
    packets.setL4(q, q4);
    icmp.setType(b, q4, type);
    icmp.setCode(b, q4, code);
    icmp.setRest(b, q4, info);
    b.copy(q4 + icmp.HEADER_LEN, l3, quoted);
    icmp.fillChecksum(b, q4, icmp.HEADER_LEN + quoted);
    ipv4.emit(b, q3, ERROR_TOS, total, this.ip.nextId(), 0, this.ip.defaultTtl, ipv4.PROTO_ICMP, from, to);
    // The load balancer knows whose packet it was: it was sent from an address of ours, or real servers answer from it.
    if ((passed || route.local) && this.ip.reflect(q) !== ACCEPT) return;
    if (route.local) packets.drop(q, DROP.ICMP_NO_CONN);
    else this.ip.output(q);
  }

  /**
   * RFC 1122 section 3.2.2: no error about an ICMP error, a datagram to a broadcast or multicast address (of
   * either layer), a non-first fragment, or one whose source does not name a single host.
   */
  private mayAnswer(p: number, l3: number): boolean {
    const b = this.packets.bytes;
    const src = ipv4.src(b, l3);
    const dst = ipv4.dst(b, l3);
    if (this.packets.l2Class(p) !== L2_HOST) return false;
    if (!ipv4.isUnicast(src) || !ipv4.isUnicast(dst)) return false;
    if ((ipv4.frag(b, l3) & ipv4.OFFSET_MASK) !== 0) return false;
    const toRoute = this.routes.lookup(dst);
    if (toRoute !== undefined && toRoute.broadcast) return false;
    if (ipv4.proto(b, l3) !== ipv4.PROTO_ICMP) return true;
    const hlen = ipv4.headerLen(b, l3);
    return this.packets.len(p) > hlen && !icmp.isError(icmp.type(b, l3 + hlen));
  }

  /** Sent to one address of ours alone, by IP and on the link: what may be answered, from that address. */
  isForOneHost(p: number): boolean {
    const dst = ipv4.dst(this.packets.bytes, this.packets.l3(p));
    return this.packets.l2Class(p) === L2_HOST && this.routes.isLocal(dst);
  }

  /** Turns the request into the reply in place; options of the request are left out. */
  private echo(p: number, l4: number): void {
    this.turnRequest(l4);
    this.sendBack(p, this.ip.nextId(), 0);
  }

  private turnRequest(l4: number): void {
    const b = this.packets.bytes;
    const code = icmp.code(b, l4);
    icmp.setType(b, l4, icmp.ECHO_REPLY);
    const sum = update16(icmp.checksum(b, l4), (icmp.ECHO_REQUEST << 8) | code, code);
    // RFC 1624 section 3: of the two zeros, 0 would be wrong for a message of nothing but zeros.
    icmp.setChecksum(b, l4, sum === 0 ? 0xffff : sum);
  }

  /** Sends what stands behind the header back to where it came from, under a header of our own. Takes ownership. */
  private sendBack(p: number, id: number, fragField: number): void {
    const packets = this.packets;
    const b = packets.bytes;
    const request = packets.l3(p);
    const l4 = packets.l4(p);
    const from = ipv4.dst(b, request);
    const to = ipv4.src(b, request);
    const tos = ipv4.tos(b, request);
    const l3 = l4 - ipv4.HEADER_LEN;
    const total = packets.end(p) - l3;
    ipv4.emit(b, l3, tos, total, id, fragField, this.ip.defaultTtl, ipv4.PROTO_ICMP, from, to);
    packets.pullTo(p, l3);
    packets.setL3(p, l3);
    // From here on it is a datagram of our own.
    packets.setIfindex(p, 0);
    this.ip.output(p);
  }
}
