/**
 * What a datagram for one of our addresses gets when nobody serves it: as from any host, TCP a reset (RFC 9293
 * section 3.5.2), UDP "port unreachable", anything else "protocol unreachable" (RFC 1122 sections 4.1.3.1, 3.2.2.1).
 */
import { DROP } from '../core/drops.js';
import { NO_PACKET } from '../core/packet.js';
import type { Packets } from '../core/packet.js';
import * as icmp from '../wire/icmp.js';
import * as ipv4 from '../wire/ipv4.js';
import * as tcp from '../wire/tcp.js';
import * as udp from '../wire/udp.js';
import type { Icmp } from './icmp.js';
import type { Ipv4 } from './ipv4.js';
import { TokenBucket } from './token-bucket.js';

/** Resets per second and at once. */
const RATE = 1000;
const BURST = 200;

export class Refuse {
  private readonly bucket = new TokenBucket(RATE, BURST);

  constructor(
    private readonly packets: Packets,
    private readonly ip: Ipv4,
    private readonly icmp: Icmp,
  ) {}

  /** Takes ownership. */
  receive(p: number): void {
    const packets = this.packets;
    const b = packets.bytes;
    const l3 = packets.l3(p);
    const l4 = packets.l4(p);
    const len = packets.end(p) - l4;
    const src = ipv4.src(b, l3);
    const dst = ipv4.dst(b, l3);
    let reason = DROP.IP_NO_PROTO;
    switch (ipv4.proto(b, l3)) {
      case ipv4.PROTO_TCP:
        if (!tcp.check(b, l4, len) || !tcp.checksumValid(b, l4, len, src, dst)) reason = DROP.L4_BAD_HEADER;
        // RFC 1122 section 4.2.3.10: nothing sent to a broadcast address is answered, whatever frame it came in.
        else if ((tcp.flags(b, l4) & tcp.RST) === 0 && this.icmp.isForOneHost(p))
          this.reset(p, l4, len, src, dst);
        break;
      case ipv4.PROTO_UDP:
        if (!udp.check(b, l4, len) || !udp.checksumValid(b, l4, src, dst)) reason = DROP.L4_BAD_HEADER;
        else this.icmp.error(p, icmp.DEST_UNREACH, icmp.PORT_UNREACH, 0);
        break;
      default:
        this.icmp.error(p, icmp.DEST_UNREACH, icmp.PROTO_UNREACH, 0);
    }
    packets.drop(p, reason);
  }

  private reset(p: number, l4: number, len: number, src: number, dst: number): void {
    const packets = this.packets;
    const b = packets.bytes;
    const q = packets.alloc();
    if (q === NO_PACKET) return;
    if (!this.bucket.take(packets.nowMs)) {
      packets.drop(q, DROP.ICMP_RATE);
      return;
    }
    const q3 = packets.data(q);
    const q4 = q3 + ipv4.HEADER_LEN;
    const total = ipv4.HEADER_LEN + tcp.HEADER_LEN;
    packets.setLen(q, total);
    packets.setL3(q, q3);
    packets.setL4(q, q4);
    const sport = tcp.dstPort(b, l4);
    const dport = tcp.srcPort(b, l4);
    if ((tcp.flags(b, l4) & tcp.ACK) !== 0) tcp.emit(b, q4, sport, dport, tcp.ack(b, l4), 0, tcp.RST, 0);
    else {
      const next = (tcp.seq(b, l4) + tcp.segmentLen(b, l4, len)) >>> 0;
      tcp.emit(b, q4, sport, dport, 0, next, tcp.RST | tcp.ACK, 0);
    }
    tcp.fillChecksum(b, q4, tcp.HEADER_LEN, dst, src);
    ipv4.emit(b, q3, 0, total, this.ip.nextId(), ipv4.DF, this.ip.defaultTtl, ipv4.PROTO_TCP, dst, src);
    this.ip.output(q);
  }
}
