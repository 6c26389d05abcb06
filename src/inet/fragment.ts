/**
 * Cutting a datagram to an MTU, RFC 791 section 3.2. The first piece stays in its packet, the others are copied into
 * packets of our own; all are sent in order, or none.
 */
import { DROP } from '../core/drops.js';
import { MBUF_DATA_ROOM } from '../core/layout.js';
import { NO_PACKET } from '../core/packet.js';
import type { Packets } from '../core/packet.js';
import * as ipv4 from '../wire/ipv4.js';
import type { NeighTable } from './neigh.js';
import { copyFragmentOptions } from './options.js';

/** Sends `p` (data at its IPv4 header, longer than `mtu`, DF clear) in fragments to a neighbour. Takes ownership. */
export function xmitFragments(
  packets: Packets,
  neigh: NeighTable,
  p: number,
  mtu: number,
  adj: number,
): void {
  const b = packets.bytes;
  const l3 = packets.data(p);
  const hlen = ipv4.headerLen(b, l3);
  const end = l3 + ipv4.totalLen(b, l3);
  const field = ipv4.frag(b, l3);
  const room = Math.min(mtu, MBUF_DATA_ROOM);
  // Every piece but the last is a multiple of 8 bytes (RFC 791 section 3.1).
  const firstLen = (room - hlen) & ~7;
  if (firstLen <= 0) {
    packets.drop(p, DROP.IP_TOO_BIG);
    return;
  }

  let tail = p;
  packets.setNext(p, NO_PACKET);
  for (let at = l3 + hlen + firstLen; at < end;) {
    const q = packets.alloc();
    if (q === NO_PACKET) {
      dropAll(packets, p);
      return;
    }
    packets.setNext(tail, q);
    tail = q;
    const to = packets.data(q);
    b.copy(to, l3, ipv4.HEADER_LEN);
    const qhlen = copyFragmentOptions(b, l3, hlen, to);
    const left = end - at;
    const len = left <= room - qhlen ? left : (room - qhlen) & ~7;
    const more = len < left || (field & ipv4.MF) !== 0 ? ipv4.MF : 0;
    b.setU8(to, 0x40 | (qhlen >>> 2));
    ipv4.setFrag(b, to, more | ((field & ipv4.OFFSET_MASK) + ((at - l3 - hlen) >>> 3)));
    ipv4.setTotalLen(b, to, qhlen + len);
    ipv4.fillChecksum(b, to);
    b.copy(to + qhlen, at, len);
    packets.setLen(q, qhlen + len);
    packets.setL3(q, to);
    packets.setL4(q, to + qhlen);
    at += len;
  }

  ipv4.setFrag(b, l3, field | ipv4.MF);
  ipv4.setTotalLen(b, l3, hlen + firstLen);
  ipv4.fillChecksum(b, l3);
  packets.setLen(p, hlen + firstLen);
  for (let q = p; q !== NO_PACKET;) {
    const next = packets.next(q);
    neigh.xmit(q, adj);
    q = next;
  }
}

function dropAll(packets: Packets, p: number): void {
  for (let q = p; q !== NO_PACKET;) {
    const next = packets.next(q);
    packets.drop(q, DROP.NO_MBUF);
    q = next;
  }
}
