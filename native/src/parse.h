// What a received frame is to the native loop: the checks that netif and inet make before the load balancer sees a packet.
#pragma once
#include <netinet/in.h>
#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

#include <cstring>

#include "transmit.h"

namespace dpvs {

constexpr uint32_t IP_HEADER = 20;
constexpr uint32_t TCP_HEADER = 20;
constexpr uint32_t UDP_HEADER = 8;

template <typename T>
inline T load(const void* p) {
  T v;
  memcpy(&v, p, sizeof(v));
  return v;
}
template <typename T>
inline void store(void* p, T v) {
  memcpy(p, &v, sizeof(v));
}
inline uint16_t load16(const char* p) { return rte_be_to_cpu_16(load<uint16_t>(p)); }
inline uint32_t load32(const char* p) { return rte_be_to_cpu_32(load<uint32_t>(p)); }

/** A MAC address (six bytes and two zeros) as `plain_length` wants it: no frame is for 0. */
constexpr uint64_t mac_word(uint64_t mac) { return mac == 0 ? 1 : mac << 16; }

/** The one's complement sum of 20 bytes is 0xffff (RFC 1071). */
inline bool header_sum_right(const char* l3) {
  uint64_t sum;
  uint64_t carry = __builtin_add_overflow(load<uint64_t>(l3), load<uint64_t>(l3 + 8), &sum);
  carry += __builtin_add_overflow(sum, load<uint32_t>(l3 + 16) + carry, &sum);
  // Adding a number to itself turned by half leaves the folded sum in the upper half.
  const uint64_t half = (sum + (sum << 32 | sum >> 32)) >> 32;
  const auto word = static_cast<uint32_t>(half);
  return word + (word << 16 | word >> 16) >= 0xffff0000;
}

/** The transport header is whole and consistent: `check` of src/wire/udp.ts and tcp.ts. `len`: from it to the end, at least 8. */
inline bool udp_whole(const char* l4, uint32_t len) { return load16(l4 + 4) - UDP_HEADER <= len - UDP_HEADER; }
inline bool tcp_whole(const char* l4, uint32_t len) {
  return len >= TCP_HEADER && (load<uint8_t>(l4 + 12) >> 4) * 4u - TCP_HEADER <= len - TCP_HEADER;
}

/**
 * The length of a plain datagram: sound TCP or UDP over IPv4 without options or fragments, in one segment, for the address of
 * `mac_word`; 0 for all others. Differences wrap.
 */
inline __attribute__((always_inline)) uint32_t plain_length(uint32_t len, const char* frame, uint64_t mac) {
  constexpr uint32_t LEAST = IP_HEADER + UDP_HEADER;
  const char* l3 = frame + ETH_HEADER;
  if (unlikely(len < ETH_HEADER + LEAST)) return 0;
  const uint32_t total = load16(l3 + offsetof(rte_ipv4_hdr, total_length));
  // Little endian: type, version and header length in the low three bytes; the fragment's word in the low two, the protocol on top.
  const uint32_t type = load<uint32_t>(frame + 12) & 0xffffff;
  const auto middle = load<uint32_t>(l3 + offsetof(rte_ipv4_hdr, fragment_offset));
  const uint32_t proto = middle >> 24;
  if (unlikely(load<uint64_t>(frame) << 16 != mac || type != 0x450008 || total - LEAST > len - ETH_HEADER - LEAST ||
               (middle & RTE_BE16(0x3fff)) != 0 || !header_sum_right(l3))) {
    return 0;
  }
  const char* l4 = l3 + IP_HEADER;
  const uint32_t rest = total - IP_HEADER;
  if (likely(proto == IPPROTO_UDP)) return likely(udp_whole(l4, rest)) ? total : 0;
  return proto == IPPROTO_TCP && tcp_whole(l4, rest) ? total : 0;
}

/** The transport header of what looks like IPv4, for TypeScript's hints. */
inline const char* l4_of(const char* l3) { return l3 + (load<uint8_t>(l3) & 15) * 4; }

/** Of frames that are not plain: the flow is TypeScript's to look at, as the packet has options or is a first fragment. */
inline bool has_flow(const rte_mbuf* m, const char* frame, uint64_t mac) {
  const uint32_t len = m->pkt_len;
  if (len < ETH_HEADER + IP_HEADER + UDP_HEADER || m->nb_segs != 1) return false;
  if (load<uint64_t>(frame) << 16 != mac || load<uint16_t>(frame + 12) != RTE_BE16(RTE_ETHER_TYPE_IPV4)) return false;
  const char* l3 = frame + ETH_HEADER;
  const auto ver_ihl = load<uint8_t>(l3);
  const uint32_t hlen = (ver_ihl & 15u) * 4;
  const auto proto = load<uint8_t>(l3 + offsetof(rte_ipv4_hdr, next_proto_id));
  const auto fragment = load<uint16_t>(l3 + offsetof(rte_ipv4_hdr, fragment_offset));
  const uint32_t total = load16(l3 + offsetof(rte_ipv4_hdr, total_length));
  return ver_ihl >> 4 == 4 && hlen >= IP_HEADER && total >= hlen + UDP_HEADER && total <= len - ETH_HEADER &&
         (proto == IPPROTO_TCP || proto == IPPROTO_UDP) && (fragment & RTE_BE16(0x1fff)) == 0 &&
         (hlen != IP_HEADER || (fragment & RTE_BE16(0x2000)) != 0);
}

}  // namespace dpvs
