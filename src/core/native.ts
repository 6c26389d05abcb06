/**
 * The native boundary: what the addon offers, and its loading. Hot calls take plain numbers and return
 * plain numbers, everything else travels through shared memory (see layout.ts). Every misuse throws an
 * `Error` whose `code` is one of `NativeErrorCode`; nothing in the addon aborts the process.
 *
 * The main thread loads the addon first and keeps it loaded (an addon that only workers load crashes when
 * they end; measured, see docs/decisions.md).
 */
import { createRequire } from 'node:module';

export type NativeErrorCode =
  | 'EAL_STATE' // EAL not initialised, initialised twice, or already cleaned up
  | 'EAL_INIT' // rte_eal_init refused (see the log lines)
  | 'BAD_ARG' // wrong type, out of range
  | 'NO_MEMORY' // mempool, memzone or mapping failed
  | 'NO_PORT' // no such port, or it was detached
  | 'PORT_STATE' // not possible in the port's state (started, closed, …)
  | 'DEV_ATTACH' // the bus or driver refused the devargs
  | 'DPDK' // another DPDK call failed; the message has its name and errno text
  | 'NO_LCORE' // no such lcore context
  | 'WRONG_THREAD' // the lcore belongs to another thread
  | 'SYSCALL'; // open, mmap, pthread_setaffinity_np, …

export interface Mempool {
  /** All mbufs of the pool in one piece. */
  arena: SharedArrayBuffer;
  /** From an mbuf's offset to its first buffer byte: sizeof(rte_mbuf) + private area. */
  bufferOffset: number;
  /** mbufs in the pool. */
  count: number;
}

/** Static facts and present state of a port. */
export interface PortInfo {
  port: number;
  /** Device name as EAL has it: `net_tap0`, `0000:06:00.0`. */
  name: string;
  driver: string;
  socket: number;
  mac: string;
  mtu: number;
  minMtu: number;
  maxMtu: number;
  maxRxQueues: number;
  maxTxQueues: number;
  rxQueues: number;
  txQueues: number;
  /** Receive / transmit offload capabilities by name, as rte_eth_dev_rx_offload_name() gives them. */
  rxOffloads: string[];
  txOffloads: string[];
  rxDesc: { min: number; max: number; align: number };
  txDesc: { min: number; max: number; align: number };
  minRxBufSize: number;
  maxRxPktLen: number;
  maxMacAddrs: number;
  retaSize: number;
  hashKeySize: number;
  /** RSS hash types that the device can do, RTE_ETH_RSS_* by name. */
  rssTypes: string[];
  started: boolean;
  promiscuous: boolean;
  allmulticast: boolean;
}

export interface PortConfig {
  rxQueues: number;
  txQueues: number;
  rxDesc: number;
  txDesc: number;
  mtu: number;
  /** RSS hash types wanted; those that the device lacks are left out and returned by portConfigure. */
  rss: string[];
  /** Wanted offloads by name; those that the device lacks are left out. */
  rxOffloads: string[];
  txOffloads: string[];
}

export interface PortLink {
  up: boolean;
  /** Mbps; 0 = unknown. */
  speed: number;
  fullDuplex: boolean;
  autoneg: boolean;
}

export interface PortStats {
  ipackets: number;
  opackets: number;
  ibytes: number;
  obytes: number;
  imissed: number;
  ierrors: number;
  oerrors: number;
  rxNombuf: number;
}

export interface LcoreConfig {
  id: number;
  /** LCORE_BLOCK. */
  block: SharedArrayBuffer;
  /** Statistics segment and where this lcore's LCORE_STATS stand in it. */
  stats: SharedArrayBuffer;
  statsOffset: number;
  /** Polled in this order. */
  rxQueues: { port: number; queue: number }[];
  /** One queue per port that this lcore may send on. */
  txQueues: { port: number; queue: number }[];
  /** Size of the ring that other lcores redirect packets into (power of two). */
  redirectRing: number;
  /** Connection records (CONN4), count x CONN4.size; its native index is made for it. */
  conns: SharedArrayBuffer;
  /** Adjacency table, ADJ_CAP x ADJ.size. */
  adjacencies: SharedArrayBuffer;
  /** For tests: the index uses its front (native/src/flow_table.h) whether that pays or not. */
  alwaysFront?: boolean;
}

/** A transport protocol as the native loop steps it: the tables of src/ipvs/proto. */
export interface FlowProto {
  /** IP protocol number; 6 or 17. */
  number: number;
  states: number;
  events: number;
  /** `next[(table * events + event) * states + state]`, three tables. */
  next: Uint8Array;
  /** Event by the byte of TCP flags (0 where the protocol has none); 255 = no event. 256 entries. */
  eventOf: Uint8Array;
  /** `slow[table * 256 + flags]`: 1 for the bytes of TCP flags whose packets are for TypeScript. */
  slow: Uint8Array;
  /** By state: 1 = counted as active. */
  active: Uint8Array;
  /** Note the sequence numbers of the real server's segments. */
  observe: boolean;
}

export interface FlowRules {
  /** DEST_STATS x DEST_CAP of this lcore, in the statistics segment of its LcoreConfig. */
  destOffset: number;
  /** The same for SVC_STATS x SVC_CAP; absent: drops are not counted by service. */
  svcOffset?: number;
  /** Count the hop of forwarded packets. */
  xmitTtl: boolean;
  /** Rounds of a storm of acknowledgements before the real server's are for TypeScript. */
  ackStorm: number;
  /** By forwarding mode (CONN4.fwd), 8 entries: the table of packets from the client, 255 = leave the mode to TypeScript. */
  tableIn: Uint8Array;
  /** By forwarding mode, 8 entries: a client's segment with a TCP option of this kind is for TypeScript; 0 = none. */
  refusedOption: Uint8Array;
  protos: FlowProto[];
  /** Table of source verdicts (src/ipvs/acl/verdicts.ts); none: nobody is refused. */
  verdicts?: SharedArrayBuffer;
}

export interface Native {
  // ----- process
  /** @param onLog called on the main thread with DPDK's log lines; level 1 (emergency) to 8 (debug) */
  ealInit(args: string[], onLog: (level: number, line: string) => void): void;
  ealCleanup(): void;
  dpdkVersion(): string;
  /** Time stamp counter frequency in Hz. */
  tscHz(): number;
  /** Credentials of the peer of a connected Unix socket. */
  peerCredentials(fd: number): { pid: number; uid: number; gid: number };
  /** CPUs that this process may run on. */
  allowedCpus(): number[];

  // ----- memory
  /** One pool for all packets, in one virtually contiguous piece of at most 2 GiB. */
  mempoolCreate(o: { name: string; count: number; cache: number; socket: number }): Mempool;
  mempoolStats(): { available: number; inUse: number };
  /** Reserves zeroed memory (hugepages when EAL has them), or finds it when it exists with this size. */
  memzone(name: string, bytes: number, socket: number): SharedArrayBuffer;
  /** Bytes of EAL heap still free on a socket. */
  memFree(socket: number): number;
  /** Creates (truncates) or opens a file and maps it shared. */
  mapFile(path: string, bytes: number): SharedArrayBuffer;
  /** Anonymous shared memory outside the EAL heap, pages touched lazily, huge where the kernel can. */
  mapAnonymous(bytes: number): SharedArrayBuffer;

  // ----- devices and ports
  /** `net_tap0,iface=x` or `0000:06:00.0[,…]`. @returns the new port ids */
  devAttach(devargs: string): number[];
  devDetach(port: number): void;
  ports(): number[];
  portInfo(port: number): PortInfo;
  /** @returns what was asked for and the device cannot do */
  portConfigure(port: number, c: PortConfig): { missing: string[] };
  portStart(port: number): void;
  portStop(port: number): void;
  /** Closes and detaches nothing else; a second close throws NO_PORT. */
  portClose(port: number): void;
  portLink(port: number): PortLink;
  portSetLink(port: number, up: boolean): void;
  portSetMac(port: number, mac: string): void;
  portSetPromiscuous(port: number, on: boolean): void;
  portSetAllmulticast(port: number, on: boolean): void;
  portSetMtu(port: number, mtu: number): void;
  portStats(port: number): PortStats;
  portXstats(port: number): Record<string, number>;
  portResetStats(port: number): void;
  portRss(port: number): { key: Uint8Array; reta: Uint16Array };
  portSetReta(port: number, reta: Uint16Array): void;

  // ----- threads
  /** Pins the calling thread. */
  threadPin(cpu: number): void;
  /** Keeps every thread that the process has, and those that they start, on these CPUs. */
  processPin(cpus: number[]): void;
  /** As seen in `top -H`; at most 15 characters. */
  threadName(name: string): void;
  /** Registers the calling thread with EAL (undone when its environment ends). */
  threadRegister(): void;

  // ----- lcores
  /** Main thread: makes the context (rings, queues, flow index). */
  lcoreCreate(c: LcoreConfig): void;
  /** Frees the context. Throws PORT_STATE while a thread is bound to it. */
  lcoreDestroy(id: number): void;
  /** Worker thread: takes the context for itself; only this thread may poll it from then on. */
  lcoreBind(id: number): void;
  lcoreUnbind(id: number): void;
  /**
   * Main thread, after an lcore's thread died: forgets the thread and frees every packet that it owned.
   * @returns packets freed; the caller accounts for them as dropped (LCORE_RESTART)
   */
  lcoreReclaim(id: number): number;
  /**
   * What the native loop may do with the packets of known connections. Until it is told, and for ports without `portMac`,
   * every packet is an exception. Call it while no other thread polls the lcore.
   */
  flowRules(id: number, rules: FlowRules): void;
  /**
   * The lcore's own thread, idle: blocks until somebody rings its doorbell (`lcoreWake`, or a packet that is redirected to it), or
   * for that many microseconds (an integer); may end early. Returns at once when the bell rang since the last sleep, so look for
   * work after each sleep.
   */
  lcoreSleep(id: number, microseconds: number): void;
  /** Any thread, after posting work: wakes an lcore or keeps it from falling asleep. Does nothing to one that was destroyed. */
  lcoreWake(id: number): void;
  /** Stops the clock of an lcore at `nowMs` (nowMs of its next polls), or lets it run again (-1). For tests. */
  lcoreClock(id: number, nowMs: number): void;
  /**
   * Receives packets: redirect ring, then every queue, until there are `budget` exceptions, the queues are empty or a
   * bounded number of bursts has been worked off. What flows cover is sent; the rest is in the exception vector
   * untouched, marked as owned by this lcore, with the flow that was found as a hint. Connections whose state changed are in
   * the event vector. Also sets nowMs and `received`, and refills `alloc`.
   * A budget of 0 receives nothing: it only sets the clock.
   * @returns number of exceptions
   */
  poll(id: number, budget: number): number;
  /** Sends and frees what the vectors hold, empties them, refills `alloc`. @returns packets sent */
  flush(id: number): number;

  // ----- connection index (both directions of a record, by the tuples that it carries)
  /** @returns 0, -1 a direction's tuple is already there (nothing was inserted), -2 no room */
  flowInsert(id: number, conn: number): number;
  /** @returns 0, or -1 when it was not there */
  flowRemove(id: number, conn: number): number;
  // The same for the first `n` connections in `conns` of the lcore's block: their memory is asked for in one go.
  /** @returns how many are refused; they stand in front then, in their order */
  flowInsertMany(id: number, n: number): number;
  /** @returns how many were there */
  flowRemoveMany(id: number, n: number): number;
  /** Gets records and places in the index into the caches. */
  flowPrefetch(id: number, n: number): number;
  /**
   * Finds by the IPv4 header at arena offset `l3` and the transport header at `l4`.
   * @param inverse look for the opposite tuple (source and destination swapped), for headers quoted in ICMP errors
   * @returns connection * 2 + direction, or -1
   */
  flowFind(id: number, l3: number, l4: number, inverse: boolean): number;
  /**
   * The same in the indexes of all other lcores. They change meanwhile: a flow that is being moved may be missed, and what
   * is found may be gone.
   * @returns id of an lcore that has the flow, or 0
   */
  flowOwner(id: number, l3: number, l4: number, inverse: boolean): number;
  /** Connections in the index. */
  flowCount(id: number): number;
  /** Empties and re-makes the index from the records flagged HASHED (after a crash). @returns how many */
  flowRebuild(id: number): number;
}

let loaded: Native | undefined;

/** Loads the addon (once per thread). */
export function native(): Native {
  loaded ??= createRequire(import.meta.url)('@dpvs/native') as Native;
  return loaded;
}
