/** Keys of global_defs. */
import { atStart, onReload, flag, bool, int, oneOf, IDLE, U31, type Item } from './item.js';
import type { ValueType } from './values.js';

const LOG_LEVEL: ValueType = {
  kind: 'enum',
  loose: true,
  words: ['EMERG', 'ALERT', 'CRIT', 'ERR', 'WARNING', 'NOTICE', 'INFO', 'DEBUG'],
};
const filePath: ValueType = {
  kind: 'text',
  what: 'the path of a file',
  pattern: /^(?!.*\/$)(?!\s*$)[^\0]{1,4095}$/,
  example: '/var/log/dpvs.log',
};

export const GLOBAL_ITEMS: readonly Item[] = [
  atStart('global_defs/daemon', 'global.daemon', flag, false, 'Go to the background once started.', {
    effect: 'later',
  }),
  onReload(
    'global_defs/log_level',
    'global.logLevel',
    LOG_LEVEL,
    undefined,
    'The least urgent messages that are logged. Any case; `WARN` and `ERROR` are understood. Not set: INFO.',
  ),
  onReload(
    'global_defs/log_file',
    'global.logFile',
    filePath,
    undefined,
    'Where the log goes. Not set: standard error (the original: syslog).',
  ),
  atStart(
    'global_defs/log_format',
    'global.logFormat',
    oneOf('json', 'pretty'),
    undefined,
    'One JSON object a line, or text for people. Not set: `pretty` on a terminal, else `json`. Ours.',
  ),
  onReload(
    'global_defs/log_with_timestamp',
    'global.logWithTimestamp',
    bool,
    false,
    'Every line of our log has its time.',
    { effect: 'never' },
  ),
  atStart(
    'global_defs/log_async_mode',
    'global.logAsyncMode',
    bool,
    false,
    'Our lcores never wait for the log.',
    { effect: 'never' },
  ),
  atStart(
    'global_defs/log_async_pool_size',
    'global.logAsyncPoolSize',
    int(1023, U31, 'pow2-1'),
    16383,
    'Messages that may wait in async mode.',
    { effect: 'never' },
  ),
  atStart('global_defs/pdump', 'global.pdump', bool, false, 'Packet capture.', { effect: 'later' }),
  atStart('global_defs/kni', 'global.kni', bool, true, 'A kernel interface beside each port.', {
    effect: 'later',
  }),
  onReload(
    'global_defs/lldp',
    'global.lldp',
    bool,
    false,
    'Announce ourselves to switches, learn who they are.',
    { effect: 'later' },
  ),
  atStart(
    'global_defs/idle_sleep',
    'idleSleep',
    IDLE,
    'auto',
    'The same as `worker_defs/idle_sleep`. Ours.',
    { unit: 'µs' },
  ),
  atStart(
    'global_defs/hugepages',
    'global.hugepages',
    oneOf('auto', 'on', 'off'),
    'auto',
    '`auto` uses hugepages when the machine has them, `on` refuses to start without, `off` never uses them. Ours.',
  ),
  atStart(
    'global_defs/memory_mb',
    'global.memoryMb',
    int(0, 1048576),
    0,
    'Memory that DPDK takes, 0 = enough for the pools. Ours.',
    { unit: 'MiB' },
  ),
];
