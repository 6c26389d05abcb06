/**
 * Forwarding information base: longest prefix match over IPv4 prefixes. One hash table for all prefixes, keyed by
 * (masked address, prefix length), and the list of the lengths that occur: a lookup probes once for each of them,
 * which in practice is three or four, and allocates nothing.
 */
import { IntMap } from '../core/intmap.js';
import { mask } from '../wire/ipv4.js';
import type { Route } from './api.js';

/** A route as it stands in the table. */
export interface FibEntry extends Route {
  /** Implied by an address, or set by a command. */
  readonly proto: 'auto' | 'static';
  /** The destination is a broadcast address of `ifindex`. */
  readonly broadcast: boolean;
  /** Order of arrival. */
  readonly order: number;
}

export class Fib {
  private readonly prefixes = new IntMap();
  /** Entries of each prefix, best first; empty = the slot is free. */
  private readonly slots: FibEntry[][] = [];
  private readonly best: (FibEntry | undefined)[] = [];
  private readonly freeSlots: number[] = [];
  /** Prefix lengths that occur, longest first, with their masks. */
  private readonly lengths = new Uint8Array(33);
  private readonly masks = new Int32Array(33);
  private lengthCount = 0;
  private readonly used = new Uint32Array(33);

  /** @param usable says whether a route's device is up: among equal prefixes it goes first */
  constructor(private readonly usable: (ifindex: number) => boolean) {}

  /** The best route of the longest prefix that covers `addr`. */
  lookup(addr: number): FibEntry | undefined {
    for (let i = 0; i < this.lengthCount; i++) {
      const slot = this.prefixes.get(addr & this.masks[i]!, this.lengths[i]!);
      if (slot >= 0) return this.best[slot];
    }
    return undefined;
  }

  /** The best route to this one address, whatever prefixes cover it. */
  host(addr: number): FibEntry | undefined {
    if (this.used[32] === 0) return undefined;
    const slot = this.prefixes.get(addr, 32);
    return slot < 0 ? undefined : this.best[slot];
  }

  /** Entries of exactly this prefix, best first. */
  at(dst: number, plen: number): readonly FibEntry[] {
    const slot = this.prefixes.get(dst, plen);
    return slot < 0 ? [] : this.slots[slot]!;
  }

  add(entry: FibEntry): void {
    let slot = this.prefixes.get(entry.dst, entry.plen);
    if (slot < 0) {
      slot = this.freeSlots.pop() ?? this.slots.push([]) - 1;
      this.prefixes.set(entry.dst, entry.plen, slot);
      if (++this.used[entry.plen]! === 1) this.listLengths();
    }
    this.slots[slot]!.push(entry);
    this.sort(slot);
  }

  remove(entry: FibEntry): void {
    const slot = this.prefixes.get(entry.dst, entry.plen);
    const entries = this.slots[slot]!;
    entries.splice(entries.indexOf(entry), 1);
    this.sort(slot);
    if (entries.length > 0) return;
    this.prefixes.delete(entry.dst, entry.plen);
    this.freeSlots.push(slot);
    if (--this.used[entry.plen]! === 0) this.listLengths();
  }

  /** Devices went up or down: chooses among equal prefixes anew. */
  resort(): void {
    for (let slot = 0; slot < this.slots.length; slot++) this.sort(slot);
  }

  /** All entries, shortest prefixes last. */
  all(): FibEntry[] {
    return this.slots.flat().sort((a, b) => b.plen - a.plen || a.order - b.order);
  }

  /** Covering prefixes of an address, longest first; for checks on the control path. */
  covering(addr: number): FibEntry[] {
    const found: FibEntry[] = [];
    for (let i = 0; i < this.lengthCount; i++) {
      found.push(...this.at((addr & this.masks[i]!) >>> 0, this.lengths[i]!));
    }
    return found;
  }

  private sort(slot: number): void {
    const entries = this.slots[slot]!;
    const rank = (e: FibEntry): number => (e.local ? 0 : e.broadcast ? 1 : this.usable(e.ifindex) ? 2 : 3);
    entries.sort((a, b) => rank(a) - rank(b) || a.metric - b.metric || a.order - b.order);
    this.best[slot] = entries[0];
  }

  private listLengths(): void {
    this.lengthCount = 0;
    for (let plen = 32; plen >= 0; plen--) {
      if (this.used[plen] === 0) continue;
      this.lengths[this.lengthCount] = plen;
      this.masks[this.lengthCount] = mask(plen);
      this.lengthCount += 1;
    }
  }
}
