/**
 * Rules over the whole configuration: what no single value can break. Each error points at the word to change. Parts
 * that already have errors of their own are left out, so that one slip isn't reported twice.
 */
import { suggest, type Diagnostic, type Place } from './diagnostics.js';
import type { ReadResult } from './read.js';
import type { BondingConfig, DeviceConfig, WorkerConfig, WorkerPortConfig } from './types.js';

export function checkSemantics(result: ReadResult, problems: Diagnostic[]): void {
  const { config, origins, broken } = result;
  const { devices, bondings } = config.netif;
  const { workers } = config;

  const report = (
    severity: 'error' | 'warning',
    place: Place | undefined,
    message: string,
    hint?: string,
  ): void => {
    problems.push({
      severity,
      ...(place === undefined ? {} : { place }),
      message,
      ...(hint === undefined ? {} : { hint }),
    });
  };
  const at = (place: Place | undefined): string =>
    place === undefined ? '' : ` at ${place.file}:${place.line}:${place.column}`;

  /** Reports every element whose key an earlier one has. */
  const unique = <T extends object>(
    list: readonly T[],
    field: string,
    keyOf: (element: T) => string | number | undefined,
    message: (element: T, first: T) => string,
    hint?: string,
  ): void => {
    const seen = new Map<string | number, T>();
    for (const element of list) {
      const key = keyOf(element);
      if (key === undefined) continue;
      const first = seen.get(key);
      if (first === undefined) seen.set(key, element);
      else
        report(
          'error',
          origins.at(element, field),
          message(element, first) + at(origins.at(first, field)),
          hint,
        );
    }
  };

  checkDevices();
  checkBondings();
  checkWorkers();
  checkQueues();

  function checkDevices(): void {
    unique(
      devices,
      'devargs',
      (d) => d.devargs?.split(',')[0],
      (d, first) => `device '${d.name}' has the same devargs name as device '${first.name}'`,
      'each port needs a name or PCI address of its own, such as net_tap0 and net_tap1',
    );
  }

  function checkBondings(): void {
    const owner = new Map<string, BondingConfig>();
    for (const b of bondings) {
      if (devices.some((d) => d.name === b.name)) {
        report('error', origins.at(b), `'${b.name}' is the name of a device too`);
      }
      for (const [i, slave] of b.slaves.entries()) {
        const place = origins.at(b, 'slaves', i);
        const other = owner.get(slave);
        if (!devices.some((d) => d.name === slave)) {
          report(
            'error',
            place,
            `bonding '${b.name}' has the slave '${slave}', which is no device`,
            known(slave, devices),
          );
        } else if (other !== undefined) {
          report('error', place, `device '${slave}' is a slave of bonding '${other.name}' already`);
        }
        owner.set(slave, other ?? b);
      }
      if (b.primary !== undefined && !b.slaves.includes(b.primary)) {
        report(
          'error',
          origins.at(b, 'primary'),
          `the primary '${b.primary}' is no slave of bonding '${b.name}'`,
          `slaves are ${b.slaves.join(', ')}`,
        );
      }
      if (b.mode !== 4 && origins.has(b, 'dedicatedQueues')) {
        report('warning', origins.at(b, 'dedicatedQueues'), 'dedicated_queues has a meaning in mode 4 only');
      }
    }
  }

  function checkWorkers(): void {
    unique(
      workers,
      'cpuId',
      (w) => w.cpuId,
      (w, first) => `worker '${w.name}' has the cpu_id ${w.cpuId} of worker '${first.name}'`,
      'each worker needs a CPU of its own',
    );
    for (const type of ['master', 'kni'] as const) {
      unique(
        workers.filter((w) => w.type === type),
        'type',
        (w) => w.type,
        (w, first) => `worker '${w.name}' is a second ${type}, after '${first.name}'`,
        `one worker at most is of type ${type}`,
      );
    }
    for (const w of workers) {
      if (w.type === 'master' && w.ports.length > 0) {
        report(
          'warning',
          origins.at(w.ports[0]!),
          `the master polls no queues: the ports of '${w.name}' are ignored`,
        );
      }
      if (w.type === 'kni') {
        report('warning', origins.at(w, 'type'), `the kni worker '${w.name}' is known, but does nothing yet`);
      }
      for (const p of w.ports) {
        const bond = bondings.find((b) => b.slaves.includes(p.name));
        if (bond !== undefined) {
          report(
            'error',
            origins.at(p),
            `'${p.name}' is a slave of bonding '${bond.name}'`,
            `name '${bond.name}' instead`,
          );
        } else if (![...devices, ...bondings].some((d) => d.name === p.name)) {
          const hint = known(p.name, [...devices, ...bondings]);
          report(
            'error',
            origins.at(p),
            `worker '${w.name}' names the port '${p.name}', which is no device`,
            hint,
          );
        }
        for (const [i, id] of p.txQueueIds.slice(1).entries()) {
          if (w.type === 'slave') {
            report(
              'warning',
              origins.at(p, 'txQueueIds', i + 1),
              `transmit queue ${id} is not used: a worker needs one`,
            );
          }
        }
      }
    }
  }

  function checkQueues(): void {
    const users = workers.filter((w) => w.type !== 'master');
    const slaves = users.filter((w) => w.type === 'slave');
    for (const device of [...devices, ...bondings]) {
      const uses = users.flatMap((w) =>
        w.ports.filter((p) => p.name === device.name).map((port) => ({ w, port })),
      );
      if (uses.length === 0) continue;
      for (const w of slaves) {
        if (uses.some((u) => u.w === w) || broken.has(w)) continue;
        report(
          'error',
          origins.at(w),
          `worker '${w.name}' does not list port '${device.name}', which worker '${uses[0]!.w.name}' lists`,
          'every worker of type slave needs a transmit queue on every port',
        );
      }
      for (const { w, port } of uses) {
        if (w.type === 'slave' && port.txQueueIds.length === 0 && !broken.has(port)) {
          const message = `worker '${w.name}' has no transmit queue on port '${port.name}'`;
          report('error', origins.at(port), message, 'every worker needs at least one: tx_queue_ids');
        }
      }
      if (uses.some((u) => broken.has(u.port) || broken.has(u.w))) continue;
      const options = 'rx' in device ? device : undefined;
      checkIds(device, options, uses, 'rx');
      checkIds(device, options, uses, 'tx');
    }
  }

  function checkIds(
    device: { name: string },
    options: DeviceConfig | undefined,
    uses: readonly { w: WorkerConfig; port: WorkerPortConfig }[],
    direction: 'rx' | 'tx',
  ): void {
    const what = direction === 'rx' ? 'receive queue' : 'transmit queue';
    const field = direction === 'rx' ? 'rxQueueIds' : 'txQueueIds';
    const owners = new Map<number, { w: WorkerConfig; place: Place | undefined }>();
    for (const { w, port } of uses) {
      for (const [i, id] of port[field].entries()) {
        const place = origins.at(port, field, i);
        const first = owners.get(id);
        if (first === undefined) owners.set(id, { w, place });
        else if (first.w !== w) {
          const message = `${what} ${id} of port '${device.name}' belongs to worker '${first.w.name}' already`;
          report('error', place, message + at(first.place));
        }
      }
    }
    if (owners.size === 0) {
      if (direction === 'rx') {
        report(
          'error',
          origins.at(uses[0]!.port),
          `no worker polls a receive queue of port '${device.name}'`,
          'rx_queue_ids 0',
        );
      }
      return;
    }
    for (const [id, { place }] of owners) {
      if (id === 0 || owners.has(id - 1)) continue;
      const message = `${what} ${id} of port '${device.name}' is used, but not ${what} ${id - 1}`;
      report('error', place, message, 'the queues that workers use count from 0 without gaps');
    }
    const number = options?.[direction].queues;
    if (options === undefined || number === undefined) return;
    const beyond = [...owners].filter(([id]) => id >= number);
    for (const [id, { place }] of beyond) {
      const message = `${what} ${id} of port '${device.name}' is beyond its queue_number ${number}`;
      report('error', place, message + at(origins.at(options, `${direction}.queues`)));
    }
    if (beyond.length === 0 && owners.size < number) {
      const message = `${number} ${what}s, but workers use ${owners.size}: the port gets ${owners.size}`;
      report('warning', origins.at(options, `${direction}.queues`), message);
    }
  }

  function known(name: string, list: readonly { name: string }[]): string {
    const names = list.map((d) => d.name);
    const near = suggest(name, names);
    if (names.length === 0) return `the file has no devices: add 'device ${name} { }' to netif_defs`;
    return (near === undefined ? '' : `did you mean '${near}'? `) + `devices are ${names.join(', ')}`;
  }
}
