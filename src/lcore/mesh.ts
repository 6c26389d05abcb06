/**
 * The message mesh: one single-producer single-consumer ring from every member to every other. Member 0 is
 * the master, 1..N are the lcores. Messages are JSON (control traffic only, never packets).
 *
 * A member sleeps on its doorbell, an int32 in shared memory: whoever posts sets it to 1 and notifies.
 */
import { Ring } from '../core/ring.js';
import type { Command } from '../control/schema.js';
import type { ErrorData } from '../core/errors.js';
import type { Notice } from '../ipvs/dest-notices.js';

export const MASTER = 0;

/** What the master tells an lcore. */
export type ToLcore =
  | { t: 'command'; seq: number; command: Command }
  | { t: 'query'; seq: number; name: LcoreQuery; from: number }
  | { t: 'throw' };

/** What an lcore tells the master. */
export type ToMaster =
  | { t: 'ready' }
  | { t: 'ack'; seq: number; error?: ErrorData }
  | { t: 'reply'; seq: number; page: Page }
  | { t: 'dests'; notices: Notice[] }
  | { t: 'log'; level: 'debug' | 'info' | 'warn' | 'error'; msg: string; fields?: Record<string, unknown> };

/** What an lcore tells another. */
export interface NeighLearnt {
  t: 'neigh';
  ifindex: number;
  addr: number;
  mac: string;
}

/** Lists that only the lcore itself has. */
export type LcoreQuery = 'neigh' | 'sapool';

/** A part of a list, small enough for a ring: lists may be as long as the neighbour table. */
export interface Page {
  lines: readonly unknown[];
  /** Where the next part begins, 0 = that was the last. */
  next: number;
}

const MASTER_RING = 1 << 20;
const PEER_RING = 1 << 16;

/** Shared memory of the mesh: rings, then one doorbell per member on its own cache line. */
export class Mesh {
  private constructor(
    readonly buffer: SharedArrayBuffer,
    readonly members: number,
    private readonly bells: Int32Array,
  ) {}

  static create(members: number): Mesh {
    const bytes = Mesh.ringOffset(members, members - 1, members) + members * 64;
    return Mesh.open(new SharedArrayBuffer(bytes), members);
  }

  static open(buffer: SharedArrayBuffer, members: number): Mesh {
    const bellsAt = Mesh.ringOffset(members, members - 1, members);
    return new Mesh(buffer, members, new Int32Array(buffer, bellsAt, members * 16));
  }

  /** The ring from one member to another. Only `from` pushes, only `to` pops. */
  ring(from: number, to: number): Ring {
    return new Ring(this.buffer, Mesh.ringOffset(from, to, this.members), Mesh.capacity(from, to));
  }

  /** Wakes a member. */
  wake(member: number): void {
    Atomics.store(this.bells, member * 16, 1);
    Atomics.notify(this.bells, member * 16);
  }

  /** Sleeps until woken or `ms` have passed. For lcores; blocks the thread. */
  sleep(member: number, ms: number): void {
    Atomics.wait(this.bells, member * 16, 0, ms);
    Atomics.store(this.bells, member * 16, 0);
  }

  /** Resolves when the member is woken. For the master; blocks nothing. */
  async woken(member: number): Promise<void> {
    const r = Atomics.waitAsync(this.bells, member * 16, 0);
    if (r.async) await r.value;
    Atomics.store(this.bells, member * 16, 0);
  }

  private static capacity(from: number, to: number): number {
    return from === MASTER || to === MASTER ? MASTER_RING : PEER_RING;
  }

  private static ringOffset(from: number, to: number, members: number): number {
    let off = 0;
    for (let f = 0; f < members; f++) {
      for (let t = 0; t < members; t++) {
        if (f === from && t === to) return off;
        off += Ring.bytesFor(Mesh.capacity(f, t));
      }
    }
    return Math.ceil(off / 64) * 64;
  }
}
