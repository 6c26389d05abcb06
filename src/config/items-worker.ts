/** Keys of worker_defs: lcores and their queues. */
import { atStart, flag, int, numbers, oneOf, IDLE, type Item } from './item.js';

const WORKER = 'worker_defs/worker NAME';
const PORT = `${WORKER}/port NAME`;

export const WORKER_ITEMS: readonly Item[] = [
  atStart(
    'worker_defs/idle_sleep',
    'idleSleep',
    IDLE,
    'auto',
    'What an lcore does when no packet comes: `off` goes on polling (lowest latency, a whole CPU), `auto` backs off step by step, a number sleeps that long. Ours.',
    { unit: 'µs' },
  ),
  atStart(
    `${WORKER}/type`,
    'type',
    oneOf('master', 'slave', 'kni'),
    'slave',
    '`master`: the control plane, lcore 0, not pinned; at most one. `slave`: forwards packets. `kni`: serves kernel interfaces, at most one, does nothing yet.',
  ),
  atStart(
    `${WORKER}/cpu_id`,
    'cpuId',
    int(0, 1023),
    undefined,
    'The CPU that the worker runs on, as the operating system counts.',
    { required: true },
  ),
  atStart(
    `${WORKER}/icmp_redirect_core`,
    'icmpRedirectCore',
    flag,
    false,
    'Every lcore passes ICMP errors to the owner of the connection.',
    { effect: 'never' },
  ),
  atStart(
    `${PORT}/rx_queue_ids`,
    'rxQueueIds',
    numbers(0, 15),
    [],
    'Receive queues that the worker polls, such as `0 4` or `0-3`. A queue belongs to one worker; the queues of a port count from 0 without gaps.',
  ),
  atStart(
    `${PORT}/tx_queue_ids`,
    'txQueueIds',
    numbers(0, 15),
    [],
    'Transmit queues of the worker, at least one; the first is used.',
  ),
  atStart(
    `${PORT}/isol_rx_cpu_ids`,
    'isolRxCpuIds',
    numbers(0, 1023, true),
    [],
    'CPUs that only receive, one for each receive queue.',
    { effect: 'later' },
  ),
  atStart(
    `${PORT}/isol_rxq_ring_sz`,
    'isolRxqRingSize',
    int(1024, 2147483648, 'pow2'),
    1048576,
    'Ring between a receiving CPU and the worker.',
    { unit: 'packets', effect: 'later' },
  ),
];
