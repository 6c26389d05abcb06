// poll(): the clock, the redirect ring, the receive queues. Nothing here allocates, locks or calls JavaScript.
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_prefetch.h>

#include <ctime>

#include "burst.h"
#include "engine.h"
#include "fence.h"
#include "hints.h"
#include "ports.h"
#include "transmit.h"

namespace dpvs {

namespace {

/** Bursts that one poll works off at most: messages, timers and staged packets wait no longer (some 100 us). */
constexpr uint32_t POLL_BURSTS = 64;

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
  if (unlikely(lc.stopped_ms >= 0)) {
    now = lc.stopped_ms;
  } else if (lc.clock_tsc == 0 || since > hz / 1000) {
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

struct Received {
  uint32_t exceptions;
  uint32_t packets;
  uint64_t bytes;
};

/** Hands packets to TypeScript. Those of several buffers end here. */
void deliver(Lcore& lc, rte_mbuf** pkts, const int32_t* hints, uint16_t n, uint16_t flags, Received& r) {
  LcoreBlock& b = *lc.block;
  const auto owner = static_cast<uint8_t>(lc.id + 1);
  for (uint16_t i = 0; i < n; i++) {
    if (i + 4 < n) rte_prefetch0(notes_of(pkts[i + 4]));
    rte_mbuf* m = pkts[i];
    if (unlikely(m->nb_segs > 1)) {
      lc.stats->drops[DROP_SEGMENTED] += 1;
      rte_pktmbuf_free(m);
      continue;
    }
    PktPriv notes{};
    notes.owner = owner;
    notes.flags = flags;
    notes.hint = hints[i];
    *notes_of(m) = notes;
    b.exc[r.exceptions++] = static_cast<uint32_t>(reinterpret_cast<char*>(m) - pool.base);
  }
}

/**
 * A burst as it came: the native loop forwards what it may, the rest goes to TypeScript.
 * @param port where it came in; -1 = the packets know
 */
void work(Lcore& lc, rte_mbuf** pkts, uint16_t n, uint16_t flags, int port, Received& r) {
  int32_t hints[BURST];
  r.packets += n;
  const uint16_t left = forward_flows(lc, pkts, n, port, hints, &r.bytes);
  if (left != 0) find_hints(lc, pkts, left, hints);
  for (uint16_t i = 0; i < left; i++) unfence(pkts[i]);
  if (left == 0) return;
  deliver(lc, pkts, hints, left, flags, r);
}

/** True when TypeScript has to see to something before the native loop can go on as usual: stocks to fill up, events to note. */
bool is_sated(const Lcore& lc) { return lc.hungry || lc.block->eventCount + BURST > EVENT_CAP; }

void receive_redirected(Lcore& lc, uint32_t budget, Received& r) {
  rte_mbuf* pkts[BURST];
  // Half the budget at most, so that neither the ring nor the ports starve.
  const uint32_t limit = (budget + 1) / 2;
  for (uint32_t bursts = 0; r.exceptions < limit && bursts < POLL_BURSTS / 2 && !is_sated(lc); bursts++) {
    const uint32_t want = RTE_MIN(static_cast<uint32_t>(BURST), limit - r.exceptions);
    const unsigned n = rte_ring_sc_dequeue_burst(lc.ring, reinterpret_cast<void**>(pkts), want, nullptr);
    if (n == 0) break;
    work(lc, pkts, static_cast<uint16_t>(n), PKT_F_REDIRECTED, -1, r);
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

/**
 * One burst of each queue in turn, again while queues give full bursts, within bounds; the next poll begins where
 * this ended.
 */
void receive(Lcore& lc, uint32_t budget, Received& r) {
  rte_mbuf* pkts[BURST];
  const size_t n_queues = lc.rx.size();
  size_t without_more = 0;  // queues in a row that were not full
  for (uint32_t bursts = 0; without_more < n_queues && r.exceptions < budget && bursts < POLL_BURSTS && !is_sated(lc); bursts++) {
    const Queue q = lc.rx[lc.next_rx];
    lc.next_rx = lc.next_rx + 1 == n_queues ? 0 : lc.next_rx + 1;
    without_more++;
    if (q.queue >= live_rx_queues(ports[q.port].live.load())) continue;
    const auto want = static_cast<uint16_t>(RTE_MIN(static_cast<uint32_t>(BURST), budget - r.exceptions));
    const uint16_t n = rte_eth_rx_burst(q.port, q.queue, pkts, want);
    count_burst(*lc.stats, n);
    if (n == 0) continue;
    work(lc, pkts, n, 0, q.port, r);
    if (n == BURST) without_more = 0;
  }
}

uint32_t poll_lcore(Lcore& lc, uint32_t budget) {
  const uint64_t tsc = rte_rdtsc();
  set_clock(lc, tsc);
  count_ticks(lc, tsc);
  LcoreStats& s = *lc.stats;
  s.loops += 1;
  budget = RTE_MIN(budget, EXC_CAP);

  Received r{0, 0, 0};
  begin_flows(lc);
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
  send_staged(lc);
  lc.block->excCount = r.exceptions;
  lc.block->received = r.packets;
  refill_blanks(lc);
  return r.exceptions;
}

}  // namespace

napi_value poll(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value argv[2];
  uint32_t id, budget;
  if (napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr) != napi_ok ||
      napi_get_value_uint32(env, argv[0], &id) != napi_ok ||
      napi_get_value_uint32(env, argv[1], &budget) != napi_ok) {
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

}  // namespace dpvs
