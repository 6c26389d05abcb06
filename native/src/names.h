// Names of RSS hash types and offloads.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace dpvs {

/** RTE_ETH_RSS_* bits by the name behind that prefix. */
std::vector<std::string> rss_names(uint64_t bits);
/** Bits of a name: one type (`NONFRAG_IPV4_TCP`) or a group (`IP`, `TCP`, `UDP`, `SCTP`, `TUNNEL`, `VLAN`); 0 =
 * unknown. */
uint64_t rss_bits(const std::string& name);

std::vector<std::string> rx_offload_names(uint64_t bits);
std::vector<std::string> tx_offload_names(uint64_t bits);
/** Bit of an offload's name, 0 = unknown. */
uint64_t rx_offload_bit(const std::string& name);
uint64_t tx_offload_bit(const std::string& name);

}  // namespace dpvs
