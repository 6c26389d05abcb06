/**
 * Reading the connection records of an lcore from another thread (the master lists them) while the lcore goes on
 * writing. Nothing is locked: a record that is taken or freed meanwhile may be missing or a packet old, but
 * what is returned is always of one connection, and reading never throws.
 */
import { CONN_F_HASHED, CONN_F_ONCE, DIR_IN, DIR_OUT } from '../../core/layout.js';
import { PROTO_BY_NUMBER } from '../proto/index.js';
import type { Proto } from '../proto/table.js';
import { D, Records } from './records.js';

/** A connection. Addresses are IPv4 in host order, times in milliseconds. */
export interface ConnView {
  /** Its index in the table. */
  conn: number;
  proto: Proto['name'];
  /** Name of the state in listings. */
  state: string;
  timeoutMs: number;
  /** When the last packet was seen, on the lcore's clock (LcoreBlock.nowMs) modulo 2^32. */
  lastSeenMs: number;
  caddr: number;
  cport: number;
  vaddr: number;
  vport: number;
  laddr: number;
  lport: number;
  daddr: number;
  dport: number;
  /** Slot of the real server. */
  dest: number;
}

/** Which connections are wanted; what is absent doesn't matter. */
export interface ConnFilter {
  /** Whether connections of the real server in this slot are wanted. */
  dest?: (slot: number) => boolean;
  /** Names of states, of any protocol. */
  states?: ReadonlySet<string>;
  /** Protocol number and tuple of the packets of one direction, either one. */
  tuple?: { proto: number; saddr: number; sport: number; daddr: number; dport: number };
}

export interface ConnList {
  conns: ConnView[];
  /** Index to go on from, 0 = that was all. */
  next: number;
  /** Records looked at. */
  seen: number;
}

/** Milliseconds until the connection expires if no packet comes. */
export function remainingMs(v: ConnView, nowMs: number): number {
  // A packet may have come since `nowMs` was read: then nothing has elapsed.
  return Math.max(v.timeoutMs - Math.max((nowMs - v.lastSeenMs) | 0, 0), 0);
}

/**
 * Up to `limit` connections from index `from` on, out of at most `scan` records.
 * @param buffer the records of an lcore
 */
export function readConns(
  buffer: SharedArrayBuffer,
  from: number,
  limit: number,
  filter: ConnFilter = {},
  scan = Infinity,
): ConnList {
  const r = new Records(buffer);
  const conns: ConnView[] = [];
  const end = r.top + 1;
  const start = Math.max(Math.floor(from), 1);
  const last = Math.min(end, start + scan);
  let c = start;
  for (; c < last && conns.length < limit; c++) {
    if ((r.flags(c) & CONN_F_HASHED) === 0 || !matches(r, c, filter)) continue;
    const view = read(r, c);
    if (view && (filter.states === undefined || filter.states.has(view.state))) conns.push(view);
  }
  return { conns, next: c < end ? c : 0, seen: c - start };
}

/**
 * Counts connections by the slot of their real server and their local address, out of at most `scan` records.
 * @param counts by `slot * 2^32 + local address`; added to
 * @returns index to go on from, 0 = that was all
 */
export function countLaddrs(
  buffer: SharedArrayBuffer,
  from: number,
  scan: number,
  counts: Map<number, number>,
): number {
  const r = new Records(buffer);
  const end = r.top + 1;
  let c = from;
  const last = Math.min(end, c + scan);
  for (; c < last; c++) {
    if ((r.flags(c) & CONN_F_HASHED) === 0) continue;
    const key = r.dest(c) * 0x1_0000_0000 + r.bytes.u32(r.dir(c, DIR_OUT) + D.daddr);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return c < end ? c : 0;
}

function matches(r: Records, c: number, { dest, tuple }: ConnFilter): boolean {
  if (dest !== undefined && !dest(r.dest(c))) return false;
  if (tuple === undefined) return true;
  if (r.proto(c) !== tuple.proto) return false;
  for (const d of [DIR_IN, DIR_OUT]) {
    const at = r.dir(c, d);
    if (
      r.bytes.u32(at + D.saddr) === tuple.saddr &&
      r.bytes.u16(at + D.sport) === tuple.sport &&
      r.bytes.u32(at + D.daddr) === tuple.daddr &&
      r.bytes.u16(at + D.dport) === tuple.dport
    )
      return true;
  }
  return false;
}

/** Undefined when the record changed hands while it was read. */
function read(r: Records, c: number): ConnView | undefined {
  const created = r.createdMs(c);
  const proto = PROTO_BY_NUMBER[r.proto(c)];
  const state = proto?.states[r.state(c)];
  if (!proto || !state) return undefined;
  const i = r.dir(c, DIR_IN);
  const o = r.dir(c, DIR_OUT);
  const b = r.bytes;
  const hidden = (r.flags(c) & CONN_F_ONCE) !== 0;
  const saddr = b.u32(i + D.saddr);
  const sport = b.u16(i + D.sport);
  const view: ConnView = {
    conn: c,
    proto: proto.name,
    state: state.name,
    timeoutMs: r.timeoutMs(c),
    lastSeenMs: r.lastSeenMs(c),
    caddr: b.u32(hidden ? o + D.newDaddr : i + D.saddr),
    cport: b.u16(hidden ? o + D.newDport : i + D.sport),
    vaddr: b.u32(hidden ? o + D.newSaddr : i + D.daddr),
    vport: b.u16(hidden ? o + D.newSport : i + D.dport),
    laddr: b.u32(o + D.daddr),
    lport: b.u16(o + D.dport),
    daddr: b.u32(i + D.newDaddr),
    dport: b.u16(i + D.newDport),
    dest: r.dest(c),
  };
  const same =
    (r.flags(c) & CONN_F_HASHED) !== 0 &&
    r.createdMs(c) === created &&
    b.u32(i + D.saddr) === saddr &&
    b.u16(i + D.sport) === sport &&
    b.u16(o + D.dport) === view.lport;
  return same ? view : undefined;
}
