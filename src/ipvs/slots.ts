/**
 * Slot numbers of real servers: the index of their counters in the DEST_STATS area of every lcore, and what a
 * connection record remembers of its real server.
 *
 * Every replica applies the same commands in the same order and so hands out the same slots; a snapshot carries
 * this allocator's memory (`svc.slots`), so that a replica filled from one goes on in the same way.
 *
 * Connections outlive their real server, hence the rule: a real server that comes back gets the slot that it
 * had, with the connections that still run; a free slot goes to another one only when all `cap - 1` have been
 * handed out, the one free for the longest time first.
 */
import { DpvsError } from '../core/errors.js';

/**
 * What a snapshot carries: the next slot never used, and the free ones, oldest first, with what becomes of the connections of
 * those that held them.
 */
export interface SlotMemory {
  next: number;
  free: [slot: number, key: string, expire: boolean][];
}

/** What the counters of a slot mean to its new holder. */
export type SlotUse = 'new' | 'revived' | 'replayed';

export class Slots {
  private next = 1;
  /** Slot by key of the real server that held it; insertion order is the order of release. */
  private readonly free = new Map<string, { slot: number; expire: boolean }>();

  /** @param cap one more than the largest slot */
  constructor(private readonly cap: number) {}

  /**
   * @param key identity of the real server
   * @param slot the slot that a snapshot says it has
   * @throws DpvsError RESOURCE when every slot is in use
   */
  take(key: string, slot?: number): { slot: number; use: SlotUse } {
    if (slot !== undefined) {
      for (const [k, f] of this.free) if (f.slot === slot) this.free.delete(k);
      this.next = Math.max(this.next, slot + 1);
      return { slot, use: 'replayed' };
    }
    const own = this.free.get(key);
    if (own !== undefined) {
      this.free.delete(key);
      return { slot: own.slot, use: 'revived' };
    }
    if (this.next < this.cap) return { slot: this.next++, use: 'new' };
    for (const [k, oldest] of this.free) {
      this.free.delete(k);
      return { slot: oldest.slot, use: 'new' };
    }
    throw new DpvsError('RESOURCE', `all ${this.cap - 1} slots are in use`);
  }

  /** Frees the slot of a removed real server, whose connections are to `expire` or not. */
  release(key: string, slot: number, expire: boolean): void {
    this.free.set(key, { slot, expire });
  }

  memory(): SlotMemory {
    return { next: this.next, free: [...this.free].map(([key, f]) => [f.slot, key, f.expire]) };
  }

  /** Takes over what a snapshot carries. */
  restore(m: SlotMemory): void {
    this.next = Math.max(this.next, m.next);
    for (const [slot, key, expire] of m.free) this.free.set(key, { slot, expire });
  }
}
