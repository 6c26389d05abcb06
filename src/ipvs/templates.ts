/**
 * Persistence: which real server a client (or its network) has at a service. One table for all lcores, since the connections of
 * a client arrive on any of them and all must get the same real server. It is looked at when a connection of a
 * persistent service opens and written when a client is new; established connections don't know it.
 *
 * An entry lives until its time is up, counted from the last new connection, and while it has connections: each lcore counts
 * its own, in a row of its own that it counts anew after a crash.
 *
 * Reading locks nothing: an entry's word of state (generation and real server) is published last, and changed by
 * compare-and-exchange. Lcores that enter clients into the same bucket take turns, lest the first two connections of a client make
 * two entries. A turn takes a microsecond; who has waited for some in vain drops the packet rather than wait for a thread
 * that does not run, and the client tries again. An lcore that dies gives its turn back when it is started again.
 */

/** Words of an entry. */
const STATE = 0;
const CLIENT = 1;
const SVC = 2;
/** Deciseconds of the monotonic clock modulo 2^32. */
const EXPIRES = 3;
/** Seconds. */
const TIMEOUT = 4;
const WORDS = 8;

/** Entries that a client may have: a bucket. */
const WAYS = 16;
const FREE = 0;
/** Attempts to get the turn, some ten microseconds. */
const PATIENCE = 1000;
/** Time that is left when the last connection ends, if the timeout is not shorter: for the next one. */
const GRACE_S = 60;

/** Bits of a state: 15 of generation, 16 of the real server's slot. */
const SLOT_BITS = 16;
const SLOT_MASK = 0xffff;
const GENERATION_MASK = 0x7fff;

/** No entry. */
export const NO_TEMPLATE = -1;
/** The turn could not be had. */
export const BUSY = -2;

export interface TemplateView {
  /** Client address under the service's mask. */
  client: number;
  /** Slots of service and real server. */
  svc: number;
  dest: number;
  timeoutS: number;
  remainingMs: number;
}

const decis = (nowMs: number): number => Math.floor(nowMs / 100) | 0;

export class Templates {
  /** Entries, a power of two. */
  readonly capacity: number;
  private readonly words: Int32Array;
  /** For each bucket the lcore that is entering a client, or 0. */
  private readonly turns: Int32Array;
  /** By lcore: connections of each entry. Written by that lcore alone. */
  private readonly rows: Int32Array[];
  private readonly own: Int32Array;

  /** Bytes for at least so many entries. */
  static bytes(entries: number, lcores: number): number {
    const n = 2 ** Math.ceil(Math.log2(Math.max(entries, WAYS)));
    return n * (WORDS + 1 / WAYS + lcores) * 4;
  }

  /**
   * @param buffer of `Templates.bytes`
   * @param lcore 1 to `lcores`; the master, which only lists, is as good as any
   */
  constructor(
    buffer: SharedArrayBuffer,
    lcores: number,
    private readonly lcore = 1,
  ) {
    const n = Math.floor(buffer.byteLength / 4 / (WORDS + 1 / WAYS + lcores));
    const turns = n * WORDS;
    const rows = turns + n / WAYS;
    this.capacity = n;
    this.words = new Int32Array(buffer, 0, turns);
    this.turns = new Int32Array(buffer, turns * 4, n / WAYS);
    this.rows = Array.from({ length: lcores }, (_, i) => new Int32Array(buffer, (rows + i * n) * 4, n));
    this.own = this.rows[lcore - 1]!;
  }

  // ----- packet path: these allocate nothing

  /** The entry of a client at a service, or NO_TEMPLATE. */
  find(client: number, svc: number, nowMs: number): number {
    const now = decis(nowMs);
    const first = this.bucket(client, svc) * WAYS;
    for (let e = first; e < first + WAYS; e++) if (this.is(e, client | 0, svc, now)) return e;
    return NO_TEMPLATE;
  }

  /** The real server's slot of an entry. */
  dest(e: number): number {
    return Atomics.load(this.words, e * WORDS + STATE) & SLOT_MASK;
  }

  /**
   * Enters a client, unless another lcore has done so meanwhile: look at `dest`.
   * @returns the entry, NO_TEMPLATE when its bucket is full of living ones, or BUSY
   */
  enter(client: number, svc: number, dest: number, timeoutS: number, nowMs: number): number {
    const bucket = this.bucket(client, svc);
    let patience = PATIENCE;
    while (Atomics.compareExchange(this.turns, bucket, 0, this.lcore) !== 0)
      if (--patience === 0) return BUSY;
    let e = this.find(client, svc, nowMs);
    if (e === NO_TEMPLATE) e = this.claim(bucket * WAYS, client, svc, dest, timeoutS, nowMs);
    Atomics.store(this.turns, bucket, 0);
    return e;
  }

  /**
   * Gives an entry another real server, if it still has `from`.
   * @returns the slot that it has now: another lcore's choice when that was faster
   */
  change(e: number, from: number, to: number): number {
    const at = e * WORDS + STATE;
    const old = Atomics.load(this.words, at);
    if ((old & SLOT_MASK) !== from) return old & SLOT_MASK;
    return Atomics.compareExchange(this.words, at, old, next(old, to)) === old ? to : this.dest(e);
  }

  /** A connection of the client opens: the time of the entry begins anew. */
  hold(e: number, timeoutS: number, nowMs: number): void {
    this.own[e]! += 1;
    this.words[e * WORDS + TIMEOUT] = timeoutS;
    Atomics.store(this.words, e * WORDS + EXPIRES, decis(nowMs) + timeoutS * 10);
  }

  /** A connection ends. */
  release(e: number, nowMs: number): void {
    if (e >= this.capacity || (this.own[e]! -= 1) > 0) return;
    const at = e * WORDS;
    const until = (decis(nowMs) + Math.min(this.words[at + TIMEOUT]!, GRACE_S) * 10) | 0;
    // A connection that opens on another lcore at this moment sets a later time; should that be lost, it holds the entry.
    if (((until - Atomics.load(this.words, at + EXPIRES)) | 0) > 0)
      Atomics.store(this.words, at + EXPIRES, until);
  }

  /** After a crash: gives back what the last life was writing; connections are counted anew, each by `adopt`. */
  forget(): void {
    const { words, turns, own, lcore } = this;
    for (let e = 0; e < this.capacity; e++) {
      if (own[e] !== 0) own[e] = 0;
      if (words[e * WORDS + STATE] === -lcore) Atomics.store(words, e * WORDS + STATE, FREE);
    }
    for (let b = 0; b < turns.length; b++) if (turns[b] === lcore) Atomics.store(turns, b, 0);
  }
  adopt(e: number): void {
    if (e < this.capacity) this.own[e]! += 1;
  }

  private isAlive(e: number, now: number): boolean {
    if (((Atomics.load(this.words, e * WORDS + EXPIRES) - now) | 0) > 0) return true;
    for (let i = 0; i < this.rows.length; i++) if (Atomics.load(this.rows[i]!, e) > 0) return true;
    return false;
  }

  private bucket(client: number, svc: number): number {
    let h = Math.imul(client ^ Math.imul(svc, 0x9e3779b1), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 15), 0xc2b2ae35);
    return ((h ^ (h >>> 16)) >>> 0) % (this.capacity / WAYS);
  }

  private is(e: number, client: number, svc: number, now: number): boolean {
    const w = this.words;
    const at = e * WORDS;
    const state = Atomics.load(w, at + STATE);
    return (
      state > 0 &&
      w[at + CLIENT] === client &&
      w[at + SVC] === svc &&
      this.isAlive(e, now) &&
      // It was the same entry all the time.
      Atomics.load(w, at + STATE) === state
    );
  }

  /** Whoever has the turn is the only one to write here; what is being written is the work of an lcore that died. */
  private claim(
    first: number,
    client: number,
    svc: number,
    dest: number,
    timeoutS: number,
    nowMs: number,
  ): number {
    const w = this.words;
    const now = decis(nowMs);
    for (let e = first; e < first + WAYS; e++) {
      const at = e * WORDS;
      const old = Atomics.load(w, at + STATE);
      if (old < 0 || (old !== FREE && this.isAlive(e, now))) continue;
      if (Atomics.compareExchange(w, at + STATE, old, -this.lcore) !== old) continue;
      w[at + CLIENT] = client;
      w[at + SVC] = svc;
      w[at + TIMEOUT] = timeoutS;
      Atomics.store(w, at + EXPIRES, now + timeoutS * 10);
      Atomics.store(w, at + STATE, next(old, dest));
      return e;
    }
    return NO_TEMPLATE;
  }

  // ----- listings

  /** Up to `limit` entries from `from` on, living ones only. @returns where to go on, 0 = that was all */
  list(from: number, limit: number, nowMs: number, each: (t: TemplateView) => void): number {
    const w = this.words;
    const now = decis(nowMs);
    let e = Math.max(Math.floor(from), 0);
    for (let n = 0; e < this.capacity && n < limit; e++) {
      const at = e * WORDS;
      const state = w[at + STATE]!;
      if (state <= 0 || !this.isAlive(e, now)) continue;
      each({
        client: w[at + CLIENT]! >>> 0,
        svc: w[at + SVC]!,
        dest: state & SLOT_MASK,
        timeoutS: w[at + TIMEOUT]!,
        remainingMs: Math.max((w[at + EXPIRES]! - now) | 0, 0) * 100,
      });
      n++;
    }
    return e < this.capacity ? e : 0;
  }
}

/** The state that follows `old`: another generation, so that whoever has read half of an entry notices. */
function next(old: number, dest: number): number {
  return ((((old >>> SLOT_BITS) + 1) & GENERATION_MASK) << SLOT_BITS) | dest;
}
