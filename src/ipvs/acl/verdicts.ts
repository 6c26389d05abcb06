/**
 * The source verdicts of an instance, one table in shared memory: which addresses stand on which list. The master writes it
 * (writer.ts), lcores only look; native/src/verdicts.h reads the same memory.
 *
 * A list is known by its prefix lengths, so that a lookup asks one bucket for each length that is there, the longest first.
 * A bucket is one cache line of seven entries and the number of entries that found it full and went to the next one, so that
 * what is not on a list is known after one line a length in nearly all cases.
 *
 * Readers lock nothing: an entry is two words, the second of them is written while the first says "none". A lookup sees it as it
 * was or as it is.
 */
import { DROP } from '../../core/drops.js';
import { VERDICT } from '../../core/layout.js';

/** Lists are black or white. */
export const BLACK = 0;
export const WHITE = 1;
export type Kind = typeof BLACK | typeof WHITE;
/** In place of a service's slot: lists for all sources. */
export const GLOBAL = 0;
/** Passes. */
export const PASSES = -1;
/** Not on the list. */
export const NONE = -1;

/** Number of a list. @param slot of a service, or GLOBAL */
export const listOf = (slot: number, kind: Kind): number => slot * 2 + kind;

const BUCKET_WORDS = VERDICT.bucket >>> 2;
const INFO = VERDICT.info >>> 2;
const BUCKETS = VERDICT.buckets >>> 2;
const LAST = VERDICT.entries * 2;
/** Word of a bucket: entries that went past it. */
export const PASSED = LAST;

/** Bytes of a table of so many buckets, a power of two. */
export const verdictBytes = (buckets: number): number => VERDICT.buckets + buckets * VERDICT.bucket;

/** First word of an entry. Never 0. */
export const metaOf = (list: number, plen: number): number => (list << 6) | plen;

const GLOBAL_WHITE = metaOf(listOf(GLOBAL, WHITE), 0);
const EXEMPT = metaOf(VERDICT.exempt, 0);
const PLEN = 63;

/**
 * Where an entry is looked for first, by list, length and prefix. The three lists that are asked about one address, one after the
 * other, have theirs in one bucket: what a flood of listed sources costs is memory.
 */
export function homeOf(meta: number, prefix: number, mask: number): number {
  const list = meta & ~PLEN;
  const key = list === GLOBAL_WHITE || list === EXEMPT ? meta & PLEN : meta;
  let h = Math.imul(prefix ^ Math.imul(key, 0x9e3779b1), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15), 0xc2b2ae35);
  return (h ^ (h >>> 16)) & mask;
}

export const bucketAt = (bucket: number): number => BUCKETS + bucket * BUCKET_WORDS;

export class Verdicts {
  readonly words: Int32Array;
  readonly mask: number;

  /** @param buffer of `verdictBytes`, zeroed when new */
  constructor(buffer: SharedArrayBuffer) {
    this.words = new Int32Array(buffer);
    this.mask = (buffer.byteLength - VERDICT.buckets) / VERDICT.bucket - 1;
  }

  /** True when there is a global black list. */
  get isGlobal(): boolean {
    return this.words[INFO]! !== 0 || this.words[INFO + 1]! !== 0;
  }

  /** True when a list has entries. */
  has(list: number): boolean {
    return this.words[INFO + 2 * list]! !== 0 || this.words[INFO + 2 * list + 1]! !== 0;
  }

  /** The length of the longest prefix on a list that `addr` is in, or NONE. */
  match(list: number, addr: number): number {
    const { words, mask } = this;
    const info = INFO + 2 * list;
    let lengths = words[info]!;
    while (lengths !== 0) {
      const bit = 31 - Math.clz32(lengths);
      lengths &= ~(1 << bit);
      const plen = bit + 1;
      const prefix = addr & (-1 << (31 - bit));
      if (this.isThere(metaOf(list, plen), prefix, mask)) return plen;
    }
    return words[info + 1]! !== 0 ? 0 : NONE;
  }

  /** Drop reason of a packet from or to an address by the global lists, or PASSES. */
  ofAddr(addr: number): number {
    const black = this.match(listOf(GLOBAL, BLACK), addr);
    if (black === NONE || this.match(listOf(GLOBAL, WHITE), addr) >= black) return PASSES;
    return this.match(VERDICT.exempt, addr) === NONE ? DROP.ACL_BLACKLIST : PASSES;
  }

  /** Drop reason of a client of a service by the lists of the service, or PASSES. */
  ofClient(slot: number, addr: number): number {
    const black = listOf(slot, BLACK);
    if (this.has(black) && this.match(black, addr) !== NONE) return DROP.ACL_BLACKLIST;
    const white = listOf(slot, WHITE);
    return this.has(white) && this.match(white, addr) === NONE ? DROP.ACL_WHITELIST : PASSES;
  }

  private isThere(meta: number, prefix: number, mask: number): boolean {
    const { words } = this;
    for (
      let bucket = homeOf(meta, prefix, mask), seen = 0;
      seen <= mask;
      bucket = (bucket + 1) & mask, seen++
    ) {
      const at = BUCKETS + bucket * BUCKET_WORDS;
      for (let e = at; e < at + LAST; e += 2)
        // The word that says what it is, again: it was the same entry all the time.
        if (words[e] === meta && words[e + 1] === prefix && Atomics.load(words, e) === meta) return true;
      if (words[at + PASSED] === 0) return false;
    }
    return false;
  }
}
