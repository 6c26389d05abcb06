/** SCTP common header and chunks, RFC 9260 section 3. Offsets are relative to the start of the header. */
import type { Bytes } from '../core/bytes.js';
import { crcChange } from './crc32c.js';

const PORTS = 0;
const TAG = 4;
const CHECKSUM = 8;

/** Common header, without any chunk. */
export const HEADER_LEN = 12;
export const CHUNK_HEADER_LEN = 4;
/** INIT without parameters. */
export const INIT_LEN = 20;

/** Chunk types. */
export const DATA = 0;
export const INIT = 1;
export const INIT_ACK = 2;
export const ABORT = 6;
export const SHUTDOWN = 7;
export const SHUTDOWN_ACK = 8;
export const ERROR = 9;
export const COOKIE_ECHO = 10;
export const COOKIE_ACK = 11;
export const SHUTDOWN_COMPLETE = 14;

/** True if `len` bytes at `off` hold a header and the whole of its first chunk's header. Call once, then read freely. */
export function check(b: Bytes, off: number, len: number): boolean {
  return len >= HEADER_LEN + CHUNK_HEADER_LEN && chunkLen(b, off + HEADER_LEN) >= CHUNK_HEADER_LEN;
}

/** Verification tag; 0 in a packet with INIT. */
export const tag = (b: Bytes, off: number): number => b.u32(off + TAG);

// ----- chunks: `at` is where one begins

export const chunkType = (b: Bytes, at: number): number => b.u8(at);
/** Header and value, without padding. */
export const chunkLen = (b: Bytes, at: number): number => b.u16(at + 2);

/**
 * Where the chunk behind the one at `at` begins.
 * @returns -1 when no whole chunk header follows before `end`
 */
export function nextChunk(b: Bytes, at: number, end: number): number {
  const len = chunkLen(b, at);
  const next = at + ((len + 3) & ~3);
  return len < CHUNK_HEADER_LEN || next + CHUNK_HEADER_LEN > end ? -1 : next;
}

// ----- ports

/**
 * Other ports, checksum changed with them.
 * @param len of the packet: header and chunks
 * @param end arena offset behind what is there of it; the checksum may be missing (RFC 792 quotes eight bytes)
 */
export function changePorts(
  b: Bytes,
  off: number,
  len: number,
  end: number,
  sport: number,
  dport: number,
): void {
  const { view } = b;
  const before = view.getUint32(off + PORTS, true);
  b.setU16(off + PORTS, sport);
  b.setU16(off + PORTS + 2, dport);
  const difference = before ^ view.getUint32(off + PORTS, true);
  if (difference === 0 || off + HEADER_LEN > end) return;
  // The least significant byte of the CRC goes first (RFC 9260 appendix A).
  const crc = view.getUint32(off + CHECKSUM, true);
  // RFC 9653: ends that have agreed on it send 0 in place of a checksum.
  if (crc !== 0) view.setUint32(off + CHECKSUM, crc ^ crcChange(difference, len), true);
}
