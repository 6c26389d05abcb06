/**
 * Black and white lists on the packet path of one lcore. Whoever is listed neither sends nor receives anything over us. Three
 * questions, in this order (the native loop asks the same ones, native/src/verdicts.h):
 *
 * 1. every datagram that was sent to us: may its source (global lists)?
 * 2. one that leaves: may whoever gets it (global lists)? Where it goes to a real server, the first question was about the client;
 *    real servers themselves are spared.
 * 3. one of a service: may its client (lists of the service)?
 *
 * An ICMP error about a connection is the connection's, whoever reports it. So a client that is listed is cut off in both directions
 * at its next packet. Nothing but a flag is looked at while there are no lists.
 */
import { DEST_F_LISTED, DIR_IN, DIR_OUT, FWD_SNAT } from '../../core/layout.js';
import type { Packets } from '../../core/packet.js';
import * as ipv4 from '../../wire/ipv4.js';
import type { Records } from '../conn/records.js';
import { D } from '../conn/records.js';
import type { DestStats } from '../dest-stats.js';
import type { Dest, Services, Svc } from '../service.js';
import type { SvcStats } from '../svc-stats.js';
import { XMIT_BY_FWD } from '../xmit/index.js';
import { BLACK, listOf, PASSES, Verdicts, WHITE } from './verdicts.js';

export class Guard {
  readonly verdicts: Verdicts;

  constructor(
    private readonly packets: Packets,
    private readonly services: Services,
    private readonly stats: DestStats,
    private readonly svcStats: SvcStats,
    private readonly records: Records,
    buffer: SharedArrayBuffer,
  ) {
    this.verdicts = new Verdicts(buffer);
    services.listen({ listsChanged: (dests) => dests.forEach((d) => this.mark(d)) });
  }

  // ----- packet path: these allocate nothing

  /** Questions 1 and 2 about a datagram of no connection from or to `addr`. Takes ownership when it returns true. */
  refusesAddr(p: number, addr: number): boolean {
    const { verdicts } = this;
    if (!verdicts.isGlobal) return false;
    const reason = verdicts.ofAddr(addr);
    if (reason === PASSES) return false;
    this.packets.drop(p, reason);
    return true;
  }

  /** Questions 2 and 3 about a packet of connection `c`. Takes ownership when it returns true. */
  refuses(p: number, c: number, d: number, l3: number): boolean {
    if (!this.hasSay(c)) return false;
    return this.ends(p, c, this.verdict(c, d, ipv4.src(this.packets.bytes, l3)));
  }

  /** The questions about an ICMP error that concerns connection `c`. Takes ownership when it returns true. */
  refusesError(p: number, c: number): boolean {
    if (!this.hasSay(c)) return false;
    const reason = this.towards(c, DIR_OUT);
    return this.ends(p, c, reason === PASSES ? this.towards(c, DIR_IN) : reason);
  }

  /** True when nothing may go in direction `d` of connection `c`: for what we send there on our own. */
  isCut(c: number, d: number): boolean {
    return this.hasSay(c) && this.towards(c, d) !== PASSES;
  }

  /** Question 3 about a client without a connection. Takes ownership when it returns true. */
  refusesClient(p: number, svc: Svc, caddr: number): boolean {
    const reason = this.verdicts.ofClient(svc.slot, caddr);
    if (reason === PASSES) return false;
    this.svcStats.drop(svc.slot, reason);
    this.packets.drop(p, reason);
    return true;
  }

  /** False when no list has a say in packets of connection `c`. */
  private hasSay(c: number): boolean {
    return this.verdicts.isGlobal || (this.stats.flags(this.records.dest(c)) & DEST_F_LISTED) !== 0;
  }

  /** True when a packet of connection `c` from `saddr` (host order) would be refused by any of the questions. */
  wouldRefuse(c: number, d: number, saddr: number): boolean {
    if (!this.hasSay(c)) return false;
    if (this.verdicts.isGlobal && this.verdicts.ofAddr(saddr) !== PASSES) return true;
    return this.verdict(c, d, saddr) !== PASSES;
  }

  private verdict(c: number, d: number, saddr: number): number {
    const { records: r, verdicts } = this;
    const isOwn = this.isFromClient(c, d);
    // What a client sends goes to a real server, but for SNAT.
    if (isOwn && r.fwd(c) !== FWD_SNAT) return this.ofClient(c, saddr);
    const to = r.bytes.u32(r.dir(c, d) + D.newDaddr);
    if (verdicts.isGlobal) {
      const reason = verdicts.ofAddr(to);
      if (reason !== PASSES) return reason;
    }
    return this.ofClient(c, isOwn ? saddr : to);
  }

  /** Whether the end that direction `d` leads to may get anything. */
  private towards(c: number, d: number): number {
    const { records: r, verdicts } = this;
    const to = r.bytes.u32(r.dir(c, d) + D.newDaddr);
    const reason = verdicts.isGlobal ? verdicts.ofAddr(to) : PASSES;
    return reason !== PASSES || this.isFromClient(c, d) ? reason : this.ofClient(c, to);
  }

  /** Question 3. */
  private ofClient(c: number, client: number): number {
    const { stats } = this;
    const slot = this.records.dest(c);
    if ((stats.flags(slot) & DEST_F_LISTED) === 0) return PASSES;
    return this.verdicts.ofClient(stats.svc(slot), client);
  }

  private isFromClient(c: number, d: number): boolean {
    return XMIT_BY_FWD[this.records.fwd(c)]!.opens === d;
  }

  /** Drops a packet of connection `c` unless `reason` is PASSES. */
  private ends(p: number, c: number, reason: number): boolean {
    if (reason === PASSES) return false;
    this.svcStats.drop(this.stats.svc(this.records.dest(c)), reason);
    this.packets.drop(p, reason);
    return true;
  }

  // ----- control

  /** Writes down for both paths which service a real server is of, and whether lists hold for its connections. */
  mark({ svc, slot }: Dest): void {
    const { verdicts, stats } = this;
    // A service that is gone has no lists; its number may be another's by now.
    const listed =
      this.services.holds(svc) &&
      (verdicts.has(listOf(svc.slot, BLACK)) || verdicts.has(listOf(svc.slot, WHITE)));
    stats.setSvc(slot, svc.slot);
    stats.setFlags(slot, DEST_F_LISTED, listed ? DEST_F_LISTED : 0);
  }
}
