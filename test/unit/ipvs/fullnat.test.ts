/** Full-NAT on the wire: every byte of both directions. */
import { describe, expect, it } from 'vitest';
import { decode, ramp, tcp, type TcpOptions, udp } from '../../support/frames.js';
import { CLIENT, LIP, OUR_MAC, OWN, PEER_MAC, Rig, RS, VIP } from './rig.js';

/** MACs of what the stub stack sends. */
const sent = { smac: OUR_MAC, dmac: PEER_MAC };
const LOCAL = `${LIP}:1025`;
const more: Partial<TcpOptions> = {
  tos: 0x10,
  id: 0x1234,
  df: true,
  ttl: 57,
  window: 4321,
  tcpOptions: [2, 4, 5, 180, 1, 3, 3, 7],
  data: 'hello',
};

describe('Full-NAT of TCP', () => {
  it('changes addresses, ports and checksums of a client packet, and nothing else', () => {
    const rig = new Rig();
    rig.serve();
    const [out] = rig.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'S', seq: 1000, ...more }));
    expect(out).toEqual(tcp({ ...sent, src: LOCAL, dst: RS, flags: 'S', seq: 1000, ...more }));
  });

  it('does the opposite to the answer', () => {
    const rig = new Rig();
    rig.serve();
    rig.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'S', seq: 1000 }));
    const [out] = rig.fromServer(tcp({ src: RS, dst: LOCAL, flags: 'SA', seq: 5, ack: 1001, ...more }));
    expect(out).toEqual(tcp({ ...sent, src: VIP, dst: CLIENT, flags: 'SA', seq: 5, ack: 1001, ...more }));
  });

  it('cuts Ethernet padding off and leaves IPv4 options alone', () => {
    const rig = new Rig();
    rig.serve();
    const o = { flags: 'S', options: [7, 7, 4, 0, 0, 0, 0, 0] };
    const [out] = rig.fromClient(tcp({ src: CLIENT, dst: VIP, ...o, padTo: 100 }));
    expect(out).toEqual(tcp({ ...sent, src: LOCAL, dst: RS, ...o }));
  });

  it('passes a wrong TCP checksum on as wrong: the receiver must see it', () => {
    const rig = new Rig();
    rig.serve();
    rig.native.inject(0, tcp({ src: CLIENT, dst: VIP, flags: 'S', badL4Checksum: true }));
    expect(() => rig.run()).toThrow(/TCP checksum/);
  });

  it('leaves the TTL alone by default and counts the hop when told to', () => {
    const off = new Rig();
    off.serve();
    expect(decode(off.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'S', ttl: 1 }))[0]!).ip!.ttl).toBe(1);
    expect(off.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'S', ttl: 0 }))).toEqual([]);
    expect(off.drops).toEqual({ IP_TTL: 1 });

    const on = new Rig({ config: { xmitTtl: true } });
    on.serve();
    for (let ttl = 255; ttl > 1; ttl--)
      expect(on.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'S', ttl }))).toEqual([
        tcp({ ...sent, src: LOCAL, dst: RS, flags: 'S', ttl: ttl - 1 }),
      ]);
  });

  it('answers "time exceeded" when the hop count ends here', () => {
    const rig = new Rig({ config: { xmitTtl: true } });
    rig.serve();
    const syn = tcp({ src: CLIENT, dst: VIP, flags: 'S', ttl: 1 });
    expect(rig.fromClient(syn)).toEqual([]);
    expect(rig.inet.errors).toEqual([{ type: 11, code: 0, info: 0, quoted: syn.slice(14) }]);
    expect(rig.dropped('IP_TTL')).toBe(1);
  });
});

describe('Full-NAT of UDP', () => {
  it.each([0, 1, 2, 3, 17, 1000, 1471, 1472])('carries %i bytes both ways', (size) => {
    const rig = new Rig();
    rig.serve('udp');
    const data = ramp(size);
    expect(rig.fromClient(udp({ src: CLIENT, dst: VIP, data }))).toEqual([
      udp({ ...sent, src: LOCAL, dst: RS, data }),
    ]);
    expect(rig.fromServer(udp({ src: RS, dst: LOCAL, data }))).toEqual([
      udp({ ...sent, src: VIP, dst: CLIENT, data }),
    ]);
  });

  it('leaves "no checksum" as it is', () => {
    const rig = new Rig();
    rig.serve('udp');
    const o = { data: 'x', noChecksum: true };
    expect(rig.fromClient(udp({ src: CLIENT, dst: VIP, ...o }))).toEqual([
      udp({ ...sent, src: LOCAL, dst: RS, ...o }),
    ]);
    expect(rig.fromServer(udp({ src: RS, dst: LOCAL, ...o }))).toEqual([
      udp({ ...sent, src: VIP, dst: CLIENT, ...o }),
    ]);
  });

  it('sends a checksum that comes out as 0 as 0xffff', () => {
    const rig = new Rig();
    rig.serve('udp');
    let seen = 0;
    for (let n = 0; n < 0x10000 && seen === 0; n += 1) {
      const data = Uint8Array.of(n >>> 8, n & 255);
      const want = udp({ ...sent, src: LOCAL, dst: RS, data });
      if (decode(want).udp!.checksum !== 0xffff) continue;
      seen++;
      expect(rig.fromClient(udp({ src: CLIENT, dst: VIP, data }))).toEqual([want]);
    }
    expect(seen).toBe(1);
  });
});

describe('the next hop', () => {
  const ack = tcp({ src: CLIENT, dst: VIP, flags: 'A', data: ramp(1400) });

  it('is looked up once per direction, and again when routes have changed', () => {
    const rig = new Rig();
    rig.serve();
    rig.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'S' }), ack, ack);
    // Its client's too: in vain, as that is on link and unknown.
    expect(rig.inet.lookups).toBe(2);
    const answer = tcp({ src: RS, dst: LOCAL, flags: 'SA' });
    rig.fromServer(answer, answer);
    expect(rig.inet.lookups).toBe(3);
    rig.inet.generation++;
    rig.fromClient(ack, ack);
    expect(rig.inet.lookups).toBe(4);
  });

  it('that is gone drops the packet and is found when it is back', () => {
    const rig = new Rig();
    rig.serve();
    const server = 0xc0a80002;
    rig.inet.unreachable.add(server);
    expect(rig.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'S' }))).toEqual([]);
    expect(rig.dropped('IP_NO_ROUTE')).toBe(1);
    rig.inet.unreachable.clear();
    expect(rig.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'S' }))).toHaveLength(1);
  });

  it('that is ourselves is none', () => {
    const rig = new Rig();
    rig.serve('tcp', { dests: [`${OWN}:99`] });
    expect(rig.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'S' }))).toEqual([]);
    expect(rig.dropped('IP_NO_ROUTE')).toBe(1);
  });

  it.each([
    ['the device', { mtu: 1439 }, 1439],
    ['the route', { mtu: 1500, routeMtu: 1300 }, 1300],
    ['the device behind a route with a larger one', { mtu: 1400, routeMtu: 1450 }, 1400],
  ])('with a smaller MTU of %s answers "fragmentation needed" with it', (_what, o, mtu) => {
    const rig = new Rig();
    Object.assign(rig.inet, o);
    rig.serve();
    rig.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'S' }));
    const big = tcp({ src: CLIENT, dst: VIP, flags: 'A', df: true, data: ramp(1400) }); // 1440 bytes
    expect(rig.fromClient(big)).toEqual([]);
    expect(rig.inet.errors).toEqual([{ type: 3, code: 4, info: mtu, quoted: big.slice(14) }]);
    expect(rig.dropped('IP_TOO_BIG')).toBe(1);
    // Without DF it goes in fragments.
    expect(rig.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'A', data: ramp(1400) }))).toHaveLength(1);
    expect(rig.inet.fragmented).toEqual([mtu]);
    const fits = tcp({ src: CLIENT, dst: VIP, flags: 'A', df: true, data: ramp(mtu - 40) });
    expect(rig.fromClient(fits)).toHaveLength(1);
    expect(rig.inet.fragmented).toEqual([mtu]);
    expect(rig.imbalance).toBe(0);
  });
});
