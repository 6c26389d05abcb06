/**
 * Limits of new connections for each source of a service, exact over all lcores: how many connections a client (or its network)
 * may have (`srcConns`), and how many it may open a second (`srcRate`, `srcBurst`). One table of fixed size that lcores share; it is
 * looked at when a connection of a service with such a limit opens or ends, by nobody else.
 *
 * A source has 16 places that its entry may have. Where all are taken, a new source replaces the one with the least to
 * forget: the fewest connections and tenths of a second until its bucket is full again. So nobody is locked out by a full table, and
 * who is at his limits is the last to be forgotten: to free himself, an attacker would need 15 more sources with as many
 * connections among the same 16 places, which a secret chooses.
 *
 * Nothing is locked but the entering of a new source, in the same way as in `Templates`. A word of places holds the entry's
 * generation and its connections, so that whoever takes or gives back a place by compare-and-exchange notices that the entry has
 * changed hands. The rate is a token bucket, kept as the time at which it will be full again (GCRA, ITU-T I.371), in
 * tokens modulo 2^32.
 */
import { DROP } from '../core/drops.js';
import { EVENT } from '../core/events.js';
import type { Packets } from '../core/packet.js';
import type { Svc } from './service.js';

/** Entries that a source may have: a bucket. */
const WAYS = 16;
/** Words of an entry that lcores share. */
const SHARED = 5;

/** A word of places: 12 bits of generation, 20 of connections; from WRITING on, the lcore that is writing the entry. */
const COUNT = 0xfffff;
const GENERATION_BIT = 20;
const WRITING = 0xfff00;

/** Parts of a token. */
const UNIT = 256;
/** Attempts to get a turn, and to find an entry that stays as it is. */
const PATIENCE = 1000;
const TRIES = 16;

export const NO_SOURCE = -1;
const BUSY = -2;

/** True for a service that has such a limit. */
export const limitsSources = (svc: Svc): boolean => svc.srcRate > 0 || svc.srcConns > 0;

export class Sources {
  /** Of `admit`: the entry in which the source has taken a place, or NO_SOURCE, and its generation. */
  entry = NO_SOURCE;
  generation = 0;
  /** Of `admit`: why the source may not open a connection. */
  refusal = 0;
  /** Entries, a multiple of WAYS. */
  readonly capacity: number;
  private readonly places: Int32Array;
  private readonly clients: Int32Array;
  /** Slot of the service, 0 = nobody's. */
  private readonly svcs: Int32Array;
  /** When the bucket is full again, in tokens. */
  private readonly fullAt: Int32Array;
  /** The same in deciseconds of the monotonic clock. */
  private readonly idleAt: Int32Array;
  /** For each bucket the lcore that is entering a source, or 0. */
  private readonly turns: Int32Array;
  /** Of this lcore: its share of `places`, with the generation that it belongs to. */
  private readonly own: Int32Array;
  /** The word of places that `find` has seen. */
  private seen = 0;

  /** Bytes for at least so many entries. */
  static bytes(entries: number, lcores: number): number {
    const n = Math.ceil(Math.max(entries, WAYS) / WAYS) * WAYS;
    return (n * (SHARED + lcores) + n / WAYS) * 4;
  }

  /**
   * @param buffer of `Sources.bytes`
   * @param lcore 1 to `lcores`
   * @param secret chooses the bucket of a source; the same for all lcores
   */
  constructor(
    buffer: SharedArrayBuffer,
    lcores: number,
    private readonly lcore: number,
    private readonly packets: Packets,
    private readonly secret: number,
  ) {
    const buckets = Math.floor(buffer.byteLength / 4 / (WAYS * (SHARED + lcores) + 1));
    const n = buckets * WAYS;
    this.capacity = n;
    const array = (i: number): Int32Array => new Int32Array(buffer, i * n * 4, n);
    this.places = array(0);
    this.clients = array(1);
    this.svcs = array(2);
    this.fullAt = array(3);
    this.idleAt = array(4);
    this.own = array(SHARED + lcore - 1);
    this.turns = new Int32Array(buffer, n * (SHARED + lcores) * 4, buckets);
  }

  // ----- packet path: these allocate nothing

  /**
   * Takes what a new connection of a client needs. What comes of it: `NO_SOURCE` in `entry`, or a place that `release` gives
   * back.
   * @returns false when it may not open one; `refusal` says why
   */
  admit(svc: Svc, caddr: number, nowMs: number): boolean {
    const client = svc.srcPlen === 0 ? 0 : caddr & (-1 << (32 - svc.srcPlen));
    this.entry = NO_SOURCE;
    for (let tries = 0; tries < TRIES; tries++) {
      const bucket = this.bucket(client, svc.slot);
      let e = this.find(bucket, client, svc.slot);
      if (e === NO_SOURCE) e = this.enter(bucket, client, svc, nowMs);
      if (e === BUSY) break;
      const w = this.seen;
      if (svc.srcConns > 0) {
        if ((w & COUNT) >= svc.srcConns) {
          this.refusal = DROP.SRC_CONNS;
          return false;
        }
        if (Atomics.compareExchange(this.places, e, w, w + 1) !== w) continue;
        this.entry = e;
        this.generation = w >>> GENERATION_BIT;
        this.addOwn(e, this.generation);
      }
      if (svc.srcRate === 0 || this.spend(e, svc, nowMs)) return true;
      this.cancel();
      this.refusal = DROP.SRC_RATE;
      return false;
    }
    this.refusal = DROP.SRC_BUSY;
    return false;
  }

  /** The connection that `admit` was about cannot be made. */
  cancel(): void {
    if (this.entry !== NO_SOURCE) this.release(this.entry, this.generation);
    this.entry = NO_SOURCE;
  }

  /** A connection ends that had a place. */
  release(e: number, generation: number): void {
    if (e >= this.capacity) return;
    const { places, own } = this;
    for (;;) {
      const w = Atomics.load(places, e);
      // Somebody else's meanwhile, or, after a crash, nobody's.
      if (w >>> GENERATION_BIT !== generation || (w & COUNT) === 0 || (w & COUNT) >= WRITING) return;
      if (Atomics.compareExchange(places, e, w, w - 1) === w) break;
    }
    if (own[e]! >>> GENERATION_BIT === generation && (own[e]! & COUNT) > 0) own[e]! -= 1;
  }

  private addOwn(e: number, generation: number): void {
    const { own } = this;
    own[e] = (own[e]! >>> GENERATION_BIT === generation ? own[e]! : generation << GENERATION_BIT) + 1;
  }

  /** Takes a token. @returns false when there is none */
  private spend(e: number, svc: Svc, nowMs: number): boolean {
    const { fullAt } = this;
    const rate = svc.srcRate;
    const now = tokens(nowMs, rate);
    const size = (svc.srcBurst > 0 ? svc.srcBurst : rate) * UNIT;
    // Lcores read the time each at its own, hence a second more. What seems further ahead has waited since the numbers began anew, or
    // was counted by another rate.
    const stale = size + rate * UNIT;
    for (;;) {
      const at = Atomics.load(fullAt, e);
      const ahead = (at - now) | 0;
      const used = (ahead < 0 || ahead > stale ? 0 : ahead) + UNIT;
      if (used > size) return false;
      if (Atomics.compareExchange(fullAt, e, at, (now + used) | 0) !== at) continue;
      Atomics.store(this.idleAt, e, (decis(nowMs) + Math.ceil((used * 10) / UNIT / rate)) | 0);
      return true;
    }
  }

  private bucket(client: number, svc: number): number {
    let h = Math.imul(client ^ this.secret, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 15) ^ Math.imul(svc, 0x9e3779b1), 0xc2b2ae35);
    h = Math.imul(h ^ (h >>> 13) ^ this.secret, 0x27d4eb2f);
    return ((h ^ (h >>> 16)) >>> 0) % this.turns.length;
  }

  private find(bucket: number, client: number, svc: number): number {
    const { places, clients, svcs } = this;
    const end = (bucket + 1) * WAYS;
    for (let e = bucket * WAYS; e < end; e++) {
      if (clients[e] !== client || svcs[e] !== svc) continue;
      const w = Atomics.load(places, e);
      if ((w & COUNT) >= WRITING || clients[e] !== client || svcs[e] !== svc) continue;
      this.seen = w;
      return e;
    }
    return NO_SOURCE;
  }

  /** Enters a source, unless another lcore has done so meanwhile. @returns its entry, or BUSY */
  private enter(bucket: number, client: number, svc: Svc, nowMs: number): number {
    const { turns, lcore } = this;
    let patience = PATIENCE;
    while (Atomics.compareExchange(turns, bucket, 0, lcore) !== 0) if (--patience === 0) return BUSY;
    let e = this.find(bucket, client, svc.slot);
    if (e === NO_SOURCE) e = this.claim(bucket, client, svc, nowMs);
    Atomics.store(turns, bucket, 0);
    return e;
  }

  /** Gives a source the entry of the one with the least to forget. Whoever has the turn is the only one to do so here. */
  private claim(bucket: number, client: number, svc: Svc, nowMs: number): number {
    const { places, clients, svcs } = this;
    const now = decis(nowMs);
    for (let tries = 0; tries < TRIES; tries++) {
      const e = this.least(bucket, now);
      if (e === NO_SOURCE) return BUSY;
      const w = this.seen;
      const generation = ((w >>> GENERATION_BIT) + 1) << GENERATION_BIT;
      if (Atomics.compareExchange(places, e, w, generation | WRITING | this.lcore) !== w) continue;
      if ((w & COUNT) > 0) this.packets.countEvent(EVENT.SRC_FORGOTTEN);
      clients[e] = client;
      svcs[e] = svc.slot;
      this.fullAt[e] = tokens(nowMs, svc.srcRate);
      this.idleAt[e] = now;
      this.seen = generation;
      Atomics.store(places, e, generation);
      return e;
    }
    return BUSY;
  }

  /** The entry of a bucket to give away; its word of places is in `seen`. */
  private least(bucket: number, now: number): number {
    const { places, svcs, idleAt } = this;
    let best = NO_SOURCE;
    let least = Infinity;
    let longest = 0;
    const end = (bucket + 1) * WAYS;
    for (let e = bucket * WAYS; e < end; e++) {
      const w = Atomics.load(places, e);
      const count = w & COUNT;
      const wait = svcs[e] === 0 ? -0x80000000 : (idleAt[e]! - now) | 0;
      const worth = count + Math.max(wait, 0);
      if (count >= WRITING || worth > least || (worth === least && wait >= longest)) continue;
      best = e;
      least = worth;
      longest = wait;
      this.seen = w;
    }
    return best;
  }

  // ----- after a crash

  /** Gives back what the last life of this lcore had taken, or was writing; `adopt` takes what is still there. */
  forget(): void {
    const { places, own, turns, lcore } = this;
    for (let e = 0; e < this.capacity; e++) {
      const had = own[e]!;
      own[e] = 0;
      for (let n = had & COUNT; n > 0; n--) this.release(e, had >>> GENERATION_BIT);
      const w = Atomics.load(places, e);
      if ((w & COUNT) !== (WRITING | lcore)) continue;
      this.svcs[e] = 0;
      Atomics.store(places, e, w & ~COUNT);
    }
    for (let b = 0; b < turns.length; b++) if (turns[b] === lcore) Atomics.store(turns, b, 0);
  }

  /** A connection that had a place is still there. @returns false when its entry has become another's */
  adopt(e: number, generation: number): boolean {
    if (e >= this.capacity) return false;
    for (;;) {
      const w = Atomics.load(this.places, e);
      if (w >>> GENERATION_BIT !== generation || (w & COUNT) >= WRITING - 1) return false;
      if (Atomics.compareExchange(this.places, e, w, w + 1) !== w) continue;
      this.addOwn(e, generation);
      return true;
    }
  }

  /** Connections that are counted for a client, for tests and listings. */
  count(svc: Svc, caddr: number): number {
    const client = svc.srcPlen === 0 ? 0 : caddr & (-1 << (32 - svc.srcPlen));
    return this.find(this.bucket(client, svc.slot), client, svc.slot) === NO_SOURCE ? 0 : this.seen & COUNT;
  }
}

const decis = (nowMs: number): number => Math.floor(nowMs / 100) | 0;
/** Time in parts of tokens that come at a rate, modulo 2^32. */
const tokens = (nowMs: number, rate: number): number => ((nowMs * rate * UNIT) / 1000) | 0;
