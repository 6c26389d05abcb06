/**
 * Connection limits of real servers over all lcores: one word for each slot in memory that lcores share. Only real servers
 * with a limit use theirs, and only when a connection opens or ends, so that nothing is shared where nothing has to be.
 *
 * A word holds the connections of all lcores and, as its sign, whether the real server is full: set by whoever takes the last
 * place, taken away by whoever leaves room enough (LVS's hysteresis: fewer than the lower threshold; without
 * one, fewer than the upper). Places are taken before the connection is made: no two lcores get the last one.
 */

const FULL = 1 << 31;
const COUNT = 0x7fffffff;

export class DestLimits {
  private readonly words: Int32Array;

  /** @param buffer 4 bytes for each slot */
  constructor(buffer: SharedArrayBuffer) {
    this.words = new Int32Array(buffer);
  }

  /** True when no connection is let in now. */
  isFull(slot: number, max: number): boolean {
    const v = Atomics.load(this.words, slot);
    return v < 0 || v >= max;
  }

  /** Connections that are counted. */
  count(slot: number): number {
    return Atomics.load(this.words, slot) & COUNT;
  }

  /** Takes a place. @returns false when there is none */
  reserve(slot: number, max: number): boolean {
    const w = this.words;
    for (;;) {
      const v = Atomics.load(w, slot);
      if (v < 0 || v >= max) return false;
      const next = v + 1 >= max ? (v + 1) | FULL : v + 1;
      if (Atomics.compareExchange(w, slot, v, next) === v) return true;
    }
  }

  /** Gives a place back. */
  release(slot: number, max: number, min: number): void {
    const w = this.words;
    for (;;) {
      const v = Atomics.load(w, slot);
      const n = (v & COUNT) - 1;
      const next = v < 0 && n >= (min > 0 ? min : max) ? n | FULL : n;
      if (Atomics.compareExchange(w, slot, v, next) === v) return;
    }
  }

  /** An lcore begins (`n` > 0) or ends (`n` < 0) to count its connections here. */
  add(slot: number, n: number): void {
    Atomics.add(this.words, slot, n);
  }

  /** The limit has changed: full is who has reached it. */
  settle(slot: number, max: number): void {
    const w = this.words;
    for (;;) {
      const v = Atomics.load(w, slot);
      const n = v & COUNT;
      if (Atomics.compareExchange(w, slot, v, n >= max ? n | FULL : n) === v) return;
    }
  }
}
