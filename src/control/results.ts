/** What queries answer with. Counters are totals over all lcores unless said otherwise. */
import type { ErrorData } from '../core/errors.js';
import type { DestOptions, SvcOptions } from './schema.js';
import type { MatchProto, MatchSpec } from '../core/match.js';

export type { ErrorData };

export interface Info {
  version: string;
  dpdk: string;
  pid: number;
  startedAt: string;
  /** File of the statistics segment. */
  statsFile: string;
  lcores: number;
}

export interface LinkStats {
  ipackets: number;
  opackets: number;
  ibytes: number;
  obytes: number;
  ierrors: number;
  oerrors: number;
  imissed: number;
  rxNombuf: number;
}

export interface Link {
  /** Position in listings, from 1. */
  index: number;
  name: string;
  kind: 'port' | 'vlan' | 'bond';
  socket: number;
  mtu: number;
  rxQueues: number;
  txQueues: number;
  up: boolean;
  /** Mbps, 0 = unknown. */
  speed: number;
  fullDuplex: boolean;
  autoneg: boolean;
  promisc: boolean;
  allmulticast: boolean;
  forward2kni: boolean;
  mac: string;
  rxIpCsum: boolean;
  txIpCsum: boolean;
  txTcpCsum: boolean;
  txUdpCsum: boolean;
  txFastFree: boolean;
  stats: LinkStats;
  mbufAvail: number;
  mbufInUse: number;
  /** Only when asked verbosely. */
  detail?: {
    devargs: string;
    driver: string;
    /** How replies find the lcore that owns their connection. */
    steering: 'rss-prediction' | 'rte_flow' | 'redirect' | 'single-lcore';
    info: Record<string, string | number>;
    xstats: Record<string, number>;
    queues: { lcore: string; rx: number[]; tx: number[] }[];
    mcast: string[];
  };
}

export interface Lcore {
  /** 0 = master, data lcores from 1. */
  id: number;
  role: 'master' | 'worker';
  cpu: number;
  socket: number;
  /** Worker state. */
  state: 'running' | 'restarting' | 'stuck';
  queues: { dev: string; rx: number[]; tx: number[] }[];
  /** LCORE_STATS without the drops, by field name. */
  stats: Record<string, number>;
}

export interface Addr {
  family: 'inet';
  addr: string;
  plen: number;
  scope: string;
  dev: string;
  broadcast?: string;
  validLft: number;
  sapool: boolean;
  saUsed: number;
  saFree: number;
  saMiss: number;
  /** Only when asked per lcore. */
  lcore?: number;
}

export interface RouteEntry {
  family: 'inet';
  dst: string;
  plen: number;
  via: string;
  src: string;
  dev: string;
  mtu: number;
  tos: number;
  scope: string;
  metric: number;
  proto: 'auto' | 'static';
}

export interface NeighEntry {
  addr: string;
  /** Absent while unresolved. */
  mac?: string;
  state: string;
  dev: string;
  core: number;
  static: boolean;
}

export interface SvcKey {
  proto: MatchProto;
  /** 0.0.0.0 and 0 for a service by match. */
  addr: string;
  port: number;
  match?: MatchSpec | undefined;
}

export interface Counters {
  conns: number;
  inPackets: number;
  outPackets: number;
  inBytes: number;
  outBytes: number;
}

/** Per second, over the last full second. */
export interface Rates {
  cps: number;
  inPps: number;
  outPps: number;
  inBps: number;
  outBps: number;
}

export interface DestEntry extends DestOptions {
  addr: string;
  port: number;
  fwd: 'nat' | 'tunnel' | 'dr' | 'fullnat' | 'snat';
  active: number;
  inactive: number;
  persist: number;
  overload: boolean;
  inhibited: boolean;
  counters: Counters;
  rates: Rates;
}

export interface SvcEntry extends SvcOptions {
  svc: SvcKey;
  scheduler: string;
  schedFlags: string[];
  /** Only with schedulers that have one. */
  hashTarget?: string;
  counters: Counters;
  rates: Rates;
  /** Packets dropped for it, by reason; reasons that did not occur are left out. */
  drops: Record<string, number>;
  /** What else happened to its packets and connections: see `event.list`; what did not occur is left out. */
  events: Record<string, number>;
  dests: DestEntry[];
}

export interface LaddrEntry {
  svc: SvcKey;
  laddrs: { addr: string; dev: string; conns: number; conflicts: number }[];
}

export interface ConnEntry {
  lcore: number;
  proto: MatchProto;
  /** Configured timeout of the state and what remains of it, seconds. */
  timeout: number;
  remaining: number;
  state: string;
  client: string;
  clientPort: number;
  vaddr: string;
  vport: number;
  laddr: string;
  lport: number;
  daddr: string;
  dport: number;
}

export interface ConnPage {
  conns: ConnEntry[];
  /** Absent on the last page. */
  cursor?: string;
}

/** A client, or its network under the service's mask, that persistence has given a real server. */
export interface TemplateEntry {
  svc: SvcKey;
  client: string;
  daddr: string;
  dport: number;
  /** Of the service, and what remains of it, seconds. */
  timeout: number;
  remaining: number;
}

export interface TemplatePage {
  templates: TemplateEntry[];
  /** Absent on the last page. */
  cursor?: string;
}

export interface DropEntry {
  lcore: number;
  name: string;
  text: string;
  hint: string;
  count: number;
  /** The packet's work was done: no drop in the usual sense. */
  done?: true;
}

/** How often something happened on an lcore. */
export interface EventEntry {
  lcore: number;
  name: string;
  text: string;
  count: number;
}

/** Seconds in force by state, and what `timeout.set` has set (0 = nothing). */
export interface Timeouts extends Record<MatchProto, Record<string, number>> {
  set: { tcp: number; tcpFin: number; udp: number };
}

/** Of `batch`: how many of its commands are in force, and why no more. */
export interface BatchResult {
  done: number;
  error?: ErrorData;
}

export interface QueryResults {
  info: Info;
  'link.list': Link[];
  'lcore.list': Lcore[];
  'addr.list': Addr[];
  'route.list': RouteEntry[];
  'neigh.list': NeighEntry[];
  'svc.list': SvcEntry[];
  'laddr.list': LaddrEntry[];
  'conn.list': ConnPage;
  'template.list': TemplatePage;
  'acl.list': AclPage;
  'drop.list': DropEntry[];
  'event.list': EventEntry[];
  'timeout.get': Timeouts;
  'sched.list': string[];
}

/** An entry of a black or white list as it was written. */
export interface AclEntry {
  /** Absent: for all sources. */
  svc?: SvcKey;
  list: 'black' | 'white';
  entry: string;
}
export interface AclPage {
  entries: AclEntry[];
  cursor?: string;
}
