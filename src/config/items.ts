/**
 * Every key of dpvs.conf, declared once: the reader, the defaults, the reload, the reference page and `dpvs.conf.items`
 * follow from this table. Paths are written as in the file; `NAME` stands for the name of a device, bonding, worker or
 * port. Ranges and defaults are the original's; where ours differ, the text says so.
 */
import type { Value, ValueType } from './values.js';

/**
 * now: works. later: accepted and checked, does nothing yet. never: accepted for compatibility, this design has no
 * use for it. obsolete: the original itself dropped it (any value is accepted).
 */
export type Effect = 'now' | 'later' | 'never' | 'obsolete';

export interface Item {
  path: string;
  /** Field of `Config` (inside a named block: of its object). Empty for an obsolete key. */
  to: string;
  type: ValueType;
  /** Absent = the field is absent when the file doesn't give it. */
  default?: Value;
  /** Read at start only; else a reload applies it. */
  init: boolean;
  /** Unit of a number. */
  unit?: string;
  effect: Effect;
  /** May stand several times: the values make a list. */
  repeat?: true;
  /** The block is incomplete without it. */
  required?: true;
  /** 0 is written for "the default". */
  zeroIsDefault?: true;
  doc: string;
}

/** A block with a name of its own that may stand several times. */
export interface NamedBlock {
  path: string;
  /** Field of `Config` or of the enclosing block's object: a list. */
  to: string;
  /** What a name looks like. */
  name: RegExp;
  nameHint: string;
  effect: Effect;
  doc: string;
}

/** Text of a top-level section on the reference page. */
export interface Section {
  path: string;
  doc: string;
}

export const SECTIONS: readonly Section[] = [
  { path: 'global_defs', doc: 'The process: logs, memory, what is switched on.' },
  { path: 'netif_defs', doc: 'Network devices: the packet pool, ports and bondings.' },
  {
    path: 'worker_defs',
    doc:
      'Lcores, and which queues of which ports each polls. Without any `worker` block one lcore runs on the last CPU that ' +
      'the process may use. A port that no worker mentions gets one receive and one transmit queue per worker.',
  },
  { path: 'timer_defs', doc: 'Timers.' },
  { path: 'neigh_defs', doc: 'Neighbours (ARP).' },
  { path: 'ipset_defs', doc: 'Sets of addresses.' },
  { path: 'ipv4_defs', doc: 'IPv4.' },
  { path: 'ipv6_defs', doc: 'IPv6.' },
  { path: 'ctrl_defs', doc: 'The control plane.' },
  { path: 'ipvs_defs', doc: 'The load balancer: connections, UDP, TCP, SYN proxy.' },
  { path: 'sa_pool', doc: 'Local addresses and ports.' },
];

const deviceName = /^[A-Za-z0-9][\w.:@-]{0,31}$/;
const deviceNameHint = 'letters, digits and _ . : @ -, at most 32 characters';

export const NAMED_BLOCKS: readonly NamedBlock[] = [
  {
    path: 'netif_defs/device NAME',
    to: 'netif.devices',
    name: deviceName,
    nameHint: deviceNameHint,
    effect: 'now',
    doc:
      'A port. With `devargs` the port is made from them; without, `dpdk0` is the first port that DPDK finds, `dpdk1` the ' +
      'second, and so on. Ports that DPDK finds and the file does not mention get such a name and the defaults.',
  },
  {
    path: 'netif_defs/bonding NAME',
    to: 'netif.bondings',
    name: /^[A-Za-z][A-Za-z0-9]{0,31}$/,
    nameHint: 'a letter, then letters and digits, at most 32 characters',
    effect: 'later',
    doc: 'Several devices as one.',
  },
  {
    path: 'worker_defs/worker NAME',
    to: 'workers',
    name: /^[\w.:@-]{1,32}$/,
    nameHint: deviceNameHint,
    effect: 'now',
    doc: 'An lcore.',
  },
  {
    path: 'worker_defs/worker NAME/port NAME',
    to: 'ports',
    name: deviceName,
    nameHint: deviceNameHint,
    effect: 'now',
    doc: 'A port that the worker uses. Once one worker mentions a port, all of `type slave` must.',
  },
];

const flag: ValueType = { kind: 'flag' };
const bool: ValueType = { kind: 'bool' };
const any: ValueType = { kind: 'any' };
const int = (min: number, max: number, round?: 'pow2' | 'pow2-1'): ValueType =>
  round === undefined ? { kind: 'int', min, max } : { kind: 'int', min, max, round };
const oneOf = (...words: string[]): ValueType => ({ kind: 'enum', words });
const kniName: ValueType = {
  kind: 'text',
  what: 'a device name of at most 32 characters',
  pattern: /^[^\s/]{1,32}$/,
  example: 'dpdk0.kni',
};
const aDevice: ValueType = { kind: 'text', what: 'a device name', pattern: deviceName, example: 'dpdk0' };
const SECONDS = int(1, 31535999);
const U31 = 2147483647;

const idleSleep: Omit<Item, 'path'> = {
  to: 'idleSleep',
  type: { kind: 'int', min: 1, max: 1000000, words: ['off', 'auto'] },
  default: 'auto',
  init: true,
  unit: 'µs',
  effect: 'now',
  doc:
    'What an lcore does when no packet comes: `off` goes on polling (lowest latency, a whole CPU), `auto` backs off step ' +
    'by step, a number sleeps that long.',
};

/** The same timeout for each named state: seconds, may change at run time. */
const timeouts = (
  base: string,
  to: string,
  states: Record<string, [field: string, s: number, doc: string]>,
): Item[] =>
  Object.entries(states).map(([key, [field, s, doc]]) => ({
    path: `${base}/${key}`,
    to: `${to}.${field}`,
    type: SECONDS,
    default: s,
    init: false,
    unit: 's',
    effect: 'now',
    doc,
  }));

const obsolete = (path: string, doc: string): Item => ({
  path,
  to: '',
  type: any,
  init: true,
  effect: 'obsolete',
  doc,
});

const DEVICE = 'netif_defs/device NAME';
const BONDING = 'netif_defs/bonding NAME';
const WORKER = 'worker_defs/worker NAME';
const PORT = `${WORKER}/port NAME`;
const CONN = 'ipvs_defs/conn';
const UDP = 'ipvs_defs/udp';
const TCP = 'ipvs_defs/tcp';
const SYNPROXY = `${TCP}/synproxy`;

const TCP_TIMEOUTS = {
  none: ['none', 2, 'TCP, no state.'],
  established: ['established', 90, 'TCP, ESTABLISHED.'],
  syn_sent: ['synSent', 3, 'TCP, SYN_SENT.'],
  syn_recv: ['synRecv', 30, 'TCP, SYN_RECV.'],
  fin_wait: ['finWait', 7, 'TCP, FIN_WAIT.'],
  time_wait: ['timeWait', 7, 'TCP, TIME_WAIT.'],
  close: ['close', 3, 'TCP, CLOSE.'],
  close_wait: ['closeWait', 7, 'TCP, CLOSE_WAIT.'],
  last_ack: ['lastAck', 7, 'TCP, LAST_ACK.'],
  listen: ['listen', 120, 'TCP, LISTEN.'],
  synack: ['synack', 30, 'TCP, SYNACK.'],
  last: ['last', 2, 'TCP, any other state.'],
} satisfies Record<string, [string, number, string]>;

const UDP_TIMEOUTS = {
  oneway: ['oneway', 300, 'UDP, packets seen from the client only.'],
  normal: ['normal', 300, 'UDP, packets seen both ways.'],
  last: ['last', 2, 'UDP, any other state.'],
} satisfies Record<string, [string, number, string]>;

/** In the order of the reference page; keys of one block stand together. */
export const ITEMS: readonly Item[] = [
  // ----- global_defs
  {
    path: 'global_defs/daemon',
    to: 'global.daemon',
    type: flag,
    default: false,
    init: true,
    effect: 'later',
    doc: 'Go to the background once started.',
  },
  {
    path: 'global_defs/log_level',
    to: 'global.logLevel',
    init: false,
    effect: 'now',
    type: {
      kind: 'enum',
      loose: true,
      words: ['EMERG', 'ALERT', 'CRIT', 'ERR', 'WARNING', 'NOTICE', 'INFO', 'DEBUG'],
    },
    doc: 'The least urgent messages that are logged. Any case; `WARN` and `ERROR` are understood. Not set: INFO.',
  },
  {
    path: 'global_defs/log_file',
    to: 'global.logFile',
    init: false,
    effect: 'now',
    type: {
      kind: 'text',
      what: 'the path of a file',
      pattern: /^(?!.*\/$)[^\0]{1,4095}$/,
      example: '/var/log/dpvs.log',
    },
    doc: 'Where the log goes. Not set: standard error (the original: syslog).',
  },
  {
    path: 'global_defs/log_format',
    to: 'global.logFormat',
    type: oneOf('json', 'pretty'),
    init: true,
    effect: 'now',
    doc: 'One JSON object a line, or text for people. Not set: `pretty` on a terminal, else `json`. Ours.',
  },
  {
    path: 'global_defs/log_with_timestamp',
    to: 'global.logWithTimestamp',
    type: bool,
    default: false,
    init: false,
    effect: 'never',
    doc: 'Every line of our log has its time.',
  },
  {
    path: 'global_defs/log_async_mode',
    to: 'global.logAsyncMode',
    type: bool,
    default: false,
    init: true,
    effect: 'never',
    doc: 'Our lcores never wait for the log.',
  },
  {
    path: 'global_defs/log_async_pool_size',
    to: 'global.logAsyncPoolSize',
    type: int(1023, U31, 'pow2-1'),
    default: 16383,
    init: true,
    effect: 'never',
    doc: 'Messages that may wait in async mode.',
  },
  {
    path: 'global_defs/pdump',
    to: 'global.pdump',
    type: bool,
    default: false,
    init: true,
    effect: 'later',
    doc: 'Packet capture.',
  },
  {
    path: 'global_defs/kni',
    to: 'global.kni',
    type: bool,
    default: true,
    init: true,
    effect: 'later',
    doc: 'A kernel interface beside each port.',
  },
  {
    path: 'global_defs/lldp',
    to: 'global.lldp',
    type: bool,
    default: false,
    init: false,
    effect: 'later',
    doc: 'Announce ourselves to switches, learn who they are.',
  },
  { path: 'global_defs/idle_sleep', ...idleSleep, doc: 'The same as `worker_defs/idle_sleep`. Ours.' },
  {
    path: 'global_defs/hugepages',
    to: 'global.hugepages',
    type: oneOf('auto', 'on', 'off'),
    default: 'auto',
    init: true,
    effect: 'now',
    doc: '`auto` uses hugepages when the machine has them, `on` refuses to start without, `off` never uses them. Ours.',
  },
  {
    path: 'global_defs/memory_mb',
    to: 'global.memoryMb',
    type: int(0, 1048576),
    default: 0,
    init: true,
    unit: 'MiB',
    effect: 'now',
    doc: 'Memory that DPDK takes, 0 = enough for the pools. Ours.',
  },

  // ----- netif_defs
  {
    path: 'netif_defs/pktpool_size',
    to: 'netif.pktpoolSize',
    type: int(1023, 134217727, 'pow2-1'),
    default: 65535,
    init: true,
    unit: 'packets',
    effect: 'now',
    doc: 'Packet buffers per NUMA node, 2.3 KiB each.',
  },
  {
    path: 'netif_defs/pktpool_cache',
    to: 'netif.pktpoolCache',
    type: int(32, 8192, 'pow2'),
    default: 256,
    init: true,
    unit: 'packets',
    effect: 'now',
    doc: 'Buffers that an lcore keeps at hand (DPDK caps it at 512).',
  },
  {
    path: 'netif_defs/fdir_mode',
    to: '',
    type: oneOf('perfect', 'signature'),
    init: true,
    effect: 'obsolete',
    doc: 'Mode of the flow director of ixgbe.',
  },
  {
    path: `${DEVICE}/devargs`,
    to: 'devargs',
    init: true,
    effect: 'now',
    type: {
      kind: 'text',
      what: 'a PCI address or the arguments of a virtual device',
      example: '"0000:06:00.0" or "net_tap0,iface=tap0"',
      pattern:
        /^([0-9A-Fa-f]{4,8}:)?[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7](,[^\s]+)?$|^[a-z]\w*(,[^\s=,]+(=[^\s]*)?)*$/,
    },
    doc: 'What DPDK makes the port from: a PCI address or a virtual device, as after `-a` and `--vdev`. Ours.',
  },
  {
    path: `${DEVICE}/rx/queue_number`,
    to: 'rx.queues',
    type: int(0, 16),
    zeroIsDefault: true,
    init: true,
    effect: 'now',
    doc: 'Receive queues. Not set or 0: as many as the workers poll (the original: 16).',
  },
  {
    path: `${DEVICE}/rx/descriptor_number`,
    to: 'rx.descriptors',
    type: int(16, 8192, 'pow2'),
    default: 256,
    init: true,
    unit: 'packets',
    effect: 'now',
    doc: 'Length of each receive queue.',
  },
  {
    path: `${DEVICE}/rx/rss`,
    to: 'rx.rss',
    init: true,
    effect: 'now',
    default: ['ip', 'tcp', 'udp'],
    type: {
      kind: 'set',
      words: ['ip', 'tcp', 'udp', 'sctp', 'ether', 'port', 'tunnel'],
      groups: { all: ['ip', 'tcp', 'udp'] },
    },
    doc: 'What receive-side scaling hashes. `all` is `ip|tcp|udp`, the default that the original documents (its code takes `tcp`).',
  },
  {
    path: `${DEVICE}/rx/max_burst_size`,
    to: 'rx.maxBurstSize',
    type: int(1, 65535),
    default: 32,
    init: true,
    unit: 'packets',
    effect: 'never',
    doc: 'Bursts are 32 packets.',
  },
  {
    path: `${DEVICE}/tx/queue_number`,
    to: 'tx.queues',
    type: int(0, 16),
    zeroIsDefault: true,
    init: true,
    effect: 'now',
    doc: 'Transmit queues. Not set or 0: as many as the workers use (the original: 16).',
  },
  {
    path: `${DEVICE}/tx/descriptor_number`,
    to: 'tx.descriptors',
    type: int(16, 8192, 'pow2'),
    default: 512,
    init: true,
    unit: 'packets',
    effect: 'now',
    doc: 'Length of each transmit queue.',
  },
  {
    path: `${DEVICE}/tx/mbuf_fast_free`,
    to: 'tx.mbufFastFree',
    type: bool,
    default: true,
    init: true,
    effect: 'now',
    doc: 'Let the driver free sent buffers in the fast way, where it can.',
  },
  {
    path: `${DEVICE}/tx/max_burst_size`,
    to: 'tx.maxBurstSize',
    type: int(1, 65535),
    default: 32,
    init: true,
    unit: 'packets',
    effect: 'never',
    doc: 'Bursts are 32 packets.',
  },
  { path: `${DEVICE}/fdir/filter`, to: '', type: any, init: true, effect: 'obsolete', doc: 'Flow director.' },
  { path: `${DEVICE}/fdir/mode`, to: '', type: any, init: true, effect: 'obsolete', doc: 'Flow director.' },
  {
    path: `${DEVICE}/fdir/pballoc`,
    to: '',
    type: any,
    init: true,
    effect: 'obsolete',
    doc: 'Flow director.',
  },
  { path: `${DEVICE}/fdir/status`, to: '', type: any, init: true, effect: 'obsolete', doc: 'Flow director.' },
  {
    path: `${DEVICE}/mtu`,
    to: 'mtu',
    type: int(0, 9000),
    zeroIsDefault: true,
    default: 1500,
    init: true,
    unit: 'bytes',
    effect: 'now',
    doc: 'Largest IP datagram; 0 = 1500.',
  },
  {
    path: `${DEVICE}/promisc_mode`,
    to: 'promisc',
    type: flag,
    default: false,
    init: true,
    effect: 'now',
    doc: 'Receive frames for other MAC addresses too.',
  },
  {
    path: `${DEVICE}/allmulticast`,
    to: 'allmulticast',
    type: flag,
    default: false,
    init: true,
    effect: 'now',
    doc: 'Receive all multicast frames.',
  },
  {
    path: `${DEVICE}/kni_name`,
    to: 'kniName',
    type: kniName,
    init: true,
    effect: 'later',
    doc: "Name of the kernel interface. Not set: the device's name and `.kni`.",
  },
  {
    path: `${BONDING}/mode`,
    to: 'mode',
    type: int(0, 6),
    init: true,
    required: true,
    effect: 'later',
    doc: 'Bonding mode of DPDK; 0 (round robin) and 4 (802.3ad) will be supported.',
  },
  {
    path: `${BONDING}/slave`,
    to: 'slaves',
    type: aDevice,
    init: true,
    repeat: true,
    required: true,
    effect: 'later',
    doc: 'A device of the bonding; one line each.',
  },
  {
    path: `${BONDING}/primary`,
    to: 'primary',
    type: aDevice,
    init: true,
    effect: 'later',
    doc: 'The slave whose queue settings the bonding takes. Not set: the first.',
  },
  {
    path: `${BONDING}/numa_node`,
    to: 'numaNode',
    type: int(0, 127),
    default: 0,
    init: true,
    effect: 'later',
    doc: 'NUMA node of the bonding.',
  },
  {
    path: `${BONDING}/kni_name`,
    to: 'kniName',
    type: kniName,
    init: true,
    effect: 'later',
    doc: "Name of the kernel interface. Not set: the bonding's name and `.kni`.",
  },
  {
    path: `${BONDING}/options`,
    to: 'dedicatedQueues',
    type: { kind: 'options', name: 'dedicated_queues' },
    default: true,
    init: true,
    effect: 'later',
    doc: 'Mode 4: queues of their own for LACP frames.',
  },

  // ----- worker_defs
  { path: 'worker_defs/idle_sleep', ...idleSleep, doc: `${idleSleep.doc} Ours.` },
  {
    path: `${WORKER}/type`,
    to: 'type',
    type: oneOf('master', 'slave', 'kni'),
    default: 'slave',
    init: true,
    effect: 'now',
    doc: '`master`: the control plane, lcore 0, not pinned; at most one. `slave`: forwards packets. `kni`: serves kernel interfaces, at most one, does nothing yet.',
  },
  {
    path: `${WORKER}/cpu_id`,
    to: 'cpuId',
    type: int(0, 1023),
    init: true,
    required: true,
    effect: 'now',
    doc: 'The CPU that the worker runs on, as the operating system counts.',
  },
  {
    path: `${WORKER}/icmp_redirect_core`,
    to: 'icmpRedirectCore',
    type: flag,
    default: false,
    init: true,
    effect: 'never',
    doc: 'Every lcore passes ICMP errors to the owner of the connection.',
  },
  {
    path: `${PORT}/rx_queue_ids`,
    to: 'rxQueueIds',
    type: { kind: 'ints', min: 0, max: 15 },
    default: [],
    init: true,
    effect: 'now',
    doc: 'Receive queues that the worker polls, such as `0 4` or `0-3`. A queue belongs to one worker; the queues of a port count from 0 without gaps.',
  },
  {
    path: `${PORT}/tx_queue_ids`,
    to: 'txQueueIds',
    type: { kind: 'ints', min: 0, max: 15 },
    default: [],
    init: true,
    effect: 'now',
    doc: 'Transmit queues of the worker, at least one; the first is used.',
  },
  {
    path: `${PORT}/isol_rx_cpu_ids`,
    to: 'isolRxCpuIds',
    type: { kind: 'ints', min: 0, max: 1023, repeats: true },
    default: [],
    init: true,
    effect: 'later',
    doc: 'CPUs that only receive, one for each receive queue.',
  },
  {
    path: `${PORT}/isol_rxq_ring_sz`,
    to: 'isolRxqRingSize',
    type: int(1024, 2147483648, 'pow2'),
    default: 1048576,
    init: true,
    unit: 'packets',
    effect: 'later',
    doc: 'Ring between a receiving CPU and the worker.',
  },

  // ----- timer_defs, neigh_defs, ipset_defs
  {
    path: 'timer_defs/schedule_interval',
    to: 'timer.scheduleIntervalUs',
    type: int(1, 10000000),
    default: 10,
    init: true,
    unit: 'µs',
    effect: 'never',
    doc: 'Timers run in every loop of an lcore; a tick is 1 ms.',
  },
  {
    path: 'neigh_defs/unres_queue_length',
    to: 'neigh.unresQueueLength',
    type: int(16, 8192),
    default: 128,
    init: true,
    unit: 'packets',
    effect: 'now',
    doc: 'Packets that wait for one neighbour until its MAC address is known.',
  },
  {
    path: 'neigh_defs/timeout',
    to: 'neigh.timeoutS',
    type: int(1, 3600),
    default: 60,
    init: false,
    unit: 's',
    effect: 'now',
    doc: 'How long a neighbour is believed reachable without news.',
  },
  obsolete('neigh_defs/pktpool_size', 'Waiting packets have no pool of their own (2017).'),
  obsolete('neigh_defs/pktpool_cache', 'Waiting packets have no pool of their own (2017).'),
  {
    path: 'ipset_defs/ipset_hash_pool_size',
    to: 'ipset.hashPoolSize',
    type: int(65536, U31),
    default: 262143,
    init: true,
    unit: 'entries',
    effect: 'later',
    doc: 'Entries of all sets together.',
  },

  // ----- ipv4_defs
  {
    path: 'ipv4_defs/forwarding',
    to: 'ipv4.forwarding',
    type: bool,
    default: false,
    init: false,
    effect: 'now',
    doc: 'Forward datagrams that are not for us, as a router.',
  },
  {
    path: 'ipv4_defs/default_ttl',
    to: 'ipv4.defaultTtl',
    type: int(0, 255),
    zeroIsDefault: true,
    default: 64,
    init: true,
    effect: 'now',
    doc: 'TTL of datagrams of our own; 0 = 64.',
  },
  {
    path: 'ipv4_defs/fragment/bucket_number',
    to: 'ipv4.fragment.bucketNumber',
    type: int(32, 65536, 'pow2'),
    default: 4096,
    init: true,
    effect: 'later',
    doc: 'Reassembly table: buckets.',
  },
  {
    path: 'ipv4_defs/fragment/bucket_entries',
    to: 'ipv4.fragment.bucketEntries',
    type: int(1, 256, 'pow2'),
    default: 16,
    init: true,
    effect: 'later',
    doc: 'Reassembly table: entries of a bucket.',
  },
  {
    path: 'ipv4_defs/fragment/max_entries',
    to: 'ipv4.fragment.maxEntries',
    type: int(32, 1048576),
    default: 4096,
    init: true,
    effect: 'later',
    doc: 'Datagrams in reassembly. (The original stops at 65536, below the 409600 of its own sample.)',
  },
  {
    path: 'ipv4_defs/fragment/ttl',
    to: 'ipv4.fragment.ttlS',
    type: int(1, 255),
    default: 1,
    init: true,
    unit: 's',
    effect: 'later',
    doc: 'How long fragments wait for the rest.',
  },

  // ----- ipv6_defs
  {
    path: 'ipv6_defs/disable',
    to: 'ipv6.disable',
    type: bool,
    default: false,
    init: false,
    effect: 'later',
    doc: 'No IPv6 at all.',
  },
  {
    path: 'ipv6_defs/forwarding',
    to: 'ipv6.forwarding',
    type: bool,
    default: false,
    init: false,
    effect: 'later',
    doc: 'Forward datagrams that are not for us, as a router.',
  },
  {
    path: 'ipv6_defs/addr_gen_mode',
    to: 'ipv6.addrGenMode',
    type: oneOf('eui64', 'none', 'stable-privacy', 'random'),
    default: 'eui64',
    init: false,
    effect: 'later',
    doc: 'How link-local addresses are made.',
  },
  {
    path: 'ipv6_defs/stable_secret',
    to: 'ipv6.stableSecret',
    init: false,
    effect: 'later',
    type: {
      kind: 'text',
      what: '32 hexadecimal digits or more',
      pattern: /^[0-9A-Fa-f]{32,128}$/,
      example: '0123456789abcdef0123456789abcdef',
    },
    doc: 'Key of `addr_gen_mode stable-privacy` (RFC 7217).',
  },
  {
    path: 'ipv6_defs/route6/method',
    to: 'ipv6.route6.method',
    type: oneOf('hlist', 'lpm'),
    default: 'hlist',
    init: true,
    effect: 'later',
    doc: 'Kind of routing table.',
  },
  {
    path: 'ipv6_defs/route6/recycle_time',
    to: 'ipv6.route6.recycleTimeS',
    type: int(1, 36000),
    default: 10,
    init: false,
    unit: 's',
    effect: 'later',
    doc: 'When deleted routes are freed.',
  },
  {
    path: 'ipv6_defs/route6/lpm/lpm6_max_rules',
    to: 'ipv6.route6.lpm6MaxRules',
    type: int(16, 65536),
    default: 256,
    init: true,
    effect: 'later',
    doc: 'Routes of the longest-prefix table.',
  },
  {
    path: 'ipv6_defs/route6/lpm/lpm6_num_tbl8s',
    to: 'ipv6.route6.lpm6NumTbl8s',
    type: int(256, 1048576),
    default: 4096,
    init: true,
    effect: 'later',
    doc: 'Second-level tables of the longest-prefix table.',
  },
  {
    path: 'ipv6_defs/route6/lpm/rt6_hash_bucket',
    to: 'ipv6.route6.rt6HashBucket',
    type: int(16, 65536),
    default: 256,
    init: true,
    effect: 'later',
    doc: 'Buckets of the routes beside the table.',
  },
  obsolete('ipv6_defs/route6/lpm/rt6_array_size', 'The table grows by itself.'),

  // ----- ctrl_defs
  {
    path: 'ctrl_defs/lcore_msg/ring_size',
    to: 'ctrl.lcoreMsg.ringSize',
    type: int(256, 524288, 'pow2'),
    default: 4096,
    init: true,
    unit: 'messages',
    effect: 'never',
    doc: 'The rings of commands to lcores have a fixed size.',
  },
  {
    path: 'ctrl_defs/lcore_msg/sync_msg_timeout_us',
    to: 'ctrl.lcoreMsg.syncMsgTimeoutUs',
    type: int(1, 4294967295),
    default: 2000,
    init: false,
    unit: 'µs',
    effect: 'never',
    doc: 'A command is answered when every lcore has applied it.',
  },
  {
    path: 'ctrl_defs/lcore_msg/priority_level',
    to: 'ctrl.lcoreMsg.priorityLevel',
    type: oneOf('low', 'norm', 'high', 'ign'),
    default: 'low',
    init: false,
    effect: 'never',
    doc: 'No command is refused for its priority.',
  },
  obsolete('ctrl_defs/lcore_msg/bucket_number', 'Messages need no table (2017).'),
  obsolete('ctrl_defs/lcore_msg/multicast_queue_length', 'Answers of lcores need no queue (2017).'),
  obsolete(
    'ctrl_defs/ipc_msg/unix_domain',
    'The control socket is named on the command line (`--ipc-file`) and by DPVS_IPC_FILE.',
  ),

  // ----- ipvs_defs
  {
    path: `${CONN}/conn_pool_size`,
    to: 'ipvs.conn.poolSize',
    type: int(65536, 134217728, 'pow2-1'),
    default: 2097151,
    init: true,
    unit: 'connections',
    effect: 'now',
    doc: 'Connections of all lcores together, 192 bytes each; memory is taken as they are used.',
  },
  {
    path: `${CONN}/conn_pool_cache`,
    to: 'ipvs.conn.poolCache',
    type: int(1, U31),
    default: 256,
    init: true,
    unit: 'connections',
    effect: 'never',
    doc: 'Every lcore has a pool of its own.',
  },
  {
    path: `${CONN}/conn_init_timeout`,
    to: 'ipvs.conn.initTimeoutS',
    type: SECONDS,
    default: 3,
    init: false,
    unit: 's',
    effect: 'now',
    doc: 'Timeout of a connection before its first state.',
  },
  {
    path: `${CONN}/expire_quiescent_template`,
    to: 'ipvs.conn.expireQuiescentTemplate',
    type: flag,
    default: false,
    init: false,
    effect: 'later',
    doc: 'Persistence does not lead to a server of weight 0.',
  },
  {
    path: `${CONN}/fast_xmit_close`,
    to: 'ipvs.conn.fastXmitClose',
    type: flag,
    default: false,
    init: true,
    effect: 'never',
    doc: 'Connections send by neighbour entries, which are always up to date.',
  },
  {
    path: `${CONN}/redirect`,
    to: 'ipvs.conn.redirect',
    type: bool,
    default: false,
    init: true,
    effect: 'never',
    doc: 'Packets always find the lcore of their connection.',
  },
  {
    path: `${CONN}/xmit_ttl`,
    to: 'ipvs.conn.xmitTtl',
    type: flag,
    default: false,
    init: false,
    effect: 'now',
    doc: 'Lower the TTL of forwarded packets and drop what is at its end.',
  },
  {
    path: `${CONN}/flow_offload`,
    to: 'ipvs.conn.flowOffload',
    type: bool,
    default: true,
    init: false,
    effect: 'later',
    doc: 'Let the native loop forward the packets of known connections. Ours.',
  },
  {
    path: `${UDP}/defence_udp_drop`,
    to: 'ipvs.udp.defenceUdpDrop',
    type: flag,
    default: false,
    init: false,
    effect: 'later',
    doc: 'Drop UDP to a virtual address on a port without service.',
  },
  {
    path: `${UDP}/uoa_mode`,
    to: 'ipvs.udp.uoaMode',
    type: oneOf('opp', 'ipo'),
    default: 'opp',
    init: false,
    effect: 'later',
    doc: "How the client's address travels to UDP servers: own protocol or IP option.",
  },
  {
    path: `${UDP}/uoa_max_trail`,
    to: 'ipvs.udp.uoaMaxTrail',
    type: int(0, 255),
    default: 3,
    init: false,
    unit: 'packets',
    effect: 'later',
    doc: 'Packets of a connection that carry it.',
  },
  ...timeouts(`${UDP}/timeout`, 'ipvs.udp.timeoutsS', UDP_TIMEOUTS),
  {
    path: `${TCP}/defence_tcp_drop`,
    to: 'ipvs.tcp.defenceTcpDrop',
    type: flag,
    default: false,
    init: false,
    effect: 'later',
    doc: 'Drop TCP to a virtual address that belongs to no connection and opens none.',
  },
  ...timeouts(`${TCP}/timeout`, 'ipvs.tcp.timeoutsS', TCP_TIMEOUTS),
  {
    path: `${SYNPROXY}/synack_options/mss`,
    to: 'ipvs.tcp.synproxy.mss',
    type: int(1, 65535),
    default: 1452,
    init: false,
    unit: 'bytes',
    effect: 'later',
    doc: 'MSS of our SYN-ACK.',
  },
  {
    path: `${SYNPROXY}/synack_options/ttl`,
    to: 'ipvs.tcp.synproxy.ttl',
    type: int(1, 255),
    default: 63,
    init: false,
    effect: 'later',
    doc: 'TTL of our SYN-ACK.',
  },
  {
    path: `${SYNPROXY}/synack_options/sack`,
    to: 'ipvs.tcp.synproxy.sack',
    type: flag,
    default: true,
    init: false,
    effect: 'later',
    doc: 'Offer SACK. (`sack off` works here.)',
  },
  {
    path: `${SYNPROXY}/synack_options/wscale`,
    to: 'ipvs.tcp.synproxy.wscale',
    type: int(0, 14),
    default: 0,
    init: false,
    effect: 'later',
    doc: 'Window scale, 0 = none.',
  },
  {
    path: `${SYNPROXY}/synack_options/timestamp`,
    to: 'ipvs.tcp.synproxy.timestamp',
    type: flag,
    default: false,
    init: false,
    effect: 'later',
    doc: 'Offer timestamps.',
  },
  {
    path: `${SYNPROXY}/close_client_window`,
    to: 'ipvs.tcp.synproxy.closeClientWindow',
    type: flag,
    default: false,
    init: false,
    effect: 'later',
    doc: 'Window 0 in the SYN-ACK, opened when the server has answered.',
  },
  {
    path: `${SYNPROXY}/defer_rs_syn`,
    to: 'ipvs.tcp.synproxy.deferRsSyn',
    type: flag,
    default: false,
    init: false,
    effect: 'later',
    doc: 'Connect to the server when the client has sent data.',
  },
  {
    path: `${SYNPROXY}/rs_syn_max_retry`,
    to: 'ipvs.tcp.synproxy.rsSynMaxRetry',
    type: int(1, 99),
    default: 3,
    init: false,
    effect: 'later',
    doc: 'SYNs to the server before giving up.',
  },
  {
    path: `${SYNPROXY}/ack_storm_thresh`,
    to: 'ipvs.tcp.synproxy.ackStormThresh',
    type: int(1, 999),
    default: 10,
    init: false,
    unit: 'packets',
    effect: 'later',
    doc: 'Duplicate ACKs before further ones are dropped.',
  },
  {
    path: `${SYNPROXY}/max_ack_saved`,
    to: 'ipvs.tcp.synproxy.maxAckSaved',
    type: int(1, 63),
    default: 3,
    init: false,
    unit: 'packets',
    effect: 'later',
    doc: 'Packets of the client kept until the server has answered.',
  },
  {
    path: `${SYNPROXY}/conn_reuse_state/close`,
    to: 'ipvs.tcp.synproxy.connReuse.close',
    type: flag,
    default: true,
    init: false,
    effect: 'later',
    doc: 'A cookie may reuse a connection in CLOSE.',
  },
  {
    path: `${SYNPROXY}/conn_reuse_state/time_wait`,
    to: 'ipvs.tcp.synproxy.connReuse.timeWait',
    type: flag,
    default: true,
    init: false,
    effect: 'later',
    doc: '… in TIME_WAIT.',
  },
  {
    path: `${SYNPROXY}/conn_reuse_state/fin_wait`,
    to: 'ipvs.tcp.synproxy.connReuse.finWait',
    type: flag,
    default: false,
    init: false,
    effect: 'later',
    doc: '… in FIN_WAIT.',
  },
  {
    path: `${SYNPROXY}/conn_reuse_state/close_wait`,
    to: 'ipvs.tcp.synproxy.connReuse.closeWait',
    type: flag,
    default: false,
    init: false,
    effect: 'later',
    doc: '… in CLOSE_WAIT.',
  },
  {
    path: `${SYNPROXY}/conn_reuse_state/last_ack`,
    to: 'ipvs.tcp.synproxy.connReuse.lastAck',
    type: flag,
    default: false,
    init: false,
    effect: 'later',
    doc: '… in LAST_ACK.',
  },

  // ----- sa_pool
  {
    path: 'sa_pool/pool_hash_size',
    to: 'saPool.poolHashSize',
    type: int(1, 128),
    default: 16,
    init: true,
    effect: 'now',
    doc: "Hash buckets of a local address's port pool.",
  },
  {
    path: 'sa_pool/flow_enable',
    to: 'saPool.flowEnable',
    type: bool,
    default: true,
    init: true,
    effect: 'later',
    doc: 'Rules in the device lead replies to the lcore of their connection.',
  },
];
