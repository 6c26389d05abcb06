import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bytes } from '../../../src/core/bytes.js';
import * as ck from '../../../src/wire/checksum.js';
import { rfc1071 } from '../../support/frames.js';

const bytesOf = (data: Uint8Array): Bytes => new Bytes(Uint8Array.from(data).buffer);
const put16 = (data: Uint8Array, at: number, v: number): void => data.set([v >>> 8, v & 255], at);

describe('full checksum', () => {
  it('is that of the example of RFC 1071 section 3', () => {
    const data = Uint8Array.from([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
    expect(ck.fold(ck.sum(bytesOf(data), 0, 8))).toBe(0xddf2);
    expect(ck.checksum(bytesOf(data), 0, 8)).toBe(0x220d);
  });

  it('equals the plain definition for every length, offset and content', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(20), (data, off) => {
        fc.pre(off <= data.length);
        expect(ck.checksum(bytesOf(data), off, data.length - off)).toBe(rfc1071(data.subarray(off)));
      }),
    );
  });

  it('survives the carries of 64 KiB of ones', () => {
    const data = new Uint8Array(65535).fill(0xff);
    expect(ck.checksum(bytesOf(data), 0, data.length, ck.pseudo(0xffffffff, 0xffffffff, 255, 65535))).toBe(
      rfc1071(Uint8Array.from([...new Uint8Array(8).fill(0xff), 0, 255, 0xff, 0xff, ...data])),
    );
  });
});

/** Data with at least one byte that an update does not touch, so that it never becomes all zeros. */
const message = fc
  .uint8Array({ minLength: 2, maxLength: 30 })
  .map((tail) => Uint8Array.from([0x45, ...new Uint8Array(7), ...tail]));
const edge16 = fc.oneof(fc.constantFrom(0, 1, 0x7fff, 0x8000, 0xfffe, 0xffff), fc.nat(0xffff));
const edge32 = fc.oneof(fc.constantFrom(0, 0xffff, 0xffff0000, 0xffffffff), fc.nat(0xffffffff));

describe('incremental update (RFC 1624)', () => {
  it('of a 16-bit field equals computing again', () => {
    fc.assert(
      fc.property(message, edge16, edge16, (data, from, to) => {
        put16(data, 2, from);
        const before = rfc1071(data);
        put16(data, 2, to);
        expect(ck.update16(before, from, to)).toBe(rfc1071(data));
      }),
    );
  });

  it('of a 32-bit field equals computing again', () => {
    fc.assert(
      fc.property(message, edge32, edge32, (data, from, to) => {
        put16(data, 2, from >>> 16);
        put16(data, 4, from & 0xffff);
        const before = rfc1071(data);
        put16(data, 2, to >>> 16);
        put16(data, 4, to & 0xffff);
        expect(ck.update32(before, from, to)).toBe(rfc1071(data));
      }),
    );
  });

  it('of several fields at once by the sum of their deltas equals computing again', () => {
    fc.assert(
      fc.property(message, edge32, edge32, edge16, edge16, (data, from, to, from2, to2) => {
        const write = (a: number, b: number): void => {
          put16(data, 2, a >>> 16);
          put16(data, 4, a & 0xffff);
          put16(data, 6, b);
        };
        write(from, from2);
        const before = rfc1071(data);
        write(to, to2);
        const delta = ck.addDelta(ck.delta32(from, to), ck.delta16(from2, to2));
        expect(ck.applyDelta(before, delta)).toBe(rfc1071(data));
      }),
    );
  });

  it('passes the case that RFC 1141 gets wrong (RFC 1624 section 4)', () => {
    expect(ck.update16(0xdd2f, 0x5555, 0x3285)).toBe(0x0000);
  });

  it.each([
    ['no checksum stays none', 0x0000, 0x1234, 0x4321, 0x0000],
    ['a computed 0 is sent as ones', 0xdd2f, 0x5555, 0x3285, 0xffff],
    ['anything else is updated as usual', 0x1000, 0x0001, 0x0002, 0x0fff],
  ])('of UDP: %s', (_, cksum, from, to, expected) => {
    expect(ck.applyDeltaUdp(cksum, ck.delta16(from, to))).toBe(expected);
  });
});
