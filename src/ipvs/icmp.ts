/**
 * ICMP errors about packets of our connections. Whoever reports that a packet of ours could not be delivered quotes it; the
 * error belongs to the other end of the connection, which knows the packet by other addresses and ports: those of the
 * report and of the quotation are translated, then it goes on. Path-MTU discovery depends on it.
 */
import { DROP } from '../core/drops.js';
import { DIR_IN, DIR_OUT, FLOW_ACTION } from '../core/layout.js';
import type { Bytes } from '../core/bytes.js';
import { ACCEPT, STOLEN } from '../inet/api.js';
import { applyDelta } from '../wire/checksum.js';
import * as icmp from '../wire/icmp.js';
import * as ipv4 from '../wire/ipv4.js';
import * as tcp from '../wire/tcp.js';
import { wayOf } from './client-addr/index.js';
import { uncover } from './client-addr/quoted.js';
import { D } from './conn/records.js';
import type { Ipvs } from './ipvs.js';
import { PROTO_BY_NUMBER } from './proto/index.js';
import type { Proto } from './proto/table.js';
import { receiveTunnelError } from './tunnel-errors.js';
import { deliver, nextHop } from './xmit/nexthop.js';
import { rewriteL4 } from './xmit/rewrite.js';
import { ackDelta, quotedNumbers, seqDelta } from './xmit/seq.js';

/** What a quotation must hold of the transport header (RFC 792): the ports are in it. */
const QUOTED_L4 = 8;

/** Handles an ICMP datagram, not a fragment. Takes ownership unless it returns ACCEPT. */
export function receiveIcmp(v: Ipvs, p: number): typeof ACCEPT | typeof STOLEN {
  const { packets, services } = v;
  const b = packets.bytes;
  const l4 = packets.l4(p);
  let end = packets.end(p);
  if (end - l4 < icmp.HEADER_LEN || !isRelated(icmp.type(b, l4))) return ACCEPT;
  const q3 = l4 + icmp.HEADER_LEN;
  if (end - q3 < ipv4.HEADER_LEN) return ACCEPT;
  if (uncover(v, p, q3) !== ACCEPT) return STOLEN;
  end = packets.end(p);
  if (ipv4.proto(b, q3) === ipv4.PROTO_IPIP) return receiveTunnelError(v, p, q3);
  const q4 = q3 + ipv4.headerLen(b, q3);
  const proto = PROTO_BY_NUMBER[ipv4.proto(b, q3)];
  if (proto === undefined || q4 - q3 < ipv4.HEADER_LEN || end - q4 < QUOTED_L4) return ACCEPT;
  // Only the first fragment of a datagram has its ports.
  if ((ipv4.frag(b, q3) & ipv4.OFFSET_MASK) !== 0) return ACCEPT;
  const ports = proto.hasPorts ? q4 : v.queryPorts(p, q4);
  if (ports === 0) return ACCEPT;

  const ref = v.table.findBy(q3, ports, true);
  if (ref >= 0) {
    if (v.guard.refusesError(p, ref >>> 1)) return STOLEN;
    if ((ref & 1) === DIR_OUT && !v.modeOf(ref >>> 1).rewrites) return ACCEPT;
    translate(v, p, ref >>> 1, ref & 1, proto, q3, q4);
    return STOLEN;
  }
  // The source of the quoted packet is one of ours if it was our connection.
  const saddr = ipv4.src(b, q3);
  const sport = b.u16(ports);
  if (v.steering.redirect(p, saddr, sport)) return STOLEN;
  // Of a NAT connection it is the client.
  if (v.steering.steer(p, proto.number, ipv4.dst(b, q3), b.u16(ports + 2), saddr, sport)) return STOLEN;
  // Or it was an answer to a host inside, which knows nothing of us.
  const inside = v.matched(p, proto, ipv4.dst(b, q3), b.u16(ports + 2), saddr, sport) !== undefined;
  const svc =
    services.find(proto.number, saddr, proto.hasPorts ? sport : 0) ??
    services.findAllPorts(proto.number, saddr);
  const isService = svc !== undefined;
  if (svc !== undefined && v.errorUnrecorded(p, svc, q3, ports)) return STOLEN;
  // Nothing in an answer to a client or a host inside says which lcore owns the connection.
  if ((isService || inside) && v.steering.spread(p)) return STOLEN;
  if (!isService && !v.steering.isLocalEnd(saddr, sport)) return ACCEPT;
  packets.drop(p, DROP.ICMP_NO_CONN);
  return STOLEN;
}

/** All errors but redirects, which are for us: RFC 3022 section 4.3, RFC 1122 sections 3.2.2.1 to 3.2.2.5. */
function isRelated(type: number): boolean {
  return icmp.isError(type) && type !== icmp.REDIRECT;
}

/**
 * @param d the direction that the error travels: IN to the real server, about one of its packets to the client
 */
function translate(v: Ipvs, p: number, c: number, d: number, proto: Proto, q3: number, q4: number): void {
  const { packets } = v;
  const r = v.table.records;
  const b = packets.bytes;
  const l3 = packets.l3(p);
  const l4 = packets.l4(p);
  const end = packets.end(p);
  if (!icmp.checksumValid(b, l4, end - l4)) {
    packets.drop(p, DROP.ICMP_BAD);
    return;
  }
  const mode = v.modeOf(c);
  if (!mode.rewrites) {
    // The real server knows the packet by the same addresses.
    v.count(c, d, ipv4.totalLen(b, l3));
    mode.send(v.x, p, c, d);
    return;
  }
  const dir = r.dir(c, d);
  const adj = nextHop(v.x, p, dir);
  if (adj === 0) return;
  v.count(c, d, ipv4.totalLen(b, l3));
  restore(v, b, c, d === DIR_IN ? DIR_OUT : DIR_IN, proto, q3, q4, end);
  icmp.fillChecksum(b, l4, end - l4);
  // Who sees the peer's own address sees the router's too (RFC 5508 section 4.2): traceroute lives on it.
  const newSaddr = r.bytes.u32(dir + D.newSaddr);
  if (newSaddr !== r.bytes.u32(dir + D.saddr)) ipv4.setSrc(b, l3, newSaddr);
  ipv4.setDst(b, l3, r.bytes.u32(dir + D.newDaddr));
  if (v.x.xmitTtl) ipv4.setTtl(b, l3, ipv4.ttl(b, l3) - 1);
  ipv4.fillChecksum(b, l3);
  deliver(v.x, p, r.mtu(dir), adj);
}

/**
 * Gives a quoted packet, which had left in direction `d`, the addresses, ports and numbers back that it came with: those that
 * answers leave with in the other direction, as a one-packet connection has no tuple of its client to be found by. Its checksums change
 * by the opposite of what the rewriting had added.
 */
function restore(
  v: Ipvs,
  b: Bytes,
  c: number,
  d: number,
  proto: Proto,
  q3: number,
  q4: number,
  end: number,
): void {
  const r = v.table.records;
  const f = r.bytes;
  const dir = r.dir(c, d);
  const back = r.dir(c, 1 - d);
  ipv4.setSrc(b, q3, f.u32(back + D.newDaddr));
  ipv4.setDst(b, q3, f.u32(back + D.newSaddr));
  ipv4.setChecksum(b, q3, applyDelta(ipv4.checksum(b, q3), ~r.u16[(dir + D.ipDelta) >>> 1]! & 0xffff));
  const delta = ~r.u16[(dir + D.l4Delta) >>> 1]! & 0xffff;
  const len = ipv4.dataLen(b, q3);
  rewriteL4(proto, b, q4, len, end, f.u16(back + D.newDport), f.u16(back + D.newSport), delta);
  if (proto.number !== ipv4.PROTO_TCP) return;
  const underWay = d === DIR_IN && (r.u16[(back + D.actions) >>> 1]! & FLOW_ACTION.CLIENT_ADDR) !== 0;
  const ahead = underWay ? (wayOf(v.x, c)?.ahead?.(v.x, c, tcp.seq(b, q4)) ?? 0) : 0;
  quotedNumbers(b, q4, end, -seqDelta(r, c, d) - ahead, -ackDelta(r, c, d));
}
