/** Fragments for our own addresses: put together in any order, or dropped with a reason; never more memory than allowed. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import '../../support/seed.js';
import { decode, fragmentsOf, icmp, ipv4, joined, ping, ramp, udp } from '../../support/frames.js';
import type { LabOptions } from '../../support/lab.js';
import { Lab } from '../../support/lab.js';

const US = '192.168.100.100';
const PEER = '192.168.100.3';
const MAC = '02:00:00:00:00:aa';

const make = (o: LabOptions = {}): Lab =>
  new Lab({ addrs: [`${US}/24`], neighs: [`${PEER} ${MAC}`], mbufs: 600, ...o });
const request = (o: Partial<Parameters<typeof ping>[0]> = {}): Uint8Array =>
  ping({ src: PEER, dst: US, smac: MAC, id: 7, ...o });
/** One fragment of an echo request, with any data. */
const piece = (
  offset: number,
  len: number,
  o: { mf?: boolean; id?: number; src?: string } = {},
): Uint8Array =>
  ipv4({ src: PEER, dst: US, smac: MAC, id: 7, mf: true, ...o, offset, proto: 1, payload: ramp(len) });

function send(lab: Lab, ...frames: Uint8Array[]): Uint8Array[] {
  lab.inject(0, ...frames);
  lab.run();
  return lab.take(0);
}
const total = (drops: Record<string, number>): number => Object.values(drops).reduce((n, v) => n + v, 0);

describe('an echo in fragments', () => {
  it.each([56, 100, 1480, 1992, 2000, 3000, 9000, 65507])('of %i bytes comes back whole', (size) => {
    const lab = make();
    const data = ramp(size);
    const out = send(lab, ...fragmentsOf(request({ data }), 1480));
    const back = decode(joined(out));
    expect(back.icmp).toMatchObject({ type: 0, code: 0, rest: 0x10001 });
    expect(back.icmp!.data).toEqual(data);
    expect(back.ip).toMatchObject({ src: US, dst: PEER, ttl: 64 });
    for (const frame of out) expect(frame.length).toBeLessThanOrEqual(1514);
    lab.expectBalanced();
  });

  it('is cut again where the way back has a smaller MTU', () => {
    const lab = make();
    lab.route(`${PEER}/32`, { dev: 'dpdk0', mtu: 600 });
    const data = ramp(5001);
    const out = send(lab, ...fragmentsOf(request({ data }), 1480));
    expect(decode(joined(out)).icmp!.data).toEqual(data);
    for (const frame of out) expect(frame.length).toBeLessThanOrEqual(614);
    lab.expectBalanced();
  });

  it('has options in its first fragment or in all: the answer has none', () => {
    for (const size of [500, 4000]) {
      const lab = make();
      const out = send(
        lab,
        ...fragmentsOf(request({ options: [148, 4, 0, 0], data: ramp(size) }), 400).reverse(),
      );
      const back = decode(joined(out));
      expect([back.ip!.options, back.icmp!.data.length]).toEqual([[], size]);
      lab.expectBalanced();
    }
  });

  // RFC 791 section 3.2: source, destination, protocol and identification tell datagrams apart.
  it('does not mix with fragments of others that have its identification', () => {
    const lab = make({
      addrs: [`${US}/24`, '192.168.100.101/24'],
      neighs: [`${PEER} ${MAC}`, `192.168.100.4 ${MAC}`],
    });
    const [a, b, c] = [
      { src: PEER, dst: US, data: ramp(100) },
      { src: '192.168.100.4', dst: US, data: ramp(100).reverse() },
      { src: PEER, dst: '192.168.100.101', data: ramp(100).fill(9) },
    ].map((o) => fragmentsOf(request(o), 56)) as [Uint8Array[], Uint8Array[], Uint8Array[]];
    const other = ipv4({ src: PEER, dst: US, smac: MAC, id: 7, offset: 56, proto: 99, payload: ramp(52) });
    const out = send(lab, other, a[0]!, b[0]!, c[0]!, c[1]!, a[1]!, b[1]!);
    expect(out.map((f) => [decode(f).ip!.src, decode(f).ip!.dst, decode(f).icmp!.data])).toEqual([
      ['192.168.100.101', PEER, ramp(100).fill(9)],
      [US, PEER, ramp(100)],
      [US, '192.168.100.4', ramp(100).reverse()],
    ]);
    lab.expectBalanced();
  });

  it('of nothing but zeros has the checksum that is right for it', () => {
    const lab = make();
    const zero = icmp({ src: PEER, dst: US, smac: MAC, type: 8, rest: 0, data: new Uint8Array(4000) });
    const out = send(lab, ...fragmentsOf(zero, 1480));
    expect(decode(joined(out)).ip!.payload.slice(0, 4)).toEqual(Uint8Array.from([0, 0, 255, 255]));
    lab.expectBalanced();
  });

  it('with a wrong checksum is not answered, however long', () => {
    for (const size of [500, 4000]) {
      const lab = make();
      const wrong = icmp({ src: PEER, dst: US, smac: MAC, type: 8, data: ramp(size), badL4Checksum: true });
      const frames = fragmentsOf(wrong, 400);
      expect(send(lab, ...frames)).toEqual([]);
      expect(total(lab.drops())).toBe(frames.length);
      expect(lab.drops()['ICMP_BAD']).toBeGreaterThan(0);
      lab.expectBalanced();
    }
  });
});

describe('other datagrams in fragments', () => {
  it.each([500, 5000])('UDP of %i bytes to a closed port: its first fragment is quoted', (size) => {
    const lab = make();
    const frames = fragmentsOf(
      udp({ src: `${PEER}:9`, dst: `${US}:9`, smac: MAC, id: 7, data: ramp(size) }),
      400,
    );
    const [error, ...more] = send(lab, ...frames);
    expect(more).toEqual([]);
    expect(decode(error!).icmp).toMatchObject({ type: 3, code: 3 });
    expect(total(lab.drops())).toBe(frames.length);
    lab.expectBalanced();
  });

  it('a long one of a protocol that nobody has is told so', () => {
    const lab = make();
    const whole = ipv4({ src: PEER, dst: US, smac: MAC, id: 7, proto: 99, payload: ramp(4000) });
    const [error] = send(lab, ...fragmentsOf(whole, 1480));
    expect(decode(error!).icmp).toMatchObject({ type: 3, code: 2 });
    expect(lab.drops()).toEqual({ IP_NO_PROTO: 3 });
    lab.expectBalanced();
  });
});

describe('what is wrong with fragments', () => {
  it.each([
    ['not a multiple of 8 bytes', piece(0, 15)],
    ['nothing', piece(0, 0)],
    ['nothing at the end', piece(64, 0, { mf: false })],
    ['beyond 64 KiB ("ping of death")', piece(65512, 40, { mf: false })],
    ['one byte beyond 64 KiB', piece(65512, 4, { mf: false })],
  ])('%s', (_what, frame) => {
    const lab = make();
    send(lab, frame);
    expect(lab.drops()).toEqual({ IP_FRAGMENT: 1 });
    lab.expectBalanced();
  });

  it.each([
    ['inside another ("teardrop")', [piece(0, 64), piece(24, 16, { mf: false })]],
    ['over the end of another', [piece(0, 64), piece(56, 64)]],
    ['over the beginning of another', [piece(64, 64), piece(8, 64)]],
    ['around another', [piece(64, 64), piece(0, 256)]],
    ['with the same beginning', [piece(0, 64), piece(0, 72)]],
    ['that differ in "more"', [piece(64, 64), piece(64, 64, { mf: false })]],
    ['behind the last', [piece(64, 64, { mf: false }), piece(128, 64)]],
    ['that reach the end, and not the last', [piece(64, 64, { mf: false }), piece(0, 128)]],
    ['a last one before another', [piece(128, 64), piece(64, 64, { mf: false })]],
    ['two ends', [piece(64, 64, { mf: false }), piece(128, 64, { mf: false })]],
  ])('overlap: %s', (_what, frames) => {
    const lab = make();
    send(lab, ...frames);
    expect(lab.drops()).toEqual({ IP_FRAG_OVERLAP: 2 });
    // Nor do the missing ones make it whole.
    expect(send(lab, ...fragmentsOf(request({ data: ramp(248) }), 64))).toEqual([]);
    expect(lab.drops()).toEqual({ IP_FRAG_OVERLAP: 6 });
    lab.expectBalanced();
    lab.advance(1000);
    expect(send(lab, ...fragmentsOf(request({ data: ramp(248) }), 64))).toHaveLength(1);
    lab.expectBalanced();
  });

  it('a repeated fragment is left out', () => {
    const lab = make();
    const [a, b, c] = fragmentsOf(request({ data: ramp(100) }), 40) as [Uint8Array, Uint8Array, Uint8Array];
    expect(send(lab, a, a, c, c, a)).toEqual([]);
    expect(send(lab, b)).toHaveLength(1);
    expect(lab.drops()).toEqual({ IP_FRAG_DUPLICATE: 3, IP_FRAG_JOINED: 2 });
    lab.expectBalanced();
  });
});

describe('bounds', () => {
  it('time exceeded is told once, and only with the first fragment', () => {
    const lab = make();
    const [first, , last] = fragmentsOf(request({ data: ramp(100) }), 40);
    send(lab, last!, first!);
    send(lab, fragmentsOf(request({ id: 8, data: ramp(100) }), 40)[1]!);
    lab.advance(996);
    expect(lab.take(0)).toEqual([]);
    lab.advance(1000);
    const told = lab.take(0).map((f) => decode(f).icmp!);
    expect(told).toMatchObject([{ type: 11, code: 1 }]);
    expect(told[0]!.data).toEqual(first!.slice(14));
    expect(lab.drops()).toEqual({ IP_FRAG_TIMEOUT: 3 });
    expect(lab.counter('held')).toBe(0);
    lab.expectBalanced();
  });

  it('a table that is full gives up its oldest datagram', () => {
    const lab = make({ config: { fragmentEntries: 4 } });
    const pieces = Array.from({ length: 5 }, (_, id) => fragmentsOf(request({ id, data: ramp(100) }), 56));
    send(lab, ...pieces.map((p) => p[0]!));
    expect(lab.drops()).toEqual({ IP_FRAG_FULL: 1 });
    expect(send(lab, ...pieces.slice(1).map((p) => p[1]!))).toHaveLength(4);
    lab.expectBalanced();
  });

  it('more fragments than may wait push out the oldest datagrams', () => {
    const lab = make({ config: { fragmentBuffers: 10 } });
    for (let id = 0; id < 30; id++) send(lab, piece(0, 64, { id }), piece(64, 64, { id }));
    expect([lab.counter('held'), lab.drops()]).toEqual([10, { IP_FRAG_FULL: 50 }]);
    lab.expectBalanced();
  });

  it('one datagram in too many fragments does not become whole', () => {
    const lab = make();
    const frames = fragmentsOf(request({ data: ramp(8 * 140) }), 8);
    expect(send(lab, ...frames)).toEqual([]);
    expect(lab.counter('held')).toBe(128);
    expect(lab.drops()).toEqual({ IP_FRAG_FULL: frames.length - 128 });
    lab.advance(1000);
    expect([lab.counter('held'), lab.drops()['IP_FRAG_TIMEOUT']]).toEqual([0, 128]);
    lab.expectBalanced();
  });

  it('a flood from many senders does not keep others out', () => {
    const lab = make({ config: { fragmentEntries: 32, fragmentBuffers: 40 } });
    const good = fragmentsOf(request({ id: 1, data: ramp(3000) }), 1480);
    for (let i = 0; i < 500; i++) {
      send(lab, piece(0, 64, { id: i, src: `192.168.100.${10 + (i % 50)}` }));
      if (i % 100 === 0) expect(send(lab, ...good)).toHaveLength(3);
    }
    expect(lab.counter('held')).toBeLessThanOrEqual(40);
    lab.expectBalanced();
  });
});

describe('random fragmentation', () => {
  /** Datagrams of several senders, each cut at random places, shuffled, some pieces repeated, lost or overlapping. */
  const seldom = fc.oneof(
    { weight: 3, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.nat(20) },
  );
  const plan = fc.array(
    fc.record({
      size: fc.integer({ min: 0, max: 6000 }),
      cuts: fc.array(fc.integer({ min: 1, max: 185 }), { maxLength: 12 }),
      lose: seldom,
      repeat: fc.array(fc.nat(20), { maxLength: 3 }),
      overlap: seldom,
    }),
    { minLength: 1, maxLength: 6 },
  );

  it('in random order: each datagram is answered as it was sent, or not at all; memory is bounded', () => {
    let answered = 0;
    let refused = 0;
    fc.assert(
      fc.property(plan, fc.infiniteStream(fc.nat(1 << 30)), (datagrams, stream) => {
        const random = (n: number): number => (stream.next().value as number) % n;
        const lab = make();
        const wanted = new Map<number, Uint8Array>();
        const frames: Uint8Array[] = [];
        datagrams.forEach(({ size, cuts, lose, repeat, overlap }, seq) => {
          const data = Uint8Array.from({ length: size }, (_, i) => (i * 7 + seq) & 255);
          const pieces = fragmentsOf(
            request({ id: seq, seq, data }),
            cuts.map((c) => c * 8).concat(Array<number>(6).fill(1480)),
          );
          const extra = repeat.map((i) => pieces[i % pieces.length]!);
          // A piece that begins 8 bytes later than another, inside it.
          const victim = overlap === undefined ? undefined : pieces[overlap % pieces.length]!;
          const { ip: at } = victim === undefined ? {} : decode(victim);
          const overlapping = at !== undefined && pieces.length > 1 && at.payload.length > 16;
          if (overlapping) extra.push(piece(at.offset + 8, 8, { id: seq }));
          const lost = lose !== undefined && pieces.length > 1 ? pieces[lose % pieces.length] : undefined;
          frames.push(...[...pieces, ...extra].filter((f) => f !== lost));
          if (lost === undefined && !overlapping) wanted.set(seq, data);
        });
        for (let i = frames.length - 1; i > 0; i--) {
          const j = random(i + 1);
          [frames[i], frames[j]] = [frames[j]!, frames[i]!];
        }
        const out: Uint8Array[] = [];
        for (const frame of frames) {
          out.push(...send(lab, frame));
          expect(lab.counter('held')).toBeLessThanOrEqual(256);
          lab.expectBalanced();
        }
        const byId = new Map<number, Uint8Array[]>();
        for (const f of out) {
          const { id } = decode(f).ip!;
          byId.set(id, [...(byId.get(id) ?? []), f]);
        }
        const got = new Map<number, Uint8Array>();
        for (const parts of byId.values()) {
          const reply = decode(joined(parts));
          got.set(reply.icmp!.rest & 0xffff, reply.icmp!.data);
        }
        // An overlapping piece may come after its datagram was whole: then that was answered, and rightly.
        for (const [seq, data] of wanted) expect(got.get(seq)).toEqual(data);
        for (const [seq, data] of got) {
          const { size } = datagrams[seq]!;
          expect(data).toEqual(Uint8Array.from({ length: size }, (_, i) => (i * 7 + seq) & 255));
        }
        answered += got.size;
        refused += datagrams.length - got.size;
        lab.advance(2000);
        expect(lab.counter('held')).toBe(0);
        lab.expectBalanced();
      }),
      { numRuns: 100 },
    );
    expect(answered).toBeGreaterThan(100);
    expect(refused).toBeGreaterThan(50);
  });
});
