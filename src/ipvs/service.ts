/**
 * The model of virtual services: services by (protocol, address, port) or by match, their real servers and local addresses.
 * The same code runs in the master (which validates commands with it) and in every lcore (whose
 * packet path looks services up in it): plain data, no counters, no clock.
 *
 * Every operation validates completely before it changes anything.
 */
import { DpvsError } from '../core/errors.js';
import { IntMap } from '../core/intmap.js';
import { DEST_CAP, DIR_IN, SVC_CAP } from '../core/layout.js';
import { formatMatch, type MatchSpec } from '../core/match.js';
import { formatIpv4, isMulticast, isNetmask, isReserved, isThisNetwork, parseIpv4 } from '../wire/ipv4.js';
import { type EndMemory, Ends } from './ends.js';
import { requireProxyMode, requireProxyProto } from './client-addr/require.js';
import { compileMatch, covers, type Match } from './match.js';
import { DEST_DEFAULTS, optionsOf, SVC_DEFAULTS, type DestOptions, type SvcOptions } from './options.js';
import { AS_CONFIGURED, PROTO_BY_NUMBER, PROTOS } from './proto/index.js';
import type { Proto, SetTimeouts } from './proto/table.js';
import { schedulerByName, schedulerFlags } from './sched/index.js';
import type { Scheduler } from './sched/scheduler.js';
import { Slots, type SlotMemory, type SlotUse } from './slots.js';
import { xmitByName } from './xmit/index.js';
import type { Xmit } from './xmit/xmit.js';

/** A real server. Objects live on after removal for the connections that still refer to them. */
export interface Dest extends DestOptions {
  readonly svc: Svc;
  readonly addr: number;
  readonly port: number;
  /** Index of its counters, 1 to DEST_CAP-1. */
  readonly slot: number;
  xmit: Xmit;
  removed: boolean;
}

/** An address that Full-NAT connections of a service may come from. */
export interface Laddr {
  readonly addr: number;
  readonly dev: string;
}

export interface Svc extends SvcOptions {
  /** IP protocol number. */
  readonly proto: number;
  /** Virtual address and port; 0 and 0 for a service by match; port 0: all ports, or the protocol has none. */
  readonly addr: number;
  readonly port: number;
  /** In messages, and as a key: unlike that of any other service. */
  readonly name: string;
  /** What a service by match covers. */
  readonly match: Match | undefined;
  /** Number in memory that lcores share, 1 to SVC_CAP-1. */
  readonly slot: number;
  /** `netmask` as a number. */
  mask: number;
  scheduler: Scheduler;
  /** Some of the scheduler's flags, in its order. */
  schedFlags: readonly string[];
  /** The scheduler's own memory of this service. */
  schedState: unknown;
  readonly dests: Dest[];
  /** Real servers that hold their slots or held them last: `dests`, and some that were removed. */
  readonly known: Set<Dest>;
  readonly laddrs: Laddr[];
  /** Where the search for a local address goes on. */
  nextLaddr: number;
  /** Until then clients may have connections without a record (src/ipvs/unrecorded.ts), and a hash chooses for all; this lcore's time. */
  unrecordedUntilMs: number;
}

// ----- parameters of the operations, as src/control/schema.ts declares them

export interface SvcKeyParams {
  proto: Proto['name'];
  /** 0.0.0.0 and 0 for a service by match. */
  addr: string;
  port: number;
  match?: MatchSpec | undefined;
}
export interface DestKeyParams {
  addr: string;
  port: number;
}
interface SchedOptions {
  schedFlags?: string[] | undefined;
  hashTarget?: string | undefined;
}
type Optional<T> = { [K in keyof T]?: T[K] | undefined };

export interface ServiceOps {
  /** `slot` only in snapshots. */
  'svc.add': { svc: SvcKeyParams; scheduler: string } & SchedOptions &
    Optional<SvcOptions & { slot: number }>;
  'svc.edit': { svc: SvcKeyParams; scheduler?: string | undefined } & SchedOptions & Optional<SvcOptions>;
  'svc.del': { svc: SvcKeyParams };
  'svc.flush': object;
  'svc.zero': { svc?: SvcKeyParams | undefined };
  /** `slot` only in snapshots. */
  'dest.add': {
    svc: SvcKeyParams;
    dest: DestKeyParams;
    fwd: string;
    slot?: number | undefined;
  } & Optional<DestOptions>;
  'dest.edit': { svc: SvcKeyParams; dest: DestKeyParams } & Optional<DestOptions & { fwd: string }>;
  'dest.del': { svc: SvcKeyParams; dest: DestKeyParams };
  'laddr.add': { svc: SvcKeyParams; addr: string; dev: string };
  'laddr.del': { svc: SvcKeyParams; addr: string; dev: string };
  /** What is 0 stays as it is. */
  'timeout.set': SetTimeouts;
  /** Only among replicas: the service has black or white lists now, or none. */
  'acl.note': { svc: SvcKeyParams };
  /** Only in snapshots, first: the memory of the slot allocators, of real servers and of services. */
  'svc.slots': SlotMemory & { svcs?: SlotMemory; ends?: EndMemory[] };
}
export type ServiceOp = keyof ServiceOps;
export type ServiceCommand = { [O in ServiceOp]: { op: O } & ServiceOps[O] }[ServiceOp];

/** What has changed, told after the fact. */
export interface ServiceListener {
  svcAdded?(svc: Svc, use: SlotUse): void;
  destAdded?(dest: Dest, use: SlotUse): void;
  /** Weight, limits, health or a setting of its service. */
  destChanged?(dest: Dest): void;
  destRemoved?(dest: Dest): void;
  /** Nobody holds the slot any more; its connections end (`expire`) or go on. Also when a snapshot says so. */
  slotFreed?(slot: number, expire: boolean): void;
  /** A service is new, has other settings, or is `gone`. */
  svcChanged?(svc: Svc, gone: boolean): void;
  /** A service has a local address more, or one less. */
  laddrsChanged?(svc: Svc): void;
  /** The service of these real servers, removed ones among them, has lists now, or has none any more. */
  listsChanged?(dests: readonly Dest[]): void;
  /** {@link Services.timeouts} has changed. */
  timeoutsSet?(): void;
  /** Zero the counters (not the gauges) of these services and their real servers, removed ones included. */
  zero?(dests: readonly Dest[], svcs: readonly Svc[]): void;
}

/** Services by match that there may be: each packet without a connection is held against all of them. */
const MATCH_CAP = 1024;

const protoOf = (name: Proto['name']): Proto => PROTOS.find((p) => p.name === name)!;
const slotKey = (svc: Svc, addr: number, port: number): string => `${svc.name} ${addr}:${port}`;

export class Services {
  /** Timeouts that replace configured ones. */
  timeouts: SetTimeouts = AS_CONFIGURED;
  /** Services by index; a hole where one was deleted. */
  private readonly table: (Svc | undefined)[] = [];
  private readonly holes: number[] = [];
  /** Services by match, oldest first. */
  private readonly matching: Svc[] = [];
  /** (address, protocol and port) -> index in `table`. */
  private readonly index = new IntMap();
  /** Services of all ports. */
  private allPorts = 0;
  /** (address, 0) -> number of services on it. */
  private readonly vips = new IntMap();
  /** What the modes of real servers say about addresses. */
  readonly ends = new Ends();
  private readonly slots: Slots;
  private readonly svcSlots = new Slots(SVC_CAP);
  private readonly bySlot: (Dest | undefined)[] = [];
  private readonly listeners: ServiceListener[] = [];
  /** Services whose schedulers have a table to build. */
  private readonly building: Svc[] = [];

  /**
   * @param lcore whose replica this is (0 = the master's): lcores start their schedulers at different places
   * @param destCap one more than the largest slot of a real server
   * @param ifindexOf number of a device; throws DpvsError NODEV
   */
  constructor(
    private readonly lcore = 0,
    destCap: number = DEST_CAP,
    private readonly ifindexOf: (dev: string) => number = () => 0,
  ) {
    this.slots = new Slots(destCap);
  }

  // ----- packet path: these allocate nothing

  /** The service of a destination, or undefined. */
  find(proto: number, addr: number, port: number): Svc | undefined {
    const i = this.index.get(addr, (proto << 16) | port);
    return i < 0 ? undefined : this.table[i];
  }

  /** The service of all ports of an address that have none of their own, or undefined. */
  findAllPorts(proto: number, addr: number): Svc | undefined {
    return this.allPorts > 0 ? this.find(proto, addr, 0) : undefined;
  }

  /** True when there are services by match. */
  get hasMatches(): boolean {
    return this.matching.length > 0;
  }

  /** The service by match that covers a packet: the oldest of them. @param oif where the route to `daddr` goes out */
  findMatch(
    proto: number,
    saddr: number,
    sport: number,
    daddr: number,
    dport: number,
    iif: number,
    oif: number,
  ): Svc | undefined {
    const { matching } = this;
    for (let i = 0; i < matching.length; i++) {
      const svc = matching[i]!;
      if (covers(svc.match!, proto, saddr, sport, daddr, dport, iif, oif)) return svc;
    }
    return undefined;
  }

  /** True when the address has a service of any protocol and port. */
  isVip(addr: number): boolean {
    return this.vips.get(addr, 0) > 0;
  }

  /** The real server that holds a slot or held it last. */
  destAt(slot: number): Dest | undefined {
    return this.bySlot[slot];
  }

  /**
   * Goes on with the tables of schedulers, a slice at a time; call once per loop.
   * @returns true while there is more to do
   */
  build(): boolean {
    const svc = this.building[0];
    if (svc === undefined) return false;
    if (svc.scheduler.build?.(svc.schedState) !== true) this.building.shift();
    return this.building.length > 0;
  }

  // ----- control

  /** All services: by table position, then those by match, oldest first. */
  list(): Svc[] {
    return [...this.table.filter((s) => s !== undefined), ...this.matching];
  }

  /** @throws DpvsError INVAL when there is no such service */
  get(key: SvcKeyParams): Svc {
    return this.require(key, 'INVAL');
  }

  /** False for a service that has been removed. */
  holds(svc: Svc): boolean {
    return svc.match === undefined
      ? this.find(svc.proto, svc.addr, svc.port) === svc
      : this.matching.includes(svc);
  }

  /** True when a service has the local address. */
  usesLaddr(addr: number): boolean {
    const uses = (s: Svc | undefined): boolean => s !== undefined && s.laddrs.some((l) => l.addr === addr);
    return this.table.some(uses) || this.matching.some(uses);
  }

  listen(l: ServiceListener): void {
    this.listeners.push(l);
  }

  /**
   * Applies one operation.
   * @throws DpvsError EXIST: service, real server or local address already there; NOTEXIST: real server or local address
   *   missing; INVAL: service missing, or a bad value; NOSERV: local address for a missing service; NOTSUPP: scheduler
   *   or forwarding mode that is not there; RESOURCE: no slot. Nothing has changed then.
   */
  apply<O extends ServiceOp>(op: O, params: ServiceOps[O]): void {
    const run = this.ops[op];
    if (!run) throw new DpvsError('NOTSUPP', `unknown operation '${op}'`);
    run(params);
  }

  /** Operations that make an empty replica equal to this one. */
  snapshot(): ServiceCommand[] {
    const out: ServiceCommand[] = [
      {
        op: 'svc.slots',
        ...this.slots.memory(),
        svcs: this.svcSlots.memory(),
        ends: this.ends.memory(),
      },
    ];
    if (this.timeouts !== AS_CONFIGURED) out.push({ op: 'timeout.set', ...this.timeouts });
    for (const s of this.list()) {
      const svc = keyOf(s);
      const scheduler = s.scheduler.name;
      const schedFlags = [...s.schedFlags];
      const { slot } = s;
      out.push({ op: 'svc.add', svc, scheduler, schedFlags, ...optionsOf(SVC_DEFAULTS, s), slot });
      for (const d of s.dests) {
        const dest = { addr: formatIpv4(d.addr), port: d.port };
        const options = optionsOf(DEST_DEFAULTS, d);
        out.push({ op: 'dest.add', svc, dest, fwd: d.xmit.name, ...options, slot: d.slot });
      }
      for (const l of s.laddrs) out.push({ op: 'laddr.add', svc, addr: formatIpv4(l.addr), dev: l.dev });
    }
    return out;
  }

  private readonly ops: { [O in ServiceOp]: (p: ServiceOps[O]) => void } = {
    'svc.add': (p) => this.addSvc(p),
    'svc.edit': (p) => this.editSvc(p),
    'svc.del': (p) => this.removeSvc(this.require(p.svc, 'INVAL')),
    'svc.flush': () => this.list().forEach((s) => this.removeSvc(s)),
    'svc.zero': (p) => {
      const svcs = p.svc ? [this.require(p.svc, 'INVAL')] : this.list();
      // Removed ones as well: their counters are part of the service's.
      const dests = svcs.flatMap((s) => [...s.known]);
      for (const l of this.listeners) l.zero?.(dests, svcs);
    },
    'svc.slots': (p) => {
      this.slots.restore(p);
      if (p.svcs) this.svcSlots.restore(p.svcs);
      for (const [slot, , expire] of p.free) for (const l of this.listeners) l.slotFreed?.(slot, expire);
      this.ends.restore(p.ends ?? []);
    },
    'dest.add': (p) => this.addDest(p),
    'dest.edit': (p) => this.editDest(p),
    'dest.del': (p) => {
      const svc = this.require(p.svc, 'INVAL');
      this.removeDest(this.requireDest(svc, p.dest));
      this.rescheduled(svc);
    },
    'timeout.set': ({ tcp, tcpFin, udp }) => {
      const old = this.timeouts;
      this.timeouts = { tcp: tcp || old.tcp, tcpFin: tcpFin || old.tcpFin, udp: udp || old.udp };
      for (const l of this.listeners) l.timeoutsSet?.();
    },
    'acl.note': (p) => this.listsChanged(this.require(p.svc, 'INVAL')),
    'laddr.add': (p) => this.addLaddr(p),
    'laddr.del': (p) => {
      const svc = this.require(p.svc, 'NOSERV');
      const addr = parseIpv4(p.addr);
      const i = svc.laddrs.findIndex((l) => l.addr === addr && l.dev === p.dev);
      if (i < 0)
        throw new DpvsError('NOTEXIST', `service ${svc.name} has no local address ${p.addr} on ${p.dev}`);
      svc.laddrs.splice(i, 1);
      for (const l of this.listeners) l.laddrsChanged?.(svc);
    },
  };

  private addSvc(p: ServiceOps['svc.add']): void {
    const options = optionsOf(SVC_DEFAULTS, p);
    const key = this.checkKey(p.svc, options);
    if (this.lookup(p.svc)) throw new DpvsError('EXIST', `service ${key.name} already exists`);
    if (key.match !== undefined && this.matching.length >= MATCH_CAP)
      throw new DpvsError('RESOURCE', `there are ${MATCH_CAP} services by match already`);
    const scheduler = schedulerByName(p.scheduler);
    const schedFlags = schedulerFlags(scheduler, p);
    const { slot, use } = this.svcSlots.take(key.name, p.slot);
    const svc: Svc = {
      slot,
      // Not in the first place: V8 11.3 makes new hidden classes each time that properties follow a spread that a literal begins with.
      ...key,
      scheduler,
      schedFlags,
      schedState: undefined,
      ...options,
      mask: parseIpv4(options.netmask),
      dests: [],
      known: new Set(),
      laddrs: [],
      nextLaddr: 0,
      unrecordedUntilMs: 0,
    };
    this.rescheduled(svc);
    for (const l of this.listeners) l.svcAdded?.(svc, use);
    if (svc.match !== undefined) {
      this.matching.push(svc);
      return;
    }
    if (isAllPorts(svc)) this.allPorts++;
    const i = this.holes.pop() ?? this.table.length;
    this.table[i] = svc;
    this.index.set(svc.addr, (svc.proto << 16) | svc.port, i);
    this.vips.set(svc.addr, 0, Math.max(this.vips.get(svc.addr, 0), 0) + 1);
    this.svcChanged(svc, false);
  }

  /** What a service is found by. @throws DpvsError INVAL, NODEV */
  private checkKey(k: SvcKeyParams, o: SvcOptions): Pick<Svc, 'proto' | 'addr' | 'port' | 'name' | 'match'> {
    const { number: proto, hasPorts } = protoOf(k.proto);
    requireOptions(k.match === undefined ? PROTO_BY_NUMBER[proto] : undefined, k.port, o, svcText(k));
    if (k.match !== undefined) {
      if (parseIpv4(k.addr) !== 0 || k.port !== 0)
        throw new DpvsError('INVAL', `service by match with address ${k.addr}:${k.port}`, 'leave it out');
      const match = compileMatch(k.match, k.proto, proto, hasPorts, this.ifindexOf);
      return { proto, addr: 0, port: 0, name: svcText(k), match };
    }
    const addr = unicast(k.addr, 'virtual address');
    if (!hasPorts && k.port !== 0)
      throw new DpvsError('INVAL', `service ${svcText(k)} has a port`, `${k.proto} has none: port 0`);
    return { proto, addr, port: k.port, name: svcText(k), match: undefined };
  }

  private editSvc(p: ServiceOps['svc.edit']): void {
    const svc = this.require(p.svc, 'INVAL');
    const scheduler = p.scheduler === undefined ? svc.scheduler : schedulerByName(p.scheduler);
    // Flags belong to their scheduler: another one begins without.
    const same = scheduler === svc.scheduler;
    const schedFlags = schedulerFlags(scheduler, p, same ? svc.schedFlags : []);
    const options = optionsOf(SVC_DEFAULTS, p, svc);
    requireOptions(
      svc.match === undefined ? PROTO_BY_NUMBER[svc.proto] : undefined,
      svc.port,
      options,
      svc.name,
    );
    for (const d of svc.dests) requireProxyMode(options, d.xmit, destText(svc, formatIpv4(d.addr), d.port));
    for (const d of svc.dests) requireProxied(options, d.xmit, `real server ${formatIpv4(d.addr)}:${d.port}`);
    Object.assign(svc, options, { mask: parseIpv4(options.netmask) });
    this.svcChanged(svc, false);
    if (!same || p.schedFlags !== undefined) {
      svc.scheduler = scheduler;
      svc.schedFlags = schedFlags;
      if (!same) svc.schedState = undefined;
      this.rescheduled(svc);
    }
    for (const d of svc.dests) this.changed(d);
  }

  private listsChanged(svc: Svc): void {
    for (const l of this.listeners) l.listsChanged?.([...svc.known]);
  }

  private removeSvc(svc: Svc): void {
    while (svc.dests.length > 0) this.removeDest(svc.dests[0]!);
    this.unlist(svc);
    this.listsChanged(svc);
  }

  private unlist(svc: Svc): void {
    this.svcSlots.release(svc.name, svc.slot, false);
    this.svcChanged(svc, true);
    if (svc.match !== undefined) {
      this.matching.splice(this.matching.indexOf(svc), 1);
      return;
    }
    if (isAllPorts(svc)) this.allPorts--;
    const key = (svc.proto << 16) | svc.port;
    const i = this.index.get(svc.addr, key);
    this.index.delete(svc.addr, key);
    this.table[i] = undefined;
    this.holes.push(i);
    const left = this.vips.get(svc.addr, 0) - 1;
    if (left > 0) this.vips.set(svc.addr, 0, left);
    else this.vips.delete(svc.addr, 0);
  }

  private addDest(p: ServiceOps['dest.add']): void {
    const svc = this.require(p.svc, 'INVAL');
    const addr = unicast(p.dest.addr, 'address of the real server');
    const { port } = p.dest;
    const where = destText(svc, p.dest.addr, port);
    if (svc.dests.some((d) => d.addr === addr && d.port === port))
      throw new DpvsError('EXIST', `${where} already exists`);
    const xmit = xmitByName(p.fwd);
    requirePort(svc, xmit, port, where);
    requireProxyMode(svc, xmit, where);
    requireElsewhere(svc, xmit, addr, where);
    requireProxied(svc, xmit, where);
    const options = optionsOf(DEST_DEFAULTS, p);
    requireLimits(options, where);
    const { slot, use } = this.slots.take(slotKey(svc, addr, port), p.slot);
    const dest: Dest = { svc, addr, port, slot, xmit, ...options, removed: false };
    const before = this.bySlot[slot];
    before?.svc.known.delete(before);
    this.bySlot[slot] = dest;
    svc.known.add(dest);
    svc.dests.push(dest);
    this.ends.note(dest);
    this.rescheduled(svc);
    for (const l of this.listeners) l.destAdded?.(dest, use);
  }

  private editDest(p: ServiceOps['dest.edit']): void {
    const svc = this.require(p.svc, 'INVAL');
    const dest = this.requireDest(svc, p.dest);
    const xmit = p.fwd === undefined ? dest.xmit : xmitByName(p.fwd);
    const where = destText(svc, p.dest.addr, p.dest.port);
    const options = optionsOf(DEST_DEFAULTS, p, dest);
    requirePort(svc, xmit, dest.port, where);
    requireProxyMode(svc, xmit, where);
    requireElsewhere(svc, xmit, dest.addr, where);
    requireProxied(svc, xmit, where);
    requireLimits(options, where);
    Object.assign(dest, options, { xmit });
    this.ends.note(dest);
    this.rescheduled(svc);
    this.changed(dest);
  }

  private svcChanged(svc: Svc, gone: boolean): void {
    for (const l of this.listeners) l.svcChanged?.(svc, gone);
  }

  private changed(dest: Dest): void {
    for (const l of this.listeners) l.destChanged?.(dest);
  }

  private removeDest(dest: Dest): void {
    const { svc } = dest;
    svc.dests.splice(svc.dests.indexOf(dest), 1);
    dest.removed = true;
    this.slots.release(slotKey(svc, dest.addr, dest.port), dest.slot, svc.expireQuiescent);
    for (const l of this.listeners) {
      l.destRemoved?.(dest);
      l.slotFreed?.(dest.slot, svc.expireQuiescent);
    }
  }

  private addLaddr(p: ServiceOps['laddr.add']): void {
    const svc = this.require(p.svc, 'NOSERV');
    const addr = unicast(p.addr, 'local address');
    if (svc.laddrs.some((l) => l.addr === addr))
      throw new DpvsError('EXIST', `service ${svc.name} already has local address ${p.addr}`);
    if (svc.dests.some((d) => d.addr === addr && d.xmit.name !== 'snat'))
      throw new DpvsError(
        'INVAL',
        `local address ${p.addr} is a real server of ${svc.name}`,
        'name another one',
      );
    svc.laddrs.push({ addr, dev: p.dev });
    for (const l of this.listeners) l.laddrsChanged?.(svc);
  }

  /** Lets the scheduler see the real servers as they are now. */
  private rescheduled(svc: Svc): void {
    const { scheduler, dests, schedState, schedFlags } = svc;
    svc.schedState = scheduler.state(dests, Math.max(this.lcore - 1, 0), schedState, schedFlags);
    // The master serves nobody.
    if (scheduler.build && this.lcore > 0 && !this.building.includes(svc)) this.building.push(svc);
  }

  private lookup(key: SvcKeyParams): Svc | undefined {
    if (key.match === undefined) return this.find(protoOf(key.proto).number, parseIpv4(key.addr), key.port);
    const name = svcText(key);
    return this.matching.find((s) => s.name === name);
  }

  private require(key: SvcKeyParams, code: 'INVAL' | 'NOSERV'): Svc {
    const svc = this.lookup(key);
    if (!svc) throw new DpvsError(code, `no service ${svcText(key)}`, 'ipvsadm -ln lists the services');
    return svc;
  }

  private requireDest(svc: Svc, key: DestKeyParams): Dest {
    const addr = parseIpv4(key.addr);
    const dest = svc.dests.find((d) => d.addr === addr && d.port === key.port);
    if (!dest)
      throw new DpvsError('NOTEXIST', `service ${svc.name} has no real server ${key.addr}:${key.port}`);
    return dest;
  }
}

/** The key of a service as commands and answers write it. */
export function keyOf(svc: Svc): SvcKeyParams {
  const key = { proto: PROTO_BY_NUMBER[svc.proto]!.name, addr: formatIpv4(svc.addr), port: svc.port };
  return svc.match === undefined ? key : { ...key, match: svc.match.spec };
}

/** A service in words. */
function svcText(k: SvcKeyParams): string {
  return k.match === undefined ? `${k.proto} ${k.addr}:${k.port}` : `match ${formatMatch(k.proto, k.match)}`;
}

const destText = (svc: Svc, addr: string, port: number): string =>
  `real server ${addr}:${port} of ${svc.name}`;

const hasPorts = (svc: Svc): boolean => PROTO_BY_NUMBER[svc.proto]!.hasPorts;
/** True for a service that takes what is for any port of its address. */
const isAllPorts = (svc: Svc): boolean => svc.port === 0 && svc.match === undefined && hasPorts(svc);

/** What goes together. @param proto undefined for services by match @throws DpvsError INVAL, NOTSUPP */
function requireOptions(proto: Proto | undefined, port: number, o: SvcOptions, name: string): void {
  const ports = proto?.hasPorts === true;
  if (!isNetmask(parseIpv4(o.netmask)))
    throw new DpvsError('INVAL', `service ${name}: ${o.netmask} is no network mask`, 'ones, then zeros');
  if (o.persistent > 0 && !ports)
    throw new DpvsError('NOTSUPP', `service ${name}: only TCP and UDP services can be persistent`);
  if (o.destCheck.passive !== null && (proto === undefined || !proto.hasPorts || proto.name === 'sctp'))
    throw new DpvsError(
      'NOTSUPP',
      `service ${name}: only TCP and UDP services have passive checks`,
      'external ones are possible: --dest-check ping',
    );
  if (o.onePacket && proto?.onceState === undefined)
    throw new DpvsError('NOTSUPP', `service ${name}: one-packet scheduling is for UDP services`);
  requireProxyProto(o, proto, name);
  if (o.synproxy && proto?.name !== 'tcp')
    throw new DpvsError('NOTSUPP', `service ${name}: syn-proxy is for TCP services`);
  // As in LVS: the connections of a client to several ports belong together, or nobody would want such a service.
  if (ports && port === 0 && o.persistent === 0)
    throw new DpvsError('INVAL', `service ${name} has port 0`, 'only persistent services may (-p)');
}

/** What port a real server may have. @throws DpvsError INVAL, NOTSUPP */
function requirePort(svc: Svc, xmit: Xmit, port: number, where: string): void {
  const snat = xmit.name === 'snat';
  if (snat && svc.match === undefined)
    throw new DpvsError('NOTSUPP', `${where}: only services by match can have SNAT`, 'ipvsadm -A -H MATCH');
  if (!hasPorts(svc) || snat) {
    if (port === 0) return;
    throw new DpvsError('INVAL', `${where} has a port`, 'it must be 0');
  }
  if (!xmit.rewrites && port !== svc.port)
    throw new DpvsError(
      'INVAL',
      `${where}: mode '${xmit.name}' cannot change the port`,
      `give it the port of the service, ${svc.port}`,
    );
  // 0: the port of the packet, where the service has none of its own that could be meant.
  if (port === 0 && svc.match === undefined && svc.port !== 0)
    throw new DpvsError('INVAL', `${where} has port 0`, 'name a port from 1 to 65535');
}

/** A real server at an address that this service has here: its packets would come back to us. @throws DpvsError INVAL */
function requireElsewhere(svc: Svc, xmit: Xmit, addr: number, where: string): void {
  if (xmit.name === 'snat') return;
  const mine = svc.match === undefined && addr === svc.addr ? 'virtual address' : 'local address';
  if (mine === 'local address' && !svc.laddrs.some((l) => l.addr === addr)) return;
  throw new DpvsError(
    'INVAL',
    `${where} is at the ${mine} of the service: its packets would come back`,
    'name the address of another host; with DR and tunnel that host has the virtual address besides',
  );
}

/** Syn-proxy must see both directions and change their numbers. @throws DpvsError NOTSUPP */
function requireProxied(o: Pick<SvcOptions, 'synproxy'>, xmit: Xmit, where: string): void {
  if (o.synproxy && !(xmit.rewrites && xmit.opens === DIR_IN))
    throw new DpvsError(
      'NOTSUPP',
      `${where}: mode '${xmit.name}' has no syn-proxy`,
      'use Full-NAT (-b) or NAT (-m), or -j disable',
    );
}

function requireLimits({ maxConn, minConn }: DestOptions, where: string): void {
  if (minConn <= maxConn) return;
  throw new DpvsError(
    'INVAL',
    `${where}: lower connection threshold ${minConn} is above the upper one, ${maxConn}`,
  );
}

/** @throws DpvsError INVAL for 0.0.0.0/8, multicast, reserved and broadcast addresses */
function unicast(text: string, what: string): number {
  const addr = parseIpv4(text);
  if (!isThisNetwork(addr) && !isMulticast(addr) && !isReserved(addr)) return addr;
  throw new DpvsError('INVAL', `${what} ${text} is not a unicast address`);
}
