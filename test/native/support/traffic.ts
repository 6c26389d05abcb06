/** Random services and random traffic for them, good and bad, from a seed. */
import type { Command } from '../../../src/control/schema.js';
import { SCHEDULERS } from '../../../src/ipvs/sched/index.js';
import type { SynproxyConfig } from '../../../src/ipvs/synproxy/config.js';
import { formatIpv4 } from '../../../src/wire/ipv4.js';
import { ip, macOf } from './side.js';

export class Rng {
  constructor(private s: number) {}
  /** 0 <= x < n, integer (mulberry32). */
  below(n: number): number {
    this.s = (this.s + 0x6d2b79f5) | 0;
    let t = Math.imul(this.s ^ (this.s >>> 15), 1 | this.s);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * n);
  }
  chance(percent: number): boolean {
    return this.below(1000) < percent * 10;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  u16(): number {
    return this.below(65536);
  }
}

interface Service {
  proto: 'tcp' | 'udp';
  addr: string;
  port: number;
  dests: { dest: { addr: string; port: number }; fwd: (typeof MODES)[number] }[];
}
interface Tuple {
  /** Device that packets with it arrive on. */
  device: number;
  proto: number;
  saddr: number;
  sport: number;
  daddr: number;
  dport: number;
}

/** One end of a handshake whose turn it is: a client that has a SYN-ACK, or a real server that has a SYN. */
interface Due {
  tuple: Tuple;
  /** Of what it sends next. */
  seq: number;
  ack: number;
  /** Time stamp that it has got; -1 = none. */
  tsecr: number;
}

/**
 * Schedulers that don't look at load: the native loop takes the known connections of a burst before the new ones, so that a
 * new one sees states of packets that came behind it. With others packets come one by one.
 */
const BY_ORDER_OR_HASH = new Set(['rr', 'wrr', 'sh', 'dh', 'conhash', 'mh', 'fo']);
const GATEWAY = '10.1.0.254';
/** What hosts inside (192.168.1.0/24) have as address outside. */
const WAN = '10.1.3.1';
const ETH = 14;
const TCP_SHAPES = [0x02, 0x12, 0x10, 0x10, 0x10, 0x18, 0x11, 0x04, 0x14, 0x01, 0x00, 0x29];
/** Real servers begin here, mostly. */
const ISN = 0xfffffffe;
const EDGES = [0, 0xffff, 0xfffe, 1];
/** Largest datagrams that links and routes of a world may take. */
const MTUS = [500, 576, 600, 1400, 1500];
/** Header that a tunnel adds. */
const OUTER = 20;
const PROXY = { tcp: ['v1', 'v2', 'v1-insecure', 'v2-insecure'], udp: ['v2', 'v2-insecure'] } as const;
/** Of hosts inside. */
const SNAT_SVC = (proto: 'tcp' | 'udp') => {
  const inside = { from: '192.168.1.0', to: '192.168.1.255', fromPort: 0, toPort: 65535 };
  return { proto, addr: '0.0.0.0', port: 0, match: { src: inside, oif: 'dpdk0' } };
};
const MODES = ['fullnat', 'fullnat', 'fullnat', 'nat', 'nat', 'dr', 'tunnel'] as const;
/** Where packets come one by one there is flood mode, which is another one for modes that need no record. */
const MODES_OF_FLOODS = ['fullnat', 'nat', 'dr', 'dr', 'tunnel', 'tunnel'] as const;

/** With these alone a service may have syn-proxy. */
const PROXIED = ['fullnat', 'fullnat', 'nat'] as const;
const F = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16 } as const;

const be32 = (v: number): number[] => [v >>> 24, (v >>> 16) & 255, (v >>> 8) & 255, v & 255];

/** One random world: what is configured, and frames for it. */
export class World {
  readonly commands: Command[] = [];
  /** Addresses of services whose answers to one client belong to many connections. */
  readonly onePacket = new Set<number>();
  private readonly services: Service[] = [];
  private readonly sessions: Tuple[] = [];
  /** Tuples of answers that real servers, and hosts outside to hosts inside, may send. */
  private readonly answers: Tuple[] = [];
  private readonly frame = Buffer.alloc(2048);
  private readonly statics: string[] = [];
  private broken = false;
  readonly schedulers = new Set<string>();
  readonly synproxy: Partial<SynproxyConfig>;
  /** Addresses of services that have syn-proxy now and then. */
  readonly proxied = new Set<number>();
  /** Addresses of services whose connections the native loop may open. */
  private readonly stocked = new Set<number>();
  private readonly due: Due[] = [];
  /** See zeroSum(). */
  private readonly sums: number[] = [];
  /** Packets must not share a burst: a scheduler looks at states. */
  readonly oneByOne: boolean;
  /** Black and white lists come and go: what they refuse leaves less to compare. */
  private readonly hasLists: boolean;

  /** @param number of the world: another one has other schedulers */
  constructor(
    private readonly r: Rng,
    private readonly number: number,
  ) {
    this.oneByOne = r.chance(25);
    this.hasLists = r.chance(40);
    this.synproxy = {
      mss: r.pick([536, 1400, 1452]),
      ttl: r.pick([1, 63, 255]),
      sack: r.chance(70),
      wscale: r.pick([0, 0, 1, 7, 14]),
      timestamp: r.chance(50),
      closeClientWindow: r.chance(30),
      deferRsSyn: r.chance(20),
      maxAckSaved: 1 + r.below(4),
      packetsHeld: r.pick([3, 64, 64]),
      connReuse: {
        close: r.chance(80),
        timeWait: r.chance(80),
        finWait: r.chance(50),
        closeWait: r.chance(50),
        lastAck: r.chance(50),
      },
    };
    this.configure();
  }

  // ----- configuration

  private configure(): void {
    const { r, commands } = this;
    const addr = (dev: string, a: string, plen: number, sapool = false): void =>
      void commands.push({ op: 'addr.add', dev, addr: a, plen, scope: 'global', validLft: 0, sapool });
    addr('dpdk0', '10.1.0.1', 16);
    addr('dpdk1', '192.168.0.1', 16);
    commands.push({
      op: 'route.add',
      dst: '0.0.0.0',
      plen: 0,
      via: GATEWAY,
      mtu: r.chance(30) ? 600 : 0,
      metric: 0,
      tos: 0,
      local: false,
    });
    for (let i = 0, n = 1 + r.below(4); i < n; i++) {
      // One whose connections the native loop may open, while nothing else is asked of it (src/ipvs/stocks.ts).
      const stocked = i === 0 && !this.oneByOne && r.chance(60);
      const proto = stocked ? 'tcp' : r.pick(['tcp', 'udp'] as const);
      // Port 0: all of them, only when persistent.
      const persistent = !stocked && r.chance(30) ? 1 + r.below(5) : 0;
      const proxied = proto === 'tcp' && !stocked && r.chance(50);
      const port = persistent > 0 && r.chance(40) ? 0 : 1 + r.below(65535);
      const svc = { proto, addr: `10.1.1.${i + 1}`, port };
      addr('dpdk0', svc.addr, 32);
      // In turn and not by chance, so that each has its world.
      const able = SCHEDULERS.filter((x) => BY_ORDER_OR_HASH.has(x.name) !== this.oneByOne);
      const scheduler = stocked ? r.pick(['rr', 'wrr']) : able[(this.number + i) % able.length]!.name;
      this.schedulers.add(scheduler);
      const onePacket = proto === 'udp' && r.chance(25);
      if (onePacket) this.onePacket.add(ip(svc.addr));
      const proxyProtocol = !stocked && r.chance(10) ? r.pick(PROXY[proto]) : 'disable';
      commands.push({
        op: 'svc.add',
        svc,
        scheduler,
        connTimeout: r.chance(40) ? 1 + r.below(20) : 0,
        expireQuiescent: r.chance(40),
        onePacket,
        proxyProtocol,
        synproxy: proxied && r.chance(85),
        persistent,
        netmask: r.pick(['255.255.255.255', '255.255.255.0']),
        ...(!stocked && r.chance(10) ? { bps: 1000 * r.below(100_000) } : {}),
        ...(!stocked && r.chance(10) ? { limitProportion: r.below(101) } : {}),
        ...(r.chance(50) ? { destCheck: { passive: { downRetry: 1, downWait: 1 }, external: [] } } : {}),
        ...(!stocked && (this.number + i) % 9 === 0
          ? { srcRate: 5 + (this.number % 50), srcConns: this.number % 60, srcPlen: 32 - 8 * (i % 2) }
          : {}),
      });
      if (proxied) this.proxied.add(ip(svc.addr));
      if (stocked) this.stocked.add(ip(svc.addr));
      const any = this.oneByOne ? MODES_OF_FLOODS : MODES;
      const modes = stocked || proxyProtocol !== 'disable' ? (['fullnat'] as const) : proxied ? PROXIED : any;
      const dests = Array.from({ length: 1 + r.below(4) }, (_, k) => {
        const fwd = r.pick(modes);
        // Where the real server has the address of the service, it has its port as well.
        const own = fwd === 'dr' || fwd === 'tunnel' || (port === 0 && r.chance(50));
        return { dest: { addr: `192.168.0.${10 + k}`, port: own ? port : 1 + r.below(65535) }, fwd };
      });
      for (const { dest, fwd } of dests) {
        const weight = r.below(4);
        commands.push({
          op: 'dest.add',
          svc,
          dest,
          fwd,
          weight,
          ...(!stocked && r.chance(20) ? { maxConn: 20, minConn: r.below(20) } : { maxConn: 0, minConn: 0 }),
        });
      }
      for (let k = r.below(3); k >= 0; k--)
        commands.push({ op: 'laddr.add', svc, addr: `192.168.0.${200 + i * 3 + k}`, dev: 'dpdk1' });
      this.services.push({ ...svc, dests });
    }
    addr('dpdk0', WAN, 32, true);
    for (const proto of ['tcp', 'udp'] as const) {
      const svc = SNAT_SVC(proto);
      const dest = { addr: WAN, port: 0 };
      commands.push({ op: 'svc.add', svc, scheduler: 'rr', connTimeout: r.chance(40) ? 1 + r.below(20) : 0 });
      commands.push({ op: 'dest.add', svc, dest, fwd: 'snat', weight: 1, maxConn: 0, minConn: 0 });
    }
    for (const host of ['192.168.0.10', '192.168.0.12']) {
      commands.push({ op: 'neigh.add', dev: 'dpdk1', addr: host, lladdr: this.macFor(ip(host)) });
      this.statics.push(host);
    }
  }

  /** A change while traffic runs; it may be refused, by both sides alike. */
  change(): Command {
    const { r } = this;
    const s = r.pick(this.services);
    const svc = { proto: s.proto, addr: s.addr, port: s.port };
    const { dest, fwd } = r.pick(s.dests);
    const what = this.hasLists && r.chance(50) ? r.pick([12, 12, 13]) : r.below(12);
    this.broken ||= what < 3;
    switch (what) {
      case 0:
        return { op: 'link.set', dev: r.pick(['dpdk0', 'dpdk1']), mtu: r.pick([1500, 1400, 576]) };
      case 1:
        return { op: 'link.set', dev: r.pick(['dpdk0', 'dpdk1']), up: r.chance(80) };
      case 2:
        return { op: 'link.set', dev: 'dpdk0', addr: r.chance(80) ? macOf(0) : '02:00:00:00:00:99' };
      case 3:
        return r.chance(70)
          ? { op: 'dest.edit', svc, dest, weight: r.below(4) }
          : { op: 'dest.edit', svc, dest, inhibited: r.chance(30), maxConn: r.below(30) };
      case 4:
        return { op: 'dest.del', svc, dest };
      case 5:
      case 6:
        return { op: 'dest.add', svc, dest, fwd, weight: 1, maxConn: 0, minConn: 0 };
      case 7:
        return {
          op: 'svc.edit',
          svc,
          connTimeout: r.below(20),
          expireQuiescent: r.chance(40),
          bps: r.chance(10) ? 1e6 : 0,
          ...(r.chance(40) ? { synproxy: r.chance(60) } : {}),
          ...(r.chance(20) ? { proxyProtocol: r.pick(['disable', ...PROXY[s.proto]]) } : {}),
        };
      case 8:
        return { op: 'neigh.del', dev: 'dpdk1', addr: r.pick(this.statics) };
      case 9:
        return { op: 'neigh.add', dev: 'dpdk1', addr: r.pick(this.statics), lladdr: '02:00:00:00:77:77' };
      case 10:
        return {
          op: 'route.add',
          dst: '172.16.0.0',
          plen: 16,
          via: GATEWAY,
          mtu: r.pick([0, 500]),
          metric: 0,
          tos: 0,
          local: false,
        };
      case 12:
        return this.listed(svc);
      case 13:
        // What is on a list for long leaves little to compare.
        return { op: 'acl.flush', ...(r.chance(50) ? { svc } : {}) };
      default:
        return { op: 'route.del', dst: '172.16.0.0', plen: 16, local: false };
    }
  }

  /** Entries of a black or white list come or go: of a service, or without one of all sources. */
  private listed(svc: { proto: 'tcp' | 'udp'; addr: string; port: number }): Command {
    const { r } = this;
    const session = this.sessions.length > 0 ? r.pick(this.sessions) : undefined;
    // Of SNAT both ends are somebody.
    const addr =
      r.chance(60) && session !== undefined ? r.pick([session.saddr, session.daddr]) : r.below(2 ** 32);
    const plen = r.pick([32, 32, 32, 32, 32, 31, 30, 29, 28, 16, r.below(33)]);
    const size = 2 ** (32 - plen);
    const from = Math.floor(addr / size) * size;
    const last = formatIpv4(Math.min(addr + r.below(40), 2 ** 32 - 1));
    const entry = r.chance(20) ? `${formatIpv4(addr)}-${last}` : `${formatIpv4(from)}/${plen}`;
    const of = r.chance(20) ? SNAT_SVC(r.pick(['tcp', 'udp'])) : svc;
    return {
      op: r.chance(80) ? 'acl.add' : 'acl.del',
      ...(r.chance(50) ? { svc: of } : {}),
      list: r.chance(70) ? 'black' : 'white',
      entries: [entry],
      more: false,
    };
  }

  /** Ends, some steps later, what would leave nothing to forward. */
  mend(): Command[] {
    if (!this.broken || !this.r.chance(20)) return [];
    this.broken = false;
    const up = { op: 'link.set', up: true, mtu: 1500 } as const;
    return [
      { ...up, dev: 'dpdk0', addr: macOf(0) },
      { ...up, dev: 'dpdk1' },
    ];
  }

  /** Tells of a checksum that the rewrite of some connection turns into 0. */
  zeroSum(sum: number): void {
    this.sums[this.sums.length < 16 ? this.sums.length : this.r.below(16)] = sum;
  }

  // ----- what comes back

  /** Learns from a frame that was sent on a device. @returns an ARP reply that is due, or undefined */
  learn(device: number, f: Buffer): Buffer | undefined {
    if (f.readUInt16BE(12) === 0x0806)
      return f.readUInt16BE(20) === 1 && this.r.chance(85) ? this.arpReply(f) : undefined;
    const proto = f[23]!;
    if (proto === 6 && this.proxied.size + this.stocked.size > 0) this.expectNext(device, f);
    // What goes to a real server, or from inside to the world.
    const answered =
      device === 1 ? f.readUInt32BE(30) >>> 8 === ip('192.168.0.0') >>> 8 : f.readUInt32BE(26) === ip(WAN);
    if (answered && (proto === 6 || proto === 17)) {
      const answer = {
        device,
        proto,
        saddr: f.readUInt32BE(30),
        sport: f.readUInt16BE(36),
        daddr: f.readUInt32BE(26),
        dport: f.readUInt16BE(34),
      };
      if (this.answers.length < 24) this.answers.push(answer);
      else this.answers[this.r.below(24)] = answer;
    }
    return undefined;
  }

  /** A SYN-ACK for a client, or a SYN for a real server: the next step of a handshake is theirs. */
  private expectNext(device: number, f: Buffer): void {
    const { r, due } = this;
    const flags = f[47]! & (F.SYN | F.ACK | F.RST | F.FIN);
    if (flags !== (device === 0 ? F.SYN | F.ACK : F.SYN) || f[14] !== 0x45) return;
    // A host inside whose SYN-ACK is routed: what it is answered would leave with the tuple of what SNAT translates.
    if (f.readUInt32BE(26) >>> 8 === ip('192.168.1.0') >>> 8) return;
    const end = 34 + (f[46]! >>> 4) * 4;
    const stamp = f.subarray(54, end).indexOf(Buffer.from([8, 10]));
    const next = {
      tuple: {
        device,
        proto: 6,
        saddr: f.readUInt32BE(30),
        sport: f.readUInt16BE(36),
        daddr: f.readUInt32BE(26),
        dport: f.readUInt16BE(34),
      },
      seq: device === 0 ? f.readUInt32BE(42) : (0xffffff80 + r.below(256)) % 2 ** 32,
      ack: (f.readUInt32BE(38) + 1) % 2 ** 32,
      tsecr: stamp < 0 || 54 + stamp + 6 > end ? -1 : f.readUInt32BE(54 + stamp + 2),
    };
    if (due.length < 24) due.push(next);
    else due[r.below(24)] = next;
  }

  private macFor(addr: number): string {
    return `02:00:${addr
      .toString(16)
      .padStart(8, '0')
      .replace(/(..)(?!$)/g, '$1:')}`;
  }

  private arpReply(request: Buffer): Buffer {
    const reply = Buffer.alloc(60);
    const mac = Buffer.from(this.macFor(request.readUInt32BE(38)).replaceAll(':', ''), 'hex');
    request.copy(reply, 0, 6, 12);
    mac.copy(reply, 6);
    reply.set([8, 6, 0, 1, 8, 0, 6, 4, 0, 2], 12);
    mac.copy(reply, 22);
    request.copy(reply, 28, 38, 42);
    request.copy(reply, 32, 22, 28);
    request.copy(reply, 38, 28, 32);
    return reply;
  }

  // ----- frames

  /** The next frame, valid until the next call. */
  next(id: number): { device: number; frame: Buffer; length: number } {
    const { r, frame } = this;
    if (r.chance(3) && this.answers.length > 0) return this.icmpError(id);
    if (r.chance(35) && this.due.length > 0) return this.handshake(id);
    if (this.proxied.size + this.stocked.size > 0 && r.chance(6)) return this.syn(id)!;
    const back = this.answers.length > 0 && r.chance(50);
    const t = back ? r.pick(this.answers) : this.session();
    const { device } = t;
    let l4 = ETH + 20;
    const options = r.chance(1) ? 4 * (1 + r.below(10)) : 0;
    l4 += options;
    const header = t.proto === 6 ? 20 : 8;
    const data = this.payload(l4 - ETH + header);
    const length = l4 + header + data;
    this.ethernet(device);
    this.ipv4(id, length - ETH, t, options);
    frame.fill(id & 255, l4, length);
    frame.writeUInt16BE(t.sport, l4);
    frame.writeUInt16BE(t.dport, l4 + 2);
    const sum = r.chance(5)
      ? r.pick(EDGES)
      : r.chance(10) && this.sums.length > 0
        ? r.pick(this.sums)
        : r.u16();
    if (t.proto === 6) {
      frame.writeUInt32BE(
        r.chance(80) ? (0xfffffc00 + r.below(2048)) % 2 ** 32 : r.u16() * 65536 + r.u16(),
        l4 + 4,
      );
      // Mostly of what was sent, often of the first byte alone: whether the client's address has to be told depends on it.
      const near = r.chance(60) ? ISN + 1 : (ISN + r.below(512)) % 2 ** 32;
      frame.writeUInt32BE(r.chance(70) ? near : r.u16() * 65536 + r.u16(), l4 + 8);
      const words = r.chance(40) ? 5 + r.below(11) : 5;
      if (r.chance(80)) this.tcpOptions(l4 + 20, Math.min(l4 + words * 4, length));
      frame[l4 + 12] = (20 + data >= words * 4 ? words : 5) << 4;
      frame[l4 + 13] = r.chance(90) ? r.pick(TCP_SHAPES) : r.below(256);
      frame.writeUInt16BE(r.chance(80) ? 500 : r.u16(), l4 + 14);
      if (frame[l4 + 13] === 0x12 && r.chance(90)) frame.writeUInt32BE(ISN, l4 + 4);
      frame.writeUInt16BE(sum, l4 + 16);
      if (r.chance(80) && this.proxied.has(t.daddr)) this.sealTcp(l4, length);
    } else {
      frame.writeUInt16BE(8 + (r.chance(5) ? r.below(data + 1) : data), l4 + 4);
      frame.writeUInt16BE(sum, l4 + 6);
    }
    let end = length;
    if (r.chance(30)) end = Math.max(length, 60);
    if (r.chance(10)) end = this.damage(device, length, l4, t.proto);
    return { device, frame, length: end };
  }

  /** A SYN of a flood: of a client that nobody has heard of, with any options, to a service that may have syn-proxy or a stock. */
  syn(id: number): { device: number; frame: Buffer; length: number } | undefined {
    const { r, services, proxied, stocked } = this;
    const able = services.filter((s) => proxied.has(ip(s.addr)) || stocked.has(ip(s.addr)));
    if (able.length === 0) return undefined;
    const s = r.pick(able);
    // Behind a router, one of those with a route of its own; some on link.
    const [saddr, sport] = [
      r.chance(80) ? ip('172.16.0.0') + r.below(2 ** 20) : ip('10.1.2.0') + 1 + r.below(8),
      r.chance(90) ? r.u16() : r.below(4),
    ];
    const tuple = { device: 0, proto: 6, saddr, sport, daddr: ip(s.addr), dport: s.port || 80 };
    return this.segment(id, tuple, F.SYN, r.u16() * 65536 + r.u16(), 0, this.offer(), 0);
  }

  /** The next step of a handshake, mostly as it should be. */
  private handshake(id: number): { device: number; frame: Buffer; length: number } {
    const { r, due } = this;
    const at = r.below(due.length);
    const { tuple, seq, ack, tsecr } = due[at]!;
    const data = r.chance(50) ? 1 + r.below(40) : 0;
    const what = r.below(16);
    if (r.chance(tuple.device === 0 ? 25 : 85)) due.splice(at, 1);
    if (tuple.device === 1) {
      if (what < 10) return this.segment(id, tuple, F.SYN | F.ACK, seq, ack, this.offer(), 0);
      if (what === 10) return this.segment(id, tuple, F.RST | F.ACK, 0, ack, [], 0);
      if (what === 11) return this.segment(id, tuple, F.ACK, seq, r.u16(), [], 0);
      if (what === 12) return this.segment(id, tuple, F.SYN | F.ACK, seq, ack ^ 1, this.offer(), 0);
      if (what === 13) return this.segment(id, tuple, F.RST, seq, 0, [], 0);
      if (what === 14) return this.segment(id, tuple, F.SYN, seq, 0, this.offer(), 0);
      return this.segment(id, tuple, F.FIN | F.ACK, seq, ack, [], data);
    }
    const stamp = tsecr < 0 || r.chance(10) ? [] : [1, 1, 8, 10, 0, r.below(256), 1, 1, ...be32(tsecr)];
    if (what === 12) return this.segment(id, tuple, F.ACK, seq + r.below(100), ack, stamp, data);
    if (what === 13) return this.segment(id, tuple, F.ACK, seq, ack ^ (1 << r.below(32)), stamp, data);
    if (what === 14) return this.segment(id, tuple, F.ACK, seq - 1, ack, stamp, 0);
    if (what === 15) return this.segment(id, tuple, F.RST, seq, 0, [], 0);
    const flags = F.ACK | (data > 0 ? F.PSH : 0) | (what === 11 ? F.FIN : 0);
    const at0 = due.find((d) => d.tuple === tuple);
    if (at0 !== undefined) at0.seq = (seq + data) % 2 ** 32;
    return this.segment(id, tuple, flags, seq, ack, stamp, data);
  }

  /** Options of a SYN. */
  private offer(): number[] {
    const { r } = this;
    const parts = [
      r.chance(80) ? [2, 4, r.below(36), r.below(256)] : [],
      r.chance(60) ? [4, 2] : [],
      r.chance(60) ? [8, 10, r.below(256), 1, 2, 3, 0, 0, 0, 0] : [],
      r.chance(60) ? [3, 3, r.below(16)] : [],
      r.chance(20) ? r.pick([[1], [0], [34, 2], [4, 1], [254, 8, 1, 2, 3, 4, 5, 6], [2, 40]]) : [],
    ];
    const from = r.below(parts.length);
    return [...parts.slice(from), ...parts.slice(0, from)].flat();
  }

  /** A segment of TCP, its checksum right nearly always. */
  private segment(
    id: number,
    t: Tuple,
    flags: number,
    seq: number,
    ack: number,
    options: readonly number[],
    data: number,
  ): { device: number; frame: Buffer; length: number } {
    const { r, frame } = this;
    const l4 = ETH + 20;
    const header = 20 + Math.ceil(options.length / 4) * 4;
    const length = l4 + header + data;
    this.ethernet(t.device);
    this.ipv4(id, length - ETH, t, 0);
    frame.fill(1, l4 + 20, l4 + header);
    frame.fill(id & 255, l4 + header, Math.max(length, 60));
    frame.set(options, l4 + 20);
    frame.writeUInt16BE(t.sport, l4);
    frame.writeUInt16BE(t.dport, l4 + 2);
    frame.writeUInt32BE(seq >>> 0, l4 + 4);
    frame.writeUInt32BE(ack >>> 0, l4 + 8);
    frame.writeUInt16BE(((header / 4) << 12) | flags, l4 + 12);
    frame.writeUInt16BE(r.chance(80) ? 500 : r.u16(), l4 + 14);
    frame.writeUInt32BE(0, l4 + 16);
    this.sealTcp(l4, length);
    if (r.chance(3)) frame[l4 + 16]! ^= 1;
    return { device: t.device, frame, length: Math.max(length, 60) };
  }

  /** Writes the right checksum of a segment. */
  private sealTcp(l4: number, length: number): void {
    const { frame } = this;
    frame.writeUInt16BE(0, l4 + 16);
    let sum = 6 + length - l4;
    for (let i = 26; i < 34; i += 2) sum += frame.readUInt16BE(i);
    for (let i = l4; i + 1 < length; i += 2) sum += frame.readUInt16BE(i);
    if (((length - l4) & 1) !== 0) sum += frame[length - 1]! << 8;
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    frame.writeUInt16BE(~sum & 0xffff, l4 + 16);
  }

  /** Options as they come, SACK blocks at any alignment among them, now and then cut short or senseless. */
  private tcpOptions(from: number, to: number): void {
    const { r, frame } = this;
    if (r.chance(30) && to - from >= 12) {
      // Timestamps alone, as nearly all segments have them.
      frame.set([1, 1, 8, 10], from);
      frame.fill(1, from + 12, to);
      return;
    }
    for (let at = from; at < to;) {
      const kind = r.pick([1, 1, 5, 5, 5, 8, 2, 0, 254, 30, 3, 4]);
      frame[at] = kind;
      if (at + 1 >= to || kind <= 1) {
        at++;
        continue;
      }
      const len = r.chance(90)
        ? { 5: r.pick([10, 18, 26, 34, 12]), 8: 10, 2: 4, 254: 8, 30: 12, 3: 3, 4: 2 }[kind]!
        : r.below(41);
      frame[at + 1] = len;
      for (let i = at + 2; i < Math.min(at + len, to); i++) frame[i] = r.below(256);
      at += Math.max(len, 2);
    }
  }

  /** Bytes behind headers of so many: few, many, or as many as make a datagram just fit somewhere. */
  private payload(headers: number): number {
    const { r } = this;
    if (r.chance(5)) return Math.max(0, r.pick(MTUS) - r.pick([0, OUTER]) + r.below(3) - 1 - headers);
    return r.chance(4) ? 300 + r.below(1130) : r.below(40);
  }

  private session(): Tuple {
    const { r, sessions } = this;
    if (sessions.length > 0 && !r.chance(12)) return r.pick(sessions);
    const s = r.pick(this.services);
    const outside = r.chance(70) ? ip('172.16.0.0') + r.below(200) : ip('10.1.2.0') + 1 + r.below(8);
    const proto = s.proto === 'tcp' ? 6 : 17;
    const t = r.chance(75)
      ? {
          device: 0,
          proto,
          saddr: outside,
          sport: r.u16(),
          daddr: ip(s.addr),
          dport: s.port === 0 ? r.pick([80, 443, 1024]) : s.port,
        }
      : {
          device: 1,
          proto,
          saddr: ip('192.168.1.1') + r.below(20),
          sport: r.u16(),
          daddr: outside,
          dport: r.u16(),
        };
    if (sessions.length < 32) sessions.push(t);
    else sessions[r.below(32)] = t;
    return t;
  }

  private ethernet(device: number): void {
    this.frame.write(macOf(device).replaceAll(':', ''), 0, 'hex');
    this.frame.write('0200000000aa', 6, 'hex');
    this.frame.writeUInt16BE(0x0800, 12);
  }

  private ipv4(id: number, total: number, t: Tuple, options: number): void {
    const { r, frame } = this;
    frame[14] = 0x45 + (options >>> 2);
    frame[15] = r.chance(90) ? 0 : r.below(256);
    frame.writeUInt16BE(total, 16);
    frame.writeUInt16BE(id, 18);
    frame.writeUInt16BE(r.chance(50) ? 0x4000 : r.chance(5) ? 0x8000 : 0, 20);
    frame[22] = r.chance(94) ? 64 : r.below(4);
    frame[23] = t.proto;
    frame.writeUInt32BE(t.saddr, 26);
    frame.writeUInt32BE(t.daddr, 30);
    for (let i = 0; i < options; i++) frame[34 + i] = r.chance(90) ? 1 : r.below(256);
    this.seal();
  }

  /** Writes the right header checksum. */
  private seal(): void {
    const { frame } = this;
    frame.writeUInt16BE(0, 24);
    let sum = 0;
    const end = ETH + (frame[14]! & 15) * 4;
    for (let i = ETH; i < end; i += 2) sum += frame.readUInt16BE(i);
    sum = (sum & 0xffff) + (sum >>> 16);
    frame.writeUInt16BE(~((sum & 0xffff) + (sum >>> 16)) & 0xffff, 24);
  }

  /** Something that a sender should not do. @returns the length of the frame */
  private damage(device: number, length: number, l4: number, proto: number): number {
    const { r, frame } = this;
    switch (r.below(16)) {
      case 0:
        frame[24 + r.below(2)]! ^= 1 << r.below(8); // header checksum
        break;
      case 1:
        frame[r.below(6)]! ^= 1 << r.below(8); // another host, or a group
        break;
      case 2:
        frame.fill(255, 0, 6);
        break;
      case 3:
        frame.writeUInt16BE(r.pick([0x0806, 0x86dd, 0x8100, 0x1234]), 12);
        break;
      case 4:
        // Fragments; a first one of UDP with a length that goes on.
        frame.writeUInt16BE(r.pick([0x2000, 1, 0x20b9, 2]), 20);
        frame.writeUInt16BE(r.below(4), 18);
        if (frame.readUInt16BE(20) === 0x2000 && proto === 17) frame.writeUInt16BE(length, l4 + 4);
        this.seal();
        break;
      case 5:
        frame.writeUInt16BE(r.pick([0, 19, 20, 23, 27, 39, length - ETH - 1, length - ETH + 1, 0xffff]), 16);
        this.seal();
        break;
      case 6:
        return r.below(length + 1); // cut off
      case 7:
        frame[14] = r.below(256);
        this.seal();
        break;
      case 8:
        frame[23] = r.pick([1, 2, 47, 6, 17]);
        this.seal();
        break;
      case 9:
        frame.writeUInt32BE(
          r.pick([ip('10.1.0.1'), 0, 0xffffffff, ip('127.0.0.1'), ip('224.0.0.1'), ip('10.1.255.255')]),
          26,
        );
        this.seal();
        break;
      case 10:
        if (proto === 6) frame[l4 + 12] = r.below(256);
        else frame.writeUInt16BE(r.pick([0, 7, 8, 9, 0xffff, r.below(100)]), l4 + 4);
        break;
      case 11:
        frame.fill(0x5a, length, length + 200); // trailer
        return length + r.below(200);
      case 12:
        frame.write(macOf(1 - device).replaceAll(':', ''), 0, 'hex');
        break;
      case 13:
        for (let i = 0; i < length; i++) frame[i] = r.below(256);
        break;
      case 14:
        frame.writeUInt32BE(r.pick([ip('10.1.255.255'), ip('224.0.0.5'), 0xffffffff, ip('8.8.8.8')]), 30);
        this.seal();
        break;
      default:
        frame[r.below(length)]! ^= 1 << r.below(8);
    }
    return length;
  }

  /** An ICMP error about a packet that had gone to a real server. */
  private icmpError(id: number): { device: number; frame: Buffer; length: number } {
    const { r, frame } = this;
    const a = r.pick(this.answers);
    this.ethernet(a.device);
    const length = ETH + 20 + 8 + 28;
    frame.fill(0, ETH + 20, length);
    frame[34] = r.pick([3, 11, 4, 5]);
    frame[35] = r.below(5);
    frame[42] = 0x45;
    frame.writeUInt16BE(28, 44);
    frame[50] = 60;
    frame[51] = a.proto;
    frame.writeUInt32BE(a.daddr, 54);
    frame.writeUInt32BE(a.saddr, 58);
    frame.writeUInt16BE(a.dport, 62);
    frame.writeUInt16BE(a.sport, 64);
    let sum = 0;
    for (let i = 34; i < length; i += 2) sum += frame.readUInt16BE(i);
    sum = (sum & 0xffff) + (sum >>> 16);
    frame.writeUInt16BE(~((sum & 0xffff) + (sum >>> 16)) & 0xffff, 36);
    this.ipv4(id, length - ETH, { ...a, proto: 1, sport: 0, dport: 0 }, 0);
    return { device: a.device, frame, length };
  }

  /** For messages. */
  toString(): string {
    return (
      this.services.map((s) => `${s.proto} ${s.addr}:${s.port}`).join(', ') + `, ${formatIpv4(ip(GATEWAY))}`
    );
  }
}
