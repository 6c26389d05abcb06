/** The load balancer on the real stack: the topology of the README, one port, everything from ARP on. */
import { describe, expect, it } from 'vitest';
import { DEST_STATS } from '../../../src/core/layout.js';
import { SaPool } from '../../../src/core/sapool.js';
import { flowIndex } from '../../../src/ipvs/conn/flow-index.js';
import { Ipvs, type IpvsConfig } from '../../../src/ipvs/ipvs.js';
import { Services } from '../../../src/ipvs/service.js';
import { parseIpv4 } from '../../../src/wire/ipv4.js';
import { arp, decode, icmp, payloadOf, ping, ramp, summary, tcp, udp } from '../../support/frames.js';
import { Lab, macOf } from '../../support/lab.js';
import { UNTOUCHED } from '../../support/untouched.js';

const CLIENT = '192.168.100.3:40000';
const VIP = '192.168.100.100:80';
const LIP = '192.168.100.200';
const RS = '192.168.100.2:80';
const CLIENT_MAC = '02:00:00:00:00:03';
const RS_MAC = '02:00:00:00:00:02';

interface Scene {
  lab: Lab;
  ipvs: Ipvs;
  services: Services;
}

function scene(
  o: { proto?: 'tcp' | 'udp'; neighs?: boolean; config?: IpvsConfig; mtu?: number } = {},
): Scene {
  const { proto = 'tcp' } = o;
  const lab = new Lab({
    ports: [o.mtu === undefined ? {} : { mtu: o.mtu }],
    addrs: ['192.168.100.100/24', `${LIP}/32`],
    neighs: o.neighs === false ? [] : [`192.168.100.3 ${CLIENT_MAC}`, `192.168.100.2 ${RS_MAC}`],
  });
  const services = new Services(1);
  const saPool = new SaPool({ lcore: 0, lcores: 1 });
  const ipvs = new Ipvs({
    packets: lab.packets,
    netif: lab.netif,
    inet: lab.inet,
    services,
    saPool,
    index: flowIndex(lab.native, 1, lab.native.block),
    conns: lab.native.conns,
    destStats: new Float64Array((64 * DEST_STATS.size) >>> 3),
    lcore: 1,
    lcores: 1,
    config: { tcp: UNTOUCHED, ...o.config },
  });
  lab.onTick.push((now) => ipvs.tick(now));
  const svc = { proto, addr: '192.168.100.100', port: 80 } as const;
  services.apply('svc.add', { svc, scheduler: 'rr', connTimeout: 0 });
  const dest = { addr: '192.168.100.2', port: 80 };
  services.apply('dest.add', { svc, dest, fwd: 'fullnat', weight: 1, maxConn: 0, minConn: 0 });
  services.apply('laddr.add', { svc, addr: LIP, dev: 'dpdk0' });
  saPool.add(parseIpv4(LIP));
  lab.take(0);
  return { lab, ipvs, services };
}

const from = { dmac: macOf(0) };
const client = (flags: string, data = ''): Uint8Array =>
  tcp({ ...from, smac: CLIENT_MAC, src: CLIENT, dst: VIP, flags, data });
const server = (flags: string, data = ''): Uint8Array =>
  tcp({ ...from, smac: RS_MAC, src: RS, dst: `${LIP}:1025`, flags, data });

function exchange({ lab }: Scene, frame: Uint8Array): Uint8Array[] {
  lab.inject(0, frame);
  lab.run();
  return lab.take(0);
}

describe('on the real stack', () => {
  it('a client that knows nothing of us fetches a page, and all is empty afterwards', () => {
    const s = scene();
    const steps = [
      client('S'),
      server('SA'),
      client('A'),
      client('PA', 'GET /'),
      server('PA', 'Your ip:port'),
      server('FA'),
      client('FA'),
      server('A'),
    ];
    expect(steps.flatMap((f) => exchange(s, f)).map(summary)).toEqual([
      'tcp 192.168.100.200:1025 > 192.168.100.2:80 S seq 0 ack 0 len 0',
      'tcp 192.168.100.100:80 > 192.168.100.3:40000 SA seq 0 ack 0 len 0',
      'tcp 192.168.100.200:1025 > 192.168.100.2:80 A seq 0 ack 0 len 0',
      'tcp 192.168.100.200:1025 > 192.168.100.2:80 PA seq 0 ack 0 len 5',
      'tcp 192.168.100.100:80 > 192.168.100.3:40000 PA seq 0 ack 0 len 12',
      'tcp 192.168.100.100:80 > 192.168.100.3:40000 FA seq 0 ack 0 len 0',
      'tcp 192.168.100.200:1025 > 192.168.100.2:80 FA seq 0 ack 0 len 0',
      'tcp 192.168.100.100:80 > 192.168.100.3:40000 A seq 0 ack 0 len 0',
    ]);
    s.lab.advance(8000);
    expect([s.ipvs.table.size, s.ipvs.laddrUse()[0]!.used]).toEqual([0, 0]);
    s.lab.expectBalanced();
  });

  it('goes from our MAC to that of the real server, and from ours to the client', () => {
    const s = scene();
    expect(decode(exchange(s, client('S'))[0]!)).toMatchObject({ smac: macOf(0), dmac: RS_MAC });
    expect(decode(exchange(s, server('SA'))[0]!)).toMatchObject({ smac: macOf(0), dmac: CLIENT_MAC });
  });

  it('the first packet waits until the real server has been found', () => {
    const s = scene({ neighs: false });
    expect(exchange(s, client('S')).map(summary)).toMatchObject([
      expect.stringContaining('who-has 192.168.100.2'),
    ]);
    const reply = arp({
      op: 'reply',
      sha: RS_MAC,
      spa: '192.168.100.2',
      tha: macOf(0),
      tpa: '192.168.100.100',
      dmac: macOf(0),
    });
    const [syn] = exchange(s, reply);
    expect(decode(syn!)).toMatchObject({ dmac: RS_MAC, tcp: { flags: 'S' } });
    s.lab.expectBalanced();
  });

  it('a neighbour that changes its MAC gets the packets of old connections', () => {
    const s = scene();
    exchange(s, client('S'));
    s.lab.command('neigh.del', { dev: 'dpdk0', addr: '192.168.100.2' });
    s.lab.command('neigh.add', { dev: 'dpdk0', addr: '192.168.100.2', lladdr: '02:00:00:00:00:77' });
    expect(decode(exchange(s, client('S'))[0]!).dmac).toBe('02:00:00:00:00:77');
  });

  it('ping of the VIP is answered while it has services', () => {
    const s = scene();
    const [out] = exchange(
      s,
      ping({ ...from, smac: CLIENT_MAC, src: '192.168.100.3', dst: '192.168.100.100' }),
    );
    expect(decode(out!)).toMatchObject({ icmp: { type: 0 }, ip: { src: '192.168.100.100' } });
    s.lab.expectBalanced();
  });

  it('a smaller MTU is told to the sender with DF, others are sent in fragments', () => {
    const s = scene({ proto: 'udp', mtu: 1400 });
    const big = (df: boolean, data: Uint8Array): Uint8Array =>
      udp({ ...from, smac: CLIENT_MAC, src: CLIENT, dst: VIP, df, data, id: 9 });
    exchange(s, big(true, ramp(10)));
    const [error] = exchange(s, big(true, ramp(1400)));
    expect(decode(error!)).toMatchObject({
      ip: { dst: '192.168.100.3' },
      icmp: { type: 3, code: 4, rest: 1400 },
    });
    const pieces = exchange(s, big(false, ramp(1400))).map((f) => decode(f));
    expect(pieces.map((d) => [d.ip!.src, d.ip!.dst, d.ip!.offset, d.ip!.mf])).toEqual([
      [LIP, '192.168.100.2', 0, true],
      [LIP, '192.168.100.2', 1376, false],
    ]);
    const whole = payloadOf(udp({ src: `${LIP}:1025`, dst: RS, data: ramp(1400) })).slice(20);
    expect(Buffer.concat(pieces.map((d) => d.ip!.payload))).toEqual(Buffer.from(whole));
    s.lab.expectBalanced();
  });

  it('a router behind us that wants smaller packets is heard by the real server', () => {
    const s = scene();
    exchange(s, client('S'));
    const ours = exchange(s, server('PA', 'x'.repeat(100)))[0]!;
    const [out] = exchange(
      s,
      icmp({
        ...from,
        smac: CLIENT_MAC,
        src: '192.168.100.3',
        dst: '192.168.100.100',
        type: 3,
        code: 4,
        rest: 1300,
        data: payloadOf(ours),
      }),
    );
    expect(decode(out!)).toMatchObject({
      dmac: RS_MAC,
      ip: { src: LIP, dst: '192.168.100.2' },
      icmp: { type: 3, code: 4, rest: 1300 },
    });
    expect(decode(out!).icmp!.data).toEqual(payloadOf(server('PA', 'x'.repeat(100))));
    s.lab.expectBalanced();
  });

  it('a connection that expires while established is reset on both sides', () => {
    const s = scene();
    for (const f of [client('S'), server('SA'), client('A')]) exchange(s, f);
    s.lab.advance(91_000, 1000);
    const resets = s.lab
      .take(0)
      .map((f) => decode(f))
      .filter((d) => d.tcp);
    expect(resets.map((d) => [d.ip!.src, d.ip!.dst, d.tcp!.flags])).toEqual([
      ['192.168.100.100', '192.168.100.3', 'RA'],
      [LIP, '192.168.100.2', 'RA'],
    ]);
    s.lab.expectBalanced();
  });

  it('a dead connection gets no further packets', () => {
    const s = scene();
    expect(exchange(s, client('A'))).toEqual([]);
    expect(s.lab.drops()).toEqual({ CONN_NO_SYN: 1 });
    s.lab.expectBalanced();
  });
});
