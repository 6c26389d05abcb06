// The answer to a SYN that no flow covers, for services with syn-proxy: src/ipvs/synproxy/answer.ts, to the byte. What it
// needs stands in the lcore's block, written by src/ipvs/synproxy/reflexes.ts. Nothing is remembered of who is answered.
#pragma once
#include <rte_ip.h>
#include <rte_tcp.h>

#include "fence.h"
#include "lcore.h"
#include "rewrite.h"
#include "siphash.h"
#include "verdicts.h"

namespace dpvs {

/** An entry of LcoreBlock.reflexes. */
struct Reflex {
  uint32_t addr;
  uint16_t port;
  uint8_t kind;
  uint8_t wscale;
  uint16_t mss;
  uint8_t ttl;
  uint8_t flags;
  uint16_t window;
  /** The service's slot. */
  uint16_t svc;
};
static_assert(sizeof(Reflex) == REFLEX_WORDS * sizeof(uint32_t));

/** An entry by address and port as they stand in a packet, or null: that of a service, or, with port 0, a source that nobody may have. */
inline const Reflex* find_reflex(const LcoreBlock& b, uint32_t addr, uint16_t port) {
  const auto* table = reinterpret_cast<const Reflex*>(b.reflexes);
  uint32_t h = (addr ^ port * UINT32_C(0x9e3779b1)) * UINT32_C(0x85ebca6b);
  h ^= h >> 16;
  for (;; h++) {
    const Reflex& r = table[h % REFLEX_CAP];
    if (r.kind == REFLEX_NONE) return nullptr;
    if (r.addr == addr && r.port == port) return &r;
  }
}

/** What a client offers. */
struct Offer {
  uint32_t mss = 536;
  uint32_t wscale = SYN_NO_WSCALE;
  bool sack = false;
  bool timestamp = false;
  uint32_t tsval = 0;
};

/** `Offer.read` of src/ipvs/synproxy/offer.ts. */
inline Offer read_offer(const char* l4, uint32_t header) {
  Offer o;
  each_option(l4, header, [&](uint32_t at, uint8_t kind, uint8_t len) {
    const char* p = l4 + at;
    if (kind == 2 && len == 4) o.mss = load16(p + 2);
    else if (kind == 3 && len == 3) o.wscale = RTE_MIN(load<uint8_t>(p + 2), 14);
    else if (kind == 4 && len == 2) o.sack = true;
    else if (kind == 8 && len == 10) {
      o.timestamp = true;
      o.tsval = load32(p + 2);
    }
    return true;
  });
  return o;
}

/** `packData` of src/ipvs/synproxy/cookie.ts. */
inline uint32_t pack_offer(uint32_t mss, uint32_t wscale, bool sack, bool timestamp) {
  constexpr uint16_t SIZES[] = {64,   128,  256,  512,  536,  768,  1024, 1220,
                                1280, 1360, 1380, 1400, 1440, 1452, 1460, 8960};
  uint32_t i = RTE_DIM(SIZES) - 1;
  while (i > 0 && SIZES[i] > mss) i--;
  return i << 6 | wscale << 2 | (sack ? 2 : 0) | (timestamp ? 1 : 0);
}

/** `Cookies.make` of src/ipvs/synproxy/cookie.ts. */
inline uint32_t make_cookie(const LcoreBlock& b, uint32_t saddr, uint32_t daddr, uint32_t ports, uint32_t isn, uint32_t data) {
  const uint32_t time = b.cookieTime & 3;
  const uint32_t* key = b.cookieKeys + time * 4;
  const SipHash hash{key[0] | static_cast<uint64_t>(key[1]) << 32, key[2] | static_cast<uint64_t>(key[3]) << 32};
  return (static_cast<uint32_t>(hash.of(saddr, daddr, ports, isn ^ data << 22)) & 0xfffff000) | data << 2 | time;
}

/** `writeOffer` of src/ipvs/synproxy/offer.ts. @returns bytes written */
inline uint32_t write_offer(char* at, uint32_t mss, uint32_t wscale, bool sack, bool timestamp, uint32_t tsval, uint32_t tsecr) {
  char* const begin = at;
  store(at, rte_cpu_to_be_32(UINT32_C(0x02040000) | mss));
  at += 4;
  if (timestamp) {
    store(at, sack ? RTE_BE32(0x0402080a) : RTE_BE32(0x0101080a));
    store(at + 4, rte_cpu_to_be_32(tsval));
    store(at + 8, rte_cpu_to_be_32(tsecr));
    at += 12;
  } else if (sack) {
    store(at, RTE_BE32(0x04020101));
    at += 4;
  }
  if (wscale != SYN_NO_WSCALE) {
    store(at, rte_cpu_to_be_32(UINT32_C(0x01030300) | wscale));
    at += 4;
  }
  return static_cast<uint32_t>(at - begin);
}

constexpr uint32_t OPENING = TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN;

/** True for a frame that says it comes from where nobody may be: 0.0.0.0/8, 127.0.0.0/8, multicast and above, broadcast, us. */
inline bool is_martian(const LcoreBlock& b, const char* frame) {
  const char* source = frame + ETH_HEADER + offsetof(rte_ipv4_hdr, src_addr);
  const auto first = load<uint8_t>(source);
  return first == 0 || first == 127 || first >= 224 || (load<uint8_t>(frame + 6) & 1) != 0 ||
         find_reflex(b, load<uint32_t>(source), 0) != nullptr;
}

/**
 * Turns a SYN round whose headers are known to be sound; it is to leave by the port that it came from.
 * @returns the length of the datagram; 0: it is for TypeScript, nothing has changed
 */
inline __attribute__((noinline)) uint32_t answer_syn(Lcore& lc, rte_mbuf* m, const Reflex& reflex, uint32_t now) {
  constexpr uint32_t LONGEST = ETH_HEADER + IP_HEADER + TCP_HEADER + 20;
  const LcoreBlock& b = *lc.block;
  char* frame = rte_pktmbuf_mtod(m, char*);
  char* l3 = frame + ETH_HEADER;
  char* l4 = l3 + IP_HEADER;
  const uint32_t raw_saddr = load<uint32_t>(l3 + 12);
  const Reflex* r = &reflex;
  if (m->data_off + LONGEST > m->buf_len) return 0;
  if (rte_ipv4_udptcp_cksum_verify(reinterpret_cast<const rte_ipv4_hdr*>(l3), l4) != 0) return 0;

  const uint32_t caddr = load32(l3 + 12), vaddr = load32(l3 + 16), ports = load32(l4), isn = load32(l4 + 4);
  const Offer o = read_offer(l4, (load<uint8_t>(l4 + 12) >> 4) * 4u);
  const uint32_t wscale = r->wscale != 0 && o.wscale != SYN_NO_WSCALE ? r->wscale : SYN_NO_WSCALE;
  const bool sack = (r->flags & REFLEX_F_SACK) != 0 && o.sack;
  const bool timestamp = (r->flags & REFLEX_F_TIMESTAMP) != 0 && o.timestamp;
  const uint32_t data = pack_offer(o.mss, wscale == SYN_NO_WSCALE ? SYN_NO_WSCALE : o.wscale, sack, timestamp);
  const uint32_t cookie = make_cookie(b, caddr, vaddr, ports, isn, data);

  // From here on it is ours.
  count_svc_event(lc.rules, r->svc, EVENT_SYNPROXY_ANSWERED);
  unfence(m);
  const auto back = load<uint64_t>(frame + 6);
  const auto ours = load<uint64_t>(frame);
  memcpy(frame, &back, 6);
  memcpy(frame + 6, &ours, 6);
  const uint32_t options =
      write_offer(l4 + TCP_HEADER, RTE_MIN(o.mss, static_cast<uint32_t>(r->mss)), wscale, sack, timestamp, now, o.tsval);
  const uint32_t header = TCP_HEADER + options;
  rte_ipv4_hdr ip{};
  ip.version_ihl = 0x45;
  ip.total_length = rte_cpu_to_be_16(static_cast<uint16_t>(IP_HEADER + header));
  ip.fragment_offset = RTE_BE16(RTE_IPV4_HDR_DF_FLAG);
  ip.time_to_live = r->ttl;
  ip.next_proto_id = IPPROTO_TCP;
  ip.src_addr = load<uint32_t>(l3 + 16);
  ip.dst_addr = raw_saddr;
  ip.hdr_checksum = rte_ipv4_cksum(&ip);
  memcpy(l3, &ip, sizeof(ip));
  rte_tcp_hdr tcp{};
  tcp.src_port = rte_cpu_to_be_16(static_cast<uint16_t>(ports));
  tcp.dst_port = rte_cpu_to_be_16(static_cast<uint16_t>(ports >> 16));
  tcp.sent_seq = rte_cpu_to_be_32(cookie);
  tcp.recv_ack = rte_cpu_to_be_32(isn + 1);
  tcp.data_off = static_cast<uint8_t>(header / 4 << 4);
  tcp.tcp_flags = TCP_SYN | TCP_ACK;
  tcp.rx_win = rte_cpu_to_be_16(r->window);
  memcpy(l4, &tcp, sizeof(tcp));
  store(l4 + TCP_CHECKSUM, rte_ipv4_udptcp_cksum(&ip, l4));
  return IP_HEADER + header;
}

}  // namespace dpvs
