/**
 * Chaskey-12 (Mouha and others, 2014; ISO/IEC 29192-6) of one block, four 32-bit words: a keyed hash that nobody without its 128
 * bits of key can predict. Made for machines of 32 bits, which is what JavaScript's integers are: a third of the time of SipHash.
 */

/** Words of a key. */
export const KEY_WORDS = 4;
const ROUNDS = 12;

export class Chaskey {
  private readonly first: Int32Array;
  /** First word of the subkey of a whole last block. */
  private readonly last: number;

  /** @param key four words, the first bytes lowest */
  constructor(key: Uint32Array) {
    const [a, b, c, d] = key as unknown as [number, number, number, number];
    // The key times x in GF(2^128).
    const twice = [
      (a << 1) ^ (d >>> 31 === 0 ? 0 : 0x87),
      (b << 1) | (a >>> 31),
      (c << 1) | (b >>> 31),
      (d << 1) | (c >>> 31),
    ] as const;
    this.first = Int32Array.of(a ^ twice[0], b ^ twice[1], c ^ twice[2], d ^ twice[3]);
    this.last = twice[0];
  }

  /** What native code needs to do the same: five words. */
  get words(): number[] {
    return [...this.first, this.last];
  }

  /** @returns the first 32 bits of the hash of the words, as 16 bytes in little-endian order; signed */
  of(a: number, b: number, c: number, d: number): number {
    const { first } = this;
    let v0 = first[0]! ^ a;
    let v1 = first[1]! ^ b;
    let v2 = first[2]! ^ c;
    let v3 = first[3]! ^ d;
    for (let round = 0; round < ROUNDS; round++) {
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 13) | (v3 >>> 19)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 7) | (v1 >>> 25)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
    }
    return v0 ^ this.last;
  }
}
