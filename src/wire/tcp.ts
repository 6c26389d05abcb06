/** TCP header, RFC 9293 section 3.1; its options: tcp-options.ts. Offsets are relative to the start of the header. */
import type { Bytes } from '../core/bytes.js';
import { l4Checksum, l4Valid } from './checksum.js';
import { PROTO_TCP } from './ipv4.js';

const SRC_PORT = 0;
const DST_PORT = 2;
const SEQ = 4;
const ACK_NR = 8;
const DATA_OFF = 12;
const FLAGS = 13;
const WINDOW = 14;
const CHECKSUM = 16;
const URGENT = 18;

/** Length without options. */
export const HEADER_LEN = 20;
export const MAX_HEADER_LEN = 60;

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;
export const URG = 0x20;

/** True if `len` bytes at `off` hold a whole TCP header with its options. Call once, then read freely. */
export function check(b: Bytes, off: number, len: number): boolean {
  if (len < HEADER_LEN) return false;
  const hlen = (b.u8(off + DATA_OFF) >>> 4) << 2;
  return hlen >= HEADER_LEN && hlen <= len;
}

export const srcPort = (b: Bytes, off: number): number => b.u16(off + SRC_PORT);
export const dstPort = (b: Bytes, off: number): number => b.u16(off + DST_PORT);
export const seq = (b: Bytes, off: number): number => b.u32(off + SEQ);
export const ack = (b: Bytes, off: number): number => b.u32(off + ACK_NR);
/** Header length in bytes. */
export const headerLen = (b: Bytes, off: number): number => (b.u8(off + DATA_OFF) >>> 4) << 2;
export const flags = (b: Bytes, off: number): number => b.u8(off + FLAGS);
export const window = (b: Bytes, off: number): number => b.u16(off + WINDOW);
export const checksum = (b: Bytes, off: number): number => b.u16(off + CHECKSUM);
export const urgent = (b: Bytes, off: number): number => b.u16(off + URGENT);

export const setSrcPort = (b: Bytes, off: number, v: number): void => b.setU16(off + SRC_PORT, v);
export const setDstPort = (b: Bytes, off: number, v: number): void => b.setU16(off + DST_PORT, v);
export const setSeq = (b: Bytes, off: number, v: number): void => b.setU32(off + SEQ, v);
export const setAck = (b: Bytes, off: number, v: number): void => b.setU32(off + ACK_NR, v);
export const setHeaderLen = (b: Bytes, off: number, bytes: number): void =>
  b.setU8(off + DATA_OFF, (bytes >>> 2) << 4);
export const setFlags = (b: Bytes, off: number, v: number): void => b.setU8(off + FLAGS, v);
export const setWindow = (b: Bytes, off: number, v: number): void => b.setU16(off + WINDOW, v);
export const setUrgent = (b: Bytes, off: number, v: number): void => b.setU16(off + URGENT, v);
export const setChecksum = (b: Bytes, off: number, v: number): void => b.setU16(off + CHECKSUM, v);

/** `len` = header, options and data. */
export function checksumValid(b: Bytes, off: number, len: number, saddr: number, daddr: number): boolean {
  return l4Valid(b, off, len, saddr, daddr, PROTO_TCP);
}

/** Computes and writes the checksum over `len` bytes of header, options and data. */
export function fillChecksum(b: Bytes, off: number, len: number, saddr: number, daddr: number): void {
  b.setU16(off + CHECKSUM, 0);
  b.setU16(off + CHECKSUM, l4Checksum(b, off, len, saddr, daddr, PROTO_TCP));
}

/** Sequence space that a segment takes: data bytes, SYN and FIN. `len` = header, options and data. */
export function segmentLen(b: Bytes, off: number, len: number): number {
  const f = flags(b, off);
  return len - headerLen(b, off) + ((f & SYN) === 0 ? 0 : 1) + ((f & FIN) === 0 ? 0 : 1);
}

/**
 * Writes a header without options; the checksum is the caller's (`fillChecksum` when the data is in place).
 */
export function emit(
  b: Bytes,
  off: number,
  sport: number,
  dport: number,
  seqNr: number,
  ackNr: number,
  flagBits: number,
  windowSize: number,
): void {
  b.setU16(off + SRC_PORT, sport);
  b.setU16(off + DST_PORT, dport);
  b.setU32(off + SEQ, seqNr);
  b.setU32(off + ACK_NR, ackNr);
  setHeaderLen(b, off, HEADER_LEN);
  b.setU8(off + FLAGS, flagBits);
  b.setU16(off + WINDOW, windowSize);
  b.setU16(off + CHECKSUM, 0);
  b.setU16(off + URGENT, 0);
}
