/** Room inside datagrams, made by moving their headers: shorter than data. */
import { NO_PACKET } from '../../core/packet.js';
import { DIR_IN } from '../../core/layout.js';
import * as ipv4 from '../../wire/ipv4.js';
import { D } from '../conn/records.js';
import { finish } from '../xmit/rewrite.js';
import type { XmitContext } from '../xmit/xmit.js';

/**
 * Makes a gap of `n` bytes `behind` the beginning of the IP header, or takes so many away there when `n` is negative. The
 * total length follows, the IP checksum is the caller's.
 * @returns false when there is no headroom; nothing has changed then
 */
export function makeRoom(x: XmitContext, p: number, behind: number, n: number): boolean {
  const { packets } = x;
  const b = packets.bytes;
  const l3 = packets.l3(p);
  if (n < 0) packets.pullTo(p, l3 - n);
  else if (packets.push(p, n) < 0) return false;
  b.copy(l3 - n, l3, behind);
  packets.setL3(p, l3 - n);
  if (packets.l4(p) < l3 + behind) packets.setL4(p, packets.l4(p) - n);
  ipv4.setTotalLen(b, l3 - n, ipv4.totalLen(b, l3 - n) + n);
  return true;
}

/**
 * A datagram of our own between the ends of `p`, of `len` bytes behind an IPv4 header without options; they are the caller's.
 * @returns NO_PACKET when there is no buffer
 */
export function beside(x: XmitContext, p: number, proto: number, len: number): number {
  const { packets } = x;
  const q = packets.alloc();
  if (q === NO_PACKET) return NO_PACKET;
  const b = packets.bytes;
  const from = packets.l3(p);
  const total = ipv4.HEADER_LEN + len;
  packets.setLen(q, total);
  const l3 = packets.data(q);
  packets.setL3(q, l3);
  packets.setL4(q, l3 + ipv4.HEADER_LEN);
  const tos = ipv4.tos(b, from);
  ipv4.emit(b, l3, tos, total, 0, ipv4.DF, ipv4.ttl(b, from), proto, ipv4.src(b, from), ipv4.dst(b, from));
  return q;
}

/** Sends what `beside` has made as a packet of the client of connection `c`, whose adjacency is known. */
export function sendBeside(x: XmitContext, q: number, c: number): void {
  const { packets, records: r } = x;
  const b = packets.bytes;
  const l3 = packets.l3(q);
  const dir = r.dir(c, DIR_IN);
  if (packets.len(q) > r.mtu(dir)) {
    // It goes in fragments, which want an identification.
    x.outerId = (x.outerId + 1) & 0xffff;
    ipv4.setFrag(b, l3, 0);
    ipv4.setId(b, l3, x.outerId);
  }
  ipv4.fillChecksum(b, l3);
  finish(x, q, c, DIR_IN, r.u16[(dir + D.adj) >>> 1]!);
}
