/** SNAT: hosts inside (192.168/16, port 1) reach the internet (10/8, port 0) from an address of ours. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { MatchSpec } from '../../../src/core/match.js';
import { DIR_IN, DIR_OUT } from '../../../src/core/layout.js';
import { formatIpv4 } from '../../../src/wire/ipv4.js';
import { checkFrame, decode, icmp, payloadOf, ping, ramp, tcp, udp } from '../../support/frames.js';
import { OUR_MAC, PEER_MAC, Rig, type RigOptions } from './rig.js';

const INSIDE = '192.168.0.2';
const INSIDE2 = '192.168.0.3';
const REMOTE = '10.9.9.9';
/** An address of ours in the stub stack. */
const WAN = '192.168.0.200';
const ROUTER = '10.0.0.254';
const HOST_ROUTER = '192.168.0.254';
const sent = { smac: OUR_MAC, dmac: PEER_MAC };

type ProtoName = 'tcp' | 'udp' | 'icmp';
const key = (proto: ProtoName, match: MatchSpec) => ({ proto, addr: '0.0.0.0', port: 0, match });
const inside: MatchSpec = { src: { from: '192.168.0.0', to: '192.168.0.99', fromPort: 0, toPort: 65535 } };

function gateway(o: RigOptions = {}, protos: readonly ProtoName[] = ['tcp', 'udp', 'icmp']): Rig {
  const rig = new Rig(o);
  rig.addAddress(WAN);
  for (const proto of protos) {
    const svc = key(proto, inside);
    rig.services.apply('svc.add', { svc, scheduler: 'rr', connTimeout: 0 });
    addWan(rig, proto, WAN);
  }
  return rig;
}

function addWan(rig: Rig, proto: ProtoName, addr: string): void {
  const [svc, dest] = [key(proto, inside), { addr, port: 0 }];
  rig.services.apply('dest.add', { svc, dest, fwd: 'snat', weight: 1, maxConn: 0, minConn: 0 });
}

const out = (rig: Rig, ...frames: Uint8Array[]): Uint8Array[] => rig.input(1, ...frames).client;
const back = (rig: Rig, ...frames: Uint8Array[]): Uint8Array[] => rig.input(0, ...frames).server;

/** Connections, packets from the internet, packets to it. */
const counts = (proto: ProtoName): number[] => {
  const slot = ['tcp', 'udp', 'icmp'].indexOf(proto) + 1;
  return (['conns', 'inPackets', 'outPackets'] as const).map((f) => rig.stat(f, slot));
};

let rig: Rig;
beforeEach(() => {
  rig = gateway();
});

describe.each(['tcp', 'udp'] as const)('%s', (proto) => {
  const build = proto === 'tcp' ? tcp : udp;
  const o = { data: proto === 'tcp' ? '' : ramp(33), id: 77, df: true, seq: 5, tos: 4, ttl: 9, flags: 'S' };

  it('leaves from the WAN address and comes back to the host inside', () => {
    expect(out(rig, build({ src: `${INSIDE}:40000`, dst: `${REMOTE}:443`, ...o }))).toEqual([
      build({ ...sent, src: `${WAN}:1025`, dst: `${REMOTE}:443`, ...o }),
    ]);
    const answer = { ...o, flags: 'SA', ack: 6 };
    expect(back(rig, build({ src: `${REMOTE}:443`, dst: `${WAN}:1025`, ...answer }))).toEqual([
      build({ ...sent, src: `${REMOTE}:443`, dst: `${INSIDE}:40000`, ...answer }),
    ]);
    expect(rig.conns).toBe(1);
    expect(rig.portsUsed).toBe(1);
    expect(rig.imbalance).toBe(0);
    // In is what comes from the internet.
    expect(counts(proto)).toEqual([1, 1, 1]);
  });

  it('gives two hosts with the same port two ports', () => {
    for (const host of [INSIDE, INSIDE2])
      out(rig, build({ src: `${host}:7000`, dst: `${REMOTE}:443`, ...o }));
    for (const [port, host] of [
      [1025, INSIDE],
      [1026, INSIDE2],
    ] as const) {
      const [frame] = back(rig, build({ src: `${REMOTE}:443`, dst: `${WAN}:${port}`, ...o, flags: 'SA' }));
      expect(frame).toEqual(build({ ...sent, src: `${REMOTE}:443`, dst: `${host}:7000`, ...o, flags: 'SA' }));
    }
  });

  it('lets nobody in that no host inside has called', () => {
    out(rig, build({ src: `${INSIDE}:40000`, dst: `${REMOTE}:443`, ...o }));
    for (const src of [`${REMOTE}:444`, '10.9.9.8:443'])
      expect(back(rig, build({ src, dst: `${WAN}:1025`, ...o, flags: 'A' }))).toEqual([]);
    expect(rig.drops).toEqual({ CONN_NO_SYN: 2 });
  });

  it('routes what no service covers', () => {
    out(rig, build({ src: '192.168.0.100:1', dst: `${REMOTE}:443`, ...o }));
    out(rig, build({ src: `${INSIDE}:1`, dst: '10.1.1.1:443', ...o }));
    expect(rig.accepted).toBe(2);
    expect(rig.conns).toBe(0);
  });

  it('gives the port back when the connection is over', () => {
    out(rig, build({ src: `${INSIDE}:40000`, dst: `${REMOTE}:443`, ...o }));
    rig.advance(301_000, 1000);
    expect([rig.conns, rig.portsUsed]).toEqual([0, 0]);
  });

  it('has no port where the address has no pool', () => {
    rig.removeAddress(WAN);
    expect(out(rig, build({ src: `${INSIDE}:40000`, dst: `${REMOTE}:443`, ...o }))).toEqual([]);
    expect(rig.drops).toEqual({ SVC_NO_LADDR: 1 });
    expect(rig.conns).toBe(0);
  });

  it('goes on after a crash of the lcore, with its port', () => {
    out(rig, build({ src: `${INSIDE}:40000`, dst: `${REMOTE}:443`, ...o }));
    const again = gateway({ native: rig.native, destStats: rig.destStats });
    expect(again.ipvs.rebuild()).toBe(1);
    expect(again.portsUsed).toBe(1);
    expect(back(again, build({ src: `${REMOTE}:443`, dst: `${WAN}:1025`, ...o, flags: 'SA' }))).toHaveLength(
      1,
    );
    // The pool does not give the port out again.
    const [second] = out(again, build({ src: `${INSIDE2}:40000`, dst: `${REMOTE}:443`, ...o }));
    expect(second).toEqual(build({ ...sent, src: `${WAN}:1026`, dst: `${REMOTE}:443`, ...o }));
  });
});

describe('states', () => {
  const syn = tcp({ src: `${INSIDE}:40000`, dst: `${REMOTE}:443`, flags: 'S' });
  const outward = (flags: string) => tcp({ src: `${INSIDE}:40000`, dst: `${REMOTE}:443`, flags });
  const inward = (flags: string) => tcp({ src: `${REMOTE}:443`, dst: `${WAN}:1025`, flags });

  it('of TCP are those of a connection that is opened from inside', () => {
    const seen: string[] = [];
    const steps: [typeof out, Uint8Array][] = [
      [out, syn],
      [back, inward('SA')],
      [out, outward('A')],
      [out, outward('FA')],
      [back, inward('FA')],
      [out, outward('A')],
    ];
    for (const [side, frame] of steps) {
      expect(side(rig, frame)).toHaveLength(1);
      seen.push(rig.states.join());
    }
    // SYN_SENT, ESTABLISHED, ESTABLISHED, FIN_WAIT, TIME_WAIT, TIME_WAIT
    expect(seen).toEqual(['6:2', '6:1', '6:1', '6:4', '6:5', '6:5']);
    expect([rig.stat('active'), rig.stat('inactive')]).toEqual([0, 1]);
  });

  it('of UDP become normal when the remote host answers', () => {
    const ask = udp({ src: `${INSIDE}:40000`, dst: `${REMOTE}:53` });
    out(rig, ask, ask);
    expect(rig.states).toEqual(['17:4']);
    back(rig, udp({ src: `${REMOTE}:53`, dst: `${WAN}:1025` }));
    expect(rig.states).toEqual(['17:2']);
  });

  it('begin anew with the same port when the host opens over a closing connection', () => {
    out(rig, syn);
    back(rig, inward('SA'));
    out(rig, outward('R'));
    expect(rig.states).toEqual(['6:6']);
    expect(out(rig, syn)).toEqual([tcp({ ...sent, src: `${WAN}:1025`, dst: `${REMOTE}:443`, flags: 'S' })]);
    expect(rig.states).toEqual(['6:2']);
    expect(rig.stat('conns')).toBe(1);
  });

  it('end with a reset to both ends when an established connection expires', () => {
    out(rig, syn);
    back(rig, inward('SA'));
    out(rig, outward('A'));
    const { client, server } = rig.advance(90_100, 1000);
    expect([...client, ...server].map((f) => decode(f)).map((d) => d.tcp?.flags)).toEqual(['RA', 'RA']);
    expect(rig.conns).toBe(0);
  });

  it('need a SYN: what else comes from inside is routed as if there were no service', () => {
    out(rig, outward('A'));
    expect(rig.accepted).toBe(1);
    expect(rig.conns).toBe(0);
  });
});

describe('ping', () => {
  const request = (src: string, ident: number, o: object = {}) =>
    ping({ src, dst: REMOTE, ident, seq: 3, data: ramp(56), ttl: 9, ...o });
  const reply = (ident: number, o: object = {}) =>
    ping({ src: REMOTE, dst: WAN, ident, seq: 3, data: ramp(56), reply: true, ...o });

  it('leaves with an identifier of ours and comes back with that of the host', () => {
    for (const [n, host] of [INSIDE, INSIDE2].entries()) {
      expect(out(rig, request(host, 5))).toEqual([
        ping({ ...sent, src: WAN, dst: REMOTE, ident: 1025 + n, seq: 3, data: ramp(56), ttl: 9 }),
      ]);
    }
    for (const [n, host] of [INSIDE, INSIDE2].entries()) {
      expect(back(rig, reply(1025 + n))).toEqual([
        ping({ ...sent, src: REMOTE, dst: host, ident: 5, seq: 3, data: ramp(56), reply: true }),
      ]);
    }
    expect(rig.states).toEqual(['1:1', '1:1']);
    expect(counts('icmp')).toEqual([2, 2, 2]);
    expect(rig.imbalance).toBe(0);
  });

  it('is one connection as long as the identifier is the same, for 300 s', () => {
    out(rig, request(INSIDE, 5), request(INSIDE, 5, { seq: 4 }), request(INSIDE, 6));
    expect(rig.conns).toBe(2);
    rig.advance(299_000, 1000);
    expect(rig.conns).toBe(2);
    rig.advance(2000, 1000);
    expect([rig.conns, rig.portsUsed]).toEqual([0, 0]);
  });

  it('and a timestamp request do not mix', () => {
    const stamp = (type: number, o: { src: string; dst: string; rest: number }) =>
      icmp({ type, data: ramp(12), ...o });
    expect(out(rig, stamp(13, { src: INSIDE, dst: REMOTE, rest: 0x00050001 }))).toEqual([
      stamp(13, { ...sent, src: WAN, dst: REMOTE, rest: 0x04010001 }),
    ]);
    expect(back(rig, reply(1025))).toEqual([]);
    expect(back(rig, stamp(14, { src: REMOTE, dst: WAN, rest: 0x04010001 }))).toEqual([
      stamp(14, { ...sent, src: REMOTE, dst: INSIDE, rest: 0x00050001 }),
    ]);
    expect(rig.drops).toEqual({ ICMP_NO_CONN: 1 });
  });

  it('of our own address is answered by ourselves', () => {
    back(rig, ping({ src: REMOTE, dst: WAN, ident: 2000 }));
    out(rig, ping({ src: INSIDE, dst: WAN, ident: 2000 }));
    expect(rig.accepted).toBe(2);
  });

  it('that a host inside answers is none of SNAT', () => {
    out(rig, ping({ src: INSIDE, dst: REMOTE, reply: true, ident: 9 }));
    expect(rig.accepted).toBe(1);
  });

  it('with a code, too short, or of another type is left to the stack', () => {
    out(rig, icmp({ src: INSIDE, dst: REMOTE, type: 8, code: 1 }));
    out(rig, icmp({ src: INSIDE, dst: REMOTE, type: 10 }));
    expect(rig.accepted).toBe(2);
    expect(rig.conns).toBe(0);
  });
});

describe('an ICMP error', () => {
  const quote = (frame: Uint8Array, bytes: number): Uint8Array => payloadOf(frame).slice(0, bytes);
  const flows = {
    tcp: (src: string, dst: string) => tcp({ src, dst, flags: 'S', seq: 9, id: 3, data: ramp(60) }),
    udp: (src: string, dst: string) => udp({ src, dst, id: 3, data: ramp(60) }),
  };

  describe.each(['tcp', 'udp'] as const)('about %s', (proto) => {
    const build = flows[proto];
    const theirs = build(`${INSIDE}:40000`, `${REMOTE}:443`);
    const ours = build(`${WAN}:1025`, `${REMOTE}:443`);
    const answerOurs = build(`${REMOTE}:443`, `${INSIDE}:40000`);
    const answerTheirs = build(`${REMOTE}:443`, `${WAN}:1025`);

    it.each([28, 48, 80])('from a router outside reaches the host inside, %i bytes quoted', (len) => {
      out(rig, theirs);
      const o = { type: 11, code: 0, ttl: 60 };
      expect(back(rig, icmp({ src: ROUTER, dst: WAN, data: quote(ours, len), ...o }))).toEqual([
        // It still comes from the router: traceroute shows it.
        icmp({ ...sent, src: ROUTER, dst: INSIDE, data: quote(theirs, len), ...o }),
      ]);
      expect(rig.imbalance).toBe(0);
    });

    it('from a router inside reaches the remote host, from our address', () => {
      out(rig, theirs);
      const o = { type: 3, code: 4, rest: 1400 };
      expect(out(rig, icmp({ src: HOST_ROUTER, dst: REMOTE, data: quote(answerOurs, 28), ...o }))).toEqual([
        icmp({ ...sent, src: WAN, dst: REMOTE, data: quote(answerTheirs, 28), ...o }),
      ]);
    });
  });

  it('about a ping quotes the identifier of the host', () => {
    const o = { seq: 1, data: ramp(56), id: 3 };
    const theirs = ping({ src: INSIDE, dst: REMOTE, ident: 7, ...o });
    const ours = ping({ src: WAN, dst: REMOTE, ident: 1025, ...o });
    out(rig, theirs);
    for (const len of [28, 60, 84]) {
      const frames = back(rig, icmp({ src: ROUTER, dst: WAN, type: 11, data: quote(ours, len) }));
      expect(frames).toEqual([
        icmp({ ...sent, src: ROUTER, dst: INSIDE, type: 11, data: quote(theirs, len) }),
      ]);
    }
  });

  it('about a ping reply that could not be delivered inside goes out', () => {
    const o = { seq: 1, data: ramp(8), id: 3, reply: true };
    out(rig, ping({ src: INSIDE, dst: REMOTE, ident: 7 }));
    const seen = ping({ src: REMOTE, dst: INSIDE, ident: 7, ...o });
    const frames = out(rig, icmp({ src: HOST_ROUTER, dst: REMOTE, type: 3, code: 1, data: payloadOf(seen) }));
    const meant = ping({ src: REMOTE, dst: WAN, ident: 1025, ...o });
    expect(frames).toEqual([
      icmp({ ...sent, src: WAN, dst: REMOTE, type: 3, code: 1, data: payloadOf(meant) }),
    ]);
  });

  it('about another error or an unknown query is left to the stack or dropped', () => {
    const about = (frame: Uint8Array) =>
      icmp({ src: ROUTER, dst: WAN, type: 3, code: 1, data: payloadOf(frame) });
    back(rig, about(icmp({ src: WAN, dst: REMOTE, type: 3 })));
    expect(rig.accepted).toBe(1);
    back(rig, about(ping({ src: WAN, dst: REMOTE, ident: 4000 })));
    expect(rig.drops).toEqual({ IP_NO_PROTO: 1, ICMP_NO_CONN: 1 });
  });
});

describe('on two lcores', () => {
  const rigs = () => [1, 2].map((lcore) => gateway({ lcore, lcores: 2 })) as [Rig, Rig];

  it('an answer goes to the lcore whose port or identifier it has', () => {
    const [one, two] = rigs();
    for (const [at, port] of [
      [one, 1026],
      [two, 1025],
    ] as const) {
      expect(out(at, udp({ src: `${INSIDE}:7`, dst: `${REMOTE}:53` }))).toEqual([
        udp({ ...sent, src: `${WAN}:${port}`, dst: `${REMOTE}:53` }),
      ]);
      expect(out(at, ping({ src: INSIDE, dst: REMOTE, ident: 7 }))).toEqual([
        ping({ ...sent, src: WAN, dst: REMOTE, ident: port }),
      ]);
    }
    const answers = (port: number) => [
      udp({ src: `${REMOTE}:53`, dst: `${WAN}:${port}` }),
      ping({ src: REMOTE, dst: WAN, ident: port, reply: true }),
    ];
    // The other lcore gets them: passed on as they came, and handled by the owner.
    for (const [at, owner, id, port] of [
      [one, two, 2, 1025],
      [two, one, 1, 1026],
    ] as const) {
      expect(back(at, ...answers(port))).toEqual([]);
      const passed = at.native.redirected(id);
      expect(passed).toHaveLength(2);
      for (const f of passed) owner.native.injectRedirected(0, f);
      expect(owner.run().server).toHaveLength(2);
      expect([at.imbalance, owner.imbalance]).toEqual([0, 0]);
    }
  });

  it('an error about an answer to a host inside is shown to all', () => {
    const [one, two] = rigs();
    out(two, udp({ src: `${INSIDE}:7`, dst: `${REMOTE}:53` }));
    const quoted = payloadOf(udp({ src: `${REMOTE}:53`, dst: `${INSIDE}:7` }));
    out(one, icmp({ src: INSIDE, dst: REMOTE, type: 3, code: 3, data: quoted }));
    const [passed] = one.native.redirected(2);
    two.native.injectRedirected(1, passed!);
    const [frame] = two.run().client;
    expect(decode(frame!).icmp!.data).toEqual(payloadOf(udp({ src: `${REMOTE}:53`, dst: `${WAN}:1025` })));
  });
});

describe('several WAN addresses', () => {
  it('take turns', () => {
    rig.addAddress('192.168.0.201');
    addWan(rig, 'udp', '192.168.0.201');
    const used = [1, 2, 3, 4].map((n) => {
      const [f] = out(rig, udp({ src: `${INSIDE}:${n}`, dst: `${REMOTE}:53` }));
      checkFrame(f!);
      return decode(f!).ip!.src;
    });
    expect(new Set(used).size).toBe(2);
  });
});

describe('a record', () => {
  it('has the tuples of the original: remote host to WAN in, host inside to remote host out', () => {
    out(rig, udp({ src: `${INSIDE}:7`, dst: `${REMOTE}:53` }));
    const { records } = rig.ipvs.table;
    const tuple = (d: number): string => {
      const [b, at] = [records.bytes, records.dir(1, d)];
      return [b.u32(at), b.u32(at + 4)].map(formatIpv4).join(' > ');
    };
    expect(tuple(DIR_IN)).toBe(`${REMOTE} > ${WAN}`);
    expect(tuple(DIR_OUT)).toBe(`${INSIDE} > ${REMOTE}`);
  });
});
