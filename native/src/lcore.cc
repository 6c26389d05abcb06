// Lcore contexts: create, bind, reclaim after a crash, destroy.
#include "lcore.h"

#include <rte_errno.h>
#include <sched.h>

#include <chrono>
#include <cstdio>
#include <cstring>

#include "args.h"
#include "calls.h"
#include "state.h"

namespace dpvs {

std::atomic<Lcore*> lcore_table[RTE_MAX_LCORE];

namespace {

constexpr auto GRACE = std::chrono::seconds(2);

/** @returns false when the lcore stayed inside one burst for the whole grace period */
bool quiesce(const Lcore& lc) {
  const uint64_t seen = lc.epoch.load();
  if ((seen & 1) == 0) return true;
  const auto deadline = std::chrono::steady_clock::now() + GRACE;
  while (lc.epoch.load() == seen) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    sched_yield();
  }
  return true;
}

Lcore& to_lcore(Napi::Value v) {
  need_eal();
  const int64_t id = to_int(v, "id", INT32_MIN, UINT32_MAX);
  Lcore* lc = id < 0 ? nullptr : lcore_at(static_cast<uint32_t>(id));
  if (lc == nullptr) fail(code::NO_LCORE, "no lcore %lld", static_cast<long long>(id));
  return *lc;
}

bool bound_to_living_thread(const Lcore& lc) { return lc.owner != 0 && !lc.orphaned; }

/** Ends what an lcore owns. @returns packets that had been counted as received or generated and not yet as ended */
uint32_t free_owned(Lcore& lc) {
  // What the stack dropped is counted already; the rest is found by its owner mark, wherever it is.
  const auto owner = static_cast<uint8_t>(lc.id + 1);
  const uint32_t dropped = RTE_MIN(lc.block->freeCount, FREE_CAP);
  for (uint32_t i = 0; i < dropped; i++) {
    const uint32_t off = lc.block->free[i];
    if (off == 0 || off % RTE_CACHE_LINE_SIZE != 0 || off >= pool.bytes) continue;
    rte_mbuf* m = mbuf_of(pool.base, off);
    if (m->buf_addr == reinterpret_cast<char*>(m) + pool.buffer_offset && notes_of(m)->owner == owner) {
      notes_of(m)->flags |= BLANK;
    }
  }
  struct Sweep {
    uint8_t owner;
    uint32_t counted;
  } sweep{owner, 0};
  rte_mempool_obj_iter(
      pool.mp,
      [](rte_mempool*, void* opaque, void* object, unsigned) {
        auto* s = static_cast<Sweep*>(opaque);
        auto* m = static_cast<rte_mbuf*>(object);
        PktPriv* notes = notes_of(m);
        if (notes->owner != s->owner) return;
        if ((notes->flags & BLANK) == 0) s->counted++;
        notes->owner = 0;
        notes->flags = 0;
        rte_pktmbuf_free(m);
      },
      &sweep);
  LcoreBlock& b = *lc.block;
  b.excCount = b.txCount = b.freeCount = b.allocCount = b.eventCount = b.received = 0;
  // The successor finds its own devices, addresses and neighbours.
  b.generation = 0;
  memset(b.portMac, 0, sizeof(b.portMac));
  lc.had_work = false;
  lc.last_tsc = 0;
  return sweep.counted;
}

/** Forgets the thread; throws PORT_STATE if it stays inside a burst. */
void unbind(Lcore& lc) {
  const uint64_t owner = lc.owner.exchange(0);
  if (!quiesce(lc)) {
    lc.owner = owner;
    fail(code::PORT_STATE, "lcore %u does not leave its burst", lc.id);
  }
  // A thread that died inside a burst (it cannot: bursts run no JavaScript) would leave this odd.
  lc.orphaned = false;
}

void destroy(Lcore& lc) {
  unbind(lc);
  lc.exists = false;
  try {
    lcores_quiesce();  // others may be about to redirect to it
  } catch (...) {
    lc.exists = true;
    throw;
  }
  free_owned(lc);
  void* m;
  while (rte_ring_sc_dequeue(lc.ring, &m) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(m));
  rte_ring_free(lc.ring);
  lc.ring = nullptr;
  lc.flows.close();
  lc.rx.clear();
  for (auto& k : lc.kept) k.reset();
  lc.block = nullptr;
  lc.stats = nullptr;
  lc.rules = FlowRules{};
  lc.adjacencies = nullptr;
}

std::vector<Queue> to_queues(Napi::Value v, const char* name) {
  const Napi::Array a = to_array(v, name);
  std::vector<Queue> out;
  for (uint32_t i = 0; i < a.Length(); i++) {
    const Napi::Object q = to_object(a.Get(i), name);
    out.push_back({static_cast<uint16_t>(int_of(q, "port", 0, RTE_MAX_ETHPORTS - 1)),
                   static_cast<uint16_t>(int_of(q, "queue", 0, RTE_MAX_QUEUES_PER_PORT - 1))});
  }
  return out;
}

Napi::Value create(const Napi::CallbackInfo& info) {
  need_pool();
  const Napi::Object c = to_object(info[0], "config");
  const auto id = static_cast<uint32_t>(int_of(c, "id", 0, RTE_MAX_LCORE - 1));
  if (lcore_at(id) != nullptr) fail(code::BAD_ARG, "id: lcore %u exists already", id);
  const auto block = to_shared(c.Get("block"), "block", sizeof(LcoreBlock));
  const auto offset = static_cast<size_t>(int_of(c, "statsOffset", 0, INT64_C(1) << 40));
  const auto stats = to_shared(c.Get("stats"), "stats", offset + sizeof(LcoreStats));
  const auto conns = to_shared(c.Get("conns"), "conns", 2 * sizeof(Conn4));
  const auto adjacencies = to_shared(c.Get("adjacencies"), "adjacencies", ADJ_CAP * sizeof(Adjacency));
  if (offset % sizeof(double) != 0) fail(code::BAD_ARG, "statsOffset: %zu is not a multiple of 8", offset);
  const size_t records = conns->ByteLength() / sizeof(Conn4);
  if (records > INT32_MAX / 2) fail(code::BAD_ARG, "conns: %zu records are too many", records);
  const std::vector<Queue> rx = to_queues(c.Get("rxQueues"), "rxQueues");
  const std::vector<Queue> tx = to_queues(c.Get("txQueues"), "txQueues");
  const auto ring_size = static_cast<uint32_t>(int_of(c, "redirectRing", 2, 1 << 20));
  if (!rte_is_power_of_2(ring_size)) fail(code::BAD_ARG, "redirectRing: %u is not a power of two", ring_size);

  Lcore* lc = lcore_table[id].load();
  if (lc == nullptr) {
    lc = new Lcore;
    lcore_table[id] = lc;
  }
  char name[RTE_RING_NAMESIZE];
  snprintf(name, sizeof(name), "redirect_%u", id);
  rte_ring* ring = rte_ring_create(name, ring_size, SOCKET_ID_ANY, RING_F_SC_DEQ);
  if (ring == nullptr)
    fail(code::NO_MEMORY, "rte_ring_create (%u entries): %s", ring_size, rte_strerror(rte_errno));
  const bool always_front = c.Get("alwaysFront").ToBoolean();
  if (!lc->flows.open(static_cast<Conn4*>(conns->Data()), static_cast<uint32_t>(records), always_front)) {
    rte_ring_free(ring);
    fail(code::NO_MEMORY, "no memory for the index of %zu connections", records);
  }
  lc->id = id;
  lc->ring = ring;
  lc->block = static_cast<LcoreBlock*>(block->Data());
  lc->stats = reinterpret_cast<LcoreStats*>(static_cast<char*>(stats->Data()) + offset);
  lc->rx = rx;
  lc->next_rx = 0;
  for (uint16_t& q : lc->tx_queue) q = NO_QUEUE;
  for (const Queue& q : tx) lc->tx_queue[q.port] = q.queue;
  lc->alloc_target = RTE_MIN(ALLOC_CAP, pool.mp->populated_size / 8);
  lc->clock_tsc = lc->last_tsc = 0;
  lc->clock_ms = 0;
  lc->stopped_ms = -1;
  lc->rules = FlowRules{};
  lc->adjacencies = static_cast<Adjacency*>(adjacencies->Data());
  lc->staged = 0;
  lc->had_work = false;
  lc->kept[0] = block;
  lc->kept[1] = stats;
  lc->kept[2] = conns;
  lc->kept[3] = adjacencies;
  LcoreBlock& b = *lc->block;
  b.excCount = b.txCount = b.freeCount = b.allocCount = b.eventCount = b.received = 0;
  lc->owner = 0;
  lc->orphaned = false;
  lc->exists = true;
  return info.Env().Undefined();
}

Napi::Value destroy_call(const Napi::CallbackInfo& info) {
  Lcore& lc = to_lcore(info[0]);
  if (bound_to_living_thread(lc)) fail(code::PORT_STATE, "lcore %u is bound to a thread", lc.id);
  destroy(lc);
  return info.Env().Undefined();
}

Napi::Value bind(const Napi::CallbackInfo& info) {
  Lcore& lc = to_lcore(info[0]);
  if (lc.owner != 0) {
    fail(code::WRONG_THREAD,
         lc.orphaned ? "lcore %u belonged to a thread that ended: lcoreReclaim comes first"
                     : "lcore %u is already bound to a thread",
         lc.id);
  }
  lc.owner = thread_uid();
  return info.Env().Undefined();
}

Napi::Value unbind_call(const Napi::CallbackInfo& info) {
  Lcore& lc = to_lcore(info[0]);
  if (lc.owner != thread_uid()) fail(code::WRONG_THREAD, "lcore %u is not bound to this thread", lc.id);
  unbind(lc);
  return info.Env().Undefined();
}

Napi::Value reclaim(const Napi::CallbackInfo& info) {
  Lcore& lc = to_lcore(info[0]);
  unbind(lc);
  return Napi::Number::New(info.Env(), free_owned(lc));
}

const Call CALLS[] = {
    {"lcoreCreate", create},      {"lcoreDestroy", destroy_call}, {"lcoreBind", bind},
    {"lcoreUnbind", unbind_call}, {"lcoreReclaim", reclaim},
};

}  // namespace

void lcores_quiesce() {
  for (uint32_t id = 0; id < RTE_MAX_LCORE; id++) {
    const Lcore* lc = lcore_table[id].load();
    if (lc != nullptr && !quiesce(*lc)) fail(code::PORT_STATE, "lcore %u does not leave its burst", id);
  }
}

void lcores_thread_ended(uint64_t uid) {
  for (auto& entry : lcore_table) {
    Lcore* lc = entry.load();
    if (lc != nullptr && lc->exists && lc->owner == uid) lc->orphaned = true;
  }
}

void lcores_destroy_all() {
  for (uint32_t id = 0; id < RTE_MAX_LCORE; id++) {
    const Lcore* lc = lcore_at(id);
    if (lc != nullptr && bound_to_living_thread(*lc)) fail(code::PORT_STATE, "lcore %u is bound to a thread", id);
  }
  for (uint32_t id = 0; id < RTE_MAX_LCORE; id++) {
    Lcore* lc = lcore_at(id);
    if (lc != nullptr) destroy(*lc);
  }
}

Lcore* own_lcore(napi_env env, uint32_t id, const char* call) {
  Lcore* lc = lcore_at(id);
  if (__builtin_expect(lc != nullptr && lc->owner.load(std::memory_order_relaxed) == thread_uid(), 1)) return lc;
  const std::string which = std::string(call) + ": lcore " + std::to_string(id);
  if (eal != Eal::Ready) {
    throw_fault(env, {code::EAL_STATE, std::string(call) + ": EAL is not up"});
  } else if (lc == nullptr) {
    throw_fault(env, {code::NO_LCORE, which + " does not exist"});
  } else {
    throw_fault(env, {code::WRONG_THREAD, which + " is not bound to this thread"});
  }
  return nullptr;
}

void lcore_calls(Napi::Env env, Napi::Object exports) { add_calls(env, exports, CALLS); }

}  // namespace dpvs
