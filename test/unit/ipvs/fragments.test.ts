/** Fragments of datagrams of services and connections: each reaches the server that the first one reaches, or none does. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import '../../support/seed.js';
import {
  checkFrame,
  decode,
  fragmentsOf,
  icmp,
  ipv4,
  joined,
  payloadOf,
  ramp,
  tcp,
  udp,
} from '../../support/frames.js';
import { CLIENT, LIP, Rig, RS, RS2, VIP } from './rig.js';

const vip = VIP.split(':')[0]!;
const rs = RS.split(':')[0]!;
const LIMITS = { fragmentEntries: 16, fragmentBuffers: 32, fragmentTtlMs: 1000 };

function serving(proto: 'tcp' | 'udp' = 'udp', config: object = {}): Rig {
  const rig = new Rig({ config: { ...LIMITS, ...config } });
  rig.serve(proto, { dests: [RS, RS2] });
  return rig;
}
const question = (o: Partial<Parameters<typeof udp>[0]> = {}): Uint8Array =>
  udp({ src: CLIENT, dst: VIP, id: 9, data: ramp(3000), ...o });
const [q0, q1, q2] = fragmentsOf(question(), 1480) as [Uint8Array, Uint8Array, Uint8Array];
/** Frames by datagram, in order of appearance. */
function byId(frames: Uint8Array[]): Uint8Array[][] {
  const out = new Map<number, Uint8Array[]>();
  for (const f of frames) {
    const { id } = decode(f).ip!;
    out.set(id, [...(out.get(id) ?? []), f]);
  }
  return [...out.values()];
}
/** The datagram that fragments make, when none is missing. */
function joinedIfAll(parts: Uint8Array[]): Uint8Array[] {
  try {
    return [joined(parts)];
  } catch {
    return [];
  }
}
const waiting = (rig: Rig): number => rig.ipvs.fragments.table.waiting;
/** Everything is accounted for: what is in use is held. */
const settled = (rig: Rig): void => expect([rig.imbalance, rig.native.inUse]).toEqual([0, waiting(rig)]);

describe('fragments of a datagram to a service', () => {
  const orders = [
    [q0, q1, q2],
    [q0, q2, q1],
    [q1, q0, q2],
    [q1, q2, q0],
    [q2, q0, q1],
    [q2, q1, q0],
  ];
  it.each(orders.map((o, i) => [i, o] as const))('reach one server whole, order %i', (_i, order) => {
    const rig = serving();
    const out = rig.fromClient(...order);
    expect(out).toHaveLength(3);
    const d = decode(joined(out));
    expect(d.ip).toMatchObject({ src: LIP, dst: rs });
    expect(d.udp).toMatchObject({ dport: 8080, data: ramp(3000) });
    expect([rig.conns, rig.drops, waiting(rig)]).toEqual([1, {}, 0]);
    expect([rig.stat('inPackets'), rig.stat('inBytes')]).toEqual([3, 3000 + 8 + 60]);
    settled(rig);
  });

  it('wait, counted as held, while the first one is missing', () => {
    const rig = serving();
    expect(rig.fromClient(q1, q2)).toEqual([]);
    expect([waiting(rig), rig.conns, rig.drops]).toEqual([2, 0, {}]);
    settled(rig);
    expect(rig.fromClient(q0)).toHaveLength(3);
    settled(rig);
  });

  it('are dropped when it does not come in time', () => {
    const rig = serving();
    rig.fromClient(q1, q2);
    rig.advance(900);
    expect(waiting(rig)).toBe(2);
    rig.advance(100);
    expect([waiting(rig), rig.drops]).toEqual([0, { IP_FRAG_TIMEOUT: 2 }]);
    settled(rig);
  });

  it('repeated or overlapping ones go on as they are: the real server judges', () => {
    const rig = serving();
    const out = rig.fromClient(q0, q1, q0, q1, q2);
    expect(out).toHaveLength(5);
    expect(decode(joined(out)).udp!.data).toEqual(ramp(3000));
    expect(rig.conns).toBe(1);
    settled(rig);
  });

  it('whose identification comes again for other ports follow the newer first one', () => {
    const rig = serving();
    rig.fromClient(q0, q1, q2);
    const again = fragmentsOf(question({ src: '10.0.0.1:40001' }), 1480);
    const out = rig.fromClient(...again).map((f) => decode(f).ip!.dst);
    expect(out).toEqual(Array(3).fill(RS2.split(':')[0]));
    settled(rig);
  });

  it('with the same identification from several clients do not mix at the real server', () => {
    const rig = serving();
    const all = [1, 2, 3, 4].map((n) =>
      fragmentsOf(question({ src: `10.0.0.${n}:500${n}`, data: ramp(2000 + n) }), 1000),
    );
    const out = byId(rig.fromClient(...[2, 1, 0].flatMap((i) => all.map((f) => f[i]!))));
    expect(out.map((parts) => decode(joined(parts)).udp!.data)).toEqual(
      [1, 2, 3, 4].map((n) => ramp(2000 + n)),
    );
    expect(rig.conns).toBe(4);
    settled(rig);
  });

  it('go nowhere when the first one went nowhere', () => {
    const rig = new Rig({ config: LIMITS });
    rig.serve('udp', { dests: [] });
    expect(rig.fromClient(q1, q0, q2)).toEqual([]);
    expect(rig.drops).toEqual({ SVC_NO_DEST: 1, IP_FRAG_LOST: 2 });
    settled(rig);
  });

  it('find no connection when it has ended meanwhile', () => {
    const rig = serving('udp', { udpTimeoutsMs: { oneway: 200 }, fragmentTtlMs: 5000 });
    rig.fromClient(q0);
    rig.advance(400);
    expect(rig.conns).toBe(0);
    expect(rig.fromClient(q1)).toEqual([]);
    expect(rig.drops).toEqual({ IP_FRAG_LOST: 1 });
    settled(rig);
  });

  it('to a port without a service pass, those that had waited too', () => {
    const rig = serving();
    const pieces = fragmentsOf(question({ dst: `${vip}:81` }), 1480);
    rig.fromClient(pieces[1]!, pieces[0]!, pieces[2]!);
    expect([rig.accepted, rig.inet.proceeded]).toEqual([2, 1]);
    settled(rig);
  });

  it('of a query that no service takes pass, and those to other hosts do', () => {
    const rig = serving();
    const ping = icmp({ src: '10.0.0.1', dst: vip, type: 8, data: ramp(100) });
    const through = question({ dst: '10.9.9.9:80' });
    rig.fromClient(...fragmentsOf(ping, 40).reverse(), ...fragmentsOf(through, 1480).reverse());
    expect([rig.accepted + rig.inet.proceeded, waiting(rig)]).toEqual([6, 0]);
    settled(rig);
  });

  it('with the hop counted lose one', () => {
    const rig = serving('udp', { xmitTtl: true });
    expect(rig.fromClient(q1, q0, q2).map((f) => decode(f).ip!.ttl)).toEqual([63, 63, 63]);
  });

  it('over the MTU are cut again', () => {
    const rig = serving();
    rig.inet.mtu = 1400;
    rig.fromClient(q1, q0, q2);
    expect(rig.inet.fragmented).toEqual([1400, 1400]);
  });
});

describe('fragments of a connection', () => {
  it('of the real server come back as those of the service, in any order', () => {
    const rig = serving();
    const lport = decode(joined(rig.fromClient(q0, q1, q2))).udp!.sport;
    const answer = fragmentsOf(
      udp({ src: RS, dst: `${LIP}:${lport}`, id: 77, data: ramp(5000) }),
      1480,
    ).reverse();
    const d = decode(joined(rig.fromServer(...answer)));
    expect(d.ip).toMatchObject({ src: vip, dst: '10.0.0.1' });
    expect(d.udp).toMatchObject({ sport: 80, dport: 40000, data: ramp(5000) });
    expect(rig.stat('outPackets')).toBe(4);
    settled(rig);
  });

  it('of TCP: a segment in fragments passes with its checksum right', () => {
    const rig = serving('tcp');
    rig.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'S' }));
    const pieces = fragmentsOf(tcp({ src: CLIENT, dst: VIP, flags: 'PA', seq: 1, data: ramp(1000) }), 200);
    expect(decode(joined(rig.fromClient(...pieces.reverse()))).tcp!.data).toEqual(ramp(1000));
    settled(rig);
  });

  it('an ICMP error that quotes the first one reaches the sender', () => {
    const rig = serving();
    const [first] = rig.fromClient(q0, q1, q2);
    const back = rig.fromServer(
      icmp({ src: '192.168.0.9', dst: LIP, type: 11, code: 1, data: payloadOf(first!).slice(0, 500) }),
    );
    const quoted = decode(back[0]!).icmp!;
    expect([quoted.type, quoted.code]).toEqual([11, 1]);
    // All but the identification, which was ours, and its part in the checksum.
    expect(quoted.data.slice(12)).toEqual(q0.slice(26, 514));
    settled(rig);
  });
});

describe('attacks with fragments', () => {
  it.each([
    ['tcp', 8],
    ['tcp', 16],
    ['udp', 0],
  ] as const)('%s: nothing comes in the place of a header (RFC 1858), offset %i', (proto, offset) => {
    const rig = serving(proto);
    const payload = ramp(offset === 0 ? 7 : 64);
    rig.fromClient(
      ipv4({ src: '10.0.0.1', dst: vip, proto: proto === 'tcp' ? 6 : 17, offset, mf: offset === 0, payload }),
    );
    expect(rig.drops).toEqual({ IP_FRAGMENT: 1 });
    settled(rig);
  });

  it('a flood of later fragments holds no more than allowed, and a good datagram gets through', () => {
    const rig = serving();
    for (let id = 0; id < 400; id++) {
      rig.fromClient(
        ...fragmentsOf(question({ src: `10.0.1.${id & 255}:9`, id, data: ramp(100) }), 40).slice(1),
      );
      expect(waiting(rig)).toBeLessThanOrEqual(32);
      expect(rig.ipvs.fragments.table.size).toBeLessThanOrEqual(16);
      if (id % 50 === 0) expect(rig.fromClient(q1, q2, q0)).toHaveLength(3);
    }
    expect(rig.drops['IP_FRAG_FULL']).toBeGreaterThan(700);
    settled(rig);
    rig.advance(2000);
    expect(waiting(rig)).toBe(0);
    settled(rig);
  });
});

describe('random fragmentation', () => {
  it('in random order, lossy and repeated: what arrives is what was sent, to one server; nothing is kept', () => {
    let whole = 0;
    const plan = fc.array(
      fc.record({
        size: fc.integer({ min: 0, max: 4000 }),
        cuts: fc.array(fc.integer({ min: 1, max: 180 }), { maxLength: 8 }),
        lose: fc.oneof({ weight: 4, arbitrary: fc.constant(-1) }, { weight: 1, arbitrary: fc.nat(9) }),
        repeat: fc.array(fc.nat(9), { maxLength: 2 }),
      }),
      { minLength: 1, maxLength: 6 },
    );
    fc.assert(
      fc.property(plan, fc.infiniteStream(fc.nat(1 << 30)), (datagrams, stream) => {
        const rig = new Rig({ config: { ...LIMITS, fragmentBuffers: 128 } });
        rig.serve('udp', { dests: [RS, RS2] });
        const frames: Uint8Array[] = [];
        const lossless: number[] = [];
        datagrams.forEach(({ size, cuts, lose, repeat }, id) => {
          const frame = question({ src: `10.0.0.1:${5000 + id}`, id, data: ramp(size) });
          const pieces = fragmentsOf(frame, [...cuts.map((c) => c * 8), 1480, 1480, 1480]);
          const lost = lose >= 0 && pieces.length > 1 ? lose % pieces.length : -1;
          if (lost < 0) lossless.push(id);
          pieces.forEach((f, i) => i !== lost && frames.push(f));
          // A whole datagram that comes twice is two datagrams.
          if (pieces.length > 1)
            for (const i of repeat) if (i % pieces.length !== lost) frames.push(pieces[i % pieces.length]!);
        });
        for (let i = frames.length - 1; i > 0; i--) {
          const j = (stream.next().value as number) % (i + 1);
          [frames[i], frames[j]] = [frames[j]!, frames[i]!];
        }
        const out = rig.fromClient(...frames);
        settled(rig);
        const isFragment = (f: Uint8Array): boolean => decode(f).ip!.mf || decode(f).ip!.offset > 0;
        const parts = byId(out.filter(isFragment));
        for (const p of parts) expect(new Set(p.map((f) => decode(f).ip!.dst)).size).toBe(1);
        const arrived = [...out.filter((f) => !isFragment(f)), ...parts.flatMap(joinedIfAll)];
        arrived.forEach(checkFrame);
        const sizes = arrived.map((f) => decode(f).udp!.data.length);
        for (const id of lossless) expect(sizes).toContain(datagrams[id]!.size);
        whole += lossless.length;
        rig.advance(400_000, 5000);
        expect([rig.conns, waiting(rig), rig.portsUsed, rig.ipvs.fragments.table.size]).toEqual([0, 0, 0, 0]);
        settled(rig);
      }),
      { numRuns: 100 },
    );
    expect(whole).toBeGreaterThan(200);
  });
});
