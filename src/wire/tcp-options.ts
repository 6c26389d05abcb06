/**
 * TCP options, RFC 9293 section 3.1: found, overwritten, taken out and put in, in place. `l4` is the offset of a header that
 * `tcp.check` has seen. Where the list makes no sense it ends, as at its end.
 *
 * What changes a header returns the one's complement sum that a checksum changes by (`applyDelta` of checksum.ts).
 */
import { Bytes } from '../core/bytes.js';
import { addDelta, delta16, fold, sum } from './checksum.js';
import { HEADER_LEN, headerLen } from './tcp.js';

export const OPT_END = 0;
export const OPT_NOP = 1;
export const OPT_MSS = 2;
export const OPT_WSCALE = 3;
export const OPT_SACK_OK = 4;
export const OPT_SACK = 5;
export const OPT_TIMESTAMP = 8;
export const OPT_MPTCP = 30;
export const OPT_FAST_OPEN = 34;
/** The client's address and port, as a load balancer tells them: kind, length 8, port, IPv4 address. */
export const OPT_TOA = 254;

/** Most bytes that options can have. */
export const MAX_LEN = 40;
const DATA_OFF = 12;

/** Offset of the first option of a kind, or -1. It lies inside the header with its length and value. */
export function find(b: Bytes, l4: number, kind: number): number {
  return findFrom(b, l4 + HEADER_LEN, l4 + headerLen(b, l4), kind);
}

/** The same among the options between two offsets. */
export function findFrom(b: Bytes, from: number, end: number, kind: number): number {
  for (let at = first(b, from, end); at >= 0; at = first(b, at + b.u8(at + 1), end))
    if (b.u8(at) === kind) return at;
  return -1;
}

/**
 * Offset of the first option at or behind `at` that is neither padding nor the end of the list, or -1. Its length stands at
 * +1; the next one is the first at or behind `at + length`.
 */
export function first(b: Bytes, at: number, end: number): number {
  while (at + 1 < end) {
    const kind = b.u8(at);
    if (kind === OPT_END) return -1;
    if (kind !== OPT_NOP) {
      const len = b.u8(at + 1);
      return len < 2 || at + len > end ? -1 : at;
    }
    at++;
  }
  return -1;
}

/** True when the options are none, or the timestamps that established connections carry (RFC 7323, appendix A). */
export function isPlain(b: Bytes, l4: number): boolean {
  const len = headerLen(b, l4) - HEADER_LEN;
  return len === 0 || (len === 12 && b.u32(l4 + HEADER_LEN) === 0x0101080a);
}

/** Overwrites the option at `at` by padding. */
export function blank(b: Bytes, l4: number, at: number): number {
  const len = b.u8(at + 1);
  // Whole words of the checksum; the header ends on one.
  const from = at - ((at - l4) & 1);
  const words = (at + len - from + 1) & ~1;
  const before = fold(sum(b, from, words));
  for (let o = at; o < at + len; o++) b.setU8(o, OPT_NOP);
  return delta16(before, fold(sum(b, from, words)));
}

/** Overwrites all options of a kind by padding. @returns 0 when there was none */
export function blankAll(b: Bytes, l4: number, kind: number): number {
  let delta = 0;
  for (let at = find(b, l4, kind); at >= 0; at = find(b, l4, kind)) delta = addDelta(delta, blank(b, l4, at));
  return delta;
}

/** Takes `by` from the MSS that a SYN offers, if it offers one that leaves more than `least`. */
export function lowerMss(b: Bytes, l4: number, by: number, least: number): number {
  const at = find(b, l4, OPT_MSS);
  if (at < 0 || b.u8(at + 1) !== 4) return 0;
  const mss = b.u16(at + 2);
  if (mss - by < least) return 0;
  b.setU16(at + 2, mss - by);
  const delta = delta16(mss, mss - by);
  return ((at - l4) & 1) === 0 ? delta : swap(delta);
}

/** What `List.copy` leaves out, each step more than the one before. */
export const KEEP_ALL = 0;
export const KEEP_OPTIONS = 1;
export const KEEP_VITAL = 2;
export const KEEP_TIMESTAMP = 3;

/** A list of options under construction, apart from any packet. */
export class List {
  readonly bytes = new Bytes(new ArrayBuffer(MAX_LEN));
  length = 0;

  clear(): void {
    this.length = 0;
  }

  /** A byte at the end. */
  add(v: number): void {
    this.bytes.setU8(this.length++, v);
  }
  addU16(v: number): void {
    this.bytes.setU16(this.length, v);
    this.length += 2;
  }
  addU32(v: number): void {
    this.bytes.setU32(this.length, v);
    this.length += 4;
  }

  /**
   * Appends the options of the header at `l4`: as they stand; without padding; only what connections depend on (timestamps,
   * Multipath TCP); only timestamps. Ends on a 32-bit boundary.
   * @returns false when they have no room; then the list is as before
   */
  copy(b: Bytes, l4: number, keep: number): boolean {
    const before = this.length;
    const end = l4 + headerLen(b, l4);
    if (keep === KEEP_ALL) {
      if (!this.append(b, l4 + HEADER_LEN, end - l4 - HEADER_LEN)) return false;
    } else {
      let next = 0;
      for (let at = first(b, l4 + HEADER_LEN, end); at >= 0; at = first(b, next, end)) {
        const len = b.u8(at + 1);
        next = at + len;
        if (!isKept(b.u8(at), keep)) continue;
        if (this.append(b, at, len)) continue;
        this.length = before;
        return false;
      }
    }
    while ((this.length & 3) !== 0) this.add(OPT_NOP);
    return true;
  }

  /**
   * Gives the header at `l4` these options. Its fixed part must already stand where it is to be: 20 bytes and `length` in front
   * of the data.
   * @param oldSum of the options that it had: `sumOf`
   */
  writeTo(b: Bytes, l4: number, oldSum: number): number {
    const word = b.u16(l4 + DATA_OFF);
    for (let i = 0; i < this.length; i++) b.setU8(l4 + HEADER_LEN + i, this.bytes.u8(i));
    // The reserved bits beside it stay (RFC 9768 uses one).
    b.setU8(l4 + DATA_OFF, ((HEADER_LEN + this.length) << 2) | (b.u8(l4 + DATA_OFF) & 15));
    const now = fold(sum(b, l4 + HEADER_LEN, this.length));
    return addDelta(delta16(oldSum, now), delta16(word, b.u16(l4 + DATA_OFF)));
  }

  private append(b: Bytes, from: number, len: number): boolean {
    if (this.length + len > MAX_LEN) return false;
    for (let i = 0; i < len; i++) this.add(b.u8(from + i));
    return true;
  }
}

/** One's complement sum of the options of the header at `l4`, for `List.writeTo`. */
export function sumOf(b: Bytes, l4: number): number {
  return fold(sum(b, l4 + HEADER_LEN, headerLen(b, l4) - HEADER_LEN));
}

function isKept(kind: number, keep: number): boolean {
  if (keep === KEEP_OPTIONS) return kind !== OPT_TOA;
  return kind === OPT_TIMESTAMP || (keep === KEEP_VITAL && kind === OPT_MPTCP);
}

const swap = (v: number): number => ((v << 8) | (v >>> 8)) & 0xffff;
