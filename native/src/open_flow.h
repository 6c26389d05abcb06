// Opens connections over TCP with Full-NAT: what src/ipvs/ipvs.ts does with a SYN (`connect`), to the byte, for services that have a
// stock (src/ipvs/stocks.ts). Whatever is not as usual is for TypeScript.
#pragma once
#include "chaskey.h"
#include "lcore.h"
#include "rewrite.h"
#include "syn_answer.h"

namespace dpvs {

constexpr uint8_t OPTION_TIMESTAMP = 8, OPTION_TOA = 254;
constexpr uint8_t FWD_FULLNAT = 5;
/** Spares between asking for the memory of one and using it. */
constexpr uint32_t SPARES_AHEAD = 8;

/** `delta32` of src/wire/checksum.ts. */
inline uint32_t delta32(uint32_t from, uint32_t to) {
  return fold((~from >> 16) + (~from & 0xffff) + (to >> 16) + (to & 0xffff));
}
/** `delta16`. */
inline uint32_t delta16(uint32_t from, uint32_t to) { return fold((~from & 0xffff) + to); }

/** `setRewrite` of src/ipvs/xmit/rewrite.ts, over TCP; the tuples stand in `d`. */
inline void set_deltas(Dir4& d) {
  const uint32_t ip = fold(delta32(rte_be_to_cpu_32(d.saddr), rte_be_to_cpu_32(d.newSaddr)) +
                           delta32(rte_be_to_cpu_32(d.daddr), rte_be_to_cpu_32(d.newDaddr)));
  const uint32_t ports = fold(delta16(rte_be_to_cpu_16(d.sport), rte_be_to_cpu_16(d.newSport)) +
                              delta16(rte_be_to_cpu_16(d.dport), rte_be_to_cpu_16(d.newDport)));
  d.ipDelta = static_cast<uint16_t>(ip);
  d.l4Delta = static_cast<uint16_t>(fold(ip + ports));
}

/** `blankAll` of src/wire/tcp-options.ts, and what follows for the checksum. */
inline void blank_options(char* l4, uint8_t kind) {
  uint32_t delta = 0;
  each_option(l4, (load<uint8_t>(l4 + 12) >> 4) * 4u, [&](uint32_t at, uint8_t k, uint8_t len) {
    if (k != kind) return true;
    const auto sum_of = [&] {
      uint32_t sum = 0;
      for (uint32_t i = at & ~1u; i < at + len; i += 2) sum += load16(l4 + i);
      return fold(sum);
    };
    const uint32_t before = sum_of();
    memset(l4 + at, 1, len);
    delta = fold(delta + delta16(before, sum_of()));
    return true;
  });
  if (delta == 0) return;
  char* sum = l4 + TCP_CHECKSUM;
  store(sum, rte_cpu_to_be_16(apply(load16(sum), delta)));
}

inline Spare* spare_at(LcoreBlock& b, uint32_t stock, uint32_t n) {
  return reinterpret_cast<Spare*>(b.spares.words) + stock * STOCK_SIZE + n % STOCK_SIZE;
}

/** Asks for the memory that a spare will be made a connection in. */
inline void prefetch_spare(const FlowTable& flows, const Spare& s) {
  if (s.conn >= flows.capacity()) return;
  flows.prefetch_conn(s.conn);
  FlowKey answer;
  answer.addrs = s.daddr | static_cast<uint64_t>(s.laddr) << 32;
  answer.ports = s.dport | static_cast<uint32_t>(s.lport) << 16;
  answer.proto = IPPROTO_TCP;
  flows.prefetch(flows.hash(answer));
}

/** The way back to a client that the default router leads to, if it does. @param addr host order */
inline void set_way_back(Dir4& out, const LcoreBlock& b, uint32_t addr, uint32_t generation) {
  if (b.routerAdj == 0) return;
  for (uint32_t i = 0; i < RTE_MIN(b.nearCount, NEAR_CAP); i++) {
    if ((addr & b.near[2 * i + 1]) == b.near[2 * i]) return;
  }
  out.adj = static_cast<uint16_t>(b.routerAdj);
  out.mtu = static_cast<uint16_t>(b.routerMtu);
  out.adjGen = generation;
}

/** Fills in the record of a connection that SYN `l3` opens, but for state and index. */
inline void write_conn(Conn4& c, const Spare& s, const LcoreBlock& b, const Reflex& r, const char* l3, uint32_t total, uint32_t now, uint32_t generation) {
  const char* l4 = l3 + IP_HEADER;
  memset(&c, 0, sizeof(c));
  Dir4& in = c.in;
  Dir4& out = c.out;
  store(reinterpret_cast<char*>(&in.saddr), load<uint64_t>(l3 + offsetof(rte_ipv4_hdr, src_addr)));
  store(reinterpret_cast<char*>(&in.sport), load<uint32_t>(l4));
  in.newSaddr = out.daddr = s.laddr;
  in.newSport = out.dport = s.lport;
  in.newDaddr = out.saddr = s.daddr;
  in.newDport = out.sport = s.dport;
  out.newSaddr = in.daddr;
  out.newSport = in.dport;
  out.newDaddr = in.saddr;
  out.newDport = in.sport;
  in.proto = out.proto = IPPROTO_TCP;
  in.actions = out.actions = FLOW_ACTION_REWRITE_SRC | FLOW_ACTION_REWRITE_DST;
  in.dest = out.dest = s.dest;
  in.fwd = out.fwd = FWD_FULLNAT;
  in.lastSeenMs = out.lastSeenMs = c.createdMs = now;
  in.adj = s.adj;
  in.mtu = s.mtu;
  in.adjGen = generation;
  in.bytes = total;
  in.packets = 1;
  set_way_back(out, b, load32(l3 + offsetof(rte_ipv4_hdr, src_addr)), generation);
  set_deltas(in);
  set_deltas(out);
  c.flags = CONN_F_USED | CONN_F_INACTIVE;
  c.lport = rte_be_to_cpu_16(s.lport);
  c.laddrSlot = s.laddrSlot;
  c.isnIn = load32(l4 + 4);
  if ((r.flags & REFLEX_F_REBASE) != 0) {
    // `rebase` of src/ipvs/xmit/fullnat.ts, `setSeqDelta` of seq.ts.
    const uint32_t ports = static_cast<uint32_t>(c.lport) << 16 | rte_be_to_cpu_16(s.dport);
    const uint32_t ours = now * ISN_TICKS_PER_MS + chaskey(b.isnKey, rte_be_to_cpu_32(s.laddr), rte_be_to_cpu_32(s.daddr), ports, 0);
    const uint32_t delta = ours - c.isnIn;
    in.seqDelta = delta;
    out.seqDelta = 0 - delta;
    if (delta != 0) {
      in.actions |= FLOW_ACTION_SEQ;
      out.actions |= FLOW_ACTION_ACK;
    }
  }
  if ((r.flags & REFLEX_F_TOA) != 0) {
    c.clientAddr = WAY_TOA;
    in.actions |= FLOW_ACTION_CLIENT_ADDR;
  }
}

}  // namespace dpvs
