/**
 * Totals and rates of real servers and services, from the statistics segment: lcores count, the master sums. Rates are those
 * of the last full second. A service's totals keep what its removed real servers have counted.
 */
import { DEST_STATS } from '../core/layout.js';
import { destIndex, svcEventIndex, svcIndex, type StatsSegment } from '../core/stats.js';
import { SVC_DROPS, SVC_EVENTS } from '../core/svc-counts.js';
import type { Counters, Rates as RateValues } from '../control/results.js';
import type { Dest, Services, Svc } from '../ipvs/service.js';

const SAMPLE_MS = 1000;
const at = DEST_STATS.at;

interface Sample {
  counters: Counters;
  rates: RateValues;
}

const zeroCounters = (): Counters => ({ conns: 0, inPackets: 0, outPackets: 0, inBytes: 0, outBytes: 0 });
const zeroRates = (): RateValues => ({ cps: 0, inPps: 0, outPps: 0, inBps: 0, outBps: 0 });

function addTo<T extends object>(sum: T, more: T): T {
  const s = sum as Record<string, number>;
  for (const [k, v] of Object.entries(more)) s[k] = (s[k] ?? 0) + (v as number);
  return sum;
}

export class Rates {
  private readonly samples = new Map<number, Sample>();
  /** Slots of removed real servers, by the service that they counted for, and the other way round. */
  private readonly retired = new WeakMap<Svc, Set<number>>();
  private readonly retiredOf = new Map<number, Svc>();
  /** By service, then by lcore (from 0): what slots had counted for it before they began anew. */
  private readonly kept = new WeakMap<Svc, Counters[]>();
  private readonly timer: NodeJS.Timeout;
  private readonly lcores: Float64Array[];
  /** SVC_STATS by lcore. */
  private readonly svcLcores: Float64Array[];
  private sampledAt = performance.now();

  constructor(
    segment: StatsSegment,
    private readonly services: Services,
  ) {
    this.lcores = Array.from({ length: segment.lcores }, (_, i) => segment.destStats(i + 1));
    this.svcLcores = Array.from({ length: segment.lcores }, (_, i) => segment.svcStats(i + 1));
    services.listen({
      destAdded: (d) => {
        this.samples.delete(d.slot);
        // The lcores zero its counters when they hear of it, which is after us.
        this.keep(d.slot);
      },
      destRemoved: (d) => {
        const slots = this.retired.get(d.svc) ?? new Set();
        this.retired.set(d.svc, slots.add(d.slot));
        this.retiredOf.set(d.slot, d.svc);
      },
      zero: (_, svcs) => svcs.forEach((s) => this.kept.delete(s)),
    });
    this.timer = setInterval(() => this.sample(), SAMPLE_MS);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** One field of a real server, summed over the lcores or of one of them. */
  gauge(slot: number, field: 'active' | 'inactive', lcore?: number): number {
    return this.sum(slot, at[field], lcore);
  }

  counters(slot: number, lcore?: number): Counters {
    return {
      conns: this.sum(slot, at.conns, lcore),
      inPackets: this.sum(slot, at.inPackets, lcore),
      outPackets: this.sum(slot, at.outPackets, lcore),
      inBytes: this.sum(slot, at.inBytes, lcore),
      outBytes: this.sum(slot, at.outBytes, lcore),
    };
  }

  rates(dest: Dest): RateValues {
    return this.samples.get(dest.slot)?.rates ?? zeroRates();
  }

  svcCounters(svc: Svc, lcore?: number): Counters {
    const total = zeroCounters();
    for (const d of svc.dests) addTo(total, this.counters(d.slot, lcore));
    for (const slot of this.retired.get(svc) ?? []) addTo(total, this.counters(slot, lcore));
    this.kept.get(svc)?.forEach((c, i) => {
      if (lcore === undefined || i === lcore - 1) addTo(total, c);
    });
    return total;
  }

  /** Packets dropped for a service by reason, over the lcores or of one of them; those that did not occur are left out. */
  svcDrops(svc: Svc, lcore?: number): Record<string, number> {
    return this.occurred(SVC_DROPS, svcIndex(svc.slot), lcore);
  }
  /** Events of a service by name, in the same way. */
  svcEvents(svc: Svc, lcore?: number): Record<string, number> {
    return this.occurred(SVC_EVENTS, svcEventIndex(svc.slot), lcore);
  }

  private occurred(
    names: readonly string[],
    first: number,
    lcore: number | undefined,
  ): Record<string, number> {
    const of = lcore === undefined ? this.svcLcores : [this.svcLcores[lcore - 1]!];
    const counts = names.map((name, i) => [name, of.reduce((n, c) => n + c[first + i]!, 0)] as const);
    return Object.fromEntries(counts.filter(([, n]) => n > 0));
  }

  svcRates(svc: Svc): RateValues {
    const total = zeroRates();
    for (const d of svc.dests) addTo(total, this.rates(d));
    return total;
  }

  /** A slot that held a removed real server gets another holder: its service keeps what it has counted. */
  private keep(slot: number): void {
    const svc = this.retiredOf.get(slot);
    if (svc === undefined) return;
    const kept = this.kept.get(svc) ?? this.lcores.map(zeroCounters);
    kept.forEach((c, i) => addTo(c, this.counters(slot, i + 1)));
    this.kept.set(svc, kept);
    this.retired.get(svc)!.delete(slot);
    this.retiredOf.delete(slot);
  }

  private sum(slot: number, field: number, lcore?: number): number {
    const i = destIndex(slot) + (field >>> 3);
    if (lcore !== undefined) return this.lcores[lcore - 1]![i]!;
    let total = 0;
    for (const counters of this.lcores) total += counters[i]!;
    return total;
  }

  private sample(): void {
    const now = performance.now();
    const perSecond = 1000 / (now - this.sampledAt);
    this.sampledAt = now;
    for (const svc of this.services.list()) {
      for (const { slot } of svc.dests) {
        const counters = this.counters(slot);
        const old = this.samples.get(slot)?.counters ?? counters;
        // Counters that went back were zeroed meanwhile.
        const rate = (k: keyof Counters): number => Math.max(0, counters[k] - old[k]) * perSecond;
        const rates = {
          cps: rate('conns'),
          inPps: rate('inPackets'),
          outPps: rate('outPackets'),
          inBps: rate('inBytes'),
          outBps: rate('outBytes'),
        };
        this.samples.set(slot, { counters, rates });
      }
    }
  }
}
