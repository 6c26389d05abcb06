// TOA, the client's address in a TCP option: src/ipvs/client-addr/toa.ts, where nothing has to make way for it.
#pragma once
#include "lcore.h"
#include "rewrite.h"

namespace dpvs {

constexpr uint32_t MAX_TCP_HEADER = 60;

/** What a segment of the client means to the client's address. */
enum class Toa : uint8_t { NOTHING, TELL, TOLD };

/** `carry`, of a whole segment. */
inline Toa toa_of(const Conn4& c, const char* l4) {
  if ((load<uint8_t>(l4 + 13) & (TCP_SYN | TCP_RST | TCP_ACK)) != TCP_ACK || (c.endSeq | c.endAck) == 0) return Toa::NOTHING;
  const uint32_t ack = load32(l4 + 8) - ((c.out.actions & FLOW_ACTION_SEQ) != 0 ? c.out.seqDelta : 0);
  const auto beyond = static_cast<int32_t>(ack - c.isnOut - 1);
  if (beyond == 0) return Toa::TELL;
  return beyond > 0 && static_cast<int32_t>(c.endSeq - ack) >= 0 ? Toa::TOLD : Toa::NOTHING;
}

/** True for a segment of connection `c`, whose client's address is still to be told, that the native loop may forward. */
__attribute__((noinline)) inline bool may_tell(const Conn4& c, const char* l3, uint32_t total) {
  const char* l4 = l3 + IP_HEADER;
  if ((c.clientAddr & 0xff) != WAY_TOA) return false;
  const uint32_t header = (load<uint8_t>(l4 + 12) >> 4) * 4u;
  return toa_of(c, l4) != Toa::TELL || (header + TOA_LEN <= MAX_TCP_HEADER && total + TOA_LEN <= c.in.mtu);
}

/** Puts the option in front of all others: the headers move into the room before them. @returns where they begin now */
inline char* insert_toa(const Dir4& d, char* l3) {
  constexpr uint32_t HEADER_SUM = offsetof(rte_ipv4_hdr, hdr_checksum), DATA_OFF = 12;
  char* to = l3 - TOA_LEN;
  memmove(to, l3, IP_HEADER + TCP_HEADER);
  char* l4 = to + IP_HEADER;
  const uint32_t first = UINT32_C(254) << 24 | TOA_LEN << 16 | rte_be_to_cpu_16(d.sport);
  const uint32_t addr = rte_be_to_cpu_32(d.saddr);
  store(l4 + TCP_HEADER, rte_cpu_to_be_32(first));
  store(l4 + TCP_HEADER + 4, rte_cpu_to_be_32(addr));
  // Two words more of options, so many bytes more in the pseudo header.
  store(l4 + DATA_OFF, static_cast<uint8_t>(load<uint8_t>(l4 + DATA_OFF) + (TOA_LEN << 2)));
  const uint32_t delta = (first >> 16) + (first & 0xffff) + (addr >> 16) + (addr & 0xffff) + (TOA_LEN << 10) + TOA_LEN;
  store(l4 + TCP_CHECKSUM, rte_cpu_to_be_16(apply(load16(l4 + TCP_CHECKSUM), fold(delta))));
  store(to + 2, rte_cpu_to_be_16(static_cast<uint16_t>(load16(to + 2) + TOA_LEN)));
  store(to + HEADER_SUM, rte_cpu_to_be_16(apply(load16(to + HEADER_SUM), TOA_LEN)));
  return to;
}

/** True when the real server has acknowledged a byte of the client's data. */
inline bool is_acknowledged(const Conn4& c) {
  const uint32_t shifted = (c.in.actions & FLOW_ACTION_SEQ) != 0 ? c.in.seqDelta : 0;
  return static_cast<int32_t>(c.endAck - c.isnIn - shifted - 1) > 0;
}

/** Carries out what `toa_of` says. @returns where the IP header begins now */
__attribute__((noinline)) inline char* tell(Lcore& lc, Conn4& c, char* l3) {
  const Toa what = toa_of(c, l3 + IP_HEADER);
  if (what == Toa::TOLD || (what == Toa::TELL && is_acknowledged(c))) c.in.actions &= static_cast<uint16_t>(~FLOW_ACTION_CLIENT_ADDR);
  if (what != Toa::TELL) return l3;
  lc.stats->events[EVENT_TOA_INSERTED] += 1;
  count_svc_event(lc.rules, lc.rules.dests[c.in.dest].flags[1], EVENT_TOA_INSERTED);
  return insert_toa(c.in, l3);
}

/** `fromServer` of src/ipvs/xmit/fullnat.ts, of a SYN-ACK: leaves room for the option in the client's segments. */
__attribute__((noinline)) inline void leave_room(const Conn4& c, char* l4) {
  constexpr uint8_t MSS = 2;
  constexpr uint32_t LEAST = 64;
  if ((c.clientAddr & 0xff) != WAY_TOA) return;
  each_option(l4, (load<uint8_t>(l4 + 12) >> 4) * 4u, [&](uint32_t at, uint8_t kind, uint8_t len) {
    if (kind != MSS) return true;
    char* p = l4 + at + 2;
    const uint32_t mss = load16(p);
    if (len != 4 || mss < TOA_LEN + LEAST) return false;
    const uint32_t lower = mss - TOA_LEN;
    store(p, rte_cpu_to_be_16(static_cast<uint16_t>(lower)));
    const uint32_t delta = fold((~mss & 0xffff) + lower);
    const uint32_t placed = (at & 1) == 0 ? delta : (delta << 8 | delta >> 8) & 0xffff;
    store(l4 + TCP_CHECKSUM, rte_cpu_to_be_16(apply(load16(l4 + TCP_CHECKSUM), placed)));
    return false;
  });
}

}  // namespace dpvs
