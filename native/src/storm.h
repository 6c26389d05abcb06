#pragma once

#include "rewrite.h"

namespace dpvs {

// Storms of acknowledgements: src/ipvs/proto/tcp-storm.ts.

/** `saysTheSame`. `len` = transport header and data. */
inline bool says_the_same(const Conn4& c, const char* l4, uint32_t len, uint32_t now) {
  constexpr uint32_t STORM_MS = 500;
  return load<uint8_t>(l4 + 13) == TCP_ACK && (load<uint8_t>(l4 + 12) >> 4) * 4u == len && load32(l4 + 8) == c.endAck &&
         load32(l4 + 4) == c.endSeq && load16(l4 + 14) == c.lastWindow && has_plain_options(l4, len) &&
         now - c.out.lastSeenMs < STORM_MS;
}

/** `packetsOfClient` and `bytesBeyond` of src/ipvs/conn/records.ts. */
inline uint16_t packets_of_client(const Conn4& c) { return static_cast<uint16_t>(c.in.packets); }
inline uint16_t bytes_beyond(const Conn4& c, uint32_t bare) {
  return static_cast<uint16_t>(static_cast<uint32_t>(static_cast<int64_t>(c.in.bytes)) - c.in.packets * bare);
}

/** `isStorm`, of a segment that says the same. Touches the client's direction. */
__attribute__((noinline)) inline bool is_storm(const Conn4& c, uint32_t len, uint32_t most) {
  return c.sameAcks >= most && packets_of_client(c) != c.clientPackets && bytes_beyond(c, IP_HEADER + len) == c.clientData;
}

/** `observeStorm`, of a segment that says the same. */
__attribute__((noinline)) inline void observe_same(Conn4& c, uint32_t len) {
  const uint16_t packets = packets_of_client(c);
  const uint16_t data = bytes_beyond(c, IP_HEADER + len);
  if (data != c.clientData) {
    c.sameAcks = 0;
  } else if (packets != c.clientPackets) {
    c.sameAcks = static_cast<uint16_t>(c.sameAcks + 1);
  }
  c.clientPackets = packets;
  c.clientData = data;
}

}  // namespace dpvs
