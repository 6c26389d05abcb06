/** ICMP header, RFC 792. Offsets are relative to the start of the header. */
import type { Bytes } from '../core/bytes.js';
import { checksum as sumOf } from './checksum.js';

const TYPE = 0;
const CODE = 1;
const CHECKSUM = 2;
const REST = 4;

export const HEADER_LEN = 8;

export const ECHO_REPLY = 0;
export const DEST_UNREACH = 3;
export const SOURCE_QUENCH = 4;
export const REDIRECT = 5;
export const ECHO_REQUEST = 8;
export const TIME_EXCEEDED = 11;
export const PARAM_PROBLEM = 12;
export const TIMESTAMP = 13;
export const TIMESTAMP_REPLY = 14;

/** Codes of DEST_UNREACH. */
export const NET_UNREACH = 0;
export const HOST_UNREACH = 1;
export const PROTO_UNREACH = 2;
export const PORT_UNREACH = 3;
export const FRAG_NEEDED = 4;
export const SOURCE_ROUTE_FAILED = 5;
/** Codes of TIME_EXCEEDED. */
export const TTL_EXCEEDED = 0;
export const REASSEMBLY_TIMEOUT = 1;

/** True if every accessor below stays inside `len` bytes. Call once, then read freely. */
export function check(_b: Bytes, _off: number, len: number): boolean {
  return len >= HEADER_LEN;
}

export const type = (b: Bytes, off: number): number => b.u8(off + TYPE);
export const code = (b: Bytes, off: number): number => b.u8(off + CODE);
export const checksum = (b: Bytes, off: number): number => b.u16(off + CHECKSUM);
/** Second word: identifier and sequence number, next-hop MTU, pointer, … */
export const rest = (b: Bytes, off: number): number => b.u32(off + REST);

export const setType = (b: Bytes, off: number, v: number): void => b.setU8(off + TYPE, v);
export const setCode = (b: Bytes, off: number, v: number): void => b.setU8(off + CODE, v);
export const setChecksum = (b: Bytes, off: number, v: number): void => b.setU16(off + CHECKSUM, v);
export const setRest = (b: Bytes, off: number, v: number): void => b.setU32(off + REST, v);

/** Messages that report a problem with another datagram, which they quote (RFC 1122 section 3.2.2). */
export function isError(icmpType: number): boolean {
  return (
    icmpType === DEST_UNREACH ||
    icmpType === SOURCE_QUENCH ||
    icmpType === REDIRECT ||
    icmpType === TIME_EXCEEDED ||
    icmpType === PARAM_PROBLEM
  );
}

/** `len` = header and data. */
export const checksumValid = (b: Bytes, off: number, len: number): boolean => sumOf(b, off, len) === 0;

/** Computes and writes the checksum over `len` bytes of header and data. */
export function fillChecksum(b: Bytes, off: number, len: number): void {
  b.setU16(off + CHECKSUM, 0);
  b.setU16(off + CHECKSUM, sumOf(b, off, len));
}
