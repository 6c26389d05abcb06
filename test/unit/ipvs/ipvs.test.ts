/** Connections from the first packet to the last, and everything that must be back at zero afterwards. */
import { describe, expect, it } from 'vitest';
import { CONN4, DIR4 } from '../../../src/core/layout.js';
import { L2_BROADCAST } from '../../../src/core/packet.js';
import { ACCEPT } from '../../../src/inet/api.js';
import { DestLimits } from '../../../src/ipvs/limits.js';
import { TCP } from '../../../src/ipvs/proto/tcp.js';
import { UDP } from '../../../src/ipvs/proto/udp.js';
import { countLaddrs, readConns, remainingMs } from '../../../src/ipvs/conn/read.js';
import { parseIpv4 } from '../../../src/wire/ipv4.js';
import { decode, icmp, ipv4, ramp, tcp, type TcpOptions, udp } from '../../support/frames.js';
import { CLIENT, endpoint, LIP, Rig, type RigOptions, RS, RS2, VIP } from './rig.js';

const svc = { proto: 'tcp', ...endpoint(VIP) } as const;
const client = (flags: string, o: Partial<TcpOptions> = {}): Uint8Array =>
  tcp({ src: CLIENT, dst: VIP, flags, ...o });
const server = (flags: string, o: Partial<TcpOptions> = {}): Uint8Array =>
  tcp({ src: RS, dst: `${LIP}:1025`, flags, ...o });

function serving(o: RigOptions = {}): Rig {
  const rig = new Rig(o);
  rig.serve();
  return rig;
}
function established(o: RigOptions = {}): Rig {
  const rig = serving(o);
  rig.fromClient(client('S', { seq: 100 }));
  rig.fromServer(server('SA', { seq: 500, ack: 101 }));
  rig.fromClient(client('A', { seq: 101, ack: 501 }));
  return rig;
}
const state = (rig: Rig): number => Number(rig.states[0]?.split(':')[1]);

/** Nothing of any connection is left. */
function expectEmpty(rig: Rig): void {
  expect(rig.conns).toBe(0);
  expect(rig.states).toEqual([]);
  expect(rig.portsUsed).toBe(0);
  expect(rig.native.flowCount(1)).toBe(0);
  for (let slot = 0; slot < 8; slot++)
    expect([rig.stat('active', slot), rig.stat('inactive', slot)]).toEqual([0, 0]);
  expect(rig.ipvs.table.nextMs()).toBe(Infinity);
  expect(rig.imbalance).toBe(0);
  expect(rig.native.inUse).toBe(0);
}

describe('a TCP connection', () => {
  it('goes through handshake, data, close and expiry, and leaves nothing behind', () => {
    const rig = serving();
    rig.fromClient(client('S'));
    expect(state(rig)).toBe(TCP.SYN_RECV);
    expect([rig.stat('active'), rig.stat('inactive')]).toEqual([0, 1]);
    rig.fromServer(server('SA'));
    expect(state(rig)).toBe(TCP.SYN_RECV);
    rig.fromClient(client('A'));
    expect(state(rig)).toBe(TCP.ESTABLISHED);
    expect([rig.stat('active'), rig.stat('inactive')]).toEqual([1, 0]);
    rig.fromClient(client('PA', { data: 'GET / HTTP/1.0\r\n\r\n' }));
    rig.fromServer(server('PA', { data: ramp(1000) }));
    rig.fromServer(server('FA'));
    expect(state(rig)).toBe(TCP.FIN_WAIT);
    expect([rig.stat('active'), rig.stat('inactive')]).toEqual([0, 1]);
    rig.fromClient(client('FA'));
    expect(state(rig)).toBe(TCP.TIME_WAIT);
    rig.fromServer(server('A'));
    expect(state(rig)).toBe(TCP.TIME_WAIT);
    rig.advance(6900);
    expect(rig.conns).toBe(1);
    rig.advance(200);
    expectEmpty(rig);
    expect(rig.generated).toBe(0);
    expect(rig.drops).toEqual({});
  });

  it('counts connections, packets and bytes of IP by direction', () => {
    const rig = established();
    rig.fromServer(server('PA', { data: ramp(1000) }));
    expect([rig.stat('conns'), rig.stat('inPackets'), rig.stat('inBytes')]).toEqual([1, 2, 80]);
    expect([rig.stat('outPackets'), rig.stat('outBytes')]).toEqual([2, 40 + 1040]);
    const { records } = rig.ipvs.table;
    expect([0, 1].map((d) => records.f64[(records.dir(1, d) + DIR4.at.bytes) >>> 3])).toEqual([80, 1080]);
    expect([0, 1].map((d) => records.u32[(records.dir(1, d) + DIR4.at.packets) >>> 2])).toEqual([2, 2]);
  });

  it.each([
    ['the client resets', (r: Rig) => r.fromClient(client('R')), TCP.CLOSE, 3000],
    ['the real server resets', (r: Rig) => r.fromServer(server('RA')), TCP.CLOSE, 3000],
    ['the client closes', (r: Rig) => r.fromClient(client('FA')), TCP.CLOSE_WAIT, 7000],
    ['the real server closes', (r: Rig) => r.fromServer(server('FA')), TCP.FIN_WAIT, 7000],
  ])('in which %s ends after the timeout of its state', (_what, act, to, ms) => {
    const rig = established();
    act(rig);
    expect(state(rig)).toBe(to);
    rig.advance(ms - 100);
    expect(rig.conns).toBe(1);
    rig.advance(200);
    expectEmpty(rig);
  });

  it('closes from both sides through CLOSE_WAIT too', () => {
    const rig = established();
    rig.fromClient(client('FA'));
    rig.fromServer(server('FA'));
    expect(state(rig)).toBe(TCP.TIME_WAIT);
  });

  it('that nobody answers ends after 30 s, a repeated SYN keeps the real server', () => {
    const rig = serving();
    rig.addDest(RS2);
    const first = rig.fromClient(client('S'));
    rig.advance(3000);
    expect(rig.fromClient(client('S'))).toEqual(first);
    expect(rig.stat('conns')).toBe(1);
    rig.advance(29_900);
    expect(rig.conns).toBe(1);
    rig.advance(200);
    expectEmpty(rig);
  });

  it('is opened anew by a SYN in TIME_WAIT, from another local port', () => {
    const rig = established();
    rig.fromServer(server('FA'));
    rig.fromClient(client('FA'));
    expect(decode(rig.fromClient(client('S', { seq: 9999 }))[0]!).tcp!.sport).toBe(1026);
    expect(state(rig)).toBe(TCP.SYN_RECV);
    expect([rig.conns, rig.portsUsed, rig.stat('active')]).toEqual([1, 1, 0]);
  });

  it('lives as long as packets come, and 90 s longer', () => {
    const rig = established();
    for (let i = 0; i < 5; i++) {
      rig.advance(80_000);
      expect(rig.fromClient(client('A'))).toHaveLength(1);
    }
    rig.advance(89_900);
    expect(rig.conns).toBe(1);
    rig.advance(200);
    expectEmpty(rig);
  });

  it('that expires while established is reset on both sides with numbers that they believe', () => {
    const rig = established();
    rig.fromServer(server('PA', { seq: 501, ack: 101, data: 'abc' }));
    rig.fromClient(client('PA', { seq: 101, ack: 504, data: 'defgh' }));
    rig.fromServer(server('A', { seq: 504, ack: 106 }));
    rig.fromServer(server('PA', { seq: 501, ack: 101, data: 'abc' })); // an old segment again
    const { client: toClient, server: toServer } = rig.advance(91_000);
    expect(toClient.map((f) => decode(f))).toMatchObject([
      {
        ip: { src: '10.1.1.1', dst: '10.0.0.1', df: true },
        tcp: { sport: 80, dport: 40000, flags: 'RA', seq: 504, ack: 106 },
      },
    ]);
    expect(toServer.map((f) => decode(f))).toMatchObject([
      {
        ip: { src: LIP, dst: '192.168.0.2' },
        tcp: { sport: 1025, dport: 8080, flags: 'RA', seq: 106, ack: 504 },
      },
    ]);
    expectEmpty(rig);
  });

  it("has its service's connection timeout while established, and the state's otherwise", () => {
    const rig = new Rig();
    rig.serve('tcp', { connTimeout: 10 });
    rig.fromClient(client('S'));
    rig.advance(20_000);
    expect(rig.conns).toBe(1);
    rig.fromServer(server('SA'));
    rig.fromClient(client('A'));
    rig.advance(9900);
    expect(rig.conns).toBe(1);
    rig.advance(200);
    expect(rig.conns).toBe(0);
  });

  it('has configured timeouts', () => {
    const rig = established({ config: { tcpTimeoutsMs: { established: 5000 } } });
    rig.advance(5100);
    expectEmpty(rig);
  });
});

describe('a UDP flow', () => {
  const ask = udp({ src: CLIENT, dst: VIP, data: 'q' });
  const answer = udp({ src: RS, dst: `${LIP}:1025`, data: 'a' });

  it('is one way until answered, inactive always, and expires after 300 s', () => {
    const rig = new Rig();
    rig.serve('udp');
    rig.fromClient(ask);
    expect(state(rig)).toBe(UDP.ONEWAY);
    rig.fromServer(answer);
    expect(state(rig)).toBe(UDP.NORMAL);
    rig.fromClient(ask);
    expect([rig.stat('active'), rig.stat('inactive')]).toEqual([0, 1]);
    rig.advance(299_900);
    expect(rig.conns).toBe(1);
    rig.advance(200);
    expectEmpty(rig);
    expect(rig.generated).toBe(0);
  });

  it("has its service's connection timeout in every state", () => {
    const rig = new Rig();
    rig.serve('udp', { connTimeout: 3 });
    rig.fromClient(ask);
    rig.advance(3100);
    expectEmpty(rig);
  });

  it('that expires is opened again by the next packet', () => {
    const rig = new Rig();
    rig.serve('udp', { connTimeout: 3 });
    rig.fromClient(ask);
    rig.advance(4000);
    expect(decode(rig.fromClient(ask)[0]!).udp!.sport).toBe(1026);
    expect(rig.stat('conns')).toBe(2);
  });
});

describe('timeouts set at run time', () => {
  const client = (n: number): string => `10.0.0.${n}:40000`;
  const ask = (n: number): Uint8Array => udp({ src: client(n), dst: VIP, data: 'ask' });

  it('hold for states entered from then on; 0 leaves one as it is', () => {
    const rig = new Rig();
    rig.serve('udp');
    const left = (): number[] => readConns(rig.native.conns, 1, 10).conns.map((c) => c.timeoutMs / 1000);
    const talk = (n: number): void => {
      const { src, dst } = decode(rig.fromClient(ask(n))[0]!).ip!;
      const { sport, dport } = decode(rig.fromClient(ask(n))[0]!).udp!;
      rig.fromServer(udp({ src: `${dst}:${dport}`, dst: `${src}:${sport}`, data: 'answer' }));
    };
    talk(1);
    rig.services.apply('timeout.set', { tcp: 900, tcpFin: 0, udp: 20 });
    talk(2);
    rig.services.apply('timeout.set', { tcp: 0, tcpFin: 30, udp: 0 });
    talk(3);
    expect(left()).toEqual([300, 20, 20]);
    expect(rig.services.timeouts).toEqual({ tcp: 900, tcpFin: 30, udp: 20 });
    rig.advance(20_100);
    expect(left()).toEqual([300]);
  });
});

describe('a packet without a connection', () => {
  it.each([
    ['an ACK', client('A')],
    ['data', client('PA', { data: 'x' })],
    ['a FIN', client('FA')],
    ['a RST', client('R')],
    ['a SYN-ACK', client('SA')],
    ['no flags', client('')],
    ['SYN and FIN', client('SF')],
  ])('to a TCP service that is no pure SYN is dropped: %s', (_what, frame) => {
    const rig = serving();
    expect(rig.fromClient(frame)).toEqual([]);
    expect(rig.drops).toEqual({ CONN_NO_SYN: 1 });
    expectEmpty(rig);
  });

  it('to a local port is dropped, to another port of the local address passes', () => {
    const rig = serving();
    rig.fromServer(tcp({ src: RS, dst: `${LIP}:2000`, flags: 'SA' }));
    expect(rig.drops).toEqual({ CONN_NO_SYN: 1 });
    rig.fromServer(tcp({ src: RS, dst: `${LIP}:22`, flags: 'S' }));
    expect(rig.accepted).toBe(1);
  });

  it('for nothing of ours passes, whatever it is', () => {
    const rig = serving();
    const dst = '10.9.9.9:80';
    rig.fromClient(
      tcp({ src: CLIENT, dst, flags: 'S' }),
      tcp({ src: CLIENT, dst: '10.1.1.1:81', flags: 'S' }),
      udp({ src: CLIENT, dst: VIP }),
      udp({ src: CLIENT, dst, udpLen: 3 }),
      ipv4({ src: CLIENT, dst: '10.9.9.9', proto: 6, payload: ramp(2) }),
      ipv4({ src: CLIENT, dst: '10.9.9.9', proto: 17, payload: ramp(8), mf: true }),
      ipv4({ src: CLIENT, dst: '10.1.1.1', proto: 47, payload: ramp(30) }),
      icmp({ src: CLIENT, dst: '10.1.1.1', type: 8, data: 'ping' }),
    );
    expect(rig.accepted).toBe(8);
    expectEmpty(rig);
  });

  it.each([
    [
      'a first fragment with half a TCP header',
      ipv4({ src: CLIENT, dst: '10.1.1.1', proto: 6, payload: ramp(16), mf: true }),
      'IP_FRAGMENT',
    ],
    [
      'a later fragment inside the TCP header',
      ipv4({ src: CLIENT, dst: '10.1.1.1', proto: 6, payload: ramp(40), offset: 16 }),
      'IP_FRAGMENT',
    ],
    ['no ports', ipv4({ src: CLIENT, dst: '10.1.1.1', proto: 6, payload: ramp(3) }), 'L4_BAD_HEADER'],
    [
      'half a TCP header',
      ipv4({
        src: CLIENT,
        dst: '10.1.1.1',
        proto: 6,
        payload: tcp({ src: CLIENT, dst: VIP, flags: 'S' }).slice(34, 50),
      }),
      'L4_BAD_HEADER',
    ],
  ] as const)('to a service that is %s is dropped', (_what, frame, reason) => {
    const rig = serving();
    rig.fromClient(frame);
    expect(rig.drops).toEqual({ [reason]: 1 });
    expectEmpty(rig);
  });

  it('that is multicast, broadcast or for another host is none of our business', () => {
    const rig = serving();
    rig.native.inject(0, client('S'));
    rig.native.poll(1, 1);
    const p = rig.packets.exception(0);
    rig.packets.setL2Class(p, L2_BROADCAST);
    expect(rig.ipvs.in(p)).toBe(ACCEPT);
    rig.packets.drop(p, 0);
  });

  it('with a broken header does not disturb the connection that it names', () => {
    const rig = established();
    const whole = client('R');
    rig.fromClient(ipv4({ src: CLIENT, dst: '10.1.1.1', proto: 6, payload: whole.slice(34, 50) }));
    expect(rig.drops).toEqual({ L4_BAD_HEADER: 1 });
    expect(state(rig)).toBe(TCP.ESTABLISHED);
  });
});

describe('a connection is refused', () => {
  it('without a real server', () => {
    const rig = new Rig();
    rig.serve('tcp', { dests: [] });
    rig.fromClient(client('S'));
    expect(rig.drops).toEqual({ SVC_NO_DEST: 1 });
    rig.addDest(RS, 'tcp', { weight: 0 });
    rig.fromClient(client('S'));
    expect(rig.drops).toEqual({ SVC_NO_DEST: 2 });
    expectEmpty(rig);
  });

  it('without a local address', () => {
    const rig = serving();
    rig.services.apply('laddr.del', { svc, addr: LIP, dev: 'dpdk0' });
    rig.fromClient(client('S'));
    expect(rig.drops).toEqual({ SVC_NO_LADDR: 1 });
    expectEmpty(rig);
  });

  it('when the local address has no port left, and served again when one comes back', () => {
    const rig = new Rig({ poolHashSize: 1, ports: { firstPort: 1025, lastPort: 1028 } });
    rig.serve();
    const syn = (n: number): Uint8Array => tcp({ src: `10.0.0.1:${n}`, dst: VIP, flags: 'S' });
    expect(rig.fromClient(syn(1), syn(2), syn(3), syn(4), syn(5))).toHaveLength(4);
    expect(rig.drops).toEqual({ SVC_NO_LADDR: 1 });
    expect(rig.ipvs.laddrUse()).toEqual([{ addr: LIP, used: 4, free: 0, miss: 1 }]);
    rig.advance(31_000);
    expect(rig.fromClient(syn(5))).toHaveLength(1);
  });

  it('when the table is full, and served again when records are free', () => {
    const rig = serving({ conns: 5 });
    const syn = (n: number): Uint8Array => tcp({ src: `10.0.0.1:${n}`, dst: VIP, flags: 'S' });
    expect(rig.fromClient(...[1, 2, 3, 4, 5, 6].map(syn))).toHaveLength(4);
    expect(rig.drops).toEqual({ CONN_FULL: 2 });
    rig.advance(31_000);
    expectEmpty(rig);
    expect(rig.fromClient(syn(9))).toHaveLength(1);
  });

  it('when every real server is at its limit, which holds over all lcores', () => {
    const rig = new Rig();
    rig.serve('tcp', { dests: [] });
    rig.addDest(RS, 'tcp', { maxConn: 3 });
    // Another lcore has one.
    new DestLimits(rig.shared.limits).add(1, 1);
    const syn = (n: number): Uint8Array => tcp({ src: `10.0.0.1:${n}`, dst: VIP, flags: 'S' });
    expect(rig.fromClient(syn(1), syn(2), syn(3))).toHaveLength(2);
    expect(rig.drops).toEqual({ SVC_OVERLOAD: 1 });
    rig.addDest(RS2);
    expect(decode(rig.fromClient(syn(4))[0]!).ip!.dst).toBe('192.168.0.3');
    rig.advance(31_000);
    expectEmpty(rig);
  });
});

describe('real servers that come and go', () => {
  const syn = (n: number): Uint8Array => tcp({ src: `10.0.0.1:${n}`, dst: VIP, flags: 'S' });
  const to = (frames: Uint8Array[]): string[] => frames.map((f) => decode(f).ip!.dst.split('.')[3]!);

  it('take turns', () => {
    const rig = serving();
    rig.addDest(RS2);
    expect(to(rig.fromClient(...[1, 2, 3, 4].map(syn)))).toEqual(['2', '3', '2', '3']);
  });

  it('keep their connections when removed, and get no new ones', () => {
    const rig = established();
    rig.addDest(RS2);
    rig.services.apply('dest.del', { svc, dest: endpoint(RS) });
    expect(to(rig.fromClient(client('PA', { data: 'x' })))).toEqual(['2']);
    expect(rig.fromServer(server('PA', { data: 'y' }))).toHaveLength(1);
    expect(to(rig.fromClient(syn(1), syn(2)))).toEqual(['3', '3']);
    rig.fromServer(server('FA'));
    rig.fromClient(client('FA'));
    rig.advance(31_000);
    expectEmpty(rig);
  });

  it('keep their connections when their service is deleted', () => {
    const rig = established();
    rig.services.apply('svc.del', { svc });
    expect(rig.fromClient(client('PA', { data: 'x' }))).toHaveLength(1);
    expect(rig.fromServer(server('PA', { data: 'y' }))).toHaveLength(1);
    rig.fromClient(syn(1));
    expect(rig.accepted).toBe(1);
    rig.advance(91_000);
    expectEmpty(rig);
  });

  it('find their running connections when they come back, with fresh counters', () => {
    const rig = established();
    rig.services.apply('dest.del', { svc, dest: endpoint(RS) });
    rig.addDest(RS);
    expect([rig.stat('active'), rig.stat('conns'), rig.stat('inPackets')]).toEqual([1, 0, 0]);
    rig.advance(91_000);
    expectEmpty(rig);
  });

  it('get no new connections at weight 0 but keep the old', () => {
    const rig = established();
    rig.services.apply('dest.edit', { svc, dest: endpoint(RS), weight: 0 });
    expect(rig.fromClient(client('A'))).toHaveLength(1);
    rig.fromClient(syn(1));
    expect(rig.drops).toEqual({ SVC_NO_DEST: 1 });
  });

  it.each([
    ['in service', () => undefined],
    ['removed', (rig: Rig) => rig.services.apply('dest.del', { svc, dest: endpoint(RS) })],
    ['at weight 0', (rig: Rig) => rig.services.apply('dest.edit', { svc, dest: endpoint(RS), weight: 0 })],
  ])(
    'give a client that reuses the port of a closed connection to the next in turn when they are %s',
    (_, retire) => {
      const rig = established();
      rig.addDest(RS2);
      rig.fromServer(server('FA'));
      rig.fromClient(client('FA'));
      retire(rig);
      expect(to(rig.fromClient(client('S')))).toEqual(['3']);
      expect(rig.fromServer(server('A'))).toEqual([]);
      rig.advance(31_000);
      expectEmpty(rig);
    },
  );

  it('are chosen by weighted least connections from what this lcore counts', () => {
    const rig = new Rig();
    rig.serve('tcp', { dests: [], scheduler: 'wlc' });
    rig.addDest(RS, 'tcp', { weight: 1 });
    rig.addDest(RS2, 'tcp', { weight: 3 });
    const got = to(rig.fromClient(...Array.from({ length: 20 }, (_, n) => syn(n + 1))));
    expect(got.filter((d) => d === '2')).toHaveLength(5);
  });

  it('have their counters zeroed on command, not their gauges', () => {
    const rig = established();
    rig.services.apply('svc.zero', {});
    expect([rig.stat('conns'), rig.stat('inPackets'), rig.stat('outBytes'), rig.stat('active')]).toEqual([
      0, 0, 0, 1,
    ]);
  });
});

describe('local addresses', () => {
  const syn = (n: number): Uint8Array => tcp({ src: `10.0.0.1:${n}`, dst: VIP, flags: 'S' });

  it('of a service are used in turn, an unusable one is passed over', () => {
    const rig = serving();
    for (const addr of ['192.168.0.201', '192.168.0.202'])
      rig.services.apply('laddr.add', { svc, addr, dev: 'dpdk0' });
    rig.addAddress('192.168.0.202');
    const from = rig.fromClient(...[1, 2, 3, 4].map(syn)).map((f) => decode(f).ip!.src);
    expect(from).toEqual([LIP, '192.168.0.202', LIP, '192.168.0.202']);
    const counts = new Map<number, number>();
    expect(countLaddrs(rig.native.conns, 1, 3, counts)).toBe(4);
    expect(countLaddrs(rig.native.conns, 4, 3, counts)).toBe(0);
    expect(counts).toEqual(
      new Map([
        [2 ** 32 + parseIpv4(LIP), 2],
        [2 ** 32 + parseIpv4('192.168.0.202'), 2],
      ]),
    );
  });

  it('give their ports back although they were removed meanwhile', () => {
    const rig = established();
    rig.services.apply('laddr.del', { svc, addr: LIP, dev: 'dpdk0' });
    rig.removeAddress(LIP);
    expect(rig.fromServer(server('PA', { data: 'still here' }))).toHaveLength(1);
    rig.advance(91_000);
    expectEmpty(rig);
    expect(rig.ipvs.laddrUse()).toEqual([]);
  });

  it('that a pool gives out twice: the connection that the index refuses ends', () => {
    const rig = new Rig({ poolHashSize: 1, ports: { firstPort: 1025, lastPort: 1025 } });
    rig.serve();
    rig.fromClient(syn(1));
    rig.saPool.free(0, parseIpv4('192.168.0.2'), 8080, 1025);
    rig.fromClient(syn(2));
    expect([rig.conns, rig.native.flowCount(1), rig.stat('inactive')]).toEqual([1, 1, 1]);
    expect(decode(rig.fromServer(server('SA', { seq: 1, ack: 1 }))[0]!).tcp!.dport).toBe(1);
  });

  it('never use a port that is a service on the same address', () => {
    const rig = serving();
    const own = { proto: 'tcp', addr: LIP, port: 1025 } as const;
    rig.services.apply('svc.add', { svc: own, scheduler: 'rr', connTimeout: 0 });
    expect(decode(rig.fromClient(syn(1))[0]!).tcp!.sport).toBe(1026);
  });
});

describe('many connections', () => {
  it('10,000 are opened and expired, and everything is back at zero', () => {
    const rig = new Rig({ conns: 10_001, mbufs: 1024 });
    rig.serve('tcp', { dests: [RS, RS2] });
    const from = (i: number): string => `10.0.${i >>> 8}.${i & 255}:40000`;
    const ports = new Set<string>();
    for (let i = 0; i < 10_000; i += 50) {
      const frames = Array.from({ length: 50 }, (_, k) => tcp({ src: from(i + k), dst: VIP, flags: 'S' }));
      for (const f of rig.fromClient(...frames)) {
        const d = decode(f);
        ports.add(`${d.ip!.dst} ${d.tcp!.sport}`);
      }
    }
    expect(ports.size).toBe(10_000);
    expect([rig.conns, rig.portsUsed, rig.native.flowCount(1)]).toEqual([10_000, 10_000, 10_000]);
    expect([rig.stat('inactive', 1), rig.stat('inactive', 2)]).toEqual([5000, 5000]);
    rig.fromClient(tcp({ src: '10.9.9.9:1', dst: VIP, flags: 'S' }));
    expect(rig.drops).toEqual({ CONN_FULL: 1 });
    rig.advance(32_000);
    expectEmpty(rig);
    expect(rig.stat('conns', 1) + rig.stat('conns', 2)).toBe(10_000);
  });
});

describe('listing from outside', () => {
  it('shows each connection with its six ends, state and time left', () => {
    const rig = established();
    rig.advance(1000);
    const { conns, next } = readConns(rig.native.conns, 1, 10);
    expect(next).toBe(0);
    expect(conns).toEqual([
      {
        conn: 1,
        proto: 'tcp',
        state: 'TCP_EST',
        timeoutMs: 90_000,
        lastSeenMs: 1000,
        dest: 1,
        caddr: parseIpv4('10.0.0.1'),
        cport: 40000,
        vaddr: parseIpv4('10.1.1.1'),
        vport: 80,
        laddr: parseIpv4(LIP),
        lport: 1025,
        daddr: parseIpv4('192.168.0.2'),
        dport: 8080,
      },
    ]);
    expect(remainingMs(conns[0]!, rig.packets.nowMs)).toBe(89_000);
    expect(remainingMs(conns[0]!, 900)).toBe(90_000);
  });

  it('goes page by page', () => {
    const rig = serving();
    rig.fromClient(...[1, 2, 3, 4, 5].map((n) => tcp({ src: `10.0.0.1:${n}`, dst: VIP, flags: 'S' })));
    const seen: number[] = [];
    for (let from = 1; from !== 0;) {
      const page = readConns(rig.native.conns, from, 2);
      expect(page.conns.length).toBeLessThanOrEqual(2);
      seen.push(...page.conns.map((c) => c.cport));
      from = page.next;
    }
    expect(seen).toEqual([1, 2, 3, 4, 5]);
    // few records at a time, whatever is found in them
    expect(readConns(rig.native.conns, 2, 10, { dest: () => false }, 3)).toEqual({
      conns: [],
      next: 5,
      seen: 3,
    });
  });

  it('never throws, whatever stands in the memory', () => {
    const buffer = new SharedArrayBuffer(CONN4.size * 100);
    const bytes = new Uint8Array(buffer);
    let shown = 0;
    for (let seed = 0; seed < 50; seed++) {
      for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 31 + seed * 17 + (i >>> 3) * seed) & 255;
      // Of some records the protocol makes sense.
      for (let c = 0; c < 100; c += 2) bytes[c * CONN4.size + DIR4.at.proto] = 6;
      const { conns } = readConns(buffer, -5, 1000);
      shown += conns.length;
      for (const c of conns) expect(['tcp', 'udp']).toContain(c.proto);
      countLaddrs(buffer, 1, 1000, new Map());
    }
    expect(shown).toBeGreaterThan(0);
  });
});
