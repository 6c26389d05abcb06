/**
 * ICMP errors about tunnel datagrams of ours: routers on the way to the real server send them to us, the source of the outer
 * header. What they say concerns the client, whose datagram is quoted inside: RFC 2003 section 4. Routers that
 * quote only 8 bytes of the inner datagram (RFC 792) leave nothing to tell the client; the MTU is learnt nevertheless.
 */
import { DROP } from '../core/drops.js';
import { DIR_IN } from '../core/layout.js';
import { ACCEPT, STOLEN } from '../inet/api.js';
import * as icmp from '../wire/icmp.js';
import * as ipv4 from '../wire/ipv4.js';
import type { Ipvs } from './ipvs.js';
import { TUNNEL_OVERHEAD } from './xmit/nexthop.js';

/** What the quotation must hold of the inner transport header to be told to the client (RFC 792). */
const QUOTED_L4 = 8;
/** RFC 1191 section 5: what to assume when an old router names no MTU. */
const ASSUMED_MTU = 576;

/**
 * @param p ICMP error, header whole
 * @param q3 its quotation, an IPv4 header at least, of protocol 4
 */
export function receiveTunnelError(v: Ipvs, p: number, q3: number): typeof ACCEPT | typeof STOLEN {
  const { packets, services, x } = v;
  const b = packets.bytes;
  const l4 = packets.l4(p);
  const end = packets.end(p);
  const server = ipv4.dst(b, q3);
  if (!services.ends.isTunnel(server) || !x.inet.isLocal(ipv4.src(b, q3))) return ACCEPT;
  if (!icmp.checksumValid(b, l4, end - l4)) {
    packets.drop(p, DROP.ICMP_BAD);
    return STOLEN;
  }
  const type = icmp.type(b, l4);
  const code = icmp.code(b, l4);
  const tooBig = type === icmp.DEST_UNREACH && code === icmp.FRAG_NEEDED;
  if (tooBig) x.tunnelMtus.learn(server, icmp.rest(b, l4) & 0xffff || ASSUMED_MTU, packets.nowMs);

  const inner = q3 + ipv4.headerLen(b, q3);
  const ref = isQuoted(v, q3, inner, end) ? find(v, inner, server) : -1;
  if (ref < 0) {
    // Another lcore may own the connection, and all may learn.
    if (!v.steering.spread(p)) packets.drop(p, DROP.ICMP_NO_CONN);
    return STOLEN;
  }
  if (!isTold(type, code)) {
    packets.drop(p, DROP.ICMP_IGNORED);
    return STOLEN;
  }
  if (v.guard.refusesError(p, ref >>> 1)) return STOLEN;
  packets.pullTo(p, inner);
  if (tooBig) x.inet.icmpError(p, icmp.DEST_UNREACH, icmp.FRAG_NEEDED, shrink(v, ref >>> 1, server));
  // The TTL is the client's own: "time exceeded" tells the truth (RFC 2003 section 4.4 has a tunnel's own TTL in mind).
  else if (type === icmp.TIME_EXCEEDED) x.inet.icmpError(p, type, icmp.TTL_EXCEEDED, 0);
  // Whatever is in the way of the outer datagram, for the client it is the virtual address that can't be reached.
  else x.inet.icmpError(p, icmp.DEST_UNREACH, icmp.HOST_UNREACH, 0);
  packets.drop(p, DROP.ICMP_DONE);
  return STOLEN;
}

/** True when the quotation holds the inner header and ports, of a first or only fragment. */
function isQuoted(v: Ipvs, q3: number, inner: number, end: number): boolean {
  const b = v.packets.bytes;
  if ((ipv4.frag(b, q3) & ipv4.OFFSET_MASK) !== 0 || inner - q3 < ipv4.HEADER_LEN) return false;
  if (end - inner < ipv4.HEADER_LEN) return false;
  const hlen = ipv4.headerLen(b, inner);
  if (hlen < ipv4.HEADER_LEN || end - inner - hlen < QUOTED_L4) return false;
  return (ipv4.frag(b, inner) & ipv4.OFFSET_MASK) === 0;
}

/** The connection whose datagram is quoted at `inner`, if its real server is `server`. */
function find(v: Ipvs, inner: number, server: number): number {
  const ref = v.table.findBy(inner, inner + ipv4.headerLen(v.packets.bytes, inner), false);
  if (ref < 0 || (ref & 1) !== DIR_IN) return -1;
  const c = ref >>> 1;
  const isItsOwn = v.modeOf(c).name === 'tunnel' && v.table.records.realAddr(c) === server;
  return isItsOwn ? ref : -1;
}

/** RFC 2003 sections 4.1, 4.2: port unreachable and failed source routes say nothing to the client, nor does source quench. */
function isTold(type: number, code: number): boolean {
  if (type === icmp.TIME_EXCEEDED) return code === icmp.TTL_EXCEEDED;
  return type === icmp.DEST_UNREACH && code !== icmp.PORT_UNREACH && code !== icmp.SOURCE_ROUTE_FAILED;
}

/** Gives a connection the MTU that has been learnt. @returns it, as the client sees it */
function shrink(v: Ipvs, c: number, server: number): number {
  const { records: r, tunnelMtus } = v.x;
  const dir = r.dir(c, DIR_IN);
  const mtu = tunnelMtus.limit(server, r.mtu(dir) + TUNNEL_OVERHEAD, v.packets.nowMs) - TUNNEL_OVERHEAD;
  r.setMtu(dir, mtu);
  return mtu;
}
