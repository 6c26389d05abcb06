/**
 * PROXY protocol over TCP: a header in front of the client's first byte. It takes sequence numbers of its own, so all later
 * bytes of the client are shifted by its length, and what the real server acknowledges is shifted back.
 *
 * Until the real server has acknowledged the header, packets are for the stack: the client's from the beginning, the
 * real server's once the header is on its way. Numbers are those of the client here; the shift of `seqDelta` comes
 * on top. Positions count from the client's first byte.
 *
 *   client:         | own header |  data …
 *   real server:    | our header |  data …        shifted by `length of ours - length of its own`
 *
 * What the client's first segment begins with is looked at once and decides for good: a whole header there is its own, and goes;
 * anything else is data. So the real server gets ours first, whatever the client sends, and never waits for more. An
 * insecure service lets a header of the client's say who it is, translated to the service's version.
 *
 * Whatever could bring a byte of the client to the real server's first place without a header in front is stopped: data ahead of
 * the first byte, IP fragments, data of a SYN, and a SYN that could open another connection on the same ends.
 */
import type { Bytes } from '../../core/bytes.js';
import { DROP } from '../../core/drops.js';
import { EVENT } from '../../core/events.js';
import { DIR_IN, DIR_OUT, FLOW_ACTION } from '../../core/layout.js';
import { NO_PACKET } from '../../core/packet.js';
import { addDelta, applyDelta, delta16, delta32, fold, sum } from '../../wire/checksum.js';
import * as ipv4 from '../../wire/ipv4.js';
import * as proxy from '../../wire/proxy-protocol.js';
import * as tcp from '../../wire/tcp.js';
import { first as firstOption, OPT_SACK } from '../../wire/tcp-options.js';
import { D, type Records } from '../conn/records.js';
import { dropFor, eventFor } from '../counts.js';
import { seqDelta, setSeqDelta } from '../xmit/seq.js';
import type { XmitContext } from '../xmit/xmit.js';
import { ends } from './proxy-udp.js';
import { beside, makeRoom, sendBeside } from './room.js';
import type { Way } from './way.js';

/** Above the number of the way: length of our header (8 bits, 0 = nothing has been sent), of the client's own one (16 bits). */
const LENGTH = 8;
const OWN = 16;

/** What a client has sent itself, and what we write. */
const own = new proxy.Header();
const ours = new proxy.Header();

const SEQ_NR = 4;
const ACK_NR = 8;
const FLAGS_WORD = 12;
const FLAGS = 0x3f;

const proxyTcp = (number: number, version: 1 | 2, insecure: boolean): Way => ({
  number,
  overhead: 0,
  fragments: true,

  opening(x, p, c) {
    const { packets, records: r } = x;
    const b = packets.bytes;
    const l4 = packets.l4(p);
    const untold = (r.u16[(r.dir(c, DIR_IN) + D.actions) >>> 1]! & FLOW_ACTION.CLIENT_ADDR) !== 0;
    if (!untold || r.clientAddr(c) !== number || tcp.seq(b, l4) !== r.isnIn(c)) {
      // It may open nothing: as an old acknowledgement it asks the real server what it has. The answer makes an honest client
      // end this connection. How far the real server has come is in its own numbers.
      let delta = set32(b, l4 + SEQ_NR, r.isnIn(c));
      delta = addDelta(delta, set32(b, l4 + ACK_NR, r.endSeq(c) + seqDelta(r, c, DIR_OUT)));
      const word = b.u16(l4 + FLAGS_WORD);
      b.setU16(l4 + FLAGS_WORD, (word & ~FLAGS) | tcp.ACK);
      delta = addDelta(delta, delta16(word, b.u16(l4 + FLAGS_WORD)));
      tcp.setChecksum(b, l4, applyDelta(tcp.checksum(b, l4), delta));
    }
    if (!ipv4.isFragment(b, packets.l3(p))) trim(x, p);
  },

  carry(x, p, c, mtu) {
    const { packets, records: r } = x;
    const b = packets.bytes;
    const l3 = packets.l3(p);
    const l4 = packets.l4(p);
    if (ipv4.isFragment(b, l3)) return drop(x, p, c, DROP.PROXY_HEADER);
    const at = (tcp.seq(b, l4) - r.isnIn(c) - 1) | 0;
    const n = ipv4.dataLen(b, l3) - tcp.headerLen(b, l4);
    const isSent = r.clientAddr(c) !== number;
    if (n > 0 && at < 0) {
      // A keepalive probe may bring a byte that has been there.
      if (at + n > 0) return drop(x, p, c, DROP.PROXY_EARLY);
      trim(x, p);
      return true;
    }
    if (n > 0 && at === 0) {
      if (!isIntact(x, p)) return drop(x, p, c, DROP.PROXY_DAMAGED);
      return first(x, p, c, mtu, n, number, version, insecure);
    }
    if (!isSent) {
      // Also an end ahead of the first byte would be counted as that.
      const ahead = at > 0 && (n > 0 || (tcp.flags(b, l4) & tcp.FIN) !== 0);
      return ahead ? drop(x, p, c, DROP.PROXY_EARLY) : true;
    }
    return at > 0 ? later(x, p, c, at, n) : true;
  },

  answer(x, p, c) {
    const r = x.records;
    const b = x.packets.bytes;
    const l4 = x.packets.l4(p);
    const state = r.clientAddr(c);
    const length = lengthOf(state);
    if (length === 0 || (tcp.flags(b, l4) & tcp.ACK) === 0) return;
    const base = seqDelta(r, c, DIR_IN);
    const start = (r.isnIn(c) + 1 + base) >>> 0;
    const by = length - ownOf(state);
    if (((tcp.ack(b, l4) - start) | 0) >= length) {
      setSeqDelta(r, c, DIR_IN, base + by);
      told(r, c);
      return;
    }
    // The client knows of no header: nothing has been acknowledged to it yet.
    let delta = shiftBack(b, l4, l4 + ACK_NR, start, length, by);
    const end = l4 + tcp.headerLen(b, l4);
    let next = l4 + tcp.HEADER_LEN;
    for (let o = firstOption(b, next, end); o >= 0; o = firstOption(b, next, end)) {
      next = o + b.u8(o + 1);
      if (b.u8(o) !== OPT_SACK) continue;
      for (let edge = o + 2; edge + 4 <= next; edge += 4)
        delta = addDelta(delta, shiftBack(b, l4, edge, start, length, by));
    }
    tcp.setChecksum(b, l4, applyDelta(tcp.checksum(b, l4), delta));
  },

  ahead(x, c, seq) {
    const r = x.records;
    const state = r.clientAddr(c);
    const position = (seq - r.isnIn(c) - 1 - seqDelta(r, c, DIR_IN)) | 0;
    if (position <= 0) return 0;
    return position < lengthOf(state) ? position : lengthOf(state) - ownOf(state);
  },
});

const V1 = proxyTcp(5, 1, false);
const V2 = proxyTcp(6, 2, false);
const V1_INSECURE = proxyTcp(7, 1, true);
const V2_INSECURE = proxyTcp(8, 2, true);
export const PROXY_TCP = { v1: V1, v2: V2, 'v1-insecure': V1_INSECURE, 'v2-insecure': V2_INSECURE };

const lengthOf = (state: number): number => (state >>> LENGTH) & 0xff;
const ownOf = (state: number): number => state >>> OWN;

/** Nothing is left to be told: packets may go the short ways. */
function told(r: Records, c: number): void {
  r.u16[(r.dir(c, DIR_IN) + D.actions) >>> 1]! &= ~FLOW_ACTION.CLIENT_ADDR;
  r.u16[(r.dir(c, DIR_OUT) + D.actions) >>> 1]! &= ~FLOW_ACTION.CLIENT_ADDR;
}

// ----- from the client

/** A segment that begins with the first byte, of `n` bytes of data, for the first time or again. */
function first(
  x: XmitContext,
  p: number,
  c: number,
  mtu: number,
  n: number,
  number: number,
  version: number,
  insecure: boolean,
): boolean {
  const { packets, records: r } = x;
  const b = packets.bytes;
  const l4 = packets.l4(p);
  const hlen = tcp.headerLen(b, l4);
  const state = r.clientAddr(c);
  const isNew = state === number;
  const found = isNew || insecure ? proxy.parse(b, l4 + hlen, n, own) : proxy.NO_HEADER;
  const theirs = isNew ? Math.max(found, 0) : ownOf(state);
  const translates = insecure && theirs > 0;
  if (isNew && theirs > 0) eventFor(x, c, EVENT.PROXY_FOREIGN);
  if (translates && isNew && own.version === version) {
    // Whom we trust has said it already, and as the real server wants it.
    told(r, c);
    return true;
  }
  // Sent again in smaller pieces, what it says is not there any more.
  if (translates && found !== theirs) return drop(x, p, c, DROP.PROXY_HEADER);
  const h = translates ? own : ours;
  if (translates) own.version = version;
  else ends(x, c, version, ours);
  const length = proxy.emitLength(h);
  if (isNew) {
    r.setClientAddr(c, number | (length << LENGTH) | (theirs << OWN));
    r.u16[(r.dir(c, DIR_OUT) + D.actions) >>> 1]! |= FLOW_ACTION.CLIENT_ADDR;
  } else if (length !== lengthOf(state)) return drop(x, p, c, DROP.PROXY_HEADER);
  if (!lead(x, p, c, mtu, h, Math.min(n, theirs), isNew)) return false;
  eventFor(x, c, EVENT.PROXY_INSERTED);
  return true;
}

/**
 * Puts `h` in place of the first `cut` bytes of data: into the segment where it has room, else into one that goes ahead. What comes
 * again grows no more: somewhere on the way it may have been too large.
 */
function lead(
  x: XmitContext,
  p: number,
  c: number,
  mtu: number,
  h: proxy.Header,
  cut: number,
  mayGrow: boolean,
): boolean {
  const { packets } = x;
  const b = packets.bytes;
  const l3 = packets.l3(p);
  const l4 = packets.l4(p);
  const hlen = tcp.headerLen(b, l4);
  const headers = l4 + hlen - l3;
  const length = proxy.emitLength(h);
  const by = length - cut;
  const urgent = (tcp.flags(b, l4) & tcp.URG) !== 0;
  const fits = ipv4.totalLen(b, l3) + by <= mtu && (mayGrow || by <= 0) && !urgent;
  if (fits && makeRoom(x, p, headers, by)) {
    proxy.emit(b, packets.l4(p) + hlen, h, proxy.STREAM);
    fillChecksums(x, p);
    return true;
  }
  const q = beside(x, p, ipv4.PROTO_TCP, hlen + length);
  if (q === NO_PACKET) return drop(x, p, c, DROP.NO_MBUF);
  const q4 = packets.l4(q);
  b.copy(q4, l4, hlen);
  tcp.setFlags(b, q4, (tcp.flags(b, l4) & tcp.ACK) | tcp.PSH);
  tcp.setUrgent(b, q4, 0);
  proxy.emit(b, q4 + hlen, h, proxy.STREAM);
  fillChecksums(x, q);
  sendBeside(x, q, c);
  if (cut > 0) makeRoom(x, p, headers, -cut);
  tcp.setSeq(b, packets.l4(p), tcp.seq(b, packets.l4(p)) + length);
  fillChecksums(x, p);
  return true;
}

/** A segment behind the first byte, once the header is on its way. */
function later(x: XmitContext, p: number, c: number, at: number, n: number): boolean {
  const { packets, records: r } = x;
  const b = packets.bytes;
  const l4 = packets.l4(p);
  const state = r.clientAddr(c);
  const theirs = ownOf(state);
  const cut = at < theirs ? Math.min(n, theirs - at) : 0;
  const to = (r.isnIn(c) + 1 + Math.max(at + cut, theirs) + lengthOf(state) - theirs) >>> 0;
  if (cut === 0) {
    tcp.setChecksum(b, l4, applyDelta(tcp.checksum(b, l4), set32(b, l4 + SEQ_NR, to)));
    return true;
  }
  if (!isIntact(x, p)) return drop(x, p, c, DROP.PROXY_DAMAGED);
  makeRoom(x, p, l4 + tcp.headerLen(b, l4) - packets.l3(p), -cut);
  tcp.setSeq(b, packets.l4(p), to);
  fillChecksums(x, p);
  return true;
}

/** Takes a segment's data away. */
function trim(x: XmitContext, p: number): void {
  const { packets } = x;
  const b = packets.bytes;
  const l3 = packets.l3(p);
  const l4 = packets.l4(p);
  const len = ipv4.dataLen(b, l3);
  const hlen = tcp.headerLen(b, l4);
  if (len === hlen) return;
  const gone = fold(sum(b, l4 + hlen, len - hlen));
  const delta = addDelta(~gone & 0xffff, delta16(len, hlen));
  tcp.setChecksum(b, l4, applyDelta(tcp.checksum(b, l4), delta));
  ipv4.setTotalLen(b, l3, l4 + hlen - l3);
  ipv4.fillChecksum(b, l3);
  packets.setLen(p, l4 + hlen - l3);
}

// ----- numbers and checksums

/** Moves a position of the real server's back to the client's; one inside our header is the beginning. @returns as `set32` */
function shiftBack(b: Bytes, l4: number, at: number, start: number, length: number, by: number): number {
  const from = b.u32(at);
  const position = (from - start) | 0;
  if (position <= 0) return 0;
  const delta = set32(b, at, position < length ? start : from - by);
  // RFC 1071 section 2 (B): off a word boundary the sum has its bytes swapped.
  return ((at - l4) & 1) === 0 ? delta : ((delta << 8) | (delta >>> 8)) & 0xffff;
}

/** @returns what the checksum changes by */
function set32(b: Bytes, at: number, to: number): number {
  const from = b.u32(at);
  b.setU32(at, to);
  return delta32(from, to >>> 0);
}

/** What changes the data of a segment must not make a right checksum of a wrong one. */
function isIntact(x: XmitContext, p: number): boolean {
  const { packets } = x;
  const b = packets.bytes;
  const l3 = packets.l3(p);
  return tcp.checksumValid(b, packets.l4(p), ipv4.dataLen(b, l3), ipv4.src(b, l3), ipv4.dst(b, l3));
}

function fillChecksums(x: XmitContext, p: number): void {
  const { packets } = x;
  const b = packets.bytes;
  const l3 = packets.l3(p);
  tcp.fillChecksum(b, packets.l4(p), ipv4.dataLen(b, l3), ipv4.src(b, l3), ipv4.dst(b, l3));
  ipv4.fillChecksum(b, l3);
}

function drop(x: XmitContext, p: number, c: number, reason: number): false {
  dropFor(x, p, c, reason);
  return false;
}
