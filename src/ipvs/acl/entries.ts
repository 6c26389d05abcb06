/**
 * Entries of all lists as they were written, for the master: what is there twice, what is missing, what a listing shows. A million
 * of them in 25 MB: plain columns, and an index of their numbers by list and range.
 */

const GONE = 0xffffffff;
/** Set in `kinds`: written with a dash. */
const DASH = 0x80000000;

export class Entries {
  /** By number: list and DASH, first and last address. */
  private lists = new Uint32Array(1024);
  private from = new Uint32Array(1024);
  private to = new Uint32Array(1024);
  /** Numbers + 1, open addressing, at most half full. */
  private index = new Int32Array(4096);
  private readonly free: number[] = [];
  private used = 0;
  /** The entry that `delete` has taken away was written with a dash. */
  wasDash = false;
  /** Entries by list. */
  private readonly counts = new Map<number, number>();

  /** Entries of a list. */
  count(list: number): number {
    return this.counts.get(list) ?? 0;
  }

  get size(): number {
    return this.used - this.free.length;
  }

  has(list: number, from: number, to: number): boolean {
    return this.index[this.placeOf(list, from, to)] !== 0;
  }

  /** @returns false when it is there already */
  add(list: number, from: number, to: number, dash: boolean): boolean {
    const place = this.placeOf(list, from, to);
    if (this.index[place] !== 0) return false;
    const e = this.free.pop() ?? this.used++;
    if (e >= this.lists.length) this.grow();
    this.lists[e] = dash ? list | DASH : list;
    this.from[e] = from;
    this.to[e] = to;
    this.index[place] = e + 1;
    this.counts.set(list, this.count(list) + 1);
    if (this.size * 2 > this.index.length) this.reindex(this.index.length * 4);
    return true;
  }

  /** @returns false when it is not there */
  delete(list: number, from: number, to: number): boolean {
    const { index } = this;
    const mask = index.length - 1;
    let hole = this.placeOf(list, from, to);
    const e = index[hole]! - 1;
    if (e < 0) return false;
    this.wasDash = (this.lists[e]! & DASH) !== 0;
    this.lists[e] = GONE;
    this.free.push(e);
    const left = this.count(list) - 1;
    if (left > 0) this.counts.set(list, left);
    else this.counts.delete(list);
    index[hole] = 0;
    // What stands behind may have been put there because of it.
    for (let i = (hole + 1) & mask; index[i] !== 0; i = (i + 1) & mask) {
      const home = this.home(index[i]! - 1) & mask;
      if (((i - home) & mask) < ((i - hole) & mask)) continue;
      index[hole] = index[i]!;
      index[i] = 0;
      hole = i;
    }
    return true;
  }

  /**
   * Entries from number `start` on, those of lists that `wanted` accepts, in no order that means anything.
   * @param seen at most so many are looked at
   * @returns where to go on, 0 = that was all
   */
  scan(
    start: number,
    limit: number,
    seen: number,
    wanted: (list: number) => boolean,
    each: (list: number, from: number, to: number, dash: boolean) => void,
  ): number {
    let e = start;
    for (let n = 0; e < this.used && n < limit && e - start < seen; e++) {
      const word = this.lists[e]!;
      const list = word & ~DASH;
      if (word === GONE || !wanted(list)) continue;
      each(list, this.from[e]!, this.to[e]!, word >>> 31 === 1);
      n++;
    }
    return e < this.used ? e : 0;
  }

  private hash(list: number, from: number, to: number): number {
    let h = Math.imul(from ^ Math.imul(list, 0x9e3779b1), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 15) ^ to, 0xc2b2ae35);
    return h ^ (h >>> 16);
  }

  private home(e: number): number {
    return this.hash(this.lists[e]! & ~DASH, this.from[e]!, this.to[e]!);
  }

  /** Where it is in the index, or would go. */
  private placeOf(list: number, from: number, to: number): number {
    const { index } = this;
    const mask = index.length - 1;
    let i = this.hash(list, from, to) & mask;
    for (; index[i] !== 0; i = (i + 1) & mask) {
      const e = index[i]! - 1;
      if (this.from[e] === from && this.to[e] === to && (this.lists[e]! & ~DASH) === list) break;
    }
    return i;
  }

  private grow(): void {
    const n = this.lists.length * 2;
    const larger = (old: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> => {
      const out = new Uint32Array(n);
      out.set(old);
      return out;
    };
    this.lists = larger(this.lists);
    this.from = larger(this.from);
    this.to = larger(this.to);
  }

  private reindex(size: number): void {
    this.index = new Int32Array(size);
    const mask = size - 1;
    for (let e = 0; e < this.used; e++) {
      if (this.lists[e] === GONE) continue;
      let i = this.home(e) & mask;
      while (this.index[i] !== 0) i = (i + 1) & mask;
      this.index[i] = e + 1;
    }
  }
}
