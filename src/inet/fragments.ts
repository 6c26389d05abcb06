/**
 * Datagrams of which fragments have been seen, by (source, destination, protocol, identification) as RFC 791 section 2.3
 * has it, with the fragments that wait. Bounded in datagrams, in fragments of one, and in fragments of all (each
 * occupies one packet buffer, whatever it holds), aged in the order in which they began. Nothing allocates.
 *
 * What is full gives up its oldest datagram: under a flood, one whose fragments come together still gets through, and a table
 * that refused new ones would be closed to everybody.
 */
import type { Bytes } from '../core/bytes.js';
import { DROP } from '../core/drops.js';
import { NO_PACKET, type Packets } from '../core/packet.js';
import * as ipv4 from '../wire/ipv4.js';

/** No such datagram. */
export const NONE = -1;
/** Fragments of one datagram: 64 KiB in pieces of 576 bytes are 119. */
export const MAX_PER_DATAGRAM = 128;
/** Datagrams that one tick ends at most. */
const ENDS_PER_TICK = 256;

/** Bounds of a table. */
export interface FragmentLimits {
  /** Datagrams at once. */
  readonly fragmentEntries: number;
  /** Fragments that may wait, of all datagrams. */
  readonly fragmentBuffers: number;
  /** How long they wait for the others. */
  readonly fragmentTtlMs: number;
}

export interface FragmentTableOptions {
  packets: Packets;
  limits: FragmentLimits;
  /** Called with a datagram whose time is up, before its fragments are dropped. */
  onTimeout?: (slot: number) => void;
}

export class FragmentTable {
  private readonly packets: Packets;
  private readonly buffers: number;
  private readonly ttlMs: number;
  private readonly onTimeout: ((slot: number) => void) | undefined;
  private readonly seed = (Math.random() * 2 ** 32) | 0;
  /** First slot by hash; then, by slot, the next one with that hash, or the next free one. */
  private readonly buckets: Int32Array;
  private readonly chain: Int32Array;
  private readonly mask: number;
  private free = 0;
  private count = 0;
  // By slot: the key, when it began, its neighbours in age.
  private readonly src: Uint32Array;
  private readonly dst: Uint32Array;
  private readonly idProto: Uint32Array;
  private readonly bornMs: Float64Array;
  private readonly older: Int32Array;
  private readonly newer: Int32Array;
  private oldest = NONE;
  private newest = NONE;
  // By slot: the fragments that wait, linked by `Packets.next`.
  private readonly first: Uint32Array;
  private readonly last: Uint32Array;
  private readonly parts: Uint16Array;
  private total = 0;

  constructor(o: FragmentTableOptions) {
    const n = o.limits.fragmentEntries;
    this.packets = o.packets;
    this.buffers = o.limits.fragmentBuffers;
    this.ttlMs = o.limits.fragmentTtlMs;
    this.onTimeout = o.onTimeout;
    let buckets = 8;
    while (buckets < n) buckets *= 2;
    this.mask = buckets - 1;
    this.buckets = new Int32Array(buckets).fill(NONE);
    this.chain = Int32Array.from({ length: n }, (_, i) => (i + 1 < n ? i + 1 : NONE));
    this.src = new Uint32Array(n);
    this.dst = new Uint32Array(n);
    this.idProto = new Uint32Array(n);
    this.bornMs = new Float64Array(n);
    this.older = new Int32Array(n);
    this.newer = new Int32Array(n);
    this.first = new Uint32Array(n);
    this.last = new Uint32Array(n);
    this.parts = new Uint16Array(n);
  }

  /** Datagrams. */
  get size(): number {
    return this.count;
  }
  /** Fragments that wait. */
  get waiting(): number {
    return this.total;
  }

  /** The datagram that the fragment with its header at `l3` belongs to, or NONE. */
  find(b: Bytes, l3: number): number {
    const src = ipv4.src(b, l3);
    const dst = ipv4.dst(b, l3);
    const id = idProto(b, l3);
    let s = this.buckets[this.hash(src, dst, id)]!;
    while (s !== NONE && (this.src[s] !== src || this.dst[s] !== dst || this.idProto[s] !== id))
      s = this.chain[s]!;
    return s;
  }

  /** A new datagram, which `find` has not found. */
  open(b: Bytes, l3: number): number {
    if (this.free === NONE) this.end(this.oldest, DROP.IP_FRAG_FULL);
    const s = this.free;
    this.free = this.chain[s]!;
    this.count++;
    this.src[s] = ipv4.src(b, l3);
    this.dst[s] = ipv4.dst(b, l3);
    this.idProto[s] = idProto(b, l3);
    const at = this.hash(this.src[s], this.dst[s], this.idProto[s]);
    this.chain[s] = this.buckets[at]!;
    this.buckets[at] = s;
    this.bornMs[s] = this.packets.nowMs;
    this.older[s] = this.newest;
    this.newer[s] = NONE;
    if (this.newest === NONE) this.oldest = s;
    else this.newer[this.newest] = s;
    this.newest = s;
    return s;
  }

  /** Forgets a datagram of which nothing waits. */
  close(s: number): void {
    const at = this.hash(this.src[s]!, this.dst[s]!, this.idProto[s]!);
    if (this.buckets[at] === s) this.buckets[at] = this.chain[s]!;
    else {
      let before = this.buckets[at]!;
      while (this.chain[before] !== s) before = this.chain[before]!;
      this.chain[before] = this.chain[s]!;
    }
    const older = this.older[s]!;
    const newer = this.newer[s]!;
    if (older === NONE) this.oldest = newer;
    else this.newer[older] = newer;
    if (newer === NONE) this.newest = older;
    else this.older[newer] = older;
    this.chain[s] = this.free;
    this.free = s;
    this.count--;
  }

  // ----- the fragments that wait

  /** The first of them, then `Packets.next`; NO_PACKET when there is none. */
  firstOf(s: number): number {
    return this.first[s]!;
  }
  lastOf(s: number): number {
    return this.last[s]!;
  }

  /**
   * Keeps a fragment behind `after` (NO_PACKET: in front of all others).
   * @returns false when there is no room for it: it has been dropped
   */
  keep(s: number, p: number, after: number): boolean {
    const { packets } = this;
    while (this.total >= this.buffers && this.oldest !== s) this.end(this.oldest, DROP.IP_FRAG_FULL);
    if (this.total >= this.buffers || this.parts[s]! >= MAX_PER_DATAGRAM) {
      packets.drop(p, DROP.IP_FRAG_FULL);
      return false;
    }
    const next = after === NO_PACKET ? this.first[s]! : packets.next(after);
    packets.setNext(p, next);
    if (after === NO_PACKET) this.first[s] = p;
    else packets.setNext(after, p);
    if (next === NO_PACKET) this.last[s] = p;
    this.parts[s]! += 1;
    this.total++;
    packets.hold(p);
    return true;
  }

  /** Hands out all fragments that wait, linked by `Packets.next`. @returns the first, or NO_PACKET */
  takeAll(s: number): number {
    const head = this.first[s]!;
    for (let p = head; p !== NO_PACKET; p = this.packets.next(p)) this.packets.release(p);
    this.total -= this.parts[s]!;
    this.parts[s] = 0;
    this.first[s] = this.last[s] = NO_PACKET;
    return head;
  }

  dropAll(s: number, reason: number): void {
    dropChain(this.packets, this.takeAll(s), reason);
  }

  /** Ends what has waited too long. */
  tick(nowMs: number): void {
    for (let i = 0; i < ENDS_PER_TICK && this.oldest !== NONE; i++) {
      const s = this.oldest;
      if (nowMs - this.bornMs[s]! < this.ttlMs) return;
      this.onTimeout?.(s);
      this.end(s, DROP.IP_FRAG_TIMEOUT);
    }
  }

  private end(s: number, reason: number): void {
    this.dropAll(s, reason);
    this.close(s);
  }

  private hash(src: number, dst: number, id: number): number {
    let h = Math.imul(src ^ this.seed, 0xcc9e2d51);
    h = Math.imul((h ^ (h >>> 15) ^ dst) | 0, 0x1b873593);
    h = Math.imul((h ^ (h >>> 13) ^ id) | 0, 0x85ebca6b);
    return (h ^ (h >>> 16)) & this.mask;
  }
}

const idProto = (b: Bytes, l3: number): number => (ipv4.id(b, l3) << 8) | ipv4.proto(b, l3);

/** Drops packets that are linked by `Packets.next`. */
export function dropChain(packets: Packets, first: number, reason: number): void {
  for (let p = first; p !== NO_PACKET;) {
    const next = packets.next(p);
    packets.drop(p, reason);
    p = next;
  }
}
