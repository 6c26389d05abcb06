/** The PROXY protocol against its specification, and against whatever arrives. */
import fc from 'fast-check';
import { isIP } from 'node:net';
import { describe, expect, it } from 'vitest';
import { Bytes } from '../../../src/core/bytes.js';
import * as pp from '../../../src/wire/proxy-protocol.js';
import { parseIpv4 } from '../../../src/wire/ipv4.js';

const SIGNATURE = [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10];
const bytesOf = (data: Uint8Array | readonly number[] | string): Bytes =>
  new Bytes(Uint8Array.from(typeof data === 'string' ? Buffer.from(data, 'latin1') : data).buffer);

interface Read {
  length: number;
  version: number;
  family: number;
  src: number[];
  dst: number[];
  sport: number;
  dport: number;
}
function read(data: Uint8Array | readonly number[] | string): Read | number {
  const b = bytesOf(data);
  const h = new pp.Header();
  const length = pp.parse(b, 0, b.length, h);
  if (length <= 0) return length;
  const words = h.family === pp.FAMILY_IPV6 ? 4 : h.family === pp.FAMILY_IPV4 ? 1 : 0;
  const { version, family, sport, dport } = h;
  return {
    length,
    version,
    family,
    src: Array.from(h.src.subarray(0, words)),
    dst: Array.from(h.dst.subarray(0, words)),
    sport,
    dport,
  };
}
function written(h: pp.Header, transport: number = pp.STREAM): Uint8Array {
  const b = new Bytes(new ArrayBuffer(200));
  const length = pp.emit(b, 7, h, transport);
  expect(length).toBe(pp.emitLength(h));
  expect(length).toBeLessThanOrEqual(pp.EMIT_MAX);
  expect([...b.raw.subarray(0, 7), ...b.raw.subarray(7 + length)].every((x) => x === 0)).toBe(true);
  return b.raw.slice(7, 7 + length);
}
function ipv4Header(version: number, saddr: string, sport: number, daddr: string, dport: number): pp.Header {
  const h = new pp.Header();
  h.set(version, parseIpv4(saddr), sport, parseIpv4(daddr), dport);
  return h;
}

describe('version 1', () => {
  it('writes what section 2.1 shows', () => {
    const h = ipv4Header(1, '192.168.0.1', 56324, '192.168.0.11', 443);
    expect(Buffer.from(written(h)).toString()).toBe('PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n');
    h.set(1, 0xffffffff, 65535, 0xffffffff, 65535);
    const longest = 'PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n';
    expect(Buffer.from(written(h)).toString()).toBe(longest);
    h.family = pp.FAMILY_NONE;
    expect(Buffer.from(written(h)).toString()).toBe('PROXY UNKNOWN\r\n');
    h.family = pp.FAMILY_IPV6;
    h.src.fill(0xffffffff);
    h.dst.set([0x20010db8, 0, 0, 1]);
    expect(Buffer.from(written(h)).toString()).toBe(
      'PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2001:db8:0:0:0:0:0:1 65535 65535\r\n',
    );
  });

  it('reads the lines of section 2.1, the longest ones included', () => {
    expect(read('PROXY TCP4 255.255.255.255 1.2.3.4 65535 0\r\nGET /')).toEqual({
      length: 44,
      version: 1,
      family: pp.FAMILY_IPV4,
      src: [0xffffffff],
      dst: [0x01020304],
      sport: 65535,
      dport: 0,
    });
    const ones = 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff';
    expect(read(`PROXY TCP6 ${ones} ${ones} 65535 65535\r\n`)).toMatchObject({
      length: 104,
      family: pp.FAMILY_IPV6,
    });
    expect(read(`PROXY UNKNOWN ${ones} ${ones} 65535 65535\r\n`)).toMatchObject({
      length: 107,
      family: pp.FAMILY_NONE,
    });
    expect(read('PROXY UNKNOWN\r\n')).toMatchObject({ length: 15, family: pp.FAMILY_NONE });
  });

  it.each([
    ['::', [0, 0, 0, 0]],
    ['::1', [0, 0, 0, 1]],
    ['1::', [0x10000, 0, 0, 0]],
    ['2001:DB8::aBcD:1', [0x20010db8, 0, 0, 0xabcd0001]],
    ['1:2:3:4:5:6:7:8', [0x10002, 0x30004, 0x50006, 0x70008]],
    ['1:2:3:4:5:6:7::', [0x10002, 0x30004, 0x50006, 0x70000]],
    ['::2:3:4:5:6:7:8', [0x2, 0x30004, 0x50006, 0x70008]],
    ['::ffff:1.2.3.4', [0, 0, 0xffff, 0x01020304]],
    ['1:2:3:4:5:6:1.2.3.4', [0x10002, 0x30004, 0x50006, 0x01020304]],
  ])('reads the IPv6 address %s', (addr, words) => {
    expect(read(`PROXY TCP6 ${addr} ${addr} 1 2\r\n`)).toMatchObject({ src: words, dst: words });
  });

  it('takes for IPv6 addresses what Node takes for them', () => {
    const char = fc.constantFrom(...'0123fF::::::.', '1.2.3.4', '::', 'abcd:');
    fc.assert(
      fc.property(fc.array(char, { maxLength: 12 }), (chars) => {
        const addr = chars.join('');
        fc.pre(addr.length < 40);
        expect(typeof read(`PROXY TCP6 ${addr} ::1 1 2\r\n`) === 'object').toBe(isIP(addr) === 6);
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    'PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rX',
    'PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 1 -2\r\n',
    'PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n',
    'PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n',
    'PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n',
    'PROXY TCP4 ::1 ::1 1 2\r\n',
    'PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n',
    'PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n',
    'PROXY UNKNOWNS\r\n',
    'PROXY \r\n',
    'proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n',
    'POST / HTTP/1.1\r\n',
    `PROXY UNKNOWN ${'x'.repeat(92)}\r\n`,
  ])('refuses %j', (line) => {
    const got = read(line);
    // Without its end, which a line feed alone is not, more could come.
    expect(got).toBe(
      line.endsWith('\r\n') || line.includes('\rX') || line.length > pp.V1_MAX ? 0 : pp.INCOMPLETE,
    );
  });
});

describe('version 2', () => {
  const v2 = (command: number, family: number, rest: number[], length = rest.length): number[] => [
    ...SIGNATURE,
    command,
    family,
    length >>> 8,
    length & 255,
    ...rest,
  ];
  const v4 = [1, 2, 3, 4, 5, 6, 7, 8, 0, 80, 1, 187];

  it('writes what section 2.2 describes, for streams and datagrams', () => {
    const h = ipv4Header(2, '1.2.3.4', 80, '5.6.7.8', 443);
    expect([...written(h)]).toEqual(v2(0x21, 0x11, v4));
    expect([...written(h, pp.DGRAM)]).toEqual(v2(0x21, 0x12, v4));
    h.family = pp.FAMILY_NONE;
    expect([...written(h)]).toEqual(v2(0x21, 0, []));
    h.family = pp.FAMILY_IPV6;
    h.src.set([1, 2, 3, 4]);
    h.dst.set([5, 6, 7, 8]);
    const words = [1, 2, 3, 4, 5, 6, 7, 8].flatMap((n) => [0, 0, 0, n]);
    expect([...written(h)]).toEqual(v2(0x21, 0x21, [...words, 0, 80, 1, 187]));
  });

  it('reads addresses and passes over TLVs', () => {
    const tlvs = [4, 0, 3, 1, 2, 3];
    const rest = [...v4, ...tlvs];
    expect(read([...v2(0x21, 0x11, rest), 71, 69, 84])).toEqual({
      length: 34,
      version: 2,
      family: pp.FAMILY_IPV4,
      src: [0x01020304],
      dst: [0x05060708],
      sport: 80,
      dport: 443,
    });
  });

  it('reads no addresses of LOCAL, unspecified and unix', () => {
    for (const header of [
      v2(0x20, 0, []),
      v2(0x20, 0x11, v4),
      v2(0x21, 0, [1, 2, 3]),
      v2(
        0x21,
        0x31,
        Array.from({ length: 216 }, () => 1),
      ),
    ])
      expect(read(header)).toMatchObject({ length: header.length, version: 2, family: pp.FAMILY_NONE });
  });

  it.each([
    ['another version', v2(0x11, 0x11, v4)],
    ['another command', v2(0x22, 0x11, v4)],
    ['another family', v2(0x21, 0x41, v4)],
    ['another transport', v2(0x21, 0x13, v4)],
    ['addresses that are cut', v2(0x21, 0x11, v4.slice(1))],
    ['IPv6 addresses in the room of IPv4', v2(0x21, 0x21, v4)],
    ['unix addresses in the room of IPv4', v2(0x21, 0x31, v4)],
    ['a wrong signature', v2(0x21, 0x11, v4).with(11, 0)],
  ])('refuses %s', (_what, header) => {
    expect(read([...header, ...new Uint8Array(300)])).toBe(pp.NO_HEADER);
  });
});

describe('both', () => {
  const u32 = fc.nat(0xffffffff);
  const header = fc
    .record({
      version: fc.constantFrom(1, 2),
      family: fc.constantFrom(pp.FAMILY_IPV4, pp.FAMILY_IPV6, pp.FAMILY_NONE),
      src: fc.tuple(u32, u32, u32, u32),
      dst: fc.tuple(u32, u32, u32, u32),
      sport: fc.nat(65535),
      dport: fc.nat(65535),
    })
    .map((o) => {
      const h = new pp.Header();
      const { src, dst, ...rest } = o;
      h.src.set(src);
      h.dst.set(dst);
      return Object.assign(h, rest);
    });

  it('reads what it has written, whatever follows', () => {
    fc.assert(
      fc.property(header, fc.uint8Array({ maxLength: 40 }), (h, data) => {
        const bytes = written(h);
        const words = h.family === pp.FAMILY_IPV6 ? 4 : h.family === pp.FAMILY_IPV4 ? 1 : 0;
        expect(read(Uint8Array.from([...bytes, ...data]))).toMatchObject({
          length: bytes.length,
          version: h.version,
          family: h.family,
          src: Array.from(h.src.subarray(0, words)),
          dst: Array.from(h.dst.subarray(0, words)),
          ...(words > 0 ? { sport: h.sport, dport: h.dport } : {}),
        });
      }),
    );
  });

  it('takes every beginning of a header for incomplete', () => {
    fc.assert(
      fc.property(header, fc.nat(110), (h, n) => {
        const bytes = written(h);
        fc.pre(n < bytes.length);
        expect(read(bytes.subarray(0, n))).toBe(pp.INCOMPLETE);
      }),
    );
  });

  it('reads no further than it may and finds nothing longer than what is there, in damaged headers', () => {
    fc.assert(
      fc.property(
        header,
        fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 4 }),
        fc.nat(140),
        (h, damage, n) => {
          const bytes = Uint8Array.from([...written(h), ...new Uint8Array(40)]);
          for (const [at, v] of damage) if (at < bytes.length) bytes[at] = v;
          const len = Math.min(n, bytes.length);
          // A buffer that ends there: reading on would throw.
          const got = read(bytes.subarray(0, len));
          if (typeof got === 'object') expect(got.length).toBeLessThanOrEqual(len);
          else expect([pp.NO_HEADER, pp.INCOMPLETE]).toContain(got);
        },
      ),
    );
  });

  it('does not take other protocols for headers', () => {
    for (const data of [
      'GET / HTTP/1.1\r\n',
      'SSH-2.0-x\r\n',
      '\x16\x03\x01',
      'PRI * HTTP/2.0\r\n\r\n',
      '\r\n',
      '\r\nGET /',
    ])
      expect(read(data), data).toBe(data === '\r\n' ? pp.INCOMPLETE : pp.NO_HEADER);
  });
});
