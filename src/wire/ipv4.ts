/** IPv4 header, RFC 791, and addresses as text. Offsets are relative to the start of the header. */
import type { Bytes } from '../core/bytes.js';
import { DpvsError } from '../core/errors.js';
import { checksum as sumOf, update16 } from './checksum.js';

const VER_IHL = 0;
const TOS = 1;
const TOTAL_LEN = 2;
const ID = 4;
const FRAG = 6;
const TTL = 8;
const PROTO = 9;
const CHECKSUM = 10;
const SRC = 12;
const DST = 16;

/** Length without options. */
export const HEADER_LEN = 20;
export const MAX_HEADER_LEN = 60;
/** Every link must carry datagrams of this size whole (RFC 791 section 3.2). */
export const MIN_MTU = 68;

export const PROTO_ICMP = 1;
export const PROTO_IPIP = 4;
export const PROTO_TCP = 6;
export const PROTO_UDP = 17;
export const PROTO_SCTP = 132;

/** Bits of the fragment field. */
export const DF = 0x4000;
export const MF = 0x2000;
export const OFFSET_MASK = 0x1fff;

/** True if `len` bytes at `off` hold a whole IPv4 datagram by its own lengths. Call once, then read freely. */
export function check(b: Bytes, off: number, len: number): boolean {
  if (len < HEADER_LEN) return false;
  const verIhl = b.u8(off + VER_IHL);
  // RFC 1122 section 3.2.1.1: a datagram whose version number is not 4 MUST be silently discarded.
  if (verIhl >>> 4 !== 4) return false;
  const hlen = (verIhl & 15) << 2;
  const total = b.u16(off + TOTAL_LEN);
  return hlen >= HEADER_LEN && total >= hlen && total <= len;
}

/** Header length in bytes. */
export const headerLen = (b: Bytes, off: number): number => (b.u8(off + VER_IHL) & 15) << 2;
/** The version is 4. */
export const setHeaderLen = (b: Bytes, off: number, bytes: number): void =>
  b.setU8(off + VER_IHL, 0x40 | (bytes >>> 2));
export const tos = (b: Bytes, off: number): number => b.u8(off + TOS);
export const totalLen = (b: Bytes, off: number): number => b.u16(off + TOTAL_LEN);
export const id = (b: Bytes, off: number): number => b.u16(off + ID);
/** Flags and offset as they stand: DF, MF, offset in units of 8 bytes. */
export const frag = (b: Bytes, off: number): number => b.u16(off + FRAG);
export const ttl = (b: Bytes, off: number): number => b.u8(off + TTL);
export const proto = (b: Bytes, off: number): number => b.u8(off + PROTO);
export const checksum = (b: Bytes, off: number): number => b.u16(off + CHECKSUM);
export const src = (b: Bytes, off: number): number => b.u32(off + SRC);
export const dst = (b: Bytes, off: number): number => b.u32(off + DST);

export const setTos = (b: Bytes, off: number, v: number): void => b.setU8(off + TOS, v);
export const setTotalLen = (b: Bytes, off: number, v: number): void => b.setU16(off + TOTAL_LEN, v);
export const setId = (b: Bytes, off: number, v: number): void => b.setU16(off + ID, v);
export const setFrag = (b: Bytes, off: number, v: number): void => b.setU16(off + FRAG, v);
export const setTtl = (b: Bytes, off: number, v: number): void => b.setU8(off + TTL, v);
export const setProto = (b: Bytes, off: number, v: number): void => b.setU8(off + PROTO, v);
export const setChecksum = (b: Bytes, off: number, v: number): void => b.setU16(off + CHECKSUM, v);
export const setSrc = (b: Bytes, off: number, v: number): void => b.setU32(off + SRC, v);
export const setDst = (b: Bytes, off: number, v: number): void => b.setU32(off + DST, v);

/** Where a fragment's data stands in its datagram, in bytes. */
export const fragOffset = (b: Bytes, off: number): number => (b.u16(off + FRAG) & OFFSET_MASK) << 3;
export const moreFragments = (b: Bytes, off: number): boolean => (b.u16(off + FRAG) & MF) !== 0;
/** Bytes behind the header. */
export const dataLen = (b: Bytes, off: number): number => totalLen(b, off) - headerLen(b, off);
/** A part of a datagram: first, middle or last fragment. */
export const isFragment = (b: Bytes, off: number): boolean => (b.u16(off + FRAG) & (MF | OFFSET_MASK)) !== 0;
export const dontFragment = (b: Bytes, off: number): boolean => (b.u16(off + FRAG) & DF) !== 0;

export const checksumValid = (b: Bytes, off: number): boolean => sumOf(b, off, headerLen(b, off)) === 0;

/** Another identification, checksum updated. */
export function changeId(b: Bytes, off: number, v: number): void {
  b.setU16(off + CHECKSUM, update16(b.u16(off + CHECKSUM), b.u16(off + ID), v));
  b.setU16(off + ID, v);
}

/** Computes and writes the header checksum. */
export function fillChecksum(b: Bytes, off: number): void {
  b.setU16(off + CHECKSUM, 0);
  b.setU16(off + CHECKSUM, sumOf(b, off, headerLen(b, off)));
}

/** TTL - 1, checksum updated. The TTL must not be 0. */
export function decrementTtl(b: Bytes, off: number): void {
  const word = b.u16(off + TTL);
  b.setU16(off + TTL, word - 0x100);
  b.setU16(off + CHECKSUM, update16(b.u16(off + CHECKSUM), word, word - 0x100));
}

/** Writes a header without options, its checksum included. `fragField`: DF, MF, offset. */
export function emit(
  b: Bytes,
  off: number,
  tosValue: number,
  total: number,
  idValue: number,
  fragField: number,
  ttlValue: number,
  protoValue: number,
  saddr: number,
  daddr: number,
): void {
  b.setU8(off + VER_IHL, 0x45);
  b.setU8(off + TOS, tosValue);
  b.setU16(off + TOTAL_LEN, total);
  b.setU16(off + ID, idValue);
  b.setU16(off + FRAG, fragField);
  b.setU8(off + TTL, ttlValue);
  b.setU8(off + PROTO, protoValue);
  b.setU32(off + SRC, saddr);
  b.setU32(off + DST, daddr);
  fillChecksum(b, off);
}

// ----- addresses

export const ANY = 0;
export const BROADCAST = 0xffffffff;

export const isMulticast = (addr: number): boolean => addr >>> 28 === 14;
export const isLoopback = (addr: number): boolean => addr >>> 24 === 127;
/** 0.0.0.0/8, "this network" (RFC 1122 section 3.2.1.3). */
export const isThisNetwork = (addr: number): boolean => addr >>> 24 === 0;
/** 240.0.0.0/4, the limited broadcast address included. */
export const isReserved = (addr: number): boolean => addr >>> 28 === 15;

/** An address that can name one host on a wire: not 0/8, 127/8, multicast, reserved or broadcast. */
export function isUnicast(addr: number): boolean {
  return addr >>> 24 !== 0 && addr >>> 24 !== 127 && addr >>> 29 !== 7;
}

/** Netmask of a prefix length as an unsigned number. */
export const mask = (plen: number): number => (plen === 0 ? 0 : (-1 << (32 - plen)) >>> 0);

/** True for ones followed by zeros. */
export const isNetmask = (m: number): boolean => ((~m + 1) & ~m) === 0;

const DECIMAL = /^(0|[1-9][0-9]{0,2})$/;

/**
 * Address as a number; exactly four decimal parts, no leading zeros.
 * @throws DpvsError INVAL
 */
export function parseIpv4(text: string): number {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => DECIMAL.test(part) && Number(part) <= 255)) {
    throw new DpvsError(
      'INVAL',
      `'${text}' is not an IPv4 address`,
      'four numbers from 0 to 255: 192.168.100.1',
    );
  }
  return parts.reduce((addr, part) => addr * 256 + Number(part), 0);
}

export function formatIpv4(addr: number): string {
  return `${addr >>> 24}.${(addr >>> 16) & 255}.${(addr >>> 8) & 255}.${addr & 255}`;
}
