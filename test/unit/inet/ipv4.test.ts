import { describe, expect, it } from 'vitest';
import { ACCEPT, STOLEN } from '../../../src/inet/api.js';
import { DROP } from '../../../src/core/drops.js';
import {
  BROADCAST_MAC,
  checkFrame,
  decode,
  icmp,
  ipv4,
  payloadOf,
  ping,
  ramp,
  tcp,
  udp,
} from '../../support/frames.js';
import type { Ipv4Options } from '../../support/frames.js';
import { Lab, macOf } from '../../support/lab.js';

// A client on dpdk0, a host on dpdk1, us between them.
const US = '192.168.100.100';
const CLIENT = '192.168.100.3';
const CLIENT_MAC = '02:00:00:00:00:03';
const HOST = '10.0.0.9';
const HOST_MAC = '02:00:00:00:00:09';

const make = (config: Record<string, unknown> = {}, o: ConstructorParameters<typeof Lab>[0] = {}): Lab =>
  new Lab({
    ports: 2,
    addrs: [`${US}/24`, '10.0.0.1/24 dpdk1'],
    neighs: [`${CLIENT} ${CLIENT_MAC}`, `${HOST} ${HOST_MAC} dpdk1`],
    config,
    ...o,
  });

const from = { src: `${CLIENT}:4000`, smac: CLIENT_MAC, dmac: macOf(0) };
/** To us, and through us. */
const toUs = (o: Partial<Ipv4Options> & { data?: string } = {}): Uint8Array =>
  udp({ ...from, dst: `${US}:53`, ...o });
const through = (o: Partial<Ipv4Options> & { data?: string | Uint8Array } = {}): Uint8Array =>
  udp({ ...from, dst: `${HOST}:53`, ...o });
const error = (f: Uint8Array, type: number, code: number, rest = 0, src = US): Uint8Array =>
  icmp({
    src,
    dst: CLIENT,
    type,
    code,
    rest,
    data: payloadOf(f).slice(0, 548),
    tos: 0xc0,
    smac: macOf(0),
    dmac: CLIENT_MAC,
  });

/** Frames without their identification, which is ours to choose. */
function sansId(frames: Uint8Array[]): Uint8Array[] {
  return frames.map((f) => {
    const copy = Uint8Array.from(f);
    copy.fill(0, 18, 20);
    copy.fill(0, 24, 26);
    return copy;
  });
}

describe('validation', () => {
  const cases: [string, Uint8Array, Record<string, number>][] = [
    ['version 6', toUs({ version: 6 }), { IP_BAD_HEADER: 1 }],
    ['a header of 16 bytes', toUs({ ihl: 4 }), { IP_BAD_HEADER: 1 }],
    ['a header longer than the datagram', toUs({ ihl: 15 }), { IP_BAD_HEADER: 1 }],
    ['a total length beyond the frame', toUs({ totalLen: 29 }), { IP_BAD_HEADER: 1 }],
    ['a total length inside the header', toUs({ totalLen: 19 }), { IP_BAD_HEADER: 1 }],
    ['a frame cut in its header', toUs().slice(0, 33), { IP_BAD_HEADER: 1 }],
    ['a wrong checksum', toUs({ badChecksum: true }), { IP_BAD_CHECKSUM: 1 }],
    ['a MAC that is not ours', toUs({ dmac: macOf(9) }), { ETH_OTHER_HOST: 1 }],
    ['a multicast source', toUs({ src: '224.0.0.1:1' }), { IP_BAD_ADDR: 1 }],
    ['a broadcast source', toUs({ src: '255.255.255.255:1' }), { IP_BAD_ADDR: 1 }],
    ["the subnet's broadcast address for source", toUs({ src: '192.168.100.255:1' }), { IP_BAD_ADDR: 1 }],
    ['a loopback source', toUs({ src: '127.0.0.1:1' }), { IP_BAD_ADDR: 1 }],
    ['a reserved source', toUs({ src: '240.0.0.1:1' }), { IP_BAD_ADDR: 1 }],
    ['no source', toUs({ src: '0.0.0.0:1' }), { IP_BAD_ADDR: 1 }],
    ['our own address for source', toUs({ src: `${US}:1` }), { IP_BAD_ADDR: 1 }],
    ['our other address for source', toUs({ src: '10.0.0.1:1' }), { IP_BAD_ADDR: 1 }],
    ['a loopback destination', toUs({ dst: '127.0.0.1:1' }), { IP_BAD_ADDR: 1 }],
    ['a destination in 0/8', toUs({ dst: '0.1.2.3:1' }), { IP_BAD_ADDR: 1 }],
    ['a reserved destination', toUs({ dst: '250.0.0.1:1' }), { IP_BAD_ADDR: 1 }],
    [
      'a multicast destination',
      toUs({ dst: '224.0.0.1:1', dmac: '01:00:5e:00:00:01' }),
      { IP_NOT_JOINED: 1 },
    ],
    [
      'a unicast datagram in a broadcast frame (RFC 1122 3.3.6)',
      toUs({ dmac: BROADCAST_MAC }),
      { IP_BAD_ADDR: 1 },
    ],
    ['a loose source route', toUs({ options: [131, 7, 4, 10, 0, 0, 9, 0] }), { IP_BAD_OPTION: 1 }],
    ['a strict source route', toUs({ options: [137, 7, 4, 10, 0, 0, 9, 0] }), { IP_BAD_OPTION: 1 }],
    [
      'a limited broadcast that nobody takes',
      toUs({ dst: '255.255.255.255:67', dmac: BROADCAST_MAC }),
      { IP_NO_PROTO: 1 },
    ],
    [
      'a broadcast ping',
      ping({ ...from, dst: '192.168.100.255', src: CLIENT, dmac: BROADCAST_MAC }),
      { ICMP_IGNORED: 1 },
    ],
    ['a ping reply', ping({ ...from, src: CLIENT, dst: US, reply: true }), { ICMP_IGNORED: 1 }],
    [
      'an ICMP timestamp request',
      icmp({ ...from, src: CLIENT, dst: US, type: 13, data: ramp(12) }),
      { ICMP_IGNORED: 1 },
    ],
    [
      'a ping with a wrong checksum',
      icmp({ ...from, src: CLIENT, dst: US, type: 8, badL4Checksum: true }),
      { ICMP_BAD: 1 },
    ],
    [
      'an ICMP message of 7 bytes',
      ipv4({ ...from, src: CLIENT, dst: US, proto: 1, payload: new Uint8Array(7) }),
      { ICMP_BAD: 1 },
    ],
    [
      'TCP with a wrong checksum',
      tcp({ ...from, dst: `${US}:9`, badL4Checksum: true }),
      { L4_BAD_HEADER: 1 },
    ],
    [
      'TCP cut in its header',
      ipv4({ ...from, src: CLIENT, dst: US, proto: 6, payload: new Uint8Array(19) }),
      { L4_BAD_HEADER: 1 },
    ],
    [
      'UDP with a wrong checksum',
      udp({ ...from, dst: `${US}:9`, badL4Checksum: true }),
      { L4_BAD_HEADER: 1 },
    ],
    ['UDP longer than the datagram', udp({ ...from, dst: `${US}:9`, udpLen: 9 }), { L4_BAD_HEADER: 1 }],
    ['UDP shorter than its header', udp({ ...from, dst: `${US}:9`, udpLen: 7 }), { L4_BAD_HEADER: 1 }],
    ['a TCP reset', tcp({ ...from, dst: `${US}:9`, flags: 'R' }), { IP_NO_PROTO: 1 }],
    // RFC 1122 sections 4.2.3.10 and 3.2.1.3: the reset would come from the broadcast address.
    [
      "a SYN to the subnet's broadcast address in a frame for us",
      tcp({ ...from, dst: '192.168.100.255:9', flags: 'S' }),
      { IP_NO_PROTO: 1 },
    ],
    [
      'a SYN to the limited broadcast address in a frame for us',
      tcp({ ...from, dst: '255.255.255.255:9', flags: 'S' }),
      { IP_NO_PROTO: 1 },
    ],
    [
      'UDP to a broadcast address in a frame for us',
      udp({ ...from, dst: '192.168.100.255:9' }),
      { IP_NO_PROTO: 1 },
    ],
    [
      'an ICMP message of an unknown type',
      icmp({ ...from, src: CLIENT, dst: US, type: 200, data: ramp(12) }),
      { ICMP_IGNORED: 1 },
    ],
  ];

  it.each(cases)('%s is dropped without an answer', (_, frame, drops) => {
    const lab = make({ forwarding: true });
    lab.inject(0, frame);
    lab.run();
    expect([lab.take(0), lab.take(1), lab.drops()]).toEqual([[], [], drops]);
    lab.expectBalanced();
  });

  it.each([
    ['that runs over the header', [7, 9, 4, 0], 21],
    ['of length 1', [7, 1, 4, 0], 21],
    ['without a length', [1, 1, 1, 7], 23],
  ])('an option %s is a parameter problem at its place', (_, options, pointer) => {
    const lab = make();
    const frame = toUs({ options });
    lab.inject(0, frame);
    lab.run();
    expect(sansId(lab.take(0))).toEqual(sansId([error(frame, 12, 0, pointer * 0x1000000)]));
    expect(lab.drops()).toEqual({ IP_BAD_OPTION: 1 });
    lab.expectBalanced();
  });

  // RFC 1122 section 3.2.2. Options are judged before addresses are.
  it.each([
    ['from 0.0.0.0', { src: '0.0.0.0:1' }],
    ['from a loopback address', { src: '127.0.0.1:1' }],
    ['from a multicast address', { src: '224.0.0.1:1' }],
    ['from a reserved address', { src: '240.0.0.1:1' }],
    ['from the limited broadcast address', { src: '255.255.255.255:1' }],
    ["from the subnet's broadcast address", { src: '192.168.100.255:1' }],
    ['from our own address', { src: `${US}:1` }],
    ['to a multicast address', { dst: '224.0.0.1:1' }],
    ['to the limited broadcast address', { dst: '255.255.255.255:1' }],
    ["to the subnet's broadcast address", { dst: '192.168.100.255:1' }],
    ['in a broadcast frame', { dmac: BROADCAST_MAC }],
    ['in a multicast frame', { dmac: '01:00:5e:00:00:01' }],
    ['that is a later fragment', { offset: 64 }],
  ])('a malformed option in a datagram %s is not reported', (_, o) => {
    const lab = make({ forwarding: true });
    lab.inject(0, toUs({ options: [7, 1, 4, 0], ...o }));
    lab.run();
    expect([lab.take(0), lab.take(1), lab.drops()]).toEqual([[], [], { IP_BAD_OPTION: 1 }]);
    lab.expectBalanced();
  });

  it('a malformed option in an ICMP error is not reported', () => {
    const lab = make();
    lab.inject(0, icmp({ ...from, src: CLIENT, dst: US, type: 3, options: [7, 1, 4, 0], data: ramp(28) }));
    lab.run();
    expect([lab.take(0), lab.drops()]).toEqual([[], { IP_BAD_OPTION: 1 }]);
  });

  it('nothing behind "end of options" is looked at, and options that we do not know are skipped', () => {
    const lab = make();
    // A source route behind the end; then option 30, which nobody has assigned.
    for (const options of [
      [0, 131, 1, 9],
      [30, 4, 9, 9],
    ])
      lab.inject(0, ping({ ...from, src: CLIENT, dst: US, options }));
    lab.run();
    expect(lab.take(0).map((f) => decode(f).icmp?.type)).toEqual([0, 0]);
    expect(lab.drops()).toEqual({});
  });

  it('a redirect changes no route', () => {
    const lab = make({ forwarding: true });
    lab.route('0.0.0.0/0', { via: HOST });
    const far = through({ dst: '8.8.8.8:53' });
    lab.inject(
      0,
      icmp({ ...from, src: CLIENT, dst: US, type: 5, code: 1, rest: 0xc0a86403, data: payloadOf(far) }),
      far,
    );
    lab.run();
    expect(lab.take(1).map((f) => decode(f).dmac)).toEqual([HOST_MAC]);
    expect([lab.take(0), lab.drops()]).toEqual([[], { ICMP_IGNORED: 1 }]);
    lab.expectBalanced();
  });

  it('a ping with options is answered without them', () => {
    const lab = make();
    lab.inject(0, ping({ ...from, src: CLIENT, dst: US, options: [7, 7, 4, 0, 0, 0, 0, 1], data: 'x' }));
    lab.run();
    expect(sansId(lab.take(0))).toEqual(
      sansId([ping({ src: US, dst: CLIENT, reply: true, data: 'x', smac: macOf(0), dmac: CLIENT_MAC })]),
    );
    lab.expectBalanced();
  });
});

describe('hooks', () => {
  it('see the whole valid datagram without padding, in order, until one steals it', () => {
    const lab = make();
    const seen: unknown[] = [];
    lab.inet.preRouting.push((p) => {
      const { packets } = lab;
      seen.push([
        packets.l3(p) - packets.data(p),
        packets.l4(p) - packets.l3(p),
        packets.len(p),
        packets.ifindex(p),
        packets.l2Class(p),
      ]);
      return ACCEPT;
    });
    lab.inet.preRouting.push((p) => {
      lab.packets.drop(p, DROP.CONN_NO_SYN);
      return STOLEN;
    });
    lab.inet.preRouting.push(() => {
      throw new Error('not reached');
    });
    lab.inject(0, toUs({ padTo: 60, options: [1, 1, 1, 1], data: 'ab' }));
    lab.run();
    expect(seen).toEqual([[0, 24, 34, 1, 0]]);
    expect(lab.drops()).toEqual({ CONN_NO_SYN: 1 });
    lab.expectBalanced();
  });

  it.each([
    ['broadcasts', toUs({ dst: '192.168.100.255:1', dmac: BROADCAST_MAC })],
    ['multicasts', toUs({ dst: '224.0.0.1:1', dmac: '01:00:5e:00:00:01' })],
    ['what is malformed', toUs({ badChecksum: true })],
  ])('do not see %s', (_, frame) => {
    const lab = make();
    let seen = 0;
    lab.inet.preRouting.push(() => {
      seen += 1;
      return ACCEPT;
    });
    lab.inject(0, frame);
    lab.run();
    expect(seen).toBe(0);
    lab.expectBalanced();
  });

  it('of local delivery get their protocol, and what they accept is refused as usual', () => {
    const lab = make();
    const seen: number[] = [];
    lab.inet.localIn[17] = (p) => {
      seen.push(17);
      lab.packets.drop(p, DROP.ICMP_DONE);
      return STOLEN;
    };
    lab.inet.localIn[1] = () => {
      seen.push(1);
      return ACCEPT;
    };
    lab.inject(0, toUs(), ping({ ...from, src: CLIENT, dst: US }));
    lab.run();
    expect(seen).toEqual([17, 1]);
    expect(lab.take(0).map((f) => decode(f).icmp?.type)).toEqual([0]);
    lab.expectBalanced();
  });
});

describe('a datagram for our address that nobody serves', () => {
  it('UDP: port unreachable, quoting all of it', () => {
    const lab = make();
    const frame = toUs({ data: 'who are you' });
    lab.inject(0, frame);
    lab.run();
    expect(sansId(lab.take(0))).toEqual(sansId([error(frame, 3, 3)]));
    expect(lab.drops()).toEqual({ IP_NO_PROTO: 1 });
    lab.expectBalanced();
  });

  it('an error quotes at most 548 bytes', () => {
    const lab = make();
    const frame = udp({ ...from, dst: `${US}:53`, data: ramp(1400) });
    lab.inject(0, frame);
    lab.run();
    const [answer] = lab.take(0);
    expect(decode(answer!).ip?.totalLen).toBe(576);
    expect(decode(answer!).icmp?.data).toEqual(payloadOf(frame).slice(0, 548));
  });

  it('another protocol: protocol unreachable', () => {
    const lab = make();
    const frame = ipv4({ ...from, src: CLIENT, dst: US, proto: 89, payload: ramp(20) });
    lab.inject(0, frame);
    lab.run();
    expect(sansId(lab.take(0))).toEqual(sansId([error(frame, 3, 2)]));
    lab.expectBalanced();
  });

  it.each([
    ['a SYN', { flags: 'S', seq: 100 }, { flags: 'RA', seq: 0, ack: 101 }],
    [
      'a SYN at the end of the sequence space',
      { flags: 'S', seq: 0xffffffff },
      { flags: 'RA', seq: 0, ack: 0 },
    ],
    ['data without ACK', { flags: 'P', seq: 5, data: 'abc' }, { flags: 'RA', seq: 0, ack: 8 }],
    ['a FIN without ACK', { flags: 'F', seq: 5, data: 'abc' }, { flags: 'RA', seq: 0, ack: 9 }],
    ['an ACK', { flags: 'A', seq: 5, ack: 77 }, { flags: 'R', seq: 77, ack: 0 }],
    ['a SYN+ACK', { flags: 'SA', seq: 5, ack: 0xfffffff0 }, { flags: 'R', seq: 0xfffffff0, ack: 0 }],
  ])('TCP, %s: reset (RFC 9293 section 3.5.2)', (_, sent, reset) => {
    const lab = make();
    lab.inject(0, tcp({ ...from, dst: `${US}:80`, ...sent }));
    lab.run();
    expect(sansId(lab.take(0))).toEqual(
      sansId([
        tcp({
          src: `${US}:80`,
          dst: from.src,
          df: true,
          window: 0,
          smac: macOf(0),
          dmac: CLIENT_MAC,
          ...reset,
        }),
      ]),
    );
    expect(lab.drops()).toEqual({ IP_NO_PROTO: 1 });
    lab.expectBalanced();
  });

  it('errors and resets are limited: 50 and 200 at once, 1000 a second', () => {
    const lab = make();
    for (let i = 0; i < 300; i++)
      lab.inject(0, toUs({ id: i }), tcp({ ...from, dst: `${US}:80`, flags: 'S', id: i }));
    lab.run();
    const kinds = lab.take(0).map((f) => decode(f).ip!.proto);
    expect([kinds.filter((k) => k === 1).length, kinds.filter((k) => k === 6).length]).toEqual([50, 200]);
    expect(lab.drops()).toEqual({ IP_NO_PROTO: 600, ICMP_RATE: 350 });
    lab.expectBalanced();
    lab.advance(10);
    for (let i = 0; i < 30; i++) lab.inject(0, toUs({ id: i }));
    lab.run();
    expect(lab.take(0)).toHaveLength(10);
    lab.expectBalanced();
  });
});

describe('forwarding', () => {
  it('off: what is not for us is dropped in silence', () => {
    const lab = make({ forwarding: false });
    lab.inject(0, through(), through({ ttl: 1 }), through({ dst: '99.0.0.1:1' }));
    lab.run();
    expect([lab.take(0), lab.take(1), lab.drops()]).toEqual([[], [], { IP_NO_FORWARD: 3 }]);
    lab.expectBalanced();
  });

  const on = { forwarding: true };
  const out = { smac: macOf(1), dmac: HOST_MAC };

  it.each([
    ['a datagram', {}],
    ['one with options', { options: [148, 4, 0, 0] }],
    ['a first fragment', { mf: true, data: '12345678' }],
    ['a last fragment', { offset: 1480, data: 'rest' }],
    ['one of TTL 2', { ttl: 2 }],
    ['one with padding behind it', { padTo: 60 }],
  ])('on: %s leaves with TTL - 1', (_, o) => {
    const lab = make(on);
    lab.inject(0, through(o));
    lab.run();
    const { padTo: _pad, ...rest } = o as { padTo?: number; ttl?: number };
    expect(lab.take(1)).toEqual([
      udp({ src: from.src, dst: `${HOST}:53`, ...rest, ...out, ttl: (rest.ttl ?? 64) - 1 }),
    ]);
    expect(lab.take(0)).toEqual([]);
    expect(lab.drops()).toEqual({});
    lab.expectBalanced();
  });

  it.each([
    ['TTL 1: time exceeded', through({ ttl: 1 }), [11, 0], { IP_TTL: 1 }],
    ['TTL 0: time exceeded', through({ ttl: 0 }), [11, 0], { IP_TTL: 1 }],
    ['no route: net unreachable', through({ dst: '99.0.0.1:53' }), [3, 0], { IP_NO_ROUTE: 1 }],
  ] as const)('on: %s', (_, frame, [type, code], drops) => {
    const lab = make(on);
    lab.inject(0, frame);
    lab.run();
    expect(sansId(lab.take(0))).toEqual(sansId([error(frame, type, code)]));
    expect(lab.take(1)).toEqual([]);
    expect(lab.drops()).toEqual(drops);
    lab.expectBalanced();
  });

  it('on: larger than the MTU with DF is answered with the MTU (RFC 1191)', () => {
    const lab = make(on);
    lab.command('link.set', { dev: 'dpdk1', mtu: 1400 });
    const frame = through({ df: true, data: ramp(1400 - 27) });
    lab.inject(0, frame, through({ df: true, data: ramp(1400 - 28) }));
    lab.run();
    expect(sansId(lab.take(0))).toEqual(sansId([error(frame, 3, 4, 1400)]));
    expect(lab.take(1).map((f) => decode(f).ip?.totalLen)).toEqual([1400]);
    expect(lab.drops()).toEqual({ IP_TOO_BIG: 1 });
    lab.expectBalanced();
  });

  it("on: the route's MTU counts where it is smaller than the device's", () => {
    const lab = make(on);
    lab.route('50.0.0.0/8', { via: HOST, mtu: 600 });
    lab.route('60.0.0.0/8', { via: HOST, mtu: 9000 });
    lab.inject(
      0,
      through({ df: true, dst: '50.0.0.1:1', data: ramp(600) }),
      through({ df: true, dst: '60.0.0.1:1', data: ramp(1472) }),
    );
    lab.run();
    expect(lab.take(0).map((f) => decode(f).icmp?.rest)).toEqual([600]);
    expect(lab.take(1)).toHaveLength(1);
  });

  it('on: directed broadcasts into another of our networks are not forwarded', () => {
    const lab = make(on);
    lab.inject(0, through({ dst: '10.0.0.255:1' }));
    lab.run();
    expect([lab.take(1), lab.drops()]).toEqual([[], { IP_NOT_JOINED: 1 }]);
    lab.expectBalanced();
  });

  it.each([
    ['an ICMP error', icmp({ ...from, src: CLIENT, dst: HOST, type: 3, code: 1, data: ramp(28), ttl: 1 })],
    ['a non-first fragment', through({ ttl: 1, offset: 8 })],
  ])('on: %s that cannot go on is dropped without an error', (_, frame) => {
    const lab = make(on);
    lab.inject(0, frame);
    lab.run();
    expect([lab.take(0), lab.drops()]).toEqual([[], { IP_TTL: 1 }]);
    lab.expectBalanced();
  });

  it('on: a ping that cannot go on is answered with an error all the same', () => {
    const lab = make(on);
    lab.inject(0, ping({ ...from, src: CLIENT, dst: HOST, ttl: 1 }));
    lab.run();
    expect(lab.take(0).map((f) => decode(f).icmp?.type)).toEqual([11]);
  });
});

describe('fragmenting', () => {
  /** What a receiver puts together. */
  function reassemble(frames: Uint8Array[]): Uint8Array {
    const parts = frames.map((f) => decode(f).ip!);
    const end = Math.max(...parts.map((i) => i.offset + i.payload.length));
    const whole = new Uint8Array(end);
    let at = 0;
    for (const i of parts) {
      expect(i.offset).toBe(at);
      whole.set(i.payload, i.offset);
      at += i.payload.length;
    }
    return whole;
  }

  it.each([68, 69, 100, 576, 1000, 1371, 1499])(
    'to an MTU of %i: pieces fit, are right, and make the whole',
    (mtu) => {
      const lab = make({ forwarding: true });
      lab.command('link.set', { dev: 'dpdk1', mtu });
      const frame = through({ data: ramp(1472), id: 4711, tos: 8 });
      lab.inject(0, frame);
      lab.run();
      const frames = lab.take(1);
      for (const f of frames) {
        const i = decode(f).ip!;
        expect(f.length).toBeLessThanOrEqual(mtu + 14);
        expect([i.id, i.tos, i.ttl, i.src, i.dst, i.proto, i.df]).toEqual([
          4711,
          8,
          63,
          CLIENT,
          HOST,
          17,
          false,
        ]);
      }
      expect(frames.map((f) => decode(f).ip!.mf)).toEqual(frames.map((_, n) => n < frames.length - 1));
      expect(reassemble(frames)).toEqual(payloadOf(frame).slice(20));
      expect(lab.drops()).toEqual({});
      lab.expectBalanced();
    },
  );

  it('a fragment again keeps its offset and its "more fragments"', () => {
    const lab = make({ forwarding: true });
    lab.command('link.set', { dev: 'dpdk1', mtu: 500 });
    lab.inject(0, through({ data: ramp(992), offset: 1480, mf: true }));
    lab.run();
    expect(
      lab.take(1).map((f) => [decode(f).ip!.offset, decode(f).ip!.payload.length, decode(f).ip!.mf]),
    ).toEqual([
      [1480, 480, true],
      [1960, 480, true],
      [2440, 40, true],
    ]);
    lab.expectBalanced();
  });

  it('copies into every piece the options that say so, and only those (RFC 791)', () => {
    const lab = make({ forwarding: true });
    lab.command('link.set', { dev: 'dpdk1', mtu: 500 });
    lab.inject(0, through({ data: ramp(600), options: [1, 148, 4, 0, 0, 7, 3, 4] }));
    lab.run();
    const frames = lab.take(1);
    expect(frames.map((f) => decode(f).ip!.options)).toEqual([
      [1, 148, 4, 0, 0, 7, 3, 4],
      [148, 4, 0, 0],
    ]);
    expect(reassemble(frames)).toHaveLength(608);
    lab.expectBalanced();
  });

  it('fills up what it copies to whole words', () => {
    const lab = make({ forwarding: true });
    lab.command('link.set', { dev: 'dpdk1', mtu: 500 });
    lab.inject(0, through({ data: ramp(600), options: [130, 3, 9, 7, 3, 4, 0, 0] }));
    lab.run();
    expect(lab.take(1).map((f) => decode(f).ip!.options)).toEqual([
      [130, 3, 9, 7, 3, 4, 0, 0],
      [130, 3, 9, 0],
    ]);
    lab.expectBalanced();
  });

  it('waits as a whole for a neighbour that is not resolved', () => {
    const lab = make({ forwarding: true });
    lab.command('link.set', { dev: 'dpdk1', mtu: 1000 });
    lab.command('neigh.del', { dev: 'dpdk1', addr: HOST });
    lab.inject(0, through({ data: ramp(1472) }));
    lab.run();
    lab.take(1);
    expect(lab.counter('held')).toBe(2);
    lab.inet.neigh.learn(2, 0x0a000009, HOST_MAC);
    lab.run();
    expect(lab.take(1).map((f) => decode(f).ip!.offset)).toEqual([0, 976]);
    lab.expectBalanced();
  });

  it('without packets to put the pieces in drops all of them', () => {
    const lab = make({ forwarding: true });
    lab.command('link.set', { dev: 'dpdk1', mtu: 500 });
    lab.native.inject(0, through({ data: ramp(1472) }));
    const n = lab.native.poll(1, 1);
    const restore = lab.native.exhaust();
    for (let i = 0; i < n; i++) lab.netif.receive(lab.packets.exception(i));
    lab.native.flush(1);
    restore();
    expect([lab.take(1), lab.drops()]).toEqual([[], { NO_MBUF: 1 }]);
    lab.expectBalanced();
  });
});

describe('output of our own', () => {
  /** A datagram of ours, given to `output`. */
  function send(lab: Lab, frame: Uint8Array): void {
    const p = lab.packets.alloc();
    const datagram = payloadOf(frame);
    lab.packets.setLen(p, datagram.length);
    lab.packets.bytes.raw.set(datagram, lab.packets.data(p));
    lab.inet.output(p);
    lab.run();
  }
  const ours = (o: Partial<Ipv4Options> & { data?: Uint8Array } = {}): Uint8Array =>
    udp({ src: '10.0.0.1:1', dst: `${HOST}:2`, smac: macOf(1), dmac: HOST_MAC, ...o });

  it('goes to the neighbour as it stands', () => {
    const lab = make();
    send(lab, ours({ ttl: 1 }));
    expect(lab.take(1)).toEqual([ours({ ttl: 1 })]);
    lab.expectBalanced();
  });

  it('goes to the gateway of its route', () => {
    const lab = make();
    lab.route('0.0.0.0/0', { via: HOST });
    send(lab, ours({ dst: '8.8.8.8:53' }));
    expect(lab.take(1)).toEqual([ours({ dst: '8.8.8.8:53' })]);
  });

  it.each([
    ['without a route', { dst: '8.8.8.8:53' }, { IP_NO_ROUTE: 1 }],
    ['to ourselves', { dst: `${US}:53` }, { IP_BAD_ADDR: 1 }],
    ['to a broadcast address', { dst: '10.0.0.255:53' }, { IP_BAD_ADDR: 1 }],
    ['too large with DF', { df: true, data: ramp(1473) }, { IP_TOO_BIG: 1 }],
  ])('%s is dropped', (_, o, drops) => {
    const lab = make();
    send(lab, ours(o));
    expect([lab.take(0), lab.take(1), lab.drops()]).toEqual([[], [], drops]);
    lab.expectBalanced();
  });

  it('too large without DF is fragmented', () => {
    const lab = make();
    send(lab, ours({ data: ramp(1600) }));
    expect(lab.take(1).map((f) => decode(f).ip!.offset)).toEqual([0, 1480]);
    lab.expectBalanced();
  });
});

it('lookup tells local from remote, and nothing of broadcast addresses', () => {
  const { inet } = make();
  expect(inet.lookup(0xc0a86464)).toMatchObject({ local: true, ifindex: 1, scope: 'host' });
  expect(inet.lookup(0xc0a86403)).toMatchObject({
    local: false,
    ifindex: 1,
    via: 0,
    src: 0xc0a86464,
    scope: 'link',
  });
  expect(inet.lookup(0xc0a864ff)).toBeUndefined();
  expect(inet.lookup(0x08080808)).toBeUndefined();
  expect([inet.isLocal(0x0a000001), inet.isLocal(0x0a000002)]).toEqual([true, false]);
  expect(inet.sourceFor(inet.lookup(0x0a000009)!, 0x0a000009)).toBe(0x0a000001);
});

it('the judge of frames finds what is wrong', () => {
  const good = through({ data: 'x' });
  const broken = (edit: (f: Uint8Array) => void): Uint8Array => {
    const f = Uint8Array.from(good);
    edit(f);
    return f;
  };
  expect(() => checkFrame(good)).not.toThrow();
  for (const edit of [
    (f: Uint8Array) => void (f[24]! ^= 1),
    (f: Uint8Array) => void (f[40]! ^= 1),
    (f: Uint8Array) => void (f[42]! ^= 1),
    (f: Uint8Array) => void (f[39]! += 1),
    (f: Uint8Array) => void (f[17]! += 1),
    (f: Uint8Array) => void (f[6]! |= 1),
  ]) {
    expect(() => checkFrame(broken(edit))).toThrow('bad frame');
  }
});
