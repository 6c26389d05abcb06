/**
 * State machines of transport protocols as data: direction x event x state -> state. Both paths, the
 * TypeScript stack and the native loop, step the same bytes.
 */
import type { Bytes } from '../../core/bytes.js';
import type { Records } from '../conn/records.js';
import type { XmitContext } from '../xmit/xmit.js';

/** Which table a packet steps: from the client, from the real server, or a mode that sees one direction only. */
export const TABLE_IN = 0;
export const TABLE_OUT = 1;
export const TABLE_IN_ONLY = 2;

/** A packet that is no event: the state stays. */
export const NO_EVENT = -1;

/** Seconds, as `ipvsadm --set` gives them; 0 = as configured. */
export interface SetTimeouts {
  tcp: number;
  tcpFin: number;
  udp: number;
}

export interface StateInfo {
  /** Key of its timeout in the configuration and in `timeout.get`. */
  readonly key: string;
  /** As `ipvsadm -lnc` prints it. */
  readonly name: string;
  /** Default timeout in seconds. */
  readonly timeout: number;
  /** Counted in ActiveConn (all other states in InActConn). */
  readonly active?: true;
  /** Over but for stray packets: a client that opens anew from the same port may get another real server. */
  readonly closing?: true;
  /** Nobody has confirmed the connection (half open, one-way), or it is over: it may be ended to make room (src/ipvs/flood.ts). */
  readonly fleeting?: true;
  /** The service's connection timeout replaces this state's timeout. */
  readonly connTimeout?: true;
  /** Which of the three timeouts of `ipvsadm --set` is this one. */
  readonly set?: keyof SetTimeouts;
}

/**
 * The states of a protocol as objects of one shape. Of several, compiled code that reads them falls back to looking fields up
 * by name, at every change of state.
 */
export function ofOneShape(states: readonly StateInfo[]): StateInfo[] {
  return states.map(
    ({ key, name, timeout, active, closing, fleeting, connTimeout, set }) =>
      ({ key, name, timeout, active, closing, fleeting, connTimeout, set }) as StateInfo,
  );
}

/** What the load balancer knows of a transport protocol: one object, one line in the registry. */
export interface Proto {
  /** IP protocol number. */
  readonly number: number;
  readonly name: 'tcp' | 'udp' | 'icmp' | 'sctp';
  /** Without them, services and real servers have port 0. */
  readonly hasPorts: boolean;
  /** The native loop forwards it. */
  readonly native: boolean;
  /** States by number. */
  readonly states: readonly StateInfo[];
  /** State in which connections of one packet stay (src/ipvs/once.ts); absent: there are none. */
  readonly onceState?: number;
  /**
   * For packets that are forwarded without a record (src/ipvs/unrecorded.ts); absent: none are. The state whose timeout says how
   * long such a connection is expected to go on after a packet.
   */
  readonly lastingState?: number;
  /** Such a connection gets a record, in this state, with a packet that is this event. Needless where every packet opens one. */
  readonly resumeEvent?: number;
  readonly resumeState?: number;
  /** Events by number, for people. */
  readonly events: readonly string[];
  /** `next[(table * events + event) * states + state]`. */
  readonly next: Uint8Array;
  /** Shortest header. */
  readonly headerLen: number;
  /** Where the checksum stands in the header. */
  readonly checksumOff: number;
  /** The checksum covers addresses, as part of a pseudo header. */
  readonly pseudoHeader: boolean;
  /** A checksum of 0 means "none" and is never computed (UDP over IPv4, RFC 768). */
  readonly optionalChecksum: boolean;
  /**
   * True when the header at `l4` is whole and consistent within a datagram that ends at `end`.
   * @param more what stands there is a first fragment: the datagram goes on behind `end`
   */
  check(b: Bytes, l4: number, end: number, more: boolean): boolean;
  /** The event that a checked packet is, or `NO_EVENT`. Its datagram, or what is here of it, ends at `end`. */
  event(b: Bytes, l4: number, end: number): number;
  /** True when a packet without a connection may be given a new one. */
  opens(b: Bytes, l4: number): boolean;
  /** True for packets of known connections that the native loop must not forward, by their TCP flags and state table. */
  slow?(b: Bytes, l4: number, table: number): boolean;
  /** True for a packet that has opened connection `c` already, and comes again. */
  isRepeated?(r: Records, c: number, b: Bytes, l4: number): boolean;
  /** Writes the ports where they do not stand first in the header. The checksum is the caller's business. */
  setPorts?(b: Bytes, l4: number, sport: number, dport: number): void;
  /**
   * Writes the ports, and the checksum where that is no Internet checksum (RFC 1071): in place of `setPorts` and deltas.
   * @param len of header and data; the beginning, up to `end`, is there
   */
  rewrite?(b: Bytes, l4: number, len: number, end: number, sport: number, dport: number): void;
  /**
   * Notes what a packet of the real server says, `len` bytes from its transport header on. Call it before the time of the packet
   * is noted.
   */
  observe?(r: Records, c: number, b: Bytes, l4: number, len: number, nowMs: number): void;
  /** True for a packet of the real server, as above, that goes on with a storm of acknowledgements of more than `most` rounds. */
  isStorm?(r: Records, c: number, b: Bytes, l4: number, len: number, nowMs: number, most: number): boolean;
  /** Called when a connection has expired, before it is released. */
  expired?(x: XmitContext, c: number): void;
}

/**
 * Compiles a table written as in the literature.
 * @param abbr abbreviations of the states by number
 * @param rows one line of abbreviations per table and event, tables in the order IN, OUT, IN-ONLY
 */
export function compile(abbr: readonly string[], rows: readonly string[]): Uint8Array {
  const next = new Uint8Array(rows.length * abbr.length);
  rows.forEach((row, r) => {
    const cells = row.trim().split(/\s+/);
    if (cells.length !== abbr.length)
      throw new RangeError(`row ${r} has ${cells.length} states, not ${abbr.length}`);
    cells.forEach((cell, s) => {
      const to = abbr.indexOf(cell);
      if (to < 0) throw new RangeError(`row ${r}: unknown state ${cell}`);
      next[r * abbr.length + s] = to;
    });
  });
  return next;
}

/** The state after `event` (not `NO_EVENT`). Allocates nothing. */
export function step(proto: Proto, table: number, event: number, state: number): number {
  return proto.next[(table * proto.events.length + event) * proto.states.length + state]!;
}
