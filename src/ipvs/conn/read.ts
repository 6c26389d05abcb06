/**
 * Reading the connection records of an lcore from another thread (the master lists them) while the lcore goes on
 * writing. Nothing is locked: a record that is taken or freed meanwhile may be missing or a packet old, but
 * what is returned is always of one connection, and reading never throws.
 */
import { CONN_F_HASHED, DIR_IN, DIR_OUT } from '../../core/layout.js';
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

/** Only connections of this service: IP protocol number, virtual address and port. */
export interface ConnFilter {
  proto: number;
  addr: number;
  /** 0 = any, of protocols without ports. */
  port: number;
  /** Of a service by match, which has no address: the slots of its real servers. */
  slots?: ReadonlySet<number> | undefined;
}

export interface ConnList {
  conns: ConnView[];
  /** Index to go on from, 0 = that was all. */
  next: number;
}

/** Milliseconds until the connection expires if no packet comes. */
export function remainingMs(v: ConnView, nowMs: number): number {
  // A packet may have come since `nowMs` was read: then nothing has elapsed.
  return Math.max(v.timeoutMs - Math.max((nowMs - v.lastSeenMs) | 0, 0), 0);
}

/**
 * Up to `limit` connections from index `from` on.
 * @param buffer the records of an lcore
 */
export function readConns(
  buffer: SharedArrayBuffer,
  from: number,
  limit: number,
  filter?: ConnFilter,
): ConnList {
  const r = new Records(buffer);
  const conns: ConnView[] = [];
  let c = Math.max(Math.floor(from), 1);
  for (; c < r.capacity && conns.length < limit; c++) {
    if ((r.flags(c) & CONN_F_HASHED) === 0 || !matches(r, c, filter)) continue;
    const view = read(r, c);
    if (view) conns.push(view);
  }
  return { conns, next: c < r.capacity ? c : 0 };
}

/** Connections by local address, of one service or of all: the CONNS column of `ipvsadm --get-laddr`. */
export function connsByLaddr(buffer: SharedArrayBuffer, filter?: ConnFilter): Map<number, number> {
  const r = new Records(buffer);
  const counts = new Map<number, number>();
  for (let c = 1; c < r.capacity; c++) {
    if ((r.flags(c) & CONN_F_HASHED) === 0 || !matches(r, c, filter)) continue;
    const laddr = r.bytes.u32(r.dir(c, DIR_OUT) + D.daddr);
    counts.set(laddr, (counts.get(laddr) ?? 0) + 1);
  }
  return counts;
}

function matches(r: Records, c: number, f: ConnFilter | undefined): boolean {
  if (f === undefined) return true;
  if (f.slots !== undefined) return f.slots.has(r.dest(c));
  const dir = r.dir(c, DIR_IN);
  return (
    r.bytes.u32(dir + D.daddr) === f.addr &&
    (f.port === 0 || r.bytes.u16(dir + D.dport) === f.port) &&
    r.proto(c) === f.proto
  );
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
  const view: ConnView = {
    conn: c,
    proto: proto.name,
    state: state.name,
    timeoutMs: r.timeoutMs(c),
    lastSeenMs: r.lastSeenMs(c),
    caddr: b.u32(i + D.saddr),
    cport: b.u16(i + D.sport),
    vaddr: b.u32(i + D.daddr),
    vport: b.u16(i + D.dport),
    laddr: b.u32(o + D.daddr),
    lport: b.u16(o + D.dport),
    daddr: b.u32(i + D.newDaddr),
    dport: b.u16(i + D.newDport),
    dest: r.dest(c),
  };
  const same =
    (r.flags(c) & CONN_F_HASHED) !== 0 &&
    r.createdMs(c) === created &&
    b.u32(i + D.saddr) === view.caddr &&
    b.u16(i + D.sport) === view.cport &&
    b.u16(o + D.dport) === view.lport;
  return same ? view : undefined;
}
