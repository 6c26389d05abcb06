#include "ports.h"

#include "errors.h"
#include "lcore.h"

namespace dpvs {

Port ports[RTE_MAX_ETHPORTS];

std::vector<uint16_t> valid_ports() {
  std::vector<uint16_t> out;
  for (uint16_t port = 0; port < RTE_MAX_ETHPORTS; port++) {
    if (rte_eth_dev_is_valid_port(port)) out.push_back(port);
  }
  return out;
}

void port_pause(uint16_t port) {
  const uint32_t live = ports[port].live.exchange(0);
  if (live == 0) return;
  try {
    lcores_quiesce();
  } catch (...) {
    ports[port].live = live;
    throw;
  }
}

void port_resume(uint16_t port) {
  const Port& p = ports[port];
  if (p.started) {
    ports[port].live = static_cast<uint32_t>(p.rx_queues) << 16 | p.tx_queues;
  }
}

/** Frees what waits to be received: net_ring does not free what is in its rings when it is closed. */
static void drain(uint16_t port) {
  constexpr int BURSTS = 128;  // at 32 packets; net_null never runs dry
  rte_mbuf* pkts[32];
  for (uint16_t q = 0; q < ports[port].rx_queues; q++) {
    for (int i = 0; i < BURSTS; i++) {
      const uint16_t n = rte_eth_rx_burst(port, q, pkts, 32);
      if (n == 0) break;
      rte_pktmbuf_free_bulk(pkts, n);
    }
  }
}

void port_stop(uint16_t port) {
  if (!ports[port].started) return;
  port_pause(port);
  drain(port);
  const int rc = rte_eth_dev_stop(port);
  if (rc < 0) {
    port_resume(port);
    check_dpdk(rc, "rte_eth_dev_stop");
  }
  ports[port].started = false;
}

void port_forget(uint16_t port) {
  Port& p = ports[port];
  p.live = 0;
  p.configured = p.started = false;
  p.rx_queues = p.tx_queues = 0;
}

void ports_close_all() {
  for (const uint16_t port : valid_ports()) {
    try {
      port_stop(port);
    } catch (const Fault&) {
      // The process is about to end; the next ports still deserve a clean close.
    }
    rte_eth_dev_close(port);
    port_forget(port);
  }
}

}  // namespace dpvs
