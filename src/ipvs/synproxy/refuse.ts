/** RST to who sends what belongs to no connection (RFC 9293 section 3.10.7.1). */
import { NO_PACKET } from '../../core/packet.js';
import * as ipv4 from '../../wire/ipv4.js';
import * as tcp from '../../wire/tcp.js';
import type { XmitContext } from '../xmit/xmit.js';

const LEN = ipv4.HEADER_LEN + tcp.HEADER_LEN;
const TTL = 64;

/** Answers a whole segment with ACK and without RST. It stays the caller's. */
export function refuse(x: XmitContext, p: number): void {
  const { packets } = x;
  const q = packets.alloc();
  if (q === NO_PACKET) return;
  const b = packets.bytes;
  const from3 = packets.l3(p);
  const from4 = packets.l4(p);
  const l3 = packets.push(q, LEN);
  const l4 = l3 + ipv4.HEADER_LEN;
  const saddr = ipv4.dst(b, from3);
  const daddr = ipv4.src(b, from3);
  packets.setL3(q, l3);
  packets.setL4(q, l4);
  ipv4.emit(b, l3, 0, LEN, 0, ipv4.DF, TTL, ipv4.PROTO_TCP, saddr, daddr);
  tcp.emit(b, l4, tcp.dstPort(b, from4), tcp.srcPort(b, from4), tcp.ack(b, from4), 0, tcp.RST, 0);
  tcp.fillChecksum(b, l4, tcp.HEADER_LEN, saddr, daddr);
  x.inet.output(q);
}
