/**
 * Black and white lists on the packet path of one lcore. Three questions, in this order (the native loop asks the same ones,
 * native/src/verdicts.h):
 *
 * 1. every datagram that was sent to us: may its source (global lists)?
 * 2. one of a known connection that is not the client's own: may the client have it (global lists)?
 * 3. one of a service: may its client (lists of the service)?
 *
 * So a client that is listed is cut off in both directions at its next packet. Nothing but a flag is looked at while there are no
 * lists.
 */
import { DEST_F_LISTED } from '../../core/layout.js';
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
    services.listen({
      destAdded: (dest) => this.mark(dest),
      listsChanged: (dests) => dests.forEach((d) => this.mark(d)),
    });
  }

  // ----- packet path: these allocate nothing

  /** Question 1. Takes ownership when it returns true. */
  refusesSource(p: number, saddr: number): boolean {
    const { verdicts } = this;
    if (!verdicts.isGlobal) return false;
    const reason = verdicts.ofSource(saddr);
    if (reason === PASSES) return false;
    this.packets.drop(p, reason);
    return true;
  }

  /** Questions 2 and 3 about a packet of connection `c`. Takes ownership when it returns true. */
  refuses(p: number, c: number, d: number, l3: number): boolean {
    if (!this.hasSay(c)) return false;
    const reason = this.verdict(c, d, ipv4.src(this.packets.bytes, l3));
    if (reason === PASSES) return false;
    this.svcStats.drop(this.stats.svc(this.records.dest(c)), reason);
    this.packets.drop(p, reason);
    return true;
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
    if (this.verdicts.isGlobal && this.verdicts.ofSource(saddr) !== PASSES) return true;
    return this.verdict(c, d, saddr) !== PASSES;
  }

  private verdict(c: number, d: number, saddr: number): number {
    const { records: r, verdicts, stats } = this;
    const own = XMIT_BY_FWD[r.fwd(c)]!.opens === d;
    const client = own ? saddr : r.bytes.u32(r.dir(c, d) + D.newDaddr);
    if (!own && verdicts.isGlobal) {
      const reason = verdicts.ofSource(client);
      if (reason !== PASSES) return reason;
    }
    const slot = r.dest(c);
    return (stats.flags(slot) & DEST_F_LISTED) === 0 ? PASSES : verdicts.ofClient(stats.svc(slot), client);
  }

  // ----- control

  /** Writes down for both paths whether lists hold for the connections of a real server. */
  private mark({ svc, slot }: Dest): void {
    const { verdicts, stats } = this;
    // A service that is gone has no lists; its number may be another's by now.
    const listed =
      this.services.holds(svc) &&
      (verdicts.has(listOf(svc.slot, BLACK)) || verdicts.has(listOf(svc.slot, WHITE)));
    stats.setSvc(slot, svc.slot);
    stats.setFlags(slot, DEST_F_LISTED, listed ? DEST_F_LISTED : 0);
  }
}
