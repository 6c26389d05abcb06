/**
 * EAL: which memory it gets and with which arguments it starts. Hugepages are used when enough are free; otherwise the
 * daemon says so and runs on ordinary memory (about half the raw speed).
 */
import { existsSync, readFileSync } from 'node:fs';
import { DpvsError } from '../core/errors.js';
import { MBUF_DATA_ROOM, MBUF_HEADROOM, MBUF, PKT } from '../core/layout.js';
import type { Native } from '../core/native.js';
import { ealLogger, type Log } from './log.js';

/** Memory of one packet buffer in the pool, with the pool's own header. */
const MBUF_BYTES = 64 + MBUF.priv + PKT.size + MBUF_HEADROOM + MBUF_DATA_ROOM + 64;
/** For rings, device queues and the EAL's own tables. */
const EXTRA_BYTES = 96 << 20;

/** Bytes of EAL memory that a pool of `mbufs` packets needs. */
export const ealMemoryFor = (mbufs: number): number => mbufs * MBUF_BYTES + EXTRA_BYTES;

/** Bytes in free hugepages of the default size, 0 when no hugetlbfs is mounted. */
export function freeHugepageBytes(): number {
  if (!readFileSync('/proc/mounts', 'utf8').includes(' hugetlbfs ')) return 0;
  const info = readFileSync('/proc/meminfo', 'utf8');
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(info)?.[1] ?? 0);
  return field('HugePages_Free') * field('Hugepagesize') * 1024;
}

export interface EalOptions {
  pktpoolSize: number;
  /** auto: hugepages when enough are free; on: refuse to start without; off: never. */
  hugepages: 'auto' | 'on' | 'off';
  /** Memory for EAL in MiB, 0 = enough for the pool. */
  memoryMb: number;
  cpus: number[];
  /** Look for PCI devices. Off when every port is a virtual one: a scan may grab a NIC that nobody meant. */
  pci: boolean;
  /** EAL arguments of the user, behind `--` on the command line. */
  userArgs: string[];
}

const needed = (o: EalOptions): number => Math.max(o.memoryMb * 2 ** 20, ealMemoryFor(o.pktpoolSize));

/** The argument vector for rte_eal_init, and whether hugepages are used. */
export function ealArgs(o: EalOptions, hugeFree: number): { args: string[]; huge: boolean } {
  const has = (...names: string[]): boolean => o.userArgs.some((a) => names.includes(a.split('=')[0]!));
  const args = ['dpvs'];
  // The main lcore is the Node main thread; naming the CPUs this way leaves its affinity alone.
  if (!has('-l', '-c', '--lcores')) args.push('--lcores', `0@(${o.cpus.join(',')})`);
  if (!has('--iova-mode')) args.push('--iova-mode=va');
  if (!has('--no-telemetry', '--telemetry')) args.push('--no-telemetry');
  const need = needed(o);
  if (!o.pci && !has('--no-pci', '-a', '--allow', '-b', '--block')) args.push('--no-pci');
  const forced = o.hugepages === 'on' || has('--socket-mem', '--huge-dir', '-m');
  const huge = o.hugepages !== 'off' && !has('--no-huge') && (forced || hugeFree >= need);
  if (huge) {
    if (!has('--in-memory', '--file-prefix')) args.push('--in-memory');
  } else {
    if (!has('--no-huge')) args.push('--no-huge');
    if (!has('-m')) args.push('-m', String(Math.ceil(need / (1 << 20))));
    if (!has('--no-shconf')) args.push('--no-shconf');
    if (!has('--file-prefix')) args.push(`--file-prefix=dpvs-${process.pid}`);
  }
  return { args: [...args, ...o.userArgs], huge };
}

/** Starts EAL. Only once per process: a failed start needs a new process. */
export function startEal(native: Native, o: EalOptions, log: Log): void {
  const free = freeHugepageBytes();
  const { args, huge } = ealArgs(o, free);
  if (!huge && o.hugepages === 'auto' && !o.userArgs.includes('--no-huge')) {
    const mb = (n: number): string => `${Math.ceil(n / (1 << 20))} MB`;
    log.warn(
      `running without hugepages: ${mb(free)} free, ${mb(needed(o))} needed. Slower (about half). ` +
        `To use them: echo ${Math.ceil(needed(o) / (2 << 20))} > /proc/sys/vm/nr_hugepages` +
        (existsSync('/mnt/huge') ? '' : '; mkdir -p /mnt/huge; mount -t hugetlbfs nodev /mnt/huge'),
    );
  }
  log.debug({ args }, 'EAL arguments');
  try {
    native.ealInit(args, ealLogger(log));
  } catch (e) {
    throw new DpvsError(
      'DPDKAPIFAIL',
      `DPDK did not start: ${(e as Error).message} (arguments: ${args.slice(1).join(' ')})`,
      'see the dpdk lines of the log above',
    );
  }
}
