/** What a scheduler is. A new one is a file in this folder and a line in `index.ts`. */
import type { Dest } from '../service.js';

/** What a scheduler may ask about real servers, as counted on this lcore. */
export interface Load {
  /** May get connections: weight above 0 and below its connection limit. */
  usable(dest: Dest): boolean;
  active(dest: Dest): number;
  inactive(dest: Dest): number;
}

/**
 * Chooses a real server for a new connection. One object per algorithm; what it remembers of a service is the
 * state `S`, made off the packet path.
 */
export interface Scheduler<S = unknown> {
  readonly name: string;
  /** One line for help and reference pages. */
  readonly text: string;
  /**
   * State for the real servers as they are now; called when a service comes and whenever its real servers or
   * their weights change.
   * @param start position to begin at, different on every lcore so that their first picks differ
   * @param old state until now, when there is one
   */
  state(dests: readonly Dest[], start: number, old: S | undefined): S;
  /**
   * Runs on the packet path: allocates nothing.
   * @returns index in `dests`, or -1 when none is usable
   */
  pick(state: S, dests: readonly Dest[], load: Load): number;
}
