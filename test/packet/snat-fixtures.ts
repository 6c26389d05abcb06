/**
 * SNAT and ICMP services, byte for byte: hosts inside on dpdk0 (192.168.100.0/24), the internet behind dpdk1
 * (10.0.0.0/24), with 10.0.0.1 as the address that hosts inside have there.
 */
import { type Command, type CommandInput, type CommandName, COMMANDS } from '../../src/control/schema.js';
import { icmp, payloadOf, ping, ramp, tcp, udp } from '../support/frames.js';
import { macOf } from '../support/lab.js';
import type { Fixture, Placed, Step } from './fixtures.js';

const INSIDE = '192.168.100.3';
const INSIDE2 = '192.168.100.4';
const GATE = '192.168.100.1';
const WAN = '10.0.0.1';
const REMOTE = '10.0.0.9';
const MAC: Record<string, string> = {
  [INSIDE]: '02:00:00:00:00:03',
  [INSIDE2]: '02:00:00:00:00:04',
  [REMOTE]: '02:00:00:00:00:09',
};

type ProtoName = 'tcp' | 'udp' | 'icmp';

/** A command with its defaults filled in. */
const command = <N extends CommandName>(op: N, params: CommandInput<N>): Command =>
  ({ op, ...COMMANDS[op].parse(params) }) as Command;

const addr = (a: string, dev: string, sapool = false): Command => ({
  op: 'addr.add',
  dev,
  addr: a,
  plen: 24,
  scope: 'global',
  validLft: 0,
  sapool,
});
const neigh = (a: string, dev: string): Command => ({ op: 'neigh.add', dev, addr: a, lladdr: MAC[a]! });

const NETWORK: Command[] = [
  addr(GATE, 'dpdk0'),
  addr(WAN, 'dpdk1', true),
  neigh(INSIDE, 'dpdk0'),
  neigh(INSIDE2, 'dpdk0'),
  neigh(REMOTE, 'dpdk1'),
];

/** The services of the tutorial. */
const snat = (...protos: ProtoName[]): Command[] => [
  ...NETWORK,
  ...protos.flatMap((proto): Command[] => {
    const src = { from: '192.168.100.0', to: '192.168.100.254', fromPort: 0, toPort: 65535 };
    const svc = { proto, addr: '0.0.0.0', port: 0, match: { src, oif: 'dpdk1' } };
    return [
      command('svc.add', { svc, scheduler: 'rr' }),
      command('dest.add', { svc, dest: { addr: WAN, port: 0 }, fwd: 'snat' }),
    ];
  }),
];

const fromInside = { smac: MAC[INSIDE]!, dmac: macOf(0) };
const fromInside2 = { smac: MAC[INSIDE2]!, dmac: macOf(0) };
const toInside = { smac: macOf(0), dmac: MAC[INSIDE]! };
const toInside2 = { smac: macOf(0), dmac: MAC[INSIDE2]! };
const fromRemote = { smac: MAC[REMOTE]!, dmac: macOf(1) };
const toRemote = { smac: macOf(1), dmac: MAC[REMOTE]! };

const place = (port: number, frames: readonly Uint8Array[]): Placed[] =>
  frames.map((frame) => ({ port, frame }));
/** From inside through to the internet, and the other way. */
const outward = (a: Uint8Array, ...b: Uint8Array[]): Step => ({ in: place(0, [a]), out: place(1, b) });
const inward = (a: Uint8Array, ...b: Uint8Array[]): Step => ({ in: place(1, [a]), out: place(0, b) });

const two = [{}, {}];

interface Segment {
  flags: string;
  seq: number;
  ack?: number;
  data?: Uint8Array;
}
const tcpOut = (o: Segment): Step =>
  outward(
    tcp({ ...fromInside, src: `${INSIDE}:40000`, dst: `${REMOTE}:443`, df: true, ...o }),
    tcp({ ...toRemote, src: `${WAN}:1025`, dst: `${REMOTE}:443`, df: true, ...o }),
  );
const tcpIn = (o: Segment): Step =>
  inward(
    tcp({ ...fromRemote, src: `${REMOTE}:443`, dst: `${WAN}:1025`, df: true, ...o }),
    tcp({ ...toInside, src: `${REMOTE}:443`, dst: `${INSIDE}:40000`, df: true, ...o }),
  );
const opened = tcpOut({ flags: 'S', seq: 100 });

const ask = (o: object = {}) => ({ src: `${INSIDE}:40000`, dst: `${REMOTE}:53`, data: ramp(31), ...o });
const asked = (o: object = {}) => ({ src: `${WAN}:1025`, dst: `${REMOTE}:53`, data: ramp(31), ...o });
const told = (o: object = {}) => ({ src: `${REMOTE}:53`, dst: `${WAN}:1025`, data: ramp(99), ...o });
const tell = (o: object = {}) => ({ src: `${REMOTE}:53`, dst: `${INSIDE}:40000`, data: ramp(99), ...o });
const question = outward(udp({ ...fromInside, ...ask() }), udp({ ...toRemote, ...asked() }));

const echo = { data: ramp(56), seq: 7 };
const pinged = outward(
  ping({ ...fromInside, src: INSIDE, dst: REMOTE, ident: 9, ...echo }),
  ping({ ...toRemote, src: WAN, dst: REMOTE, ident: 1025, ...echo }),
);

/** An ICMP error; `quoted` is cut to `keep` bytes. */
const error = (o: {
  eth: { smac: string; dmac: string };
  src: string;
  dst: string;
  type: number;
  code: number;
  rest?: number;
  quoted: Uint8Array;
  keep: number;
}): Uint8Array =>
  icmp({
    ...o.eth,
    src: o.src,
    dst: o.dst,
    type: o.type,
    code: o.code,
    rest: o.rest ?? 0,
    data: payloadOf(o.quoted).slice(0, o.keep),
  });

/** What hosts sent and what it looked like on the other side, both ways. */
const FLOWS: {
  name: string;
  proto: ProtoName;
  open: Step;
  out: [Uint8Array, Uint8Array];
  in: [Uint8Array, Uint8Array];
}[] = [
  {
    name: 'TCP',
    proto: 'tcp',
    open: opened,
    out: [
      tcp({ src: `${INSIDE}:40000`, dst: `${REMOTE}:443`, flags: 'PA', seq: 101, ack: 1, data: ramp(60) }),
      tcp({ src: `${WAN}:1025`, dst: `${REMOTE}:443`, flags: 'PA', seq: 101, ack: 1, data: ramp(60) }),
    ],
    in: [
      tcp({ src: `${REMOTE}:443`, dst: `${WAN}:1025`, flags: 'PA', seq: 1, ack: 101, data: ramp(60) }),
      tcp({ src: `${REMOTE}:443`, dst: `${INSIDE}:40000`, flags: 'PA', seq: 1, ack: 101, data: ramp(60) }),
    ],
  },
  {
    name: 'UDP',
    proto: 'udp',
    open: question,
    out: [udp(ask()), udp(asked())],
    in: [udp(told()), udp(tell())],
  },
  {
    name: 'ping',
    proto: 'icmp',
    open: pinged,
    out: [
      ping({ src: INSIDE, dst: REMOTE, ident: 9, ...echo }),
      ping({ src: WAN, dst: REMOTE, ident: 1025, ...echo }),
    ],
    in: [
      ping({ src: REMOTE, dst: WAN, ident: 1025, reply: true, ...echo }),
      ping({ src: REMOTE, dst: INSIDE, ident: 9, reply: true, ...echo }),
    ],
  },
];

const ERRORS = [
  { what: 'time exceeded', type: 11, code: 0 },
  { what: 'fragmentation needed', type: 3, code: 4, rest: 1280 },
  { what: 'port unreachable', type: 3, code: 3 },
];

const errors: Fixture[] = FLOWS.flatMap(({ name, proto, open, out, in: back }) =>
  ERRORS.flatMap(({ what, ...o }) =>
    [28, 60].flatMap((keep): Fixture[] => [
      {
        what: `SNAT: "${what}" of a router outside about ${name} reaches the host inside, ${keep} bytes quoted`,
        ports: two,
        setup: snat(proto),
        steps: [
          open,
          inward(
            error({ ...o, eth: fromRemote, src: '10.0.0.200', dst: WAN, quoted: out[1], keep }),
            error({ ...o, eth: toInside, src: '10.0.0.200', dst: INSIDE, quoted: out[0], keep }),
          ),
        ],
        open: 1,
      },
      {
        what: `SNAT: "${what}" of the host inside about ${name} leaves from our address, ${keep} bytes quoted`,
        ports: two,
        setup: snat(proto),
        steps: [
          open,
          outward(
            error({ ...o, eth: fromInside, src: INSIDE, dst: REMOTE, quoted: back[1], keep }),
            error({ ...o, eth: toRemote, src: WAN, dst: REMOTE, quoted: back[0], keep }),
          ),
        ],
        open: 1,
      },
    ]),
  ),
);

/** Nobody gets what these steps send while an address is on a black list. */
const cutBy = (entry: string, proto: ProtoName | undefined, steps: readonly Step[]): Step[] => {
  const src = { from: '192.168.100.0', to: '192.168.100.254', fromPort: 0, toPort: 65535 };
  const svc = { proto: proto!, addr: '0.0.0.0', port: 0, match: { src, oif: 'dpdk1' } };
  const o = { ...(proto === undefined ? {} : { svc }), list: 'black' as const, entries: [entry] };
  return [
    { command: command('acl.add', o), out: [] },
    ...steps.map((s) => ({ ...s, out: [] })),
    { command: command('acl.del', o), out: [] },
  ];
};

const LISTED: Fixture[] = FLOWS.map(({ name, proto, open, out, in: back }) => {
  const outside = inward(
    error({ type: 11, code: 0, eth: fromRemote, src: '10.0.0.200', dst: WAN, quoted: out[1], keep: 60 }),
    error({ type: 11, code: 0, eth: toInside, src: '10.0.0.200', dst: INSIDE, quoted: out[0], keep: 60 }),
  );
  const inside = outward(
    error({ type: 3, code: 3, eth: fromInside, src: INSIDE, dst: REMOTE, quoted: back[1], keep: 60 }),
    error({ type: 3, code: 3, eth: toRemote, src: WAN, dst: REMOTE, quoted: back[0], keep: 60 }),
  );
  const eth = (frame: Uint8Array, e: { smac: string; dmac: string }): Uint8Array => {
    const whole = frame.slice();
    whole.set(Buffer.from(e.dmac.replaceAll(':', ''), 'hex'), 0);
    whole.set(Buffer.from(e.smac.replaceAll(':', ''), 'hex'), 6);
    return whole;
  };
  const sent = outward(eth(out[0], fromInside), eth(out[1], toRemote));
  const answered = inward(eth(back[0], fromRemote), eth(back[1], toInside));
  const all = [sent, answered, outside, inside];
  return {
    what: `SNAT ${name}: neither end of a connection gets or sends anything while one of them is listed, a host outside globally`,
    ports: two,
    setup: snat(proto),
    steps: [
      ...cutBy(REMOTE, undefined, [open]),
      open,
      ...cutBy(REMOTE, undefined, all),
      ...cutBy(INSIDE, undefined, all),
      ...cutBy(INSIDE, proto, all),
      ...all,
    ],
    drops: { ACL_BLACKLIST: 1 + 3 * all.length },
    open: 1,
  };
});

const VIP = '10.0.0.100';
const LIP = '192.168.100.200';
const pingSvc = { proto: 'icmp', addr: VIP, port: 0 } as const;
const service: Command[] = [
  ...NETWORK,
  addr(VIP, 'dpdk1'),
  command('svc.add', { svc: pingSvc, scheduler: 'rr' }),
  command('dest.add', { svc: pingSvc, dest: { addr: INSIDE, port: 0 }, fwd: 'fullnat' }),
  { op: 'laddr.add', svc: pingSvc, addr: LIP, dev: 'dpdk0' },
];
const vipPinged = inward(
  ping({ ...fromRemote, src: REMOTE, dst: VIP, ident: 9, ...echo }),
  ping({ ...toInside, src: LIP, dst: INSIDE, ident: 1025, ...echo }),
);

const ICMP_SERVICE: Fixture[] = [
  {
    what: 'ICMP service: a ping of the VIP is answered by the real server',
    ports: two,
    setup: service,
    steps: [
      vipPinged,
      outward(
        ping({ ...fromInside, src: INSIDE, dst: LIP, ident: 1025, reply: true, ...echo }),
        ping({ ...toRemote, src: VIP, dst: REMOTE, ident: 9, reply: true, ...echo }),
      ),
    ],
    open: 1,
  },
  {
    what: 'ICMP service: an error about the reply reaches the real server, one about the request the client',
    ports: two,
    setup: service,
    steps: [
      vipPinged,
      inward(
        error({
          eth: fromRemote,
          src: REMOTE,
          dst: VIP,
          type: 3,
          code: 1,
          quoted: ping({ src: VIP, dst: REMOTE, ident: 9, reply: true, ...echo }),
          keep: 28,
        }),
        error({
          eth: toInside,
          src: LIP,
          dst: INSIDE,
          type: 3,
          code: 1,
          quoted: ping({ src: INSIDE, dst: LIP, ident: 1025, reply: true, ...echo }),
          keep: 28,
        }),
      ),
      outward(
        error({
          eth: fromInside,
          src: INSIDE,
          dst: LIP,
          type: 11,
          code: 0,
          quoted: ping({ src: LIP, dst: INSIDE, ident: 1025, ...echo }),
          keep: 84,
        }),
        error({
          eth: toRemote,
          src: VIP,
          dst: REMOTE,
          type: 11,
          code: 0,
          quoted: ping({ src: REMOTE, dst: VIP, ident: 9, ...echo }),
          keep: 84,
        }),
      ),
    ],
    open: 1,
  },
  {
    what: 'ICMP service: with no real server that could answer, pings end',
    ports: two,
    setup: [...service, command('dest.edit', { svc: pingSvc, dest: { addr: INSIDE, port: 0 }, weight: 0 })],
    steps: [inward(ping({ ...fromRemote, src: REMOTE, dst: VIP, ident: 9, ...echo }))],
    drops: { SVC_NO_DEST: 1 },
  },
];

export const SNAT: readonly Fixture[] = [
  {
    what: 'SNAT: a TCP connection from inside, from SYN to its end',
    ports: two,
    setup: snat('tcp'),
    steps: [
      opened,
      tcpIn({ flags: 'SA', seq: 500, ack: 101 }),
      tcpOut({ flags: 'A', seq: 101, ack: 501 }),
      tcpOut({ flags: 'PA', seq: 101, ack: 501, data: ramp(777) }),
      tcpIn({ flags: 'PA', seq: 501, ack: 878, data: ramp(1460) }),
      tcpOut({ flags: 'FA', seq: 878, ack: 1961 }),
      tcpIn({ flags: 'FA', seq: 1961, ack: 879 }),
      tcpOut({ flags: 'A', seq: 879, ack: 1962 }),
      { wait: 7500, out: [] },
    ],
  },
  {
    what: 'SNAT: UDP both ways, with and without checksum',
    ports: two,
    setup: snat('udp'),
    steps: [
      question,
      inward(udp({ ...fromRemote, ...told() }), udp({ ...toInside, ...tell() })),
      outward(
        udp({ ...fromInside, ...ask({ noChecksum: true }) }),
        udp({ ...toRemote, ...asked({ noChecksum: true }) }),
      ),
      inward(
        udp({ ...fromRemote, ...told({ noChecksum: true }) }),
        udp({ ...toInside, ...tell({ noChecksum: true }) }),
      ),
    ],
    open: 1,
  },
  {
    what: 'SNAT: pings of two hosts with one identifier',
    ports: two,
    setup: snat('icmp'),
    steps: [
      pinged,
      outward(
        ping({ ...fromInside2, src: INSIDE2, dst: REMOTE, ident: 9, ...echo }),
        ping({ ...toRemote, src: WAN, dst: REMOTE, ident: 1026, ...echo }),
      ),
      inward(
        ping({ ...fromRemote, src: REMOTE, dst: WAN, ident: 1026, reply: true, ...echo }),
        ping({ ...toInside2, src: REMOTE, dst: INSIDE2, ident: 9, reply: true, ...echo }),
      ),
      inward(
        ping({ ...fromRemote, src: REMOTE, dst: WAN, ident: 1025, reply: true, ...echo }),
        ping({ ...toInside, src: REMOTE, dst: INSIDE, ident: 9, reply: true, ...echo }),
      ),
    ],
    open: 2,
  },
  {
    what: 'SNAT: the address itself answers pings, and a reply that nobody waits for ends',
    ports: two,
    setup: snat('icmp'),
    steps: [
      {
        in: place(1, [ping({ ...fromRemote, src: REMOTE, dst: WAN, ident: 1025 })]),
        out: place(1, [ping({ ...toRemote, src: WAN, dst: REMOTE, ident: 1025, reply: true, id: 0x8001 })]),
      },
      inward(ping({ ...fromRemote, src: REMOTE, dst: WAN, ident: 1025, reply: true })),
    ],
    drops: { ICMP_NO_CONN: 1 },
  },
  {
    what: 'SNAT: what no service covers is forwarded as it is',
    ports: two,
    config: { forwarding: true },
    setup: snat('tcp'),
    steps: [
      outward(udp({ ...fromInside, ...ask() }), udp({ ...toRemote, ...ask(), ttl: 63 })),
      inward(
        udp({ ...fromRemote, src: `${REMOTE}:1`, dst: `${INSIDE}:2` }),
        udp({ ...toInside, src: `${REMOTE}:1`, dst: `${INSIDE}:2`, ttl: 63 }),
      ),
    ],
  },
  {
    what: 'SNAT: what no service covers is not forwarded to a listed host either',
    ports: two,
    config: { forwarding: true },
    setup: snat('tcp'),
    steps: cutBy(REMOTE, undefined, [outward(udp({ ...fromInside, ...ask() }))]),
    drops: { ACL_BLACKLIST: 1 },
  },
  {
    what: 'SNAT: the hop is counted when told to, and its end reported to the host inside',
    ports: two,
    config: { xmitTtl: true },
    setup: snat('udp'),
    steps: [
      outward(udp({ ...fromInside, ...ask({ ttl: 5 }) }), udp({ ...toRemote, ...asked({ ttl: 4 }) })),
      {
        in: place(0, [udp({ ...fromInside, ...ask({ ttl: 1 }) })]),
        out: place(0, [
          icmp({
            ...toInside,
            src: GATE,
            dst: INSIDE,
            type: 11,
            tos: 0xc0,
            id: 0x8001,
            data: payloadOf(udp({ ...fromInside, ...ask({ ttl: 1 }) })),
          }),
        ]),
      },
    ],
    drops: { IP_TTL: 1 },
    open: 1,
  },
  {
    what: 'SNAT: too big for the way out, the host inside learns the MTU',
    ports: [{}, { mtu: 1000 }],
    setup: snat('udp'),
    steps: [
      {
        in: place(0, [udp({ ...fromInside, ...ask({ df: true, data: ramp(1200) }) })]),
        out: place(0, [
          icmp({
            ...toInside,
            src: GATE,
            dst: INSIDE,
            type: 3,
            code: 4,
            rest: 1000,
            tos: 0xc0,
            id: 0x8001,
            data: payloadOf(udp({ ...fromInside, ...ask({ df: true, data: ramp(1200) }) })).slice(0, 548),
          }),
        ]),
      },
    ],
    drops: { IP_TOO_BIG: 1 },
    open: 1,
  },
  ...errors,
  ...LISTED,
  ...ICMP_SERVICE,
];
