// The native loop: repeats for packets of known connections what TypeScript (src/ipvs) does with them, in the same order and
// to the byte. Whatever it isn't sure of stays as it is and goes to TypeScript.
#pragma once
#include <rte_mbuf.h>

#include "lcore.h"

namespace dpvs {

/** Begins a poll. */
void begin_flows(Lcore& lc);

/**
 * Forwards what flows cover of a burst (at most BURST packets): it is staged for its port.
 * @param port where it came in; -1 = the packets know
 * @param hints of the packets left: the flow found, HINT_ABSENT, or HINT_NONE where nobody looked
 * @param bytes those of all packets are added
 * @returns number of packets left, moved to the front in their order
 */
uint16_t forward_flows(Lcore& lc, rte_mbuf** pkts, uint16_t n, int port, int32_t* hints, uint64_t* bytes);

}  // namespace dpvs
