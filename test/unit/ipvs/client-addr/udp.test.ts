/** UDP of Full-NAT that carries the client's address, byte for byte: UOA in both formats, PROXY headers. */
import { describe, expect, it, vi } from 'vitest';
import { DIR_IN, FLOW_ACTION } from '../../../../src/core/layout.js';
import { D } from '../../../../src/ipvs/conn/records.js';
import type { IpvsConfig } from '../../../../src/ipvs/ipvs.js';
import {
  datagram,
  decode,
  fragmentsOf,
  icmp,
  ipv4,
  joined,
  payloadOf,
  ramp,
  udp,
  udpDatagram,
  type UdpOptions,
} from '../../../support/frames.js';
import { CLIENT, LIP, OUR_MAC, PEER_MAC, Rig, RS, VIP } from '../rig.js';

const sent = { smac: OUR_MAC, dmac: PEER_MAC };
const LOCAL = `${LIP}:1025`;
/** Kind, length, port 40000, address 10.0.0.1. */
const OPTION = [31, 8, 0x9c, 0x40, 10, 0, 0, 1];
const opp = (flags = 0): number[] => [0x40 | flags, 17, 0, 12, ...OPTION];
const hello: Partial<UdpOptions> = { data: 'hello', tos: 0x20, id: 7, ttl: 9, df: true };

const query = (o: Partial<UdpOptions> = {}): Uint8Array => udp({ src: CLIENT, dst: VIP, ...o });
const plain = (o: Partial<UdpOptions> = {}): Uint8Array => udp({ ...sent, src: LOCAL, dst: RS, ...o });
const byOption = (o: Partial<UdpOptions> = {}): Uint8Array =>
  plain({ ...o, options: [...OPTION, ...(o.options ?? [])] });
const byProtocol = (o: Partial<UdpOptions> = {}, flags = 0): Uint8Array =>
  ipv4({
    ...sent,
    src: LIP,
    dst: '192.168.0.2',
    ...o,
    proto: 248,
    payload: Uint8Array.from([...opp(flags), ...udpDatagram({ src: LOCAL, dst: RS, ...o })]),
  });

const actions = (rig: Rig, c = 1): number => {
  const { records } = rig.ipvs.table;
  return records.u16[(records.dir(c, DIR_IN) + D.actions) >>> 1]!;
};
const untold = (rig: Rig): boolean => (actions(rig) & FLOW_ACTION.CLIENT_ADDR) !== 0;

function serving(config: IpvsConfig, o: Parameters<Rig['serve']>[1] = {}): Rig {
  const rig = new Rig({ config });
  // The judge knows no protocol 248.
  rig.serve('udp', o);
  return rig;
}

describe.each([
  ['opp', byProtocol, 12],
  ['ipo', byOption, 8],
] as const)('UOA, %s', (uoaMode, told, more) => {
  it('is in the first uoa_max_trail datagrams of a connection, and in no other', () => {
    const rig = serving({ uoaMode, uoaMaxTrail: 3 });
    for (let i = 0; i < 3; i++) {
      expect(rig.fromClient(query(hello)), `datagram ${i}`).toEqual([told(hello)]);
      expect(untold(rig)).toBe(i < 2);
    }
    expect(rig.fromClient(query(hello))).toEqual([plain(hello)]);
    expect([rig.drops, rig.svcEvents(), rig.imbalance]).toEqual([{}, { UOA_INSERTED: 3 }, 0]);
  });

  it('does not touch answers, which come meanwhile', () => {
    const rig = serving({ uoaMode, uoaMaxTrail: 3 });
    rig.fromClient(query());
    const answer = { data: 'answer' };
    expect(rig.fromServer(udp({ src: RS, dst: LOCAL, ...answer }))).toEqual([
      udp({ ...sent, src: VIP, dst: CLIENT, ...answer }),
    ]);
    expect(untold(rig)).toBe(true);
  });

  it('leaves a datagram without checksum without', () => {
    const rig = serving({ uoaMode, uoaMaxTrail: 1 });
    const o = { ...hello, noChecksum: true };
    expect(rig.fromClient(query(o))).toEqual([told(o)]);
  });

  it('fits to the last byte of the MTU; above, a datagram without data goes ahead', () => {
    const rig = serving({ uoaMode, uoaMaxTrail: 3 });
    const fits = { data: ramp(1500 - 28 - more), df: true };
    expect(rig.fromClient(query(fits))).toEqual([told(fits)]);
    const full = { data: ramp(1500 - 28 - more + 1), df: true, tos: 0x20, id: 9, ttl: 33 };
    const ahead = { data: '', df: true, tos: 0x20, ttl: 33 };
    const first = uoaMode === 'opp' ? byProtocol(ahead, 1) : byOption(ahead);
    expect(rig.fromClient(query(full))).toEqual([first, plain(full)]);
    expect(rig.fromClient(query(full))).toEqual([first, plain(full)]);
    expect(rig.fromClient(query(full))).toEqual([plain(full)]);
    expect([rig.generated, rig.drops, rig.imbalance]).toEqual([2, {}, 0]);
  });

  it('goes ahead of a datagram that comes in fragments', () => {
    const rig = serving({ uoaMode, uoaMaxTrail: 1 });
    const out = rig.fromClient(...fragmentsOf(query({ data: ramp(100), id: 5 }), 40));
    expect(decode(out[0]!).ip).toMatchObject({
      proto: uoaMode === 'opp' ? 248 : 17,
      df: true,
      totalLen: 28 + more,
    });
    expect(decode(joined(out.slice(1))).udp).toMatchObject({ sport: 1025, dport: 8080, data: ramp(100) });
    expect([rig.drops, rig.imbalance, untold(rig)]).toEqual([{}, 0, false]);
  });

  it('comes later when there is no buffer for it', () => {
    const rig = serving({ uoaMode, uoaMaxTrail: 1 });
    const full = { data: ramp(1472) };
    const alloc = vi.spyOn(rig.packets, 'alloc').mockReturnValue(0);
    expect(rig.fromClient(query(full))).toEqual([plain(full)]);
    alloc.mockRestore();
    expect(untold(rig)).toBe(true);
    expect(rig.fromClient(query(hello))).toEqual([told(hello)]);
    expect(rig.imbalance).toBe(0);
  });

  it('is in every datagram of one-packet scheduling', () => {
    const rig = serving({ uoaMode, uoaMaxTrail: 2 }, { onePacket: true });
    for (let i = 0; i < 3; i++) {
      const [out] = rig.fromClient(query(hello));
      expect(decode(out!).ip!.totalLen).toBe(33 + more);
    }
  });

  it('is nothing for other modes', () => {
    const rig = serving({ uoaMode, uoaMaxTrail: 3 }, { fwd: 'nat' });
    expect(rig.fromClient(query(hello))).toEqual([udp({ ...sent, src: CLIENT, dst: RS, ...hello })]);
  });

  it('is taken out of what ICMP errors quote, and of the room that they name', () => {
    const rig = serving({ uoaMode, uoaMaxTrail: 1 });
    const big = { data: ramp(1200), df: true };
    const [out] = rig.fromClient(query(big));
    const needed = (quote: Uint8Array): Uint8Array =>
      icmp({ src: '192.168.0.99', dst: LIP, type: 3, code: 4, rest: 1000, data: quote });
    const [back] = rig.fromServer(needed(payloadOf(out!).subarray(0, 60)));
    expect(decode(back!).icmp).toEqual({
      type: 3,
      code: 4,
      rest: 1000 - more,
      data: payloadOf(query(big)).subarray(0, 60 - more),
    });
    expect(rig.drops).toEqual({});
  });
});

describe('UOA, opp', () => {
  it('a real server that knows no protocol 248 is named, and its clients hear nothing of it', () => {
    const rig = serving({ uoaMaxTrail: 3 });
    const [out] = rig.fromClient(query(hello));
    const refusal = { src: '192.168.0.2', dst: LIP, type: 3, code: 2 };
    expect(rig.fromServer(icmp({ ...refusal, data: payloadOf(out!) }))).toEqual([]);
    expect(rig.fromServer(icmp({ ...refusal, data: payloadOf(out!).subarray(0, 28) }))).toEqual([]);
    expect(rig.drops).toEqual({ UOA_REFUSED: 2 });
  });

  it('a quotation that does not say whose datagram it was is dropped', () => {
    const rig = serving({ uoaMaxTrail: 3 });
    const [out] = rig.fromClient(query(hello));
    const error = { src: '192.168.0.2', dst: LIP, type: 11 };
    for (let n = 20; n < 40; n++)
      expect(rig.fromServer(icmp({ ...error, data: payloadOf(out!).subarray(0, n) }))).toEqual([]);
    expect(rig.drops).toEqual({ ICMP_NO_CONN: 20 });
    expect(rig.fromServer(icmp({ ...error, data: payloadOf(out!).subarray(0, 40) })).length).toBe(1);
    expect(rig.fromServer(icmp({ ...error, badL4Checksum: true, data: payloadOf(out!) }))).toEqual([]);
    expect(rig.drops).toEqual({ ICMP_NO_CONN: 20, ICMP_BAD: 1 });
  });

  it('protocol 248 of others is none of our business', () => {
    const rig = serving({ uoaMaxTrail: 3 });
    const quote = datagram({ src: '10.0.0.77', dst: '10.0.0.1', proto: 248, payload: ramp(40) });
    rig.fromServer(icmp({ src: '192.168.0.2', dst: '10.0.0.77', type: 3, code: 2, data: quote }));
    expect([rig.accepted, rig.drops]).toEqual([1, { IP_NO_PROTO: 1 }]);
  });
});

describe('UOA, ipo', () => {
  it('stands in front of other options, and goes ahead where they leave no room', () => {
    const rig = serving({ uoaMode: 'ipo', uoaMaxTrail: 2 });
    const o = { ...hello, options: [7, 7, 4, 0, 0, 0, 0, 0] };
    expect(rig.fromClient(query(o))).toEqual([byOption(o)]);
    const full = { ...hello, options: [7, 39, 4, ...Array.from({ length: 37 }, () => 0)] };
    expect(rig.fromClient(query(full))).toEqual([
      byOption({ data: '', df: true, tos: 0x20, ttl: 9 }),
      plain(full),
    ]);
  });
});

// ----- PROXY protocol

const SIGNATURE = [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10];
const v2 = (src: number[], dst: number[], sport: number, dport: number, tlvs: number[] = []): number[] => [
  ...SIGNATURE,
  0x21,
  0x12,
  0,
  12 + tlvs.length,
  ...src,
  ...dst,
  sport >>> 8,
  sport & 255,
  dport >>> 8,
  dport & 255,
  ...tlvs,
];
/** Client to virtual service. */
const OURS = v2([10, 0, 0, 1], [10, 1, 1, 1], 40000, 80);
const FORGED = v2([6, 6, 6, 6], [10, 1, 1, 1], 666, 80);
const data = (...parts: readonly (readonly number[] | Uint8Array | string)[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((x) => [...(typeof x === 'string' ? Buffer.from(x) : x)]));

describe('PROXY protocol over UDP', () => {
  it('is in the first datagram of a connection only, in place of UOA', () => {
    const rig = serving({ uoaMaxTrail: 3 }, { proxyProtocol: 'v2' });
    expect(rig.fromClient(query(hello))).toEqual([plain({ ...hello, data: data(OURS, 'hello') })]);
    expect(untold(rig)).toBe(false);
    expect(rig.fromClient(query(hello))).toEqual([plain(hello)]);
    expect([rig.drops, rig.svcEvents(), rig.imbalance]).toEqual([{}, { PROXY_INSERTED: 1 }, 0]);
  });

  it.each([0, 1, 2, 3, 100, 1443, 1444])('goes with %i bytes', (n) => {
    for (const noChecksum of [false, true]) {
      const rig = serving({}, { proxyProtocol: 'v2' });
      const o = { ...hello, noChecksum };
      expect(rig.fromClient(query({ ...o, data: ramp(n) }))).toEqual([
        plain({ ...o, data: data(OURS, ramp(n)) }),
      ]);
    }
  });

  it('goes ahead where there is no room, and ahead of fragments', () => {
    const rig = serving({}, { proxyProtocol: 'v2' });
    const full = { ...hello, data: ramp(1445) };
    const ahead = plain({ data: data(OURS), df: true, tos: 0x20, ttl: 9 });
    expect(rig.fromClient(query(full))).toEqual([ahead, plain(full)]);
    const other = serving({}, { proxyProtocol: 'v2' });
    const out = other.fromClient(...fragmentsOf(query({ data: ramp(100), id: 5 }), 40));
    expect(out[0]).toEqual(plain({ data: data(OURS), df: true }));
    expect(decode(joined(out.slice(1))).udp!.data).toEqual(ramp(100));
    expect([other.drops, other.imbalance]).toEqual([{}, 0]);
  });

  it('without a buffer the datagram is lost, and the next one is the first', () => {
    const rig = serving({}, { proxyProtocol: 'v2' });
    const alloc = vi.spyOn(rig.packets, 'alloc').mockReturnValue(0);
    expect(rig.fromClient(query({ data: ramp(1472) }))).toEqual([]);
    alloc.mockRestore();
    expect(rig.drops).toEqual({ NO_MBUF: 1 });
    expect(rig.fromClient(query(hello))).toEqual([plain({ ...hello, data: data(OURS, 'hello') })]);
  });

  it.each([
    ['as long as ours', []],
    ['with TLVs', [4, 0, 1, 0]],
    ['with an odd number of bytes', [4, 0, 2, 1, 2]],
  ] as const)("replaces a client's own header, %s", (_what, tlvs) => {
    for (const rest of ['', 'x', 'hello', 'hello!']) {
      const rig = serving({}, { proxyProtocol: 'v2' });
      const own = v2([6, 6, 6, 6], [10, 1, 1, 1], 666, 80, [...tlvs]);
      const out = rig.fromClient(query({ ...hello, data: data(own, rest) }));
      expect(out).toEqual([plain({ ...hello, data: data(OURS, rest) })]);
    }
  });

  it('keeps it when insecure, and adds one where there is none', () => {
    const rig = serving({}, { proxyProtocol: 'v2-insecure' });
    expect(rig.fromClient(query({ data: data(FORGED, 'x') }))).toEqual([plain({ data: data(FORGED, 'x') })]);
    expect(untold(rig)).toBe(false);
    const other = serving({}, { proxyProtocol: 'v2-insecure' });
    expect(other.fromClient(query({ data: data(FORGED.slice(0, 27)) }))).toEqual([
      plain({ data: data(OURS, FORGED.slice(0, 27)) }),
    ]);
  });

  it('a header in a fragment that cannot be replaced is refused', () => {
    const rig = serving({}, { proxyProtocol: 'v2' });
    const own = v2([6, 6, 6, 6], [10, 1, 1, 1], 666, 80, [4, 0, 1, 0]);
    const out = rig.fromClient(...fragmentsOf(query({ data: data(own, ramp(60)), id: 5 }), 64));
    // Nobody can do anything with the rest.
    expect(out.map((f) => decode(f).ip!.offset)).toEqual([64]);
    expect(rig.drops).toEqual({ PROXY_HEADER: 1 });
    expect(rig.imbalance).toBe(0);
    // The next one is the first.
    expect(rig.fromClient(query({ data: 'x' }))).toEqual([plain({ data: data(OURS, 'x') })]);
  });

  it('passes a wrong checksum on as wrong', () => {
    for (const own of [[], FORGED, [...FORGED, 1]]) {
      const rig = serving({}, { proxyProtocol: 'v2' });
      rig.native.inject(0, query({ data: data(own, 'hello'), badL4Checksum: true }));
      expect(() => rig.run()).toThrow(/UDP checksum/);
    }
  });
});

describe('where there is a PROXY protocol', () => {
  const service =
    (proto: 'tcp' | 'udp' | 'sctp', proxyProtocol: 'v1' | 'v2' | 'v1-insecure', fwd = 'fullnat') =>
    () =>
      new Rig().serve(proto, { proxyProtocol, fwd });

  it('UDP has version 2 only', () => {
    expect(service('udp', 'v1')).toThrow('PROXY protocol v1 is for TCP only');
    expect(service('udp', 'v1-insecure')).toThrow('PROXY protocol v1 is for TCP only');
    expect(service('udp', 'v2')).not.toThrow();
  });

  it('other protocols and modes have none', () => {
    expect(service('sctp', 'v2')).toThrow('for TCP and UDP services');
    for (const fwd of ['nat', 'dr', 'tunnel'])
      expect(service('udp', 'v2', fwd)).toThrow(/the PROXY protocol needs Full-NAT|cannot change the port/);
  });

  it('an edit of either side that would bring them together is refused, and changes nothing', () => {
    const rig = new Rig();
    rig.serve('udp', { fwd: 'nat' });
    const svc = { proto: 'udp', addr: '10.1.1.1', port: 80 } as const;
    expect(() => rig.services.apply('svc.edit', { svc, proxyProtocol: 'v2', connTimeout: 9 })).toThrow(
      "real server 192.168.0.2:8080 of udp 10.1.1.1:80: the PROXY protocol needs Full-NAT, not mode 'nat'",
    );
    expect(rig.services.get(svc)).toMatchObject({ proxyProtocol: 'disable', connTimeout: 0 });
    const dest = { addr: '192.168.0.2', port: 8080 };
    rig.services.apply('dest.edit', { svc, dest, fwd: 'fullnat' });
    rig.services.apply('svc.edit', { svc, proxyProtocol: 'v2' });
    expect(() => rig.services.apply('dest.edit', { svc, dest, fwd: 'nat' })).toThrow('needs Full-NAT');
  });
});
