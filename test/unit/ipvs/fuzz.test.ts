/** Properties: what goes through Full-NAT arrives unchanged, and no frame can do harm. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkFrame, decode, icmp, ipip, payloadOf, ping, tcp, udp } from '../../support/frames.js';
import { CLIENT, CLIENT_PORT, endpoint, LIP, Rig, RS, RS_PORT, VIP } from './rig.js';

const octet = fc.integer({ min: 0, max: 255 });
const port = fc.integer({ min: 1, max: 65535 });
const clientAddr = fc.tuple(octet, octet, fc.integer({ min: 2, max: 254 })).map((o) => `10.${o.join('.')}`);
const serverAddr = fc.tuple(octet, fc.integer({ min: 1, max: 254 })).map((o) => `192.168.${o.join('.')}`);
const data = fc.uint8Array({ maxLength: 1400 });

describe('Full-NAT, for any ends and payload,', () => {
  it.each(['tcp', 'udp'] as const)('carries %s both ways unchanged with valid checksums', (proto) => {
    const tuple = fc.record({
      caddr: clientAddr,
      cport: port,
      vport: port,
      saddr: serverAddr,
      sport: port,
      there: data,
      back: data,
      seq: fc.nat(0xffffffff),
      window: fc.nat(65535),
      id: fc.nat(65535),
      tos: octet,
      sum: fc.boolean(),
    });
    fc.assert(
      fc.property(tuple, (t) => {
        fc.pre(t.saddr !== LIP);
        const rig = new Rig({ mbufs: 80 });
        const svc = { proto, addr: '10.1.1.1', port: t.vport };
        rig.services.apply('svc.add', { svc, scheduler: 'wlc', connTimeout: 0 });
        const dest = { addr: t.saddr, port: t.sport };
        rig.services.apply('dest.add', { svc, dest, fwd: 'fullnat', weight: 1, maxConn: 0, minConn: 0 });
        rig.services.apply('laddr.add', { svc, addr: LIP, dev: 'dpdk0' });
        rig.addAddress(LIP);
        const build = proto === 'tcp' ? tcp : udp;
        const o = { seq: t.seq, window: t.window, id: t.id, tos: t.tos, noChecksum: !t.sum };
        const [client, vip, rs] = [
          `${t.caddr}:${t.cport}`,
          `10.1.1.1:${t.vport}`,
          `${t.saddr}:${t.sport}`,
        ] as const;

        const [there] = rig.fromClient(build({ src: client, dst: vip, flags: 'S', data: t.there, ...o }));
        const d = decode(there!);
        const local = `${d.ip!.src}:${(d.tcp ?? d.udp)!.sport}`;
        expect(payloadOf(there!)).toEqual(
          payloadOf(build({ src: local, dst: rs, flags: 'S', data: t.there, ...o })),
        );
        const [back] = rig.fromServer(build({ src: rs, dst: local, flags: 'A', data: t.back, ...o }));
        expect(payloadOf(back!)).toEqual(
          payloadOf(build({ src: vip, dst: client, flags: 'A', data: t.back, ...o })),
        );
        expect(rig.imbalance).toBe(0);
      }),
      { numRuns: 150 },
    );
  });
});

describe('SNAT, for any ends and payload,', () => {
  const WAN = LIP;
  it.each(['tcp', 'udp', 'icmp'] as const)('carries %s both ways unchanged with valid checksums', (proto) => {
    const exchange = fc.record({
      inside: fc.tuple(serverAddr, port),
      remote: fc.tuple(clientAddr, port),
      there: data,
      back: data,
      seq: fc.nat(65535),
      id: fc.nat(65535),
      tos: octet,
      sum: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(exchange, { minLength: 1, maxLength: 6 }), (exchanges) => {
        const rig = new Rig({ mbufs: 120 });
        addSnat(rig, proto, WAN);
        for (const t of exchanges) {
          fc.pre(t.inside[0] !== WAN && !t.remote[0].startsWith('10.1.1.'));
          const o = { seq: t.seq, id: t.id, tos: t.tos, noChecksum: !t.sum };
          /** A frame that the side which opened sends to the other one, or the answer. */
          const frame = (from: [string, number], to: [string, number], answer: boolean): Uint8Array => {
            const payload = answer ? t.back : t.there;
            const [src, dst] = [from.join(':'), to.join(':')];
            if (proto === 'tcp') return tcp({ src, dst, flags: answer ? 'SA' : 'S', data: payload, ...o });
            if (proto === 'udp') return udp({ src, dst, data: payload, ...o });
            const ident = answer ? to[1] : from[1];
            return ping({ src: from[0], dst: to[0], reply: answer, ident, data: payload, ...o });
          };
          const [there] = rig.fromServer(frame(t.inside, t.remote, false));
          const d = decode(there!);
          expect(d.ip!.src).toBe(WAN);
          const wport = (d.tcp ?? d.udp)?.sport ?? ((d.icmp!.rest ?? 0) >>> 16) & 0xffff;
          expect(payloadOf(there!)).toEqual(payloadOf(frame([WAN, wport], t.remote, false)));
          const [back] = rig.fromClient(frame(t.remote, [WAN, wport], true));
          expect(payloadOf(back!)).toEqual(payloadOf(frame(t.remote, t.inside, true)));
        }
        expect(rig.imbalance).toBe(0);
      }),
      { numRuns: 60 },
    );
  });
});

/** Everything that real servers send to somebody else leaves from `wan`. */
function addSnat(rig: Rig, proto: 'tcp' | 'udp' | 'icmp', wan: string): void {
  const src = { from: '192.168.0.0', to: '192.168.255.255', fromPort: 0, toPort: 65535 };
  const svc = { proto, addr: '0.0.0.0', port: 0, match: { src } };
  const dest = { addr: wan, port: 0 };
  rig.services.apply('svc.add', { svc, scheduler: 'rr' });
  rig.services.apply('dest.add', { svc, dest, fwd: 'snat', weight: 1, maxConn: 0, minConn: 0 });
  rig.addAddress(wan);
}

/** Frames around one connection, ICMP errors about it included. */
const SEEDS: [number, Uint8Array][] = [
  [CLIENT_PORT, tcp({ src: CLIENT, dst: VIP, flags: 'S', tcpOptions: [2, 4, 5, 180] })],
  [CLIENT_PORT, tcp({ src: CLIENT, dst: VIP, flags: 'PA', data: 'request' })],
  [RS_PORT, tcp({ src: RS, dst: `${LIP}:1025`, flags: 'PA', data: 'answer' })],
  [RS_PORT, tcp({ src: RS, dst: `${LIP}:1025`, flags: 'FA' })],
  [CLIENT_PORT, udp({ src: CLIENT, dst: VIP, data: 'question' })],
  [RS_PORT, udp({ src: RS, dst: `${LIP}:1025`, data: 'reply' })],
  [
    CLIENT_PORT,
    icmp({
      src: '10.0.0.9',
      dst: '10.1.1.1',
      type: 3,
      code: 4,
      data: payloadOf(tcp({ src: VIP, dst: CLIENT })),
    }),
  ],
  [RS_PORT, tcp({ src: '192.168.0.9:7', dst: '10.9.9.9:80', flags: 'S' })],
  [RS_PORT, udp({ src: '192.168.0.9:7', dst: '10.9.9.9:80', data: 'x' })],
  [RS_PORT, ping({ src: '192.168.0.9', dst: '10.9.9.9', ident: 7 })],
  [CLIENT_PORT, ping({ src: '10.9.9.9', dst: LIP, ident: 1025, reply: true })],
  [
    CLIENT_PORT,
    icmp({
      src: '10.9.9.1',
      dst: LIP,
      type: 11,
      data: payloadOf(ping({ src: LIP, dst: '10.9.9.9', ident: 1025 })),
    }),
  ],
  [
    RS_PORT,
    icmp({ src: '192.168.0.2', dst: LIP, type: 11, data: payloadOf(udp({ src: `${LIP}:1025`, dst: RS })) }),
  ],
  // Of NAT, and of a tunnel.
  [RS_PORT, tcp({ src: RS, dst: CLIENT, flags: 'SA' })],
  [
    RS_PORT,
    icmp({ src: '192.168.0.2', dst: '10.0.0.1', type: 3, data: payloadOf(udp({ src: CLIENT, dst: RS })) }),
  ],
  [
    RS_PORT,
    icmp({
      src: '192.168.5.1',
      dst: LIP,
      type: 3,
      code: 4,
      rest: 1000,
      data: payloadOf(ipip({ src: LIP, dst: '192.168.0.2' }, tcp({ src: CLIENT, dst: VIP }))),
    }),
  ],
];

/** What IPv4 lets through to the hook: a header that is right by its own lengths. */
function passesIpv4(frame: Uint8Array): boolean {
  const v = new DataView(frame.buffer, frame.byteOffset);
  const hlen = (frame[14]! & 15) * 4;
  return (
    frame[14]! >>> 4 === 4 && hlen >= 20 && v.getUint16(16) >= hlen && v.getUint16(16) <= frame.length - 14
  );
}

describe('mutated frames', () => {
  it.each(['fullnat', 'nat', 'dr', 'tunnel'])(
    'of %s never throw, are accounted for, and everything ends',
    (fwd) => {
      const dest = fwd === 'dr' || fwd === 'tunnel' ? '192.168.0.2:80' : RS;
      const change = fc.record({
        seed: fc.nat(SEEDS.length - 1),
        cut: fc.option(fc.integer({ min: 34, max: 80 }), { nil: undefined, freq: 5 }),
        // Bytes behind the Ethernet header.
        edits: fc.array(fc.tuple(fc.integer({ min: 14, max: 75 }), octet), { maxLength: 3 }),
      });
      let handled = 0;
      fc.assert(
        fc.property(fc.array(change, { minLength: 20, maxLength: 60 }), (changes) => {
          const rig = new Rig();
          rig.judging = false;
          rig.serve('tcp', { fwd, dests: [dest] });
          const svc = { proto: 'udp', ...endpoint(VIP) } as const;
          rig.services.apply('svc.add', { svc, scheduler: 'wrr', connTimeout: 0 });
          rig.services.apply('dest.add', {
            svc,
            dest: endpoint(dest),
            fwd,
            weight: 1,
            maxConn: 0,
            minConn: 0,
          });
          rig.services.apply('laddr.add', { svc, addr: LIP, dev: 'dpdk0' });
          for (const proto of ['tcp', 'udp', 'icmp'] as const) addSnat(rig, proto, LIP);
          for (const { seed, cut, edits } of changes) {
            const [from, whole] = SEEDS[seed]!;
            const frame = whole.slice(0, cut ?? whole.length);
            for (const [at, value] of edits) if (at < frame.length) frame[at] = value;
            if (cut !== undefined) new DataView(frame.buffer).setUint16(16, frame.length - 14);
            if (!passesIpv4(frame)) continue;
            handled++;
            rig.native.inject(from, frame);
            rig.native.poll(1, 1);
            rig.receive(rig.packets.exception(0));
            rig.native.flush(1);
          }
          // Fragments may wait for the first one.
          const { waiting } = rig.ipvs.fragments.table;
          expect([rig.imbalance, rig.native.inUse]).toEqual([0, waiting]);
          rig.advance(400_000, 5000);
          expect([rig.conns, rig.portsUsed, rig.native.flowCount(1)]).toEqual([0, 0, 0]);
          expect([rig.imbalance, rig.native.inUse]).toEqual([0, 0]);
        }),
        { numRuns: 30 },
      );
      expect(handled).toBeGreaterThan(250);
    },
  );

  it('start from frames that are right', () => {
    for (const [, frame] of SEEDS) expect(() => checkFrame(frame)).not.toThrow();
  });
});
