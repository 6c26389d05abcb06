#include "names.h"

#include <rte_ethdev.h>

namespace dpvs {

namespace {

struct Named {
  const char* name;
  uint64_t bits;
};

#define RSS(name) \
  { #name, RTE_ETH_RSS_##name }
constexpr Named RSS_TYPES[] = {
    RSS(IPV4),
    RSS(FRAG_IPV4),
    RSS(NONFRAG_IPV4_TCP),
    RSS(NONFRAG_IPV4_UDP),
    RSS(NONFRAG_IPV4_SCTP),
    RSS(NONFRAG_IPV4_OTHER),
    RSS(IPV6),
    RSS(FRAG_IPV6),
    RSS(NONFRAG_IPV6_TCP),
    RSS(NONFRAG_IPV6_UDP),
    RSS(NONFRAG_IPV6_SCTP),
    RSS(NONFRAG_IPV6_OTHER),
    RSS(L2_PAYLOAD),
    RSS(IPV6_EX),
    RSS(IPV6_TCP_EX),
    RSS(IPV6_UDP_EX),
    RSS(PORT),
    RSS(VXLAN),
    RSS(GENEVE),
    RSS(NVGRE),
    RSS(GTPU),
    RSS(ETH),
    RSS(S_VLAN),
    RSS(C_VLAN),
    RSS(ESP),
    RSS(AH),
    RSS(L2TPV3),
    RSS(PFCP),
    RSS(PPPOE),
    RSS(ECPRI),
    RSS(MPLS),
    RSS(IPV4_CHKSUM),
    RSS(L4_CHKSUM),
    RSS(L2TPV2),
};
constexpr Named RSS_GROUPS[] = {RSS(IP), RSS(TCP), RSS(UDP), RSS(SCTP), RSS(TUNNEL), RSS(VLAN)};
#undef RSS

using OffloadName = const char* (*)(uint64_t);

std::vector<std::string> offload_names(uint64_t bits, OffloadName name) {
  std::vector<std::string> out;
  for (int i = 0; i < 64; i++) {
    if ((bits & RTE_BIT64(i)) != 0) out.emplace_back(name(RTE_BIT64(i)));
  }
  return out;
}

uint64_t offload_bit(const std::string& wanted, OffloadName name) {
  if (wanted == "UNKNOWN") return 0;  // what DPDK calls a bit that it does not know
  for (int i = 0; i < 64; i++) {
    if (wanted == name(RTE_BIT64(i))) return RTE_BIT64(i);
  }
  return 0;
}

}  // namespace

std::vector<std::string> rss_names(uint64_t bits) {
  std::vector<std::string> out;
  for (const Named& t : RSS_TYPES) {
    if ((bits & t.bits) != 0) out.emplace_back(t.name);
  }
  return out;
}

uint64_t rss_bits(const std::string& name) {
  for (const Named& t : RSS_TYPES) {
    if (name == t.name) return t.bits;
  }
  for (const Named& g : RSS_GROUPS) {
    if (name == g.name) return g.bits;
  }
  return 0;
}

std::vector<std::string> rx_offload_names(uint64_t bits) {
  return offload_names(bits, rte_eth_dev_rx_offload_name);
}
std::vector<std::string> tx_offload_names(uint64_t bits) {
  return offload_names(bits, rte_eth_dev_tx_offload_name);
}
uint64_t rx_offload_bit(const std::string& name) { return offload_bit(name, rte_eth_dev_rx_offload_name); }
uint64_t tx_offload_bit(const std::string& name) { return offload_bit(name, rte_eth_dev_tx_offload_name); }

}  // namespace dpvs
