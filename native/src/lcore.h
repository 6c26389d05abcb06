// An lcore's context: everything that its polling thread needs, made and freed by the main thread.
#pragma once
#include <node_api.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <v8.h>

#include <atomic>
#include <memory>
#include <vector>

#include "doorbell.h"
#include "flow_rules.h"
#include "flow_table.h"
#include "layout.h"

namespace dpvs {

constexpr uint16_t BURST = 32;
constexpr uint16_t NO_QUEUE = UINT16_MAX;

struct Queue {
  uint16_t port;
  uint16_t queue;
};

/** Packets on their way to one port or lcore, collected so that they go in bursts. */
struct Stage {
  uint32_t n = 0;
  /** Of the frames; kept for packets of the native loop only. */
  uint64_t bytes = 0;
  rte_mbuf* pkts[2 * BURST];
};

struct alignas(64) Lcore {
  uint32_t id = 0;
  std::atomic<bool> exists{false};
  /** thread_uid() of the thread that it belongs to, 0 = none. */
  std::atomic<uint64_t> owner{0};
  /** Odd while the owner is inside a burst. */
  std::atomic<uint64_t> epoch{0};
  /** The owner's environment has ended; lcoreReclaim is due. */
  std::atomic<bool> orphaned{false};
  Doorbell doorbell;

  LcoreBlock* block = nullptr;
  LcoreStats* stats = nullptr;
  rte_ring* ring = nullptr;
  std::vector<Queue> rx;
  size_t next_rx = 0;
  /** This lcore's transmit queue of each port. */
  uint16_t tx_queue[RTE_MAX_ETHPORTS];
  /** Blank packets that are kept ready. */
  uint32_t alloc_target = 0;

  // Clock: milliseconds at a time stamp, and the stamp of the last poll for busy/idle accounting.
  double clock_ms = 0;
  uint64_t clock_tsc = 0;
  uint64_t last_tsc = 0;
  bool had_work = false;

  /** Clock that a test has stopped, negative = it runs. */
  double stopped_ms = -1;

  FlowTable flows;
  FlowRules rules;
  Adjacency* adjacencies = nullptr;
  /** Ports with packets of the native loop in `to_port`, as bits. */
  uint64_t staged = 0;
  /**
   * Connections (modulo the number of bits) of which a packet of this poll is in the exception vector: no later one may
   * overtake it.
   */
  uint64_t behind[16] = {};
  bool any_behind = false;
  /** Stocks that are TypeScript's for the rest of this poll, as bits: a SYN that it was left comes before later ones. */
  uint32_t left_stocks = 0;
  /** A stock that is as large as can be has run out: the poll ends, so that it is filled up. */
  bool hungry = false;
  /** The JavaScript memory that the pointers above and the flow table look into. */
  std::shared_ptr<v8::BackingStore> kept[4];

  Stage to_port[RTE_MAX_ETHPORTS];
  Stage to_lcore[RTE_MAX_LCORE];
};

/** Contexts by id; one is allocated at the first use of its id and never freed, so that a stale id is harmless. */
extern std::atomic<Lcore*> lcore_table[RTE_MAX_LCORE];

inline Lcore* lcore_at(uint32_t id) {
  if (id >= RTE_MAX_LCORE) return nullptr;
  Lcore* lc = lcore_table[id].load(std::memory_order_acquire);
  return lc != nullptr && lc->exists.load(std::memory_order_acquire) ? lc : nullptr;
}

inline rte_mbuf* mbuf_of(char* base, uint32_t packet) { return reinterpret_cast<rte_mbuf*>(base + packet); }
inline PktPriv* notes_of(rte_mbuf* m) { return reinterpret_cast<PktPriv*>(m + 1); }

/**
 * In PktPriv.flags of a packet that lies in the alloc vector: it has not been counted as generated. TypeScript's
 * alloc() zeroes the flags.
 */
constexpr uint16_t BLANK = PKT_F_BLANK;

/** Waits until every lcore has left the burst that it is in. Throws PORT_STATE when one does not within 2 s. */
void lcores_quiesce();
/** Marks the lcores of a thread that ends. */
void lcores_thread_ended(uint64_t uid);
/** Throws PORT_STATE while one is bound to a living thread. */
void lcores_destroy_all();

/** The caller's lcore for a call of the packet path, or nullptr with a JavaScript exception pending. */
Lcore* own_lcore(napi_env env, uint32_t id, const char* call);

}  // namespace dpvs
