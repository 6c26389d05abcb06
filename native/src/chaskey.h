// Chaskey-12 of one block: src/core/chaskey.ts.
#pragma once
#include <cstdint>

namespace dpvs {

/** src/ipvs/isn.ts. */
constexpr uint32_t ISN_TICKS_PER_MS = 15625;

inline uint32_t rotated_left(uint32_t v, int by) { return v << by | v >> (32 - by); }

/** @param key the words that `Chaskey.words` gives: four, and the one of the last step */
inline uint32_t chaskey(const uint32_t* key, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  uint32_t v0 = key[0] ^ a, v1 = key[1] ^ b, v2 = key[2] ^ c, v3 = key[3] ^ d;
  for (int round = 0; round < 12; round++) {
    v0 += v1;
    v1 = rotated_left(v1, 5) ^ v0;
    v0 = rotated_left(v0, 16);
    v2 += v3;
    v3 = rotated_left(v3, 8) ^ v2;
    v0 += v3;
    v3 = rotated_left(v3, 13) ^ v0;
    v2 += v1;
    v1 = rotated_left(v1, 7) ^ v2;
    v2 = rotated_left(v2, 16);
  }
  return v0 ^ key[4];
}

}  // namespace dpvs
