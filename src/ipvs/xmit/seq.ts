/**
 * Sequence translation of TCP (FLOW_ACTION.SEQ): the numbers of one end are shifted by a constant for the life of a
 * connection; the other end's acknowledgements and SACK blocks are shifted back.
 */
import type { Bytes } from '../../core/bytes.js';
import { addDelta, applyDelta, delta32 } from '../../wire/checksum.js';
import * as tcp from '../../wire/tcp.js';

/** SACK option: kind, length, then edges of blocks (RFC 2018 section 3). */
const EDGE = 4;

/**
 * Adds to the numbers of a whole, checked segment; its checksum follows.
 * @param seqBy added to the sequence number, modulo 2^32
 * @param ackBy added to the acknowledgement number, where it counts, and to the edges of SACK blocks
 */
export function shiftNumbers(b: Bytes, l4: number, seqBy: number, ackBy: number): void {
  let delta = shift(b, l4, l4 + 4, seqBy);
  if ((tcp.flags(b, l4) & tcp.ACK) !== 0) delta = addDelta(delta, shift(b, l4, l4 + 8, ackBy));
  const end = l4 + tcp.headerLen(b, l4);
  for (let at = l4 + tcp.HEADER_LEN; at + 1 < end;) {
    const kind = b.u8(at);
    if (kind === tcp.OPT_END) break;
    if (kind === tcp.OPT_NOP) {
      at++;
      continue;
    }
    const len = b.u8(at + 1);
    if (len < 2 || at + len > end) break;
    if (kind === tcp.OPT_SACK)
      for (let edge = at + 2; edge + EDGE <= at + len; edge += EDGE)
        delta = addDelta(delta, shift(b, l4, edge, ackBy));
    at += len;
  }
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
