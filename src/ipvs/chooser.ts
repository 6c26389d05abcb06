/**
 * Which real server a new connection gets: the scheduler's choice within the limits of real servers, or, at a persistent
 * service, the one that the client has. Runs on the packet path and allocates nothing.
 */
import { DROP } from '../core/drops.js';
import type { Packets } from '../core/packet.js';
import type { DestStats } from './dest-stats.js';
import { isInhibited, isQuiescent } from './quiescent.js';
import { hash } from './sched/hash.js';
import { rendezvous } from './sched/rendezvous.js';
import type { Dest, Services, Svc } from './service.js';
import { limitsSources } from './sources.js';
import { BUSY, NO_TEMPLATE, type Templates } from './templates.js';

export class Chooser {
  /** Entry of `Templates` that led to the real server chosen last, NO_TEMPLATE, or BUSY when there was no choice. */
  template = NO_TEMPLATE;
  /** Of `dice`; never 0. */
  private seed = Math.floor(Math.random() * 0x7fffffff) + 1;

  /** @param expireQuiescent persistence does not lead to a real server of weight 0 */
  constructor(
    private readonly packets: Packets,
    private readonly services: Services,
    private readonly stats: DestStats,
    private readonly templates: Templates,
    private readonly expireQuiescent = false,
  ) {}

  /** True when this new connection is in the share that the service lets in. */
  admits(svc: Svc): boolean {
    return svc.limitProportion >= 100 || this.dice() < svc.limitProportion;
  }

  /** A real server with its place taken where there is a limit: `opened` or `cancelled` of DestStats follows. */
  readonly choose = (svc: Svc, caddr: number, cport: number, vaddr: number): Dest | undefined => {
    this.template = NO_TEMPLATE;
    return svc.persistent > 0 ? this.keep(svc, caddr, cport, vaddr) : this.schedule(svc, caddr, cport, vaddr);
  };

  /**
   * The real server that a client has while nobody remembers it: the same one as long as the real servers stay, on every lcore. It
   * is one of those that can do without a record, so that no place is taken: neither `opened` nor `cancelled` has to follow.
   */
  hashed(svc: Svc, caddr: number, cport: number): Dest | undefined {
    this.template = NO_TEMPLATE;
    // By match, only what opens a connection is known to be the service's. Limits are asked once for each connection.
    if (svc.match !== undefined || svc.limitProportion < 100 || limitsSources(svc)) return undefined;
    if (svc.persistent === 0) return rendezvous(svc.dests, hash(caddr, cport, 0), needsNoRecord);
    const client = caddr & svc.mask;
    const e = this.templates.find(client, svc.slot, this.packets.nowMs);
    const kept = e === NO_TEMPLATE ? undefined : this.kept(svc, this.templates.dest(e));
    if (kept === undefined) return rendezvous(svc.dests, hash(client, 0, 0), needsNoRecord);
    this.template = e;
    return needsNoRecord(kept) ? kept : undefined;
  }

  /** Why `choose` has just found none: the reason to drop the packet for. */
  refusal(svc: Svc): number {
    if (this.template === BUSY) return DROP.PERSIST_BUSY;
    for (let i = 0; i < svc.dests.length; i++) if (!isQuiescent(svc.dests[i]!)) return DROP.SVC_OVERLOAD;
    return DROP.SVC_NO_DEST;
  }

  /** The scheduler's choice, with its place taken where there is a limit. */
  private readonly schedule = (svc: Svc, caddr: number, cport: number, vaddr: number): Dest | undefined => {
    const { packets, stats } = this;
    // A choice is in vain when another lcore has just taken the last place: that real server is full then.
    for (let tries = 0; tries <= svc.dests.length; tries++) {
      const dest = svc.scheduler.pick(svc.schedState, svc.dests, stats, caddr, cport, vaddr, packets.nowMs);
      if (dest === undefined || stats.reserve(dest)) return dest;
    }
    return undefined;
  };

  /** The real server that the client has at a persistent service; one of the scheduler's for a new client. */
  private keep(svc: Svc, caddr: number, cport: number, vaddr: number): Dest | undefined {
    const { templates, stats } = this;
    const { nowMs } = this.packets;
    const client = caddr & svc.mask;
    let e = templates.find(client, svc.slot, nowMs);
    const had = e === NO_TEMPLATE ? 0 : templates.dest(e);
    let dest = this.kept(svc, had);
    if (dest !== undefined) {
      if (!stats.reserve(dest)) return undefined;
    } else {
      dest = this.schedule(svc, caddr, cport, vaddr);
      if (dest === undefined) return undefined;
      if (e === NO_TEMPLATE) e = templates.enter(client, svc.slot, dest.slot, svc.persistent, nowMs);
      if (e === BUSY) {
        stats.cancelled(dest);
        this.template = BUSY;
        return undefined;
      }
      const has = e === NO_TEMPLATE ? dest.slot : templates.change(e, had, dest.slot);
      if (has !== dest.slot) {
        // Another lcore was faster: its choice holds.
        stats.cancelled(dest);
        dest = this.kept(svc, has);
        if (dest === undefined || !stats.reserve(dest)) return undefined;
      }
    }
    this.template = e;
    return dest;
  }

  /** The real server in a slot, if a client may keep it. */
  private kept(svc: Svc, slot: number): Dest | undefined {
    const dest = this.services.destAt(slot);
    if (dest === undefined || dest.svc !== svc || dest.removed || isInhibited(dest)) return undefined;
    return dest.weight === 0 && this.expireQuiescent ? undefined : dest;
  }

  /** 0 to 99, each as likely (xorshift32: without an allocation). */
  private dice(): number {
    let s = this.seed;
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    this.seed = s;
    return (s >>> 0) % 100;
  }
}

/** True for a real server whose packets can be forwarded one by one, and whose connections nobody has to count. */
const needsNoRecord = (dest: Dest): boolean => !dest.xmit.rewrites && dest.maxConn === 0;
