/**
 * How a UDP datagram carries the client's address (UOA): as IPv4 option 31, or between the IP and the UDP header as a header of
 * the private protocol 248. Offsets are relative to the start of the header or option.
 *
 *   option:  kind 31, length 8, port, address
 *   header:  version 4 and flags (4 bits each), next protocol, length (16 bits, options included), the option
 */
import type { Bytes } from '../core/bytes.js';

/** Private protocol number. */
export const PROTO = 248;
/** Option kind: not copied into fragments. */
export const OPTION = 31;
export const OPTION_LEN = 8;
const FIXED_LEN = 4;
/** Header with its option. */
export const HEADER_LEN = FIXED_LEN + OPTION_LEN;

/** Ours: the datagram holds nothing else, its application has not sent it. Receivers that don't know it see 0. */
export const F_ALONE = 1;

/** True when `len` bytes at `off` begin with a whole header. */
export function check(b: Bytes, off: number, len: number): boolean {
  if (len < FIXED_LEN || b.u8(off) >>> 4 !== 4) return false;
  const hlen = b.u16(off + 2);
  return hlen >= FIXED_LEN && hlen <= len;
}
export const next = (b: Bytes, off: number): number => b.u8(off + 1);
export const headerLen = (b: Bytes, off: number): number => b.u16(off + 2);

export function emitOption(b: Bytes, off: number, addr: number, port: number): void {
  b.setU8(off, OPTION);
  b.setU8(off + 1, OPTION_LEN);
  b.setU16(off + 2, port);
  b.setU32(off + 4, addr);
}

/** @param flags F_ALONE or 0 */
export function emit(b: Bytes, off: number, flags: number, proto: number, addr: number, port: number): void {
  b.setU8(off, 0x40 | flags);
  b.setU8(off + 1, proto);
  b.setU16(off + 2, HEADER_LEN);
  emitOption(b, off + FIXED_LEN, addr, port);
}
