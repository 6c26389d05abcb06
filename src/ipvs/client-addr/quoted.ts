/**
 * ICMP errors about datagrams that carried the client's address (UOA): the client knows nothing of it, so it is taken out of the
 * quotation, and room that a router says there is shrinks by it.
 *
 * A quotation too short to say whose datagram it was is dropped. So is "protocol unreachable": it means that the real server has
 * no receiver for UOA, nothing that its client could change.
 */
import { DROP } from '../../core/drops.js';
import { ACCEPT, STOLEN } from '../../inet/api.js';
import * as icmp from '../../wire/icmp.js';
import * as ipv4 from '../../wire/ipv4.js';
import * as opp from '../../wire/opp.js';
import * as udp from '../../wire/udp.js';
import { FIRST_PORT } from '../laddr.js';
import type { Ipvs } from '../ipvs.js';

/** "Next-hop MTU" of "fragmentation needed" (RFC 1191). */
const MTU = 6;

/**
 * @param q3 of the quoted datagram; there is a whole header without options
 * @returns STOLEN when it has ended the packet
 */
export function uncover(v: Ipvs, p: number, q3: number): typeof ACCEPT | typeof STOLEN {
  const { packets } = v;
  const b = packets.bytes;
  const end = packets.end(p);
  const hlen = ipv4.headerLen(b, q3);
  const q4 = q3 + hlen;
  const proto = ipv4.proto(b, q3);
  if (hlen < ipv4.HEADER_LEN || q4 > end) return ACCEPT;
  const option =
    proto === ipv4.PROTO_UDP && hlen > ipv4.HEADER_LEN && b.u8(q3 + ipv4.HEADER_LEN) === opp.OPTION;
  if (!option && proto !== opp.PROTO) return ACCEPT;
  // Only what left from a local address of ours.
  if (!v.steering.isLocalEnd(ipv4.src(b, q3), FIRST_PORT)) return ACCEPT;
  const l4 = packets.l4(p);
  if (!icmp.checksumValid(b, l4, end - l4)) return drop(v, p, DROP.ICMP_BAD);
  if (option) {
    if (b.u8(q3 + ipv4.HEADER_LEN + 1) !== opp.OPTION_LEN || hlen < ipv4.HEADER_LEN + opp.OPTION_LEN)
      return ACCEPT;
    ipv4.setHeaderLen(b, q3, hlen - opp.OPTION_LEN);
    cut(v, p, q3, q3 + ipv4.HEADER_LEN, opp.OPTION_LEN);
    return ACCEPT;
  }
  if (icmp.type(b, l4) === icmp.DEST_UNREACH && icmp.code(b, l4) === icmp.PROTO_UNREACH)
    return drop(v, p, DROP.UOA_REFUSED);
  const left = end - q4;
  if (ipv4.fragOffset(b, q3) !== 0 || !opp.check(b, q4, left) || opp.next(b, q4) !== ipv4.PROTO_UDP)
    return drop(v, p, DROP.ICMP_NO_CONN);
  const n = opp.headerLen(b, q4);
  if (left < n + udp.HEADER_LEN || (n & 3) !== 0) return drop(v, p, DROP.ICMP_NO_CONN);
  ipv4.setProto(b, q3, ipv4.PROTO_UDP);
  cut(v, p, q3, q4, n);
  return ACCEPT;
}

/** Takes `n` bytes at `at` out of the quotation at `q3`; lengths and checksums follow. */
function cut(v: Ipvs, p: number, q3: number, at: number, n: number): void {
  const { packets } = v;
  const b = packets.bytes;
  const l3 = packets.l3(p);
  const l4 = packets.l4(p);
  b.copy(at, at + n, packets.end(p) - at - n);
  packets.setLen(p, packets.len(p) - n);
  ipv4.setTotalLen(b, q3, ipv4.totalLen(b, q3) - n);
  ipv4.fillChecksum(b, q3);
  if (icmp.type(b, l4) === icmp.DEST_UNREACH && icmp.code(b, l4) === icmp.FRAG_NEEDED) {
    const mtu = b.u16(l4 + MTU);
    if (mtu >= ipv4.MIN_MTU + n) b.setU16(l4 + MTU, mtu - n);
  }
  ipv4.setTotalLen(b, l3, ipv4.totalLen(b, l3) - n);
  ipv4.fillChecksum(b, l3);
  icmp.fillChecksum(b, l4, packets.end(p) - l4);
}

function drop(v: Ipvs, p: number, reason: number): typeof STOLEN {
  v.packets.drop(p, reason);
  return STOLEN;
}
