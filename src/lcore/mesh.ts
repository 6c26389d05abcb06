/**
 * The message mesh: one single-producer single-consumer ring from every member to every other. Member 0 is
 * the master, 1..N are the lcores. Messages are JSON (control traffic only, never packets).
 *
 * An lcore that is idle sleeps on its doorbell (native/src/doorbell.h); whoever posts to it rings that. The master has none, as it
 * waits in the event loop: it looks (src/master/lcores.ts).
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

/** Shared memory of the mesh. */
export class Mesh {
  constructor(
    readonly buffer: SharedArrayBuffer,
    private readonly members: number,
  ) {}

  static create(members: number): Mesh {
    // Where a ring behind the last one would begin.
    return new Mesh(new SharedArrayBuffer(Mesh.ringOffset(members, 0, members)), members);
  }

  /** The ring from one member to another. Only `from` pushes, only `to` pops. */
  ring(from: number, to: number): Ring {
    return new Ring(this.buffer, Mesh.ringOffset(from, to, this.members), Mesh.capacity(from, to));
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
    return off;
  }
}
