/** Clients of persistent services for listings, read from the table that the lcores share (src/ipvs/templates.ts). */
import type { TemplateEntry, TemplatePage } from '../control/results.js';
import type { QueryParams } from '../control/schema.js';
import { DpvsError } from '../core/errors.js';
import { keyOf, type Services, type Svc } from '../ipvs/service.js';
import type { Templates } from '../ipvs/templates.js';
import { formatIpv4 } from '../wire/ipv4.js';

/** Counting takes some milliseconds where there are many: counts are that old at most. */
const COUNTED_MS = 500;

export class Clients {
  private counts: ReadonlyMap<number, number> = new Map();
  private countedAt = -Infinity;

  /** @param now the clock of the lcores, monotonic milliseconds */
  constructor(
    private readonly templates: Templates,
    private readonly services: Services,
    private readonly now: () => number,
  ) {}

  /** Clients of a real server, by its slot. */
  of(svc: Svc, slot: number): number {
    if (svc.persistent === 0) return 0;
    const now = this.now();
    if (now - this.countedAt > COUNTED_MS) {
      this.countedAt = now;
      const counts = new Map<number, number>();
      this.templates.list(0, Infinity, now, ({ dest }) => counts.set(dest, (counts.get(dest) ?? 0) + 1));
      this.counts = counts;
    }
    return this.counts.get(slot) ?? 0;
  }

  /** One page; the cursor is an entry of the table. @throws DpvsError INVAL bad cursor, unknown service */
  page(p: QueryParams<'template.list'>): TemplatePage {
    const from = Number(p.cursor ?? 0);
    if (!Number.isInteger(from)) throw new DpvsError('INVAL', `bad cursor '${p.cursor}'`);
    const svcs = p.svc === undefined ? this.services.list() : [this.services.get(p.svc)];
    const bySlot = new Map(svcs.map((s) => [s.slot, s]));
    const templates: TemplateEntry[] = [];
    const next = this.templates.list(from, p.limit, this.now(), (t) => {
      const svc = bySlot.get(t.svc);
      const dest = this.services.destAt(t.dest);
      if (svc === undefined || dest === undefined) return;
      templates.push({
        svc: keyOf(svc),
        client: formatIpv4(t.client),
        daddr: formatIpv4(dest.addr),
        dport: dest.port,
        timeout: t.timeoutS,
        remaining: Math.ceil(t.remainingMs / 1000),
      });
    });
    return next === 0 ? { templates } : { templates, cursor: String(next) };
  }
}
