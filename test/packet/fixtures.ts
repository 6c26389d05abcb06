/**
 * The behaviour of the stack as a table: what is set up, what comes in, what must come out, byte for byte, and how every
 * packet is accounted for. All frames are made by the builders of test/support/frames.ts, none by the stack.
 *
 * The scene is the README's: client, real server and we on one link (dpdk0); where packets are forwarded, a second
 * link (dpdk1, 10.0.0.0/24).
 */
import type { Command } from '../../src/control/schema.js';
import type { DropName } from '../../src/core/drops.js';
import type { EventName } from '../../src/core/events.js';
import {
  arp,
  BROADCAST_MAC,
  datagram,
  ethernet,
  fragmentsOf,
  icmp,
  icmpMessage,
  ipv4,
  payloadOf,
  ping,
  ramp,
  tcp,
  udp,
  ZERO_MAC,
} from '../support/frames.js';
import type { Ipv4Options, TcpOptions, UdpOptions } from '../support/frames.js';
import { macOf } from '../support/lab.js';
import { DEFENCE } from './defence-fixtures.js';
import { SNAT } from './snat-fixtures.js';
import { TOA_FIXTURES } from './toa-fixtures.js';
import type { SceneOptions } from './scene.js';

/** A frame on a port. */
export interface Placed {
  port: number;
  frame: Uint8Array;
}

export interface Step {
  /** What happens first: milliseconds pass, or a command comes. */
  wait?: number;
  command?: Command;
  in?: readonly Placed[];
  out: readonly Placed[];
}

export interface Fixture extends SceneOptions {
  what: string;
  /** Connection records; one less than this can be used. */
  conns?: number;
  steps: readonly Step[];
  /** Every drop, by name. */
  drops?: Partial<Record<DropName, number>>;
  /** Every event, by name; not looked at where there is none. */
  events?: Partial<Record<EventName, number>>;
  /** Packets that still wait at the end, connections that are still there. */
  held?: number;
  open?: number;
}

// ----- the scene

const CLIENT_IP = '192.168.100.3';
const RS_IP = '192.168.100.2';
const RS2_IP = '192.168.100.4';
const VIP_IP = '192.168.100.100';
const LIP_IP = '192.168.100.200';
const CLIENT = `${CLIENT_IP}:40000`;
const VIP = `${VIP_IP}:80`;
const RS = `${RS_IP}:80`;
/** The first local port of a pool. */
const LIP = `${LIP_IP}:1025`;
const CLIENT_MAC = '02:00:00:00:00:03';
const RS_MAC = '02:00:00:00:00:02';
const RS2_MAC = '02:00:00:00:00:04';
const OTHER_MAC = '02:00:00:00:00:99';

const FAR_IP = '10.0.0.9';
const FAR_MAC = '02:00:00:00:00:09';

/** Identification of the `n`th datagram of our own; see scene.ts. */
const id = (n: number): number => 0x8000 + n;

const toUs = { smac: CLIENT_MAC, dmac: macOf(0) };
const toClient = { smac: macOf(0), dmac: CLIENT_MAC };
const rsToUs = { smac: RS_MAC, dmac: macOf(0) };
const toRs = { smac: macOf(0), dmac: RS_MAC };

const addr = (a: string, plen: number, dev = 'dpdk0'): Command => ({
  op: 'addr.add',
  dev,
  addr: a,
  plen,
  scope: 'global',
  validLft: 0,
  sapool: false,
});
const neigh = (a: string, lladdr: string, dev = 'dpdk0'): Command => ({
  op: 'neigh.add',
  dev,
  addr: a,
  lladdr,
});

const HOST: Command[] = [addr(VIP_IP, 24), neigh(CLIENT_IP, CLIENT_MAC)];

const svcKey = (proto: 'tcp' | 'udp'): { proto: 'tcp' | 'udp'; addr: string; port: number } => ({
  proto,
  addr: VIP_IP,
  port: 80,
});
const service = (proto: 'tcp' | 'udp', connTimeout = 0): Command => ({
  op: 'svc.add',
  svc: svcKey(proto),
  scheduler: 'rr',
  connTimeout,
});
const dest = (proto: 'tcp' | 'udp', a: string, o: { weight?: number; maxConn?: number } = {}): Command => ({
  op: 'dest.add',
  svc: svcKey(proto),
  dest: { addr: a, port: 80 },
  fwd: 'fullnat',
  weight: 1,
  maxConn: 0,
  minConn: 0,
  ...o,
});
const laddr = (proto: 'tcp' | 'udp'): Command => ({
  op: 'laddr.add',
  svc: svcKey(proto),
  addr: LIP_IP,
  dev: 'dpdk0',
});

const KNOWN: Command[] = [...HOST, neigh(RS_IP, RS_MAC)];
/** The README's virtual service, with one real server. */
const fullnat = (proto: 'tcp' | 'udp', connTimeout = 0): Command[] => [
  ...KNOWN,
  service(proto, connTimeout),
  dest(proto, RS_IP),
  laddr(proto),
];

// ----- steps

type Frames = Uint8Array | readonly Uint8Array[];
const list = (f: Frames): readonly Uint8Array[] => (f instanceof Uint8Array ? [f] : f);
const place = (port: number, f: Frames): Placed[] => list(f).map((frame) => ({ port, frame }));

/** Frames come in on dpdk0, others leave there. */
const step = (input: Frames, output: Frames = []): Step => ({ in: place(0, input), out: place(0, output) });
const wait = (ms: number, output: Frames = []): Step => ({ wait: ms, out: place(0, output) });
const command = (c: Command): Step => ({ command: c, out: [] });
/** From dpdk0 through to dpdk1. */
const through = (input: Uint8Array, output: Frames): Step => ({ in: place(0, input), out: place(1, output) });

// ----- ARP

const clientAsks = (o: { spa?: string; tpa?: string; dmac?: string } = {}): Uint8Array =>
  arp({ op: 'request', sha: CLIENT_MAC, spa: CLIENT_IP, tpa: VIP_IP, ...o });
const weAsk = (tpa: string, dmac = BROADCAST_MAC): Uint8Array =>
  arp({ op: 'request', sha: macOf(0), spa: VIP_IP, tpa, dmac });
const answer = (spa: string, sha: string): Uint8Array =>
  arp({ op: 'reply', sha, spa, tha: macOf(0), tpa: VIP_IP });

const ARP: Fixture[] = [
  {
    what: 'ARP: a request for our address is answered',
    setup: [addr(VIP_IP, 24)],
    steps: [
      step(clientAsks(), arp({ op: 'reply', sha: macOf(0), spa: VIP_IP, tha: CLIENT_MAC, tpa: CLIENT_IP })),
    ],
  },
  {
    what: 'ARP: a unicast request is answered too',
    setup: [addr(VIP_IP, 24)],
    steps: [
      step(
        clientAsks({ dmac: macOf(0) }),
        arp({ op: 'reply', sha: macOf(0), spa: VIP_IP, tha: CLIENT_MAC, tpa: CLIENT_IP }),
      ),
    ],
  },
  {
    what: 'ARP: a request for an address of somebody else is not',
    setup: [addr(VIP_IP, 24)],
    steps: [step(clientAsks({ tpa: RS_IP }))],
    drops: { ARP_NOT_OURS: 1 },
  },
  {
    what: 'ARP: a probe for our address is answered to the sender 0.0.0.0 (RFC 5227)',
    setup: [addr(VIP_IP, 24)],
    steps: [
      step(
        clientAsks({ spa: '0.0.0.0' }),
        arp({ op: 'reply', sha: macOf(0), spa: VIP_IP, tha: CLIENT_MAC, tpa: '0.0.0.0' }),
      ),
    ],
  },
  {
    what: 'ARP: who else claims our address is answered by an announcement, once in 10 s',
    setup: [addr(VIP_IP, 24)],
    steps: [
      step(clientAsks({ spa: VIP_IP, tpa: VIP_IP }), weAsk(VIP_IP)),
      step(clientAsks({ spa: VIP_IP, tpa: VIP_IP })),
      wait(10_000),
      step(clientAsks({ spa: VIP_IP, tpa: VIP_IP }), weAsk(VIP_IP)),
    ],
    drops: { ARP_DONE: 3 },
  },
  {
    what: 'ARP: a gratuitous request of a neighbour changes its MAC',
    setup: [addr(VIP_IP, 24)],
    steps: [
      step(clientAsks(), arp({ op: 'reply', sha: macOf(0), spa: VIP_IP, tha: CLIENT_MAC, tpa: CLIENT_IP })),
      step(arp({ op: 'request', sha: OTHER_MAC, spa: CLIENT_IP, tpa: CLIENT_IP })),
      step(
        ping({ ...toUs, src: CLIENT_IP, dst: VIP_IP }),
        ping({ smac: macOf(0), dmac: OTHER_MAC, src: VIP_IP, dst: CLIENT_IP, reply: true, id: id(1) }),
      ),
    ],
    drops: { ARP_DONE: 1 },
  },
  {
    what: 'ARP: a reply that nobody asked for makes no neighbour',
    setup: [addr(VIP_IP, 24)],
    steps: [
      step(
        arp({ op: 'reply', sha: OTHER_MAC, spa: CLIENT_IP, tha: RS_MAC, tpa: RS_IP, dmac: BROADCAST_MAC }),
      ),
      step(ping({ ...toUs, src: CLIENT_IP, dst: VIP_IP }), weAsk(CLIENT_IP)),
    ],
    drops: { ARP_DONE: 1 },
    held: 1,
  },
  {
    what: 'ARP: what waits for a neighbour leaves in order when it answers',
    setup: [addr(VIP_IP, 24)],
    steps: [
      step(ping({ ...toUs, src: CLIENT_IP, dst: VIP_IP, seq: 1 }), weAsk(CLIENT_IP)),
      step(ping({ ...toUs, src: CLIENT_IP, dst: VIP_IP, seq: 2 })),
      step(
        answer(CLIENT_IP, CLIENT_MAC),
        [1, 2].map((n) => ping({ ...toClient, src: VIP_IP, dst: CLIENT_IP, reply: true, seq: n, id: id(n) })),
      ),
    ],
    drops: { ARP_DONE: 1 },
  },
  {
    what: 'ARP: three requests in three seconds, then what waits is dropped',
    setup: [addr(VIP_IP, 24)],
    steps: [
      step(ping({ ...toUs, src: CLIENT_IP, dst: VIP_IP }), weAsk(CLIENT_IP)),
      wait(900),
      wait(300, weAsk(CLIENT_IP)),
      wait(1000, weAsk(CLIENT_IP)),
      wait(1000),
    ],
    drops: { NEIGH_UNRESOLVED: 1 },
  },
  {
    what: 'ARP: nonsense is dropped',
    setup: [addr(VIP_IP, 24)],
    steps: [
      step([
        arp({ op: 3, sha: CLIENT_MAC, spa: CLIENT_IP, tpa: VIP_IP, dmac: macOf(0) }),
        arp({ op: 'request', sha: ZERO_MAC, smac: CLIENT_MAC, spa: CLIENT_IP, tpa: VIP_IP }),
        arp({ op: 'request', sha: '01:00:5e:00:00:01', smac: CLIENT_MAC, spa: CLIENT_IP, tpa: VIP_IP }),
        arp({ op: 'request', sha: CLIENT_MAC, spa: '224.0.0.1', tpa: VIP_IP }),
        arp({ op: 'request', sha: CLIENT_MAC, spa: CLIENT_IP, tpa: VIP_IP, dmac: OTHER_MAC }),
      ]),
    ],
    drops: { ARP_BAD: 4, ETH_OTHER_HOST: 1 },
  },
];

// ----- Ethernet, IPv4, ICMP for ourselves

const request = (o: Partial<Parameters<typeof ping>[0]> = {}): Uint8Array =>
  ping({ ...toUs, src: CLIENT_IP, dst: VIP_IP, ...o });
const reply = (o: Partial<Parameters<typeof ping>[0]> = {}): Uint8Array =>
  ping({ ...toClient, src: VIP_IP, dst: CLIENT_IP, reply: true, id: id(1), ...o });

/** An ICMP error of ours about a frame that came from the client. */
const error = (
  about: Uint8Array,
  o: { type: number; code: number; rest?: number; src?: string; n?: number },
): Uint8Array =>
  icmp({
    ...toClient,
    src: VIP_IP,
    dst: CLIENT_IP,
    tos: 0xc0,
    id: id(o.n ?? 1),
    data: payloadOf(about).slice(0, 548),
    ...o,
  });
const UNREACH = 3;
const TIME_EXCEEDED = 11;
const PARAM_PROBLEM = 12;

const ICMP: Fixture[] = [
  ...[0, 1, 56, 1472].map((size) => ({
    what: `ICMP: ping of ${size} bytes`,
    setup: HOST,
    steps: [step(request({ data: ramp(size) }), reply({ data: ramp(size) }))],
  })),
  {
    what: 'ICMP: the reply carries identifier, sequence number, TOS, not the TTL and the identification',
    setup: HOST,
    steps: [
      step(
        request({ ident: 0xffff, seq: 0xfffe, tos: 0x10, ttl: 1, id: 0x1234, df: true }),
        reply({ ident: 0xffff, seq: 0xfffe, tos: 0x10 }),
      ),
    ],
  },
  {
    what: 'ICMP: the reply to a ping of nothing but zeros has the checksum 0xffff',
    setup: HOST,
    steps: [step(request({ ident: 0, seq: 0, data: '' }), reply({ ident: 0, seq: 0, data: '' }))],
  },
  {
    what: 'ICMP: replies and unknown types are ignored',
    setup: HOST,
    steps: [step([request({ reply: true }), icmp({ ...toUs, src: CLIENT_IP, dst: VIP_IP, type: 13 })])],
    drops: { ICMP_IGNORED: 2 },
  },
  {
    what: 'ICMP: a wrong checksum is dropped',
    setup: HOST,
    steps: [step(icmp({ ...toUs, src: CLIENT_IP, dst: VIP_IP, type: 8, badL4Checksum: true }))],
    drops: { ICMP_BAD: 1 },
  },
  {
    what: 'ICMP: a broadcast ping is ignored',
    setup: HOST,
    steps: [step(request({ dmac: BROADCAST_MAC, dst: '192.168.100.255' }))],
    drops: { ICMP_IGNORED: 1 },
  },
];

const LSRR = [131, 7, 4, 10, 0, 0, 1];
const RECORD_ROUTE = [7, 7, 4, 0, 0, 0, 0];
const malformedOption = request({ options: [1, 68, 1, 0] });
const closedUdp = udp({ ...toUs, src: CLIENT, dst: `${VIP_IP}:9`, data: 'anybody?' });
const unknownProto = ipv4({ ...toUs, src: CLIENT_IP, dst: VIP_IP, proto: 99, payload: ramp(100) });

const IPV4: Fixture[] = [
  {
    what: 'Ethernet: an unknown ethertype and a frame for another MAC are dropped',
    setup: HOST,
    steps: [step([ethernet({ ...toUs, type: 0x86dd, payload: ramp(60) }), request({ dmac: OTHER_MAC })])],
    drops: { ETH_UNKNOWN_TYPE: 1, ETH_OTHER_HOST: 1 },
  },
  {
    what: 'IPv4: bad headers are dropped: version, header length, total length',
    setup: HOST,
    steps: [
      step([
        request({ version: 6 }),
        request({ ihl: 4 }),
        request({ ihl: 15 }),
        request({ totalLen: 19 }),
        request({ totalLen: 61 }),
      ]),
    ],
    drops: { IP_BAD_HEADER: 5 },
  },
  {
    what: 'IPv4: a wrong header checksum is dropped',
    setup: HOST,
    steps: [step(request({ badChecksum: true }))],
    drops: { IP_BAD_CHECKSUM: 1 },
  },
  {
    what: 'IPv4: sources that no host has are dropped: our own, broadcast, multicast, loopback, 0.0.0.0',
    setup: HOST,
    steps: [
      step(
        [VIP_IP, '192.168.100.255', '255.255.255.255', '224.0.0.1', '127.0.0.1', '0.0.0.0'].map((src) =>
          request({ src }),
        ),
      ),
    ],
    drops: { IP_BAD_ADDR: 6 },
  },
  {
    what: 'IPv4: an address of ours in a broadcast frame, and a multicast group, are dropped',
    setup: HOST,
    steps: [
      step([request({ dmac: BROADCAST_MAC }), request({ dmac: '01:00:5e:00:00:05', dst: '224.0.0.5' })]),
    ],
    drops: { IP_BAD_ADDR: 1, IP_NOT_JOINED: 1 },
  },
  {
    what: 'IPv4: padding behind the datagram does not come back',
    setup: HOST,
    steps: [
      step(Buffer.concat([request({ data: ramp(30) }), Buffer.alloc(9, 0xee)]), reply({ data: ramp(30) })),
    ],
  },
  {
    what: 'IPv4: options are accepted, and left out of the answer',
    setup: HOST,
    steps: [step(request({ options: RECORD_ROUTE }), reply())],
  },
  {
    what: 'IPv4: source routing is refused',
    setup: HOST,
    steps: [step(request({ options: LSRR }))],
    drops: { IP_BAD_OPTION: 1 },
  },
  {
    what: 'IPv4: a malformed option is reported, with where it is',
    setup: HOST,
    steps: [step(malformedOption, error(malformedOption, { type: PARAM_PROBLEM, code: 0, rest: 22 << 24 }))],
    drops: { IP_BAD_OPTION: 1 },
  },
  {
    what: 'IPv4: an echo in fragments, the last one first, is put together and answered',
    setup: HOST,
    steps: [step(fragmentsOf(request({ id: 9, data: ramp(100) }), 56).reverse(), reply({ data: ramp(100) }))],
    drops: { IP_FRAG_JOINED: 1 },
  },
  {
    what: 'IPv4: an echo too long for one buffer is answered in the fragments that it came in',
    setup: HOST,
    steps: [
      step(
        fragmentsOf(request({ id: 9, data: ramp(4000) }), 1480),
        fragmentsOf(reply({ data: ramp(4000) }), 1480),
      ),
    ],
  },
  {
    what: 'IPv4: fragments that stay alone are dropped in time; with the first one among them the sender is told',
    setup: HOST,
    steps: [
      step(fragmentsOf(request({ id: 9, data: ramp(100) }), 56).slice(1)),
      step(fragmentsOf(request({ id: 10, data: ramp(100) }), 56).slice(0, 1)),
      wait(999),
      wait(
        1,
        error(fragmentsOf(request({ id: 10, data: ramp(100) }), 56)[0]!, { type: TIME_EXCEEDED, code: 1 }),
      ),
    ],
    drops: { IP_FRAG_TIMEOUT: 2 },
  },
  {
    what: 'IPv4: overlapping fragments end their datagram, those still to come included',
    setup: HOST,
    steps: [
      step([
        request({ id: 9, mf: true, data: ramp(56) }),
        request({ id: 9, mf: true, offset: 56, data: ramp(56) }),
        request({ id: 9, offset: 128 }),
      ]),
    ],
    drops: { IP_FRAG_OVERLAP: 3 },
  },
  {
    what: 'IPv4: with forwarding off, what is for others is dropped without a word',
    setup: HOST,
    steps: [step(request({ dst: FAR_IP }))],
    drops: { IP_NO_FORWARD: 1 },
  },
  {
    what: 'TCP: a SYN to a closed port is reset; a reset is not',
    setup: HOST,
    steps: [
      step(
        tcp({ ...toUs, src: CLIENT, dst: VIP, flags: 'S', seq: 0xffffffff }),
        tcp({
          ...toClient,
          src: VIP,
          dst: CLIENT,
          flags: 'RA',
          seq: 0,
          ack: 0,
          window: 0,
          df: true,
          id: id(1),
        }),
      ),
      step(
        tcp({ ...toUs, src: CLIENT, dst: VIP, flags: 'A', seq: 7, ack: 99 }),
        tcp({ ...toClient, src: VIP, dst: CLIENT, flags: 'R', seq: 99, window: 0, df: true, id: id(2) }),
      ),
      step(tcp({ ...toUs, src: CLIENT, dst: VIP, flags: 'R', seq: 7 })),
    ],
    drops: { IP_NO_PROTO: 3 },
  },
  {
    what: 'UDP: a closed port and an unknown protocol are reported as unreachable',
    setup: HOST,
    steps: [
      step(closedUdp, error(closedUdp, { type: UNREACH, code: 3 })),
      step(unknownProto, error(unknownProto, { type: UNREACH, code: 2, n: 2 })),
    ],
    drops: { IP_NO_PROTO: 2 },
  },
  {
    what: 'TCP and UDP: a wrong checksum gets no answer',
    setup: HOST,
    steps: [
      step([
        tcp({ ...toUs, src: CLIENT, dst: VIP, flags: 'S', badL4Checksum: true }),
        udp({ ...toUs, src: CLIENT, dst: VIP, badL4Checksum: true }),
      ]),
    ],
    drops: { L4_BAD_HEADER: 2 },
  },
];

// ----- forwarding

const ROUTER: SceneOptions = {
  ports: [{}, { mtu: 1400 }],
  config: { forwarding: true },
  setup: [...HOST, addr('10.0.0.1', 24, 'dpdk1'), neigh(FAR_IP, FAR_MAC, 'dpdk1')],
};
const inward = (o: Partial<UdpOptions> = {}): Uint8Array =>
  udp({ ...toUs, src: CLIENT, dst: `${FAR_IP}:53`, data: 'hello', ...o });
const onward = (o: Partial<UdpOptions> = {}): Uint8Array =>
  udp({ smac: macOf(1), dmac: FAR_MAC, src: CLIENT, dst: `${FAR_IP}:53`, data: 'hello', ttl: 63, ...o });

const dying = inward({ ttl: 1 });
const big = inward({ df: true, data: ramp(1400 - 28 + 1) });
const nowhere = inward({ dst: '172.16.0.1:53' });
const lost = inward({ dst: '10.0.0.77:53' });

/** Transport payload of the datagram in a frame without options. */
const l4of = (frame: Uint8Array): Uint8Array => frame.slice(34);
const large = inward({ id: 77, data: ramp(1472) });
const piece = (from: number, to: number | undefined, o: Partial<Ipv4Options>): Uint8Array =>
  ipv4({
    smac: macOf(1),
    dmac: FAR_MAC,
    src: CLIENT_IP,
    dst: FAR_IP,
    ttl: 63,
    id: 77,
    proto: 17,
    payload: l4of(large).slice(from, to),
    ...o,
  });

const FORWARDING: Fixture[] = [
  {
    ...ROUTER,
    what: 'forwarding: the TTL falls by one, nothing else changes',
    steps: [
      through(inward({ tos: 8, id: 5, df: true }), onward({ tos: 8, id: 5, df: true })),
      through(inward({ ttl: 2 }), onward({ ttl: 1 })),
      through(inward({ badL4Checksum: true, ttl: 255 }), onward({ badL4Checksum: true, ttl: 254 })),
    ],
    judge: false,
  },
  {
    ...ROUTER,
    what: 'forwarding: time exceeded',
    steps: [step(dying, error(dying, { type: TIME_EXCEEDED, code: 0 }))],
    drops: { IP_TTL: 1 },
  },
  {
    ...ROUTER,
    what: 'forwarding: at the MTU it goes on, one byte more with DF is reported with the MTU',
    steps: [
      through(inward({ df: true, data: ramp(1372) }), onward({ df: true, data: ramp(1372) })),
      step(big, error(big, { type: UNREACH, code: 4, rest: 1400 })),
    ],
    drops: { IP_TOO_BIG: 1 },
  },
  {
    ...ROUTER,
    what: 'forwarding: without DF it is cut into fragments, and fragments go on as they are',
    steps: [
      through(large, [piece(0, 1376, { mf: true }), piece(1376, undefined, { offset: 1376 })]),
      through(
        ipv4({ ...toUs, src: CLIENT_IP, dst: FAR_IP, proto: 17, offset: 800, payload: ramp(80) }),
        ipv4({
          smac: macOf(1),
          dmac: FAR_MAC,
          src: CLIENT_IP,
          dst: FAR_IP,
          ttl: 63,
          proto: 17,
          offset: 800,
          payload: ramp(80),
        }),
      ),
    ],
  },
  {
    ...ROUTER,
    what: 'forwarding: no route is reported as network unreachable',
    steps: [step(nowhere, error(nowhere, { type: UNREACH, code: 0 }))],
    drops: { IP_NO_ROUTE: 1 },
  },
  {
    ...ROUTER,
    what: 'forwarding: a neighbour that does not answer is reported as host unreachable',
    steps: [
      through(lost, arp({ op: 'request', sha: macOf(1), spa: '10.0.0.1', tpa: '10.0.0.77' })),
      {
        wait: 3100,
        out: [
          ...place(0, error(inward({ dst: '10.0.0.77:53', ttl: 63 }), { type: UNREACH, code: 1 })),
          ...place(1, [
            arp({ op: 'request', sha: macOf(1), spa: '10.0.0.1', tpa: '10.0.0.77' }),
            arp({ op: 'request', sha: macOf(1), spa: '10.0.0.1', tpa: '10.0.0.77' }),
          ]),
        ],
      },
    ],
    drops: { NEIGH_UNRESOLVED: 1 },
  },
  {
    ...ROUTER,
    what: 'forwarding: no error about an error, a broadcast, a fragment but the first',
    steps: [
      step([
        icmp({ ...toUs, src: CLIENT_IP, dst: FAR_IP, ttl: 1, type: 3, code: 1, data: payloadOf(inward()) }),
        ipv4({ ...toUs, src: CLIENT_IP, dst: FAR_IP, ttl: 1, proto: 17, offset: 8, payload: ramp(8) }),
        inward({ dst: '10.0.0.255:53' }),
      ]),
    ],
    drops: { IP_TTL: 2, IP_NOT_JOINED: 1 },
  },
  {
    ...ROUTER,
    what: 'forwarding: options go on too',
    steps: [through(inward({ options: RECORD_ROUTE }), onward({ options: RECORD_ROUTE }))],
  },
];

// ----- Full-NAT TCP

type Seg = Partial<TcpOptions> & { flags: string };
const fromClient = (o: Seg): Uint8Array => tcp({ ...toUs, src: CLIENT, dst: VIP, ...o });
const asToServer = (o: Seg): Uint8Array => tcp({ ...toRs, src: LIP, dst: RS, ...o });
const fromServer = (o: Seg): Uint8Array => tcp({ ...rsToUs, src: RS, dst: LIP, ...o });
const asToClient = (o: Seg): Uint8Array => tcp({ ...toClient, src: VIP, dst: CLIENT, ...o });

/** A segment of the client, passed on; of the real server, passed on. */
const c2s = (o: Seg): Step => step(fromClient(o), asToServer(o));
const s2c = (o: Seg): Step => step(fromServer(o), asToClient(o));

const MSS_SACK_WSCALE = [2, 4, 5, 0xb4, 4, 2, 3, 3, 7];
const handshake: Step[] = [
  c2s({ flags: 'S', seq: 1000, tcpOptions: MSS_SACK_WSCALE, df: true, id: 1 }),
  s2c({ flags: 'SA', seq: 9000, ack: 1001, tcpOptions: MSS_SACK_WSCALE, df: true }),
  c2s({ flags: 'A', seq: 1001, ack: 9001, df: true, id: 2 }),
];

const tooBig = fromServer({ flags: 'A', seq: 9001, ack: 1001, df: true, data: ramp(1461) });

const damage = { flags: 'A', seq: 1001, ack: 9001, data: ramp(10) };
/** A byte of the data changes on the way to us. */
const damaged = (frame: Uint8Array): Uint8Array => frame.with(frame.length - 1, 0xff);

const dead = fromClient({ flags: 'A', seq: 1001, ack: 9001, ttl: 0 });

const TCP: Fixture[] = [
  {
    what: 'Full-NAT TCP: a whole connection, and what is left of it ends in time',
    setup: fullnat('tcp'),
    steps: [
      ...handshake,
      c2s({ flags: 'PA', seq: 1001, ack: 9001, data: 'GET / HTTP/1.0\r\n\r\n', tos: 0x10, ttl: 17 }),
      s2c({ flags: 'A', seq: 9001, ack: 1019, data: ramp(1460) }),
      s2c({ flags: 'PA', seq: 10461, ack: 1019, data: ramp(3) }),
      c2s({ flags: 'A', seq: 1019, ack: 10464 }),
      s2c({ flags: 'FA', seq: 10464, ack: 1019 }),
      c2s({ flags: 'FA', seq: 1019, ack: 10465 }),
      s2c({ flags: 'A', seq: 10465, ack: 1020 }),
      wait(8000),
    ],
  },
  {
    what: 'Full-NAT TCP: a reset of the client goes to the real server',
    setup: fullnat('tcp'),
    steps: [...handshake, c2s({ flags: 'R', seq: 1001, window: 0 }), wait(4000)],
  },
  {
    what: 'Full-NAT TCP: a reset of the real server goes to the client',
    setup: fullnat('tcp'),
    steps: [c2s({ flags: 'S', seq: 1000 }), s2c({ flags: 'RA', seq: 0, ack: 1001, window: 0 }), wait(4000)],
  },
  {
    what: 'Full-NAT TCP: a connection that expires while established is reset at both ends',
    setup: fullnat('tcp', 5),
    steps: [
      ...handshake,
      {
        wait: 6000,
        out: place(0, [
          asToClient({ flags: 'RA', seq: 9001, ack: 1001, window: 0, df: true }),
          asToServer({ flags: 'RA', seq: 1001, ack: 9001, window: 0, df: true }),
        ]),
      },
    ],
  },
  {
    what: 'Full-NAT TCP: what belongs to no connection is dropped, both ways',
    setup: fullnat('tcp'),
    steps: [
      step([
        fromClient({ flags: 'A', seq: 1, ack: 2 }),
        fromClient({ flags: 'SA', seq: 1, ack: 2 }),
        fromClient({ flags: 'FA', seq: 1, ack: 2 }),
        fromClient({ flags: '', seq: 1 }),
        fromServer({ flags: 'SA', seq: 1, ack: 2 }),
      ]),
    ],
    drops: { CONN_NO_SYN: 5 },
  },
  {
    what: 'Full-NAT TCP: a wrong checksum is handed on as wrong as it came',
    setup: fullnat('tcp'),
    judge: false,
    steps: [...handshake, step(damaged(fromClient(damage)), damaged(asToServer(damage)))],
    open: 1,
  },
  {
    what: 'Full-NAT TCP: a malformed header is dropped',
    setup: fullnat('tcp'),
    steps: [
      step([
        ipv4({
          ...toUs,
          src: CLIENT_IP,
          dst: VIP_IP,
          proto: 6,
          payload: payloadOf(fromClient({ flags: 'S' })).slice(20, 39),
        }),
        ipv4({ ...toUs, src: CLIENT_IP, dst: VIP_IP, proto: 6, payload: ramp(3) }),
      ]),
    ],
    drops: { L4_BAD_HEADER: 2 },
  },
  {
    what: 'Full-NAT TCP: a datagram whose time to live is 0 is destroyed (RFC 791 section 3.2) and reported',
    setup: fullnat('tcp'),
    steps: [...handshake, step(dead, error(dead, { type: TIME_EXCEEDED, code: 0 }))],
    drops: { IP_TTL: 1 },
    open: 1,
  },
  {
    what: 'Full-NAT TCP: a first fragment without its whole header is not passed on (RFC 1858)',
    setup: fullnat('tcp'),
    steps: [step(fragmentsOf(fromClient({ flags: 'S', data: ramp(4) }), 16))],
    drops: { IP_FRAGMENT: 2 },
  },
  {
    what: 'Full-NAT TCP: the real server is asked for by ARP, and what waits arrives',
    setup: [...HOST, service('tcp'), dest('tcp', RS_IP), laddr('tcp')],
    steps: [
      step(fromClient({ flags: 'S', seq: 1000 }), weAsk(RS_IP)),
      step(answer(RS_IP, RS_MAC), asToServer({ flags: 'S', seq: 1000 })),
    ],
    drops: { ARP_DONE: 1 },
    open: 1,
  },
  {
    what: 'Full-NAT TCP: a segment over the MTU towards the client is reported to the real server',
    setup: fullnat('tcp'),
    ports: [{ mtu: 1500 }],
    steps: [
      ...handshake,
      step(
        tooBig,
        icmp({
          ...toRs,
          src: LIP_IP,
          dst: RS_IP,
          tos: 0xc0,
          id: id(1),
          type: UNREACH,
          code: 4,
          rest: 1500,
          data: payloadOf(tooBig).slice(0, 548),
        }),
      ),
    ],
    drops: { IP_TOO_BIG: 1 },
    open: 1,
  },
  {
    what: 'Full-NAT TCP: real servers take turns, local ports are the oldest of each',
    setup: [
      ...KNOWN,
      neigh(RS2_IP, RS2_MAC),
      service('tcp'),
      dest('tcp', RS_IP),
      dest('tcp', RS2_IP),
      laddr('tcp'),
    ],
    steps: [0, 1, 2, 3].map((n) => {
      const segment = { flags: 'S', seq: n };
      const second = n % 2 === 1;
      return step(
        fromClient({ ...segment, src: `${CLIENT_IP}:${41000 + n}` }),
        asToServer({
          ...segment,
          dmac: second ? RS2_MAC : RS_MAC,
          src: `${LIP_IP}:${1025 + (n >> 1)}`,
          dst: second ? `${RS2_IP}:80` : RS,
        }),
      );
    }),
    open: 4,
  },
  {
    what: 'Full-NAT TCP: no real server, or only ones of weight 0',
    setup: [...KNOWN, service('tcp'), laddr('tcp')],
    steps: [
      step(fromClient({ flags: 'S' })),
      command(dest('tcp', RS_IP, { weight: 0 })),
      step(fromClient({ flags: 'S' })),
    ],
    drops: { SVC_NO_DEST: 2 },
  },
  {
    what: 'Full-NAT TCP: a real server at its limit takes no more',
    setup: [...KNOWN, service('tcp'), dest('tcp', RS_IP, { maxConn: 1 }), laddr('tcp')],
    steps: [...handshake, step(fromClient({ flags: 'S', src: `${CLIENT_IP}:40001` }))],
    drops: { SVC_OVERLOAD: 1 },
    open: 1,
  },
  {
    what: 'Full-NAT TCP: no local address',
    setup: [...KNOWN, service('tcp'), dest('tcp', RS_IP)],
    steps: [step(fromClient({ flags: 'S' }))],
    drops: { SVC_NO_LADDR: 1 },
  },
  {
    what: 'Full-NAT TCP: when the table is full new connections are dropped, known ones go on, room comes back',
    conns: 3,
    setup: fullnat('tcp'),
    steps: [
      ...handshake,
      step(
        fromClient({ flags: 'S', src: `${CLIENT_IP}:40001` }),
        asToServer({ flags: 'S', src: `${LIP_IP}:1026` }),
      ),
      step(fromClient({ flags: 'S', src: `${CLIENT_IP}:40002` })),
      c2s({ flags: 'A', seq: 1001, ack: 9001 }),
      c2s({ flags: 'R', seq: 1001, window: 0 }),
      wait(4000),
      step(
        fromClient({ flags: 'S', src: `${CLIENT_IP}:40002` }),
        asToServer({ flags: 'S', src: `${LIP_IP}:1027` }),
      ),
    ],
    drops: { CONN_FULL: 1 },
    open: 2,
  },
];

// ----- Full-NAT UDP

type Dgram = Partial<UdpOptions>;
const question = (o: Dgram = {}): Uint8Array => udp({ ...toUs, src: CLIENT, dst: VIP, ...o });
const asked = (o: Dgram = {}): Uint8Array => udp({ ...toRs, src: LIP, dst: RS, ...o });
const response = (o: Dgram = {}): Uint8Array => udp({ ...rsToUs, src: RS, dst: LIP, ...o });
const responded = (o: Dgram = {}): Uint8Array => udp({ ...toClient, src: VIP, dst: CLIENT, ...o });
const u2s = (o: Dgram): Step => step(question(o), asked(o));
const u2c = (o: Dgram): Step => step(response(o), responded(o));

const UDP_CHECKSUM_AT = 14 + 20 + 6;
/** Two bytes of data with which the rewritten datagram sums up to 0, which is sent as 0xffff (RFC 768). */
const sumsToZero = asked({ data: new Uint8Array(2) }).slice(UDP_CHECKSUM_AT, UDP_CHECKSUM_AT + 2);

const UDP: Fixture[] = [
  {
    what: 'Full-NAT UDP: both ways, of every kind of size, and the connection ends',
    setup: fullnat('udp'),
    config: { udpTimeoutsMs: { normal: 5000 } },
    steps: [
      ...[0, 1, 17, 18, 19, 1471, 1472].flatMap((n) => [u2s({ data: ramp(n) }), u2c({ data: ramp(n) })]),
      wait(6000),
    ],
  },
  {
    what: 'Full-NAT UDP: a datagram without checksum stays without, both ways',
    setup: fullnat('udp'),
    steps: [u2s({ data: 'a', noChecksum: true }), u2c({ data: 'b', noChecksum: true })],
    open: 1,
  },
  {
    what: 'Full-NAT UDP: a checksum that becomes 0 is sent as 0xffff',
    setup: fullnat('udp'),
    steps: [u2s({ data: sumsToZero })],
    open: 1,
  },
  {
    what: 'Full-NAT UDP: fragments in any order go the way of the first one, both ways',
    setup: fullnat('udp'),
    steps: [
      step(
        [2, 0, 1].map((i) => fragmentsOf(question({ id: 9, data: ramp(3000) }), 1480)[i]!),
        [0, 2, 1].map((i) => fragmentsOf(asked({ id: id(1), data: ramp(3000) }), 1480)[i]!),
      ),
      step(
        fragmentsOf(response({ id: 3, data: ramp(2000) }), 1480),
        fragmentsOf(responded({ id: id(2), data: ramp(2000) }), 1480),
      ),
    ],
    open: 1,
  },
  {
    what: 'Full-NAT UDP: fragments whose first one does not come are dropped in time, those that wait are held',
    setup: fullnat('udp'),
    steps: [
      step(fragmentsOf(question({ id: 9, data: ramp(100) }), 56).slice(1)),
      wait(1000),
      step(fragmentsOf(question({ id: 10, data: ramp(100) }), 56).slice(1)),
    ],
    drops: { IP_FRAG_TIMEOUT: 1 },
    held: 1,
  },
  {
    what: 'Full-NAT UDP: over the MTU without DF it leaves in fragments',
    ports: [{ mtu: 1400 }],
    setup: fullnat('udp'),
    steps: [
      step(
        question({ id: 9, data: ramp(1472) }),
        [
          [0, 1376, { mf: true }],
          [1376, undefined, { offset: 1376 }],
        ].map((f) => {
          const [from, to, o] = f as [number, number | undefined, Partial<Ipv4Options>];
          return ipv4({
            ...toRs,
            src: LIP_IP,
            dst: RS_IP,
            id: 9,
            proto: 17,
            payload: l4of(asked({ id: 9, data: ramp(1472) })).slice(from, to),
            ...o,
          });
        }),
      ),
    ],
    open: 1,
  },
  {
    what: 'Full-NAT UDP: a length field that does not fit is dropped',
    setup: fullnat('udp'),
    steps: [step([question({ data: 'abc', udpLen: 7 }), question({ data: 'abc', udpLen: 12 })])],
    drops: { L4_BAD_HEADER: 2 },
  },
  {
    what: 'Full-NAT UDP: an answer that nobody asked for is dropped',
    setup: fullnat('udp'),
    steps: [step(response({ data: 'x' }))],
    drops: { CONN_NO_SYN: 1 },
  },
];

// ----- ICMP errors about connections

/** An error about a datagram; the quotation is cut after `keep` bytes of the transport header. */
const report = (o: {
  eth: { smac: string; dmac: string };
  src: string;
  dst: string;
  type: number;
  code: number;
  rest?: number;
  quoted: Uint8Array;
  keep?: number;
}): Uint8Array =>
  ipv4({
    ...o.eth,
    src: o.src,
    dst: o.dst,
    proto: 1,
    payload: icmpMessage({
      type: o.type,
      code: o.code,
      rest: o.rest ?? 0,
      data: payloadOf(o.quoted).slice(0, o.keep === undefined ? undefined : 20 + o.keep),
    }),
  });

const toServerSeg = { flags: 'PA', seq: 1001, ack: 9001, data: ramp(500), df: true };
const toClientSeg = { flags: 'PA', seq: 9001, ack: 1001, data: ramp(500), df: true };
const strange = {
  eth: rsToUs,
  src: RS_IP,
  dst: LIP_IP,
  type: UNREACH,
  code: 3,
  quoted: tcp({ src: `${LIP_IP}:9999`, dst: RS, flags: 'S' }),
};

const ICMP_RELATED: Fixture[] = [
  {
    what: 'ICMP: an error of the real server reaches the client as an error about its own packet',
    setup: fullnat('udp'),
    steps: [
      u2s({ data: 'knock' }),
      step(
        report({
          eth: rsToUs,
          src: RS_IP,
          dst: LIP_IP,
          type: UNREACH,
          code: 3,
          quoted: asked({ data: 'knock' }),
        }),
        report({
          eth: toClient,
          src: VIP_IP,
          dst: CLIENT_IP,
          type: UNREACH,
          code: 3,
          quoted: question({ data: 'knock' }),
        }),
      ),
    ],
    open: 1,
  },
  {
    what: 'ICMP: "fragmentation needed" of the client reaches the real server, quotation of 8 bytes',
    setup: fullnat('tcp'),
    steps: [
      ...handshake,
      s2c(toClientSeg),
      step(
        report({
          eth: toUs,
          src: CLIENT_IP,
          dst: VIP_IP,
          type: UNREACH,
          code: 4,
          rest: 1280,
          quoted: asToClient(toClientSeg),
          keep: 8,
        }),
        report({
          eth: toRs,
          src: LIP_IP,
          dst: RS_IP,
          type: UNREACH,
          code: 4,
          rest: 1280,
          quoted: fromServer(toClientSeg),
          keep: 8,
        }),
      ),
    ],
    open: 1,
  },
  {
    what: 'ICMP: "time exceeded" about a packet to the real server reaches the client, whole quotation',
    setup: fullnat('tcp'),
    steps: [
      ...handshake,
      c2s(toServerSeg),
      step(
        report({
          eth: rsToUs,
          src: '192.168.100.1',
          dst: LIP_IP,
          type: TIME_EXCEEDED,
          code: 0,
          quoted: asToServer(toServerSeg),
        }),
        report({
          eth: toClient,
          src: VIP_IP,
          dst: CLIENT_IP,
          type: TIME_EXCEEDED,
          code: 0,
          quoted: fromClient(toServerSeg),
        }),
      ),
    ],
    open: 1,
  },
  {
    what: 'ICMP: an error about no connection, or with a wrong checksum, is dropped',
    setup: fullnat('tcp'),
    steps: [
      ...handshake,
      step([
        report(strange),
        icmp({
          ...rsToUs,
          src: RS_IP,
          dst: LIP_IP,
          type: UNREACH,
          code: 3,
          data: payloadOf(asToServer({ flags: 'S' })),
          badL4Checksum: true,
        }),
        icmp({ ...rsToUs, src: RS_IP, dst: LIP_IP, type: UNREACH, code: 3, data: ramp(12) }),
        icmp({
          ...rsToUs,
          src: RS_IP,
          dst: LIP_IP,
          type: UNREACH,
          code: 3,
          data: datagram({ src: LIP_IP, dst: RS_IP, proto: 99, payload: ramp(8) }),
        }),
      ]),
    ],
    drops: { ICMP_NO_CONN: 1, ICMP_BAD: 1, ICMP_IGNORED: 2 },
    open: 1,
  },
  {
    what: 'ICMP: a ping of the VIP is answered by us, not by a real server',
    setup: fullnat('tcp'),
    steps: [step(request(), reply())],
  },
];

export const FIXTURES: readonly Fixture[] = [
  ...ARP,
  ...ICMP,
  ...IPV4,
  ...FORWARDING,
  ...TCP,
  ...TOA_FIXTURES,
  ...UDP,
  ...ICMP_RELATED,
  ...SNAT,
  ...DEFENCE,
];
