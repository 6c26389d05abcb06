import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SipHash } from '../../../src/core/siphash.js';

const MASK = 0xffffffffffffffffn;
const rotl = (v: bigint, by: bigint): bigint => ((v << by) | (v >> (64n - by))) & MASK;
const word = (bytes: number[]): bigint => bytes.reduceRight((v, x) => (v << 8n) | BigInt(x), 0n);

/** The paper's algorithm, word for word, for a message of any length. */
function reference(key: number[], message: number[]): bigint {
  const k = [word(key.slice(0, 8)), word(key.slice(8))] as const;
  let v0 = k[0] ^ 0x736f6d6570736575n;
  let v1 = k[1] ^ 0x646f72616e646f6dn;
  let v2 = k[0] ^ 0x6c7967656e657261n;
  let v3 = k[1] ^ 0x7465646279746573n;
  const rounds = (n: number): void => {
    for (let i = 0; i < n; i++) {
      v0 = (v0 + v1) & MASK;
      v1 = rotl(v1, 13n) ^ v0;
      v0 = rotl(v0, 32n);
      v2 = (v2 + v3) & MASK;
      v3 = rotl(v3, 16n) ^ v2;
      v0 = (v0 + v3) & MASK;
      v3 = rotl(v3, 21n) ^ v0;
      v2 = (v2 + v1) & MASK;
      v1 = rotl(v1, 17n) ^ v2;
      v2 = rotl(v2, 32n);
    }
  };
  for (let i = 0; i <= Math.floor(message.length / 8); i++) {
    const block = message.slice(i * 8, i * 8 + 8);
    const last = block.length < 8;
    const m = last ? word(block) | (BigInt(message.length & 255) << 56n) : word(block);
    v3 ^= m;
    rounds(2);
    v0 ^= m;
  }
  v2 ^= 0xffn;
  rounds(4);
  return v0 ^ v1 ^ v2 ^ v3;
}

const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const bytesOf = (words: number[]): number[] =>
  words.flatMap((w) => [0, 8, 16, 24].map((s) => (w >>> s) & 255));
const full = (h: SipHash, a: number, b: number, c: number, d: number): bigint => {
  const low = h.of(a, b, c, d);
  return (BigInt(h.high) << 32n) | BigInt(low);
};

it('is SipHash-2-4: the vectors of the paper and of its reference implementation', () => {
  // Appendix A; then vectors_sip64 of the reference implementation for 0, 8 and 16 bytes.
  expect(reference(count(16), count(15))).toBe(0xa129ca6149be45e5n);
  expect(reference(count(16), [])).toBe(0x726fdb47dd0e0e31n);
  expect(reference(count(16), count(8))).toBe(0x93f5f5799a932462n);
  const h = new SipHash(Uint32Array.of(0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c));
  expect(full(h, 0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c)).toBe(0x3f2acc7f57c29bdbn);
});

it('is the same for all keys and words', () => {
  const u32 = fc.nat({ max: 0xffffffff });
  fc.assert(
    fc.property(fc.array(u32, { minLength: 8, maxLength: 8 }), (w) => {
      const h = new SipHash(Uint32Array.from(w.slice(0, 4)));
      const [a, b, c, d] = w.slice(4) as [number, number, number, number];
      expect(full(h, a, b, c, d)).toBe(reference(bytesOf(w.slice(0, 4)), bytesOf([a, b, c, d])));
    }),
  );
});
