/**
 * What the real servers of NAT, DR and tunnel mode have taught about addresses. Connections outlive their real server, so
 * what is known stays until its slot goes to another one (see slots.ts); the memory is bounded by the slots.
 */
import { IntMap } from '../core/intmap.js';
import type { Dest } from './service.js';
import { XMITS } from './xmit/index.js';

/** Second keys that no (protocol << 16 | port) is: a virtual address that real servers share, ends of a tunnel and of NAT. */
const SHARED = 0;
const TUNNEL = 1;
const NAT = 2;

/** A real server and the modes that it has had, as bits by `Xmit.fwd`; for snapshots. */
export interface EndMemory {
  slot: number;
  proto: number;
  vaddr: number;
  vport: number;
  addr: number;
  port: number;
  fwds: number;
}

export class Ends {
  /** (address, kind or protocol << 16 | port) -> how many real servers say so. */
  private readonly counts = new IntMap();
  private readonly bySlot = new Map<number, EndMemory>();

  /**
   * True for an end of NAT connections: a real server or a service that has one (0.0.0.0 and 0: one by match). Their answers
   * carry no local address of ours, see owner.ts. Ends without a port have all.
   */
  isNat(proto: number, addr: number, port: number): boolean {
    const { counts } = this;
    return counts.has(addr, (proto << 16) | port) || counts.has(addr, proto << 16);
  }

  /** True for the address of a real server of NAT, whatever the port. */
  isNatServer(addr: number): boolean {
    return this.counts.has(addr, NAT);
  }

  /** True for a virtual address that real servers answer from themselves (DR, tunnel). */
  isShared(addr: number): boolean {
    return this.counts.has(addr, SHARED);
  }

  /** True for a real server behind a tunnel. */
  isTunnel(addr: number): boolean {
    return this.counts.has(addr, TUNNEL);
  }

  // ----- control

  /** A real server was added or its mode has changed. */
  note(d: Dest): void {
    const { slot, addr, port, svc, xmit } = d;
    const fwds = 1 << xmit.fwd;
    this.add({ slot, proto: svc.proto, vaddr: svc.addr, vport: svc.port, addr, port, fwds });
  }

  memory(): EndMemory[] {
    const says = XMITS.filter((x) => !x.rewrites || x.name === 'nat').reduce(
      (bits, x) => bits | (1 << x.fwd),
      0,
    );
    return [...this.bySlot.values()].filter((e) => (e.fwds & says) !== 0).map((e) => ({ ...e }));
  }

  restore(memory: readonly EndMemory[]): void {
    for (const e of memory) this.add({ ...e });
  }

  private add(e: EndMemory): void {
    const old = this.bySlot.get(e.slot);
    if (old !== undefined) {
      this.count(old, -1);
      if (isSame(old, e)) e.fwds |= old.fwds;
    }
    this.bySlot.set(e.slot, e);
    this.count(e, 1);
  }

  private count(e: EndMemory, by: 1 | -1): void {
    for (const xmit of XMITS) {
      if ((e.fwds & (1 << xmit.fwd)) === 0) continue;
      if (!xmit.rewrites) this.bump(e.vaddr, SHARED, by);
      if (xmit.name === 'tunnel') this.bump(e.addr, TUNNEL, by);
      if (xmit.name === 'nat') {
        this.bump(e.addr, NAT, by);
        this.bump(e.addr, (e.proto << 16) | e.port, by);
        this.bump(e.vaddr, (e.proto << 16) | e.vport, by);
      }
    }
  }

  private bump(addr: number, key: number, by: 1 | -1): void {
    const n = Math.max(this.counts.get(addr, key), 0) + by;
    if (n > 0) this.counts.set(addr, key, n);
    else this.counts.delete(addr, key);
  }
}

const isSame = (a: EndMemory, b: EndMemory): boolean =>
  a.proto === b.proto && a.vaddr === b.vaddr && a.vport === b.vport && a.addr === b.addr && a.port === b.port;
