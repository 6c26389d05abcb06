/** IPv4 options as a receiver sees them: RFC 791 section 3.1, RFC 1122 section 3.2.1.8. */
import type { Bytes } from '../core/bytes.js';
import { HEADER_LEN } from '../wire/ipv4.js';

const END = 0;
const NOP = 1;
const LOOSE_SOURCE_ROUTE = 131;
const STRICT_SOURCE_ROUTE = 137;

export const OPTIONS_OK = -1;
export const OPTIONS_REFUSED = -2;

/** Bit that says "copy into every fragment". */
export const COPIED = 0x80;

/**
 * Walks the options of the header at `off`.
 * @returns OPTIONS_OK, OPTIONS_REFUSED (source routing), or the offset in the header of what is malformed
 */
export function checkOptions(b: Bytes, off: number, headerLen: number): number {
  let o = HEADER_LEN;
  while (o < headerLen) {
    const kind = b.u8(off + o);
    if (kind === END) return OPTIONS_OK;
    if (kind === NOP) {
      o += 1;
      continue;
    }
    if (o + 1 >= headerLen) return o;
    const len = b.u8(off + o + 1);
    if (len < 2 || o + len > headerLen) return o + 1;
    if (kind === LOOSE_SOURCE_ROUTE || kind === STRICT_SOURCE_ROUTE) return OPTIONS_REFUSED;
    o += len;
  }
  return OPTIONS_OK;
}

/**
 * Copies the options that belong into every fragment (RFC 791, "copied flag") from one header to another.
 * @returns length of the new header, padded to a multiple of 4
 */
export function copyFragmentOptions(b: Bytes, from: number, headerLen: number, to: number): number {
  let o = HEADER_LEN;
  let n = HEADER_LEN;
  while (o < headerLen) {
    const kind = b.u8(from + o);
    if (kind === END) break;
    const len = kind === NOP ? 1 : b.u8(from + o + 1);
    if ((kind & COPIED) !== 0) {
      b.copy(to + n, from + o, len);
      n += len;
    }
    o += len;
  }
  while ((n & 3) !== 0) b.setU8(to + n++, END);
  return n;
}
