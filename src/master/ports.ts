/**
 * Ports: attaches what the configuration names, configures every port that the plan uses, and keeps the facts that
 * listings need. All native calls about devices are here.
 */
import type { Config, Facts, Plan, PlannedDevice, RssType } from '../config/types.js';
import { DpvsError } from '../core/errors.js';
import type { Native, PortInfo } from '../core/native.js';
import type { DeviceSpec, LinkSet } from '../netif/device.js';
import type { Log } from './log.js';

const RX_OFFLOADS = ['IPV4_CKSUM', 'TCP_CKSUM', 'UDP_CKSUM'];
const TX_OFFLOADS = ['MBUF_FAST_FREE'];
/** Words of dpvs.conf as DPDK names them (RTE_ETH_RSS_*). */
const RSS_NAMES: Readonly<Record<RssType, string>> = {
  ip: 'IP',
  tcp: 'TCP',
  udp: 'UDP',
  sctp: 'SCTP',
  ether: 'ETH',
  port: 'PORT',
  tunnel: 'TUNNEL',
};

/** True when some port can only come from the PCI bus, or none is named. */
export const needsPci = (config: Config): boolean =>
  config.netif.devices.length === 0 ||
  config.netif.devices.some((d) => d.devargs?.startsWith('net_') !== true);

/** Attaches the devices that have devargs; a refused one names its block. @returns the facts about all ports */
export function attachPorts(native: Native, config: Config): Facts {
  const names = new Map<number, string>();
  for (const d of config.netif.devices) {
    if (d.devargs === undefined) continue;
    try {
      const known = new Set(native.ports());
      const added = native.devAttach(d.devargs);
      // A PCI device that EAL's own scan has already probed gives its existing port.
      const port = added[0] ?? native.ports().find((p) => !known.has(p));
      if (port === undefined) throw new Error('the driver made no port');
      names.set(port, d.name);
    } catch (e) {
      throw new DpvsError(
        'NODEV',
        `device ${d.name}: cannot attach '${d.devargs}': ${(e as Error).message}`,
        'check the devargs, the interface that they name, and the dpdk lines of the log',
      );
    }
  }
  return {
    allowedCpus: native.allowedCpus(),
    ports: native.ports().map((port) => {
      const info = native.portInfo(port);
      const name = names.get(port);
      return {
        ...(name === undefined ? {} : { name }),
        deviceName: info.name,
        maxRxQueues: info.maxRxQueues,
        maxTxQueues: info.maxTxQueues,
      };
    }),
  };
}

export class Ports {
  private readonly started: number[] = [];
  /** DPDK port id by device name. */
  readonly byName = new Map<string, number>();

  constructor(
    private readonly native: Native,
    private readonly log: Log,
    readonly plan: Plan,
  ) {
    const ids = native.ports();
    for (const d of plan.devices) this.byName.set(d.name, ids[d.port]!);
  }

  portOf(name: string): number {
    const port = this.byName.get(name);
    if (port === undefined) throw new DpvsError('NODEV', `no device '${name}'`);
    return port;
  }

  /** Configures and starts every port. */
  start(): DeviceSpec[] {
    return this.plan.devices.map((d) => this.startOne(d));
  }

  private startOne(d: PlannedDevice): DeviceSpec {
    const port = this.portOf(d.name);
    const { native, log } = this;
    try {
      const { missing } = native.portConfigure(port, {
        rxQueues: d.rx.queues,
        txQueues: d.tx.queues,
        rxDesc: d.rx.descriptors,
        txDesc: d.tx.descriptors,
        mtu: d.mtu,
        rss: d.rx.queues > 1 ? d.rx.rss.map((t) => RSS_NAMES[t]) : [],
        rxOffloads: RX_OFFLOADS,
        txOffloads: d.tx.mbufFastFree ? TX_OFFLOADS : [],
      });
      if (missing.length > 0) log.debug({ dev: d.name, missing }, 'device lacks offloads; done in software');
      native.portStart(port);
      this.started.push(port);
    } catch (e) {
      throw new DpvsError(
        'DPDKAPIFAIL',
        `device ${d.name}: ${(e as Error).message}`,
        'see the dpdk lines of the log',
      );
    }
    this.tryOptional(d.name, 'promiscuous mode', () => native.portSetPromiscuous(port, d.promisc), d.promisc);
    this.tryOptional(
      d.name,
      'allmulticast',
      () => native.portSetAllmulticast(port, d.allmulticast),
      d.allmulticast,
    );
    const info = native.portInfo(port);
    log.info(
      { dev: d.name, device: d.deviceName, mac: info.mac, queues: `${d.rx.queues}/${d.tx.queues}` },
      'port started',
    );
    return {
      name: d.name,
      portId: port,
      mac: info.mac,
      mtu: info.mtu,
      promisc: info.promiscuous,
      allmulticast: info.allmulticast,
    };
  }

  /** For settings that a device may lack: silent when the default was asked for, a warning otherwise. */
  private tryOptional(dev: string, what: string, set: () => void, wanted: boolean): void {
    if (!wanted) return;
    try {
      set();
    } catch (e) {
      this.log.warn({ dev }, `${what} not possible: ${(e as Error).message}`);
    }
  }

  /** Carries out `link.set` on the port. @throws DpvsError NOTSUPP when the device refuses; nothing has changed then */
  set(p: LinkSet): void {
    const { native } = this;
    const port = this.portOf(p.dev);
    const before = native.portInfo(port);
    const steps: [
      what: string,
      wanted: string | number | boolean | undefined,
      set: () => void,
      back: () => void,
    ][] = [
      ['mtu', p.mtu, () => native.portSetMtu(port, p.mtu!), () => native.portSetMtu(port, before.mtu)],
      ['address', p.addr, () => native.portSetMac(port, p.addr!), () => native.portSetMac(port, before.mac)],
      [
        'promisc',
        p.promisc,
        () => native.portSetPromiscuous(port, p.promisc!),
        () => native.portSetPromiscuous(port, before.promiscuous),
      ],
      [
        'allmulticast',
        p.allmulticast,
        () => native.portSetAllmulticast(port, p.allmulticast!),
        () => native.portSetAllmulticast(port, before.allmulticast),
      ],
      ['link', p.up, () => native.portSetLink(port, p.up!), () => undefined],
    ];
    const done: (() => void)[] = [];
    for (const [what, wanted, set, back] of steps) {
      if (wanted === undefined) continue;
      try {
        set();
        done.push(back);
      } catch (e) {
        for (const undo of done.reverse()) undo();
        throw new DpvsError(
          'NOTSUPP',
          `device ${p.dev} does not take ${what} ${String(wanted)}: ${(e as Error).message}`,
        );
      }
    }
  }

  info(name: string): PortInfo {
    return this.native.portInfo(this.portOf(name));
  }

  /** Stops, closes and detaches every port; goes on after an error. */
  closeAll(): void {
    for (const port of this.native.ports()) {
      for (const step of ['portStop', 'portClose'] as const) {
        try {
          this.native[step](port);
        } catch (e) {
          this.log.debug({ port, err: (e as Error).message }, step);
        }
      }
    }
    this.started.length = 0;
  }
}
