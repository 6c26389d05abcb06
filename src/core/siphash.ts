/**
 * SipHash-2-4 (Aumasson and Bernstein, 2012) of four 32-bit words: a keyed hash that nobody without the key can predict or
 * collide. What it is for fits: addresses, ports, and one word more. `native/src/siphash.h` is its twin.
 *
 * A 64-bit word of the algorithm is two 32-bit halves here, and every operation stays in 32 bits: no BigInt, nothing allocated.
 */

/** Words of a key. */
export const KEY_WORDS = 4;
/** Two for each of three blocks, four at the end. */
const ROUNDS = 10;
/** The length of the message, 16 bytes, in the last byte of its last block. */
const LENGTH = 0x10000000;

export class SipHash {
  /** Upper half of the last hash. */
  high = 0;
  /** v0 to v3, lower half of each first. */
  private readonly initial: Int32Array;

  /** @param key four words, k0 first, the lower half of each first */
  constructor(key: Uint32Array) {
    const [a, b, c, d] = key as unknown as [number, number, number, number];
    // "somepseudorandomlygeneratedbytes"
    this.initial = Int32Array.of(
      a ^ 0x70736575,
      b ^ 0x736f6d65,
      c ^ 0x6e646f6d,
      d ^ 0x646f7261,
      a ^ 0x6e657261,
      b ^ 0x6c796765,
      c ^ 0x79746573,
      d ^ 0x74656462,
    );
  }

  /**
   * One function over local variables: words of an array between rounds made it three times as long.
   * @returns the lower half of the hash of the words, as 16 bytes in little-endian order; 0..2^32-1
   */
  of(a: number, b: number, c: number, d: number): number {
    const v = this.initial;
    let [l0, h0] = [v[0]!, v[1]!];
    let [l1, h1] = [v[2]!, v[3]!];
    let [l2, h2] = [v[4]!, v[5]!];
    let [l3, h3] = [v[6]!, v[7]!];
    let sum: number;
    let t: number;
    for (let round = 0; round < ROUNDS; round++) {
      // A block goes in before and after its two rounds.
      if (round === 0) {
        l3 ^= a;
        h3 ^= b;
      } else if (round === 2) {
        l0 ^= a;
        h0 ^= b;
        l3 ^= c;
        h3 ^= d;
      } else if (round === 4) {
        l0 ^= c;
        h0 ^= d;
        h3 ^= LENGTH;
      } else if (round === 6) {
        h0 ^= LENGTH;
        l2 ^= 0xff;
      }

      // v0 += v1; v1 = v1 <<< 13 ^ v0; v0 <<<= 32
      sum = (l0 + l1) | 0;
      h0 = (h0 + h1 + carry(l0, l1, sum)) | 0;
      l0 = sum;
      t = (l1 << 13) | (h1 >>> 19);
      h1 = ((h1 << 13) | (l1 >>> 19)) ^ h0;
      l1 = t ^ l0;
      t = l0;
      l0 = h0;
      h0 = t;

      // v2 += v3; v3 = v3 <<< 16 ^ v2
      sum = (l2 + l3) | 0;
      h2 = (h2 + h3 + carry(l2, l3, sum)) | 0;
      l2 = sum;
      t = (l3 << 16) | (h3 >>> 16);
      h3 = ((h3 << 16) | (l3 >>> 16)) ^ h2;
      l3 = t ^ l2;

      // v0 += v3; v3 = v3 <<< 21 ^ v0
      sum = (l0 + l3) | 0;
      h0 = (h0 + h3 + carry(l0, l3, sum)) | 0;
      l0 = sum;
      t = (l3 << 21) | (h3 >>> 11);
      h3 = ((h3 << 21) | (l3 >>> 11)) ^ h0;
      l3 = t ^ l0;

      // v2 += v1; v1 = v1 <<< 17 ^ v2; v2 <<<= 32
      sum = (l2 + l1) | 0;
      h2 = (h2 + h1 + carry(l2, l1, sum)) | 0;
      l2 = sum;
      t = (l1 << 17) | (h1 >>> 15);
      h1 = ((h1 << 17) | (l1 >>> 15)) ^ h2;
      l1 = t ^ l2;
      t = l2;
      l2 = h2;
      h2 = t;
    }
    this.high = (h0 ^ h1 ^ h2 ^ h3) >>> 0;
    return (l0 ^ l1 ^ l2 ^ l3) >>> 0;
  }
}

/** Carry out of the addition of two lower halves that gave `sum`. */
const carry = (x: number, y: number, sum: number): number => ((x & y) | ((x | y) & ~sum)) >>> 31;
