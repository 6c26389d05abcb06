// Lookups ahead of TypeScript: for packets that it will handle itself, the flow that they seem to belong to.
#pragma once
#include <rte_mbuf.h>

#include "lcore.h"

namespace dpvs {

/**
 * Fills in the hints of a burst (at most BURST packets) that are HINT_NONE: a flow, or HINT_ABSENT. Nothing about a packet is
 * judged: TypeScript validates it and compares the flow. What it will read of the flow is on its way into the caches.
 */
void find_hints(Lcore& lc, rte_mbuf* const* pkts, uint16_t n, int32_t* hints);

}  // namespace dpvs
