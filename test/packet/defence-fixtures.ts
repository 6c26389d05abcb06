/** Defences: what a virtual address and its services drop, with the reason. See fixtures.ts for what the entries mean. */
import type { Command } from '../../src/control/schema.js';
import { ipip, tcp, udp } from '../support/frames.js';
import { macOf } from '../support/lab.js';
import type { Fixture, Placed, Step } from './fixtures.js';

const VIP = '192.168.100.100';
const LIP = '192.168.100.200';
const RS = '192.168.100.2';
const CLIENTS = ['192.168.100.3', '192.168.100.5'] as const;
const CLIENT_MAC = '02:00:00:00:00:03';
const RS_MAC = '02:00:00:00:00:02';

const svc = (proto: 'tcp' | 'udp') => ({ proto, addr: VIP, port: 80 });
/** One real server by Full-NAT, and two clients. */
const setup = (proto: 'tcp' | 'udp', options: object = {}): Command[] => [
  { op: 'addr.add', dev: 'dpdk0', addr: VIP, plen: 24, scope: 'global', validLft: 0, sapool: false },
  ...CLIENTS.map((addr): Command => ({ op: 'neigh.add', dev: 'dpdk0', addr, lladdr: CLIENT_MAC })),
  { op: 'neigh.add', dev: 'dpdk0', addr: RS, lladdr: RS_MAC },
  { op: 'svc.add', svc: svc(proto), scheduler: 'rr', ...options },
  { op: 'dest.add', svc: svc(proto), dest: { addr: RS, port: 80 }, fwd: 'fullnat' },
  { op: 'laddr.add', svc: svc(proto), addr: LIP, dev: 'dpdk0' },
];

const toUs = { smac: CLIENT_MAC, dmac: macOf(0) };
const toRs = { smac: macOf(0), dmac: RS_MAC };
const at0 = (frame: Uint8Array): Placed => ({ port: 0, frame });
const step = (input: Uint8Array[], output: Uint8Array[] = []): Step => ({
  in: input.map(at0),
  out: output.map(at0),
});
const syn = (port: number, client = 0, vport = 80): Uint8Array =>
  tcp({ ...toUs, src: `${CLIENTS[client]!}:${port}`, dst: `${VIP}:${vport}`, flags: 'S', seq: 7 });
const forwarded = (lport: number): Uint8Array =>
  tcp({ ...toRs, src: `${LIP}:${lport}`, dst: `${RS}:80`, flags: 'S', seq: 7 });
const query = (port: number, vport = 80): Uint8Array =>
  udp({ ...toUs, src: `${CLIENTS[0]}:${port}`, dst: `${VIP}:${vport}`, data: 'q' });

/** Two real servers that answer clients themselves, and a table for two connections. */
const RS2 = '192.168.100.4';
const RS2_MAC = '02:00:00:00:00:04';
const FULL_TABLE = { floodHigh: 90, floodLow: 50, floodIdleMs: 3000 };
const oneWay = (proto: 'tcp' | 'udp', fwd: 'dr' | 'tunnel'): Command[] => [
  ...setup(proto).filter((c) => c.op !== 'dest.add' && c.op !== 'laddr.add'),
  { op: 'neigh.add', dev: 'dpdk0', addr: RS2, lladdr: RS2_MAC },
  ...[RS, RS2].map((a): Command => ({ op: 'dest.add', svc: svc(proto), dest: { addr: a, port: 80 }, fwd })),
];
/** What a client sends, and the same as it leaves to a real server. */
const passes = (fwd: 'dr' | 'tunnel', rs: string, frame: (eth: typeof toUs) => Uint8Array): Step => {
  const eth = { smac: macOf(0), dmac: rs === RS ? RS_MAC : RS2_MAC };
  const sent = frame(eth);
  return step([frame(toUs)], [fwd === 'dr' ? sent : ipip({ ...eth, src: VIP, dst: rs }, sent)]);
};

/** A client from port 3 has RS by hash, one from port 1 RS2; the others go in turn. */
const fullTable = (fwd: 'dr' | 'tunnel'): Fixture[] => {
  const segment = (port: number, rs: string, flags: string): Step =>
    passes(fwd, rs, (eth) => tcp({ ...eth, src: `${CLIENTS[0]}:${port}`, dst: `${VIP}:80`, flags, seq: 7 }));
  const datagram = (port: number, rs: string): Step =>
    passes(fwd, rs, (eth) => udp({ ...eth, src: `${CLIENTS[0]}:${port}`, dst: `${VIP}:80`, data: 'q' }));
  return [
    {
      what: `${fwd}, TCP: with the table full of established connections new ones go by hash, and get a record when there is room`,
      conns: 3,
      config: FULL_TABLE,
      setup: oneWay('tcp', fwd),
      steps: [
        segment(101, RS, 'S'),
        segment(101, RS, 'A'),
        segment(102, RS2, 'S'),
        segment(102, RS2, 'A'),
        segment(3, RS, 'S'),
        segment(1, RS2, 'S'),
        segment(1, RS2, 'A'),
        segment(3, RS, 'A'),
        segment(101, RS, 'R'),
        { wait: 4000, out: [] },
        segment(1, RS2, 'PA'),
        segment(1, RS2, 'A'),
        segment(3, RS, 'PA'),
        segment(102, RS2, 'A'),
      ],
      open: 2,
      events: { FLOOD_BEGUN: 1, FLOOD_HASHED: 5, FLOOD_RESUMED: 1 },
    },
    {
      what: `${fwd}, UDP: with the table full new clients go by hash, and get a record when others are silent`,
      conns: 3,
      config: FULL_TABLE,
      setup: oneWay('udp', fwd),
      steps: [
        datagram(101, RS),
        datagram(102, RS2),
        datagram(3, RS),
        datagram(1, RS2),
        datagram(1, RS2),
        datagram(101, RS),
        { wait: 3100, out: [] },
        datagram(1, RS2),
        datagram(3, RS),
        datagram(1, RS2),
      ],
      open: 2,
      events: { FLOOD_BEGUN: 2, FLOOD_HASHED: 3, FLOOD_EXPIRED: 2 },
    },
  ];
};

export const DEFENCE: readonly Fixture[] = [
  {
    what: 'defence_tcp_drop: a virtual address says nothing about ports without service, whatever comes',
    config: { defenceTcpDrop: true },
    setup: setup('tcp'),
    steps: [
      step(
        ['S', 'A', 'SA', 'R', 'F', ''].map((flags) =>
          tcp({ ...toUs, src: `${CLIENTS[0]}:9`, dst: `${VIP}:81`, flags }),
        ),
      ),
      step([syn(1)], [forwarded(1025)]),
    ],
    drops: { DEFENCE_TCP_DROP: 6 },
    open: 1,
  },
  {
    what: 'defence_udp_drop: the same of UDP',
    config: { defenceUdpDrop: true },
    setup: setup('tcp'),
    steps: [step([query(1), query(2, 53)])],
    drops: { DEFENCE_UDP_DROP: 2 },
  },
  {
    what: '--src-conns: a source has no more connections than it may, another one is served',
    setup: setup('tcp', { srcConns: 2 }),
    steps: [
      step([syn(1), syn(2), syn(3)], [forwarded(1025), forwarded(1026)]),
      step([syn(1, 1)], [forwarded(1027)]),
    ],
    drops: { SRC_CONNS: 1 },
    open: 3,
  },
  {
    what: '--src-rate: a source opens no more connections than it may, and again when its time has come',
    setup: setup('tcp', { srcRate: 2 }),
    steps: [
      step([syn(1), syn(2), syn(3)], [forwarded(1025), forwarded(1026)]),
      { wait: 500, out: [] },
      step([syn(4), syn(5)], [forwarded(1027)]),
    ],
    drops: { SRC_RATE: 2 },
    open: 3,
  },
  ...fullTable('dr'),
  ...fullTable('tunnel'),
];
