/**
 * The TCP options that are negotiated with SYN and SYN-ACK: read from a header, written behind one. Both in the order and with
 * the padding that `native/src/syn_answer.h` has too.
 */
import type { Bytes } from '../../core/bytes.js';
import * as tcp from '../../wire/tcp.js';
import { first, OPT_MSS, OPT_NOP, OPT_SACK_OK, OPT_TIMESTAMP, OPT_WSCALE } from '../../wire/tcp-options.js';

/** RFC 9293 section 3.7.1: of who names none. */
const DEFAULT_MSS = 536;
/** RFC 7323 section 2.3. */
const MAX_WSCALE = 14;
export const NONE = -1;

const LEN_MSS = 4;
const LEN_WSCALE = 3;
const LEN_SACK_OK = 2;
const LEN_TIMESTAMP = 10;

/** What one end has offered. One object, filled again and again. */
export class Offer {
  mss = DEFAULT_MSS;
  /** Shift count, NONE = not offered. */
  wscale = NONE;
  sack = false;
  timestamp = false;
  tsval = 0;
  tsecr = 0;

  /** Reads the options of a whole header. Malformed ones end the list. */
  read(b: Bytes, l4: number): void {
    this.mss = DEFAULT_MSS;
    this.wscale = NONE;
    this.sack = this.timestamp = false;
    this.tsval = this.tsecr = 0;
    const end = l4 + tcp.headerLen(b, l4);
    let next = l4 + tcp.HEADER_LEN;
    for (let at = first(b, next, end); at >= 0; at = first(b, next, end)) {
      const kind = b.u8(at);
      const len = b.u8(at + 1);
      next = at + len;
      if (kind === OPT_MSS && len === LEN_MSS) this.mss = b.u16(at + 2);
      else if (kind === OPT_WSCALE && len === LEN_WSCALE) this.wscale = Math.min(b.u8(at + 2), MAX_WSCALE);
      else if (kind === OPT_SACK_OK && len === LEN_SACK_OK) this.sack = true;
      else if (kind === OPT_TIMESTAMP && len === LEN_TIMESTAMP) {
        this.timestamp = true;
        this.tsval = b.u32(at + 2);
        this.tsecr = b.u32(at + 6);
      }
    }
  }
}

/** Bytes of the options that `write` writes. */
export const offerLen = (wscale: number, sack: boolean, timestamp: boolean): number =>
  LEN_MSS + (timestamp ? 12 : sack ? 4 : 0) + (wscale === NONE ? 0 : 4);

/** Writes options at `at`, padded to whole words. */
export function writeOffer(
  b: Bytes,
  at: number,
  mss: number,
  wscale: number,
  sack: boolean,
  timestamp: boolean,
  tsval: number,
  tsecr: number,
): void {
  b.setU16(at, (OPT_MSS << 8) | LEN_MSS);
  b.setU16(at + 2, mss);
  at += LEN_MSS;
  if (sack || timestamp) {
    b.setU16(at, sack ? (OPT_SACK_OK << 8) | LEN_SACK_OK : (OPT_NOP << 8) | OPT_NOP);
    if (timestamp) {
      b.setU16(at + 2, (OPT_TIMESTAMP << 8) | LEN_TIMESTAMP);
      b.setU32(at + 4, tsval);
      b.setU32(at + 8, tsecr);
      at += 12;
    } else {
      b.setU16(at + 2, (OPT_NOP << 8) | OPT_NOP);
      at += 4;
    }
  }
  if (wscale !== NONE) {
    b.setU16(at, (OPT_NOP << 8) | OPT_WSCALE);
    b.setU16(at + 2, (LEN_WSCALE << 8) | wscale);
  }
}
