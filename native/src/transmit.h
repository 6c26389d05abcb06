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

/**
 * Where the native loop puts a burst's packets: the end of the stage of the port that the last one went to, kept at hand. A
 * stage has room for a whole burst when one begins.
 */
struct Collector {
  uint32_t port = UINT32_MAX;
  rte_mbuf** next = nullptr;
  /** Of frames put there in this burst. */
  uint64_t bytes = 0;

  void add(rte_mbuf* m, uint32_t len) {
    *next++ = m;
    bytes += len;
  }
};

/** Turns to another port, below RTE_MAX_ETHPORTS. */
Collector turned(Lcore& lc, Collector from, uint16_t port);
/** Ends a burst; what fills a burst is sent. */
void finish(Lcore& lc, Collector c);

}  // namespace dpvs
