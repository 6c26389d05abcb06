/**
 * Forwarding modes as fixtures (see fixtures.ts): mode x arms x protocol x direction x error. With one arm, client, real server
 * and we are on one link; with two, the real server is on a second one.
 */
import type { Command } from '../../src/control/schema.js';
import {
  arp,
  BROADCAST_MAC,
  fragmentsOf,
  icmp,
  ipip,
  ipv4,
  payloadOf,
  ramp,
  sctp,
  tcp,
  udp,
} from '../support/frames.js';
import type { SctpOptions, TcpOptions, UdpOptions } from '../support/frames.js';
import { macOf } from '../support/lab.js';
import { command } from './feature-fixtures.js';
import type { Fixture, Placed, Step } from './fixtures.js';

type Mode = 'nat' | 'dr' | 'tunnel' | 'fullnat';
type Proto = 'tcp' | 'udp' | 'sctp';
type Any = Partial<TcpOptions & UdpOptions & SctpOptions>;

const CLIENT_IP = '192.168.100.3';
const CLIENT = `${CLIENT_IP}:40000`;
const VIP_IP = '192.168.100.100';
const VIP = `${VIP_IP}:80`;
const CLIENT_MAC = '02:00:00:00:00:03';
const RS_MAC = '02:00:00:00:00:02';
const ROUTER_IP = '192.168.100.254';
/** Identification of the `n`th datagram of our own; see scene.ts. */
const id = (n: number): number => 0x8000 + n;

/** Where the real server is. */
interface Arms {
  name: string;
  /** Its port of ours and that port's device. */
  port: 0 | 1;
  rs: string;
  /** Our address on that link: source of tunnels, local address of Full-NAT. */
  ours: string;
  setup: Command[];
}
const addr = (a: string, plen: number, dev: string): Command => ({
  op: 'addr.add',
  dev,
  addr: a,
  plen,
  scope: 'global',
  validLft: 0,
  sapool: false,
});
const neigh = (a: string, lladdr: string, dev: string): Command => ({
  op: 'neigh.add',
  dev,
  addr: a,
  lladdr,
});
const CLIENT_SIDE: Command[] = [addr(VIP_IP, 24, 'dpdk0'), neigh(CLIENT_IP, CLIENT_MAC, 'dpdk0')];
const ONE: Arms = {
  name: 'one arm',
  port: 0,
  rs: '192.168.100.2',
  ours: VIP_IP,
  setup: [...CLIENT_SIDE, neigh('192.168.100.2', RS_MAC, 'dpdk0')],
};
const TWO: Arms = {
  name: 'two arms',
  port: 1,
  rs: '10.0.0.2',
  ours: '10.0.0.1',
  setup: [...CLIENT_SIDE, addr('10.0.0.1', 24, 'dpdk1'), neigh('10.0.0.2', RS_MAC, 'dpdk1')],
};

const toUs = { smac: CLIENT_MAC, dmac: macOf(0) };
const toClient = { smac: macOf(0), dmac: CLIENT_MAC };

const BUILD = { tcp, udp, sctp };
/** SCTP with chunks of these types. */
const chunks = (...types: number[]): Any => ({
  tag: types[0] === INIT ? 0 : 7,
  chunks: types.map((type) => ({ type, value: ramp(16) })),
});
const [DATA, INIT, INIT_ACK, ABORT, COOKIE_ECHO, COOKIE_ACK] = [0, 1, 2, 6, 10, 11] as const;

class Case {
  private readonly rsToUs: { smac: string; dmac: string };
  private readonly toRs: { smac: string; dmac: string };
  private readonly lip: string;
  readonly rs: string;

  constructor(
    readonly mode: Mode,
    readonly proto: Proto,
    readonly arms: Arms,
  ) {
    this.rsToUs = { smac: RS_MAC, dmac: macOf(arms.port) };
    this.toRs = { smac: macOf(arms.port), dmac: RS_MAC };
    this.rs = `${arms.rs}:${mode === 'nat' || mode === 'fullnat' ? 8080 : 80}`;
    this.lip = arms.port === 0 ? '192.168.100.200' : '10.0.0.200';
  }

  get name(): string {
    return `${this.mode} ${this.proto.toUpperCase()}, ${this.arms.name}`;
  }

  /** True when answers pass, translated. */
  get bothWays(): boolean {
    return this.mode === 'nat' || this.mode === 'fullnat';
  }

  fixture(what: string, steps: Step[], o: Partial<Fixture> = {}): Fixture {
    const svc = { proto: this.proto, addr: VIP_IP, port: 80 };
    const [rs, port] = this.rs.split(':') as [string, string];
    const dev = `dpdk${this.arms.port}`;
    const setup: Command[] = [
      ...this.arms.setup,
      { op: 'svc.add', svc, scheduler: 'rr', connTimeout: 0 },
      {
        op: 'dest.add',
        svc,
        dest: { addr: rs, port: Number(port) },
        fwd: this.mode,
        weight: 1,
        maxConn: 0,
        minConn: 0,
      },
    ];
    if (this.mode === 'fullnat') setup.push({ op: 'laddr.add', svc, addr: this.lip, dev });
    return {
      ports: this.arms.port === 0 ? [{}] : [{}, {}],
      ...o,
      setup,
      what: `${this.name}: ${what}`,
      steps,
    };
  }

  /** The same with a real server that says nothing. */
  silent(what: string, steps: Step[], o: Partial<Fixture>): Fixture {
    const f = this.fixture(what, steps, o);
    return { ...f, setup: f.setup!.filter((c) => !(c.op === 'neigh.add' && c.addr === this.arms.rs)) };
  }

  // ----- frames

  private build(eth: object, src: string, dst: string, o: Any): Uint8Array {
    return BUILD[this.proto]({ ...o, ...eth, src, dst });
  }
  fromClient(o: Any): Uint8Array {
    return this.build(toUs, CLIENT, VIP, o);
  }
  /** What the real server gets of it. */
  toServer(o: Any): Uint8Array {
    switch (this.mode) {
      case 'nat':
        return this.build(this.toRs, CLIENT, this.rs, o);
      case 'fullnat':
        return this.build(this.toRs, `${this.lip}:1025`, this.rs, o);
      case 'dr':
        return this.build(this.toRs, CLIENT, VIP, o);
      default:
        return this.inTunnel(this.fromClient(o));
    }
  }
  inTunnel(frame: Uint8Array): Uint8Array {
    return ipip({ ...this.toRs, src: this.arms.ours, dst: this.arms.rs }, frame);
  }
  /** An answer; in DR and tunnel mode one that takes its way through us. */
  fromServer(o: Any): Uint8Array {
    if (!this.bothWays) return this.build(this.rsToUs, VIP, CLIENT, o);
    return this.build(this.rsToUs, this.rs, this.mode === 'nat' ? CLIENT : `${this.lip}:1025`, o);
  }
  toClient(o: Any): Uint8Array {
    return this.build(toClient, VIP, CLIENT, o);
  }
  onClientSide(...frames: Uint8Array[]): Placed[] {
    return frames.map((frame) => ({ port: 0, frame }));
  }
  onServerSide(...frames: Uint8Array[]): Placed[] {
    return frames.map((frame) => ({ port: this.arms.port, frame }));
  }

  // ----- steps

  in(o: Any): Step {
    return { in: this.onClientSide(this.fromClient(o)), out: this.onServerSide(this.toServer(o)) };
  }
  back(o: Any): Step {
    return { in: this.onServerSide(this.fromServer(o)), out: this.onClientSide(this.toClient(o)) };
  }
  /** The connection is there. */
  opened(): Step[] {
    if (this.proto === 'udp')
      return [this.in({ data: 'a' }), ...(this.bothWays ? [this.back({ data: 'b' })] : [])];
    if (this.proto === 'sctp') {
      const answers = this.bothWays ? [this.back(chunks(INIT_ACK)), this.back(chunks(COOKIE_ACK, DATA))] : [];
      return [
        this.in(chunks(INIT)),
        ...answers.slice(0, 1),
        this.in(chunks(COOKIE_ECHO)),
        ...answers.slice(1),
      ];
    }
    const answer = this.bothWays ? [this.back({ flags: 'SA', seq: 9000, ack: 1001 })] : [];
    return [this.in({ flags: 'S', seq: 1000 }), ...answer, this.in({ flags: 'A', seq: 1001, ack: 9001 })];
  }
  /** A datagram of `size` bytes of an open connection. */
  sized(size: number, o: Any = {}): Any {
    if (this.proto === 'udp') return { data: ramp(size - 28), ...o };
    if (this.proto === 'sctp') return { tag: 7, chunks: [{ type: DATA, value: ramp(size - 36) }], ...o };
    return { flags: 'A', seq: 1001, ack: 9001, data: ramp(size - 40), ...o };
  }

  /** Nobody gets what these steps send while the client is on the black list of the service, or on the global one. */
  cutBy(of: 'service' | 'all', steps: readonly Step[]): Step[] {
    const svc = of === 'all' ? {} : { svc: { proto: this.proto, addr: VIP_IP, port: 80 } };
    const o = { ...svc, list: 'black' as const, entries: [CLIENT_IP] };
    return [
      { command: command('acl.add', o), out: [] },
      ...steps.map((s) => ({ ...s, out: [] })),
      { command: command('acl.del', o), out: [] },
    ];
  }

  /** An error that somebody else reports. */
  private report(eth: object, src: string, dst: string, about: Uint8Array, o: Any = {}): Uint8Array {
    return icmp({
      ...eth,
      src,
      dst,
      type: 3,
      code: 4,
      rest: 1280,
      data: payloadOf(about).slice(0, 100),
      ...o,
    });
  }
  /** A router on the client's side says that an answer was too big; what the real server gets of that. */
  aboutAnswer(o: Any): Step {
    const report = this.report(toUs, ROUTER_IP, VIP_IP, this.toClient(o));
    const [lip] = this.fullnatLocal();
    const passed = {
      fullnat: () => this.report(this.toRs, lip, this.arms.rs, this.fromServer(o)),
      nat: () => this.report(this.toRs, ROUTER_IP, this.arms.rs, this.fromServer(o)),
      dr: () => this.report(this.toRs, ROUTER_IP, VIP_IP, this.fromServer(o)),
      tunnel: () => ipip({ ...this.toRs, src: this.arms.ours, dst: this.arms.rs }, report),
    }[this.mode]();
    return { in: this.onClientSide(report), out: this.onServerSide(passed) };
  }
  /** The real server, or a router before it, reports a packet of the client. */
  aboutQuestion(o: Any): Step {
    const [lip] = this.fullnatLocal();
    if (this.mode === 'tunnel') {
      const report = this.report(this.rsToUs, this.arms.rs, this.arms.ours, this.toServer(o));
      // Told by ourselves, with what of the client's datagram was quoted.
      const told = icmp({
        ...toClient,
        src: VIP_IP,
        dst: CLIENT_IP,
        tos: 0xc0,
        id: id(1),
        type: 3,
        code: 4,
        rest: 1260,
        data: payloadOf(this.fromClient(o)).slice(0, 80),
      });
      return { in: this.onServerSide(report), out: this.onClientSide(told) };
    }
    const report = this.report(
      this.rsToUs,
      this.arms.rs,
      this.mode === 'nat' ? CLIENT_IP : lip,
      this.toServer(o),
    );
    const passed = this.report(toClient, VIP_IP, CLIENT_IP, this.fromClient(o));
    return { in: this.onServerSide(report), out: this.onClientSide(passed) };
  }
  private fullnatLocal(): [string] {
    return [this.lip];
  }

  /** An error of ours to the client. */
  weTell(about: Uint8Array, type: number, code: number, rest = 0): Placed[] {
    const data = payloadOf(about).slice(0, 548);
    return this.onClientSide(
      icmp({ ...toClient, src: VIP_IP, dst: CLIENT_IP, tos: 0xc0, id: id(1), type, code, rest, data }),
    );
  }
  /** An error of ours to the real server, about an answer in DR or tunnel mode that passes by. */
  weTellServer(about: Uint8Array, type: number, code: number, rest = 0): Placed[] {
    const data = payloadOf(about).slice(0, 548);
    const o = { src: this.arms.ours, dst: VIP_IP, tos: 0xc0, id: id(1), type, code, rest, data };
    const plain = icmp({ ...this.toRs, ...o });
    const frame =
      this.mode === 'dr' ? plain : ipip({ ...this.toRs, src: this.arms.ours, dst: this.arms.rs }, plain);
    return this.onServerSide(frame);
  }
}

const wait = (ms: number): Step => ({ wait: ms, out: [] });

function ofCase(c: Case): Fixture[] {
  const { proto, mode, bothWays } = c;
  const open = { open: 1 };
  const full = { tos: 0x10, id: 0x1234, df: true, ttl: 17 };
  const end: Any = { flags: 'FA', seq: 1001, ack: 9001 };
  const ends = {
    tcp: bothWays
      ? [c.in(end), c.back({ flags: 'FA', seq: 9001, ack: 1002 }), wait(9000)]
      : [c.in(end), wait(9000)],
    udp: [wait(9000)],
    sctp: [c.in(chunks(DATA, ABORT)), c.in(chunks(ABORT)), wait(61_100)],
  };
  const dead = c.fromClient(c.sized(60, { ttl: 0 }));
  const last = c.fromClient(c.sized(60, { ttl: 1 }));
  const room = mode === 'tunnel' ? 1480 : 1500;
  const big = c.fromClient(c.sized(room + 1, { df: true }));
  const list = [
    c.fixture(
      'a whole connection, which ends in time',
      [
        ...c.opened(),
        c.in(c.sized(100, full)),
        c.in(c.sized(room, { df: true })),
        ...(bothWays ? [c.back(c.sized(1500, full)), c.back(c.sized(41, { ttl: 1 }))] : []),
        ...ends[proto],
      ],
      { config: { udpTimeoutsMs: { oneway: 5000, normal: 5000 } } },
    ),
    c.fixture(
      'an error about an answer reaches the real server',
      [...c.opened(), c.aboutAnswer(c.sized(1400))],
      open,
    ),
    c.fixture(
      'too big for the way to the real server: reported',
      [...c.opened(), { in: c.onClientSide(big), out: c.weTell(big, 3, 4, room) }],
      { ...open, drops: { IP_TOO_BIG: 1 } },
    ),
    c.fixture(
      'no time left to live: reported',
      [...c.opened(), { in: c.onClientSide(dead), out: c.weTell(dead, 11, 0) }],
      { ...open, drops: { IP_TTL: 1 } },
    ),
    c.fixture(
      'hops counted: one less, and reported when that was the last',
      [
        {
          in: c.onClientSide(c.fromClient(first(proto, 64))),
          out: c.onServerSide(c.toServer(first(proto, 63))),
        },
        { in: c.onClientSide(last), out: c.weTell(last, 11, 0) },
      ],
      { ...open, config: { xmitTtl: true }, drops: { IP_TTL: 1 } },
    ),
  ];
  const question = first(proto, 64);
  const weAsk = c.onServerSide(
    arp({ op: 'request', sha: macOf(c.arms.port), spa: c.arms.ours, tpa: c.arms.rs, dmac: BROADCAST_MAC }),
  );
  // A tunnel's datagram is our own: it is reported to ourselves first, by the datagram before the one that the client gets.
  const n = mode === 'tunnel' ? 2 : 1;
  const told = icmp({
    ...toClient,
    src: VIP_IP,
    dst: CLIENT_IP,
    tos: 0xc0,
    id: id(n),
    type: 3,
    code: 1,
    data: payloadOf(c.fromClient(question)),
  });
  list.push(
    c.silent(
      'a real server that does not answer ARP is unreachable, which the client is told in its own terms',
      [
        { in: c.onClientSide(c.fromClient(question)), out: weAsk },
        { wait: 3100, out: sortByPort([...weAsk, ...weAsk, ...c.onClientSide(told)]) },
      ],
      { open: 1, drops: { NEIGH_UNRESOLVED: 1, ...(mode === 'tunnel' ? { ICMP_DONE: 1 } : {}) } },
    ),
  );
  if (mode !== 'dr')
    list.push(
      c.fixture(
        'an error about a question reaches the client',
        [...c.opened(), c.aboutQuestion(c.sized(1400, { df: true }))],
        { ...open, drops: mode === 'tunnel' ? { ICMP_DONE: 1 } : {} },
      ),
    );
  // A router that is on no list reports them.
  const errors = [c.aboutAnswer(c.sized(1400)), ...(mode === 'dr' ? [] : [c.aboutQuestion(c.sized(60))])];
  list.push(
    c.fixture(
      'errors about a connection of a listed client reach neither end, and heal',
      [...c.opened(), ...c.cutBy('service', errors), ...c.cutBy('all', errors), errors[0]!],
      { ...open, drops: { ACL_BLACKLIST: 2 * errors.length } },
    ),
  );
  if (proto === 'udp') list.push(cut(c), pieces(c));
  if (!bothWays && c.arms === TWO) list.push(...passingBy(c));
  return list;
}

/** Frames of one step are compared port by port. */
const sortByPort = (frames: Placed[]): Placed[] => frames.sort((a, b) => a.port - b.port);

const first = (proto: Proto, ttl: number): Any => ({
  ...{ tcp: { flags: 'S' }, udp: { data: 'a' }, sctp: chunks(INIT) }[proto],
  ttl,
});

/** Fragments, the first one last, and answers in fragments. */
function pieces(c: Case): Fixture {
  const o = { id: 9, data: ramp(2500) };
  const [a, b] = fragmentsOf(c.fromClient(o), 1440) as [Uint8Array, Uint8Array];
  // Where the source changes, so does the identification.
  const sent = (whole: Uint8Array): Uint8Array[] => fragmentsOf(whole, 1440);
  const there =
    c.mode === 'tunnel'
      ? [a, b].map((f) => c.inTunnel(f))
      : sent(c.toServer({ ...o, id: c.mode === 'fullnat' ? id(1) : 9 }));
  const steps: Step[] = [{ in: c.onClientSide(b, a), out: c.onServerSide(...there) }];
  if (c.bothWays)
    steps.push({
      in: c.onServerSide(...fragmentsOf(c.fromServer(o), 1440).reverse()),
      out: c.onClientSide(...sent(c.toClient({ ...o, id: id(2) }))),
    });
  return c.fixture('fragments in any order go the way of the first one', steps, { open: 1 });
}

/** A datagram of 1480 bytes without DF over a link of 1400. */
function cut(c: Case): Fixture {
  const o = { id: 9, data: ramp(1452) };
  const whole = c.toServer(o);
  // Fragments of a tunnel's datagram get a number of the load balancer's own.
  const header = {
    smac: macOf(c.arms.port),
    dmac: RS_MAC,
    proto: whole[23]!,
    src: addrAt(whole, 26),
    dst: addrAt(whole, 30),
    id: c.mode === 'tunnel' ? 1 : 9,
  };
  const body = payloadOf(whole).slice(20);
  return {
    ...c.fixture('over the MTU without DF it leaves in fragments', [
      {
        in: c.onClientSide(c.fromClient(o)),
        out: c.onServerSide(
          ipv4({ ...header, mf: true, payload: body.slice(0, 1376) }),
          ipv4({ ...header, offset: 1376, payload: body.slice(1376) }),
        ),
      },
    ]),
    ports: c.arms.port === 0 ? [{ mtu: 1400 }] : [{}, { mtu: 1400 }],
    open: 1,
  };
}
const addrAt = (frame: Uint8Array, at: number): string => frame.slice(at, at + 4).join('.');

/** DR and tunnel where we are the real server's gateway: its answers are routed, from the virtual address. */
function passingBy(c: Case): Fixture[] {
  const routed = { config: { forwarding: true }, open: 1 };
  const small = [{ mtu: 1400 }, {}];
  const big = c.fromServer(c.sized(1401, { df: true }));
  const last = c.fromServer(c.sized(60, { ttl: 1 }));
  const question = c.fromClient(c.sized(200));
  const spoofed = c.fromServer({ ...c.sized(60), dst: VIP });
  const answer = {
    in: c.onServerSide(c.fromServer(c.sized(1000, { ttl: 64 }))),
    out: c.onClientSide(c.toClient(c.sized(1000, { ttl: 63 }))),
  };
  const unreachable = { src: VIP_IP, dst: CLIENT_IP, type: 3, code: 3, data: payloadOf(question) };
  const refusal = {
    in: c.onServerSide(icmp({ smac: RS_MAC, dmac: macOf(1), ...unreachable })),
    out: c.onClientSide(icmp({ ...toClient, ttl: 63, ...unreachable })),
  };
  return [
    c.fixture('answers that pass by are routed', [...c.opened(), answer], routed),
    c.fixture(
      'what passes by on its way to a listed client ends here, and heals',
      [
        ...c.opened(),
        ...c.cutBy('service', [answer, refusal]),
        ...c.cutBy('all', [answer, refusal]),
        answer,
        refusal,
      ],
      { ...routed, drops: { ACL_BLACKLIST: 4 } },
    ),
    c.fixture(
      'an answer that is too big is reported to the real server, which has the virtual address',
      [...c.opened(), { in: c.onServerSide(big), out: c.weTellServer(big, 3, 4, 1400) }],
      { ...routed, ports: small, drops: { IP_TOO_BIG: 1 } },
    ),
    c.fixture(
      'an answer whose hops end here is reported to the real server',
      [...c.opened(), { in: c.onServerSide(last), out: c.weTellServer(last, 11, 0) }],
      { ...routed, drops: { IP_TTL: 1 } },
    ),
    c.fixture('an error of the real server about a question passes by', [...c.opened(), refusal], routed),
    c.fixture(
      'nothing from the virtual address is let in to an address of ours',
      [...c.opened(), { in: c.onServerSide(respoof(spoofed)), out: [] }],
      { ...routed, drops: { IP_BAD_ADDR: 1 } },
    ),
  ];
}

/** The same datagram, for our own address. */
function respoof(frame: Uint8Array): Uint8Array {
  return ipv4({
    smac: RS_MAC,
    dmac: macOf(1),
    src: VIP_IP,
    dst: VIP_IP,
    proto: frame[23]!,
    payload: payloadOf(frame).slice(20),
  });
}

export const MODE_FIXTURES: readonly Fixture[] = (['nat', 'dr', 'tunnel', 'fullnat'] as const).flatMap(
  (mode) =>
    (['tcp', 'udp', 'sctp'] as const).flatMap((proto) =>
      [ONE, TWO].flatMap((arms) => ofCase(new Case(mode, proto, arms))),
    ),
);
