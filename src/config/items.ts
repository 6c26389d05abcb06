/**
 * Every key of dpvs.conf, declared once: the reader, the defaults, the reload, the reference page and `dpvs.conf.items`
 * follow from this table. Paths are written as in the file; `NAME` stands for the name of a device, bonding, worker or
 * port. Ranges and defaults are the original's; where ours differ, the text says so.
 */
import { DEVICE_NAME, DEVICE_NAME_HINT, type Item, type NamedBlock } from './item.js';
import { GLOBAL_ITEMS } from './items-global.js';
import { IPVS_ITEMS } from './items-ipvs.js';
import { NETIF_ITEMS } from './items-netif.js';
import { STACK_ITEMS } from './items-stack.js';
import { WORKER_ITEMS } from './items-worker.js';

export type { Effect, Item, NamedBlock } from './item.js';

/** In the order of the reference page; keys of one block stand together. */
export const ITEMS: readonly Item[] = [
  ...GLOBAL_ITEMS,
  ...NETIF_ITEMS,
  ...WORKER_ITEMS,
  ...STACK_ITEMS,
  ...IPVS_ITEMS,
];

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

export const NAMED_BLOCKS: readonly NamedBlock[] = [
  {
    path: 'netif_defs/device NAME',
    to: 'netif.devices',
    name: DEVICE_NAME,
    nameHint: DEVICE_NAME_HINT,
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
    nameHint: DEVICE_NAME_HINT,
    effect: 'now',
    doc: 'An lcore.',
  },
  {
    path: 'worker_defs/worker NAME/port NAME',
    to: 'ports',
    name: DEVICE_NAME,
    nameHint: DEVICE_NAME_HINT,
    effect: 'now',
    doc: 'A port that the worker uses. Once one worker mentions a port, all of `type slave` must.',
  },
];
