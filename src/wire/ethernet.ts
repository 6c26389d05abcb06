/** Ethernet II header, and MAC addresses as text. Offsets are relative to the start of the frame. */
import type { Bytes } from '../core/bytes.js';
import { DpvsError } from '../core/errors.js';

const DST = 0;
const SRC = 6;
const TYPE = 12;

export const HEADER_LEN = 14;
/** Frames on the wire are at least this long without the frame check sequence; senders pad. */
export const MIN_FRAME_LEN = 60;

export const TYPE_IPV4 = 0x0800;
export const TYPE_ARP = 0x0806;
export const TYPE_VLAN = 0x8100;
export const TYPE_IPV6 = 0x86dd;

/** True if every accessor below stays inside `len` bytes. Call once, then read freely. */
export function check(_b: Bytes, _off: number, len: number): boolean {
  return len >= HEADER_LEN;
}

/** Offset of the destination address. */
export const dst = (off: number): number => off + DST;
/** Offset of the source address. */
export const src = (off: number): number => off + SRC;
export const etherType = (b: Bytes, off: number): number => b.u16(off + TYPE);
export const setEtherType = (b: Bytes, off: number, v: number): void => b.setU16(off + TYPE, v);

// An address is handled as its first four bytes (`hi`) and its last two (`lo`): two compares, no loop.

export const macHi = (b: Bytes, at: number): number => b.u32(at);
export const macLo = (b: Bytes, at: number): number => b.u16(at + 4);
export function setMac(b: Bytes, at: number, hi: number, lo: number): void {
  b.setU32(at, hi);
  b.setU16(at + 4, lo);
}

/** Exchanges source and destination. */
export function swap(b: Bytes, off: number): void {
  const hi = b.u32(off + DST);
  const lo = b.u16(off + DST + 4);
  setMac(b, off + DST, b.u32(off + SRC), b.u16(off + SRC + 4));
  setMac(b, off + SRC, hi, lo);
}

/** True for the group bit: multicast and broadcast. */
export const isGroup = (b: Bytes, at: number): boolean => (b.u8(at) & 1) !== 0;
export const isBroadcast = (b: Bytes, at: number): boolean =>
  b.u32(at) === 0xffffffff && b.u16(at + 4) === 0xffff;
export const isZero = (b: Bytes, at: number): boolean => b.u32(at) === 0 && b.u16(at + 4) === 0;

const MAC = /^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$/;

/**
 * Six bytes from `aa:bb:cc:dd:ee:ff`.
 * @throws DpvsError INVAL
 */
export function parseMac(text: string): Uint8Array {
  if (!MAC.test(text)) {
    throw new DpvsError(
      'INVAL',
      `'${text}' is not a MAC address`,
      'six pairs of hex digits: aa:bb:cc:dd:ee:ff',
    );
  }
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
}

/** Lower-case text of the six bytes at `at`. */
export function formatMac(bytes: Uint8Array, at = 0): string {
  return Array.from(bytes.subarray(at, at + 6), (v) => v.toString(16).padStart(2, '0')).join(':');
}
