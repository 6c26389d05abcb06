/**
 * What dpvs.conf says, typed. A `Config` is a plain value (no class, no position), complete with defaults: a missing or
 * empty file gives {@link defaultConfig}. What a file leaves open (queues, CPUs, ports) stays open here; `resolve.ts`
 * decides it once the machine is known. Units are in the names; `items.ts` says which key fills which field.
 */
import type { SynproxyConfig } from '../ipvs/synproxy/config.js';

export type LogLevel = 'EMERG' | 'ALERT' | 'CRIT' | 'ERR' | 'WARNING' | 'NOTICE' | 'INFO' | 'DEBUG';

/** RSS hash groups as dpvs.conf names them; `all` in the file becomes ip, tcp, udp. */
export type RssType = 'ip' | 'tcp' | 'udp' | 'sctp' | 'ether' | 'port' | 'tunnel';

/** `off`: always poll; `auto`: back off when idle; a number: sleep that many microseconds when idle. */
export type IdleSleep = 'off' | 'auto' | number;

export interface GlobalConfig {
  daemon: boolean;
  /** Absent = not set in the file: the daemon's own default. */
  logLevel?: LogLevel;
  /** Absent = standard error. */
  logFile?: string;
  /** Absent = pretty on a terminal, json elsewhere. */
  logFormat?: 'json' | 'pretty';
  logWithTimestamp: boolean;
  logAsyncMode: boolean;
  logAsyncPoolSize: number;
  pdump: boolean;
  kni: boolean;
  lldp: boolean;
  /** auto: use hugepages when the machine has them; on: refuse to start without; off: never. */
  hugepages: 'auto' | 'on' | 'off';
  /** Memory for EAL in MiB, 0 = enough for the pools. */
  memoryMb: number;
}

export interface RxConfig {
  /** Absent = as many as the workers need. */
  queues?: number;
  descriptors: number;
  rss: RssType[];
  maxBurstSize: number;
}

export interface TxConfig {
  /** Absent = as many as the workers need. */
  queues?: number;
  descriptors: number;
  mbufFastFree: boolean;
  maxBurstSize: number;
}

export interface DeviceConfig {
  name: string;
  /** What EAL attaches: `net_tap0,iface=x` or a PCI address. Absent = a port that EAL finds by itself. */
  devargs?: string;
  rx: RxConfig;
  tx: TxConfig;
  mtu: number;
  promisc: boolean;
  allmulticast: boolean;
  /** Absent = `<name>.kni`. */
  kniName?: string;
}

export interface BondingConfig {
  name: string;
  /** DPDK bonding mode 0..6. */
  mode: number;
  slaves: string[];
  /** Absent = the first slave. */
  primary?: string;
  numaNode: number;
  kniName?: string;
  /** Mode 4 only. */
  dedicatedQueues: boolean;
}

export interface NetifConfig {
  /** mbufs per NUMA node, 2^n - 1. */
  pktpoolSize: number;
  pktpoolCache: number;
  devices: DeviceConfig[];
  bondings: BondingConfig[];
}

export interface WorkerPortConfig {
  name: string;
  rxQueueIds: number[];
  txQueueIds: number[];
  isolRxCpuIds: number[];
  isolRxqRingSize: number;
}

export interface WorkerConfig {
  name: string;
  /** master: control plane (one at most); slave: forwards packets; kni: one at most. */
  type: 'master' | 'slave' | 'kni';
  cpuId: number;
  icmpRedirectCore: boolean;
  ports: WorkerPortConfig[];
}

export interface NeighConfig {
  timeoutS: number;
  /** Packets that wait for one unresolved neighbour. */
  unresQueueLength: number;
}

export interface Ipv4Config {
  forwarding: boolean;
  defaultTtl: number;
  fragment: { bucketNumber: number; bucketEntries: number; maxEntries: number; ttlS: number };
}

export interface Ipv6Config {
  disable: boolean;
  forwarding: boolean;
  addrGenMode: 'eui64' | 'none' | 'stable-privacy' | 'random';
  /** 32 hex digits or more. */
  stableSecret?: string;
  route6: {
    method: 'hlist' | 'lpm';
    recycleTimeS: number;
    lpm6MaxRules: number;
    lpm6NumTbl8s: number;
    rt6HashBucket: number;
  };
}

export interface CtrlConfig {
  lcoreMsg: {
    ringSize: number;
    syncMsgTimeoutUs: number;
    priorityLevel: 'low' | 'norm' | 'high' | 'ign';
  };
}

export interface UdpTimeouts {
  oneway: number;
  normal: number;
  last: number;
}

/** Names of the TCP states of the original. Seconds. */
export interface TcpTimeouts {
  none: number;
  established: number;
  synSent: number;
  synRecv: number;
  finWait: number;
  timeWait: number;
  close: number;
  closeWait: number;
  lastAck: number;
  listen: number;
  synack: number;
  last: number;
}

export interface IpvsConfig {
  conn: {
    /** Connections of all lcores together, 2^n - 1. */
    poolSize: number;
    poolCache: number;
    initTimeoutS: number;
    expireQuiescentTemplate: boolean;
    fastXmitClose: boolean;
    redirect: boolean;
    xmitTtl: boolean;
    flowOffload: boolean;
    snatTimeouts: 'short' | 'rfc';
    floodHigh: number;
    floodLow: number;
    floodIdleS: number;
  };
  udp: {
    defenceUdpDrop: boolean;
    uoaMode: 'opp' | 'ipo';
    uoaMaxTrail: number;
    timeoutsS: UdpTimeouts;
  };
  tcp: {
    defenceTcpDrop: boolean;
    timeoutsS: TcpTimeouts;
    synproxy: Omit<SynproxyConfig, 'packetsHeld'> & { ackStormThresh: number };
    toa: boolean;
    timestamp: 'strip' | 'keep';
    seqRebase: boolean;
  };
}

export interface SaPoolConfig {
  poolHashSize: number;
  flowEnable: boolean;
}

export interface Config {
  global: GlobalConfig;
  netif: NetifConfig;
  /** In the order of the file. Empty = one forwarding lcore, chosen by `resolve`. */
  workers: WorkerConfig[];
  idleSleep: IdleSleep;
  timer: { scheduleIntervalUs: number };
  neigh: NeighConfig;
  ipset: { hashPoolSize: number };
  ipv4: Ipv4Config;
  ipv6: Ipv6Config;
  ctrl: CtrlConfig;
  ipvs: IpvsConfig;
  saPool: SaPoolConfig;
}

// ---------------------------------------------------------------------------------------------
// What resolve() makes of it on a given machine

/** A port that EAL has, in the order of DPDK port ids. */
export interface PortFact {
  /** The device of the file whose devargs made this port; absent = EAL found it by itself. */
  name?: string;
  /** As EAL calls it: `net_tap0`, `0000:06:00.0`. */
  deviceName: string;
  maxRxQueues: number;
  maxTxQueues: number;
}

export interface Facts {
  /** CPUs that this process may run on. */
  allowedCpus: number[];
  ports: PortFact[];
}

export interface PlannedDevice extends Omit<DeviceConfig, 'rx' | 'tx'> {
  /** Index in `Facts.ports`. */
  port: number;
  deviceName: string;
  /** True when the file has no `device` block for it. */
  implicit: boolean;
  rx: RxConfig & { queues: number };
  tx: TxConfig & { queues: number };
}

export interface PlannedLcorePort {
  /** Name of a {@link PlannedDevice}. */
  device: string;
  rxQueues: number[];
  txQueue: number;
}

export interface PlannedLcore {
  /** 1..N; the master is 0. */
  id: number;
  /** Name of the worker in the file, such as `cpu1`. */
  name: string;
  cpu: number;
  ports: PlannedLcorePort[];
}

export interface Plan {
  lcores: PlannedLcore[];
  /** In the order of DPDK port ids. */
  devices: PlannedDevice[];
}
