// What the addon itself knows of each port. `live` is the one word that the packet path reads: an lcore touches a
// port only while it is not 0, and whoever is about to stop, reconfigure or close a port first sets it to 0 and
// waits until every lcore has left the burst that it was in.
#pragma once
#include <rte_ethdev.h>

#include <atomic>
#include <cstdint>
#include <vector>

namespace dpvs {

struct Port {
  /** rxQueues << 16 | txQueues of a started port, else 0. */
  std::atomic<uint32_t> live{0};
  bool configured = false;
  bool started = false;
  uint16_t rx_queues = 0;
  uint16_t tx_queues = 0;
};

extern Port ports[RTE_MAX_ETHPORTS];

inline uint16_t live_rx_queues(uint32_t live) { return static_cast<uint16_t>(live >> 16); }
inline uint16_t live_tx_queues(uint32_t live) { return static_cast<uint16_t>(live); }

/** Takes the port from the lcores; afterwards none is inside a burst of it. Throws PORT_STATE if one stays in. */
void port_pause(uint16_t port);
/** Gives a started port back to the lcores. */
void port_resume(uint16_t port);

/** All ports that there are, also those that a bonding device owns. */
std::vector<uint16_t> valid_ports();

/** Stops when started. */
void port_stop(uint16_t port);
/** Forgets what was known of a port that is gone. */
void port_forget(uint16_t port);
/** Stops and closes every port, going on after errors: end of EAL. */
void ports_close_all();

}  // namespace dpvs
