/**
 * Answers to queries. What the master's replica and shared memory know is answered from there without asking the data
 * plane; neighbours and port pools are asked from the lcores.
 */
import type { QueryName, QueryParams } from '../control/schema.js';
import type {
  Addr,
  DropEntry,
  EventEntry,
  Lcore,
  Link,
  NeighEntry,
  QueryResults,
  SvcEntry,
  Timeouts,
} from '../control/results.js';
import type { Plan } from '../config/types.js';
import { DROP_REASONS } from '../core/drops.js';
import { EVENT_KINDS } from '../core/events.js';
import { DROP_CAP, LCORE_STATS } from '../core/layout.js';
import type { Native, PortInfo } from '../core/native.js';
import type { StatsSegment } from '../core/stats.js';
import type { AccessLists } from '../ipvs/acl/lists.js';
import { PROTOS, timeoutsInForce } from '../ipvs/proto/index.js';
import { DEST_DEFAULTS, optionsOf, SVC_DEFAULTS } from '../ipvs/options.js';
import { SCHEDULERS } from '../ipvs/sched/index.js';
import { keyOf, type SvcKeyParams, type Svc } from '../ipvs/service.js';
import type { LaddrUse } from '../ipvs/laddr.js';
import type { DestLimits } from '../ipvs/limits.js';
import type { Replica } from '../lcore/replica.js';
import type { LcoreTask } from '../lcore/task.js';
import { formatIpv4 } from '../wire/ipv4.js';
import { Conns, requireLcore } from './conns.js';
import type { Clients } from './clients.js';
import type { Lcores } from './lcores.js';
import type { Ports } from './ports.js';
import type { Rates } from './rates.js';
import { VERSION } from './version.js';

export interface QueriesOptions {
  native: Native;
  replica: Replica;
  lcores: Lcores;
  ports: Ports;
  rates: Rates;
  limits: DestLimits;
  clients: Clients;
  lists: AccessLists;
  segment: StatsSegment;
  plan: Plan;
  tasks: Omit<LcoreTask, 'snapshot' | 'rebuild'>[];
  statsFile: string;
  /** For listings: the master is not pinned. */
  masterCpu: number;
}

/** Everything about a port that `dpip link show -v` prints. */
const infoFields = (i: PortInfo): Record<string, string | number> => ({
  name: i.name,
  driver: i.driver,
  min_mtu: i.minMtu,
  max_mtu: i.maxMtu,
  min_rx_bufsize: i.minRxBufSize,
  max_rx_pktlen: i.maxRxPktLen,
  max_mac_addrs: i.maxMacAddrs,
  max_rx_queues: i.maxRxQueues,
  max_tx_queues: i.maxTxQueues,
  reta_size: i.retaSize,
  hash_key_size: i.hashKeySize,
  rss: i.rssTypes.join(' ') || 'none',
  rx_offloads: i.rxOffloads.join(' ') || 'none',
  tx_offloads: i.txOffloads.join(' ') || 'none',
  rx_desc: `${i.rxDesc.min}..${i.rxDesc.max} align ${i.rxDesc.align}`,
  tx_desc: `${i.txDesc.min}..${i.txDesc.max} align ${i.txDesc.align}`,
});

export class Queries {
  private readonly startedAt = new Date().toISOString();

  private readonly conns: Conns;

  constructor(private readonly o: QueriesOptions) {
    this.conns = new Conns(o.tasks, o.replica.services);
  }

  async ask<N extends QueryName>(name: N, params: unknown): Promise<QueryResults[N]> {
    return this.answers[name](params as never);
  }

  private readonly answers: {
    [N in QueryName]: (p: QueryParams<N>) => QueryResults[N] | Promise<QueryResults[N]>;
  } = {
    info: () => ({
      version: VERSION,
      dpdk: this.o.native.dpdkVersion(),
      pid: process.pid,
      startedAt: this.startedAt,
      statsFile: this.o.statsFile,
      lcores: this.o.tasks.length,
    }),
    'link.list': (p) => this.links(p.dev, p.verbose),
    'lcore.list': () => this.lcoreList(),
    'addr.list': (p) => this.addrs(p.dev, p.perLcore),
    'route.list': () => this.o.replica.inet.routes.list(),
    'neigh.list': (p) => this.neighs(p.dev),
    'svc.list': (p) => {
      if (p.lcore !== undefined) requireLcore(this.o.tasks, p.lcore);
      return this.svcs(p.svc).map((s) => this.svcEntry(s, p.lcore));
    },
    'laddr.list': (p) => this.conns.laddrs(this.svcs(p.svc), p.lcore),
    'conn.list': (p) => this.conns.page(p),
    'template.list': (p) => this.o.clients.page(p),
    'acl.list': (p) => this.o.lists.page(p),
    'drop.list': () => this.drops(),
    'event.list': () => this.events(),
    'timeout.get': () => this.timeouts(),
    'sched.list': () => SCHEDULERS.map((s) => s.name),
  };

  private links(dev: string | undefined, verbose: boolean): Link[] {
    const { plan, ports, native } = this.o;
    const mbufs = native.mempoolStats();
    const links = plan.devices.map((d, i): Link => {
      const port = ports.portOf(d.name);
      const info = native.portInfo(port);
      const link = native.portLink(port);
      const model = this.o.replica.inet.devices.byName(d.name);
      return {
        index: i + 1,
        name: d.name,
        kind: 'port',
        socket: Math.max(info.socket, 0),
        mtu: info.mtu,
        rxQueues: info.rxQueues,
        txQueues: info.txQueues,
        up: link.up && (model?.up ?? true),
        speed: link.speed,
        fullDuplex: link.fullDuplex,
        autoneg: link.autoneg,
        promisc: info.promiscuous,
        allmulticast: info.allmulticast,
        forward2kni: false,
        mac: info.mac.toUpperCase(),
        rxIpCsum: info.rxOffloads.includes('IPV4_CKSUM'),
        txIpCsum: info.txOffloads.includes('IPV4_CKSUM'),
        txTcpCsum: info.txOffloads.includes('TCP_CKSUM'),
        txUdpCsum: info.txOffloads.includes('UDP_CKSUM'),
        txFastFree: info.txOffloads.includes('MBUF_FAST_FREE'),
        stats: native.portStats(port),
        mbufAvail: mbufs.available,
        mbufInUse: mbufs.inUse,
        ...(verbose ? { detail: this.linkDetail(d.name, info) } : {}),
      };
    });
    return dev === undefined ? links : links.filter((l) => l.name === this.device(dev));
  }

  private linkDetail(name: string, info: PortInfo): NonNullable<Link['detail']> {
    const { plan, native } = this.o;
    return {
      devargs: plan.devices.find((d) => d.name === name)?.devargs ?? info.name,
      driver: info.driver,
      steering: plan.lcores.length === 1 ? 'single-lcore' : 'redirect',
      info: infoFields(info),
      xstats: native.portXstats(info.port),
      queues: plan.lcores.flatMap((l) =>
        l.ports
          .filter((p) => p.device === name)
          .map((p) => ({ lcore: l.name, rx: p.rxQueues, tx: [p.txQueue] })),
      ),
      mcast: [],
    };
  }

  private lcoreList(): Lcore[] {
    const { plan, segment, lcores, tasks } = this.o;
    const stats = (id: number): Record<string, number> => {
      const counters = segment.lcoreStats(id);
      const { drops: _, events: __, spare: ___, ...fields } = LCORE_STATS.at;
      return Object.fromEntries(Object.entries(fields).map(([k, off]) => [k, counters[off >>> 3]!]));
    };
    const master: Lcore = {
      id: 0,
      role: 'master',
      cpu: this.o.masterCpu,
      socket: 0,
      state: 'running',
      queues: [],
      stats: stats(0),
    };
    return [
      master,
      ...plan.lcores.map((l): Lcore => {
        const state = lcores.state(l.id);
        return {
          id: l.id,
          role: 'worker',
          cpu: tasks.find((t) => t.id === l.id)!.cpu,
          socket: 0,
          state: state === 'starting' ? 'restarting' : state,
          queues: l.ports.map((p) => ({ dev: p.device, rx: p.rxQueues, tx: [p.txQueue] })),
          stats: stats(l.id),
        };
      }),
    ];
  }

  private async addrs(dev: string | undefined, perLcore: boolean): Promise<Addr[]> {
    if (dev !== undefined) this.device(dev);
    const pools = await this.pools();
    const list = this.o.replica.inet.addresses.list().filter((a) => dev === undefined || a.dev === dev);
    return list.flatMap((a): Addr[] => {
      const base = { family: 'inet' as const, ...a };
      const of = (l: (typeof pools)[number]): LaddrUse | undefined => l.uses.find((u) => u.addr === a.addr);
      const sum = (k: 'used' | 'free' | 'miss'): number => pools.reduce((n, l) => n + (of(l)?.[k] ?? 0), 0);
      if (!perLcore) return [{ ...base, saUsed: sum('used'), saFree: sum('free'), saMiss: sum('miss') }];
      return pools.map((l) => {
        const u = of(l);
        return { ...base, saUsed: u?.used ?? 0, saFree: u?.free ?? 0, saMiss: u?.miss ?? 0, lcore: l.lcore };
      });
    });
  }

  /** Local address pools of every lcore. */
  private async pools(): Promise<{ lcore: number; uses: LaddrUse[] }[]> {
    return Promise.all(
      this.o.lcores.ids.map(async (lcore) => ({
        lcore,
        uses: ((await this.o.lcores.query(lcore, 'sapool')) as LaddrUse[] | undefined) ?? [],
      })),
    );
  }

  private async neighs(dev: string | undefined): Promise<NeighEntry[]> {
    if (dev !== undefined) this.device(dev);
    const lists = await Promise.all(
      this.o.lcores.ids.map(
        async (id) => ((await this.o.lcores.query(id, 'neigh')) as NeighEntry[] | undefined) ?? [],
      ),
    );
    return lists.flat().filter((e) => dev === undefined || e.dev === dev);
  }

  private svcs(key: SvcKeyParams | undefined): Svc[] {
    return key === undefined ? this.o.replica.services.list() : [this.o.replica.services.get(key)];
  }

  /** @param lcore counters and gauges of this one only; rates and limits are always of all */
  private svcEntry(s: Svc, lcore?: number): SvcEntry {
    const { rates, limits, clients } = this.o;
    return {
      svc: keyOf(s),
      scheduler: s.scheduler.name,
      schedFlags: [...s.schedFlags],
      ...(s.scheduler.hashTargets ? { hashTarget: s.scheduler.hashTargets[0]! } : {}),
      ...optionsOf(SVC_DEFAULTS, s),
      counters: rates.svcCounters(s, lcore),
      rates: rates.svcRates(s),
      drops: rates.svcDrops(s, lcore),
      events: rates.svcEvents(s, lcore),
      dests: s.dests.map((d) => {
        const active = rates.gauge(d.slot, 'active', lcore);
        const inactive = rates.gauge(d.slot, 'inactive', lcore);
        return {
          addr: formatIpv4(d.addr),
          port: d.port,
          fwd: d.xmit.name,
          ...optionsOf(DEST_DEFAULTS, d),
          active,
          inactive,
          persist: clients.of(s, d.slot),
          overload: d.maxConn > 0 && limits.isFull(d.slot, d.maxConn),
          counters: rates.counters(d.slot, lcore),
          rates: rates.rates(d),
        };
      }),
    };
  }

  private timeouts(): Timeouts {
    const { tcpTimeoutsMs: tcp, udpTimeoutsMs: udp } = this.o.tasks[0]!.config;
    const set = this.o.replica.services.timeouts;
    const inForce = PROTOS.map((p) => [p.name, timeoutsInForce(p, { tcp, udp }, set)]);
    return { ...(Object.fromEntries(inForce) as Omit<Timeouts, 'set'>), set };
  }

  private drops(): DropEntry[] {
    const { segment, tasks } = this.o;
    return tasks.flatMap(({ id }) => {
      const counters = segment
        .lcoreStats(id)
        .subarray(LCORE_STATS.at.drops >>> 3, (LCORE_STATS.at.drops >>> 3) + DROP_CAP);
      return DROP_REASONS.map((r, i): DropEntry => ({
        lcore: id,
        name: r.name,
        text: r.text,
        hint: r.hint,
        count: counters[i]!,
        ...(r.done ? { done: true } : {}),
      }));
    });
  }

  private events(): EventEntry[] {
    const { segment, tasks } = this.o;
    return tasks.flatMap(({ id }) => {
      const counters = segment.lcoreStats(id).subarray(LCORE_STATS.at.events >>> 3);
      return EVENT_KINDS.map(({ name, text }, i) => ({ lcore: id, name, text, count: counters[i]! }));
    });
  }

  private device(name: string): string {
    this.o.ports.portOf(name);
    return name;
  }
}
