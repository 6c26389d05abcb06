/**
 * Sequence translation of TCP: the numbers of one end are shifted by a constant for the life of a connection; the other end's
 * acknowledgements and SACK blocks are shifted back. By how much stands in the record of both directions (FLOW_ACTION.SEQ and
 * ACK), so that a packet of a connection with one shifted end touches its own direction only.
 */
import type { Bytes } from '../../core/bytes.js';
import { FLOW_ACTION } from '../../core/layout.js';
import { addDelta, applyDelta, delta32 } from '../../wire/checksum.js';
import * as tcp from '../../wire/tcp.js';
import { first, OPT_SACK } from '../../wire/tcp-options.js';
import { D, type Records } from '../conn/records.js';

/** SACK option: kind, length, then edges of blocks (RFC 2018 section 3). */
const EDGE = 4;

/** What is added to the sequence numbers of direction `d`. */
export function seqDelta(r: Records, c: number, d: number): number {
  const dir = r.dir(c, d);
  return (r.u16[(dir + D.actions) >>> 1]! & FLOW_ACTION.SEQ) === 0 ? 0 : r.u32[(dir + D.seqDelta) >>> 2]!;
}

/** What is added to the acknowledgement numbers and SACK blocks of direction `d`, modulo 2^32. */
export function ackDelta(r: Records, c: number, d: number): number {
  return -seqDelta(r, c, 1 - d) >>> 0;
}

/** From now on `delta` is added to the sequence numbers of direction `d`, and taken from what the other end acknowledges. */
export function setSeqDelta(r: Records, c: number, d: number, delta: number): void {
  const other = seqDelta(r, c, 1 - d);
  write(r, r.dir(c, d), delta >>> 0, other);
  write(r, r.dir(c, 1 - d), other, delta >>> 0);
}

function write(r: Records, dir: number, own: number, others: number): void {
  const at = (dir + D.actions) >>> 1;
  const kept = r.u16[at]! & ~(FLOW_ACTION.SEQ | FLOW_ACTION.ACK);
  r.u32[(dir + D.seqDelta) >>> 2] = own !== 0 ? own : -others;
  r.u16[at] = kept | (own !== 0 ? FLOW_ACTION.SEQ : 0) | (others !== 0 ? FLOW_ACTION.ACK : 0);
}

/** Shifts the numbers of a whole, checked segment of direction `d`. */
export function translate(r: Records, c: number, d: number, b: Bytes, l4: number): void {
  shiftNumbers(b, l4, seqDelta(r, c, d), ackDelta(r, c, d));
}

/**
 * Adds to the numbers of a whole, checked segment; its checksum follows.
 * @param seqBy added to the sequence number, modulo 2^32
 * @param ackBy added to the acknowledgement number, where it counts, and to the edges of SACK blocks
 * @param plain its options are known to have no SACK blocks
 */
export function shiftNumbers(b: Bytes, l4: number, seqBy: number, ackBy: number, plain = false): void {
  let delta = shift(b, l4, l4 + 4, seqBy);
  if ((tcp.flags(b, l4) & tcp.ACK) !== 0) delta = addDelta(delta, shift(b, l4, l4 + 8, ackBy));
  const end = l4 + tcp.headerLen(b, l4);
  let next = l4 + tcp.HEADER_LEN;
  if (ackBy === 0 || plain) next = end;
  for (let at = first(b, next, end); at >= 0; at = first(b, next, end)) {
    next = at + b.u8(at + 1);
    if (b.u8(at) !== OPT_SACK) continue;
    for (let edge = at + 2; edge + EDGE <= next; edge += EDGE)
      delta = addDelta(delta, shift(b, l4, edge, ackBy));
  }
  tcp.setChecksum(b, l4, applyDelta(tcp.checksum(b, l4), delta));
}

/** Shifts the numbers of a segment that an ICMP error quotes, as far as it does: up to `end`, 8 bytes at least. */
export function quotedNumbers(b: Bytes, l4: number, end: number, seqBy: number, ackBy: number): void {
  let delta = shift(b, l4, l4 + 4, seqBy);
  if (end - l4 < tcp.HEADER_LEN) return;
  if ((tcp.flags(b, l4) & tcp.ACK) !== 0) delta = addDelta(delta, shift(b, l4, l4 + 8, ackBy));
  tcp.setChecksum(b, l4, applyDelta(tcp.checksum(b, l4), delta));
}

/** Shifts the 32-bit number at `at`. @returns what that adds to the checksum */
function shift(b: Bytes, l4: number, at: number, by: number): number {
  const from = b.u32(at);
  const to = (from + by) >>> 0;
  b.setU32(at, to);
  const delta = delta32(from, to);
  // RFC 1071 section 2 (B): off a word boundary the sum has its bytes swapped.
  return ((at - l4) & 1) === 0 ? delta : ((delta << 8) | (delta >>> 8)) & 0xffff;
}
