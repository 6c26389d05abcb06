/**
 * Local addresses of Full-NAT connections: which address and port of ours a new connection leaves from. The tuple of
 * its answers (real server -> local address and port) must be unlike that of any other connection.
 */
import { DROP } from '../core/drops.js';
import type { SaPool } from '../core/sapool.js';
import { formatIpv4 } from '../wire/ipv4.js';
import type { ConnTable } from './conn/table.js';
import type { Dest, Services } from './service.js';

/** Addresses of a service that one connection tries. */
const MAX_ADDRS = 16;
/** Ports of an address that one connection tries when the first is in the way of another connection. */
const MAX_PORTS = 16;
/** Lowest port of the pools. */
export const FIRST_PORT = 1025;

/** `bind` went well. */
export const BOUND = -1;

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
  constructor(
    private readonly pool: SaPool,
    private readonly services: Services,
    private readonly table: ConnTable,
  ) {}

  /**
   * Gives connection `c` a local address and port where its mode wants one, writes its directions and makes it findable.
   * Allocates nothing.
   * @returns BOUND, or the reason to drop the packet for
   */
  bind(c: number, dest: Dest, caddr: number, cport: number): number {
    const { svc, xmit } = dest;
    const { proto, addr: vaddr, port: vport, laddrs } = svc;
    const { table, pool } = this;
    const r = table.records;
    if (!xmit.local) {
      xmit.setup(r, c, proto, caddr, cport, vaddr, vport, caddr, cport, dest.addr, dest.port);
      return table.insert(c) === 0 ? BOUND : DROP.CONN_FULL;
    }
    const n = laddrs.length;
    for (let i = 0; i < n && i < MAX_ADDRS; i++) {
      if (svc.nextLaddr >= n) svc.nextLaddr = 0;
      const laddr = laddrs[svc.nextLaddr]!.addr;
      svc.nextLaddr++;
      const slot = pool.slotOf(laddr);
      if (slot < 0) continue;
      for (let k = 0; k < MAX_PORTS; k++) {
        const lport = pool.alloc(slot, dest.addr, dest.port);
        if (lport === 0) break;
        // Answers to a port that is itself a service would open connections on other lcores.
        if (this.services.find(proto, laddr, lport) === undefined) {
          xmit.setup(r, c, proto, caddr, cport, vaddr, vport, laddr, lport, dest.addr, dest.port);
          // Before it can be found: a connection that survives a crash must know what it holds.
          r.setLaddrSlot(c, slot);
          r.setLport(c, lport);
          const rc = table.insert(c);
          if (rc === 0) return BOUND;
          r.setLaddrSlot(c, -1);
          if (rc !== -1) {
            pool.free(slot, dest.addr, dest.port, lport);
            return DROP.CONN_FULL;
          }
        }
        // Goes behind all others: the next try gets another one.
        pool.free(slot, dest.addr, dest.port, lport);
      }
    }
    return DROP.SVC_NO_LADDR;
  }

  /** Gives back what connection `c` holds. */
  release(c: number): void {
    const r = this.table.records;
    const slot = r.laddrSlot(c);
    if (slot >= 0) this.pool.free(slot, r.daddr(c), r.dport(c), r.lport(c));
  }

  /** After a crash: takes the port of connection `c` out of the pool again. */
  adopt(c: number): void {
    const r = this.table.records;
    if (r.laddrSlot(c) < 0) return;
    const slot = this.pool.slotOf(r.laddr(c));
    // The address may be gone by now: then there is nothing to give back.
    const held = slot >= 0 && this.pool.take(slot, r.daddr(c), r.dport(c), r.lport(c));
    r.setLaddrSlot(c, held ? slot : -1);
  }

  stats(): LaddrUse[] {
    const { pool } = this;
    const out: LaddrUse[] = [];
    for (let slot = 0; slot < pool.slots; slot++) {
      const addr = pool.addrOf(slot);
      if (addr < 0) continue;
      out.push({
        addr: formatIpv4(addr),
        used: pool.used(slot),
        free: pool.available(slot),
        miss: pool.misses(slot),
      });
    }
    return out;
  }
}
