/**
 * The Internet checksum, RFC 1071, and its incremental update, RFC 1624.
 *
 * A *sum* is the running one's complement sum of big-endian 16-bit words, not yet folded; a *checksum* is
 * the folded and inverted 16-bit value that stands in a header. Sums of up to 64 KiB fit a 32-bit integer.
 */
import type { Bytes } from '../core/bytes.js';

/** Adds `len` bytes at `off` to a running sum. An odd last byte counts as the high half of a word. */
export function sum(b: Bytes, off: number, len: number, init = 0): number {
  const view = b.view;
  let acc = init;
  let i = off;
  const end32 = off + (len & ~3);
  for (; i < end32; i += 4) {
    // One 32-bit load and two adds: half the loads of a 16-bit loop.
    const v = view.getInt32(i);
    acc += (v >>> 16) + (v & 0xffff);
  }
  if ((len & 2) !== 0) {
    acc += view.getUint16(i);
    i += 2;
  }
  if ((len & 1) !== 0) acc += view.getUint8(i) << 8;
  return acc;
}

/** Folds the carries of a sum into 16 bits. */
export function fold(acc: number): number {
  acc = (acc & 0xffff) + (acc >>> 16);
  acc = (acc & 0xffff) + (acc >>> 16);
  return acc & 0xffff;
}

/** The checksum of `len` bytes at `off`; over a header that contains a right checksum it is 0. */
export function checksum(b: Bytes, off: number, len: number, init = 0): number {
  return ~fold(sum(b, off, len, init)) & 0xffff;
}

/** Sum of the IPv4 pseudo header of TCP and UDP (RFC 793 section 3.1). `len` = transport header and data. */
export function pseudo(saddr: number, daddr: number, proto: number, len: number): number {
  return (saddr >>> 16) + (saddr & 0xffff) + (daddr >>> 16) + (daddr & 0xffff) + proto + len;
}

/** Checksum that a TCP or UDP header must carry; its checksum field has to be 0 while this runs. */
export function l4Checksum(
  b: Bytes,
  off: number,
  len: number,
  saddr: number,
  daddr: number,
  proto: number,
): number {
  return checksum(b, off, len, pseudo(saddr, daddr, proto, len));
}

/** True when the TCP or UDP checksum in place is right. A UDP checksum of 0 (none) is the caller's case. */
export function l4Valid(
  b: Bytes,
  off: number,
  len: number,
  saddr: number,
  daddr: number,
  proto: number,
): boolean {
  return checksum(b, off, len, pseudo(saddr, daddr, proto, len)) === 0;
}

// ----- incremental update

/** `~m + m'` of a 16-bit field, folded: how much replacing `from` by `to` adds to the sum. */
export function delta16(from: number, to: number): number {
  return fold((~from & 0xffff) + to);
}

/** The same of a 32-bit field that starts at an even offset. */
export function delta32(from: number, to: number): number {
  return fold((~from >>> 16) + (~from & 0xffff) + (to >>> 16) + (to & 0xffff));
}

/** Sum of two deltas. */
export function addDelta(a: number, b: number): number {
  return fold(a + b);
}

/** RFC 1624 equation 3: `HC' = ~(~HC + ~m + m')`, with `~m + m'` given as a delta. */
export function applyDelta(cksum: number, delta: number): number {
  return ~fold((~cksum & 0xffff) + delta) & 0xffff;
}

/** The same for UDP, where 0 says "no checksum" (it stays so) and a computed 0 is sent as 0xffff (RFC 768). */
export function applyDeltaUdp(cksum: number, delta: number): number {
  if (cksum === 0) return 0;
  const c = applyDelta(cksum, delta);
  return c === 0 ? 0xffff : c;
}

/** Checksum after a 16-bit field changed. */
export function update16(cksum: number, from: number, to: number): number {
  return applyDelta(cksum, delta16(from, to));
}

/** Checksum after a 32-bit field changed. */
export function update32(cksum: number, from: number, to: number): number {
  return applyDelta(cksum, delta32(from, to));
}
