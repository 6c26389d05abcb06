/**
 * Rewriting of addresses and ports, as written down in a direction of a connection record. Checksums are never computed
 * over data: what replacing the old fields by the new ones adds (RFC 1624 equation 3) is known when the connection is
 * made.
 */
import type { Bytes } from '../../core/bytes.js';
import { FLOW_ACTION } from '../../core/layout.js';
import { addDelta, applyDelta, applyDeltaUdp, delta16, delta32 } from '../../wire/checksum.js';
import * as ipv4 from '../../wire/ipv4.js';
import { D, type Records } from '../conn/records.js';
import { PROTO_BY_NUMBER } from '../proto/index.js';
import type { Proto } from '../proto/table.js';
import { joinOptions } from './join-options.js';
import { translate } from './seq.js';
import { deliver, nextHop } from './nexthop.js';
import type { XmitContext } from './xmit.js';

/** Adds TTL - 1 to an IP checksum delta: the word of TTL and protocol falls by 0x100. */
const TTL_DELTA = 0xfeff;
/** What is done to TCP segments besides. */
const JOINED = FLOW_ACTION.WINDOW | FLOW_ACTION.TIMESTAMP;
const TCP_ACTIONS = FLOW_ACTION.SEQ | FLOW_ACTION.ACK | JOINED;

/** Writes the tuple that packets of a direction leave with, and the checksum deltas from what it matches. */
export function setRewrite(
  r: Records,
  dir: number,
  saddr: number,
  sport: number,
  daddr: number,
  dport: number,
): void {
  const b = r.bytes;
  b.setU32(dir + D.newSaddr, saddr);
  b.setU32(dir + D.newDaddr, daddr);
  b.setU16(dir + D.newSport, sport);
  b.setU16(dir + D.newDport, dport);
  const ip = addDelta(delta32(b.u32(dir + D.saddr), saddr), delta32(b.u32(dir + D.daddr), daddr));
  const ports = addDelta(delta16(b.u16(dir + D.sport), sport), delta16(b.u16(dir + D.dport), dport));
  r.u16[(dir + D.ipDelta) >>> 1] = ip;
  const { pseudoHeader } = PROTO_BY_NUMBER[b.u8(dir + D.proto)]!;
  r.u16[(dir + D.l4Delta) >>> 1] = pseudoHeader ? addDelta(ip, ports) : ports;
  r.u16[(dir + D.actions) >>> 1] = FLOW_ACTION.REWRITE_SRC | FLOW_ACTION.REWRITE_DST;
}

/** Rewrites a datagram with a whole transport header, or a later fragment of one, in place. */
export function rewrite(
  r: Records,
  dir: number,
  proto: Proto,
  b: Bytes,
  l3: number,
  l4: number,
  ttl: boolean,
): void {
  const f = r.bytes;
  let ip = r.u16[(dir + D.ipDelta) >>> 1]!;
  if (ttl) {
    ipv4.setTtl(b, l3, ipv4.ttl(b, l3) - 1);
    ip += TTL_DELTA;
  }
  ipv4.setSrc(b, l3, f.u32(dir + D.newSaddr));
  ipv4.setDst(b, l3, f.u32(dir + D.newDaddr));
  ipv4.setChecksum(b, l3, applyDelta(ipv4.checksum(b, l3), ip));
  if (ipv4.fragOffset(b, l3) !== 0) return;
  const len = ipv4.dataLen(b, l3);
  const delta = r.u16[(dir + D.l4Delta) >>> 1]!;
  rewriteL4(proto, b, l4, len, l4 + len, f.u16(dir + D.newSport), f.u16(dir + D.newDport), delta);
}

/**
 * Gives a transport header other ports, and its checksum what changes.
 * @param len of header and data; the beginning, up to `end`, is there
 * @param delta what the checksum changes by, addresses included where they count
 */
export function rewriteL4(
  proto: Proto,
  b: Bytes,
  l4: number,
  len: number,
  end: number,
  sport: number,
  dport: number,
  delta: number,
): void {
  if (proto.rewrite !== undefined) {
    proto.rewrite(b, l4, len, end, sport, dport);
    return;
  }
  setPorts(proto, b, l4, sport, dport);
  const at = l4 + proto.checksumOff;
  if (at + 2 > end) return;
  b.setU16(at, proto.optionalChecksum ? applyDeltaUdp(b.u16(at), delta) : applyDelta(b.u16(at), delta));
}

/** Writes the ports of a transport header; its checksum is the caller's business. */
function setPorts(proto: Proto, b: Bytes, l4: number, sport: number, dport: number): void {
  if (proto.setPorts !== undefined) {
    proto.setPorts(b, l4, sport, dport);
    return;
  }
  b.setU16(l4, sport);
  b.setU16(l4 + 2, dport);
}

/** `Xmit.send` of the modes that do nothing but rewrite. */
export function sendRewritten(x: XmitContext, p: number, c: number, d: number): void {
  const adj = nextHop(x, p, x.records.dir(c, d));
  if (adj !== 0) finish(x, p, c, d, adj);
}

/** Rewrites a datagram of direction `d` and sends it to `adj`. Takes ownership. */
export function finish(x: XmitContext, p: number, c: number, d: number, adj: number): void {
  const { packets, records: r } = x;
  const dir = r.dir(c, d);
  const b = packets.bytes;
  const l3 = packets.l3(p);
  const l4 = packets.l4(p);
  rewrite(r, dir, PROTO_BY_NUMBER[r.proto(c)]!, b, l3, l4, x.xmitTtl);
  const actions = r.u16[(dir + D.actions) >>> 1]!;
  if ((actions & TCP_ACTIONS) !== 0 && r.proto(c) === ipv4.PROTO_TCP && ipv4.fragOffset(b, l3) === 0) {
    translate(r, c, d, b, l4);
    if ((actions & JOINED) !== 0) joinOptions(r, c, d, actions, b, l4);
  }
  deliver(x, p, r.mtu(dir), adj);
}
