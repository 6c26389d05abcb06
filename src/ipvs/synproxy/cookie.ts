/**
 * SYN cookies (RFC 4987 section 3.6): the sequence number of our SYN-ACK, which says all that must be known of a client that has
 * answered it, so that nothing is remembered of one that has not.
 *
 *   20 bits of SipHash | 4 MSS | 4 window scale | 1 SACK | 1 time stamps | 2 of the minute
 *
 * The hash covers addresses, ports, the client's sequence number and what it has offered, under the key of the minute. Keys follow
 * from one secret of the instance: every lcore, and one that was started again, knows all of them. A cookie is good for two
 * to three minutes; one of the minute to come as well, since lcores don't turn the page at the same instant.
 * Forging one takes a million tries on average for each connection. Looking at one takes one hash, whatever it says.
 */
import { SYN_NO_WSCALE } from '../../core/layout.js';
import { SipHash } from '../../core/siphash.js';

/** Life of a key. */
export const MINUTE_MS = 60_000;
/** Keys that are in use: of two minutes ago, the last one, this one, the next one. */
const KEYS = 4;
const HASH_BITS = 0xfffff000;

/** What a client has offered, as it travels in a cookie: 10 bits. */
const DATA_BITS = 0x3ff;
/** Window scale of a client that has offered none, or was answered none. */
export const NO_WSCALE = SYN_NO_WSCALE;

/** Largest segments that a cookie can name: a client's is rounded down. Those of common links are there. */
export const MSS_TABLE: readonly number[] = [
  64, 128, 256, 512, 536, 768, 1024, 1220, 1280, 1360, 1380, 1400, 1440, 1452, 1460, 8960,
];

export const packData = (mss: number, wscale: number, sack: boolean, timestamp: boolean): number =>
  (mssIndex(mss) << 6) | (wscale << 2) | (sack ? 2 : 0) | (timestamp ? 1 : 0);
/** Of any cookie, true or not. */
export const dataOf = (cookie: number): number => (cookie >>> 2) & DATA_BITS;
export const mssOf = (data: number): number => MSS_TABLE[data >>> 6]!;
export const wscaleOf = (data: number): number => (data >>> 2) & 15;
export const sackOf = (data: number): boolean => (data & 2) !== 0;
export const timestampOf = (data: number): boolean => (data & 1) !== 0;

function mssIndex(mss: number): number {
  let i = MSS_TABLE.length - 1;
  while (i > 0 && MSS_TABLE[i]! > mss) i--;
  return i;
}

export class Cookies {
  /** Number of the minute since the clock began. */
  private minute = -1;
  /** By the last two bits of their minute. */
  private readonly hashes: SipHash[] = [];
  /** The keys as the native twin takes them, by the last two bits of their minute; `onKeys` tells when they change. */
  readonly keys = new Uint32Array(KEYS * 4);
  private readonly secret: SipHash;

  /**
   * @param secret four words, the same on all lcores
   * @param onKeys called when a new minute has begun
   */
  constructor(
    secret: Uint32Array,
    nowMs: number,
    private readonly onKeys: () => void = () => undefined,
  ) {
    this.secret = new SipHash(secret);
    this.turn(Math.floor(nowMs / MINUTE_MS));
  }

  /** Keeps up with the time; call once per loop. */
  tick(nowMs: number): void {
    const minute = Math.floor(nowMs / MINUTE_MS);
    if (minute === this.minute) return;
    this.turn(minute);
    this.onKeys();
  }

  private turn(minute: number): void {
    this.minute = minute;
    for (let m = minute - 2; m <= minute + 1; m++) {
      const key = this.keys.subarray((m & 3) * 4, (m & 3) * 4 + 4);
      for (let half = 0; half < 2; half++) {
        key[half * 2] = this.secret.of(m, half, 0, 0);
        key[half * 2 + 1] = this.secret.high;
      }
      this.hashes[m & 3] = new SipHash(key);
    }
  }

  /** The last two bits of the minute. */
  get now(): number {
    return this.minute & 3;
  }

  /**
   * @param ports of the client's SYN side by side, source first
   * @param isn sequence number of the SYN
   * @param data see `packData`
   * @returns 0..2^32-1
   */
  make(saddr: number, daddr: number, ports: number, isn: number, data: number): number {
    const time = this.minute & 3;
    return ((this.sign(time, saddr, daddr, ports, isn, data) & HASH_BITS) | (data << 2) | time) >>> 0;
  }

  /** @returns the data of a cookie of ours that is not too old, or -1 */
  check(saddr: number, daddr: number, ports: number, isn: number, cookie: number): number {
    const data = dataOf(cookie);
    const hash = this.sign(cookie & 3, saddr, daddr, ports, isn, data);
    return ((hash ^ cookie) & HASH_BITS) === 0 ? data : -1;
  }

  private sign(time: number, saddr: number, daddr: number, ports: number, isn: number, data: number): number {
    // Two offers for which the last word is the same would need two SYNs of one client: it forges nothing but its own.
    return this.hashes[time]!.of(saddr, daddr, ports, isn ^ (data << 22));
  }
}
