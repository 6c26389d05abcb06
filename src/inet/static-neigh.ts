/**
 * Static neighbours as a pure model: set by commands, told to every lcore's neighbour table, never learnt or
 * aged. `neigh.del` and `neigh.flush` also make the lcores forget what they have learnt.
 */
import { DpvsError } from '../core/errors.js';
import type { Devices } from '../netif/device.js';
import { formatMac, parseMac } from '../wire/ethernet.js';
import { formatIpv4, isLoopback, isMulticast, isReserved, isThisNetwork, parseIpv4 } from '../wire/ipv4.js';

/** Parameters of `neigh.add`. */
export interface NeighAdd {
  dev: string;
  addr: string;
  lladdr: string;
}

export interface NeighDel {
  dev: string;
  addr: string;
}

/** A static neighbour. */
export interface StaticNeigh {
  ifindex: number;
  addr: number;
  mac: string;
}

export interface StaticNeighListener {
  added(ifindex: number, addr: number, mac: string): void;
  /** A neighbour, static or not, is to be forgotten. */
  removed(ifindex: number, addr: number): void;
  /** All neighbours are, of one device or (0) of all. */
  flushed(ifindex: number): void;
}

export class StaticNeighs {
  private table: StaticNeigh[] = [];
  private readonly listeners: StaticNeighListener[] = [];

  constructor(private readonly devices: Devices) {}

  listen(listener: StaticNeighListener): void {
    this.listeners.push(listener);
  }

  /** @throws DpvsError NODEV, INVAL, EXIST */
  add(p: NeighAdd): void {
    const { ifindex } = this.devices.require(p.dev);
    const addr = parseIpv4(p.addr);
    if (isThisNetwork(addr) || isLoopback(addr) || isMulticast(addr) || isReserved(addr)) {
      throw new DpvsError('INVAL', `${p.addr} cannot be a neighbour`, 'a unicast address');
    }
    const bytes = parseMac(p.lladdr);
    if ((bytes[0]! & 1) !== 0 || bytes.every((v) => v === 0)) {
      throw new DpvsError('INVAL', `'${p.lladdr}' cannot be a neighbour's address`, 'a unicast MAC address');
    }
    if (this.table.some((e) => e.ifindex === ifindex && e.addr === addr)) {
      throw new DpvsError('EXIST', `${p.addr} on ${p.dev} has a static entry`, 'dpip neigh del removes it');
    }
    const mac = formatMac(bytes);
    this.table.push({ ifindex, addr, mac });
    for (const l of this.listeners) l.added(ifindex, addr, mac);
  }

  /** Forgets the neighbour, static or learnt; one that nobody knows is no error. @throws DpvsError NODEV, INVAL */
  del(p: NeighDel): void {
    const { ifindex } = this.devices.require(p.dev);
    const addr = parseIpv4(p.addr);
    this.table = this.table.filter((e) => e.ifindex !== ifindex || e.addr !== addr);
    for (const l of this.listeners) l.removed(ifindex, addr);
  }

  /** Forgets all neighbours, static ones too, of one device or of all. @throws DpvsError NODEV */
  flush(dev?: string): void {
    const ifindex = dev === undefined ? 0 : this.devices.require(dev).ifindex;
    this.table = this.table.filter((e) => ifindex !== 0 && e.ifindex !== ifindex);
    for (const l of this.listeners) l.flushed(ifindex);
  }

  entries(): readonly StaticNeigh[] {
    return this.table;
  }

  list(): NeighAdd[] {
    return this.table.map((e) => ({
      dev: this.devices.nameOf(e.ifindex),
      addr: formatIpv4(e.addr),
      lladdr: e.mac,
    }));
  }

  /** Command handlers by name. */
  readonly handlers = {
    'neigh.add': (p: NeighAdd): void => this.add(p),
    'neigh.del': (p: NeighDel): void => this.del(p),
    'neigh.flush': (p: { dev?: string | undefined }): void => this.flush(p.dev),
  };

  /** Commands that recreate the state from empty. */
  snapshot(): ({ op: 'neigh.add' } & NeighAdd)[] {
    return this.list().map((e) => ({ op: 'neigh.add', ...e }));
  }
}
