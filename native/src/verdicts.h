// The source verdicts: which addresses stand on which black or white list. The table is in shared memory, the master writes it
// (src/ipvs/acl/writer.ts) while lcores look; src/ipvs/acl/verdicts.ts looks the same way.
#pragma once
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include <cstdint>
#include <memory>

#include "layout.h"

namespace v8 {
class BackingStore;
}

namespace dpvs {

struct Lcore;
struct FlowKey;

class Verdicts {
 public:
  static constexpr uint32_t BLACK = 0;
  static constexpr uint32_t WHITE = 1;
  /** In place of a service's slot: lists for all sources. */
  static constexpr uint32_t GLOBAL = 0;
  static constexpr int PASSES = -1;
  static constexpr int NONE = -1;

  static constexpr uint32_t list_of(uint32_t slot, uint32_t kind) { return slot * 2 + kind; }

  Verdicts() = default;
  /** @param kept memory of VERDICT_BUCKETS bytes and a power of two of buckets, on a cache line */
  explicit Verdicts(std::shared_ptr<v8::BackingStore> kept);

  /** True while any list has entries: nobody else needs to ask anything. */
  bool any() const { return base_ != nullptr && load(VERDICT_LISTS) != 0; }
  bool is_global() const { return has(list_of(GLOBAL, BLACK)); }
  bool has(uint32_t list) const { return (lengths(list) | whole(list)) != 0; }

  /** The length of the longest prefix on a list that `addr` (host order) is in, or NONE. */
  int match(uint32_t list, uint32_t addr) const {
    for (uint32_t bits = lengths(list); bits != 0;) {
      const uint32_t bit = 31 - static_cast<uint32_t>(__builtin_clz(bits));
      bits &= ~(UINT32_C(1) << bit);
      if (is_there(meta_of(list, bit + 1), addr & (UINT32_MAX << (31 - bit)))) return static_cast<int>(bit + 1);
    }
    return whole(list) != 0 ? 0 : NONE;
  }
  /** Asks for the memory that `match` will look at. */
  void prefetch(uint32_t list, uint32_t addr) const {
    for (uint32_t bits = lengths(list); bits != 0;) {
      const uint32_t bit = 31 - static_cast<uint32_t>(__builtin_clz(bits));
      bits &= ~(UINT32_C(1) << bit);
      rte_prefetch0(bucket(home(meta_of(list, bit + 1), addr & (UINT32_MAX << (31 - bit)))));
    }
  }

  /** Asks for what the global lists have of an address. */
  void prefetch_source(uint32_t addr) const { prefetch(list_of(GLOBAL, BLACK), addr); }

  /** Drop reason of a packet from or to an address by the global lists, or PASSES. */
  int of_addr(uint32_t addr) const;
  /** Drop reason of a client of a service by the lists of the service, or PASSES. */
  int of_client(uint32_t slot, uint32_t addr) const;

 private:
  static constexpr uint32_t BUCKET = 64;

  static uint32_t meta_of(uint32_t list, uint32_t plen) { return list << 6 | plen; }
  uint32_t home(uint32_t meta, uint32_t prefix) const {
    // The global lists and `exempt` share buckets: `homeOf` of src/ipvs/acl/verdicts.ts.
    const uint32_t list = meta >> 6;
    const uint32_t key = list == list_of(GLOBAL, WHITE) || list == VERDICT_EXEMPT ? meta & 63 : meta;
    uint32_t h = (prefix ^ key * UINT32_C(0x9e3779b1)) * UINT32_C(0x85ebca6b);
    h = (h ^ h >> 15) * UINT32_C(0xc2b2ae35);
    return (h ^ h >> 16) & mask_;
  }
  const char* bucket(uint32_t n) const { return base_ + VERDICT_BUCKETS + static_cast<size_t>(n) * BUCKET; }
  uint32_t load(size_t at) const {
    return __atomic_load_n(reinterpret_cast<const uint32_t*>(base_ + at), __ATOMIC_RELAXED);
  }
  uint32_t lengths(uint32_t list) const { return load(VERDICT_INFO + static_cast<size_t>(list) * 8); }
  uint32_t whole(uint32_t list) const { return load(VERDICT_INFO + static_cast<size_t>(list) * 8 + 4); }
  bool is_there(uint32_t meta, uint32_t prefix) const {
    // Both words of an entry at once: the writer changes the second one only while the first is 0.
    const uint64_t wanted = static_cast<uint64_t>(prefix) << 32 | meta;
    for (uint32_t n = home(meta, prefix), seen = 0; seen <= mask_; n = (n + 1) & mask_, seen++) {
      const auto* words = reinterpret_cast<const uint64_t*>(bucket(n));
      bool found = false;
      for (uint32_t e = 0; e < VERDICT_ENTRIES; e++) found |= __atomic_load_n(words + e, __ATOMIC_RELAXED) == wanted;
      if (found) return true;
      if (static_cast<uint32_t>(__atomic_load_n(words + VERDICT_ENTRIES, __ATOMIC_RELAXED)) == 0) return false;
    }
    return false;
  }

  std::shared_ptr<v8::BackingStore> kept_;
  const char* base_ = nullptr;
  uint32_t mask_ = 0;
};

/** Asks for what `refused` will look at of the flow `ref`, or of what may be it; of the source of a packet asks who has its key. */
void prefetch_verdicts(const Lcore& lc, const FlowKey& key, uint32_t ref);

/**
 * True when a list refuses a valid packet: it has been counted and freed then. The questions of src/ipvs/acl/guard.ts. Call it
 * only while there are lists (`any`).
 * @param ref its flow, or FlowTable::NONE
 */
bool refused(Lcore& lc, rte_mbuf* m, const FlowKey& key, uint32_t ref);
/** The same by the lists of service `svc` for a client without a flow (`addr`: host order). */
bool refused_client(Lcore& lc, rte_mbuf* m, uint32_t svc, uint32_t addr);

}  // namespace dpvs
