/**
 * Fills in what the file leaves open, once the machine's CPUs and ports are known: which port is which device, how many
 * queues each gets, and which lcore polls them from which CPU.
 */
import { ConfigError, type Diagnostic, type Place } from './diagnostics.js';
import { NAMED_BLOCKS } from './items.js';
import type { Origins } from './origins.js';
import { defaultBlock } from './schema.js';
import type {
  Config,
  DeviceConfig,
  Facts,
  Plan,
  PlannedDevice,
  PlannedLcore,
  PortFact,
  WorkerConfig,
  WorkerPortConfig,
} from './types.js';

export interface Resolved {
  plan: Plan;
  warnings: Diagnostic[];
}

/** Devices that receive on all the queues they were made with, whether configured or not: each must be polled. */
const FIXED_QUEUES = /^(net|eth)_(af_packet|af_xdp|pcap|memif)/;

/**
 * @param config as loadConfig() gives it
 * @param facts ports in the order of their DPDK ids
 * @param origins of the loaded file, for places in errors
 * @throws ConfigError when file and machine don't fit, listing every reason
 */
export function resolve(config: Config, facts: Facts, origins?: Origins): Resolved {
  const problems: Diagnostic[] = [];
  const report: Report = (severity, place, message, hint) => {
    problems.push({
      severity,
      ...(place === undefined ? {} : { place }),
      message,
      ...(hint === undefined ? {} : { hint }),
    });
  };

  for (const b of config.netif.bondings) {
    const hint = 'name its slaves as ports of the workers instead';
    report('error', origins?.at(b), `bonding '${b.name}' cannot be made: bonding is not supported yet`, hint);
  }
  const bound = bindPorts(config, facts.ports, origins, report);
  const { lcores, workers } = planLcores(config, facts.allowedCpus, origins, report);
  const devices = bound.map(({ device, fact, port, implicit }) => {
    const uses = workers.map((w) => w?.ports.find((p) => p.name === device.name));
    const queues = uses.some((u) => u !== undefined)
      ? listedQueues(device, fact, uses, lcores, report, origins)
      : sharedQueues(device, fact, lcores, report, origins);
    return plannedDevice(device, fact, port, implicit, queues);
  });
  checkPool(config, devices, lcores.length, report, origins);

  if (problems.some((p) => p.severity === 'error')) throw new ConfigError(problems);
  return { plan: { lcores, devices }, warnings: problems };
}

type Report = (
  severity: 'error' | 'warning',
  place: Place | undefined,
  message: string,
  hint?: string,
) => void;

interface Bound {
  device: DeviceConfig;
  fact: PortFact;
  /** Index in the facts. */
  port: number;
  /** The file says nothing of it. */
  implicit: boolean;
}

/**
 * Ports made from devargs carry the name of their device. Of the others, the n-th is `dpdkN` (from 0) when the file has
 * that device; then the remaining devices of the file get the remaining ports in order; what is left gets a free name.
 */
function bindPorts(
  config: Config,
  ports: readonly PortFact[],
  origins: Origins | undefined,
  report: Report,
): Bound[] {
  const { devices } = config.netif;
  const bound = new Map<number, DeviceConfig>();
  const used = new Set<string>();
  const bind = (port: number, device: DeviceConfig): void => {
    bound.set(port, device);
    used.add(device.name);
  };

  for (const [port, fact] of ports.entries()) {
    const device = fact.name === undefined ? undefined : devices.find((d) => d.name === fact.name);
    if (device !== undefined && !used.has(device.name)) bind(port, device);
  }
  const found = [...ports.keys()].filter((port) => ports[port]!.name === undefined);
  const own = devices.filter((d) => d.devargs === undefined && !used.has(d.name));
  for (const [n, port] of found.entries()) {
    const device = own.find((d) => d.name === `dpdk${n}`);
    if (device !== undefined) bind(port, device);
  }
  for (const device of own.filter((d) => !used.has(d.name) && !/^dpdk[0-9]+$/.test(d.name))) {
    const port = found.find((p) => !bound.has(p));
    if (port !== undefined) bind(port, device);
  }
  for (const device of devices.filter((d) => !used.has(d.name))) {
    const ofDpdk =
      found.length === 0
        ? 'DPDK found none'
        : `DPDK found ${found.map((p) => ports[p]!.deviceName).join(', ')}`;
    report(
      'error',
      origins?.at(device),
      device.devargs === undefined
        ? `there is no port for device '${device.name}': ${ofDpdk}`
        : `device '${device.name}' was not made from its devargs '${device.devargs}'`,
      device.devargs === undefined
        ? 'bind the NIC with dpdk-devbind.py, give the device devargs, or remove it from the file'
        : 'see the messages of DPDK above',
    );
  }

  const names = new Set([...devices, ...config.netif.bondings].map((d) => d.name));
  const block = NAMED_BLOCKS.find((b) => b.to === 'netif.devices')!;
  return ports.map((fact, port) => {
    const device = bound.get(port);
    if (device !== undefined) return { device, fact, port, implicit: false };
    let n = Math.max(0, found.indexOf(port));
    let name = fact.name ?? `dpdk${n}`;
    while (names.has(name)) name = `dpdk${++n}`;
    names.add(name);
    return { device: defaultBlock(block, name) as DeviceConfig, fact, port, implicit: true };
  });
}

/** One lcore for each worker of type slave, in the order of the file; without any, one on the last allowed CPU. */
function planLcores(
  config: Config,
  allowedCpus: readonly number[],
  origins: Origins | undefined,
  report: Report,
): { lcores: PlannedLcore[]; workers: (WorkerConfig | undefined)[] } {
  const workers = config.workers.filter((w) => w.type === 'slave');
  const cpus = [...allowedCpus].sort((a, b) => a - b);
  if (workers.length === 0) {
    const cpu = cpus.at(-1);
    if (cpu === undefined) report('error', undefined, 'this process may run on no CPU at all');
    return { lcores: [{ id: 1, name: `cpu${cpu ?? 0}`, cpu: cpu ?? 0, ports: [] }], workers: [undefined] };
  }
  for (const w of workers) {
    if (cpus.includes(w.cpuId)) continue;
    report(
      'error',
      origins?.at(w, 'cpuId'),
      `worker '${w.name}' is to run on CPU ${w.cpuId}, which this process may not use`,
      `allowed are ${ranges(cpus)} (see taskset, cpuset, the container's limits)`,
    );
  }
  return { lcores: workers.map((w, i) => ({ id: i + 1, name: w.name, cpu: w.cpuId, ports: [] })), workers };
}

interface Queues {
  rx: number;
  tx: number;
}

/** The workers say which queues they use: those of kni workers aside, which do nothing yet. */
function listedQueues(
  device: DeviceConfig,
  fact: PortFact,
  uses: readonly (WorkerPortConfig | undefined)[],
  lcores: PlannedLcore[],
  report: Report,
  origins: Origins | undefined,
): Queues {
  const rxIds = uses.flatMap((u) => u?.rxQueueIds ?? []);
  const txIds = uses.flatMap((u) => u?.txQueueIds[0] ?? []);
  const queues = {
    rx: Math.max(0, ...rxIds.map((id) => id + 1)),
    tx: Math.max(0, ...txIds.map((id) => id + 1)),
  };
  if (queues.rx > new Set(rxIds).size) {
    report(
      'error',
      origins?.at(device),
      `port '${device.name}' would have receive queues that no forwarding worker polls`,
      'give the kni worker the last receive queues, or none',
    );
  }
  for (const direction of ['rx', 'tx'] as const) {
    const max = direction === 'rx' ? fact.maxRxQueues : fact.maxTxQueues;
    if (queues[direction] <= max) continue;
    const field = direction === 'rx' ? 'rxQueueIds' : 'txQueueIds';
    const what = direction === 'rx' ? 'receive' : 'transmit';
    const user = uses.find((u) => u?.[field].some((id) => id >= max))!;
    const index = user[field].findIndex((id) => id >= max);
    report(
      'error',
      origins?.at(user, field, index),
      `${what} queue ${user[field][index]} of port '${device.name}' does not exist: ${fact.deviceName} has ${max}`,
      'use other queues or fewer workers',
    );
  }
  warnUnpolled(device, fact, queues.rx, report, origins);
  for (const [i, lcore] of lcores.entries()) {
    const use = uses[i];
    const txQueue = use?.txQueueIds[0];
    if (use !== undefined && txQueue !== undefined) {
      lcore.ports.push({ device: device.name, rxQueues: [...use.rxQueueIds], txQueue });
    }
  }
  return queues;
}

/** The file has no queue plan for this port: receive queues are dealt out in turn, each lcore has a transmit queue. */
function sharedQueues(
  device: DeviceConfig,
  fact: PortFact,
  lcores: PlannedLcore[],
  report: Report,
  origins: Origins | undefined,
): Queues {
  const wantedTx = device.tx.queues;
  if (wantedTx !== undefined && wantedTx < lcores.length) {
    const message = `port '${device.name}' has queue_number ${wantedTx} for transmission, but there are ${lcores.length} workers`;
    report(
      'error',
      origins?.at(device, 'tx.queues'),
      message,
      'every worker needs a transmit queue on every port',
    );
  } else if (fact.maxTxQueues < lcores.length) {
    const message = `port '${device.name}' (${fact.deviceName}) has ${fact.maxTxQueues} transmit queues, but there are ${lcores.length} workers`;
    report(
      'error',
      origins?.at(device),
      message,
      'every worker needs a transmit queue on every port: use fewer workers',
    );
  }
  if (device.rx.queues !== undefined && device.rx.queues > fact.maxRxQueues) {
    const message = `port '${device.name}' has queue_number ${device.rx.queues}, but ${fact.deviceName} has only ${fact.maxRxQueues} receive queues`;
    report('error', origins?.at(device, 'rx.queues'), message);
  }
  const byDefault = FIXED_QUEUES.test(fact.deviceName)
    ? fact.maxRxQueues
    : Math.min(lcores.length, fact.maxRxQueues);
  const rx = Math.max(1, device.rx.queues ?? byDefault);
  warnUnpolled(device, fact, rx, report, origins);
  for (const [i, lcore] of lcores.entries()) {
    const rxQueues = Array.from({ length: rx }, (_, q) => q).filter((q) => q % lcores.length === i);
    lcore.ports.push({ device: device.name, rxQueues, txQueue: i });
  }
  return { rx, tx: lcores.length };
}

function warnUnpolled(
  device: DeviceConfig,
  fact: PortFact,
  rx: number,
  report: Report,
  origins: Origins | undefined,
): void {
  if (!FIXED_QUEUES.test(fact.deviceName) || rx >= fact.maxRxQueues) return;
  const message = `${fact.deviceName} receives on ${fact.maxRxQueues} queues, of which ${rx} are polled: packets on the others are lost`;
  report(
    'warning',
    origins?.at(device),
    message,
    `make port '${device.name}' with fewer queues, or poll them all`,
  );
}

function plannedDevice(
  device: DeviceConfig,
  fact: PortFact,
  port: number,
  implicit: boolean,
  queues: Queues,
): PlannedDevice {
  return {
    ...device,
    port,
    deviceName: fact.deviceName,
    implicit,
    rx: { ...device.rx, queues: queues.rx },
    tx: { ...device.tx, queues: queues.tx },
  };
}

/** Full descriptor rings hold buffers: with a pool below their sum, receiving stops under load. */
function checkPool(
  config: Config,
  devices: readonly PlannedDevice[],
  lcores: number,
  report: Report,
  origins: Origins | undefined,
): void {
  const rings = devices.reduce(
    (sum, d) => sum + d.rx.queues * d.rx.descriptors + d.tx.queues * d.tx.descriptors,
    0,
  );
  const needed = rings + lcores * config.netif.pktpoolCache;
  if (needed < config.netif.pktpoolSize) return;
  report(
    'warning',
    origins?.exactly(config, 'netif.pktpoolSize'),
    `pktpool_size ${config.netif.pktpoolSize} is below the ${needed} packets that the queues and caches can hold`,
    'raise pktpool_size or lower descriptor_number',
  );
}

/** `0-3, 6` */
function ranges(numbers: readonly number[]): string {
  const out: string[] = [];
  for (let i = 0; i < numbers.length;) {
    let j = i;
    while (numbers[j + 1] === numbers[j]! + 1) j++;
    out.push(i === j ? `${numbers[i]}` : `${numbers[i]}-${numbers[j]}`);
    i = j + 1;
  }
  return out.length === 0 ? 'none' : out.join(', ');
}
