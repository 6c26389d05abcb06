#include "verdicts.h"

#include <rte_byteorder.h>
#include <v8.h>

#include "fence.h"
#include "lcore.h"

namespace dpvs {

namespace {

/** Whom lists are asked about, besides the source of a packet. */
struct Ends {
  uint32_t client;
  /** Who gets it. */
  uint32_t to;
  /** `to` is no real server. */
  bool asks_to;
};

Ends ends_of(const Dir4& d, uint32_t ref, uint32_t saddr) {
  // With SNAT it is the host inside that opens, and both ends are somebody.
  const bool snat = d.fwd == FWD_SNAT;
  const bool own = ((ref & 1) == DIR_OUT) == snat;
  const uint32_t to = rte_be_to_cpu_32(d.newDaddr);
  return {own ? saddr : to, to, !own || snat};
}

uint32_t source_of(const FlowKey& key) { return rte_be_to_cpu_32(static_cast<uint32_t>(key.addrs)); }

constexpr uint32_t NO_SVC = UINT32_MAX;

/** Counts and frees unless `reason` is PASSES. */
bool refuse(Lcore& lc, rte_mbuf* m, uint32_t svc, int reason) {
  if (reason == Verdicts::PASSES) return false;
  count_svc_drop(lc.rules, svc, static_cast<uint32_t>(reason));
  lc.stats->drops[reason] += 1;
  unfence(m);
  rte_pktmbuf_free(m);
  return true;
}

/** @param svc slot of the service that a refused packet belongs to, or NO_SVC */
int verdict(const Lcore& lc, const FlowKey& key, uint32_t ref, uint32_t& svc) {
  const Verdicts& v = lc.rules.verdicts;
  const uint32_t saddr = source_of(key);
  const bool global = v.is_global();
  if (global) {
    const int reason = v.of_addr(saddr);
    if (reason != Verdicts::PASSES) return reason;
  }
  if (ref == FlowTable::NONE) return Verdicts::PASSES;
  const Dir4& d = const_cast<FlowTable&>(lc.flows).dir(ref);
  const DestStats& dest = lc.rules.dests[d.dest];
  const bool listed = (dest.flags[0] & DEST_F_LISTED) != 0;
  if (!global && !listed) return Verdicts::PASSES;
  svc = dest.flags[1];
  const Ends ends = ends_of(d, ref, saddr);
  if (global && ends.asks_to) {
    const int reason = v.of_addr(ends.to);
    if (reason != Verdicts::PASSES) return reason;
  }
  return listed ? v.of_client(svc % SVC_CAP, ends.client) : Verdicts::PASSES;
}

}  // namespace

Verdicts::Verdicts(std::shared_ptr<v8::BackingStore> kept)
    : kept_(std::move(kept)),
      base_(static_cast<const char*>(kept_->Data())),
      mask_(static_cast<uint32_t>((kept_->ByteLength() - VERDICT_BUCKETS) / BUCKET - 1)) {}

int Verdicts::of_addr(uint32_t addr) const {
  const int black = match(list_of(GLOBAL, BLACK), addr);
  if (black == NONE || match(list_of(GLOBAL, WHITE), addr) >= black) return PASSES;
  return match(VERDICT_EXEMPT, addr) == NONE ? static_cast<int>(DROP_ACL_BLACKLIST) : PASSES;
}

int Verdicts::of_client(uint32_t slot, uint32_t addr) const {
  if (match(list_of(slot, BLACK), addr) != NONE) return DROP_ACL_BLACKLIST;
  const uint32_t white = list_of(slot, WHITE);
  return has(white) && match(white, addr) == NONE ? static_cast<int>(DROP_ACL_WHITELIST) : PASSES;
}

void prefetch_verdicts(const Lcore& lc, const FlowKey& key, uint32_t ref) {
  const Verdicts& v = lc.rules.verdicts;
  const uint32_t saddr = source_of(key);
  const bool global = v.is_global();
  const Dir4& d = const_cast<FlowTable&>(lc.flows).dir(ref);
  const Ends ends = ends_of(d, ref, saddr);
  if (global && ends.asks_to) v.prefetch(Verdicts::list_of(Verdicts::GLOBAL, Verdicts::BLACK), ends.to);
  const DestStats& dest = lc.rules.dests[d.dest];
  if ((dest.flags[0] & DEST_F_LISTED) == 0) return;
  const uint32_t slot = dest.flags[1] % SVC_CAP;
  v.prefetch(Verdicts::list_of(slot, Verdicts::BLACK), ends.client);
  v.prefetch(Verdicts::list_of(slot, Verdicts::WHITE), ends.client);
}

bool refused(Lcore& lc, rte_mbuf* m, const FlowKey& key, uint32_t ref) {
  uint32_t svc = NO_SVC;
  const int reason = verdict(lc, key, ref, svc);
  return refuse(lc, m, svc, reason);
}

bool refused_client(Lcore& lc, rte_mbuf* m, uint32_t svc, uint32_t addr) {
  return refuse(lc, m, svc, lc.rules.verdicts.of_client(svc, addr));
}

}  // namespace dpvs
