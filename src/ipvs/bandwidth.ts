/**
 * Bandwidth of services over all lcores: a token bucket for each direction, kept as the time at which it will be full again (the
 * generic cell rate algorithm, ITU-T I.371), one word in memory that lcores share. An lcore takes a millisecond's worth
 * at once and spends it alone, so that the word is touched a thousand times a second, not for each packet.
 *
 * Only services with a limit come here; their packets all go through TypeScript (DEST_F_SLOW).
 */

/** What an idle service may send at once, in time at its rate. */
const BURST_US = 50_000;
/** What an lcore takes at once. */
const CHUNK_US = 1000;
/** Lcores read the time at the beginning of a poll, each at its own. */
const SKEW_US = 1_000_000;
/** Largest datagram: 9000 bytes and what surrounds it. */
const LARGEST = 9216;

export class Bandwidth {
  /** When each bucket is full again: microseconds modulo 2^32, by service and direction. */
  private readonly fullUs: Int32Array;
  /** Bytes that this lcore has taken and not spent. */
  private readonly left: Float64Array;

  /** @param buffer 8 bytes for each service */
  constructor(buffer: SharedArrayBuffer) {
    this.fullUs = new Int32Array(buffer);
    this.left = new Float64Array(this.fullUs.length);
  }

  /**
   * Allocates nothing.
   * @param slot of the service
   * @param d direction: each has the whole rate
   * @returns false when the packet is over the limit
   */
  take(slot: number, d: number, bytes: number, bps: number, nowMs: number): boolean {
    const i = slot * 2 + d;
    const left = this.left[i]!;
    if (left >= bytes) {
      this.left[i] = left - bytes;
      return true;
    }
    const chunk = Math.max(bytes - left, (bps / 8e6) * CHUNK_US);
    // No bucket is ever further ahead than this: one that seems so was last used before its clock wrapped.
    const stale = SKEW_US + BURST_US + Math.max((LARGEST * 8e6) / bps, CHUNK_US);
    if (!this.advance(i, Math.round((chunk * 8e6) / bps), Math.floor(nowMs * 1000), stale)) return false;
    this.left[i] = left + chunk - bytes;
    return true;
  }

  private advance(i: number, us: number, nowUs: number, stale: number): boolean {
    for (;;) {
      const full = Atomics.load(this.fullUs, i);
      const ahead = (full - nowUs) | 0;
      const isIdle = ahead < 0 || ahead > stale;
      if (!isIdle && ahead > BURST_US) return false;
      const next = ((isIdle ? nowUs : full) + us) | 0;
      if (Atomics.compareExchange(this.fullUs, i, full, next) === full) return true;
    }
  }
}
