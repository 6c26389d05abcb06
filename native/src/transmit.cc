#include "transmit.h"

#include <rte_ethdev.h>
#include <rte_ring.h>

#include <cstring>

#include "ports.h"

namespace dpvs {

namespace {

constexpr int TX_TRIES = 4;

}  // namespace

void drop(Lcore& lc, rte_mbuf** pkts, uint32_t n, uint32_t reason) {
  lc.stats->drops[reason] += n;
  rte_pktmbuf_free_bulk(pkts, n);
}

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

namespace {

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

/** Our transmit queue of a port, or NO_QUEUE: then the stage's packets are dropped. */
uint16_t queue_of(Lcore& lc, uint16_t port, Stage& s) {
  const uint16_t queue = lc.tx_queue[port];
  const uint32_t live = ports[port].live.load();
  if (likely(queue != NO_QUEUE && live != 0 && queue < live_tx_queues(live))) return queue;
  drop(lc, s.pkts, s.n, queue != NO_QUEUE && live == 0 ? DROP_PORT_DOWN : DROP_TX_NO_QUEUE);
  s.n = 0;
  return NO_QUEUE;
}

/** @returns how many the port took */
uint32_t send(Lcore& lc, uint16_t port, uint16_t queue, Stage& s, uint64_t bytes) {
  uint32_t sent = 0;
  for (int tries = 0; sent < s.n && tries < TX_TRIES; tries++) {
    sent += rte_eth_tx_burst(port, queue, s.pkts + sent, static_cast<uint16_t>(s.n - sent));
  }
  if (unlikely(sent < s.n)) {
    for (uint32_t i = sent; i < s.n; i++) bytes -= s.pkts[i]->pkt_len;
    drop(lc, s.pkts + sent, s.n - sent, DROP_TX_FULL);
  }
  lc.stats->txPackets += sent;
  lc.stats->txBytes += static_cast<double>(bytes);
  s.n = 0;
  return sent;
}

/** Packets of the native loop: they ask for no offload, and their bytes are counted. */
void send_forwarded(Lcore& lc, uint16_t port) {
  Stage& s = lc.to_port[port];
  const uint16_t queue = queue_of(lc, port, s);
  if (queue != NO_QUEUE) send(lc, port, queue, s, s.bytes);
  s.bytes = 0;
}

void put_back(Lcore& lc, const Collector& c) {
  if (c.next == nullptr) return;
  Stage& s = lc.to_port[c.port];
  s.n = static_cast<uint32_t>(c.next - s.pkts);
  s.bytes += c.bytes;
}

}  // namespace

uint32_t send_stage(Lcore& lc, uint16_t port) {
  Stage& s = lc.to_port[port];
  const uint16_t queue = queue_of(lc, port, s);
  if (queue == NO_QUEUE) return 0;
  prepare(lc, port, queue, s);
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < s.n; i++) bytes += s.pkts[i]->pkt_len;
  return send(lc, port, queue, s, bytes);
}

void redirect_stage(Lcore& lc, uint32_t target) {
  Stage& s = lc.to_lcore[target];
  Lcore* to = lcore_at(target);
  unsigned n = 0;
  if (to != nullptr) {
    n = rte_ring_mp_enqueue_burst(to->ring, reinterpret_cast<void**>(s.pkts), s.n, nullptr);
    to->doorbell.ring();
  }
  lc.stats->redirOut += n;
  if (n < s.n) drop(lc, s.pkts + n, s.n - n, DROP_REDIRECT_FULL);
  s.n = 0;
}

Collector turned(Lcore& lc, Collector from, uint16_t port) {
  put_back(lc, from);
  Stage& s = lc.to_port[port];
  lc.staged |= UINT64_C(1) << port;
  return {port, s.pkts + s.n, 0};
}

void finish(Lcore& lc, Collector c) {
  put_back(lc, c);
  for (uint64_t ports = lc.staged; ports != 0; ports &= ports - 1) {
    const auto port = static_cast<uint16_t>(__builtin_ctzll(ports));
    if (lc.to_port[port].n >= BURST) send_forwarded(lc, port);
  }
}

void send_staged(Lcore& lc) {
  static_assert(RTE_MAX_ETHPORTS <= 64);
  for (uint64_t ports = lc.staged; ports != 0; ports &= ports - 1) {
    const auto port = static_cast<uint16_t>(__builtin_ctzll(ports));
    if (lc.to_port[port].n != 0) send_forwarded(lc, port);
  }
  lc.staged = 0;
}

}  // namespace dpvs
