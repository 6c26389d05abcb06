// Sending: packets collected by port or lcore go in bursts. Ports without a queue, that are down or full, drop and count.
#pragma once
#include <rte_mbuf.h>

#include "lcore.h"

namespace dpvs {

/** Without the frame check sequence (IEEE 802.3 section 4.2.3.3). */
constexpr uint32_t MIN_FRAME = 60;
constexpr uint32_t ETH_HEADER = 14;

/** Frees packets and counts why. */
void drop(Lcore& lc, rte_mbuf** pkts, uint32_t n, uint32_t reason);
/** Minimum frame size; what is appended is zeros, not an old packet's bytes. @returns false when it can't be sent */
bool make_sendable(rte_mbuf* m);
/** Sends what is collected for a port. @returns how many the port took */
uint32_t send_stage(Lcore& lc, uint16_t port);
/** Passes on what is collected for another lcore. */
void redirect_stage(Lcore& lc, uint32_t target);
/** Sends what the native loop has collected in this poll. */
void send_staged(Lcore& lc);

/** Collects a packet of the native loop; `port` is below RTE_MAX_ETHPORTS. */
inline void stage(Lcore& lc, rte_mbuf* m, uint16_t port) {
  Stage& s = lc.to_port[port];
  s.pkts[s.n++] = m;
  lc.staged |= UINT64_C(1) << port;
  if (s.n == RTE_DIM(s.pkts)) send_stage(lc, port);
}

}  // namespace dpvs
