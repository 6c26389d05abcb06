/**
 * PROXY protocol over UDP: the first datagram of a connection has a header of version 2 in front of its data. Where there
 * is no room, a datagram with nothing but the header goes ahead: when the MTU would be exceeded, and for datagrams
 * that come in fragments, whose later parts would all have to move.
 *
 * A header that the client has put there is replaced, or kept where the service is insecure.
 */
import { DROP } from '../../core/drops.js';
import { EVENT } from '../../core/events.js';
import { DIR_IN, DIR_OUT, FLOW_ACTION } from '../../core/layout.js';
import { NO_PACKET } from '../../core/packet.js';
import { addDelta, applyDeltaUdp, delta16, fold, sum } from '../../wire/checksum.js';
import * as ipv4 from '../../wire/ipv4.js';
import * as proxy from '../../wire/proxy-protocol.js';
import * as udp from '../../wire/udp.js';
import { D } from '../conn/records.js';
import { dropFor, eventFor } from '../counts.js';
import type { XmitContext } from '../xmit/xmit.js';
import { beside, makeRoom, sendBeside } from './room.js';
import type { Way } from './way.js';

/** What a client has sent itself, and what we write. */
const own = new proxy.Header();
const ours = new proxy.Header();

const proxyUdp = (number: number, insecure: boolean): Way => ({
  number,
  overhead: 0,
  fragments: true,

  carry(x, p, c, mtu) {
    const r = x.records;
    const reason = tell(x, p, c, mtu, insecure);
    if (reason === TOLD || reason === INSERTED) {
      if (reason === INSERTED) eventFor(x, c, EVENT.PROXY_INSERTED);
      r.u16[(r.dir(c, DIR_IN) + D.actions) >>> 1]! &= ~FLOW_ACTION.CLIENT_ADDR;
      return true;
    }
    // The next one will be the first. Without a header this one would look as if the client were we.
    dropFor(x, p, c, reason);
    return false;
  },
});

export const proxyUdpSecure = proxyUdp(3, false);
export const proxyUdpInsecure = proxyUdp(4, true);

/** What the header of connection `c` says: from its client to its virtual service. */
export function ends(x: XmitContext, c: number, version: number, h: proxy.Header): void {
  const r = x.records;
  const f = r.bytes;
  const out = r.dir(c, DIR_OUT);
  h.set(
    version,
    f.u32(out + D.newDaddr),
    f.u16(out + D.newDport),
    f.u32(out + D.newSaddr),
    f.u16(out + D.newSport),
  );
}

const CR = 13;
/** In place of a reason to drop the datagram: nothing had to be put in, or our header was. */
const TOLD = -1;
const INSERTED = -2;

/** @returns TOLD, INSERTED, or why the datagram cannot go on */
function tell(x: XmitContext, p: number, c: number, mtu: number, insecure: boolean): number {
  const { packets } = x;
  const b = packets.bytes;
  const l4 = packets.l4(p);
  const whole = !ipv4.isFragment(b, packets.l3(p));
  const data = l4 + udp.HEADER_LEN;
  const len = (whole ? l4 + udp.length(b, l4) : packets.end(p)) - data;
  const found = proxy.parse(b, data, len, own);
  const theirs = found > 0 && own.version === 2 ? found : 0;
  if (theirs > 0) eventFor(x, c, EVENT.PROXY_FOREIGN);
  // Whom we trust has said it already.
  if (theirs > 0 && insecure) return TOLD;
  ends(x, c, 2, ours);
  if (theirs === proxy.V2_IPV4) {
    overwrite(x, l4);
    return INSERTED;
  }
  if (!whole && (theirs > 0 || (found === proxy.INCOMPLETE && b.u8(data) === CR))) return DROP.PROXY_HEADER;
  if (theirs > 0) cut(x, p, theirs);
  const l3 = packets.l3(p);
  const headers = packets.l4(p) + udp.HEADER_LEN - l3;
  if (whole && ipv4.totalLen(b, l3) + proxy.V2_IPV4 <= mtu && makeRoom(x, p, headers, proxy.V2_IPV4)) {
    insert(x, packets.l3(p), packets.l4(p));
    return INSERTED;
  }
  const q = beside(x, p, ipv4.PROTO_UDP, udp.HEADER_LEN + proxy.V2_IPV4);
  if (q === NO_PACKET) return DROP.NO_MBUF;
  const q4 = packets.l4(q);
  b.copy(q4, packets.l4(p), udp.LENGTH);
  udp.setLength(b, q4, udp.HEADER_LEN + proxy.V2_IPV4);
  proxy.emit(b, q4 + udp.HEADER_LEN, ours, proxy.DGRAM);
  udp.fillChecksum(b, q4, ipv4.src(b, l3), ipv4.dst(b, l3));
  sendBeside(x, q, c);
  return INSERTED;
}

/** Writes our header over one of the same length. */
function overwrite(x: XmitContext, l4: number): void {
  const b = x.packets.bytes;
  const at = l4 + udp.HEADER_LEN;
  const before = fold(sum(b, at, proxy.V2_IPV4));
  proxy.emit(b, at, ours, proxy.DGRAM);
  const delta = addDelta(~before & 0xffff, fold(sum(b, at, proxy.V2_IPV4)));
  udp.setChecksum(b, l4, applyDeltaUdp(udp.checksum(b, l4), delta));
}

/** Fills the gap behind the UDP header at `l4` with our header. */
function insert(x: XmitContext, l3: number, l4: number): void {
  const b = x.packets.bytes;
  proxy.emit(b, l4 + udp.HEADER_LEN, ours, proxy.DGRAM);
  lengthen(x, l4, proxy.V2_IPV4, fold(sum(b, l4 + udp.HEADER_LEN, proxy.V2_IPV4)));
  ipv4.fillChecksum(b, l3);
}

/** Takes `n` bytes of data away that stand first. */
function cut(x: XmitContext, p: number, n: number): void {
  const { packets } = x;
  const b = packets.bytes;
  const l4 = packets.l4(p);
  const data = l4 + udp.HEADER_LEN;
  let gone = fold(sum(b, data, n));
  if ((n & 1) !== 0) {
    // What follows changes places in its words: RFC 1071 section 2 (B).
    const stays = fold(sum(b, data + n, udp.length(b, l4) - udp.HEADER_LEN - n));
    const swapped = ((stays << 8) | (stays >>> 8)) & 0xffff;
    gone = addDelta(addDelta(gone, swapped), ~stays & 0xffff);
  }
  makeRoom(x, p, data - packets.l3(p), -n);
  ipv4.fillChecksum(b, packets.l3(p));
  lengthen(x, packets.l4(p), -n, ~gone & 0xffff);
}

/** The UDP header at `l4` has `by` bytes more of data, which add `delta` to the checksum. */
function lengthen(x: XmitContext, l4: number, by: number, delta: number): void {
  const b = x.packets.bytes;
  const len = udp.length(b, l4);
  // It counts twice: in the header and in the pseudo header.
  const longer = delta16(len, len + by);
  udp.setLength(b, l4, len + by);
  udp.setChecksum(b, l4, applyDeltaUdp(udp.checksum(b, l4), addDelta(delta, addDelta(longer, longer))));
}
