/**
 * IPv4 addresses of devices, as a pure model that the master and every lcore hold alike. The routes that an
 * address implies (itself, its broadcast address, its subnet) are made by `route.ts`, which listens here.
 */
import { DpvsError } from '../core/errors.js';
import type { Device, Devices } from '../netif/device.js';
import {
  BROADCAST,
  formatIpv4,
  isLoopback,
  isMulticast,
  isReserved,
  isThisNetwork,
  mask,
  parseIpv4,
} from '../wire/ipv4.js';

export type Scope = 'host' | 'kni_host' | 'link' | 'global';

/** An address of a device. */
export interface Ifa {
  readonly ifindex: number;
  readonly addr: number;
  plen: number;
  /** As given; undefined = the subnet's last address, where it has one. */
  broadcast: number | undefined;
  scope: Scope;
  /** Virtual time at which the address ends, 0 = never. */
  expiresAt: number;
  /** The address has a pool of local ports. */
  sapool: boolean;
  /** Virtual time of our last answer to somebody who uses the address too (RFC 5227 section 2.4). */
  defendedAt: number;
}

/** Parameters of `addr.add`. */
export interface AddrAdd {
  dev: string;
  addr: string;
  plen: number;
  broadcast?: string | undefined;
  scope: Scope;
  /** Seconds, 0 = forever. */
  validLft: number;
  sapool: boolean;
}

/** Parameters of `addr.set`: what is left out stays. */
export interface AddrSet {
  dev: string;
  addr: string;
  plen?: number | undefined;
  broadcast?: string | undefined;
  scope?: Scope | undefined;
  validLft?: number | undefined;
  sapool?: boolean | undefined;
}

export interface AddrDel {
  dev: string;
  addr: string;
  plen?: number | undefined;
}

/** One line of a listing. */
export interface AddrEntry {
  dev: string;
  addr: string;
  plen: number;
  scope: Scope;
  broadcast?: string;
  /** Seconds that remain, 0 = forever. */
  validLft: number;
  sapool: boolean;
}

/** Called after the model has changed; for `set` the address already has its new values. */
export interface AddressListener {
  added?(ifa: Ifa): void;
  /** `before` holds the values of before. */
  changed?(ifa: Ifa, before: Ifa): void;
  removed?(ifa: Ifa): void;
}

export class Addresses {
  /** By ifindex. */
  private readonly byDev: Ifa[][] = [];
  private readonly listeners: AddressListener[] = [];

  /** @param clock milliseconds; the same clock that `expired` is asked with */
  constructor(
    private readonly devices: Devices,
    private readonly clock: () => number = () => 0,
  ) {}

  listen(listener: AddressListener): void {
    this.listeners.push(listener);
  }

  /** Addresses of a device, in order of arrival. Hot path: the array lives as long as the model. */
  of(ifindex: number): readonly Ifa[] {
    return (this.byDev[ifindex] ??= []);
  }

  /** The address on a device. Walks the device's list: for messages and ARP, not for datagrams. */
  find(ifindex: number, addr: number): Ifa | undefined {
    const ifas = this.byDev[ifindex];
    if (ifas === undefined) return undefined;
    for (let i = 0; i < ifas.length; i++) if (ifas[i]!.addr === addr) return ifas[i];
    return undefined;
  }

  /** The address on whatever device. */
  ours(addr: number): Ifa | undefined {
    for (let ifindex = 1; ifindex < this.byDev.length; ifindex++) {
      const ifa = this.find(ifindex, addr);
      if (ifa !== undefined) return ifa;
    }
    return undefined;
  }

  /** @throws DpvsError NODEV, INVAL, EXIST */
  add(p: AddrAdd): Ifa {
    const dev = this.devices.require(p.dev);
    const addr = parseOwn(p.addr);
    checkPlen(p.plen);
    if (this.find(dev.ifindex, addr)) {
      throw new DpvsError('EXIST', `${p.addr} is on ${p.dev} already`, 'dpip addr set changes it');
    }
    const ifa: Ifa = {
      ifindex: dev.ifindex,
      addr,
      plen: p.plen,
      broadcast: parseBroadcast(p.broadcast),
      scope: p.scope,
      expiresAt: this.deadline(p.validLft),
      sapool: p.sapool,
      defendedAt: Number.NEGATIVE_INFINITY,
    };
    (this.byDev[dev.ifindex] ??= []).push(ifa);
    for (const l of this.listeners) l.added?.(ifa);
    return ifa;
  }

  /** @throws DpvsError NODEV, NOTEXIST, INVAL */
  set(p: AddrSet): Ifa {
    const ifa = this.require(p.dev, p.addr);
    if (p.plen !== undefined) checkPlen(p.plen);
    const broadcast = p.broadcast === undefined ? ifa.broadcast : parseBroadcast(p.broadcast);
    const before = { ...ifa };
    ifa.broadcast = broadcast;
    ifa.plen = p.plen ?? ifa.plen;
    ifa.scope = p.scope ?? ifa.scope;
    ifa.sapool = p.sapool ?? ifa.sapool;
    if (p.validLft !== undefined) ifa.expiresAt = this.deadline(p.validLft);
    for (const l of this.listeners) l.changed?.(ifa, before);
    return ifa;
  }

  /** @throws DpvsError NODEV, NOTEXIST */
  del(p: AddrDel): void {
    const ifa = this.require(p.dev, p.addr);
    if (p.plen !== undefined && p.plen !== ifa.plen) {
      throw new DpvsError(
        'NOTEXIST',
        `${p.addr}/${p.plen} is not on ${p.dev}`,
        `it is there as ${p.addr}/${ifa.plen}`,
      );
    }
    this.remove(ifa);
  }

  /** Removes all addresses of a device. @throws DpvsError NODEV */
  flush(dev: string): void {
    for (const ifa of this.of(this.devices.require(dev).ifindex).slice()) this.remove(ifa);
  }

  /**
   * Addresses whose life is over, as parameters of the `addr.del` that ends them. The master asks every second and
   * issues the commands, so that all replicas drop an address at the same place in the log.
   */
  expired(nowMs: number): AddrDel[] {
    return this.all()
      .filter((ifa) => ifa.expiresAt !== 0 && ifa.expiresAt <= nowMs)
      .map((ifa) => ({ dev: this.devices.nameOf(ifa.ifindex), addr: formatIpv4(ifa.addr) }));
  }

  list(dev?: string): AddrEntry[] {
    const ifindex = dev === undefined ? undefined : this.devices.require(dev).ifindex;
    return this.all()
      .filter((ifa) => ifindex === undefined || ifa.ifindex === ifindex)
      .map((ifa) => ({
        dev: this.devices.nameOf(ifa.ifindex),
        addr: formatIpv4(ifa.addr),
        plen: ifa.plen,
        scope: ifa.scope,
        ...(ifa.broadcast === undefined ? {} : { broadcast: formatIpv4(ifa.broadcast) }),
        validLft: ifa.expiresAt === 0 ? 0 : Math.max(1, Math.ceil((ifa.expiresAt - this.clock()) / 1000)),
        sapool: ifa.sapool,
      }));
  }

  /** Command handlers by name. */
  readonly handlers = {
    'addr.add': (p: AddrAdd): void => void this.add(p),
    'addr.set': (p: AddrSet): void => void this.set(p),
    'addr.del': (p: AddrDel): void => this.del(p),
    'addr.flush': (p: { dev: string }): void => this.flush(p.dev),
  };

  /** Commands that recreate the state from empty. */
  snapshot(): ({ op: 'addr.add' } & AddrAdd)[] {
    return this.list().map((entry) => ({ op: 'addr.add', ...entry }));
  }

  private all(): Ifa[] {
    return this.byDev.flat().filter((ifa) => ifa !== undefined);
  }

  private require(devName: string, text: string): Ifa {
    const dev: Device = this.devices.require(devName);
    const ifa = this.find(dev.ifindex, parseIpv4(text));
    if (!ifa)
      throw new DpvsError('NOTEXIST', `${text} is not on ${devName}`, `dpip addr show dev ${devName}`);
    return ifa;
  }

  private remove(ifa: Ifa): void {
    const ifas = this.byDev[ifa.ifindex]!;
    ifas.splice(ifas.indexOf(ifa), 1);
    for (const l of this.listeners) l.removed?.(ifa);
  }

  private deadline(validLftSec: number): number {
    return validLftSec === 0 ? 0 : this.clock() + validLftSec * 1000;
  }
}

/** The broadcast address that counts: the given one, else the subnet's last where it has more than two (RFC 3021). */
export function broadcastOf(ifa: {
  addr: number;
  plen: number;
  broadcast: number | undefined;
}): number | undefined {
  if (ifa.broadcast !== undefined) return ifa.broadcast;
  return ifa.plen < 31 ? (ifa.addr | ~mask(ifa.plen)) >>> 0 : undefined;
}

function parseOwn(text: string): number {
  const addr = parseIpv4(text);
  if (
    isThisNetwork(addr) ||
    isLoopback(addr) ||
    isMulticast(addr) ||
    isReserved(addr) ||
    addr === BROADCAST
  ) {
    throw new DpvsError(
      'INVAL',
      `${text} cannot be an address of a device`,
      'a unicast address other than 127.0.0.0/8',
    );
  }
  return addr;
}

/** 0.0.0.0 is how some tools say "none given". */
function parseBroadcast(text: string | undefined): number | undefined {
  const addr = text === undefined ? 0 : parseIpv4(text);
  return addr === 0 ? undefined : addr;
}

function checkPlen(plen: number): void {
  if (!Number.isInteger(plen) || plen < 0 || plen > 32) {
    throw new DpvsError('INVAL', `prefix length ${plen} is out of range`, '0 to 32');
  }
}
