/**
 * The client's address on its way to the real server as fixtures (see fixtures.ts): UOA in both formats, PROXY headers over
 * UDP and TCP. One link: client, real server and we.
 */
import type { Command, SvcOptions } from '../../src/control/schema.js';
import { fragmentsOf, icmp, ipv4, payloadOf, ramp, tcp, udp, udpDatagram } from '../support/frames.js';
import type { TcpOptions, UdpOptions } from '../support/frames.js';
import { macOf } from '../support/lab.js';
import type { Fixture, Step } from './fixtures.js';

const CLIENT = '192.168.100.3:40000';
const VIP_IP = '192.168.100.100';
const VIP = `${VIP_IP}:80`;
const RS_IP = '192.168.100.2';
const RS = `${RS_IP}:80`;
const LIP_IP = '192.168.100.200';
const LIP = `${LIP_IP}:1025`;
const CLIENT_MAC = '02:00:00:00:00:03';
const RS_MAC = '02:00:00:00:00:02';
const toUs = { smac: CLIENT_MAC, dmac: macOf(0) };
const toClient = { smac: macOf(0), dmac: CLIENT_MAC };
const rsToUs = { smac: RS_MAC, dmac: macOf(0) };
const toRs = { smac: macOf(0), dmac: RS_MAC };

const neigh = (addr: string, lladdr: string): Command => ({ op: 'neigh.add', dev: 'dpdk0', addr, lladdr });
const setup = (proto: 'tcp' | 'udp', proxyProtocol: SvcOptions['proxyProtocol'] = 'disable'): Command[] => {
  const svc = { proto, addr: VIP_IP, port: 80 };
  return [
    { op: 'addr.add', dev: 'dpdk0', addr: VIP_IP, plen: 24, scope: 'global', validLft: 0, sapool: false },
    neigh('192.168.100.3', CLIENT_MAC),
    neigh(RS_IP, RS_MAC),
    { op: 'svc.add', svc, scheduler: 'rr', proxyProtocol },
    { op: 'dest.add', svc, dest: { addr: RS_IP, port: 80 }, fwd: 'fullnat' },
    { op: 'laddr.add', svc, addr: LIP_IP, dev: 'dpdk0' },
  ];
};

const step = (input: Uint8Array | Uint8Array[], ...output: Uint8Array[]): Step => ({
  in: [input].flat().map((frame) => ({ port: 0, frame })),
  out: output.map((frame) => ({ port: 0, frame })),
});
const bytes = (...parts: (string | readonly number[] | Uint8Array)[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((x) => (typeof x === 'string' ? [...Buffer.from(x, 'latin1')] : [...x])));

// ----- UOA

const OPTION = [31, 8, 0x9c, 0x40, 192, 168, 100, 3];
const asks = (o: Partial<UdpOptions> = {}): Uint8Array => udp({ ...toUs, src: CLIENT, dst: VIP, ...o });
const asked = (o: Partial<UdpOptions> = {}): Uint8Array => udp({ ...toRs, src: LIP, dst: RS, ...o });
const answers: Step = step(
  udp({ ...rsToUs, src: RS, dst: LIP, data: 'yes' }),
  udp({ ...toClient, src: VIP, dst: CLIENT, data: 'yes' }),
);
const byOption = (o: Partial<UdpOptions> = {}): Uint8Array => asked({ ...o, options: OPTION });
const byProtocol = (o: Partial<UdpOptions> = {}, flags = 0): Uint8Array =>
  ipv4({
    ...toRs,
    src: LIP_IP,
    dst: RS_IP,
    ...o,
    proto: 248,
    payload: bytes([0x40 | flags, 17, 0, 12], OPTION, udpDatagram({ src: LIP, dst: RS, ...o })),
  });

const UOA: Fixture[] = (
  [
    ['opp', byProtocol, 12],
    ['ipo', byOption, 8],
  ] as const
).flatMap(([uoaMode, told, more]): Fixture[] => {
  const ahead = (o: Partial<UdpOptions> = {}): Uint8Array =>
    uoaMode === 'opp' ? byProtocol({ data: '', df: true, ...o }, 1) : byOption({ data: '', df: true, ...o });
  const full = { data: ramp(1472), df: true };
  return [
    {
      what: `UOA ${uoaMode}: the first two datagrams carry the client's address, answers and later ones nothing`,
      setup: setup('udp'),
      config: { uoaMode, uoaMaxTrail: 2 },
      steps: [
        step(asks({ data: 'a' }), told({ data: 'a' })),
        answers,
        step(asks({ data: 'b', noChecksum: true }), told({ data: 'b', noChecksum: true })),
        step(asks({ data: 'c' }), asked({ data: 'c' })),
        answers,
        step([asks({ data: 'd' }), asks({ data: 'e' })], asked({ data: 'd' }), asked({ data: 'e' })),
      ],
      open: 1,
    },
    {
      what: `UOA ${uoaMode}: a datagram of its own where there is no room`,
      setup: setup('udp'),
      config: { uoaMode, uoaMaxTrail: 1 },
      steps: [step(asks(full), ahead(), asked(full)), step(asks(full), asked(full))],
      open: 1,
    },
    {
      what: `UOA ${uoaMode}: a datagram of its own ahead of fragments`,
      setup: setup('udp'),
      config: { uoaMode, uoaMaxTrail: 1 },
      steps: [
        step(
          fragmentsOf(asks({ data: ramp(40), id: 7 }), 24),
          ahead(),
          ...fragmentsOf(asked({ data: ramp(40), id: 0x8001 }), 24),
        ),
      ],
      open: 1,
    },
    {
      what: `UOA ${uoaMode}: "fragmentation needed" reaches the client without it`,
      setup: setup('udp'),
      config: { uoaMode, uoaMaxTrail: 1 },
      steps: [
        step(asks({ data: ramp(900), df: true }), told({ data: ramp(900), df: true })),
        step(
          icmp({
            ...rsToUs,
            src: '192.168.100.254',
            dst: LIP_IP,
            type: 3,
            code: 4,
            rest: 800,
            data: payloadOf(told({ data: ramp(900), df: true })).subarray(0, 60),
          }),
          icmp({
            ...toClient,
            src: VIP_IP,
            dst: '192.168.100.3',
            type: 3,
            code: 4,
            rest: 800 - more,
            data: payloadOf(asks({ data: ramp(900), df: true })).subarray(0, 60 - more),
          }),
        ),
      ],
      open: 1,
    },
  ];
});

// ----- PROXY protocol

const SIGNATURE = [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10];
const ENDS = [192, 168, 100, 3, 192, 168, 100, 100, 0x9c, 0x40, 0, 80];
const V1 = bytes('PROXY TCP4 192.168.100.3 192.168.100.100 40000 80\r\n');
const v2 = (family: number, ends = ENDS): Uint8Array => bytes(SIGNATURE, [0x21, family, 0, 12], ends);
const FORGED = bytes('PROXY TCP4 6.6.6.6 192.168.100.100 666 80\r\n');

const PROXY_UDP: Fixture[] = [
  {
    what: 'PROXY v2 over UDP: in the first datagram only',
    setup: setup('udp', 'v2'),
    config: { uoaMaxTrail: 3 },
    steps: [
      step(asks({ data: 'a' }), asked({ data: bytes(v2(0x12), 'a') })),
      answers,
      step([asks({ data: 'b' }), asks({ data: 'c' })], asked({ data: 'b' }), asked({ data: 'c' })),
    ],
    open: 1,
  },
  {
    what: "PROXY v2 over UDP: a client's own is replaced",
    setup: setup('udp', 'v2'),
    steps: [
      step(
        asks({ data: bytes(v2(0x12, [6, 6, 6, 6, ...ENDS.slice(4)]), 'a') }),
        asked({ data: bytes(v2(0x12), 'a') }),
      ),
    ],
    open: 1,
  },
];

const CLIENT_ISN = 0xfffffff0;
const SERVER_ISN = 5000;
/** A segment of the client, at a position of its stream. */
const says = (at: number, o: Partial<TcpOptions> = {}): Uint8Array =>
  tcp({
    ...toUs,
    src: CLIENT,
    dst: VIP,
    flags: 'PA',
    seq: (CLIENT_ISN + 1 + at) >>> 0,
    ack: SERVER_ISN + 1,
    ...o,
  });
const hears = (at: number, o: Partial<TcpOptions> = {}): Uint8Array =>
  tcp({
    ...toRs,
    src: LIP,
    dst: RS,
    flags: 'PA',
    seq: (CLIENT_ISN + 1 + at) >>> 0,
    ack: SERVER_ISN + 1,
    ...o,
  });
/** The real server acknowledges up to a position, the client sees it as another one. */
const acks = (server: number, client: number, o: Partial<TcpOptions> = {}): Step => {
  const rest = { seq: SERVER_ISN + 1, ...o };
  return step(
    tcp({ ...rsToUs, src: RS, dst: LIP, ...rest, ack: (CLIENT_ISN + 1 + server) >>> 0 }),
    tcp({ ...toClient, src: VIP, dst: CLIENT, ...rest, ack: (CLIENT_ISN + 1 + client) >>> 0 }),
  );
};
const HANDSHAKE: Step[] = [
  step(says(-1, { flags: 'S', ack: 0 }), hears(-1, { flags: 'S', ack: 0 })),
  acks(0, 0, { flags: 'SA', seq: SERVER_ISN }),
  step(says(0, { flags: 'A' }), hears(0, { flags: 'A' })),
];

const PROXY_TCP: Fixture[] = (
  [
    ['v1', V1],
    ['v2', v2(0x11)],
  ] as const
).flatMap(([proxyProtocol, header]): Fixture[] => {
  const H = header.length;
  return [
    {
      what: `PROXY ${proxyProtocol}: in front of the first byte, numbers wrap, both ways to the end`,
      setup: setup('tcp', proxyProtocol),
      steps: [
        ...HANDSHAKE,
        step(says(0, { data: 'hello' }), hears(0, { data: bytes(header, 'hello') })),
        step(says(5, { data: 'world' }), hears(H + 5, { data: 'world' })),
        acks(H - 1, 0),
        acks(H + 5, 5),
        acks(H + 10, 10, { data: 'answer', flags: 'PA' }),
        step(says(10, { data: '!' }), hears(H + 10, { data: '!' })),
        step(says(11, { flags: 'FA' }), hears(H + 11, { flags: 'FA' })),
        acks(H + 12, 12, { flags: 'FA', seq: SERVER_ISN + 7 }),
      ],
      open: 1,
    },
    {
      what: `PROXY ${proxyProtocol}: sent again ahead of the first segment; data that comes before waits`,
      setup: setup('tcp', proxyProtocol),
      steps: [
        ...HANDSHAKE,
        step(says(5, { data: 'world' })),
        step(says(0, { data: 'hello' }), hears(0, { data: bytes(header, 'hello') })),
        step(says(0, { data: 'hel' }), hears(0, { data: header, df: true }), hears(H, { data: 'hel' })),
        step(
          says(0, { data: 'helloworld' }),
          hears(0, { data: header, df: true }),
          hears(H, { data: 'helloworld' }),
        ),
        acks(H + 10, 10),
        step(says(0, { data: 'hello' }), hears(H, { data: 'hello' })),
        step(says(10, { flags: 'RA' }), hears(H + 10, { flags: 'RA' })),
      ],
      drops: { PROXY_EARLY: 1 },
      open: 1,
    },
    {
      what: `PROXY ${proxyProtocol}: a segment of its own where there is no room`,
      setup: setup('tcp', proxyProtocol),
      steps: [
        ...HANDSHAKE,
        step(
          says(0, { data: ramp(1460), df: true }),
          hears(0, { data: header, df: true }),
          hears(H, { data: ramp(1460), df: true }),
        ),
        acks(H + 1460, 1460),
      ],
      open: 1,
    },
    {
      what: `PROXY ${proxyProtocol}: a client's own is replaced`,
      setup: setup('tcp', proxyProtocol),
      steps: [
        ...HANDSHAKE,
        step(says(0, { data: bytes(FORGED, 'GET /') }), hears(0, { data: bytes(header, 'GET /') })),
        acks(H - 1, 0),
        acks(H + 5, FORGED.length + 5),
        step(says(FORGED.length + 5, { data: '!' }), hears(H + 5, { data: '!' })),
      ],
      open: 1,
    },
    {
      what: `PROXY ${proxyProtocol}: a second SYN opens nothing`,
      setup: setup('tcp', proxyProtocol),
      steps: [
        ...HANDSHAKE,
        step(says(77, { flags: 'S', data: FORGED, ack: 0 }), hears(-1, { flags: 'A' })),
        step(says(0, { data: 'x' }), hears(0, { data: bytes(header, 'x') })),
      ],
      open: 1,
    },
  ];
});

export const CLIENT_ADDR_FIXTURES: readonly Fixture[] = [...UOA, ...PROXY_UDP, ...PROXY_TCP];
