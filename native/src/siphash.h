// SipHash-2-4 (Aumasson and Bernstein, 2012) of four 32-bit words: the twin of src/core/siphash.ts.
#pragma once
#include <cstdint>

namespace dpvs {

class SipHash {
 public:
  /** `k0` is the first word of the key in TypeScript, its second word in the upper half. */
  constexpr SipHash(uint64_t k0, uint64_t k1) : k0_(k0), k1_(k1) {}

  /** Of 16 bytes: the words in little-endian order. */
  constexpr uint64_t of(uint32_t a, uint32_t b, uint32_t c, uint32_t d) const {
    return of_blocks(a | static_cast<uint64_t>(b) << 32, c | static_cast<uint64_t>(d) << 32, UINT64_C(16) << 56);
  }

  /** Of two blocks and the last one, which has the length in its highest byte. */
  constexpr uint64_t of_blocks(uint64_t m0, uint64_t m1, uint64_t last) const {
    uint64_t v0 = k0_ ^ UINT64_C(0x736f6d6570736575), v1 = k1_ ^ UINT64_C(0x646f72616e646f6d);
    uint64_t v2 = k0_ ^ UINT64_C(0x6c7967656e657261), v3 = k1_ ^ UINT64_C(0x7465646279746573);
    const uint64_t blocks[] = {m0, m1, last};
    for (const uint64_t m : blocks) {
      v3 ^= m;
      round(v0, v1, v2, v3);
      round(v0, v1, v2, v3);
      v0 ^= m;
    }
    v2 ^= 0xff;
    for (int i = 0; i < 4; i++) round(v0, v1, v2, v3);
    return v0 ^ v1 ^ v2 ^ v3;
  }

 private:
  static constexpr uint64_t rotl(uint64_t v, int by) { return v << by | v >> (64 - by); }
  static constexpr void round(uint64_t& v0, uint64_t& v1, uint64_t& v2, uint64_t& v3) {
    v0 += v1;
    v1 = rotl(v1, 13) ^ v0;
    v0 = rotl(v0, 32);
    v2 += v3;
    v3 = rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = rotl(v1, 17) ^ v2;
    v2 = rotl(v2, 32);
  }

  uint64_t k0_, k1_;
};

// Appendix A of the paper: key 00 .. 0f, message 00 .. 0e. Then the message 00 .. 0f of the reference implementation.
constexpr SipHash SIPHASH_OF_PAPER{UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
static_assert(SIPHASH_OF_PAPER.of_blocks(UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908), UINT64_C(16) << 56) ==
              UINT64_C(0x3f2acc7f57c29bdb));
static_assert(SIPHASH_OF_PAPER.of(0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c) == UINT64_C(0x3f2acc7f57c29bdb));

}  // namespace dpvs
