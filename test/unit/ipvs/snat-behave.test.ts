/** What RFC 4787 (UDP), RFC 5382 (TCP) and RFC 5508 (ICMP) ask of a NAT, as far as SNAT does it: see docs/conformance.md. */
import { describe, expect, it } from 'vitest';
import type { MatchSpec } from '../../../src/core/match.js';
import { decode, fragmentsOf, icmp, joined, payloadOf, ping, ramp, tcp, udp } from '../../support/frames.js';
import { OUR_MAC, PEER_MAC, Rig } from './rig.js';

const INSIDE = '192.168.0.2';
const REMOTE = '10.9.9.9';
const WAN = '192.168.0.200';
const ROUTER = '10.0.0.254';
const sent = { smac: OUR_MAC, dmac: PEER_MAC };

const PROTOS = ['tcp', 'udp', 'icmp'] as const;
type ProtoName = (typeof PROTOS)[number];

interface Gateway {
  scheduler?: string;
  wans?: string[];
  snatTimeouts?: 'short' | 'rfc';
}

/** Hosts of 192.168/16 on port 1 leave from WAN to port 0. */
function gateway({ scheduler = 'rr', wans = [WAN], snatTimeouts = 'short' }: Gateway = {}): Rig {
  const rig = new Rig({
    config: { fragmentEntries: 16, fragmentBuffers: 32, fragmentTtlMs: 1000, snatTimeouts },
  });
  for (const wan of wans) rig.addAddress(wan);
  const match: MatchSpec = { src: { from: '192.168.0.0', to: '192.168.0.99', fromPort: 0, toPort: 65535 } };
  for (const proto of PROTOS) {
    const svc = { proto, addr: '0.0.0.0', port: 0, match };
    rig.services.apply('svc.add', { svc, scheduler, connTimeout: 0 });
    for (const addr of wans) {
      const dest = { addr, port: 0 };
      rig.services.apply('dest.add', { svc, dest, fwd: 'snat', weight: 1, maxConn: 0, minConn: 0 });
    }
  }
  return rig;
}
const out = (rig: Rig, ...frames: Uint8Array[]): Uint8Array[] => rig.input(1, ...frames).client;
const back = (rig: Rig, ...frames: Uint8Array[]): Uint8Array[] => rig.input(0, ...frames).server;

/** The first packet of a connection: as the host sends it, as it leaves. */
const FIRST: Record<ProtoName, [Uint8Array, Uint8Array]> = {
  tcp: [
    tcp({ src: `${INSIDE}:40000`, dst: `${REMOTE}:443`, flags: 'S', id: 1 }),
    tcp({ ...sent, src: `${WAN}:1025`, dst: `${REMOTE}:443`, flags: 'S', id: 1 }),
  ],
  udp: [
    udp({ src: `${INSIDE}:40000`, dst: `${REMOTE}:53`, data: 'who', id: 1 }),
    udp({ ...sent, src: `${WAN}:1025`, dst: `${REMOTE}:53`, data: 'who', id: 1 }),
  ],
  icmp: [
    ping({ src: INSIDE, dst: REMOTE, ident: 7, id: 1 }),
    ping({ ...sent, src: WAN, dst: REMOTE, ident: 1025, id: 1 }),
  ],
};
/** What a router outside says about it. */
const errorAbout = (proto: ProtoName, type: number, code: number, o: object = {}): Uint8Array =>
  icmp({ src: ROUTER, dst: WAN, type, code, data: payloadOf(FIRST[proto][1]), ...o });

/** Every kind of error that exists. */
const ERRORS: [number, number][] = [
  ...Array.from({ length: 16 }, (_, code): [number, number] => [3, code]),
  [4, 0],
  [11, 0],
  [11, 1],
  [12, 0],
];

describe('a mapping', () => {
  it('of UDP outlives 299 s of silence and not 301 (RFC 4787 REQ-5)', () => {
    const rig = gateway();
    out(rig, FIRST.udp[0]);
    rig.advance(299_000, 1000);
    expect(rig.conns).toBe(1);
    rig.advance(2000, 1000);
    expect(rig.conns).toBe(0);
  });

  it('of established TCP lives 2 h 4 min, of others 4 min with snat_timeouts rfc (RFC 5382 REQ-5)', () => {
    const rig = gateway({ snatTimeouts: 'rfc' });
    out(rig, FIRST.tcp[0]);
    rig.advance(239_000, 1000);
    expect(rig.conns).toBe(1);
    const at = { src: `${REMOTE}:443`, dst: `${WAN}:1025` };
    back(rig, tcp({ ...at, flags: 'SA', seq: 500, ack: 1 }));
    out(rig, tcp({ src: `${INSIDE}:40000`, dst: `${REMOTE}:443`, flags: 'A', seq: 1, ack: 501 }));
    rig.advance(7_439_000, 10_000);
    expect(rig.conns).toBe(1);
    back(rig, tcp({ ...at, flags: 'FA', seq: 501, ack: 1 }));
    rig.advance(239_000, 1000);
    expect(rig.conns).toBe(1);
    rig.advance(2000, 1000);
    expect(rig.conns).toBe(0);
  });

  it('of UDP lives 5 min and of ICMP 1 min at least with snat_timeouts rfc, whatever is configured (RFC 4787 REQ-5, RFC 5508 REQ-2)', () => {
    const rig = gateway({ snatTimeouts: 'rfc' });
    rig.services.apply('timeout.set', { tcp: 1, tcpFin: 1, udp: 1 });
    for (const proto of PROTOS) out(rig, FIRST[proto][0]);
    back(rig, udp({ src: `${REMOTE}:53`, dst: `${WAN}:1025`, data: 'me' }));
    rig.advance(239_000, 1000);
    expect(rig.conns).toBe(3);
    rig.advance(60_000, 1000);
    expect(rig.states).toContain('17:2');
  });

  it('has the timeouts of the original by default: those of the RFCs are for SNAT alone', () => {
    const rig = gateway();
    out(rig, FIRST.tcp[0]);
    rig.advance(31_000, 1000);
    expect(rig.conns).toBe(0);
    const nat = new Rig({ config: { snatTimeouts: 'rfc' } });
    nat.serve('tcp');
    nat.fromClient(tcp({ src: '10.0.0.1:9', dst: '10.1.1.1:80', flags: 'S' }));
    nat.advance(31_000, 1000);
    expect(nat.conns).toBe(0);
  });

  it('of UDP is kept alive by what goes out alone (RFC 4787 REQ-6)', () => {
    const rig = gateway();
    out(rig, FIRST.udp[0]);
    for (let i = 0; i < 5; i++) {
      rig.advance(200_000, 1000);
      expect(out(rig, FIRST.udp[0])).toEqual([FIRST.udp[1]]);
    }
    expect(rig.conns).toBe(1);
  });

  it.each(PROTOS)('of %s is not ended by any ICMP error (RFC 4787 REQ-12, RFC 5382 REQ-10)', (proto) => {
    const rig = gateway();
    out(rig, FIRST[proto][0]);
    for (const [type, code] of ERRORS) expect(back(rig, errorAbout(proto, type, code))).toHaveLength(1);
    expect(rig.conns).toBe(1);
    // Nor changed: the same port serves on.
    expect(out(rig, FIRST[proto][0])).toEqual([FIRST[proto][1]]);
  });

  it.each(['udp', 'icmp'] as const)('of %s is not refreshed by an ICMP error (RFC 5508 REQ-6)', (proto) => {
    const rig = gateway();
    out(rig, FIRST[proto][0]);
    rig.advance(200_000, 1000);
    expect(back(rig, errorAbout(proto, 11, 0))).toHaveLength(1);
    rig.advance(101_000, 1000);
    expect(rig.conns).toBe(0);
  });
});

it('the connections of one host have one address when the scheduler is sh (RFC 4787 REQ-2)', () => {
  const rig = gateway({ scheduler: 'sh', wans: [WAN, '192.168.0.201', '192.168.0.202'] });
  const used = Array.from({ length: 8 }, (_, host) => {
    const addrs = Array.from({ length: 4 }, (_2, n) => {
      const [f] = out(rig, udp({ src: `192.168.0.${10 + host}:${100 + n}`, dst: `10.9.9.${n + 1}:53` }));
      return decode(f!).ip!.src;
    });
    expect(new Set(addrs).size).toBe(1);
    return addrs[0];
  });
  expect(new Set(used).size).toBeGreaterThan(1);
});

describe('the MTU of the way out', () => {
  it('is told to a host that forbids fragments (RFC 4787 REQ-13)', () => {
    const rig = gateway();
    rig.inet.mtu = 1000;
    const big = udp({ src: `${INSIDE}:40000`, dst: `${REMOTE}:53`, df: true, data: ramp(973) });
    expect(out(rig, big)).toEqual([]);
    expect(rig.inet.errors).toEqual([{ type: 3, code: 4, info: 1000, quoted: payloadOf(big) }]);
    expect(rig.drops).toEqual({ IP_TOO_BIG: 1 });
  });

  it('is what others are cut to (RFC 4787 REQ-13a)', () => {
    const rig = gateway();
    rig.inet.mtu = 1000;
    out(rig, udp({ src: `${INSIDE}:40000`, dst: `${REMOTE}:53`, data: ramp(973) }));
    expect([rig.inet.fragmented, rig.inet.errors]).toEqual([[1000], []]);
  });
});

describe('fragments', () => {
  const orders = [
    [0, 1, 2],
    [2, 1, 0],
    [1, 2, 0],
  ];
  it.each(orders)('pass in the order %i %i %i, both ways (RFC 4787 REQ-14)', (...order) => {
    const rig = gateway();
    const ask = fragmentsOf(udp({ src: `${INSIDE}:7`, dst: `${REMOTE}:53`, id: 9, data: ramp(3000) }), 1480);
    const asked = decode(joined(out(rig, ...order.map((i) => ask[i]!))));
    expect(asked.ip).toMatchObject({ src: WAN, dst: REMOTE });
    expect(asked.udp).toMatchObject({ sport: 1025, dport: 53, data: ramp(3000) });
    const tell = fragmentsOf(udp({ src: `${REMOTE}:53`, dst: `${WAN}:1025`, id: 5, data: ramp(4000) }), 1480);
    const told = decode(joined(back(rig, ...order.map((i) => tell[i]!))));
    expect(told.ip).toMatchObject({ src: REMOTE, dst: INSIDE });
    expect(told.udp).toMatchObject({ sport: 53, dport: 7, data: ramp(4000) });
    expect([rig.conns, rig.drops, rig.imbalance]).toEqual([1, {}, 0]);
  });
});

describe('TCP', () => {
  const outward = (flags: string): [Uint8Array, Uint8Array] => [
    tcp({ src: `${INSIDE}:40000`, dst: `${REMOTE}:443`, flags }),
    tcp({ ...sent, src: `${WAN}:1025`, dst: `${REMOTE}:443`, flags }),
  ];
  const inward = (flags: string): [Uint8Array, Uint8Array] => [
    tcp({ src: `${REMOTE}:443`, dst: `${WAN}:1025`, flags }),
    tcp({ ...sent, src: `${REMOTE}:443`, dst: `${INSIDE}:40000`, flags }),
  ];

  it('that both ends open at once is carried (RFC 5382 REQ-2a)', () => {
    const rig = gateway();
    for (const [side, [frame, passed]] of [
      [out, outward('S')],
      [back, inward('S')],
      [out, outward('SA')],
      [back, inward('SA')],
      [out, outward('A')],
      [back, inward('PA')],
    ] as const)
      expect(side(rig, frame)).toEqual([passed]);
    expect(rig.states).toEqual(['6:1']);
  });

  it('that nobody inside has asked for gets no answer, and does not keep anybody from asking (RFC 5382 REQ-4)', () => {
    const rig = gateway();
    for (let i = 0; i < 10; i++) {
      expect(rig.input(0, inward('S')[0])).toEqual({ client: [], server: [] });
      rig.advance(1000);
    }
    expect([rig.drops, rig.accepted, rig.conns]).toEqual([{ CONN_NO_SYN: 10 }, 0, 0]);
    expect(out(rig, outward('S')[0])).toEqual([outward('S')[1]]);
    expect(back(rig, inward('SA')[0])).toEqual([inward('SA')[1]]);
  });
});

describe('an ICMP error', () => {
  it.each(PROTOS)('about %s with a wrong checksum is dropped (RFC 5508 REQ-3)', (proto) => {
    const rig = gateway();
    out(rig, FIRST[proto][0]);
    expect(back(rig, errorAbout(proto, 11, 0, { badL4Checksum: true }))).toEqual([]);
    expect(rig.drops).toEqual({ ICMP_BAD: 1 });
  });

  it('is translated although the transport checksum that it quotes is wrong (RFC 5508 REQ-3c)', () => {
    const rig = gateway();
    out(rig, FIRST.udp[0]);
    const quoted = payloadOf(FIRST.udp[1]);
    quoted[26]! ^= 0x55;
    const [frame] = back(rig, icmp({ src: ROUTER, dst: WAN, type: 11, data: quoted }));
    const theirs = payloadOf(FIRST.udp[0]).slice(0, 24);
    expect(decode(frame!).icmp!.data.slice(0, 24)).toEqual(theirs);
  });

  it('finds the ports behind the options of what it quotes (RFC 5508 REQ-3b)', () => {
    const rig = gateway();
    out(rig, FIRST.udp[0]);
    const o = { data: 'who', options: [7, 7, 4, 0, 0, 0, 0, 0] };
    const quoted = payloadOf(udp({ src: `${WAN}:1025`, dst: `${REMOTE}:53`, ...o }));
    const [frame] = back(rig, icmp({ src: ROUTER, dst: WAN, type: 11, data: quoted }));
    expect(decode(frame!).icmp!.data).toEqual(
      payloadOf(udp({ src: `${INSIDE}:40000`, dst: `${REMOTE}:53`, ...o })),
    );
  });

  it.each(PROTOS)('about %s that nobody has sent is dropped (RFC 5508 REQ-4)', (proto) => {
    const rig = gateway();
    expect(back(rig, errorAbout(proto, 3, 1))).toEqual([]);
    expect(rig.drops).toEqual({ ICMP_NO_CONN: 1 });
  });

  it.each(ERRORS)('keeps its type %i and code %i (RFC 5508 REQ-4b)', (type, code) => {
    const rig = gateway();
    out(rig, FIRST.udp[0]);
    const rest = 0x01020304;
    expect(back(rig, errorAbout('udp', type, code, { rest }))).toEqual([
      icmp({ ...sent, src: ROUTER, dst: INSIDE, type, code, rest, data: payloadOf(FIRST.udp[0]) }),
    ]);
  });
});
