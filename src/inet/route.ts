/**
 * IPv4 routes as a pure model that the master and every lcore hold alike: those that addresses imply (the
 * address itself, its broadcast address, its subnet) and those that commands set.
 *
 * A static route is valid at all times: its gateway is on link and its source is one of our addresses. Whatever
 * takes that away (an address is removed) takes the route away too, as Linux does, so that the commands of a snapshot always apply.
 * TOS is stored and shown, not matched.
 */
import { DpvsError } from '../core/errors.js';
import type { Devices } from '../netif/device.js';
import { formatIpv4, mask, parseIpv4 } from '../wire/ipv4.js';
import { broadcastOf } from './address.js';
import type { Addresses, Ifa, Scope } from './address.js';
import { Fib } from './fib.js';
import type { FibEntry } from './fib.js';
import { Generation } from './generation.js';

/** Parameters of `route.add`. */
export interface RouteAdd {
  dst: string;
  plen: number;
  via?: string | undefined;
  dev?: string | undefined;
  src?: string | undefined;
  /** 0 = the device's. */
  mtu: number;
  metric: number;
  tos: number;
  scope?: Scope | undefined;
  local: boolean;
}

/** Parameters of `route.set`: what is left out stays. */
export interface RouteSet {
  dst: string;
  plen: number;
  via?: string | undefined;
  dev?: string | undefined;
  src?: string | undefined;
  mtu?: number | undefined;
  metric?: number | undefined;
  tos?: number | undefined;
  scope?: Scope | undefined;
}

export interface RouteDel {
  dst: string;
  plen: number;
  via?: string | undefined;
  dev?: string | undefined;
  local: boolean;
}

/** One line of a listing. */
export interface RouteLine {
  family: 'inet';
  dst: string;
  plen: number;
  /** 0.0.0.0 = on link. */
  via: string;
  src: string;
  dev: string;
  /** The one in force. */
  mtu: number;
  tos: number;
  scope: Scope;
  metric: number;
  proto: 'auto' | 'static';
}

export class Routes {
  /** See `Inet.sharedSource`. */
  sharedSource: ((addr: number) => boolean) | undefined;
  private readonly fib: Fib;
  /** What each address implies. */
  private readonly implied = new Map<Ifa, FibEntry[]>();
  private readonly statics = new Set<FibEntry>();
  private orders = 0;

  constructor(
    private readonly devices: Devices,
    private readonly addresses: Addresses,
    readonly generation: Generation = new Generation(),
  ) {
    this.fib = new Fib((ifindex) => devices.byIndex(ifindex)?.up ?? false);
    devices.onChange(() => {
      this.fib.resort();
      this.generation.bump();
    });
    addresses.listen({
      added: (ifa) => {
        this.imply(ifa);
        this.prune();
        this.generation.bump();
      },
      changed: (ifa) => {
        this.forget(ifa);
        this.imply(ifa);
        this.prune();
        this.generation.bump();
      },
      removed: (ifa) => {
        this.forget(ifa);
        this.prune();
        this.generation.bump();
      },
    });
  }

  /** Our own addresses and broadcast addresses. */
  martians(): number[] {
    const all = [...[...this.implied.values()].flat(), ...this.statics];
    return [...new Set(all.filter((e) => e.local || e.broadcast).map((e) => e.dst))];
  }

  /** See Inet.otherwise. */
  otherwise(): { route: FibEntry; others: FibEntry[] } | undefined {
    const route = this.fib.at(0, 0)[0];
    const others = this.fib.all().filter((e) => e.plen > 0 && !e.local && !e.broadcast);
    return route === undefined ? undefined : { route, others };
  }

  // ----- packet path

  /** Longest prefix match; our own and broadcast addresses included. */
  lookup(addr: number): FibEntry | undefined {
    return this.fib.lookup(addr);
  }

  /**
   * The entry of an address that is our own or a broadcast address: those have prefixes of their own, so one probe tells.
   * May be that of another host with a route of its own.
   */
  host(addr: number): FibEntry | undefined {
    return this.fib.host(addr);
  }

  isLocal(addr: number): boolean {
    const entry = this.fib.host(addr);
    return entry !== undefined && entry.local;
  }

  /**
   * The address to send from: the route's own, else the device's first address in the next hop's subnet, else its
   * first one of global scope, else anybody's. An address that we share with others comes last: they would not believe it.
   * 0 = we have none.
   */
  sourceFor(ifindex: number, src: number, nexthop: number): number {
    if (src !== 0 && !this.isShared(src)) return src;
    const own = this.choose(ifindex, nexthop, false);
    if (own !== 0) return own;
    return src !== 0 ? src : this.choose(ifindex, nexthop, true);
  }

  /** Of the addresses that are shared, or of those that are not. */
  private choose(ifindex: number, nexthop: number, shared: boolean): number {
    let fallback = 0;
    const ifas = this.addresses.of(ifindex);
    for (let i = 0; i < ifas.length; i++) {
      const ifa = ifas[i]!;
      if (this.isShared(ifa.addr) !== shared) continue;
      if (((ifa.addr ^ nexthop) & mask(ifa.plen)) === 0) return ifa.addr;
      if (fallback === 0 && ifa.scope === 'global') fallback = ifa.addr;
    }
    if (fallback !== 0) return fallback;
    const devices = this.devices.list();
    for (let d = 0; d < devices.length; d++) {
      const others = this.addresses.of(devices[d]!.ifindex);
      for (let i = 0; i < others.length; i++) {
        const { addr, scope } = others[i]!;
        if (scope === 'global' && this.isShared(addr) === shared) return addr;
      }
    }
    return 0;
  }

  /** An address of ours that others answer from. */
  isShared(addr: number): boolean {
    return this.sharedSource !== undefined && this.sharedSource(addr);
  }

  // ----- commands

  /** @throws DpvsError INVAL, NODEV, EXIST, NOTSUPP */
  add(p: RouteAdd): void {
    const entry = this.make(p);
    this.refuseTwin(entry);
    this.insert(entry);
  }

  /** Changes a static route found by prefix and, where given, device. @throws DpvsError NOTEXIST, INVAL, NODEV */
  set(p: RouteSet): void {
    const found = this.select({ dst: p.dst, plen: p.plen, dev: p.dev, local: p.scope === 'host' });
    const old =
      found.length === 1 ? found[0]! : found.find((e) => p.via !== undefined && e.via === parseIpv4(p.via));
    if (!old) {
      throw new DpvsError(
        'INVAL',
        `${found.length} routes to ${p.dst}/${p.plen}`,
        'name the device and the gateway',
      );
    }
    // The new one is checked as if the old one were gone: it may not lean on itself.
    this.fib.remove(old);
    let entry: FibEntry;
    try {
      entry = this.make({
        dst: p.dst,
        plen: p.plen,
        via: p.via ?? (old.via === 0 ? undefined : formatIpv4(old.via)),
        dev: this.devices.nameOf(old.ifindex),
        src: p.src ?? (old.src === 0 ? undefined : formatIpv4(old.src)),
        mtu: p.mtu ?? old.mtu,
        metric: p.metric ?? old.metric,
        tos: p.tos ?? old.tos,
        scope: p.scope ?? (p.via === undefined ? old.scope : undefined),
        local: old.local,
      });
      this.refuseTwin(entry);
    } finally {
      this.fib.add(old);
    }
    this.drop(old);
    this.insert(entry);
    this.prune();
  }

  /** @throws DpvsError NOTEXIST, NODEV; INVAL for a route that belongs to an address */
  del(p: RouteDel): void {
    this.drop(this.select(p)[0]!);
    this.prune();
    this.generation.bump();
  }

  /** Removes the static routes of a device. @throws DpvsError NODEV */
  flush(dev: string): void {
    const { ifindex } = this.devices.require(dev);
    for (const entry of this.statics) if (entry.ifindex === ifindex) this.drop(entry);
    this.prune();
    this.generation.bump();
  }

  list(): RouteLine[] {
    const seen = new Set<string>();
    return this.fib.all().flatMap((e) => {
      if (e.broadcast) return [];
      // Two addresses of one subnet imply its route twice; it is one line.
      const key = `${e.dst}/${e.plen} ${e.ifindex} ${e.metric} ${e.local}`;
      if (e.proto === 'auto' && seen.has(key)) return [];
      seen.add(key);
      const dev = this.devices.byIndex(e.ifindex);
      const line: RouteLine = {
        family: 'inet',
        dst: formatIpv4(e.dst),
        plen: e.plen,
        via: formatIpv4(e.via),
        src: formatIpv4(e.src),
        dev: this.devices.nameOf(e.ifindex),
        mtu: e.mtu === 0 ? (dev?.mtu ?? 0) : e.mtu,
        tos: e.tos,
        scope: e.scope,
        metric: e.metric,
        proto: e.proto,
      };
      return [line];
    });
  }

  /** Command handlers by name. */
  readonly handlers = {
    'route.add': (p: RouteAdd): void => this.add(p),
    'route.set': (p: RouteSet): void => this.set(p),
    'route.del': (p: RouteDel): void => this.del(p),
    'route.flush': (p: { dev: string }): void => this.flush(p.dev),
  };

  /** Commands that recreate the static routes once the addresses are there: on-link ones before those that need them. */
  snapshot(): ({ op: 'route.add' } & RouteAdd)[] {
    const entries = [...this.statics].sort(
      (a, b) => Number(a.via !== 0) - Number(b.via !== 0) || a.order - b.order,
    );
    return entries.map((e) => ({
      op: 'route.add',
      dst: formatIpv4(e.dst),
      plen: e.plen,
      ...(e.via === 0 ? {} : { via: formatIpv4(e.via) }),
      dev: this.devices.nameOf(e.ifindex),
      ...(e.src === 0 ? {} : { src: formatIpv4(e.src) }),
      mtu: e.mtu,
      metric: e.metric,
      tos: e.tos,
      scope: e.scope,
      local: e.local,
    }));
  }

  // ----- inside

  /** Validates the parameters and makes the entry. */
  private make(p: RouteAdd): FibEntry {
    const given = parseIpv4(p.dst);
    if (!Number.isInteger(p.plen) || p.plen < 0 || p.plen > 32) {
      throw new DpvsError('INVAL', `prefix length ${p.plen} is out of range`, '0 to 32');
    }
    const local = p.local || p.scope === 'host';
    if (p.scope === 'kni_host')
      throw new DpvsError('NOTSUPP', 'scope kni_host needs a KNI device, there is none');
    if (local && p.plen !== 32) {
      throw new DpvsError(
        'INVAL',
        `local route ${p.dst}/${p.plen}`,
        'a local route is one address: prefix length 32',
      );
    }
    if (local && p.via !== undefined) throw new DpvsError('INVAL', `local route with a gateway (${p.via})`);
    const via = p.via === undefined ? 0 : parseIpv4(p.via);
    const ifindex = this.outDevice(p, via);
    const src = p.src === undefined ? 0 : parseIpv4(p.src);
    if (src !== 0 && !this.isLocal(src)) {
      throw new DpvsError('INVAL', `source ${p.src} is not an address of ours`, 'dpip addr show');
    }
    return {
      dst: (given & mask(p.plen)) >>> 0,
      plen: p.plen,
      via,
      src,
      ifindex,
      mtu: p.mtu,
      metric: p.metric,
      tos: p.tos,
      scope: local ? 'host' : (p.scope ?? (via === 0 ? 'link' : 'global')),
      local,
      proto: 'static',
      broadcast: false,
      order: ++this.orders,
    };
  }

  /** One route for each prefix, device and metric. */
  private refuseTwin(entry: FibEntry): void {
    const twin = this.fib
      .at(entry.dst, entry.plen)
      .find(
        (e) =>
          e.ifindex === entry.ifindex && e.metric === entry.metric && e.local === entry.local && !e.broadcast,
      );
    if (!twin) return;
    const where = `${formatIpv4(entry.dst)}/${entry.plen} dev ${this.devices.nameOf(entry.ifindex)}`;
    throw new DpvsError(
      'EXIST',
      `route ${where} metric ${entry.metric} exists`,
      'another metric makes a second route',
    );
  }

  private outDevice(p: RouteAdd, via: number): number {
    const named = p.dev === undefined ? undefined : this.devices.require(p.dev).ifindex;
    if (via === 0) {
      if (named !== undefined) return named;
      throw new DpvsError(
        'INVAL',
        `route ${p.dst}/${p.plen} has neither gateway nor device`,
        'via ADDR or dev DEV',
      );
    }
    const entry = this.fib.lookup(via);
    if (entry?.local || entry?.broadcast) {
      throw new DpvsError('INVAL', `gateway ${p.via} is ${entry.local ? 'our own' : 'a broadcast'} address`);
    }
    const link = this.onLink(via, named);
    if (link) return link.ifindex;
    const dev = p.dev === undefined ? '' : ` of ${p.dev}`;
    throw new DpvsError(
      'INVAL',
      `gateway ${p.via} is not on link${dev}`,
      'an address of its subnet has to come first',
    );
  }

  /** The longest on-link prefix that covers `addr`, on one device or on any. */
  private onLink(addr: number, ifindex: number | undefined): FibEntry | undefined {
    return this.fib
      .covering(addr)
      .find(
        (e) => e.via === 0 && !e.local && !e.broadcast && (ifindex === undefined || e.ifindex === ifindex),
      );
  }

  /** Static routes of a prefix that fit the selector; at least one. */
  private select(p: RouteDel): FibEntry[] {
    const dst = (parseIpv4(p.dst) & mask(p.plen)) >>> 0;
    const ifindex = p.dev === undefined ? undefined : this.devices.require(p.dev).ifindex;
    const via = p.via === undefined ? undefined : parseIpv4(p.via);
    const fits = (e: FibEntry): boolean =>
      !e.broadcast &&
      e.local === p.local &&
      (ifindex === undefined || e.ifindex === ifindex) &&
      (via === undefined || e.via === via);
    const found = this.fib.at(dst, p.plen).filter(fits);
    const statics = found.filter((e) => e.proto === 'static');
    if (statics.length > 0) return statics;
    const text = `${p.dst}/${p.plen}${p.via === undefined ? '' : ` via ${p.via}`}${p.dev === undefined ? '' : ` dev ${p.dev}`}`;
    if (found.length > 0) {
      throw new DpvsError(
        'INVAL',
        `route ${text} belongs to an address`,
        'it goes when the address is deleted',
      );
    }
    throw new DpvsError('NOTEXIST', `no route ${text}`, 'dpip route show');
  }

  private insert(entry: FibEntry): void {
    this.statics.add(entry);
    this.fib.add(entry);
    this.generation.bump();
  }

  private drop(entry: FibEntry): void {
    this.statics.delete(entry);
    this.fib.remove(entry);
  }

  /** Removes static routes that have lost what they lean on: a gateway that is on link and not ourselves, a source. */
  private prune(): void {
    const lost = (e: FibEntry): boolean =>
      (e.via !== 0 && !this.isGateway(e.via, e.ifindex)) || (e.src !== 0 && !this.isLocal(e.src));
    // A route that goes may have been the link that another one's gateway stood on.
    for (let gone = [...this.statics].filter(lost); gone.length > 0; gone = [...this.statics].filter(lost)) {
      for (const e of gone) this.drop(e);
    }
  }

  private isGateway(via: number, ifindex: number): boolean {
    const entry = this.fib.lookup(via);
    return entry !== undefined && !entry.local && !entry.broadcast && this.onLink(via, ifindex) !== undefined;
  }

  private imply(ifa: Ifa): void {
    const entries = [this.auto(ifa, { dst: ifa.addr, plen: 32, scope: 'host', local: true, src: 0 })];
    if (ifa.plen < 32) {
      const dst = (ifa.addr & mask(ifa.plen)) >>> 0;
      entries.push(this.auto(ifa, { dst, plen: ifa.plen, scope: 'link', local: false, src: ifa.addr }));
    }
    const broadcast = broadcastOf(ifa);
    if (broadcast !== undefined && broadcast !== ifa.addr) {
      entries.push({
        ...this.auto(ifa, { dst: broadcast, plen: 32, scope: 'link', local: false, src: ifa.addr }),
        broadcast: true,
      });
    }
    for (const entry of entries) this.fib.add(entry);
    this.implied.set(ifa, entries);
  }

  private forget(ifa: Ifa): void {
    for (const entry of this.implied.get(ifa) ?? []) this.fib.remove(entry);
    this.implied.delete(ifa);
  }

  private auto(ifa: Ifa, own: Pick<FibEntry, 'dst' | 'plen' | 'scope' | 'local' | 'src'>): FibEntry {
    return {
      ...own,
      via: 0,
      ifindex: ifa.ifindex,
      mtu: 0,
      metric: 0,
      tos: 0,
      proto: 'auto',
      broadcast: false,
      order: ++this.orders,
    };
  }
}
