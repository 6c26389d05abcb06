// Devices come, ports are configured, started, changed, stopped, and go.
#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_devargs.h>
#include <rte_errno.h>
#include <rte_ether.h>

#include <algorithm>
#include <map>

#include "calls.h"
#include "log.h"
#include "names.h"
#include "port_args.h"
#include "ports.h"

namespace dpvs {

namespace {

/** Bus of devices whose ports were all closed: the bus still has them, and would refuse to attach them again. */
std::map<std::string, std::string> portless;

std::vector<uint16_t> ports_of(const rte_device* device) {
  std::vector<uint16_t> out;
  for (const uint16_t port : valid_ports()) {
    rte_eth_dev_info info = {};
    if (rte_eth_dev_info_get(port, &info) == 0 && info.device == device) out.push_back(port);
  }
  return out;
}

Napi::Value attach(const Napi::CallbackInfo& info) {
  need_eal();
  const std::string devargs = to_string(info[0], "devargs", 4000);
  rte_devargs parsed = {};
  log_take_errors();
  if (rte_devargs_parse(&parsed, devargs.c_str()) != 0 || parsed.bus == nullptr) {
    fail(code::DEV_ATTACH, "%s: no bus knows such a device", devargs.c_str());
  }
  const std::string name = parsed.name;
  const std::string bus = rte_bus_name(parsed.bus);
  rte_devargs_reset(&parsed);

  for (const uint16_t port : valid_ports()) {
    const rte_device* device = device_info(port).device;
    // rte_dev_probe() takes it for a success.
    if (device != nullptr && name == rte_dev_name(device)) {
      fail(code::DEV_ATTACH, "%s: already attached, port %u", devargs.c_str(), port);
    }
  }
  if (const auto it = portless.find(name); it != portless.end()) {
    rte_eal_hotplug_remove(it->second.c_str(), name.c_str());
    portless.erase(it);
  }
  const std::vector<uint16_t> before = valid_ports();
  const int rc = rte_dev_probe(devargs.c_str());
  const std::string why = log_take_errors();
  if (rc < 0) {
    fail(code::DEV_ATTACH, "%s: %s", devargs.c_str(), why.empty() ? rte_strerror(-rc) : why.c_str());
  }
  auto result = Napi::Array::New(info.Env());
  for (const uint16_t port : valid_ports()) {
    if (std::find(before.begin(), before.end(), port) != before.end()) continue;
    port_forget(port);
    result.Set(result.Length(), port);
  }
  if (result.Length() == 0) {
    rte_eal_hotplug_remove(bus.c_str(), name.c_str());
    fail(code::DEV_ATTACH, "%s: the driver made no port%s%s", devargs.c_str(), why.empty() ? "" : ": ",
         why.c_str());
  }
  return result;
}

Napi::Value detach(const Napi::CallbackInfo& info) {
  const uint16_t port = to_port(info[0]);
  rte_device* const device = device_info(port).device;
  if (device == nullptr) fail(code::PORT_STATE, "port %u has no device that could be detached", port);
  const std::vector<uint16_t> siblings = ports_of(device);
  for (const uint16_t p : siblings) port_stop(p);
  check_dpdk(rte_dev_remove(device), "rte_dev_remove");
  for (const uint16_t p : siblings) port_forget(p);
  return info.Env().Undefined();
}

Napi::Value list(const Napi::CallbackInfo& info) {
  need_eal();
  auto a = Napi::Array::New(info.Env());
  for (const uint16_t port : valid_ports()) a.Set(a.Length(), port);
  return a;
}

/** Bits of the wanted names that the device can do; the others go to `missing`. */
uint64_t wanted_bits(Napi::Object config, const char* key, uint64_t capable,
                     uint64_t (*bits_of)(const std::string&), Napi::Array missing) {
  uint64_t bits = 0;
  for (const std::string& name : to_strings(config.Get(key), key, 64)) {
    const uint64_t wanted = bits_of(name);
    if (wanted == 0) fail(code::BAD_ARG, "%s: DPDK knows no %s", key, name.c_str());
    if ((wanted & capable) == 0) missing.Set(missing.Length(), name);
    bits |= wanted & capable;
  }
  return bits;
}

Napi::Value configure(const Napi::CallbackInfo& info) {
  const uint16_t port = to_port(info[0]);
  const Napi::Object c = to_object(info[1], "config");
  const rte_eth_dev_info dev = device_info(port);
  const auto rx_queues = static_cast<uint16_t>(int_of(c, "rxQueues", 0, dev.max_rx_queues));
  const auto tx_queues = static_cast<uint16_t>(int_of(c, "txQueues", 0, dev.max_tx_queues));
  if (rx_queues == 0 && tx_queues == 0) fail(code::BAD_ARG, "rxQueues, txQueues: both are 0");
  auto rx_desc = static_cast<uint16_t>(int_of(c, "rxDesc", 1, UINT16_MAX));
  auto tx_desc = static_cast<uint16_t>(int_of(c, "txDesc", 1, UINT16_MAX));
  const auto mtu = static_cast<uint16_t>(int_of(c, "mtu", RTE_MAX(dev.min_mtu, RTE_ETHER_MIN_MTU), dev.max_mtu));
  auto missing = Napi::Array::New(info.Env());
  const uint64_t rss = wanted_bits(c, "rss", dev.flow_type_rss_offloads, rss_bits, missing);
  const uint64_t rx_offloads = wanted_bits(c, "rxOffloads", dev.rx_offload_capa, rx_offload_bit, missing);
  const uint64_t tx_offloads = wanted_bits(c, "txOffloads", dev.tx_offload_capa, tx_offload_bit, missing);
  need_pool();
  Port& state = ports[port];
  if (state.started) fail(code::PORT_STATE, "port %u is started", port);

  rte_eth_conf conf = {};
  conf.rxmode.mtu = mtu;
  conf.rxmode.offloads = rx_offloads;
  conf.txmode.offloads = tx_offloads;
  if (rx_queues > 1 && rss != 0) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf = rss;
  }
  uint16_t old_mtu = 0;
  check_dpdk(rte_eth_dev_get_mtu(port, &old_mtu), "rte_eth_dev_get_mtu");
  state.configured = false;
  check_dpdk(rte_eth_dev_configure(port, rx_queues, tx_queues, &conf), "rte_eth_dev_configure");
  check_dpdk(rte_eth_dev_adjust_nb_rx_tx_desc(port, &rx_desc, &tx_desc), "rte_eth_dev_adjust_nb_rx_tx_desc");

  const int socket = rte_eth_dev_socket_id(port);
  const unsigned node = socket < 0 ? static_cast<unsigned>(SOCKET_ID_ANY) : static_cast<unsigned>(socket);
  rte_eth_rxconf rx = dev.default_rxconf;
  rx.offloads = rx_offloads;
  for (uint16_t q = 0; q < rx_queues; q++) {
    check_dpdk(rte_eth_rx_queue_setup(port, q, rx_desc, node, &rx, pool.mp), "rte_eth_rx_queue_setup");
  }
  rte_eth_txconf tx = dev.default_txconf;
  tx.offloads = tx_offloads;
  for (uint16_t q = 0; q < tx_queues; q++) {
    check_dpdk(rte_eth_tx_queue_setup(port, q, tx_desc, node, &tx), "rte_eth_tx_queue_setup");
  }
  // rte_eth_dev_configure() only notes the MTU; drivers with a kernel side (tap, af_packet) set it there when told.
  if (mtu != old_mtu) {
    const int rc = rte_eth_dev_set_mtu(port, mtu);
    if (rc != -ENOTSUP) check_dpdk(rc, "rte_eth_dev_set_mtu");
  }
  state.configured = true;
  state.rx_queues = rx_queues;
  state.tx_queues = tx_queues;

  auto result = Napi::Object::New(info.Env());
  result.Set("missing", missing);
  return result;
}

Napi::Value start(const Napi::CallbackInfo& info) {
  const uint16_t port = to_port(info[0]);
  Port& state = ports[port];
  if (!state.configured) fail(code::PORT_STATE, "port %u is not configured", port);
  if (state.started) fail(code::PORT_STATE, "port %u is already started", port);
  check_dpdk(rte_eth_dev_start(port), "rte_eth_dev_start");
  state.started = true;
  port_resume(port);
  return info.Env().Undefined();
}

Napi::Value stop(const Napi::CallbackInfo& info) {
  const uint16_t port = to_port(info[0]);
  if (!ports[port].started) fail(code::PORT_STATE, "port %u is not started", port);
  port_stop(port);
  return info.Env().Undefined();
}

Napi::Value close_port(const Napi::CallbackInfo& info) {
  const uint16_t port = to_port(info[0]);
  const rte_device* const device = device_info(port).device;
  port_stop(port);
  check_dpdk(rte_eth_dev_close(port), "rte_eth_dev_close");
  port_forget(port);
  if (device != nullptr && ports_of(device).empty()) {
    portless[rte_dev_name(device)] = rte_bus_name(rte_dev_bus(device));
  }
  return info.Env().Undefined();
}

Napi::Value set_link(const Napi::CallbackInfo& info) {
  const uint16_t port = to_port(info[0]);
  const bool up = to_bool(info[1], "up");
  check_dpdk(up ? rte_eth_dev_set_link_up(port) : rte_eth_dev_set_link_down(port),
             up ? "rte_eth_dev_set_link_up" : "rte_eth_dev_set_link_down");
  return info.Env().Undefined();
}

Napi::Value set_mac(const Napi::CallbackInfo& info) {
  const uint16_t port = to_port(info[0]);
  const std::string text = to_string(info[1], "mac", 17);
  rte_ether_addr mac;
  if (rte_ether_unformat_addr(text.c_str(), &mac) != 0) {
    fail(code::BAD_ARG, "mac: %s is not a MAC address", text.c_str());
  }
  if (!rte_is_valid_assigned_ether_addr(&mac)) {
    fail(code::BAD_ARG, "mac: %s cannot be a port's address (all zeros or a group)", text.c_str());
  }
  check_dpdk(rte_eth_dev_default_mac_addr_set(port, &mac), "rte_eth_dev_default_mac_addr_set");
  return info.Env().Undefined();
}

Napi::Value set_promiscuous(const Napi::CallbackInfo& info) {
  const uint16_t port = to_port(info[0]);
  const bool on = to_bool(info[1], "on");
  check_dpdk(on ? rte_eth_promiscuous_enable(port) : rte_eth_promiscuous_disable(port),
             on ? "rte_eth_promiscuous_enable" : "rte_eth_promiscuous_disable");
  return info.Env().Undefined();
}

Napi::Value set_allmulticast(const Napi::CallbackInfo& info) {
  const uint16_t port = to_port(info[0]);
  const bool on = to_bool(info[1], "on");
  check_dpdk(on ? rte_eth_allmulticast_enable(port) : rte_eth_allmulticast_disable(port),
             on ? "rte_eth_allmulticast_enable" : "rte_eth_allmulticast_disable");
  return info.Env().Undefined();
}

Napi::Value set_mtu(const Napi::CallbackInfo& info) {
  const uint16_t port = to_port(info[0]);
  const auto mtu = static_cast<uint16_t>(to_int(info[1], "mtu", RTE_ETHER_MIN_MTU, UINT16_MAX));
  if (!ports[port].configured) fail(code::PORT_STATE, "port %u is not configured", port);
  port_pause(port);  // drivers may exchange their receive function for another frame size
  const int rc = rte_eth_dev_set_mtu(port, mtu);
  port_resume(port);
  check_dpdk(rc, "rte_eth_dev_set_mtu");
  return info.Env().Undefined();
}

const Call CALLS[] = {
    {"devAttach", attach},
    {"devDetach", detach},
    {"ports", list},
    {"portConfigure", configure},
    {"portStart", start},
    {"portStop", stop},
    {"portClose", close_port},
    {"portSetLink", set_link},
    {"portSetMac", set_mac},
    {"portSetPromiscuous", set_promiscuous},
    {"portSetAllmulticast", set_allmulticast},
    {"portSetMtu", set_mtu},
};

}  // namespace

void ethdev_calls(Napi::Env env, Napi::Object exports) { add_calls(env, exports, CALLS); }

}  // namespace dpvs
