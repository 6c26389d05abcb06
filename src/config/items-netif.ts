/** Keys of netif_defs: devices and bondings. */
import { atStart, obsolete, flag, bool, int, oneOf, DEVICE_NAME, type Item } from './item.js';
import type { ValueType } from './values.js';

const DEVICE = 'netif_defs/device NAME';
const BONDING = 'netif_defs/bonding NAME';

/** A PCI address, with options or without; or the name of a virtual device and its NAME=VALUE arguments. */
const DEVARGS =
  /^([0-9A-Fa-f]{4,8}:)?[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7](,[^\s]+)?$|^[a-z]\w*(,[^\s=,]+(=[^\s,]*)?)*$/;
const devargs: ValueType = {
  kind: 'text',
  what: 'a PCI address or the arguments of a virtual device',
  example: '"0000:06:00.0" or "net_tap0,iface=tap0"',
  pattern: DEVARGS,
};
const rss: ValueType = {
  kind: 'set',
  words: ['ip', 'tcp', 'udp', 'sctp', 'ether', 'port', 'tunnel'],
  groups: { all: ['ip', 'tcp', 'udp'] },
};
const kniName: ValueType = {
  kind: 'text',
  what: 'a device name of at most 32 characters',
  pattern: /^[^\s/]{1,32}$/,
  example: 'dpdk0.kni',
};
const aDevice: ValueType = { kind: 'text', what: 'a device name', pattern: DEVICE_NAME, example: 'dpdk0' };
const bondingOptions: ValueType = { kind: 'options', name: 'dedicated_queues' };

export const NETIF_ITEMS: readonly Item[] = [
  atStart(
    'netif_defs/pktpool_size',
    'netif.pktpoolSize',
    int(1023, 134217727, 'pow2-1'),
    65535,
    'Packet buffers per NUMA node, 2.3 KiB each.',
    { unit: 'packets' },
  ),
  atStart(
    'netif_defs/pktpool_cache',
    'netif.pktpoolCache',
    int(32, 8192, 'pow2'),
    256,
    'Buffers that an lcore keeps at hand (DPDK caps it at 512).',
    { unit: 'packets' },
  ),
  atStart(
    'netif_defs/fdir_mode',
    '',
    oneOf('perfect', 'signature'),
    undefined,
    'Mode of the flow director of ixgbe.',
    { effect: 'obsolete' },
  ),
  atStart(
    `${DEVICE}/devargs`,
    'devargs',
    devargs,
    undefined,
    'What DPDK makes the port from: a PCI address or a virtual device, as after `-a` and `--vdev`. Ours.',
  ),
  atStart(
    `${DEVICE}/rx/queue_number`,
    'rx.queues',
    int(0, 16),
    undefined,
    'Receive queues. Not set or 0: as many as the workers poll (the original: 16).',
    { zeroIsDefault: true },
  ),
  atStart(
    `${DEVICE}/rx/descriptor_number`,
    'rx.descriptors',
    int(16, 8192, 'pow2'),
    256,
    'Length of each receive queue.',
    { unit: 'packets' },
  ),
  atStart(
    `${DEVICE}/rx/rss`,
    'rx.rss',
    rss,
    ['ip', 'tcp', 'udp'],
    'What receive-side scaling hashes. `all` is `ip|tcp|udp`, the default that the original documents (its code takes `tcp`).',
  ),
  atStart(`${DEVICE}/rx/max_burst_size`, 'rx.maxBurstSize', int(1, 65535), 32, 'Bursts are 32 packets.', {
    unit: 'packets',
    effect: 'never',
  }),
  atStart(
    `${DEVICE}/tx/queue_number`,
    'tx.queues',
    int(0, 16),
    undefined,
    'Transmit queues. Not set or 0: as many as the workers use (the original: 16).',
    { zeroIsDefault: true },
  ),
  atStart(
    `${DEVICE}/tx/descriptor_number`,
    'tx.descriptors',
    int(16, 8192, 'pow2'),
    512,
    'Length of each transmit queue.',
    { unit: 'packets' },
  ),
  atStart(
    `${DEVICE}/tx/mbuf_fast_free`,
    'tx.mbufFastFree',
    bool,
    true,
    'Let the driver free sent buffers in the fast way, where it can.',
  ),
  atStart(`${DEVICE}/tx/max_burst_size`, 'tx.maxBurstSize', int(1, 65535), 32, 'Bursts are 32 packets.', {
    unit: 'packets',
    effect: 'never',
  }),
  obsolete(`${DEVICE}/fdir/filter`, 'Flow director.'),
  obsolete(`${DEVICE}/fdir/mode`, 'Flow director.'),
  obsolete(`${DEVICE}/fdir/pballoc`, 'Flow director.'),
  obsolete(`${DEVICE}/fdir/status`, 'Flow director.'),
  atStart(`${DEVICE}/mtu`, 'mtu', int(0, 9000), 1500, 'Largest IP datagram; 0 = 1500.', {
    unit: 'bytes',
    zeroIsDefault: true,
  }),
  atStart(`${DEVICE}/promisc_mode`, 'promisc', flag, false, 'Receive frames for other MAC addresses too.'),
  atStart(`${DEVICE}/allmulticast`, 'allmulticast', flag, false, 'Receive all multicast frames.'),
  atStart(
    `${DEVICE}/kni_name`,
    'kniName',
    kniName,
    undefined,
    "Name of the kernel interface. Not set: the device's name and `.kni`.",
    { effect: 'later' },
  ),
  atStart(
    `${BONDING}/mode`,
    'mode',
    int(0, 6),
    undefined,
    'Bonding mode of DPDK; 0 (round robin) and 4 (802.3ad) will be supported.',
    { required: true, effect: 'later' },
  ),
  atStart(`${BONDING}/slave`, 'slaves', aDevice, undefined, 'A device of the bonding; one line each.', {
    repeat: true,
    required: true,
    effect: 'later',
  }),
  atStart(
    `${BONDING}/primary`,
    'primary',
    aDevice,
    undefined,
    'The slave whose queue settings the bonding takes. Not set: the first.',
    { effect: 'later' },
  ),
  atStart(`${BONDING}/numa_node`, 'numaNode', int(0, 127), 0, 'NUMA node of the bonding.', {
    effect: 'later',
  }),
  atStart(
    `${BONDING}/kni_name`,
    'kniName',
    kniName,
    undefined,
    "Name of the kernel interface. Not set: the bonding's name and `.kni`.",
    { effect: 'later' },
  ),
  atStart(
    `${BONDING}/options`,
    'dedicatedQueues',
    bondingOptions,
    true,
    'Mode 4: queues of their own for LACP frames.',
    { effect: 'later' },
  ),
];
