// flush(): sends, redirects and frees what the vectors hold. Nothing here allocates, locks or calls JavaScript.
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include "burst.h"
#include "transmit.h"

namespace dpvs {

namespace {

/** What went wrong with entries of the vectors: the stack's own mistakes, reported once per flush. */
struct Bad {
  uint32_t n = 0;
  uint32_t first = 0;
  const char* vector = nullptr;

  void note(const char* which, uint32_t packet) {
    if (n++ == 0) {
      first = packet;
      vector = which;
    }
  }
};

/** The mbuf of a vector entry if it is one and this lcore owns it, else nullptr. Ends the ownership. */
rte_mbuf* take(const Lcore& lc, uint32_t packet) {
  if (packet == 0 || packet % RTE_CACHE_LINE_SIZE != 0 || packet >= pool.bytes) return nullptr;
  rte_mbuf* m = mbuf_of(pool.base, packet);
  // An mbuf knows where its buffer is; anything else at this offset does not.
  if (m->buf_addr != reinterpret_cast<char*>(m) + pool.buffer_offset) return nullptr;
  PktPriv* notes = notes_of(m);
  if (notes->owner != lc.id + 1 || (notes->flags & BLANK) != 0) return nullptr;
  notes->owner = 0;
  return m;
}

uint32_t send_vector(Lcore& lc, uint32_t count, Bad& bad) {
  const LcoreBlock& b = *lc.block;
  uint32_t sent = 0;
  uint64_t used_ports = 0;
  static_assert(RTE_MAX_ETHPORTS <= 64);
  uint64_t used_lcores[RTE_MAX_LCORE / 64] = {};
  for (uint32_t i = 0; i < count; i++) {
    if (i + 4 < count && b.txPkt[i + 4] < pool.bytes) {
      rte_prefetch0(pool.base + b.txPkt[i + 4]);
      rte_prefetch0(pool.base + b.txPkt[i + 4] + sizeof(rte_mbuf));
    }
    rte_mbuf* m = take(lc, b.txPkt[i]);
    if (unlikely(m == nullptr)) {
      bad.note("tx", b.txPkt[i]);
      continue;
    }
    const uint32_t dst = b.txDst[i];
    if ((dst & TX_DST_REDIRECT) != 0) {
      const uint32_t target = dst & ~TX_DST_REDIRECT;
      if (unlikely(target >= RTE_MAX_LCORE)) {
        drop(lc, &m, 1, DROP_REDIRECT_FULL);
        continue;
      }
      Stage& s = lc.to_lcore[target];
      s.pkts[s.n++] = m;
      used_lcores[target / 64] |= UINT64_C(1) << (target % 64);
      if (s.n == RTE_DIM(s.pkts)) redirect_stage(lc, target);
    } else if (unlikely(dst >= RTE_MAX_ETHPORTS)) {
      drop(lc, &m, 1, DROP_TX_NO_QUEUE);
    } else if (unlikely(!make_sendable(m))) {
      drop(lc, &m, 1, DROP_SEND_FAILED);
    } else {
      Stage& s = lc.to_port[dst];
      s.pkts[s.n++] = m;
      used_ports |= UINT64_C(1) << dst;
      if (s.n == RTE_DIM(s.pkts)) sent += send_stage(lc, static_cast<uint16_t>(dst));
    }
  }
  for (; used_ports != 0; used_ports &= used_ports - 1) {
    const auto port = static_cast<uint16_t>(__builtin_ctzll(used_ports));
    if (lc.to_port[port].n != 0) sent += send_stage(lc, port);
  }
  for (uint32_t w = 0; w < RTE_DIM(used_lcores); w++) {
    for (uint64_t m = used_lcores[w]; m != 0; m &= m - 1) {
      const uint32_t target = w * 64 + static_cast<uint32_t>(__builtin_ctzll(m));
      if (lc.to_lcore[target].n != 0) redirect_stage(lc, target);
    }
  }
  return sent;
}

void free_vector(Lcore& lc, uint32_t count, Bad& bad) {
  const LcoreBlock& b = *lc.block;
  rte_mbuf* pkts[64];
  uint32_t n = 0;
  for (uint32_t i = 0; i < count; i++) {
    rte_mbuf* m = take(lc, b.free[i]);
    if (unlikely(m == nullptr)) {
      bad.note("free", b.free[i]);
      continue;
    }
    pkts[n++] = m;
    if (n == RTE_DIM(pkts)) {
      rte_pktmbuf_free_bulk(pkts, n);
      n = 0;
    }
  }
  rte_pktmbuf_free_bulk(pkts, n);
}

uint32_t flush_lcore(Lcore& lc, Bad& bad) {
  LcoreBlock& b = *lc.block;
  const uint32_t tx = RTE_MIN(b.txCount, TX_CAP);
  const uint32_t dropped = RTE_MIN(b.freeCount, FREE_CAP);
  uint32_t sent = 0;
  if (tx != 0) sent = send_vector(lc, tx, bad);
  if (dropped != 0) free_vector(lc, dropped, bad);
  if (tx != 0 || dropped != 0) lc.had_work = true;
  b.txCount = b.freeCount = 0;
  refill_blanks(lc);
  return sent;
}

}  // namespace

void refill_blanks(Lcore& lc) {
  LcoreBlock& b = *lc.block;
  const uint32_t have = b.allocCount;
  if (have > lc.alloc_target / 2 || have >= ALLOC_CAP) return;
  rte_mbuf* fresh[ALLOC_CAP];
  uint32_t need = lc.alloc_target - have;
  while (need > 0 && rte_pktmbuf_alloc_bulk(pool.mp, fresh, need) != 0) need /= 2;
  const auto owner = static_cast<uint8_t>(lc.id + 1);
  for (uint32_t i = 0; i < need; i++) {
    PktPriv* notes = notes_of(fresh[i]);
    *notes = PktPriv{};
    notes->owner = owner;
    notes->flags = BLANK;
    notes->hint = HINT_NONE;
    b.alloc[have + i] = static_cast<uint32_t>(reinterpret_cast<char*>(fresh[i]) - pool.base);
  }
  b.allocCount = have + need;
}

napi_value flush(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  uint32_t id;
  if (napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr) != napi_ok ||
      napi_get_value_uint32(env, argv[0], &id) != napi_ok) {
    throw_fault(env, {code::BAD_ARG, "flush: id is a number"});
    return nullptr;
  }
  Lcore* lc = own_lcore(env, id, "flush");
  if (lc == nullptr) return nullptr;
  Bad bad;
  uint32_t sent;
  {
    const Inside inside(*lc);
    if (!still_owner(env, *lc, "flush")) return nullptr;
    sent = flush_lcore(*lc, bad);
  }
  if (unlikely(bad.n != 0)) {
    throw_fault(env, {code::BAD_ARG, std::string("flush: ") + bad.vector + " vector: " + std::to_string(bad.first) +
                                         " is not a packet that lcore " + std::to_string(id) + " owns (" +
                                         std::to_string(bad.n) + " such entries)"});
    return nullptr;
  }
  return number(env, sent);
}

const HotCall CALLS[] = {{"poll", poll}, {"flush", flush}};

void burst_calls(Napi::Env env, Napi::Object exports) { add_hot_calls(env, exports, CALLS); }

}  // namespace dpvs
