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
#include "parse.h"

namespace dpvs {

constexpr uint32_t TCP_CHECKSUM = 16;
constexpr uint32_t UDP_CHECKSUM = 6;
constexpr uint32_t VLAN_TAG = 4;
constexpr uint32_t TOA_LEN = 8;
constexpr uint8_t TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_ACK = 0x10;

/** As fold() of src/wire/checksum.ts. */
inline uint32_t fold(uint32_t sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return ((sum & 0xffff) + (sum >> 16)) & 0xffff;
}

/** RFC 1624 equation 3. */
inline uint16_t apply(uint16_t checksum, uint32_t delta) {
  return static_cast<uint16_t>(~fold((~checksum & 0xffffu) + delta));
}

/**
 * `apply` on the bytes as they lie in memory: a one's complement sum of swapped words is the swapped sum (RFC 1071 section 2 (B)).
 * @param checksum as loaded
 * @param delta swapped by `swapped`; several may be added up
 */
inline uint32_t apply_swapped(uint32_t checksum, uint32_t delta) {
  uint32_t sum = (~checksum & 0xffff) + delta;
  sum += sum << 16 | sum >> 16;
  return ~sum >> 16;
}
inline uint32_t swapped(uint16_t delta) { return __builtin_bswap16(delta); }

/** A hop fewer, and `delta` more in the checksum. @param hops 1, or 0 for none */
inline void count_down(char* l3, uint32_t delta, uint32_t hops) {
  constexpr uint32_t AT = offsetof(rte_ipv4_hdr, time_to_live);
  static_assert(offsetof(rte_ipv4_hdr, hdr_checksum) == AT + 2);
  const auto word = load<uint32_t>(l3 + AT);
  // 1 less in the upper byte of its word: ~m + m' = 0xfeff, swapped 0xfffe.
  const uint32_t sum = apply_swapped(word >> 16, delta + (hops != 0 ? 0xfffe : 0));
  store(l3 + AT, ((word - hops) & 0xffff) | sum << 16);
}

/** `rewrite` of src/ipvs/xmit/rewrite.ts. */
inline void rewrite(const Dir4& d, char* l3, uint32_t hops, bool tcp) {
  char* l4 = l3 + IP_HEADER;
  count_down(l3, swapped(d.ipDelta), hops);
  static_assert(offsetof(Dir4, newDaddr) == offsetof(Dir4, newSaddr) + 4);
  static_assert(offsetof(Dir4, newDport) == offsetof(Dir4, newSport) + 2);
  store(l3 + offsetof(rte_ipv4_hdr, src_addr), load<uint64_t>(&d.newSaddr));
  store(l4, load<uint32_t>(&d.newSport));
  if (tcp) {
    char* sum = l4 + TCP_CHECKSUM;
    store(sum, static_cast<uint16_t>(apply_swapped(load<uint16_t>(sum), swapped(d.l4Delta))));
    return;
  }
  // RFC 768: 0 says "none" and stays so, a computed 0 is sent as 0xffff.
  char* sum = l4 + UDP_CHECKSUM;
  const auto old = load<uint16_t>(sum);
  if (unlikely(old == 0)) return;
  const auto now = static_cast<uint16_t>(apply_swapped(old, swapped(d.l4Delta)));
  store<uint16_t>(sum, now == 0 ? 0xffff : now);
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

/** `joinOptions` of src/ipvs/xmit/join-options.ts: window scale and clock of the other end, of a segment of direction `out`. */
inline void join_options(const Conn4& c, bool out, char* l4) {
  constexpr uint8_t TIMESTAMP = 8;
  const Dir4& d = out ? c.out : c.in;
  uint32_t delta = 0;
  if (d.wshift != 0 && (load<uint8_t>(l4 + 13) & TCP_SYN) == 0) {
    const uint32_t from = load16(l4 + 14);
    const uint32_t to = d.wshift > 0 ? RTE_MIN(from << d.wshift, UINT32_C(0xffff)) : from >> -d.wshift;
    store(l4 + 14, rte_cpu_to_be_16(static_cast<uint16_t>(to)));
    delta = fold((~from & 0xffff) + to);
  }
  if ((d.actions & FLOW_ACTION_TIMESTAMP) != 0) {
    each_option(l4, (load<uint8_t>(l4 + 12) >> 4) * 4u, [&](uint32_t at, uint8_t kind, uint8_t len) {
      if (kind != TIMESTAMP) return true;
      if (len == 10) {
        const uint32_t number = at + (out ? 2 : 6);
        delta += shift_number(l4 + number, out ? c.tsDelta : 0 - c.tsDelta, (number & 1) != 0);
      }
      return false;
    });
  }
  if (delta == 0) return;
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
  return ETH_HEADER + ((actions & FLOW_ACTION_ENCAP_IPIP) != 0 ? IP_HEADER : 0) +
         ((actions & FLOW_ACTION_CLIENT_ADDR) != 0 ? TOA_LEN : 0) + (a.vlanTci != 0 ? VLAN_TAG : 0);
}

/** Destination and source address of a frame. */
inline void put_macs(const Adjacency& a, char* frame) {
  static_assert(offsetof(Adjacency, smac) == offsetof(Adjacency, dmac) + 6);
  store(frame, load<uint64_t>(a.dmac));
  store(frame + 8, load<uint32_t>(a.dmac + 8));
}

/** Writes the Ethernet header of a neighbour in front of `l3` (IEEE 802.1Q section 9.6 for the tag). @returns the frame */
inline char* frame_to(const Adjacency& a, char* l3) {
  char* frame = l3 - ETH_HEADER;
  store(l3 - 2, RTE_BE16(RTE_ETHER_TYPE_IPV4));
  if (unlikely(a.vlanTci != 0)) {
    frame -= VLAN_TAG;
    store(l3 - 6, RTE_BE16(RTE_ETHER_TYPE_VLAN));
    store(l3 - 4, rte_cpu_to_be_16(a.vlanTci));
  }
  put_macs(a, frame);
  return frame;
}

}  // namespace dpvs
