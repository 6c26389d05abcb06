/**
 * The load balancer of one lcore, between routing and the wire: it sees every datagram before routing, finds or makes
 * the connection that it belongs to, steps the connection's state and forwards it by the connection's mode.
 *
 * What packets pass is written as functions in fields, here and in the classes that only Ipvs has: a closure that is made once
 * is compiled for the objects that it captures, a method for any `this` (decision 43).
 */
import type { Bytes } from '../core/bytes.js';
import { DROP, DROP_REASONS } from '../core/drops.js';
import { EVENT } from '../core/events.js';
import {
  CONN_F_INACTIVE,
  CONN_F_ONCE,
  CONN_F_PENDING,
  DEST_F_EXCEPTION,
  DEST_F_QUIESCENT,
  DEST_F_SLOW,
  DIR_IN,
  DIR_OUT,
  FLOW_ACTION,
  LCORE_STATS,
  MOVE_ANSWERED,
} from '../core/layout.js';
import type { Packets } from '../core/packet.js';
import { L2_HOST } from '../core/packet.js';
import type { SaPool } from '../core/sapool.js';
import { ACCEPT, type Hook, type Inet, STOLEN } from '../inet/api.js';
import type { FragmentLimits } from '../inet/fragments.js';
import * as icmp from '../wire/icmp.js';
import * as ipv4 from '../wire/ipv4.js';
import { ALERT, Alerts, type Tell } from './alerts.js';
import { Guard } from './acl/guard.js';
import { Bandwidth } from './bandwidth.js';
import { Chooser } from './chooser.js';
import type { FlowIndex } from './conn/flow-index.js';
import { D } from './conn/records.js';
import { ConnTable } from './conn/table.js';
import { dropFor } from './counts.js';
import { DestNotices } from './dest-notices.js';
import { DestStats } from './dest-stats.js';
import { Flood, type FloodConfig } from './flood.js';
import { type FragmentHost, Fragments, NO_FLOW } from './fragments.js';
import { receiveIcmp } from './icmp.js';
import { Isn } from './isn.js';
import { DestLimits } from './limits.js';
import { BOUND, LocalAddrs, type LaddrUse } from './laddr.js';
import { queryPorts } from './proto/icmp.js';
import { PROTO_BY_NUMBER, type Timeouts, timeoutTables } from './proto/index.js';
import { snatTimeoutTables } from './proto/snat-timeouts.js';
import { TCP } from './proto/tcp.js';
import { NO_EVENT, type Proto, step, TABLE_IN_ONLY, TABLE_OUT } from './proto/table.js';
import { isQuiescent } from './quiescent.js';
import type { Dest, Services, Svc } from './service.js';
import { SECRET_COOKIE, SECRET_ISN, SECRET_SOURCES, type SharedMemory, sharedMemory } from './shared.js';
import { limitsSources, NO_SOURCE, Sources } from './sources.js';
import { Steering, type SteeringOptions } from './steering.js';
import { NO_SPARE, Stocks } from './stocks.js';
import { SvcStats } from './svc-stats.js';
import { SYNPROXY_DEFAULTS, type SynproxyConfig } from './synproxy/config.js';
import { Synproxy, type SynproxyHost } from './synproxy/synproxy.js';
import { XMIT_BY_FWD } from './xmit/index.js';
import { NO_TEMPLATE, Templates } from './templates.js';
import { Unrecorded } from './unrecorded.js';
import { foresee } from './xmit/nexthop.js';
import { TunnelMtus } from './xmit/tunnel-mtu.js';
import { TCP_DEFAULTS, type TcpConfig, type Xmit, type XmitContext } from './xmit/xmit.js';
import { Ways } from './xmit/ways.js';

export interface IpvsConfig extends Partial<FragmentLimits & FloodConfig> {
  /** Count the hop of forwarded packets (TTL - 1). Default false, as the original. */
  xmitTtl?: boolean;
  /** Timeout of a connection before its first state; default 3 s. */
  connInitTimeoutMs?: number;
  /** Persistence does not lead to a real server of weight 0. */
  expireQuiescentTemplate?: boolean;
  /** How UDP tells real servers of Full-NAT the client's address; default opp. */
  uoaMode?: 'opp' | 'ipo';
  /** Datagrams of a connection that carry it; default 0. */
  uoaMaxTrail?: number;
  /** Milliseconds by state key; absent ones have the defaults of the state tables. */
  tcpTimeoutsMs?: Timeouts;
  udpTimeoutsMs?: Timeouts;
  tcp?: Partial<TcpConfig>;
  /** Timeouts of SNAT: as configured, or as the RFCs on NAT want them (src/ipvs/proto/snat-timeouts.ts). Default short. */
  snatTimeouts?: 'short' | 'rfc';
  /** Drop what is for a virtual address but for none of its services, and of no connection. */
  defenceTcpDrop?: boolean;
  defenceUdpDrop?: boolean;
  synproxy?: Partial<SynproxyConfig>;
}

export interface IpvsOptions extends SteeringOptions {
  inet: Inet;
  index: FlowIndex;
  /** Connection records of this lcore. */
  conns: SharedArrayBuffer;
  /** DEST_STATS of this lcore by slot. */
  destStats: Float64Array;
  /** SVC_STATS of this lcore by slot; without them drops are not counted by service. */
  svcStats?: Float64Array;
  /** What all lcores share; an lcore that is alone makes its own. */
  shared?: SharedMemory;
  /** Writes lines about attacks into the log. */
  alert?: Tell;
  config?: IpvsConfig;
}

/** Bytes of a transport header that hold its ports. */
const PORTS_LEN = 4;
/** Half of the range of the 32-bit clock in connection records: 24.8 days. */
const MAX_TIMEOUT_MS = 0x7fffffff;
/** As `ipv4_defs/fragment` has it by default. */
const FRAGMENT_LIMITS: FragmentLimits = { fragmentEntries: 4096, fragmentBuffers: 1024, fragmentTtlMs: 1000 };
const CONNS = LCORE_STATS.at.conns >>> 3;
const FLOOD = LCORE_STATS.at.flood >>> 3;
/** Flood mode is off where nobody asks for it. */
const FLOOD_CONFIG: FloodConfig = { floodHigh: 0, floodLow: 75, floodIdleMs: 3000 };

export class Ipvs implements FragmentHost, SynproxyHost {
  readonly packets: Packets;
  readonly services: Services;
  readonly table: ConnTable;
  readonly x: XmitContext;
  private readonly saPool: SaPool;
  private readonly laddrs: LocalAddrs;
  readonly stats: DestStats;
  readonly svcStats: SvcStats;
  /** For passive health checks. */
  readonly notices: DestNotices;
  private readonly bandwidth: Bandwidth;
  private readonly templates: Templates;
  private readonly sources: Sources;
  private readonly flood: Flood;
  private readonly unrecorded: Unrecorded;
  readonly alerts: Alerts;
  /** Black and white lists. */
  readonly guard: Guard;
  private readonly initTimeoutMs: number;
  private readonly chooser: Chooser;
  private timeouts: readonly (Uint32Array | undefined)[];
  private snatTimeouts: readonly (Uint32Array | undefined)[];
  /** By IP protocol number: the reason to drop what is for no service of a virtual address, 0 = it goes on. */
  private readonly strays = new Uint8Array(256);
  readonly steering: Steering;
  readonly fragments: Fragments;
  readonly synproxy: Synproxy;
  private readonly stocks: Stocks;
  // See FragmentHost.
  taken = NO_FLOW;
  fragmentId = 0;

  constructor(o: IpvsOptions) {
    this.packets = o.packets;
    this.services = o.services;
    this.saPool = o.saPool;
    this.steering = new Steering(o);
    const shared = o.shared ?? sharedMemory(o.lcores);
    this.stats = new DestStats(o.destStats, new DestLimits(shared.limits));
    this.svcStats = new SvcStats(o.svcStats ?? new Float64Array(0));
    this.bandwidth = new Bandwidth(shared.bandwidth);
    this.templates = new Templates(shared.templates, o.lcores, o.lcore);
    const secret = new Int32Array(shared.secret)[SECRET_SOURCES]!;
    this.sources = new Sources(shared.sources, o.lcores, o.lcore, o.packets, secret);
    this.table = new ConnTable(o.conns, o.index, o.packets.nowMs, (c) => this.timedOut(c));
    this.notices = new DestNotices(this.table.records, o.services);
    this.guard = new Guard(
      o.packets,
      o.services,
      this.stats,
      this.svcStats,
      this.table.records,
      shared.verdicts,
    );
    const config = o.config ?? {};
    this.initTimeoutMs = config.connInitTimeoutMs ?? 3000;
    this.alerts = new Alerts(o.alert);
    this.flood = new Flood(this.table, o.packets, { ...FLOOD_CONFIG, ...config }, this.expire, this.flooded);
    // An earlier life of this lcore may have died in it.
    o.packets.counters[FLOOD] = 0;
    this.chooser = new Chooser(
      o.packets,
      o.services,
      this.stats,
      this.templates,
      config.expireQuiescentTemplate,
    );
    this.laddrs = new LocalAddrs(o.saPool, o.services, this.table);
    const configured = { tcp: config.tcpTimeoutsMs ?? {}, udp: config.udpTimeoutsMs ?? {} };
    const isRfc = config.snatTimeouts === 'rfc';
    this.timeouts = timeoutTables(configured);
    this.snatTimeouts = isRfc ? snatTimeoutTables(this.timeouts) : this.timeouts;
    if (config.defenceTcpDrop) this.strays[ipv4.PROTO_TCP] = DROP.DEFENCE_TCP_DROP;
    if (config.defenceUdpDrop) this.strays[ipv4.PROTO_UDP] = DROP.DEFENCE_UDP_DROP;
    this.x = {
      packets: o.packets,
      inet: o.inet,
      records: this.table.records,
      stats: this.stats,
      svcStats: this.svcStats,
      xmitTtl: config.xmitTtl ?? false,
      tunnelMtus: new TunnelMtus(),
      tcp: { ...TCP_DEFAULTS, ...config.tcp },
      isn: new Isn(new Uint32Array(shared.secret).subarray(SECRET_ISN)),
      ways: new Ways(),
      lastRouter: { route: undefined, generation: 0, adj: 0, mtu: 0 },
      outerId: 0,
      uoaOption: config.uoaMode === 'ipo',
      uoaMaxTrail: config.uoaMaxTrail ?? 0,
      isCut: (c, d) => this.guard.isCut(c, d),
    };
    this.unrecorded = new Unrecorded(this.x);
    this.fragments = new Fragments(this, {
      limits: { ...FRAGMENT_LIMITS, ...config },
      lcore: o.lcore,
      lcores: o.lcores,
    });
    this.stocks = new Stocks(this.x, o.services, this.table, this.chooser, this.laddrs);
    o.saPool.removing = () => this.stocks.closeAll();
    this.synproxy = new Synproxy(
      this,
      { ...SYNPROXY_DEFAULTS, ...config.synproxy },
      new Uint32Array(shared.secret).subarray(SECRET_COOKIE),
      this.stocks,
    );
    o.services.listen({
      // What was there is that of an earlier service, unless an earlier life of this lcore has counted it.
      svcAdded: ({ slot }, use) => void (use !== 'replayed' && this.svcStats.zero(slot)),
      destAdded: (dest, use) => {
        if (use === 'new') this.stats.clear(dest.slot);
        else if (use === 'revived') this.stats.zero(dest.slot);
        this.guard.mark(dest);
        this.ruled(dest);
      },
      destChanged: (dest) => this.ruled(dest),
      slotFreed: (slot, expire) => {
        this.stats.setFlags(slot, DEST_F_QUIESCENT, expire ? DEST_F_QUIESCENT : 0);
        this.notices.forget(slot);
      },
      timeoutsSet: () => {
        this.timeouts = timeoutTables(configured, o.services.timeouts);
        this.snatTimeouts = isRfc ? snatTimeoutTables(this.timeouts) : this.timeouts;
      },
      zero: (dests, svcs) => {
        dests.forEach((d) => this.stats.zero(d.slot));
        svcs.forEach((s) => this.svcStats.zero(s.slot));
      },
    });
    o.inet.preRouting.push(this.in);
    o.inet.refuses = (p, addr) => this.guard.refusesAddr(p, addr);
    o.inet.sharedSource = (addr) => o.services.ends.isShared(addr);
  }

  /** The hook before routing. */
  readonly in: Hook = (p) => {
    const { packets } = this;
    if (packets.l2Class(p) !== L2_HOST) return ACCEPT;
    const b = packets.bytes;
    const l3 = packets.l3(p);
    const proto = PROTO_BY_NUMBER[ipv4.proto(b, l3)];
    if (ipv4.isFragment(b, l3)) return this.fragments.receive(p, proto, l3);
    if (proto === undefined) return ACCEPT;
    const ports = this.portsAt(p, proto);
    if (ports === 0) return receiveIcmp(this, p);
    if (packets.end(p) - packets.l4(p) < PORTS_LEN) return this.refuse(p, DROP.L4_BAD_HEADER);
    return this.whole(p, proto, l3, ports);
  };

  /** A datagram with its ports at arena offset `ports`: whole, or a first fragment. Takes ownership unless it returns ACCEPT. */
  readonly whole = (p: number, proto: Proto, l3: number, ports: number): typeof ACCEPT | typeof STOLEN => {
    const { packets } = this;
    const b = packets.bytes;
    const l4 = packets.l4(p);
    const ref = this.table.find(packets.hint(p), b, l3, ports);
    if (ref < 0) return this.unknown(p, proto, l3, l4, ports);
    if ((ref & 1) === DIR_OUT && !this.modeOf(ref >>> 1).rewrites)
      return this.guard.refuses(p, ref >>> 1, DIR_OUT, l3) ? STOLEN : ACCEPT;
    if (!proto.check(b, l4, packets.end(p), ipv4.moreFragments(b, l3))) {
      dropFor(this.x, p, ref >>> 1, DROP.L4_BAD_HEADER);
      return STOLEN;
    }
    if (this.guard.refuses(p, ref >>> 1, ref & 1, l3)) return STOLEN;
    if (this.synproxy.handles(p, ref >>> 1, ref & 1, l3, l4)) return STOLEN;
    if ((ref & 1) === DIR_IN && this.isReopened(ref >>> 1, proto, l4)) {
      const r = this.table.records;
      if (!(proto.isRepeated?.(r, ref >>> 1, b, l4) ?? false)) {
        packets.countEvent(EVENT.CONN_REUSED);
        this.expire(ref >>> 1);
        return this.unknown(p, proto, l3, l4, ports);
      }
      // Not answered yet: the client has refused what the real server said of an older connection, and knocks again
      // (RFC 9293 section 3.10.7.3, RFC 5961 section 4).
      if (r.isnOut(ref >>> 1) !== 0) {
        dropFor(this.x, p, ref >>> 1, DROP.TCP_OLD_SYN);
        return STOLEN;
      }
    }
    const slot = this.table.records.dest(ref >>> 1);
    const rules = this.stats.flags(slot) & DEST_F_EXCEPTION;
    if ((rules & DEST_F_QUIESCENT) !== 0) {
      // The client will try again and get another real server.
      this.expire(ref >>> 1);
      packets.countEvent(EVENT.CONN_QUIESCENT);
      this.dropFor(p, this.services.destAt(slot)?.svc, DROP.CONN_DEST_GONE);
      return STOLEN;
    }
    if ((rules & DEST_F_SLOW) !== 0 && this.isOverRate(p, slot, ref & 1, l3)) return STOLEN;
    this.forward(p, ref >>> 1, ref & 1, proto, l3, l4);
    return STOLEN;
  };

  /** Expires connections; call once per loop with `LcoreBlock.nowMs`. */
  tick(nowMs: number): void {
    this.table.tick(nowMs);
    this.flood.tick(nowMs);
    this.fragments.tick(nowMs);
    this.notices.tick(nowMs);
    this.stocks.tick(nowMs);
    this.synproxy.tick(nowMs);
    this.packets.counters[CONNS] = this.table.size;
    this.steering.tick(nowMs);
  }

  /**
   * Takes over the connections of an earlier life of this lcore: call once, when services, addresses and local address
   * pools are as they were.
   * @returns how many
   */
  rebuild(): number {
    this.stats.forget();
    this.templates.forget();
    this.sources.forget();
    return this.table.rebuild(this.packets.nowMs, (c) => this.adopt(c));
  }

  /** Pools of local addresses on this lcore: those in slots from `from` to below `to`. */
  laddrUse(from = 0, to = Infinity): LaddrUse[] {
    return this.laddrs.stats(from, to, (slot) => this.stocks.held(slot));
  }

  /**
   * The native loop has moved connection `c` to another state in the last poll: its new timeout begins. Call it for the events
   * of a poll before its exceptions.
   * @param move the state before * 16 + the state after, and MOVE_ANSWERED; it may have gone on since
   */
  readonly moved = (c: number, move: number): void => {
    const r = this.table.records;
    const before = (move >>> 4) & 15;
    // It has opened the connection: as `connect`.
    if (before === TCP.NONE && r.proto(c) === ipv4.PROTO_TCP && r.isWayless(c))
      foresee(this.x, r.dir(c, DIR_OUT));
    this.notices.moved(c, before, move & 15, (move & MOVE_ANSWERED) !== 0);
    this.restart(c, r.proto(c), r.state(c));
    this.synproxy.entered(c, r.state(c));
  };

  // ----- shared with icmp.ts

  /** Counts a packet of connection `c`. */
  count(c: number, d: number, bytes: number): void {
    this.table.records.count(c, d, bytes);
    this.stats.packet(this.table.records.dest(c), d, bytes);
  }

  /** Forwarding mode of connection `c`. */
  modeOf(c: number): Xmit {
    return XMIT_BY_FWD[this.table.records.fwd(c)]!;
  }

  // ----- fragments

  concerns(l3: number): boolean {
    const { services, saPool, packets } = this;
    const daddr = ipv4.dst(packets.bytes, l3);
    return (
      services.isVip(daddr) ||
      services.hasMatches ||
      saPool.slotOf(daddr) >= 0 ||
      services.ends.isNatServer(ipv4.src(packets.bytes, l3)) ||
      this.x.inet.isLocal(daddr)
    );
  }

  portsAt(p: number, proto: Proto): number {
    const l4 = this.packets.l4(p);
    return proto.hasPorts ? l4 : this.queryPorts(p, l4);
  }

  later(p: number, ref: number, ports: number, id: number): boolean {
    const { packets } = this;
    const r = this.table.records;
    const c = ref >>> 1;
    const d = ref & 1;
    const l3 = packets.l3(p);
    if (!r.isTuple(c, d, packets.bytes, l3, ports)) return false;
    if (this.guard.refuses(p, c, d, l3)) return true;
    const slot = r.dest(c);
    if ((this.stats.flags(slot) & DEST_F_SLOW) !== 0 && this.isOverRate(p, slot, d, l3)) return true;
    r.setLastSeenMs(c, d, packets.nowMs);
    this.count(c, d, ipv4.totalLen(packets.bytes, l3));
    this.renumber(c, d, l3, id);
    this.modeOf(c).send(this.x, p, c, d);
    return true;
  }

  ownerOf(l3: number, ports: number): number {
    return this.table.findBy(l3, ports, false) < 0 ? this.table.ownerOf(l3, ports) : 0;
  }

  proceed(p: number): void {
    this.x.inet.proceed(p);
  }

  /** Gives a fragment whose source changes an identification of ours. */
  private renumber(c: number, d: number, l3: number, id: number): void {
    const r = this.table.records;
    const dir = r.dir(c, d);
    const rewrites = (r.u16[(dir + D.actions) >>> 1]! & FLOW_ACTION.REWRITE_SRC) !== 0;
    if (rewrites && r.bytes.u32(dir + D.newSaddr) !== r.bytes.u32(dir + D.saddr))
      ipv4.changeId(this.packets.bytes, l3, id);
  }

  // ----- packets

  /**
   * Writes what an ICMP query has for ports where `find` can read it: into the packet's notes.
   * @param l4 of the query, or of one that an error quotes
   * @returns the arena offset, or 0 for another message
   */
  queryPorts(p: number, l4: number): number {
    const { packets } = this;
    if (packets.end(p) - l4 < icmp.HEADER_LEN) return 0;
    const ports = queryPorts(packets.bytes, l4);
    if (ports < 0) return 0;
    const at = packets.cookieAt(p);
    packets.bytes.setU32(at, ports);
    return at;
  }

  /** The service by match of a packet. What is for ourselves or has no route has none. */
  matched(
    p: number,
    proto: Proto,
    saddr: number,
    sport: number,
    daddr: number,
    dport: number,
  ): Svc | undefined {
    const { services } = this;
    if (!services.hasMatches) return undefined;
    const route = this.x.inet.lookup(daddr);
    if (route === undefined || route.local) return undefined;
    const iif = this.packets.ifindex(p);
    return services.findMatch(proto.number, saddr, sport, daddr, dport, iif, route.ifindex);
  }

  /** Drops what is for a service or a local address of ours and cannot be handled; the rest goes on. */
  private refuse(p: number, reason: number): typeof ACCEPT | typeof STOLEN {
    const daddr = ipv4.dst(this.packets.bytes, this.packets.l3(p));
    if (!this.services.isVip(daddr) && this.saPool.slotOf(daddr) < 0) return ACCEPT;
    this.packets.drop(p, reason);
    return STOLEN;
  }

  /** A packet without a connection here. */
  private readonly unknown = (
    p: number,
    proto: Proto,
    l3: number,
    l4: number,
    ports: number,
  ): typeof ACCEPT | typeof STOLEN => {
    const { packets } = this;
    const b = packets.bytes;
    const saddr = ipv4.src(b, l3);
    const daddr = ipv4.dst(b, l3);
    const sport = b.u16(ports);
    const dport = b.u16(ports + 2);
    const whole = proto.check(b, l4, packets.end(p), ipv4.moreFragments(b, l3));
    let svc = this.services.find(proto.number, daddr, proto.hasPorts ? dport : 0);
    if (svc === undefined && proto.hasPorts && !this.steering.isLocalEnd(daddr, dport))
      svc = this.services.findAllPorts(proto.number, daddr);
    // An answer to one of our own queries is none to the service.
    if (svc !== undefined && !proto.hasPorts && !proto.opens(b, l4)) svc = undefined;
    if (svc !== undefined && this.guard.refusesClient(p, svc, saddr)) return STOLEN;
    if (svc !== undefined && svc.synproxy && whole && proto.opens(b, l4)) {
      this.synproxy.syn(p, svc, l3, l4);
      return STOLEN;
    }
    if (svc !== undefined && this.steering.steer(p, proto.number, daddr, dport, saddr, sport)) return STOLEN;
    if (svc === undefined) {
      if (this.steering.redirect(p, daddr, dport)) return STOLEN;
      if (this.steering.isLocalEnd(daddr, dport)) {
        const reason = proto.hasPorts ? DROP.CONN_NO_SYN : DROP.ICMP_NO_CONN;
        packets.drop(p, packets.isRedirected(p) ? DROP.REDIRECT_LOOP : reason);
        return STOLEN;
      }
      // An answer of NAT, or the client's packet when the service is one by match or gone.
      if (this.steering.steer(p, proto.number, saddr, sport, daddr, dport)) return STOLEN;
      if (this.steering.steer(p, proto.number, daddr, dport, saddr, sport)) return STOLEN;
      if (this.steering.steer(p, proto.number, 0, 0, saddr, sport)) return STOLEN;
      // What opens no connection is routed as if there were no service by match.
      if (whole && proto.opens(b, l4)) svc = this.matched(p, proto, saddr, sport, daddr, dport);
      if (svc === undefined) return this.stray(p, proto, daddr);
      if (this.guard.refusesAddr(p, daddr) || this.guard.refusesClient(p, svc, saddr)) return STOLEN;
    }
    if (!whole) this.dropFor(p, svc, DROP.L4_BAD_HEADER);
    else if (svc.synproxy) this.synproxy.stray(p, svc, l3, l4);
    else if (!proto.opens(b, l4)) this.midway(p, svc, proto, l3, l4, saddr, sport, daddr, dport);
    else this.connect(p, svc, proto, l3, l4, saddr, sport, daddr, dport);
    return STOLEN;
  };

  /** Opens a connection by packet `p`, if the service takes it. Takes ownership. */
  private readonly connect = (
    p: number,
    svc: Svc,
    proto: Proto,
    l3: number,
    l4: number,
    saddr: number,
    sport: number,
    daddr: number,
    dport: number,
  ): void => {
    if (!this.letsIn(p, svc, l3)) return;
    const c = this.open(p, svc, saddr, sport, daddr, dport);
    if (c === 0) return;
    const { opens, rewrites } = this.modeOf(c);
    this.forward(p, c, opens, proto, l3, l4);
    if (rewrites) foresee(this.x, this.table.records.dir(c, 1 - opens));
    if (!this.table.isTimed(c)) this.table.setTimeout(c, this.initTimeoutMs, this.packets.nowMs);
  };

  /**
   * A packet of a connection that nobody knows. Where connections go without a record, it may be of one of these, which gets one now if
   * there is room, or if one that nobody has confirmed can be ended for it. Takes ownership.
   */
  private midway(
    p: number,
    svc: Svc,
    proto: Proto,
    l3: number,
    l4: number,
    caddr: number,
    cport: number,
    vaddr: number,
    vport: number,
  ): void {
    const { packets, table } = this;
    const b = packets.bytes;
    const now = packets.nowMs;
    if (svc.unrecordedUntilMs <= now || this.chooser.hashed(svc, caddr, cport) === undefined) {
      this.dropFor(p, svc, DROP.CONN_NO_SYN);
      return;
    }
    if (!this.withinRate(svc, DIR_IN, b, l3)) {
      this.dropFor(p, svc, DROP.SVC_RATE);
      return;
    }
    const resumes = proto.event(b, l4, packets.end(p)) === proto.resumeEvent;
    if (!resumes || (table.isFull && !this.flood.makeRoom(now))) {
      if (!this.sendUnrecorded(p, svc, caddr, cport, vaddr, vport)) this.dropFor(p, svc, DROP.CONN_FULL);
      return;
    }
    const c = this.make(p, svc, caddr, cport, vaddr, vport);
    if (c === 0) return;
    this.eventFor(svc, EVENT.FLOOD_RESUMED);
    this.enter(c, proto, proto.resumeState!);
    this.taken = c * 2 + DIR_IN;
    this.count(c, DIR_IN, ipv4.totalLen(b, l3));
    this.modeOf(c).send(this.x, p, c, DIR_IN);
  }

  /**
   * Forwards a packet of a client without a connection, if service and protocol can do without. While the table is full, what follows is
   * waited for. Takes ownership when it returns true.
   */
  private sendUnrecorded(
    p: number,
    svc: Svc,
    caddr: number,
    cport: number,
    vaddr: number,
    vport: number,
  ): boolean {
    const { packets, flood, chooser, templates } = this;
    const b = packets.bytes;
    const l3 = packets.l3(p);
    const { lastingState } = PROTO_BY_NUMBER[svc.proto]!;
    // Later fragments would not know where the first one went.
    if (!flood.enabled || lastingState === undefined || ipv4.isFragment(b, l3)) return false;
    const dest = chooser.hashed(svc, caddr, cport);
    if (dest === undefined) return false;
    const now = packets.nowMs;
    if (this.table.isFull) {
      const lastsMs = svc.connTimeout > 0 ? svc.connTimeout * 1000 : this.timeouts[svc.proto]![lastingState]!;
      svc.unrecordedUntilMs = Math.max(svc.unrecordedUntilMs, now + lastsMs);
    }
    if (chooser.template !== NO_TEMPLATE) {
      templates.hold(chooser.template, svc.persistent, now);
      templates.release(chooser.template, now);
    }
    this.eventFor(svc, EVENT.FLOOD_HASHED);
    this.stats.packet(dest.slot, DIR_IN, ipv4.totalLen(b, l3));
    this.unrecorded.send(p, dest, caddr, cport, vaddr, vport);
    return true;
  }

  /**
   * Forwards an ICMP error about a packet from a service to a client whose connections may be without records; what another lcore knows
   * is that one's. Takes ownership when it returns true.
   * @param q3 of the packet that it quotes, whose ports are at `ports`
   */
  errorUnrecorded(p: number, svc: Svc, q3: number, ports: number): boolean {
    const { packets, table } = this;
    if (svc.unrecordedUntilMs <= packets.nowMs || table.ownerOf(q3, ports, true) !== 0) return false;
    const b = packets.bytes;
    return this.sendUnrecorded(p, svc, ipv4.dst(b, q3), b.u16(ports + 2), ipv4.src(b, q3), b.u16(ports));
  }

  /** Flood mode has begun or is over. */
  private readonly flooded = (on: boolean): void => {
    const { packets, table, alerts } = this;
    const now = packets.nowMs;
    packets.counters[FLOOD] = Number(on);
    const kind = on ? ALERT.FLOOD_BEGUN : ALERT.FLOOD_OVER;
    if (!alerts.isDue(kind, now)) return;
    const fields = { conns: table.size, capacity: table.records.capacity - 1 };
    alerts.write(kind, now, on ? 'connection table nearly full: flood mode' : 'flood mode is over', fields);
  };

  private refusedSource(svc: Svc, caddr: number): void {
    const { alerts, packets } = this;
    if (!alerts.isDue(ALERT.SOURCE, packets.nowMs)) return;
    const { name } = DROP_REASONS[this.sources.refusal]!;
    const fields = { service: svc.name, source: ipv4.formatIpv4(caddr), reason: name };
    alerts.write(ALERT.SOURCE, packets.nowMs, 'source over its limit of new connections', fields);
  }

  /** What is of no connection and for no service goes on, or is dropped where a virtual address defends itself. */
  private stray(p: number, proto: Proto, daddr: number): typeof ACCEPT | typeof STOLEN {
    const reason = this.strays[proto.number]!;
    if (reason === 0 || !this.services.isVip(daddr)) return ACCEPT;
    this.packets.drop(p, reason);
    return STOLEN;
  }

  /** See SynproxyHost. */
  letsIn(p: number, svc: Svc, l3: number): boolean {
    if (!this.chooser.admits(svc)) this.dropFor(p, svc, DROP.SVC_PROPORTION);
    else if (!this.withinRate(svc, DIR_IN, this.packets.bytes, l3)) this.dropFor(p, svc, DROP.SVC_RATE);
    else return true;
    return false;
  }

  /** Drops a packet that is over the bandwidth of its service. Takes ownership when it returns true. */
  private isOverRate(p: number, slot: number, d: number, l3: number): boolean {
    const svc = this.services.destAt(slot)?.svc;
    if (this.withinRate(svc, d, this.packets.bytes, l3)) return false;
    this.dropFor(p, svc, DROP.SVC_RATE);
    return true;
  }

  /** Drops a packet of a service: counted for both. */
  dropFor(p: number, svc: Svc | undefined, reason: number): void {
    if (svc !== undefined) this.svcStats.drop(svc.slot, reason);
    this.packets.drop(p, reason);
  }

  /** Counts an event for both. */
  eventFor(svc: Svc, event: number): void {
    this.svcStats.event(svc.slot, event);
    this.packets.countEvent(event);
  }

  /** True when the service may carry this packet now. */
  private withinRate(svc: Svc | undefined, d: number, b: Bytes, l3: number): boolean {
    if (svc === undefined || svc.bps === 0) return true;
    return this.bandwidth.take(svc.slot, d, ipv4.totalLen(b, l3), svc.bps, this.packets.nowMs);
  }

  /**
   * True for a client that opens a new connection over a closing one: it is scheduled afresh, so that servers take turns, a
   * removed one gets nothing, and the real server sees a local port that it has not in TIME_WAIT.
   */
  private isReopened(c: number, proto: Proto, l4: number): boolean {
    const r = this.table.records;
    const state = proto.states[r.state(c)]!;
    // SNAT keeps its connection: for the remote host it is the same port that opens anew.
    if (XMIT_BY_FWD[r.fwd(c)]!.opens === DIR_OUT || this.synproxy.isProxied(c)) return false;
    return state.closing !== undefined && proto.opens(this.packets.bytes, l4);
  }

  /** A new connection for a client. @returns 0 when there can be none; the packet has been dropped or sent then */
  readonly open = (
    p: number,
    svc: Svc,
    caddr: number,
    cport: number,
    vaddr: number,
    vport: number,
  ): number => {
    const limited = limitsSources(svc);
    if (limited && !this.sources.admit(svc, caddr, this.packets.nowMs)) {
      this.refusedSource(svc, caddr);
      this.dropFor(p, svc, this.sources.refusal);
      return 0;
    }
    const c = this.make(p, svc, caddr, cport, vaddr, vport);
    if (c === 0 && limited) this.sources.cancel();
    return c;
  };

  private readonly make = (
    p: number,
    svc: Svc,
    caddr: number,
    cport: number,
    vaddr: number,
    vport: number,
  ): number => {
    const { packets, table, stats } = this;
    if (table.isFull && this.sendUnrecorded(p, svc, caddr, cport, vaddr, vport)) return 0;
    const spare = this.stocks.take(svc);
    let dest = spare === NO_SPARE ? undefined : this.stocks.dest(spare);
    // A client without a record has the real server that the hash says, and keeps it when it gets one.
    if (dest === undefined && svc.unrecordedUntilMs > packets.nowMs)
      dest = this.chooser.hashed(svc, caddr, cport);
    dest ??= this.chooser.choose(svc, caddr, cport, vaddr);
    if (dest === undefined) {
      this.dropFor(p, svc, this.chooser.refusal(svc));
      return 0;
    }
    let c = spare === NO_SPARE ? table.alloc(packets.nowMs) : this.stocks.conn(spare);
    if (spare !== NO_SPARE) table.allocReserved(c, packets.nowMs);
    if (c === 0 && this.flood.makeRoom(packets.nowMs)) c = table.alloc(packets.nowMs);
    if (c === 0) {
      stats.cancelled(dest);
      this.dropFor(p, svc, DROP.CONN_FULL);
      return 0;
    }
    const r = table.records;
    r.setFlags(c, r.flags(c) | CONN_F_INACTIVE);
    r.setFwd(c, dest.xmit.fwd);
    r.setDest(c, dest.slot);
    if (limitsSources(svc)) r.setSource(c, this.sources.entry, this.sources.generation);
    const onceState = svc.onePacket ? PROTO_BY_NUMBER[svc.proto]!.onceState! : -1;
    if (onceState >= 0) {
      r.setFlags(c, r.flags(c) | CONN_F_ONCE);
      r.setState(c, onceState);
    }
    const rc =
      spare === NO_SPARE
        ? this.laddrs.bind(c, dest, caddr, cport, vaddr, vport)
        : this.bindSpare(c, dest, spare, caddr, cport, vaddr, vport);
    if (rc !== BOUND) {
      table.release(c);
      stats.cancelled(dest);
      this.dropFor(p, svc, rc);
      return 0;
    }
    stats.opened(dest.slot);
    const { template } = this.chooser;
    if (template !== NO_TEMPLATE) {
      r.setTemplate(c, template);
      this.templates.hold(template, svc.persistent, packets.nowMs);
    }
    // Others get theirs with the state that their first packet leads to.
    if (onceState >= 0) this.restart(c, svc.proto, onceState);
    dest.xmit.opened?.(this.x, p, c, svc);
    return c;
  };

  private readonly bindSpare = (
    c: number,
    dest: Dest,
    spare: number,
    caddr: number,
    cport: number,
    vaddr: number,
    vport: number,
  ): number => {
    const { stocks, laddrs } = this;
    // Without persistence: see `isForAll`.
    this.chooser.template = NO_TEMPLATE;
    const slot = stocks.laddrSlot(spare);
    const laddr = stocks.laddr(spare);
    return laddrs.bindTaken(c, dest, caddr, cport, vaddr, vport, slot, laddr, stocks.lport(spare));
  };

  /** A checked packet of connection `c`. Takes ownership. */
  readonly forward = (p: number, c: number, d: number, proto: Proto, l3: number, l4: number): void => {
    const { packets, table } = this;
    const b = packets.bytes;
    const r = table.records;
    const xmit = this.modeOf(c);
    const isFragment = ipv4.isFragment(b, l3);
    if (isFragment && xmit.rewrites && proto.rewrite !== undefined) {
      packets.drop(p, DROP.SCTP_FRAGMENT);
      return;
    }
    if (d === DIR_OUT && proto.observe !== undefined) {
      const len = packets.end(p) - l4;
      if (proto.isStorm!(r, c, b, l4, len, packets.nowMs, this.x.tcp.ackStorm)) {
        dropFor(this.x, p, c, DROP.ACK_STORM);
        return;
      }
      proto.observe(r, c, b, l4, len, packets.nowMs);
    }
    this.taken = c * 2 + d;
    r.setLastSeenMs(c, d, packets.nowMs);
    const event = proto.event(b, l4, packets.end(p));
    if (event !== NO_EVENT) {
      const state = r.state(c);
      const next = step(proto, d === DIR_OUT ? TABLE_OUT : xmit.tableIn, event, state);
      if (next !== state) this.enter(c, proto, next);
    }
    this.count(c, d, ipv4.totalLen(b, l3));
    if (isFragment) this.renumber(c, d, l3, this.fragmentId);
    xmit.send(this.x, p, c, d);
  };

  // ----- connections

  readonly enter = (c: number, proto: Proto, state: number): void => {
    const r = this.table.records;
    this.notices.moved(c, r.state(c), state, r.isAnswered(c));
    r.setState(c, state);
    const inactive = proto.states[state]!.active === undefined ? CONN_F_INACTIVE : 0;
    const flags = r.flags(c);
    if ((flags & CONN_F_INACTIVE) !== inactive) {
      r.setFlags(c, flags ^ CONN_F_INACTIVE);
      this.stats.moved(r.dest(c), inactive === 0);
    }
    this.restart(c, proto.number, state);
    this.synproxy.entered(c, state);
  };

  private timeoutOf(c: number, number: number, state: number): number {
    const dest: Dest | undefined = this.services.destAt(this.table.records.dest(c));
    const seconds = dest === undefined ? 0 : dest.svc.connTimeout;
    if (seconds > 0 && PROTO_BY_NUMBER[number]!.states[state]!.connTimeout)
      return Math.min(seconds * 1000, MAX_TIMEOUT_MS);
    return (this.modeOf(c).opens === DIR_OUT ? this.snatTimeouts : this.timeouts)[number]![state]!;
  }

  /** The timeout of a state begins anew. */
  readonly restart = (c: number, number: number, state: number): void => {
    this.table.setTimeout(c, this.timeoutOf(c, number, state), this.packets.nowMs);
  };

  private readonly timedOut = (c: number): void => {
    if (this.synproxy.asksAgain(c)) return;
    this.notices.expired(c, this.table.nowMs);
    this.expire(c);
  };

  readonly expire = (c: number): void => {
    const r = this.table.records;
    this.synproxy.ended(c);
    // Where only one direction passes, nothing is known that the ends would believe.
    if (this.modeOf(c).tableIn !== TABLE_IN_ONLY) PROTO_BY_NUMBER[r.proto(c)]!.expired?.(this.x, c);
    this.laddrs.release(c);
    const template = r.template(c);
    if (template !== NO_TEMPLATE) this.templates.release(template, this.packets.nowMs);
    const source = r.source(c);
    if (source !== NO_SOURCE) this.sources.release(source, r.sourceGeneration(c));
    const slot = r.dest(c);
    this.stats.closed(slot, (r.flags(c) & CONN_F_INACTIVE) === 0, this.services.destAt(slot));
    this.table.release(c);
  };

  /** Writes down for both paths what holds for the packets and connections of a real server. */
  private ruled(dest: Dest): void {
    const { svc, slot } = dest;
    const quiescent = svc.expireQuiescent && isQuiescent(dest) ? DEST_F_QUIESCENT : 0;
    const slow = svc.bps > 0 ? DEST_F_SLOW : 0;
    this.stats.setFlags(slot, DEST_F_EXCEPTION, quiescent | slow);
    this.stats.limit(slot, dest.maxConn);
    this.notices.rule(dest);
  }

  /** Takes over one record; false when a crash has left it without sense. */
  private adopt(c: number): boolean {
    const r = this.table.records;
    const proto = PROTO_BY_NUMBER[r.proto(c)];
    const dest = r.dest(c);
    if (!proto || r.state(c) >= proto.states.length || !XMIT_BY_FWD[r.fwd(c)] || !this.stats.has(dest))
      return false;
    // A client that sends again begins again.
    if ((r.flags(c) & CONN_F_PENDING) !== 0) return false;
    // The lcore may have died between a change of state in the native loop and the timeout that goes with it.
    r.setTimeoutMs(c, this.timeoutOf(c, proto.number, r.state(c)));
    if (r.template(c) !== NO_TEMPLATE) this.templates.adopt(r.template(c));
    const source = r.source(c);
    if (source !== NO_SOURCE && !this.sources.adopt(source, r.sourceGeneration(c)))
      r.setSource(c, NO_SOURCE, 0);
    // Adjacencies have been numbered anew.
    r.u16[(r.dir(c, DIR_IN) + D.adj) >>> 1] = 0;
    r.u16[(r.dir(c, DIR_OUT) + D.adj) >>> 1] = 0;
    this.synproxy.entered(c, r.state(c));
    this.laddrs.adopt(c);
    this.stats.adopt(dest, (r.flags(c) & CONN_F_INACTIVE) === 0);
    return true;
  }
}
