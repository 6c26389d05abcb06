/** ARP for IPv4 over Ethernet, RFC 826. Offsets are relative to the start of the message. */
import type { Bytes } from '../core/bytes.js';

const HTYPE = 0;
const PTYPE = 2;
const HLEN = 4;
const PLEN = 5;
const OP = 6;
const SHA = 8;
const SPA = 14;
const THA = 18;
const TPA = 24;

export const MESSAGE_LEN = 28;
export const OP_REQUEST = 1;
export const OP_REPLY = 2;

/** True if `len` bytes at `off` hold an ARP message for IPv4 over Ethernet. Call once, then read freely. */
export function check(b: Bytes, off: number, len: number): boolean {
  return (
    len >= MESSAGE_LEN &&
    b.u16(off + HTYPE) === 1 &&
    b.u16(off + PTYPE) === 0x0800 &&
    b.u8(off + HLEN) === 6 &&
    b.u8(off + PLEN) === 4
  );
}

export const op = (b: Bytes, off: number): number => b.u16(off + OP);
/** Offset of the sender's hardware address. */
export const sha = (off: number): number => off + SHA;
/** Sender's protocol address. */
export const spa = (b: Bytes, off: number): number => b.u32(off + SPA);
/** Offset of the target's hardware address. */
export const tha = (off: number): number => off + THA;
/** Target's protocol address. */
export const tpa = (b: Bytes, off: number): number => b.u32(off + TPA);

export const setOp = (b: Bytes, off: number, v: number): void => b.setU16(off + OP, v);
export const setSpa = (b: Bytes, off: number, v: number): void => b.setU32(off + SPA, v);
export const setTpa = (b: Bytes, off: number, v: number): void => b.setU32(off + TPA, v);

/** Writes the fixed first half: types, lengths, operation. */
export function emit(b: Bytes, off: number, operation: number): void {
  b.setU16(off + HTYPE, 1);
  b.setU16(off + PTYPE, 0x0800);
  b.setU8(off + HLEN, 6);
  b.setU8(off + PLEN, 4);
  b.setU16(off + OP, operation);
}
