/**
 * Local ends of connections: which address and port of ours a new Full-NAT or SNAT connection leaves from. The tuple of
 * its answers (real server or remote host -> local address and port) must be unlike that of any other connection.
 */
import { DROP } from '../core/drops.js';
import { CONN_F_ONCE, DIR_IN, DIR_OUT } from '../core/layout.js';
import type { SaPool } from '../core/sapool.js';
import { formatIpv4 } from '../wire/ipv4.js';
import { D } from './conn/records.js';
import type { ConnTable } from './conn/table.js';
import type { Dest, Services, Svc } from './service.js';
import { hide } from './once.js';
import { XMIT_BY_FWD } from './xmit/index.js';

/** Addresses of a service that one connection tries. */
const MAX_ADDRS = 16;
/** Ports of an address that one connection tries when the first is in the way of another connection. */
const MAX_PORTS = 16;
/** Lowest port of the pools. */
export const FIRST_PORT = 1025;

/** `bind` went well. */
export const BOUND = -1;
/** An address has no port to give. */
const NO_PORT = -2;
/** Another connection has one of the tuples; the port has been given back. */
const CLASH = -3;

/** Use of a local address on one lcore, a plain answer for `dpip addr show` and `ipvsadm --get-laddr`. */
export interface LaddrUse {
  /** IPv4 address as text. */
  addr: string;
  /** Ports in use: one for each connection. */
  used: number;
  free: number;
  /** Connections that found no port. */
  miss: number;
}

export class LocalAddrs {
  /** Of `take`. */
  laddr = 0;
  slot = -1;
  /** False once a connection has a port that the pool doesn't know of. */
  private portsAreUnique = true;

  constructor(
    private readonly pool: SaPool,
    private readonly services: Services,
    private readonly table: ConnTable,
  ) {}

  /**
   * Gives connection `c` a local address and port where its mode wants one, writes its directions and makes it findable.
   * Allocates nothing.
   * @param vaddr destination of the client's packet
   * @returns BOUND, or the reason to drop the packet for
   */
  readonly bind = (
    c: number,
    dest: Dest,
    caddr: number,
    cport: number,
    vaddr: number,
    vport: number,
  ): number => {
    const { svc, xmit } = dest;
    if (xmit.opens === DIR_OUT) {
      const rc = this.bindTo(dest.addr, c, dest, caddr, cport, vaddr, vport, vaddr, vport);
      return rc === NO_PORT ? DROP.SVC_NO_LADDR : rc;
    }
    const daddr = dest.addr;
    const dport = dest.port === 0 ? vport : dest.port;
    if (!xmit.local) {
      const r = this.table.records;
      xmit.setup(r, c, svc.proto, caddr, cport, vaddr, vport, caddr, cport, daddr, dport);
      const isOnce = (r.flags(c) & CONN_F_ONCE) !== 0;
      if (isOnce) hide(r, c, DIR_IN);
      if (isOnce && !xmit.rewrites) hide(r, c, DIR_OUT);
      let rc = this.table.insert(c);
      if (isOnce && rc === -1) {
        // Answers of the same real server to the same client: an earlier packet's connection translates them.
        hide(r, c, DIR_OUT);
        rc = this.table.insert(c);
      }
      return rc === 0 ? BOUND : rc === -1 ? DROP.CONN_CLASH : DROP.CONN_FULL;
    }
    const n = svc.laddrs.length;
    for (let i = 0; i < n && i < MAX_ADDRS; i++) {
      const rc = this.bindTo(nextLaddr(svc), c, dest, caddr, cport, vaddr, vport, daddr, dport);
      if (rc !== NO_PORT) return rc;
    }
    return DROP.SVC_NO_LADDR;
  };

  /** @returns as `bind`, or NO_PORT when `laddr` has none for this destination */
  private readonly bindTo = (
    laddr: number,
    c: number,
    dest: Dest,
    caddr: number,
    cport: number,
    vaddr: number,
    vport: number,
    daddr: number,
    dport: number,
  ): number => {
    const { proto } = dest.svc;
    for (let k = 0; k < MAX_PORTS; k++) {
      const lport = this.portOf(laddr, proto, daddr, dport);
      if (lport === 0) return NO_PORT;
      const rc = this.enter(c, dest, caddr, cport, vaddr, vport, laddr, lport, daddr, dport);
      if (rc !== CLASH) return rc;
    }
    return NO_PORT;
  };

  /** @returns a local port of `laddr` towards a destination, 0 = none; its slot is in `slot` */
  private readonly portOf = (laddr: number, proto: number, daddr: number, dport: number): number => {
    const { pool } = this;
    this.slot = pool.slotOf(laddr);
    if (this.slot < 0) return 0;
    for (let k = 0; k < MAX_PORTS; k++) {
      const lport = pool.alloc(this.slot, daddr, dport);
      // Answers to a port that is itself a service would open connections on other lcores.
      if (lport === 0 || this.services.find(proto, laddr, lport) === undefined) return lport;
      // Goes behind all others: the next try gets another one.
      pool.free(this.slot, daddr, dport, lport);
    }
    return 0;
  };

  /**
   * Writes the directions of connection `c`, with port `lport` of address `laddr` in slot `slot`, and makes it findable.
   * @returns BOUND, CLASH when a tuple of it is another connection's, or the reason to drop the packet for
   */
  private readonly enter = (
    c: number,
    dest: Dest,
    caddr: number,
    cport: number,
    vaddr: number,
    vport: number,
    laddr: number,
    lport: number,
    daddr: number,
    dport: number,
  ): number => {
    const { table, pool, slot } = this;
    const r = table.records;
    dest.xmit.setup(r, c, dest.svc.proto, caddr, cport, vaddr, vport, laddr, lport, daddr, dport);
    if ((r.flags(c) & CONN_F_ONCE) !== 0) hide(r, c, DIR_IN);
    // Before it can be found: a connection that survives a crash must know what it holds.
    r.setLaddrSlot(c, slot);
    r.setLport(c, lport);
    // No other connection has this port towards this destination, and its client had none.
    if (this.portsAreUnique) {
      table.insertUnique(c);
      return BOUND;
    }
    const rc = table.insert(c);
    if (rc === 0) return BOUND;
    r.setLaddrSlot(c, -1);
    pool.free(slot, daddr, dport, lport);
    return rc === -1 ? CLASH : DROP.CONN_FULL;
  };

  /**
   * Takes a local end for a connection to come: Full-NAT only.
   * @returns its port, 0 = none; `laddr` and `slot` are set
   */
  take(dest: Dest): number {
    const { svc } = dest;
    if (!this.portsAreUnique) return 0;
    const n = svc.laddrs.length;
    for (let i = 0; i < n && i < MAX_ADDRS; i++) {
      this.laddr = nextLaddr(svc);
      const lport = this.portOf(this.laddr, svc.proto, dest.addr, dest.port);
      if (lport !== 0) return lport;
    }
    return 0;
  }

  /** True for an address whose ports connections get. */
  has(addr: number): boolean {
    return this.pool.slotOf(addr) >= 0;
  }

  /** Gives it back. */
  giveBack(slot: number, daddr: number, dport: number, lport: number): void {
    this.pool.free(slot, daddr, dport, lport);
  }

  /** Binds connection `c` to a local end that was taken for it. @returns as `bind` */
  readonly bindTaken = (
    c: number,
    dest: Dest,
    caddr: number,
    cport: number,
    vaddr: number,
    vport: number,
    slot: number,
    laddr: number,
    lport: number,
  ): number => {
    this.slot = slot;
    const rc = this.enter(c, dest, caddr, cport, vaddr, vport, laddr, lport, dest.addr, dest.port);
    return rc === CLASH ? DROP.CONN_CLASH : rc;
  };

  /** Gives back what connection `c` holds. */
  readonly release = (c: number): void => {
    const r = this.table.records;
    const slot = r.laddrSlot(c);
    if (slot < 0) return;
    const at = this.localDir(c);
    this.pool.free(slot, r.bytes.u32(at + D.saddr), r.bytes.u16(at + D.sport), r.lport(c));
  };

  /** After a crash: takes the port of connection `c` out of the pool again. */
  adopt(c: number): void {
    const r = this.table.records;
    if (r.laddrSlot(c) < 0) return;
    const at = this.localDir(c);
    const slot = this.pool.slotOf(r.bytes.u32(at + D.daddr));
    // The address may be gone by now: then there is nothing to give back.
    const held =
      slot >= 0 && this.pool.take(slot, r.bytes.u32(at + D.saddr), r.bytes.u16(at + D.sport), r.lport(c));
    r.setLaddrSlot(c, held ? slot : -1);
    if (!held) this.portsAreUnique = false;
  }

  /** The direction of what comes to the local address and port of connection `c`. */
  private localDir(c: number): number {
    const r = this.table.records;
    return r.dir(c, XMIT_BY_FWD[r.fwd(c)]!.opens === DIR_IN ? DIR_OUT : DIR_IN);
  }

  /**
   * Addresses in slots of the pool from `from` to below `to`.
   * @param held ports of a slot that are taken and of no connection yet
   */
  stats(from: number, to: number, held: (slot: number) => number): LaddrUse[] {
    const { pool } = this;
    const out: LaddrUse[] = [];
    for (let slot = from; slot < Math.min(pool.slots, to); slot++) {
      const addr = pool.addrOf(slot);
      if (addr < 0) continue;
      const spare = held(slot);
      out.push({
        addr: formatIpv4(addr),
        used: pool.used(slot) - spare,
        free: pool.available(slot) + spare,
        miss: pool.misses(slot),
      });
    }
    return out;
  }
}

/** Local addresses of a service, which has some, in turn. */
function nextLaddr(svc: Svc): number {
  if (svc.nextLaddr >= svc.laddrs.length) svc.nextLaddr = 0;
  return svc.laddrs[svc.nextLaddr++]!.addr;
}
