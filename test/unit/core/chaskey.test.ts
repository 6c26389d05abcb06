import { expect, it } from 'vitest';
import { Chaskey } from '../../../src/core/chaskey.js';

it('is Chaskey-12: the vector of the reference implementation for a whole block', () => {
  // chaskey12.c: key 00 11 .. ff, message 00 01 .. 0f, tag d1 39 70 d7 ...
  const h = new Chaskey(Uint32Array.of(0x33221100, 0x77665544, 0xbbaa9988, 0xffeeddcc));
  expect(h.of(0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c) >>> 0).toBe(0xd77039d1);
});

it('depends on every bit of key and words', () => {
  const key = [1, 2, 3, 0x80000004];
  const words = [5, 0xfffffff6, 7, 8];
  const seen = new Set<number>();
  for (let bit = 0; bit < 256; bit++) {
    const all = [...key, ...words];
    all[bit >>> 5]! ^= 1 << (bit & 31);
    const [a, b, c, d] = all.slice(4) as [number, number, number, number];
    seen.add(new Chaskey(Uint32Array.from(all.slice(0, 4))).of(a, b, c, d));
  }
  expect(seen.size).toBe(256);
});
