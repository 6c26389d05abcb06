// A port id from JavaScript.
#pragma once
#include <rte_ethdev.h>

#include "args.h"
#include "errors.h"
#include "state.h"

namespace dpvs {

/** Throws NO_PORT for a port that is closed, detached or never was. */
inline uint16_t to_port(const Napi::Value& v) {
  need_eal();
  const int64_t id = to_int(v, "port", INT32_MIN, UINT32_MAX);
  if (id < 0 || id >= RTE_MAX_ETHPORTS || !rte_eth_dev_is_valid_port(static_cast<uint16_t>(id))) {
    fail(code::NO_PORT, "no port %lld", static_cast<long long>(id));
  }
  return static_cast<uint16_t>(id);
}

inline rte_eth_dev_info device_info(uint16_t port) {
  rte_eth_dev_info info = {};
  check_dpdk(rte_eth_dev_info_get(port, &info), "rte_eth_dev_info_get");
  return info;
}

}  // namespace dpvs
