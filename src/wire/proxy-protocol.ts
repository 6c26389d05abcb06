/**
 * The PROXY protocol, versions 1 and 2 (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, its sections are cited): a header in front of the data of
 * a connection that says who the client is. Offsets are absolute; nothing here allocates.
 *
 * Ends are kept as they travel in version 2: addresses and ports behind each other.
 */
import type { Bytes } from '../core/bytes.js';

/** Longest text header, CRLF included (section 2.1). */
export const V1_MAX = 107;
/** Fixed part of a binary header (section 2.2). */
export const V2_FIXED = 16;
/** Binary header of IPv4 without TLVs. */
export const V2_IPV4 = 28;
/** Longest header that `emit` writes. */
export const EMIT_MAX = V1_MAX;

/** What a header says of the addresses. */
export const FAMILY_NONE = 0;
export const FAMILY_IPV4 = 1;
export const FAMILY_IPV6 = 2;

export const STREAM = 1;
export const DGRAM = 2;

/** In place of a header's length: there is none, or not all of it. */
export const NO_HEADER = 0;
export const INCOMPLETE = -1;

const COMMAND_LOCAL = 0x20;
const COMMAND_PROXY = 0x21;
/** "\r\n\r\n\0\r\nQUIT\n" */
const SIGNATURE = [0x0d0a0d0a, 0x000d0a51, 0x5549540a] as const;
const ADDRESSES_IPV4 = 12;
const ADDRESSES_IPV6 = 36;
const ADDRESSES_UNIX = 216;

const CR = 13;
const LF = 10;
const SPACE = 32;
const COLON = 58;
const DOT = 46;
const ZERO = 48;

const text = (s: string): Uint8Array => Uint8Array.from(s, (c) => c.charCodeAt(0));
const PROXY = text('PROXY ');
const TCP4 = text('TCP4 ');
const TCP6 = text('TCP6 ');
const UNKNOWN = text('UNKNOWN');

/** What a header says; made once and written over. */
export class Header {
  version = 0;
  family = FAMILY_NONE;
  /** IPv4: one word each; IPv6: four. */
  readonly src = new Uint32Array(4);
  readonly dst = new Uint32Array(4);
  sport = 0;
  dport = 0;

  /** The ends of an IPv4 connection. */
  set(version: number, saddr: number, sport: number, daddr: number, dport: number): void {
    this.version = version;
    this.family = FAMILY_IPV4;
    this.src[0] = saddr;
    this.dst[0] = daddr;
    this.sport = sport;
    this.dport = dport;
  }
}

// ----- reading

/**
 * Reads the header that `len` bytes at `off` begin with.
 * @returns its length, TLVs included; NO_HEADER when they begin with none, or a wrong one; INCOMPLETE when more bytes might
 *   make one. `into` is undefined then.
 */
export function parse(b: Bytes, off: number, len: number, into: Header): number {
  if (len === 0) return INCOMPLETE;
  const first = b.u8(off);
  if (first === CR) return parseV2(b, off, len, into);
  if (first === PROXY[0]) return parseV1(b, off, len, into);
  return NO_HEADER;
}

function parseV2(b: Bytes, off: number, len: number, into: Header): number {
  for (let i = 0; i < 12; i++) {
    if (i === len) return INCOMPLETE;
    if (b.u8(off + i) !== ((SIGNATURE[i >>> 2]! >>> (24 - 8 * (i & 3))) & 255)) return NO_HEADER;
  }
  if (len < V2_FIXED) return INCOMPLETE;
  const command = b.u8(off + 12);
  const family = b.u8(off + 13) >>> 4;
  const transport = b.u8(off + 13) & 15;
  const rest = b.u16(off + 14);
  if ((command !== COMMAND_LOCAL && command !== COMMAND_PROXY) || family > 3 || transport > DGRAM)
    return NO_HEADER;
  into.version = 2;
  into.family = FAMILY_NONE;
  // Of LOCAL the receiver must skip the addresses; unspecified and unix ones say nothing about IP.
  if (command === COMMAND_PROXY) {
    const needs =
      family === 1 ? ADDRESSES_IPV4 : family === 2 ? ADDRESSES_IPV6 : family === 3 ? ADDRESSES_UNIX : 0;
    if (rest < needs) return NO_HEADER;
    const words = family === 1 ? 1 : 4;
    if (family === 1 || family === 2) {
      if (len < V2_FIXED + needs) return INCOMPLETE;
      const at = off + V2_FIXED;
      into.family = family === 1 ? FAMILY_IPV4 : FAMILY_IPV6;
      for (let i = 0; i < words; i++) {
        into.src[i] = b.u32(at + 4 * i);
        into.dst[i] = b.u32(at + 4 * (words + i));
      }
      into.sport = b.u16(at + 8 * words);
      into.dport = b.u16(at + 8 * words + 2);
    }
  }
  return len < V2_FIXED + rest ? INCOMPLETE : V2_FIXED + rest;
}

/** True when `what`, or its beginning where less is left, stands at `at`. */
function begins(b: Bytes, at: number, end: number, what: Uint8Array): boolean {
  for (let i = 0; i < what.length && at + i < end; i++) if (b.u8(at + i) !== what[i]) return false;
  return true;
}

/** Where reading of a text header goes on. */
let pos = 0;

function parseV1(b: Bytes, off: number, len: number, into: Header): number {
  const end = off + Math.min(len, V1_MAX);
  let eol = off;
  while (eol < end && b.u8(eol) !== CR) eol++;
  if (!begins(b, off, end, PROXY)) return NO_HEADER;
  const whole = eol + 1 < end;
  if (whole && b.u8(eol + 1) !== LF) return NO_HEADER;
  // Without its end it is incomplete only as long as it may still become one.
  if (!whole) return len < V1_MAX ? INCOMPLETE : NO_HEADER;
  into.version = 1;
  into.family = FAMILY_NONE;
  const length = eol + 2 - off;
  pos = off + PROXY.length;
  if (eol - pos >= UNKNOWN.length && begins(b, pos, eol, UNKNOWN)) {
    // The receiver must ignore what stands between UNKNOWN and CRLF.
    const next = b.u8(pos + UNKNOWN.length);
    return next === CR || next === SPACE ? length : NO_HEADER;
  }
  if (eol - pos < TCP4.length) return NO_HEADER;
  const v4 = begins(b, pos, eol, TCP4);
  if (!v4 && !begins(b, pos, eol, TCP6)) return NO_HEADER;
  pos += TCP4.length;
  const ok =
    address(b, eol, v4, into.src) &&
    skip(b, eol, SPACE) &&
    address(b, eol, v4, into.dst) &&
    skip(b, eol, SPACE) &&
    (into.sport = decimal(b, eol, 65535)) >= 0 &&
    skip(b, eol, SPACE) &&
    (into.dport = decimal(b, eol, 65535)) >= 0 &&
    pos === eol;
  if (!ok) return NO_HEADER;
  into.family = v4 ? FAMILY_IPV4 : FAMILY_IPV6;
  return length;
}

function skip(b: Bytes, end: number, what: number): boolean {
  return pos < end && b.u8(pos++) === what;
}

/** A decimal number without leading zeros, or -1. */
function decimal(b: Bytes, end: number, max: number): number {
  const start = pos;
  let n = 0;
  for (; pos < end; pos++) {
    const digit = b.u8(pos) - ZERO;
    if (digit < 0 || digit > 9) break;
    n = n * 10 + digit;
    if (n > max) return -1;
  }
  const digits = pos - start;
  return digits === 0 || (digits > 1 && b.u8(start) === ZERO) ? -1 : n;
}

function address(b: Bytes, end: number, v4: boolean, to: Uint32Array): boolean {
  if (!v4) return ipv6(b, end, to);
  const addr = ipv4(b, end);
  to[0] = addr;
  return addr >= 0;
}

/** Dotted decimal, or -1. */
function ipv4(b: Bytes, end: number): number {
  let addr = 0;
  for (let i = 0; i < 4; i++) {
    if (i > 0 && !skip(b, end, DOT)) return -1;
    const part = decimal(b, end, 255);
    if (part < 0) return -1;
    addr = addr * 256 + part;
  }
  return addr;
}

/** Value of a hexadecimal digit, or -1. */
function hex(c: number): number {
  if (c >= ZERO && c <= ZERO + 9) return c - ZERO;
  const letter = (c | 32) - 97;
  return letter >= 0 && letter < 6 ? letter + 10 : -1;
}

/** Groups of an IPv6 address that is being read. */
const groups = new Uint16Array(8);

/** RFC 4291 section 2.2, all three forms. */
function ipv6(b: Bytes, end: number, to: Uint32Array): boolean {
  let n = 0;
  /** Groups in front of `::`. */
  let gap = -1;
  if (pos + 1 < end && b.u8(pos) === COLON && b.u8(pos + 1) === COLON) {
    gap = 0;
    pos += 2;
  }
  while (n < 8 && pos < end && b.u8(pos) !== SPACE) {
    const start = pos;
    let v = 0;
    while (pos < end && pos - start < 4 && hex(b.u8(pos)) >= 0) v = v * 16 + hex(b.u8(pos++));
    if (pos === start) return false;
    if (pos < end && b.u8(pos) === DOT) {
      pos = start;
      const last = ipv4(b, end);
      if (last < 0 || n > 6) return false;
      groups[n++] = last >>> 16;
      groups[n++] = last & 0xffff;
      break;
    }
    groups[n++] = v;
    if (pos >= end || b.u8(pos) !== COLON) break;
    pos++;
    if (pos < end && b.u8(pos) === COLON) {
      if (gap >= 0) return false;
      gap = n;
      pos++;
    } else if (pos >= end || b.u8(pos) === SPACE || n === 8) return false;
  }
  if (gap < 0 ? n !== 8 : n > 7) return false;
  const shift = 8 - n;
  for (let i = 0; i < 8; i += 2)
    to[i >>> 1] = ((group(i, n, gap, shift) << 16) | group(i + 1, n, gap, shift)) >>> 0;
  return true;
}

function group(i: number, n: number, gap: number, shift: number): number {
  if (gap < 0 || i < gap) return groups[i]!;
  return i < gap + shift ? 0 : groups[i - shift]!;
}

// ----- writing

/**
 * Writes what `h` says as a header of `h.version`.
 * @param transport STREAM or DGRAM, for version 2; version 1 is for TCP only
 * @returns its length, at most EMIT_MAX
 */
export function emit(b: Bytes, off: number, h: Header, transport: number): number {
  return h.version === 1 ? emitV1(b, off, h) : emitV2(b, off, h, transport);
}

/** Length of what `emit` would write. */
export function emitLength(h: Header): number {
  if (h.version === 2) return V2_FIXED + (h.family === FAMILY_IPV4 ? 12 : h.family === FAMILY_IPV6 ? 36 : 0);
  if (h.family === FAMILY_NONE) return PROXY.length + UNKNOWN.length + 2;
  const v4 = h.family === FAMILY_IPV4;
  const addresses = v4
    ? ipv4Length(h.src[0]!) + ipv4Length(h.dst[0]!)
    : ipv6Length(h.src) + ipv6Length(h.dst);
  return PROXY.length + TCP4.length + addresses + digits(h.sport) + digits(h.dport) + 3 + 2;
}

function emitV2(b: Bytes, off: number, h: Header, transport: number): number {
  for (let i = 0; i < 3; i++) b.setU32(off + 4 * i, SIGNATURE[i]!);
  b.setU8(off + 12, COMMAND_PROXY);
  const { family } = h;
  b.setU8(off + 13, family === FAMILY_NONE ? 0 : (family << 4) | transport);
  const words = family === FAMILY_NONE ? 0 : family === FAMILY_IPV4 ? 1 : 4;
  const len = words === 0 ? 0 : 8 * words + 4;
  b.setU16(off + 14, len);
  const at = off + V2_FIXED;
  for (let i = 0; i < words; i++) {
    b.setU32(at + 4 * i, h.src[i]!);
    b.setU32(at + 4 * (words + i), h.dst[i]!);
  }
  if (words > 0) {
    b.setU16(at + 8 * words, h.sport);
    b.setU16(at + 8 * words + 2, h.dport);
  }
  return V2_FIXED + len;
}

function emitV1(b: Bytes, off: number, h: Header): number {
  pos = off;
  put(b, PROXY);
  if (h.family === FAMILY_NONE) put(b, UNKNOWN);
  else {
    const v4 = h.family === FAMILY_IPV4;
    put(b, v4 ? TCP4 : TCP6);
    putAddress(b, v4, h.src);
    b.setU8(pos++, SPACE);
    putAddress(b, v4, h.dst);
    b.setU8(pos++, SPACE);
    putDecimal(b, h.sport);
    b.setU8(pos++, SPACE);
    putDecimal(b, h.dport);
  }
  b.setU8(pos++, CR);
  b.setU8(pos++, LF);
  return pos - off;
}

function put(b: Bytes, what: Uint8Array): void {
  for (let i = 0; i < what.length; i++) b.setU8(pos++, what[i]!);
}

function putAddress(b: Bytes, v4: boolean, addr: Uint32Array): void {
  if (v4) {
    for (let i = 24; i >= 0; i -= 8) {
      putDecimal(b, (addr[0]! >>> i) & 255);
      if (i > 0) b.setU8(pos++, DOT);
    }
    return;
  }
  // All eight groups: as long as allowed, and nobody has to find the longest run of zeros.
  for (let i = 0; i < 8; i++) {
    if (i > 0) b.setU8(pos++, COLON);
    const v = groupOf(addr, i);
    for (let shift = 4 * (hexDigits(v) - 1); shift >= 0; shift -= 4) {
      const digit = (v >>> shift) & 15;
      b.setU8(pos++, digit < 10 ? ZERO + digit : 87 + digit);
    }
  }
}

function putDecimal(b: Bytes, v: number): void {
  const n = digits(v);
  for (let i = n - 1; i >= 0; i--) {
    b.setU8(pos + i, ZERO + (v % 10));
    v = (v / 10) | 0;
  }
  pos += n;
}

const digits = (v: number): number => (v < 10 ? 1 : v < 100 ? 2 : v < 1000 ? 3 : v < 10000 ? 4 : 5);
const hexDigits = (v: number): number => (v < 16 ? 1 : v < 256 ? 2 : v < 4096 ? 3 : 4);
const groupOf = (addr: Uint32Array, i: number): number =>
  (addr[i >>> 1]! >>> ((i & 1) === 0 ? 16 : 0)) & 0xffff;

function ipv4Length(addr: number): number {
  return (
    digits(addr >>> 24) + digits((addr >>> 16) & 255) + digits((addr >>> 8) & 255) + digits(addr & 255) + 3
  );
}

function ipv6Length(addr: Uint32Array): number {
  let n = 7;
  for (let i = 0; i < 8; i++) n += hexDigits(groupOf(addr, i));
  return n;
}
