/**
 * The only writer of the source verdicts: the master's side of the table in verdicts.ts. Lcores read meanwhile: what a list has
 * stands in the table before the list says so, and goes after it has said so.
 */
import { DpvsError } from '../../core/errors.js';
import { VERDICT } from '../../core/layout.js';
import { bucketAt, homeOf, metaOf, PASSED, type Verdicts } from './verdicts.js';

const INFO = VERDICT.info >>> 2;
const LISTS = VERDICT.lists >>> 2;
/** Part of all places that may be taken: fuller buckets send too many lookups on. */
const FULL = 0.72;

export class VerdictWriter {
  /** Places that are taken. */
  private taken = 0;
  /** Entries that several have put there, by their place: how many besides the first. */
  private readonly more = new Map<number, number>();
  /** By list: entries of each length, 0 to 32. */
  private readonly lengths = new Map<number, Uint32Array>();

  constructor(private readonly table: Verdicts) {}

  /** Prefixes that the table takes. */
  get capacity(): number {
    return Math.floor((this.table.mask + 1) * VERDICT.entries * FULL);
  }

  /** Prefixes that still fit. */
  get room(): number {
    return this.capacity - this.taken;
  }

  /** Puts a prefix on a list; it holds once the list is told (`publish`), or now if the list has that length. There is room. */
  add(list: number, prefix: number, plen: number): void {
    const lengths = this.lengthsOf(list);
    // Length 0 needs no entry: the list says it.
    if (plen > 0) {
      const { words, mask } = this.table;
      const meta = metaOf(list, plen);
      const known = this.find(meta, prefix | 0);
      if (known >= 0) {
        this.more.set(known, (this.more.get(known) ?? 0) + 1);
        return;
      }
      if (this.taken >= (mask + 1) * VERDICT.entries)
        throw new DpvsError('RESOURCE', 'the table of lists is full');
      let bucket = homeOf(meta, prefix | 0, mask);
      for (let place = this.free(bucket); ; place = this.free(bucket)) {
        if (place >= 0) {
          words[place + 1] = prefix | 0;
          Atomics.store(words, place, meta);
          break;
        }
        Atomics.add(words, bucketAt(bucket) + PASSED, 1);
        bucket = (bucket + 1) & mask;
      }
      this.taken++;
    }
    lengths[plen]!++;
  }

  /** Takes away what `add` has put there. */
  remove(list: number, prefix: number, plen: number): void {
    if (plen > 0) {
      const { words, mask } = this.table;
      const meta = metaOf(list, plen);
      const place = this.find(meta, prefix | 0);
      if (place < 0) return;
      const others = this.more.get(place) ?? 0;
      if (others > 0) {
        if (others === 1) this.more.delete(place);
        else this.more.set(place, others - 1);
        return;
      }
      Atomics.store(words, place, 0);
      words[place + 1] = 0;
      for (
        let b = homeOf(meta, prefix | 0, mask);
        place < bucketAt(b) || place >= bucketAt(b) + PASSED;
        b = (b + 1) & mask
      )
        Atomics.sub(words, bucketAt(b) + PASSED, 1);
      this.taken--;
    }
    this.lengthsOf(list)[plen]!--;
  }

  /** The list holds as it is now: what `add` has put there counts, and lengths that are gone are not asked for. */
  publish(list: number): void {
    const lengths = this.lengthsOf(list);
    let bits = 0;
    for (let plen = 1; plen <= 32; plen++) if (lengths[plen]! > 0) bits |= 1 << (plen - 1);
    this.tell(list, bits, lengths[0]! > 0 ? 1 : 0);
    if (bits === 0 && lengths[0] === 0) this.lengths.delete(list);
  }

  /** The list holds nothing any more, whatever still stands in the table. */
  silence(list: number): void {
    this.tell(list, 0, 0);
  }

  private tell(list: number, bits: number, all: number): void {
    const { words } = this.table;
    const was = words[INFO + 2 * list]! !== 0 || words[INFO + 2 * list + 1]! !== 0;
    const is = bits !== 0 || all !== 0;
    const counts = list !== VERDICT.exempt;
    // Lcores look at lists only while there are any.
    if (counts && is && !was) Atomics.add(words, LISTS, 1);
    Atomics.store(words, INFO + 2 * list + 1, all);
    Atomics.store(words, INFO + 2 * list, bits);
    if (counts && was && !is) Atomics.sub(words, LISTS, 1);
  }

  private lengthsOf(list: number): Uint32Array {
    let lengths = this.lengths.get(list);
    if (lengths === undefined) this.lengths.set(list, (lengths = new Uint32Array(33)));
    return lengths;
  }

  private free(bucket: number): number {
    const at = bucketAt(bucket);
    for (let e = at; e < at + PASSED; e += 2) if (this.table.words[e] === 0) return e;
    return -1;
  }

  private find(meta: number, prefix: number): number {
    const { words, mask } = this.table;
    for (let bucket = homeOf(meta, prefix, mask); ; bucket = (bucket + 1) & mask) {
      const at = bucketAt(bucket);
      for (let e = at; e < at + PASSED; e += 2) if (words[e] === meta && words[e + 1] === prefix) return e;
      if (words[at + PASSED] === 0) return -1;
    }
  }
}
