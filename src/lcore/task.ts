/** What one lcore's worker thread is given to start: plain values and shared memory. */
import type { Command } from '../control/schema.js';
import type { SynproxyConfig } from '../ipvs/synproxy/config.js';
import type { SharedMemory } from '../ipvs/shared.js';
import type { TcpConfig } from '../ipvs/xmit/xmit.js';
import type { DeviceSpec } from '../netif/device.js';

/** Settings of the stack that every lcore gets, from dpvs.conf. */
export interface StackConfig {
  forwarding: boolean;
  defaultTtl: number;
  neighTimeoutMs: number;
  unresQueueLength: number;
  unresTotalLength: number;
  /** Of each lcore, as in FragmentLimits. */
  fragmentEntries: number;
  fragmentBuffers: number;
  fragmentTtlMs: number;
  poolHashSize: number;
  xmitTtl: boolean;
  /** The native loop forwards the packets of known connections. */
  flowOffload: boolean;
  connInitTimeoutMs: number;
  expireQuiescentTemplate: boolean;
  uoaMode: 'opp' | 'ipo';
  uoaMaxTrail: number;
  /** Milliseconds by state, in the order of the state tables' names. */
  tcpTimeoutsMs: Record<string, number>;
  udpTimeoutsMs: Record<string, number>;
  tcp: TcpConfig;
  snatTimeouts: 'short' | 'rfc';
  floodHigh: number;
  floodLow: number;
  floodIdleMs: number;
  defenceTcpDrop: boolean;
  defenceUdpDrop: boolean;
  synproxy: SynproxyConfig;
}

export interface LcoreTask {
  /** 1..N. */
  id: number;
  name: string;
  cpu: number;
  /** Number of data lcores. */
  lcores: number;
  /** `off` polls; `auto` backs off; a number sleeps that many microseconds when idle. */
  idleSleep: 'off' | 'auto' | number;
  mesh: { buffer: SharedArrayBuffer; members: number };
  pool: { arena: SharedArrayBuffer; bufferOffset: number };
  block: SharedArrayBuffer;
  /** Statistics segment, and where this lcore's counters stand. */
  stats: { buffer: SharedArrayBuffer; offset: number; destOffset: number; svcOffset: number };
  /** What all lcores share. */
  shared: SharedMemory;
  conns: SharedArrayBuffer;
  adjacencies: SharedArrayBuffer;
  devices: DeviceSpec[];
  config: StackConfig;
  /** The commands that recreate the master's state. */
  snapshot: Command[];
  /** True when this lcore ran before: its connections are taken over. */
  rebuild: boolean;
}
