/** Frames of any kind, whole and broken, never throw, never leak, and everything sent is right. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { arp, datagram, icmp, ping, tcp, udp } from '../../support/frames.js';
import { Lab, macOf } from '../../support/lab.js';

const CLIENT_MAC = '02:00:00:00:00:03';
const eth = { smac: CLIENT_MAC, dmac: macOf(0) };
const addr = fc.constantFrom(
  '192.168.100.3',
  '192.168.100.100',
  '10.0.0.9',
  '10.0.0.77',
  '192.168.100.255',
  '224.0.0.1',
  '99.9.9.9',
);
const options = fc.oneof(fc.constant(new Uint8Array(0)), fc.uint8Array({ maxLength: 40 }));

const base = fc.record({
  src: addr,
  dst: addr,
  ttl: fc.nat(3),
  df: fc.boolean(),
  mf: fc.boolean(),
  offset: fc.constantFrom(0, 0, 8, 65528),
  options,
  padTo: fc.constantFrom(0, 60),
});
const data = fc.oneof(fc.uint8Array({ maxLength: 100 }), fc.uint8Array({ minLength: 1300, maxLength: 1400 }));
const ports = { sport: fc.nat(65535), dport: fc.nat(65535) };

const frame = fc.oneof(
  fc.record({ base, data, ...ports }).map((o) =>
    udp({
      ...eth,
      ...o.base,
      src: `${o.base.src}:${o.sport}`,
      dst: `${o.base.dst}:${o.dport}`,
      data: o.data,
    }),
  ),
  fc
    .record({
      base,
      data,
      ...ports,
      flags: fc.constantFrom('S', 'A', 'SA', 'F', 'R', ''),
      tcpOptions: options,
    })
    .map((o) =>
      tcp({
        ...eth,
        ...o.base,
        src: `${o.base.src}:${o.sport}`,
        dst: `${o.base.dst}:${o.dport}`,
        data: o.data,
        flags: o.flags,
        tcpOptions: o.tcpOptions,
      }),
    ),
  fc.record({ base, data }).map((o) => ping({ ...eth, ...o.base, data: o.data })),
  fc.record({ base, type: fc.nat(20), inner: base }).map((o) =>
    icmp({
      ...eth,
      ...o.base,
      type: o.type,
      data: datagram({ ...o.inner, proto: 17, payload: new Uint8Array(8) }),
    }),
  ),
  fc
    .record({ spa: addr, tpa: addr, op: fc.nat(3), padTo: fc.constantFrom(0, 60) })
    .map((o) => arp({ ...o, sha: CLIENT_MAC })),
);

/** Bytes changed, the end cut off. */
const mutated = fc
  .record({
    frame,
    edits: fc.array(fc.tuple(fc.nat(100), fc.nat(255)), { maxLength: 4 }),
    cut: fc.option(fc.nat(80)),
  })
  .map(({ frame: f, edits, cut }) => {
    const copy = Uint8Array.from(f);
    for (const [at, v] of edits) if (at < copy.length) copy[at] = v;
    // The destination MAC stays, so that the edits reach the upper floors.
    copy.set(f.subarray(0, Math.min(6, copy.length)));
    return cut === null ? copy : copy.slice(0, copy.length - Math.min(cut, copy.length));
  });

it('frames, whole and mutated, are sent on, answered, held or dropped: nothing is lost', () => {
  let sent = 0;
  fc.assert(
    fc.property(fc.array(fc.oneof(frame, mutated), { minLength: 1, maxLength: 40 }), (frames) => {
      const lab = new Lab({
        ports: 2,
        addrs: ['192.168.100.100/24', '10.0.0.1/24 dpdk1'],
        neighs: [`192.168.100.3 ${CLIENT_MAC}`, '10.0.0.9 02:00:00:00:00:09 dpdk1'],
        config: { forwarding: true },
        mbufs: 512,
        // What is forwarded carries the sender's mistakes above IPv4.
        judge: false,
      });
      lab.command('link.set', { dev: 'dpdk1', mtu: 600 });
      lab.inject(0, ...frames);
      lab.run();
      lab.expectBalanced();
      lab.advance(12_000, 500);
      lab.expectBalanced();
      expect(lab.counter('held')).toBe(0);
      sent += lab.take(0).length + lab.take(1).length;
    }),
    { numRuns: 200 },
  );
  expect(sent).toBeGreaterThan(100);
});

it('what we answer to whole frames is judged right', () => {
  fc.assert(
    fc.property(fc.array(frame, { minLength: 1, maxLength: 20 }), (frames) => {
      const lab = new Lab({
        addrs: ['192.168.100.100/24', '10.0.0.1/24'],
        neighs: [`192.168.100.3 ${CLIENT_MAC}`, '10.0.0.9 02:00:00:00:00:09'],
        mbufs: 256,
      });
      lab.inject(0, ...frames);
      lab.run();
      lab.take(0);
      lab.expectBalanced();
    }),
    { numRuns: 200 },
  );
});
