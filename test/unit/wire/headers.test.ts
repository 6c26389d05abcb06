import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bytes } from '../../../src/core/bytes.js';
import * as arp from '../../../src/wire/arp.js';
import * as ethernet from '../../../src/wire/ethernet.js';
import * as icmp from '../../../src/wire/icmp.js';
import * as ipv4 from '../../../src/wire/ipv4.js';
import * as tcp from '../../../src/wire/tcp.js';
import * as tcpOptions from '../../../src/wire/tcp-options.js';
import * as udp from '../../../src/wire/udp.js';
import * as frames from '../../support/frames.js';

/** The frame at an odd place inside a larger window, as in an arena. */
function place(frame: Uint8Array): { b: Bytes; off: number; len: number } {
  const data = new Uint8Array(frame.length + 200).fill(0xee);
  data.set(frame, 101);
  return { b: new Bytes(data.buffer), off: 101, len: frame.length };
}

const ends = { src: '10.1.2.3:1025', dst: '200.20.2.1:65535' };

describe('addresses as text', () => {
  it('IPv4 goes there and back', () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), (addr) => {
        expect(ipv4.parseIpv4(ipv4.formatIpv4(addr))).toBe(addr);
      }),
    );
  });

  it.each([
    '',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.-4',
    '1.2.3.4 ',
    '0x7f.0.0.1',
    'a.b.c.d',
    '1..2.3',
    '1.2.3.1e1',
  ])('IPv4 %j is refused', (text) =>
    expect(() => ipv4.parseIpv4(text)).toThrow(
      expect.objectContaining({ code: 'INVAL', message: `'${text}' is not an IPv4 address` }),
    ),
  );

  it('MAC goes there and back in lower case', () => {
    expect(ethernet.formatMac(ethernet.parseMac('A0:36:9f:9D:61:F4'))).toBe('a0:36:9f:9d:61:f4');
  });

  it.each([
    '',
    'a0:36:9f:9d:61',
    'a0:36:9f:9d:61:f4:00',
    'a0-36-9f-9d-61-f4',
    'g0:36:9f:9d:61:f4',
    'a:36:9f:9d:61:f4',
  ])('MAC %j is refused', (text) =>
    expect(() => ethernet.parseMac(text)).toThrow(expect.objectContaining({ code: 'INVAL' })),
  );
});

describe('netmasks', () => {
  it.each([
    [0, 0],
    [1, 0x80000000],
    [24, 0xffffff00],
    [31, 0xfffffffe],
    [32, 0xffffffff],
  ])('/%i', (plen, expected) => expect(ipv4.mask(plen)).toBe(expected));
});

describe('accessors read what the builders write', () => {
  it('Ethernet and ARP', () => {
    const { b, off, len } = place(
      frames.arp({
        op: 'reply',
        sha: '02:00:00:00:00:01',
        spa: '1.2.3.4',
        tha: '02:00:00:00:00:02',
        tpa: '250.6.7.8',
      }),
    );
    expect(ethernet.check(b, off, len)).toBe(true);
    expect(ethernet.etherType(b, off)).toBe(ethernet.TYPE_ARP);
    expect(ethernet.formatMac(b.raw, ethernet.dst(off))).toBe('02:00:00:00:00:02');
    expect(ethernet.formatMac(b.raw, ethernet.src(off))).toBe('02:00:00:00:00:01');
    const m = off + ethernet.HEADER_LEN;
    expect(arp.check(b, m, len - 14)).toBe(true);
    expect(arp.check(b, m, len - 15)).toBe(false);
    expect([arp.op(b, m), arp.spa(b, m), arp.tpa(b, m)]).toEqual([2, 0x01020304, 0xfa060708]);
    expect(ethernet.formatMac(b.raw, arp.sha(m))).toBe('02:00:00:00:00:01');
    expect(ethernet.formatMac(b.raw, arp.tha(m))).toBe('02:00:00:00:00:02');
  });

  it('IPv4 and TCP', () => {
    const { b, off, len } = place(
      frames.tcp({
        ...ends,
        ttl: 9,
        tos: 8,
        id: 0xabcd,
        df: true,
        options: [1, 1, 1],
        flags: 'SE',
        seq: 0xfffffff0,
        ack: 7,
        window: 512,
        tcpOptions: [1, 3, 3, 7, 2, 4, 5, 180],
        data: 'hi',
      }),
    );
    const l3 = off + 14;
    expect(ipv4.check(b, l3, len - 14)).toBe(true);
    expect(ipv4.headerLen(b, l3)).toBe(24);
    expect(ipv4.totalLen(b, l3)).toBe(len - 14);
    expect([ipv4.ttl(b, l3), ipv4.tos(b, l3), ipv4.id(b, l3), ipv4.proto(b, l3)]).toEqual([9, 8, 0xabcd, 6]);
    expect([ipv4.dontFragment(b, l3), ipv4.isFragment(b, l3)]).toEqual([true, false]);
    expect([ipv4.src(b, l3), ipv4.dst(b, l3)]).toEqual([0x0a010203, 0xc8140201]);
    expect(ipv4.checksumValid(b, l3)).toBe(true);
    const l4 = l3 + 24;
    const l4len = len - 14 - 24;
    expect(tcp.check(b, l4, l4len)).toBe(true);
    expect([tcp.srcPort(b, l4), tcp.dstPort(b, l4), tcp.seq(b, l4), tcp.ack(b, l4)]).toEqual([
      1025, 65535, 0xfffffff0, 7,
    ]);
    expect([tcp.headerLen(b, l4), tcp.flags(b, l4), tcp.window(b, l4)]).toEqual([28, tcp.SYN | 0x40, 512]);
    expect(tcp.checksumValid(b, l4, l4len, 0x0a010203, 0xc8140201)).toBe(true);
    expect(tcp.segmentLen(b, l4, l4len)).toBe(3);
    expect(tcpOptions.find(b, l4, tcpOptions.OPT_MSS)).toBe(l4 + 24);
    expect(tcpOptions.find(b, l4, tcpOptions.OPT_WSCALE)).toBe(l4 + 21);
    expect(tcpOptions.find(b, l4, tcpOptions.OPT_TIMESTAMP)).toBe(-1);
  });

  it('UDP and ICMP', () => {
    const u = place(frames.udp({ ...ends, data: 'abc' }));
    const l4 = u.off + 34;
    expect(udp.check(u.b, l4, u.len - 34)).toBe(true);
    expect(udp.check(u.b, l4, u.len - 35)).toBe(false);
    expect([udp.srcPort(u.b, l4), udp.dstPort(u.b, l4), udp.length(u.b, l4)]).toEqual([1025, 65535, 11]);
    expect(udp.checksumValid(u.b, l4, 0x0a010203, 0xc8140201)).toBe(true);
    expect(udp.checksumValid(u.b, l4, 0x0a010203, 0xc8140202)).toBe(false);
    const i = place(frames.icmp({ ...ends, type: 3, code: 4, rest: 1400, data: 'quote' }));
    const m = i.off + 34;
    expect([icmp.type(i.b, m), icmp.code(i.b, m), icmp.rest(i.b, m)]).toEqual([3, 4, 1400]);
    expect(icmp.checksumValid(i.b, m, i.len - 34)).toBe(true);
  });
});

describe('emitters write what the judge accepts', () => {
  it('a UDP checksum that computes to 0 is sent as ones', () => {
    fc.assert(
      fc.property(fc.nat(0xffff), (port) => {
        const frame = frames.udp({ src: '10.0.0.1:0', dst: '10.0.0.2:9', data: 'ab' });
        const { b, off } = place(frame);
        const l4 = off + 34;
        udp.setSrcPort(b, l4, port);
        udp.fillChecksum(b, l4, 0x0a000001, 0x0a000002);
        expect(udp.checksum(b, l4)).not.toBe(0);
        expect(udp.checksumValid(b, l4, 0x0a000001, 0x0a000002)).toBe(true);
      }),
    );
    // The one source port that makes the sum all ones.
    const zero = Array.from({ length: 65536 }, (_, port) => port).filter((port) => {
      const f = frames.udp({ src: `10.0.0.1:${port}`, dst: '10.0.0.2:9', data: 'ab' });
      return f[40] === 0xff && f[41] === 0xff;
    });
    expect(zero).toHaveLength(1);
    const { b, off } = place(frames.udp({ src: `10.0.0.1:${zero[0]}`, dst: '10.0.0.2:9', data: 'ab' }));
    udp.fillChecksum(b, off + 34, 0x0a000001, 0x0a000002);
    expect(udp.checksum(b, off + 34)).toBe(0xffff);
  });

  it('TTL decrement keeps the header checksum right for every TTL', () => {
    for (let ttl = 1; ttl <= 255; ttl++) {
      const { b, off } = place(frames.tcp({ ...ends, ttl, id: ttl * 257 }));
      ipv4.decrementTtl(b, off + 14);
      expect(ipv4.ttl(b, off + 14)).toBe(ttl - 1);
      expect(ipv4.checksumValid(b, off + 14)).toBe(true);
    }
  });
});

describe('check refuses what the accessors could not read', () => {
  const header = (o: Partial<frames.Ipv4Options>): { b: Bytes; off: number; len: number } =>
    place(frames.tcp({ ...ends, ...o }));

  it.each([
    ['version 6', header({ version: 6 })],
    ['header length 16', header({ ihl: 4 })],
    ['header longer than the datagram', header({ ihl: 15 })],
    ['total length beyond the frame', header({ totalLen: 41 })],
    ['total length inside the header', header({ totalLen: 19 })],
  ])('IPv4: %s', (_, { b, off, len }) => expect(ipv4.check(b, off + 14, len - 14)).toBe(false));

  it('TCP options never lead outside of the header', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(255), (options, kind) => {
        const { b, off, len } = place(frames.tcp({ ...ends, tcpOptions: options }));
        const l4 = off + 34;
        const o = tcpOptions.find(b, l4, kind);
        if (o < 0) return;
        expect(o + b.u8(o + 1)).toBeLessThanOrEqual(off + len);
        expect(b.u8(o)).toBe(kind);
      }),
    );
  });
});
