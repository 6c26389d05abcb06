/**
 * TCP segments of our own for one end of a connection, in the name of the other: made as the other end would have sent them to
 * us, then translated and sent like any packet of the connection.
 */
import { NO_PACKET } from '../../core/packet.js';
import * as ipv4 from '../../wire/ipv4.js';
import * as tcp from '../../wire/tcp.js';
import { D } from '../conn/records.js';
import { XMIT_BY_FWD } from '../xmit/index.js';
import type { XmitContext } from '../xmit/xmit.js';

const TTL = 64;
/** Two bytes of padding, kind and length: the form of RFC 7323 appendix A. */
const STAMP = 0x0101080a;
const STAMP_LEN = 12;

/** What a segment says besides its numbers. One object, since there are many of it. */
export const segment = { flags: 0, seq: 0, ack: 0, window: 0 };

/**
 * A segment as `segment` describes it, from the sender of direction `d`: without data.
 * @param options bytes of options, written by `write`
 * @returns the packet, or NO_PACKET when there is no buffer
 */
export function makeSegment(x: XmitContext, c: number, d: number, options: number): number {
  const { packets, records: r } = x;
  const p = packets.alloc();
  if (p === NO_PACKET) return p;
  const b = packets.bytes;
  const f = r.bytes;
  const dir = r.dir(c, d);
  const len = ipv4.HEADER_LEN + tcp.HEADER_LEN + options;
  const l3 = packets.push(p, len);
  const l4 = l3 + ipv4.HEADER_LEN;
  packets.setL3(p, l3);
  packets.setL4(p, l4);
  const saddr = f.u32(dir + D.saddr);
  const daddr = f.u32(dir + D.daddr);
  ipv4.emit(b, l3, 0, len, 0, ipv4.DF, TTL, ipv4.PROTO_TCP, saddr, daddr);
  const { flags, seq, ack, window } = segment;
  tcp.emit(b, l4, f.u16(dir + D.sport), f.u16(dir + D.dport), seq, ack, flags, window);
  tcp.setHeaderLen(b, l4, tcp.HEADER_LEN + options);
  return p;
}

/** Sends what `makeSegment` has made, its options written meanwhile. Takes ownership. */
export function sendSegment(x: XmitContext, p: number, c: number, d: number): void {
  const { packets, records: r } = x;
  const b = packets.bytes;
  const l3 = packets.l3(p);
  const l4 = packets.l4(p);
  tcp.fillChecksum(b, l4, packets.end(p) - l4, ipv4.src(b, l3), ipv4.dst(b, l3));
  XMIT_BY_FWD[r.fwd(c)]!.send(x, p, c, d);
}

/** The same of a segment with time stamps, as all have them once they are agreed upon (RFC 7323 section 3.2). */
export function sendStamped(x: XmitContext, c: number, d: number, tsval: number, tsecr: number): void {
  const p = makeSegment(x, c, d, STAMP_LEN);
  if (p === NO_PACKET) return;
  const { bytes } = x.packets;
  const at = x.packets.l4(p) + tcp.HEADER_LEN;
  bytes.setU32(at, STAMP);
  bytes.setU32(at + 4, tsval);
  bytes.setU32(at + 8, tsecr);
  sendSegment(x, p, c, d);
}

/** The same of a segment without options. */
export function sendPlain(x: XmitContext, c: number, d: number): void {
  const p = makeSegment(x, c, d, 0);
  if (p !== NO_PACKET) sendSegment(x, p, c, d);
}
