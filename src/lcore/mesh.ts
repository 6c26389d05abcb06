/**
 * The message mesh: one single-producer single-consumer ring from every member to every other. Member 0 is
 * the master, 1..N are the lcores. Messages are JSON (control traffic only, never packets).
 *
 * An lcore that is idle sleeps on its doorbell, an int32 in shared memory, and is notified by whoever posts. Only then: to notify
 * takes a lock of V8 that all threads share (FutexEmulation), and a busy lcore would wait for a master that was preempted while
 * it held it. The master has no bell for that reason, it looks (src/master/lcores.ts).
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

/** What a doorbell says. */
const QUIET = 0;
const RUNG = 1;
const ASLEEP = 2;

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

  /** Wakes an lcore, or keeps it from falling asleep. */
  wake(member: number): void {
    if (Atomics.exchange(this.bells, member * 16, RUNG) === ASLEEP) Atomics.notify(this.bells, member * 16);
  }

  /** Sleeps until woken or `ms` have passed. Blocks the thread. */
  sleep(member: number, ms: number): void {
    const bell = member * 16;
    if (Atomics.compareExchange(this.bells, bell, QUIET, ASLEEP) === QUIET)
      Atomics.wait(this.bells, bell, ASLEEP, ms);
    Atomics.store(this.bells, bell, QUIET);
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
