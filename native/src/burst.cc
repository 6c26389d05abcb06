// The packet path: poll() receives, flush() sends and frees. Nothing here allocates, locks or calls JavaScript.
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>
#include <rte_ring.h>

#include <ctime>

#include "calls.h"
#include "lcore.h"
#include "ports.h"
#include "state.h"

namespace dpvs {

namespace {

/** Without the frame check sequence (IEEE 802.3 section 4.2.3.3). */
constexpr uint32_t MIN_FRAME = 60;
constexpr uint32_t ETH_HEADER = 14;
constexpr int TX_TRIES = 4;

/** Marks the lcore as inside a burst. Whoever unbinds it or stops a port waits for the end of it. */
class Inside {
 public:
  explicit Inside(Lcore& lc) : epoch_(lc.epoch), at_(epoch_.load(std::memory_order_relaxed) + 1) {
    // Sequentially consistent: this store, then the loads of `owner`, Port::live and Lcore::exists; the other
    // side stores those first and then reads the epoch.
    epoch_.store(at_);
  }
  ~Inside() { epoch_.store(at_ + 1, std::memory_order_release); }

 private:
  std::atomic<uint64_t>& epoch_;
  const uint64_t at_;
};

double monotonic_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

/**
 * Whole milliseconds of CLOCK_MONOTONIC. The clock itself is read once in a millisecond, in between the time stamp
 * counter stands in: a machine without a stable one reads the clock by a system call.
 */
void set_clock(Lcore& lc, uint64_t tsc) {
  const uint64_t since = tsc - lc.clock_tsc;
  const uint64_t hz = rte_get_tsc_hz();
  double now;
  if (lc.clock_tsc == 0 || since > hz / 1000) {
    now = lc.clock_ms = monotonic_ms();
    lc.clock_tsc = tsc;
  } else {
    now = lc.clock_ms + static_cast<double>(since) * 1e3 / static_cast<double>(hz);
  }
  const double ms = static_cast<double>(static_cast<uint64_t>(now));
  if (ms > lc.block->nowMs) lc.block->nowMs = ms;
}

/** The time since the last poll was busy if that poll or its flush had work. */
void count_ticks(Lcore& lc, uint64_t tsc) {
  if (lc.last_tsc != 0) {
    double& ticks = lc.had_work ? lc.stats->busyTicks : lc.stats->idleTicks;
    ticks += static_cast<double>(tsc - lc.last_tsc);
  }
  lc.last_tsc = tsc;
  lc.had_work = false;
}

/** Tops the alloc vector up with blank packets when half of it is used. */
void refill(Lcore& lc) {
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
    notes->hint = -1;
    b.alloc[have + i] = static_cast<uint32_t>(reinterpret_cast<char*>(fresh[i]) - pool.base);
  }
  b.allocCount = have + need;
}

struct Received {
  uint32_t exceptions;
  uint32_t packets;
  uint64_t bytes;
};

/** Hands packets to TypeScript. Those of several buffers end here. `port`: where they came in; -1 = they know. */
void deliver(Lcore& lc, rte_mbuf** pkts, uint16_t n, uint16_t flags, int port, Received& r) {
  LcoreBlock& b = *lc.block;
  const auto owner = static_cast<uint8_t>(lc.id + 1);
  for (uint16_t i = 0; i < n; i++) {
    if (i + 4 < n) rte_prefetch0(notes_of(pkts[i + 4]));
    rte_mbuf* m = pkts[i];
    r.bytes += m->pkt_len;
    if (unlikely(m->nb_segs > 1)) {
      lc.stats->drops[DROP_SEGMENTED] += 1;
      rte_pktmbuf_free(m);
      continue;
    }
    if (port >= 0) {
      // net_ring passes mbufs on with the sender's requests and without a port; bonding leaves the slave's.
      m->port = static_cast<uint16_t>(port);
      m->ol_flags &= ~RTE_MBUF_F_TX_OFFLOAD_MASK;
    }
    PktPriv notes{};
    notes.owner = owner;
    notes.flags = flags;
    notes.hint = -1;
    *notes_of(m) = notes;
    b.exc[r.exceptions++] = static_cast<uint32_t>(reinterpret_cast<char*>(m) - pool.base);
  }
  r.packets += n;
}

void receive_redirected(Lcore& lc, uint32_t budget, Received& r) {
  rte_mbuf* pkts[BURST];
  // Half the budget at most, so that neither the ring nor the ports starve.
  const uint32_t limit = RTE_MAX(budget / 2, 1u);
  while (r.exceptions < limit) {
    const uint32_t want = RTE_MIN(static_cast<uint32_t>(BURST), limit - r.exceptions);
    const unsigned n = rte_ring_sc_dequeue_burst(lc.ring, reinterpret_cast<void**>(pkts), want, nullptr);
    if (n == 0) break;
    deliver(lc, pkts, static_cast<uint16_t>(n), PKT_F_REDIRECTED, -1, r);
    if (n < want) break;
  }
  lc.stats->redirIn += r.packets;
}

void count_burst(LcoreStats& s, uint16_t n) {
  s.rxBursts += 1;
  if (n == 0) s.rxEmpty += 1;
  else if (n == BURST) s.rxFull += 1;
  else if (n <= BURST / 2) s.rxLowHalf += 1;
  else s.rxHighHalf += 1;
}

/** One burst of each queue in turn, again while queues give full bursts; the next poll begins where this ended. */
void receive(Lcore& lc, uint32_t budget, Received& r) {
  rte_mbuf* pkts[BURST];
  const size_t n_queues = lc.rx.size();
  size_t without_more = 0;  // queues in a row that were not full
  while (without_more < n_queues && r.exceptions < budget) {
    const Queue q = lc.rx[lc.next_rx];
    lc.next_rx = lc.next_rx + 1 == n_queues ? 0 : lc.next_rx + 1;
    without_more++;
    if (q.queue >= live_rx_queues(ports[q.port].live.load())) continue;
    const auto want = static_cast<uint16_t>(RTE_MIN(static_cast<uint32_t>(BURST), budget - r.exceptions));
    const uint16_t n = rte_eth_rx_burst(q.port, q.queue, pkts, want);
    count_burst(*lc.stats, n);
    if (n == 0) continue;
    deliver(lc, pkts, n, 0, q.port, r);
    if (n == BURST) without_more = 0;
  }
}

uint32_t poll_lcore(Lcore& lc, uint32_t budget) {
  const uint64_t tsc = rte_rdtsc();
  set_clock(lc, tsc);
  count_ticks(lc, tsc);
  LcoreStats& s = *lc.stats;
  s.loops += 1;
  budget = RTE_MIN(RTE_MAX(budget, 1u), EXC_CAP);

  Received r{0, 0, 0};
  receive_redirected(lc, budget, r);
  const uint32_t redirected = r.packets;
  r.bytes = 0;
  // The rotation gives every queue the first place in turn.
  receive(lc, budget, r);
  if (r.packets != 0) {
    s.rxPackets += r.packets - redirected;
    s.rxBytes += static_cast<double>(r.bytes);
    s.exceptions += r.exceptions;
    lc.had_work = true;
  }
  lc.block->excCount = r.exceptions;
  refill(lc);
  return r.exceptions;
}

// ----- sending

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

void drop(Lcore& lc, rte_mbuf** pkts, uint32_t n, uint32_t reason) {
  lc.stats->drops[reason] += n;
  rte_pktmbuf_free_bulk(pkts, n);
}

/** Minimum frame size; what is appended is zeros, not an old packet's bytes. @returns false when it can't be sent */
bool make_sendable(rte_mbuf* m) {
  const uint32_t len = m->pkt_len;
  if (unlikely(len < ETH_HEADER || len != m->data_len || m->data_off + len > m->buf_len)) return false;
  if (len < MIN_FRAME) {
    const uint32_t pad = MIN_FRAME - len;
    if (m->data_off + MIN_FRAME > m->buf_len) return false;
    memset(rte_pktmbuf_mtod_offset(m, char*, len), 0, pad);
    m->pkt_len = MIN_FRAME;
    m->data_len = MIN_FRAME;
  }
  return true;
}

/** Lets the driver prepare packets that ask for offloads (pseudo header checksums); drops what it refuses. */
void prepare(Lcore& lc, uint16_t port, uint16_t queue, Stage& s) {
  uint64_t flags = 0;
  for (uint32_t i = 0; i < s.n; i++) flags |= s.pkts[i]->ol_flags;
  if ((flags & RTE_MBUF_F_TX_OFFLOAD_MASK) == 0) return;
  uint32_t done = 0;
  while (done < s.n) {
    done += rte_eth_tx_prepare(port, queue, s.pkts + done, static_cast<uint16_t>(s.n - done));
    if (done == s.n) break;
    drop(lc, &s.pkts[done], 1, DROP_SEND_FAILED);
    s.n--;
    memmove(&s.pkts[done], &s.pkts[done + 1], (s.n - done) * sizeof(s.pkts[0]));
  }
}

uint32_t send_stage(Lcore& lc, uint16_t port) {
  Stage& s = lc.to_port[port];
  const uint16_t queue = lc.tx_queue[port];
  const uint32_t live = ports[port].live.load();
  uint32_t sent = 0;
  if (queue == NO_QUEUE || (live != 0 && queue >= live_tx_queues(live))) {
    drop(lc, s.pkts, s.n, DROP_TX_NO_QUEUE);
  } else if (live == 0) {
    drop(lc, s.pkts, s.n, DROP_PORT_DOWN);
  } else {
    prepare(lc, port, queue, s);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < s.n; i++) bytes += s.pkts[i]->pkt_len;
    for (int tries = 0; sent < s.n && tries < TX_TRIES; tries++) {
      sent += rte_eth_tx_burst(port, queue, s.pkts + sent, static_cast<uint16_t>(s.n - sent));
    }
    for (uint32_t i = sent; i < s.n; i++) bytes -= s.pkts[i]->pkt_len;
    if (sent < s.n) drop(lc, s.pkts + sent, s.n - sent, DROP_TX_FULL);
    lc.stats->txPackets += sent;
    lc.stats->txBytes += static_cast<double>(bytes);
  }
  s.n = 0;
  return sent;
}

void redirect_stage(Lcore& lc, uint32_t target) {
  Stage& s = lc.to_lcore[target];
  Lcore* to = lcore_at(target);
  unsigned n = 0;
  if (to != nullptr) {
    n = rte_ring_mp_enqueue_burst(to->ring, reinterpret_cast<void**>(s.pkts), s.n, nullptr);
    __atomic_store_n(&to->block->doorbell, 1, __ATOMIC_RELEASE);
  }
  lc.stats->redirOut += n;
  if (n < s.n) drop(lc, s.pkts + n, s.n - n, DROP_REDIRECT_FULL);
  s.n = 0;
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
  refill(lc);
  return sent;
}

// ----- the two calls

bool still_owner(napi_env env, const Lcore& lc, const char* call) {
  if (likely(lc.owner.load() == thread_uid())) return true;
  throw_fault(env, {code::WRONG_THREAD, std::string(call) + ": lcore " + std::to_string(lc.id) + " was taken away"});
  return false;
}

napi_value number(napi_env env, uint32_t n) {
  napi_value v = nullptr;
  napi_create_uint32(env, n, &v);
  return v;
}

napi_value poll(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value argv[2];
  uint32_t id, budget;
  if (napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr) != napi_ok ||
      napi_get_value_uint32(env, argv[0], &id) != napi_ok || napi_get_value_uint32(env, argv[1], &budget) != napi_ok) {
    throw_fault(env, {code::BAD_ARG, "poll: id and budget are numbers"});
    return nullptr;
  }
  Lcore* lc = own_lcore(env, id, "poll");
  if (lc == nullptr) return nullptr;
  uint32_t n;
  {
    const Inside inside(*lc);
    if (!still_owner(env, *lc, "poll")) return nullptr;
    n = poll_lcore(*lc, budget);
  }
  return number(env, n);
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

}  // namespace

void burst_calls(Napi::Env env, Napi::Object exports) { add_hot_calls(env, exports, CALLS); }

}  // namespace dpvs
