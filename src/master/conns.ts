/**
 * Connections for listings, read from the records that the lcores write. A table may hold millions: one answer
 * looks at a limited number of records and the caller comes back for more, so that the master answers others meanwhile and
 * nobody holds the whole list.
 */
import { setImmediate as yieldToOthers } from 'node:timers/promises';
import type { QueryParams } from '../control/schema.js';
import type { ConnEntry, ConnPage, LaddrEntry } from '../control/results.js';
import { DpvsError } from '../core/errors.js';
import { LCORE_BLOCK } from '../core/layout.js';
import { countLaddrs, readConns, remainingMs, type ConnFilter, type ConnView } from '../ipvs/conn/read.js';
import { PROTOS } from '../ipvs/proto/index.js';
import { keyOf, type Services, type Svc } from '../ipvs/service.js';
import { formatIpv4, parseIpv4 } from '../wire/ipv4.js';

/** Records looked at without a pause: 1 to 5 ms. */
const SCAN = 65536;

/** The memory of one lcore. */
export interface LcoreConns {
  id: number;
  block: SharedArrayBuffer;
  conns: SharedArrayBuffer;
}

const entry = (v: ConnView, lcore: number, nowMs: number): ConnEntry => ({
  lcore,
  proto: v.proto,
  timeout: v.timeoutMs / 1000,
  remaining: Math.ceil(remainingMs(v, nowMs) / 1000),
  state: v.state,
  client: formatIpv4(v.caddr),
  clientPort: v.cport,
  vaddr: formatIpv4(v.vaddr),
  vport: v.vport,
  laddr: formatIpv4(v.laddr),
  lport: v.lport,
  daddr: formatIpv4(v.daddr),
  dport: v.dport,
});

export class Conns {
  /** @param lcores by id, from 1 on */
  constructor(
    private readonly lcores: readonly LcoreConns[],
    private readonly services: Services,
  ) {}

  /**
   * One page; it may be empty and yet not the last. The cursor is `lcore:record`.
   * @throws DpvsError INVAL unknown service, state or lcore, bad cursor
   */
  page(p: QueryParams<'conn.list'>): ConnPage {
    const [id = 1, from = 1] = (p.cursor ?? `${p.lcore ?? 1}:1`).split(':').map(Number);
    if (!Number.isInteger(id) || !Number.isInteger(from))
      throw new DpvsError('INVAL', `bad cursor '${p.cursor}'`);
    const filter = this.filter(p);
    const lcores = p.lcore === undefined ? this.lcores : [requireLcore(this.lcores, p.lcore)];
    const conns: ConnEntry[] = [];
    let left = SCAN;
    for (const l of lcores) {
      if (l.id < id) continue;
      const nowMs = new Float64Array(l.block, LCORE_BLOCK.at.nowMs, 1)[0]!;
      const start = l.id === id ? from : 1;
      const found = readConns(l.conns, start, p.limit - conns.length, filter, left);
      for (const v of found.conns) conns.push(entry(v, l.id, nowMs));
      if (found.next !== 0) return { conns, cursor: `${l.id}:${found.next}` };
      left -= found.seen;
    }
    return { conns };
  }

  private filter({ svc: key, states, sockpair }: QueryParams<'conn.list'>): ConnFilter {
    const out: ConnFilter = {};
    if (key !== undefined) {
      const svc = this.services.get(key);
      out.dest = (slot) => this.services.destAt(slot)?.svc === svc;
    }
    if (states !== undefined) out.states = new Set(states.map(stateName));
    if (sockpair !== undefined) {
      const { proto, saddr, sport, daddr, dport } = sockpair;
      const { number } = PROTOS.find((known) => known.name === proto)!;
      out.tuple = { proto: number, saddr: parseIpv4(saddr), sport, daddr: parseIpv4(daddr), dport };
    }
    return out;
  }

  /** Local addresses of services with their connections, counted in one pass over the tables. */
  async laddrs(svcs: readonly Svc[], lcore?: number): Promise<LaddrEntry[]> {
    const lcores = lcore === undefined ? this.lcores : [requireLcore(this.lcores, lcore)];
    const counts = new Map<number, number>();
    for (const { conns } of lcores) {
      for (let next = 1; next !== 0; await yieldToOthers()) next = countLaddrs(conns, next, SCAN, counts);
    }
    const bySvc = new Map<Svc, Map<number, number>>();
    for (const [key, n] of counts) {
      const svc = this.services.destAt(Math.floor(key / 0x1_0000_0000))?.svc;
      if (svc === undefined) continue;
      const own = bySvc.get(svc) ?? new Map<number, number>();
      const laddr = key % 0x1_0000_0000;
      bySvc.set(svc, own.set(laddr, (own.get(laddr) ?? 0) + n));
    }
    return svcs.map((s) => ({
      svc: keyOf(s),
      laddrs: s.laddrs.map((l) => ({
        addr: formatIpv4(l.addr),
        dev: l.dev,
        conns: bySvc.get(s)?.get(l.addr) ?? 0,
        conflicts: 0,
      })),
    }));
  }
}

/** @throws DpvsError INVAL */
export function requireLcore<L extends { id: number }>(lcores: readonly L[], id: number): L {
  const found = lcores.find((l) => l.id === id);
  if (found) return found;
  throw new DpvsError('INVAL', `there is no lcore ${id}`, `data lcores: 1 to ${lcores.length}`);
}

/** A state as listings name it, in any case. @throws DpvsError INVAL naming all */
function stateName(text: string): string {
  const names = [...new Set(PROTOS.flatMap((p) => p.states.map((s) => s.name)))];
  const found = names.find((n) => n === text.toUpperCase());
  if (found !== undefined) return found;
  throw new DpvsError('INVAL', `unknown state '${text}'`, `states: ${names.join(', ')}`);
}
