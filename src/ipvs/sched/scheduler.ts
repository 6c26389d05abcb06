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
  /** Scheduler flags of a service (`ipvsadm --sched-flags`) that it knows, in the order of listings. */
  readonly flags?: readonly string[];
  /** Whom a client gets depends on nothing but whom the one before got: choices may be made ahead (src/ipvs/stocks.ts). */
  readonly goesRound?: boolean;
  /** What it can hash (`ipvsadm --hash-target`), the default first. */
  readonly hashTargets?: readonly string[];
  /**
   * State for the real servers as they are now; called when a service comes and whenever its real servers,
   * their weights or its scheduler flags change. Runs in the master as well, which picks nothing.
   * @param start position to begin at, different on every lcore so that their first picks differ
   * @param old state until now, when there is one
   * @param flags some of `this.flags`
   */
  state(dests: readonly Dest[], start: number, old: S | undefined, flags: readonly string[]): S;
  /**
   * Goes on with a table that `state` has asked for; called by lcores between polls, never by the master. Tens of microseconds of work.
   * @returns true while there is more to do
   */
  build?(state: S): boolean;
  /**
   * Runs on the packet path: allocates nothing.
   * @param caddr client address
   * @param cport client port in host order, 0 where the protocol has none
   * @param vaddr destination address of the packet: the virtual address, with SNAT the peer in the internet
   * @param nowMs monotonic
   * @returns undefined when there is none for this connection
   */
  pick(
    state: S,
    dests: readonly Dest[],
    load: Load,
    caddr: number,
    cport: number,
    vaddr: number,
    nowMs: number,
  ): Dest | undefined;
}
