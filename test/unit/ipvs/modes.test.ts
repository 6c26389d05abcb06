/** NAT, DR and tunnel on the wire: every byte of what they send, and what they refuse. */
import { describe, expect, it } from 'vitest';
import {
  decode,
  icmp,
  ipip,
  payloadOf,
  ramp,
  sctp,
  tcp,
  type TcpOptions,
  udp,
  type UdpOptions,
} from '../../support/frames.js';
import { CLIENT, LIP, OUR_MAC, OWN, PEER_MAC, Rig, type RigOptions, VIP } from './rig.js';

type Mode = 'nat' | 'dr' | 'tunnel';
type Proto = 'tcp' | 'udp' | 'sctp';
const sent = { smac: OUR_MAC, dmac: PEER_MAC };
const ROUTER = '10.0.0.254';
const [vip, client] = [VIP, CLIENT].map((e) => e.split(':')[0]!) as [string, string];
const rs = '192.168.0.2';
/** NAT changes the port too. */
const RS: Record<Mode, string> = { nat: `${rs}:8080`, dr: `${rs}:80`, tunnel: `${rs}:80` };
const MODES: Mode[] = ['nat', 'dr', 'tunnel'];
const CASES = MODES.flatMap((mode) =>
  (['tcp', 'udp', 'sctp'] as const).map((proto) => [mode, proto] as const),
);

function rigOf(mode: Mode, proto: Proto = 'tcp', o: RigOptions = {}): Rig {
  const rig = new Rig(o);
  rig.serve(proto, { dests: [RS[mode]], fwd: mode });
  return rig;
}

type Any = Partial<TcpOptions & UdpOptions>;
function build(proto: Proto, src: string, dst: string, o: Any = {}): Uint8Array {
  if (proto === 'tcp') return tcp({ flags: 'S', ...o, src, dst });
  if (proto === 'udp') return udp({ ...o, src, dst });
  // An INIT, with parameters as data.
  const value = Uint8Array.from([...new Uint8Array(16), ...Buffer.from(o.data ?? '')]);
  return sctp({ ...o, src, dst, chunks: [{ type: 1, value }] });
}
/** Headers of the three, in whole datagrams. */
const HEADERS: Record<Proto, number> = { tcp: 40, udp: 28, sctp: 52 };
/** A packet of the client, and what the mode makes of it. */
const fromClient = (proto: Proto, o: Any = {}): Uint8Array => build(proto, CLIENT, VIP, o);
function toServer(mode: Mode, proto: Proto, o: Any = {}): Uint8Array {
  if (mode === 'nat') return build(proto, CLIENT, RS.nat, { ...o, ...sent });
  const same = fromClient(proto, { ...o, ...sent });
  return mode === 'dr' ? same : ipip({ ...sent, src: LIP, dst: rs }, same);
}
const more: Any = { tos: 0x10, id: 0x1234, df: true, ttl: 57, seq: 1000, data: 'hello' };

describe.each(CASES)('%s of %s', (mode, proto) => {
  it('sends a client packet on as the mode says, and nothing else changes', () => {
    const rig = rigOf(mode, proto);
    expect(rig.fromClient(fromClient(proto, more))).toEqual([toServer(mode, proto, more)]);
    const odd = { ...more, data: ramp(1001), df: false, options: [7, 7, 4, 0, 0, 0, 0, 0], padTo: 1200 };
    const plain = { ...odd, padTo: 0 };
    expect(rig.fromClient(fromClient(proto, odd))).toEqual([toServer(mode, proto, plain)]);
    expect([rig.conns, rig.portsUsed, rig.imbalance]).toEqual([1, 0, 0]);
    expect(rig.stat('inPackets')).toBe(2);
    expect(rig.stat('inBytes')).toBe(
      [more, plain].reduce((n, o) => n + payloadOf(fromClient(proto, o)).length, 0),
    );
  });

  it("counts the hop when told to, in the client's header and, for a tunnel, in the outer one", () => {
    const rig = rigOf(mode, proto, { config: { xmitTtl: true } });
    for (const ttl of [255, 64, 2])
      expect(rig.fromClient(fromClient(proto, { ttl }))).toEqual([toServer(mode, proto, { ttl: ttl - 1 })]);
    const last = fromClient(proto, { ttl: 1 });
    expect(rig.fromClient(last)).toEqual([]);
    expect(rig.inet.errors).toEqual([{ type: 11, code: 0, info: 0, quoted: payloadOf(last) }]);
    expect(rig.drops).toEqual({ IP_TTL: 1 });
  });

  it('answers "fragmentation needed" with what may come, and cuts what has DF clear', () => {
    const rig = rigOf(mode, proto);
    rig.inet.mtu = 1400;
    const room = mode === 'tunnel' ? 1380 : 1400;
    const header = HEADERS[proto];
    const of = (size: number, df: boolean): Any => ({ df, id: 9, data: ramp(size - header) });
    expect(rig.fromClient(fromClient(proto, of(room, true)))).toEqual([
      toServer(mode, proto, of(room, true)),
    ]);
    const big = fromClient(proto, of(room + 1, true));
    expect(rig.fromClient(big)).toEqual([]);
    expect(rig.inet.errors).toEqual([{ type: 3, code: 4, info: room, quoted: payloadOf(big) }]);
    expect(rig.inet.fragmented).toEqual([]);
    const cut = rig.fromClient(fromClient(proto, of(room + 1, false)));
    expect(cut).toHaveLength(1);
    expect(rig.inet.fragmented).toEqual([1400]);
    expect(rig.imbalance).toBe(0);
  });

  it('looks its next hop up once, and again when routes have changed', () => {
    const rig = rigOf(mode, proto);
    rig.fromClient(fromClient(proto), fromClient(proto));
    // With answers their way to the client is looked for at once.
    const ways = mode === 'nat' ? 2 : 1;
    expect(rig.inet.lookups).toBe(ways);
    rig.inet.generation++;
    expect(rig.fromClient(fromClient(proto))).toEqual([toServer(mode, proto)]);
    expect(rig.inet.lookups).toBe(ways + 1);
  });

  it('drops what has no route, and what leads to ourselves', () => {
    const rig = rigOf(mode, proto);
    rig.inet.unreachable.add(0xc0a80002);
    expect(rig.fromClient(fromClient(proto))).toEqual([]);
    expect(rig.drops).toEqual({ IP_NO_ROUTE: 1 });
    const self = new Rig();
    self.serve(proto, { dests: [`${OWN}:80`], fwd: mode });
    expect(self.fromClient(fromClient(proto))).toEqual([]);
    expect(self.drops).toEqual({ IP_NO_ROUTE: 1 });
  });

  it('needs no local address', () => {
    const rig = rigOf(mode, proto);
    rig.services.apply('laddr.del', {
      svc: { proto, addr: vip, port: 80 },
      addr: LIP,
      dev: 'dpdk0',
    });
    expect(rig.fromClient(fromClient(proto))).toHaveLength(1);
  });

  it('takes an error about what went to the client to the real server', () => {
    const rig = rigOf(mode, proto);
    rig.fromClient(fromClient(proto));
    const o: Any = { flags: 'A', data: ramp(100), df: true, id: 7 };
    const about = (src: string): Uint8Array => payloadOf(build(proto, src, CLIENT, o)).slice(0, 60);
    const e = { type: 3, code: 4, rest: 1400, ttl: 60, id: 5 };
    const error = icmp({ ...e, src: ROUTER, dst: vip, data: about(VIP) });
    // Only NAT has changed what is quoted. The router's own address stays: the server's traceroute wants it.
    const same = icmp({ ...sent, ...e, src: ROUTER, dst: vip, data: about(VIP) });
    const want = {
      nat: icmp({ ...sent, ...e, src: ROUTER, dst: rs, data: about(RS.nat) }),
      dr: same,
      tunnel: ipip({ ...sent, src: LIP, dst: rs }, same),
    };
    expect(rig.fromClient(error)).toEqual([want[mode]]);
    expect(rig.stat('inPackets')).toBe(2);
    expect(
      rig.fromClient(icmp({ ...e, src: ROUTER, dst: vip, data: about(VIP), badL4Checksum: true })),
    ).toEqual([]);
    expect(rig.drops).toEqual({ ICMP_BAD: 1 });
  });

  it('goes on after a restart of the lcore', () => {
    const old = rigOf(mode, proto);
    old.fromClient(fromClient(proto));
    const rig = new Rig({ native: old.native, destStats: old.destStats });
    for (const c of old.services.snapshot()) rig.services.apply(c.op, c);
    rig.addAddress(LIP);
    expect(rig.ipvs.rebuild()).toBe(1);
    expect(rig.fromClient(fromClient(proto, more))).toEqual([toServer(mode, proto, more)]);
    rig.advance(400_000, 1000);
    expect([rig.conns, rig.native.flowCount(1), rig.portsUsed, rig.imbalance]).toEqual([0, 0, 0, 0]);
  });
});

describe('NAT', () => {
  it.each(['tcp', 'udp'] as const)('gives answers the virtual address back: %s', (proto) => {
    const rig = rigOf('nat', proto);
    rig.fromClient(fromClient(proto));
    const o: Any = { ...more, flags: 'SA', ack: 1001 };
    expect(rig.fromServer(build(proto, RS.nat, CLIENT, o))).toEqual([
      build(proto, VIP, CLIENT, { ...o, ...sent }),
    ]);
    expect(rig.stat('outPackets')).toBe(1);
    expect(rig.states).toEqual([proto === 'tcp' ? '6:3' : '17:2']);
  });

  it.each(['tcp', 'udp'] as const)('translates an error about what went to the real server: %s', (proto) => {
    const rig = rigOf('nat', proto);
    rig.fromClient(fromClient(proto));
    const o: Any = { flags: 'A', data: ramp(64), id: 3 };
    const e = { type: 3, code: 3 };
    const error = icmp({ ...e, src: rs, dst: client, data: payloadOf(build(proto, CLIENT, RS.nat, o)) });
    expect(rig.fromServer(error)).toEqual([
      // From the virtual address: the client knows no other.
      icmp({ ...sent, ...e, src: vip, dst: client, data: payloadOf(build(proto, CLIENT, VIP, o)) }),
    ]);
  });

  it('keeps two services apart that share a real server, by refusing what could not be told apart', () => {
    const rig = rigOf('nat');
    const other = { proto: 'tcp', addr: vip, port: 81 } as const;
    rig.services.apply('svc.add', { svc: other, scheduler: 'rr', connTimeout: 0 });
    const options = { fwd: 'nat', weight: 1, maxConn: 0, minConn: 0 };
    rig.services.apply('dest.add', { svc: other, dest: { addr: rs, port: 8080 }, ...options });
    const syn = (src: string): Uint8Array => tcp({ src, dst: `${vip}:81`, flags: 'S' });
    expect(rig.fromClient(fromClient('tcp'))).toHaveLength(1);
    expect(rig.fromClient(syn(CLIENT))).toEqual([]);
    expect(rig.drops).toEqual({ CONN_CLASH: 1 });
    expect(rig.fromClient(syn('10.0.0.1:40001'))).toHaveLength(1);
    expect(decode(rig.fromServer(tcp({ src: RS.nat, dst: CLIENT, flags: 'SA' }))[0]!).tcp!.sport).toBe(80);
    expect([rig.conns, rig.stat('inactive', 1), rig.stat('inactive', 2)]).toEqual([2, 1, 1]);
  });

  it('resets both ends of an established connection that expires', () => {
    const rig = rigOf('nat');
    rig.fromClient(fromClient('tcp', { seq: 99 }));
    rig.fromServer(tcp({ src: RS.nat, dst: CLIENT, flags: 'SA', seq: 500, ack: 100 }));
    rig.fromClient(fromClient('tcp', { flags: 'A', seq: 100, ack: 501 }));
    const { client: c, server: s } = rig.advance(91_000, 1000);
    expect(c.map((f) => decode(f))).toMatchObject([
      { ip: { src: vip, dst: client }, tcp: { sport: 80, dport: 40000, flags: 'RA', seq: 501, ack: 100 } },
    ]);
    expect(s.map((f) => decode(f))).toMatchObject([
      { ip: { src: client, dst: rs }, tcp: { sport: 40000, dport: 8080, flags: 'RA', seq: 100, ack: 501 } },
    ]);
  });

  it('lets a packet of the real server that belongs to no connection pass', () => {
    const rig = rigOf('nat');
    rig.fromServer(tcp({ src: RS.nat, dst: CLIENT, flags: 'SA' }));
    expect(rig.accepted).toBe(1);
  });
});

describe.each(['dr', 'tunnel'] as const)('%s', (mode) => {
  it('follows TCP by the packets of the client alone', () => {
    const rig = rigOf(mode);
    const see = (flags: string): string[] => {
      rig.fromClient(fromClient('tcp', { flags }));
      return rig.states;
    };
    expect([see('S'), see('A'), see('FA'), see('A')].flat()).toEqual(['6:3', '6:1', '6:4', '6:4']);
    expect([rig.stat('active'), rig.stat('inactive')]).toEqual([0, 1]);
  });

  it('resets nobody when an established connection expires', () => {
    const rig = rigOf(mode);
    rig.fromClient(fromClient('tcp'), fromClient('tcp', { flags: 'A' }));
    expect(rig.stat('active')).toBe(1);
    expect(rig.advance(91_000, 1000)).toEqual({ client: [], server: [] });
    expect(rig.conns).toBe(0);
  });

  it('leaves answers and errors that pass by to routing, without counting them', () => {
    const rig = rigOf(mode);
    rig.fromClient(fromClient('tcp'));
    const about = payloadOf(fromClient('tcp', { flags: 'A', data: ramp(32) }));
    rig.fromServer(
      tcp({ src: VIP, dst: CLIENT, flags: 'SA' }),
      icmp({ src: rs, dst: client, type: 3, code: 1, data: about }),
    );
    expect(rig.accepted).toBe(2);
    expect([rig.states, rig.stat('outPackets')]).toEqual([['6:3'], 0]);
  });

  it('refuses a real server with another port than the service', () => {
    const rig = new Rig();
    expect(() => rig.serve('tcp', { dests: [`${rs}:8080`], fwd: mode })).toThrow('cannot change the port');
    rig.addDest(`${rs}:8080`);
    const edit = {
      svc: { proto: 'tcp', addr: vip, port: 80 },
      dest: { addr: rs, port: 8080 },
      fwd: mode,
    } as const;
    expect(() => rig.services.apply('dest.edit', edit)).toThrow('cannot change the port');
  });
});

describe('DR', () => {
  it('does not send to a gateway, which would send the packet back', () => {
    const rig = rigOf('dr');
    rig.inet.via.set(0xc0a80002, 0xc0a80001);
    expect(rig.fromClient(fromClient('tcp'))).toEqual([]);
    expect(rig.drops).toEqual({ DEST_NOT_ON_LINK: 1 });
  });
});

describe('the tunnel', () => {
  it('may lead over a gateway', () => {
    const rig = rigOf('tunnel');
    rig.inet.via.set(0xc0a80002, 0xc0a80001);
    expect(rig.fromClient(fromClient('tcp'))).toEqual([toServer('tunnel', 'tcp')]);
  });

  it('needs an address of ours', () => {
    const rig = rigOf('tunnel');
    rig.inet.source = 0;
    expect(rig.fromClient(fromClient('tcp'))).toEqual([]);
    expect(rig.drops).toEqual({ TUNNEL_NO_SOURCE: 1 });
  });

  it('numbers datagrams that are cut by itself: clients may use the same numbers', () => {
    const rig = rigOf('tunnel', 'udp');
    const big = (src: string): Uint8Array => udp({ src, dst: VIP, id: 77, data: ramp(1460) });
    const out = rig.fromClient(big('10.0.0.1:1'), big('10.0.0.2:1')).map((f) => decode(f).ip!);
    expect(out.map((i) => i.id)).toEqual([1, 2]);
    expect(
      out.map((i) => decode(Buffer.concat([Buffer.alloc(12), Buffer.of(8, 0), i.payload])).ip!.id),
    ).toEqual([77, 77]);
  });
});

describe('an error from inside the tunnel', () => {
  const INSIDE = '192.168.5.1';
  const data = fromClient('tcp', { flags: 'A', df: true, data: ramp(1400) });
  const outer = payloadOf(ipip({ src: LIP, dst: rs }, data));
  const error = (o: { type: number; code: number; rest?: number }, quoted = 128, about = outer): Uint8Array =>
    icmp({ src: INSIDE, dst: LIP, ...o, data: about.slice(0, quoted) });
  const tooBig = { type: 3, code: 4, rest: 1000 };
  function opened(): Rig {
    const rig = rigOf('tunnel');
    rig.fromClient(fromClient('tcp'));
    return rig;
  }

  it.each([
    ['network unreachable', 3, 0, 3, 1],
    ['host unreachable', 3, 1, 3, 1],
    ['protocol unreachable', 3, 2, 3, 1],
    ['administratively prohibited', 3, 13, 3, 1],
    ['time exceeded', 11, 0, 11, 0],
  ])('%s is told to the client', (_what, type, code, type2, code2) => {
    const rig = opened();
    rig.fromServer(error({ type, code }));
    expect(rig.inet.errors).toEqual([{ type: type2, code: code2, info: 0, quoted: outer.slice(20, 128) }]);
    expect(rig.drops).toEqual({ ICMP_DONE: 1 });
    expect(rig.imbalance).toBe(0);
  });

  it.each([
    ['port unreachable', 3, 3],
    ['source route failed', 3, 5],
    ['source quench', 4, 0],
    ['reassembly time exceeded', 11, 1],
  ])('%s is not (RFC 2003 section 4)', (_what, type, code) => {
    const rig = opened();
    rig.fromServer(error({ type, code }));
    expect([rig.inet.errors, rig.drops]).toEqual([[], { ICMP_IGNORED: 1 }]);
  });

  it('"fragmentation needed" is told with the room that is left, and remembered', () => {
    const rig = opened();
    rig.fromServer(error(tooBig));
    expect(rig.inet.errors).toEqual([{ type: 3, code: 4, info: 980, quoted: outer.slice(20, 128) }]);
    // The connection knows from now on,
    expect(rig.fromClient(data)).toEqual([]);
    expect(rig.inet.errors.at(-1)).toMatchObject({ type: 3, code: 4, info: 980 });
    // others to the same server too,
    const other = '10.0.0.7:7';
    rig.fromClient(tcp({ src: other, dst: VIP, flags: 'S' }));
    const big = tcp({ src: other, dst: VIP, flags: 'A', df: true, data: ramp(941) });
    expect(rig.fromClient(big)).toEqual([]);
    expect(rig.dropped('IP_TOO_BIG')).toBe(2);
    // for ten minutes (RFC 1191 section 6.3).
    rig.advance(601_000, 1000);
    rig.fromClient(tcp({ src: other, dst: VIP, flags: 'S' }));
    expect(rig.fromClient(big)).toHaveLength(1);
  });

  it('is learnt from even when it quotes too little for the client', () => {
    const rig = opened();
    rig.fromServer(error(tooBig, 28));
    expect([rig.inet.errors, rig.drops]).toEqual([[], { ICMP_NO_CONN: 1 }]);
    rig.inet.generation++;
    expect(rig.fromClient(data)).toEqual([]);
    expect(rig.inet.errors).toMatchObject([{ type: 3, code: 4, info: 980 }]);
  });

  it('with a larger MTU than the one that is known changes nothing (RFC 1191 section 3)', () => {
    const rig = opened();
    rig.fromServer(error(tooBig));
    rig.fromServer(error({ ...tooBig, rest: 1400 }));
    rig.inet.generation++;
    expect(rig.fromClient(data)).toEqual([]);
    expect(rig.inet.errors.map((e) => e.info)).toEqual([980, 980, 980]);
  });

  it('of an old router that names no MTU means 576 bytes', () => {
    const rig = opened();
    rig.fromServer(error({ type: 3, code: 4 }));
    expect(rig.inet.errors).toMatchObject([{ info: 556 }]);
  });

  it('with an MTU that is too small to be true shrinks it to 552 at most', () => {
    const rig = opened();
    rig.fromServer(error({ ...tooBig, rest: 68 }));
    expect(rig.inet.errors).toMatchObject([{ info: 532 }]);
  });

  it.each([
    ['an unknown connection', payloadOf(ipip({ src: LIP, dst: rs }, tcp({ src: '10.9.9.9:9', dst: VIP })))],
    [
      'a later fragment',
      payloadOf(ipip({ src: LIP, dst: rs }, udp({ src: CLIENT, dst: VIP, offset: 800, data: ramp(80) }))),
    ],
  ])('about %s is dropped', (_what, about) => {
    const rig = opened();
    rig.fromServer(error({ type: 3, code: 1 }, 128, about));
    expect([rig.inet.errors, rig.drops]).toEqual([[], { ICMP_NO_CONN: 1 }]);
  });

  it.each([
    ['a tunnel of others', payloadOf(ipip({ src: '192.168.7.7', dst: rs }, data))],
    ['a server that has none', payloadOf(ipip({ src: LIP, dst: '192.168.0.99' }, data))],
  ])('about %s is left to the stack', (_what, about) => {
    const rig = opened();
    rig.fromServer(error({ type: 3, code: 1 }, 128, about));
    expect([rig.inet.errors, rig.accepted]).toEqual([[], 1]);
  });

  it('with a wrong checksum is dropped', () => {
    const rig = opened();
    rig.fromServer(
      icmp({ src: INSIDE, dst: LIP, ...tooBig, data: outer.slice(0, 128), badL4Checksum: true }),
    );
    expect([rig.inet.errors, rig.drops]).toEqual([[], { ICMP_BAD: 1 }]);
  });

  it('quoting any number of bytes is read within them', () => {
    for (let n = 20; n <= 60; n++) {
      const rig = opened();
      rig.fromServer(error(tooBig, n));
      expect(rig.inet.errors).toHaveLength(n >= 48 ? 1 : 0);
      expect([rig.imbalance, rig.native.inUse]).toEqual([0, 0]);
    }
  });
});

describe('modes in one service', () => {
  it('each connection keeps the mode of its real server, also when that is edited or removed', () => {
    const rig = new Rig();
    rig.serve('tcp', { dests: [] });
    const modes = ['nat', 'tunnel', 'dr', 'fullnat'] as const;
    modes.forEach((fwd, i) => rig.addDest(`192.168.0.${i + 10}:80`, 'tcp', { fwd }));
    const from = (n: number, flags: string): Uint8Array => tcp({ src: `10.0.0.1:${n}`, dst: VIP, flags });
    const what = (f: Uint8Array): string => {
      const { src, dst, proto } = decode(f).ip!;
      return `${src} ${dst} ${proto}`;
    };
    const first = rig.fromClient(...[1, 2, 3, 4].map((n) => from(n, 'S'))).map(what);
    expect(first).toEqual([
      '10.0.0.1 192.168.0.10 6',
      `${LIP} 192.168.0.11 4`,
      `10.0.0.1 ${vip} 6`,
      `${LIP} 192.168.0.13 6`,
    ]);
    const svc = { proto: 'tcp', addr: vip, port: 80 } as const;
    rig.services.apply('dest.edit', { svc, dest: { addr: '192.168.0.10', port: 80 }, fwd: 'dr' });
    rig.services.apply('dest.del', { svc, dest: { addr: '192.168.0.12', port: 80 } });
    expect(rig.fromClient(...[1, 2, 3, 4].map((n) => from(n, 'A'))).map(what)).toEqual(first);
    expect(rig.imbalance).toBe(0);
  });
});
