// What native flows do to a packet: the actions of a direction (FLOW_ACTION of src/core/layout.ts).
#pragma once
#include <netinet/in.h>
#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

#include <cstring>

#include "flow_rules.h"
#include "layout.h"
#include "transmit.h"

namespace dpvs {

constexpr uint32_t IP_HEADER = 20;
constexpr uint32_t TCP_HEADER = 20;
constexpr uint32_t UDP_HEADER = 8;
constexpr uint32_t TCP_CHECKSUM = 16;
constexpr uint32_t UDP_CHECKSUM = 6;
constexpr uint32_t VLAN_TAG = 4;
/** TTL - 1 in a checksum delta: the word of TTL and protocol falls by 0x100. */
constexpr uint32_t TTL_DELTA = 0xfeff;
constexpr uint8_t TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_ACK = 0x10;

template <typename T>
inline T load(const char* p) {
  T v;
  memcpy(&v, p, sizeof(v));
  return v;
}
template <typename T>
inline void store(char* p, T v) {
  memcpy(p, &v, sizeof(v));
}
inline uint16_t load16(const char* p) { return rte_be_to_cpu_16(load<uint16_t>(p)); }
inline uint32_t load32(const char* p) { return rte_be_to_cpu_32(load<uint32_t>(p)); }

/** As fold() of src/wire/checksum.ts. */
inline uint32_t fold(uint32_t sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return ((sum & 0xffff) + (sum >> 16)) & 0xffff;
}

/** RFC 1624 equation 3. */
inline uint16_t apply(uint16_t checksum, uint32_t delta) {
  return static_cast<uint16_t>(~fold((~checksum & 0xffffu) + delta));
}

inline bool header_sum_right(const char* l3) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < IP_HEADER; i += 4) sum += load<uint32_t>(l3 + i);
  sum = (sum & 0xffffffff) + (sum >> 32);
  return fold(static_cast<uint32_t>((sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32))) == 0xffff;
}

/** Adds `delta` to the checksum of an IP header. */
inline void fix_ip_sum(char* l3, uint32_t delta) {
  char* sum = l3 + offsetof(rte_ipv4_hdr, hdr_checksum);
  store(sum, rte_cpu_to_be_16(apply(load16(sum), delta)));
}

/** One hop fewer. @returns what that adds to the checksum */
inline uint32_t count_down(char* l3) {
  char* ttl = l3 + offsetof(rte_ipv4_hdr, time_to_live);
  store<uint8_t>(ttl, load<uint8_t>(ttl) - 1);
  return TTL_DELTA;
}

/** `rewrite` of src/ipvs/xmit/rewrite.ts. */
inline void rewrite(const Dir4& d, char* l3, bool count_hop) {
  char* l4 = l3 + IP_HEADER;
  fix_ip_sum(l3, d.ipDelta + (count_hop ? count_down(l3) : 0));
  static_assert(offsetof(Dir4, newDaddr) == offsetof(Dir4, newSaddr) + 4);
  static_assert(offsetof(Dir4, newDport) == offsetof(Dir4, newSport) + 2);
  store(l3 + offsetof(rte_ipv4_hdr, src_addr), load<uint64_t>(reinterpret_cast<const char*>(&d.newSaddr)));
  store(l4, load<uint32_t>(reinterpret_cast<const char*>(&d.newSport)));
  if (d.proto == IPPROTO_TCP) {
    char* sum = l4 + TCP_CHECKSUM;
    store(sum, rte_cpu_to_be_16(apply(load16(sum), d.l4Delta)));
  } else {
    // RFC 768: 0 says "none" and stays so, a computed 0 is sent as 0xffff.
    char* sum = l4 + UDP_CHECKSUM;
    const uint16_t old = load16(sum);
    const uint16_t now = apply(old, d.l4Delta);
    store(sum, rte_cpu_to_be_16(old == 0 ? old : now == 0 ? UINT16_C(0xffff) : now));
  }
}

/** Adds to a 32-bit number in a TCP header at `p`. @returns what that adds to the checksum; `odd`: not on a 16-bit word */
inline uint32_t shift_number(char* p, uint32_t by, bool odd) {
  const uint32_t old = load32(p);
  const uint32_t now = old + by;
  store(p, rte_cpu_to_be_32(now));
  const uint32_t delta = fold((~old >> 16) + (~old & 0xffff) + (now >> 16) + (now & 0xffff));
  return odd ? (delta << 8 | delta >> 8) & 0xffff : delta;
}

/** True when the options of a TCP header are none, or the timestamps that established connections carry (RFC 7323, appendix A). */
inline bool has_plain_options(const char* l4, uint32_t header) {
  return header == TCP_HEADER || (header == TCP_HEADER + 12 && load<uint32_t>(l4 + TCP_HEADER) == RTE_BE32(0x0101080a));
}

/** Calls `see(at, kind, length)` for the options of a TCP header until it returns false: `first` of src/wire/tcp-options.ts. */
template <typename See>
inline void each_option(const char* l4, uint32_t header, See see) {
  constexpr uint8_t END = 0, NOP = 1;
  for (uint32_t at = TCP_HEADER; at + 1 < header;) {
    const auto kind = load<uint8_t>(l4 + at);
    if (kind == END) return;
    if (kind == NOP) {
      at++;
      continue;
    }
    const auto len = load<uint8_t>(l4 + at + 1);
    if (len < 2 || at + len > header || !see(at, kind, len)) return;
    at += len;
  }
}

inline bool has_option(const char* l4, uint8_t wanted) {
  const uint32_t header = (load<uint8_t>(l4 + 12) >> 4) * 4u;
  if (likely(has_plain_options(l4, header))) return false;
  bool found = false;
  each_option(l4, header, [&](uint32_t, uint8_t kind, uint8_t) { return !(found = kind == wanted); });
  return found;
}

/** `shiftNumbers` of src/ipvs/xmit/seq.ts: sequence and acknowledgement numbers, and SACK blocks (RFC 2018 section 3). */
inline void shift_numbers(char* l4, uint32_t seq_by, uint32_t ack_by) {
  constexpr uint8_t SACK = 5;
  uint32_t delta = shift_number(l4 + 4, seq_by, false);
  if ((load<uint8_t>(l4 + 13) & TCP_ACK) != 0) delta += shift_number(l4 + 8, ack_by, false);
  const uint32_t header = (load<uint8_t>(l4 + 12) >> 4) * 4u;
  if (ack_by != 0 && unlikely(!has_plain_options(l4, header))) {
    each_option(l4, header, [&](uint32_t at, uint8_t kind, uint8_t len) {
      for (uint32_t edge = at + 2; kind == SACK && edge + 4 <= at + len; edge += 4) {
        delta += shift_number(l4 + edge, ack_by, (edge & 1) != 0);
      }
      return true;
    });
  }
  char* sum = l4 + TCP_CHECKSUM;
  store(sum, rte_cpu_to_be_16(apply(load16(sum), fold(delta))));
}

/** `encapsulate` of src/ipvs/xmit/tunnel.ts: an IPv4 header in front (RFC 2003 section 3.1). @returns where it begins */
inline char* encapsulate(const Dir4& d, char* l3) {
  char* outer = l3 - IP_HEADER;
  const auto total = static_cast<uint16_t>(load16(l3 + 2) + IP_HEADER);
  rte_ipv4_hdr h{};
  h.version_ihl = 0x45;
  h.type_of_service = load<uint8_t>(l3 + 1);
  h.total_length = rte_cpu_to_be_16(total);
  h.packet_id = load<uint16_t>(l3 + 4);
  h.fragment_offset = load<uint16_t>(l3 + 6) & RTE_BE16(RTE_IPV4_HDR_DF_FLAG);
  h.time_to_live = load<uint8_t>(l3 + 8);
  h.next_proto_id = IPPROTO_IPIP;
  memcpy(&h.src_addr, &d.newSaddr, 4);
  memcpy(&h.dst_addr, &d.newDaddr, 4);
  h.hdr_checksum = rte_ipv4_cksum(&h);
  memcpy(outer, &h, sizeof(h));
  return outer;
}

/** Room in front of `l3` that actions and Ethernet header need. */
inline uint32_t headroom_for(uint16_t actions, const Adjacency& a) {
  return ETH_HEADER + ((actions & FLOW_ACTION_ENCAP_IPIP) != 0 ? IP_HEADER : 0) + (a.vlanTci != 0 ? VLAN_TAG : 0);
}

/** Writes the Ethernet header of a neighbour in front of `l3` (IEEE 802.1Q section 9.6 for the tag). @returns the frame */
inline char* frame_to(const Adjacency& a, char* l3) {
  static_assert(offsetof(Adjacency, smac) == offsetof(Adjacency, dmac) + 6);
  const auto* macs = reinterpret_cast<const char*>(a.dmac);
  char* frame = l3 - ETH_HEADER;
  store(l3 - 2, RTE_BE16(RTE_ETHER_TYPE_IPV4));
  if (unlikely(a.vlanTci != 0)) {
    frame -= VLAN_TAG;
    store(l3 - 6, RTE_BE16(RTE_ETHER_TYPE_VLAN));
    store(l3 - 4, rte_cpu_to_be_16(a.vlanTci));
  }
  store(frame, load<uint64_t>(macs));
  store(frame + 8, load<uint32_t>(macs + 8));
  return frame;
}

}  // namespace dpvs
