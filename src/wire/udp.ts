/** UDP header, RFC 768. Offsets are relative to the start of the header. */
import type { Bytes } from '../core/bytes.js';
import { l4Checksum, l4Valid } from './checksum.js';
import { PROTO_UDP } from './ipv4.js';

const SRC_PORT = 0;
const DST_PORT = 2;
/** Ports stand in front of it. */
export const LENGTH = 4;
const CHECKSUM = 6;

export const HEADER_LEN = 8;

/** True if `len` bytes at `off` hold a whole UDP datagram by its own length. Call once, then read freely. */
export function check(b: Bytes, off: number, len: number): boolean {
  if (len < HEADER_LEN) return false;
  const length = b.u16(off + LENGTH);
  return length >= HEADER_LEN && length <= len;
}

export const srcPort = (b: Bytes, off: number): number => b.u16(off + SRC_PORT);
export const dstPort = (b: Bytes, off: number): number => b.u16(off + DST_PORT);
/** Header and data, in bytes. */
export const length = (b: Bytes, off: number): number => b.u16(off + LENGTH);
/** 0 = the sender computed none. */
export const checksum = (b: Bytes, off: number): number => b.u16(off + CHECKSUM);

export const setSrcPort = (b: Bytes, off: number, v: number): void => b.setU16(off + SRC_PORT, v);
export const setDstPort = (b: Bytes, off: number, v: number): void => b.setU16(off + DST_PORT, v);
export const setLength = (b: Bytes, off: number, v: number): void => b.setU16(off + LENGTH, v);
export const setChecksum = (b: Bytes, off: number, v: number): void => b.setU16(off + CHECKSUM, v);

/** True when there is no checksum or it is right. */
export function checksumValid(b: Bytes, off: number, saddr: number, daddr: number): boolean {
  return checksum(b, off) === 0 || l4Valid(b, off, length(b, off), saddr, daddr, PROTO_UDP);
}

/** Computes and writes the checksum; a computed 0 is sent as 0xffff (RFC 768). */
export function fillChecksum(b: Bytes, off: number, saddr: number, daddr: number): void {
  b.setU16(off + CHECKSUM, 0);
  const c = l4Checksum(b, off, length(b, off), saddr, daddr, PROTO_UDP);
  b.setU16(off + CHECKSUM, c === 0 ? 0xffff : c);
}
