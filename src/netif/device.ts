/**
 * Network devices as a pure model: the master and every lcore hold the same list, changed by `link.set`. The
 * floors above know devices by `ifindex` (from 1, in order of creation), never DPDK ports, so that VLAN and bonding
 * devices can stand between them.
 */
import { Bytes } from '../core/bytes.js';
import { DpvsError } from '../core/errors.js';
import { formatMac, macHi, macLo, parseMac } from '../wire/ethernet.js';

export const MIN_MTU = 68;
export const MAX_MTU = 9000;

/** What a device can do for us. */
export interface Offloads {
  rxIpCsum: boolean;
  txIpCsum: boolean;
  txTcpCsum: boolean;
  txUdpCsum: boolean;
}

/** What is needed to make a device. */
export interface DeviceSpec {
  name: string;
  /** DPDK port. */
  portId: number;
  /** `aa:bb:cc:dd:ee:ff` */
  mac: string;
  mtu: number;
  up?: boolean;
  promisc?: boolean;
  allmulticast?: boolean;
  forward2kni?: boolean;
  offloads?: Partial<Offloads>;
}

/** Parameters of the command `link.set`. */
export interface LinkSet {
  dev: string;
  up?: boolean | undefined;
  promisc?: boolean | undefined;
  allmulticast?: boolean | undefined;
  mtu?: number | undefined;
  addr?: string | undefined;
  forward2kni?: boolean | undefined;
}

/** A device. Read it freely; change it through `Devices` only. */
export class Device {
  readonly kind = 'port' as const;
  up: boolean;
  promisc: boolean;
  allmulticast: boolean;
  forward2kni: boolean;
  mtu: number;
  /** The MAC address: as text, as bytes, and as two numbers for comparing and writing without a loop. */
  mac = '';
  macBytes: Uint8Array = new Uint8Array(6);
  macHi = 0;
  macLo = 0;
  readonly offloads: Offloads;

  constructor(
    readonly ifindex: number,
    readonly name: string,
    readonly portId: number,
    spec: DeviceSpec,
  ) {
    this.up = spec.up ?? true;
    this.promisc = spec.promisc ?? false;
    this.allmulticast = spec.allmulticast ?? false;
    this.forward2kni = spec.forward2kni ?? false;
    this.mtu = spec.mtu;
    this.offloads = {
      rxIpCsum: false,
      txIpCsum: false,
      txTcpCsum: false,
      txUdpCsum: false,
      ...spec.offloads,
    };
    this.setMac(spec.mac);
  }

  /** Only for `Devices`. */
  setMac(text: string): void {
    this.macBytes = parseMac(text);
    const bytes = new Bytes(this.macBytes.buffer);
    this.macHi = macHi(bytes, 0);
    this.macLo = macLo(bytes, 0);
    this.mac = formatMac(this.macBytes);
  }
}

export type DeviceListener = (dev: Device) => void;

export class Devices {
  private readonly all: Device[] = [];
  private readonly ports: (Device | undefined)[] = [];
  private readonly listeners: DeviceListener[] = [];

  /** @throws DpvsError EXIST name or port taken; INVAL bad MAC or MTU */
  add(spec: DeviceSpec): Device {
    if (this.byName(spec.name)) throw new DpvsError('EXIST', `device '${spec.name}' exists already`);
    if (this.ports[spec.portId]) {
      throw new DpvsError(
        'EXIST',
        `port ${spec.portId} belongs to device '${this.ports[spec.portId]!.name}' already`,
      );
    }
    checkMtu(spec.mtu);
    checkUnicast(spec.mac);
    const dev = new Device(this.all.length + 1, spec.name, spec.portId, spec);
    this.all.push(dev);
    this.ports[spec.portId] = dev;
    return dev;
  }

  list(): readonly Device[] {
    return this.all;
  }

  byName(name: string): Device | undefined {
    return this.all.find((d) => d.name === name);
  }

  /** @throws DpvsError NODEV */
  require(name: string): Device {
    const dev = this.byName(name);
    if (dev) return dev;
    const known = this.all.map((d) => d.name).join(', ');
    throw new DpvsError(
      'NODEV',
      `no device '${name}'`,
      known === '' ? 'there are no devices' : `devices: ${known}`,
    );
  }

  /** Hot path: device by index. */
  byIndex(ifindex: number): Device | undefined {
    return ifindex > 0 && ifindex <= this.all.length ? this.all[ifindex - 1] : undefined;
  }

  /** Hot path: the device that stands on a DPDK port. */
  byPort(portId: number): Device | undefined {
    return portId < this.ports.length ? this.ports[portId] : undefined;
  }

  /** Name of a device for messages. */
  nameOf(ifindex: number): string {
    return this.byIndex(ifindex)?.name ?? `if${ifindex}`;
  }

  /** Called after a device has changed. */
  onChange(listener: DeviceListener): void {
    this.listeners.push(listener);
  }

  /** Applies `link.set` to the model. @throws DpvsError NODEV, INVAL */
  set(p: LinkSet): Device {
    const dev = this.require(p.dev);
    if (p.mtu !== undefined) checkMtu(p.mtu);
    if (p.addr !== undefined) checkUnicast(p.addr);
    dev.up = p.up ?? dev.up;
    dev.promisc = p.promisc ?? dev.promisc;
    dev.allmulticast = p.allmulticast ?? dev.allmulticast;
    dev.forward2kni = p.forward2kni ?? dev.forward2kni;
    dev.mtu = p.mtu ?? dev.mtu;
    if (p.addr !== undefined) dev.setMac(p.addr);
    for (const listener of this.listeners) listener(dev);
    return dev;
  }

  /** Command handlers by name. */
  readonly handlers = {
    'link.set': (p: LinkSet): void => void this.set(p),
  };

  /** Commands that bring devices of the same names, fresh from the ports, into this state. */
  snapshot(): ({ op: 'link.set' } & Required<LinkSet>)[] {
    return this.all.map((d) => ({
      op: 'link.set',
      dev: d.name,
      up: d.up,
      promisc: d.promisc,
      allmulticast: d.allmulticast,
      forward2kni: d.forward2kni,
      mtu: d.mtu,
      addr: d.mac,
    }));
  }
}

function checkMtu(mtu: number): void {
  if (!Number.isInteger(mtu) || mtu < MIN_MTU || mtu > MAX_MTU) {
    throw new DpvsError('INVAL', `mtu ${mtu} is out of range`, `${MIN_MTU} to ${MAX_MTU}`);
  }
}

function checkUnicast(mac: string): void {
  const bytes = parseMac(mac);
  if ((bytes[0]! & 1) !== 0 || bytes.every((v) => v === 0)) {
    throw new DpvsError(
      'INVAL',
      `'${mac}' cannot be a device's address`,
      'a unicast MAC address has an even first byte',
    );
  }
}
