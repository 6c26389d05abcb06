import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Bytes } from '../../../../src/core/bytes.js';
import { shiftNumbers } from '../../../../src/ipvs/xmit/seq.js';
import * as checksum from '../../../../src/wire/checksum.js';
import * as tcp from '../../../../src/wire/tcp.js';

const SRC = 0x0a000001;
const DST = 0x0a000002;

/** A segment with these option bytes (a multiple of 4) and a right checksum. */
function segment(seq: number, ack: number, flags: number, options: readonly number[]): Bytes {
  const len = tcp.HEADER_LEN + options.length;
  const b = new Bytes(new ArrayBuffer(len));
  tcp.emit(b, 0, 1000, 80, seq, ack, flags, 500);
  tcp.setHeaderLen(b, 0, len);
  options.forEach((v, i) => b.setU8(tcp.HEADER_LEN + i, v));
  tcp.fillChecksum(b, 0, len, SRC, DST);
  return b;
}

const valid = (b: Bytes): boolean => checksum.l4Valid(b, 0, b.raw.length, SRC, DST, 6);
const u32 = fc.nat({ max: 0xffffffff });
const be = (v: number): number[] => [v >>> 24, (v >>> 16) & 255, (v >>> 8) & 255, v & 255];

it('shifts sequence, acknowledgement and SACK edges, wherever the option stands, and keeps the checksum right', () => {
  fc.assert(
    fc.property(
      u32,
      u32,
      u32,
      u32,
      fc.array(u32, { minLength: 1, maxLength: 3 }),
      fc.nat(3),
      (seq, ack, by, ackBy, lefts, nops) => {
        const edges = lefts.flatMap((l) => [l, (l + 1000) >>> 0]);
        const options = [...Array<number>(nops).fill(1), 5, 2 + edges.length * 4, ...edges.flatMap(be)];
        while (options.length % 4 !== 0) options.push(0);
        const b = segment(seq, ack, tcp.ACK, options);
        shiftNumbers(b, 0, by, ackBy);
        expect(tcp.seq(b, 0)).toBe((seq + by) >>> 0);
        expect(tcp.ack(b, 0)).toBe((ack + ackBy) >>> 0);
        const at = tcp.HEADER_LEN + nops + 2;
        expect(edges.map((_, i) => b.u32(at + i * 4))).toEqual(edges.map((e) => (e + ackBy) >>> 0));
        expect(valid(b)).toBe(true);
      },
    ),
  );
});

it('leaves the acknowledgement field alone when it does not count (RFC 9293 section 3.1)', () => {
  const b = segment(1, 77, tcp.SYN, []);
  shiftNumbers(b, 0, 10, 10);
  expect([tcp.seq(b, 0), tcp.ack(b, 0), valid(b)]).toEqual([11, 77, true]);
});

it('stops at an option that makes no sense', () => {
  for (const options of [
    [5, 1, 9, 9],
    [5, 40, 9, 9],
    [0, 5, 6, 0],
    [1, 1, 1, 5],
  ]) {
    const b = segment(1, 2, tcp.ACK, options);
    shiftNumbers(b, 0, 10, 10);
    expect(options.map((_, i) => b.u8(tcp.HEADER_LEN + i))).toEqual(options);
    expect(valid(b)).toBe(true);
  }
});
