// What a port tells about itself: facts, link, counters, RSS.
#include <rte_ether.h>

#include <cstring>

#include "calls.h"
#include "names.h"
#include "port_args.h"
#include "ports.h"

namespace dpvs {

namespace {

Napi::Array strings(Napi::Env env, const std::vector<std::string>& list) {
  auto a = Napi::Array::New(env, list.size());
  for (size_t i = 0; i < list.size(); i++) a.Set(static_cast<uint32_t>(i), list[i]);
  return a;
}

Napi::Object descriptor_limits(Napi::Env env, const rte_eth_desc_lim& lim) {
  auto o = Napi::Object::New(env);
  o.Set("min", lim.nb_min);
  o.Set("max", lim.nb_max);
  o.Set("align", lim.nb_align);
  return o;
}

Napi::Value port_info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const uint16_t port = to_port(info[0]);
  const rte_eth_dev_info dev = device_info(port);
  char name[RTE_ETH_NAME_MAX_LEN] = "";
  rte_eth_dev_get_name_by_port(port, name);
  rte_ether_addr mac = {};
  check_dpdk(rte_eth_macaddr_get(port, &mac), "rte_eth_macaddr_get");
  char mac_text[RTE_ETHER_ADDR_FMT_SIZE];
  rte_ether_format_addr(mac_text, sizeof(mac_text), &mac);
  for (char* c = mac_text; *c != '\0'; c++) *c = static_cast<char>(tolower(*c));
  uint16_t mtu = 0;
  check_dpdk(rte_eth_dev_get_mtu(port, &mtu), "rte_eth_dev_get_mtu");

  auto o = Napi::Object::New(env);
  o.Set("port", port);
  o.Set("name", name);
  o.Set("driver", dev.driver_name == nullptr ? "" : dev.driver_name);
  o.Set("socket", rte_eth_dev_socket_id(port));
  o.Set("mac", mac_text);
  o.Set("mtu", mtu);
  o.Set("minMtu", dev.min_mtu);
  o.Set("maxMtu", dev.max_mtu);
  o.Set("maxRxQueues", dev.max_rx_queues);
  o.Set("maxTxQueues", dev.max_tx_queues);
  o.Set("rxQueues", ports[port].rx_queues);
  o.Set("txQueues", ports[port].tx_queues);
  o.Set("rxOffloads", strings(env, rx_offload_names(dev.rx_offload_capa)));
  o.Set("txOffloads", strings(env, tx_offload_names(dev.tx_offload_capa)));
  o.Set("rxDesc", descriptor_limits(env, dev.rx_desc_lim));
  o.Set("txDesc", descriptor_limits(env, dev.tx_desc_lim));
  o.Set("minRxBufSize", dev.min_rx_bufsize);
  o.Set("maxRxPktLen", dev.max_rx_pktlen);
  o.Set("maxMacAddrs", dev.max_mac_addrs);
  o.Set("retaSize", dev.reta_size);
  o.Set("hashKeySize", dev.hash_key_size);
  o.Set("rssTypes", strings(env, rss_names(dev.flow_type_rss_offloads)));
  o.Set("started", ports[port].started);
  o.Set("promiscuous", rte_eth_promiscuous_get(port) == 1);
  o.Set("allmulticast", rte_eth_allmulticast_get(port) == 1);
  return o;
}

Napi::Value link(const Napi::CallbackInfo& info) {
  const uint16_t port = to_port(info[0]);
  rte_eth_link link = {};
  check_dpdk(rte_eth_link_get_nowait(port, &link), "rte_eth_link_get_nowait");
  auto o = Napi::Object::New(info.Env());
  o.Set("up", link.link_status == RTE_ETH_LINK_UP);
  o.Set("speed", link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0u : link.link_speed);
  o.Set("fullDuplex", link.link_duplex == RTE_ETH_LINK_FULL_DUPLEX);
  o.Set("autoneg", link.link_autoneg == RTE_ETH_LINK_AUTONEG);
  return o;
}

Napi::Value stats(const Napi::CallbackInfo& info) {
  const uint16_t port = to_port(info[0]);
  rte_eth_stats s = {};
  // Drivers count per queue and have no queues before they are configured.
  if (ports[port].configured) check_dpdk(rte_eth_stats_get(port, &s), "rte_eth_stats_get");
  auto o = Napi::Object::New(info.Env());
  const auto set = [&o](const char* name, uint64_t v) { o.Set(name, static_cast<double>(v)); };
  set("ipackets", s.ipackets);
  set("opackets", s.opackets);
  set("ibytes", s.ibytes);
  set("obytes", s.obytes);
  set("imissed", s.imissed);
  set("ierrors", s.ierrors);
  set("oerrors", s.oerrors);
  set("rxNombuf", s.rx_nombuf);
  return o;
}

Napi::Value xstats(const Napi::CallbackInfo& info) {
  const uint16_t port = to_port(info[0]);
  auto o = Napi::Object::New(info.Env());
  if (!ports[port].configured) return o;
  const int n = rte_eth_xstats_get_names(port, nullptr, 0);
  check_dpdk(n, "rte_eth_xstats_get_names");
  std::vector<rte_eth_xstat_name> names(n);
  std::vector<rte_eth_xstat> values(n);
  check_dpdk(rte_eth_xstats_get_names(port, names.data(), n), "rte_eth_xstats_get_names");
  const int got = rte_eth_xstats_get(port, values.data(), n);
  check_dpdk(got, "rte_eth_xstats_get");
  for (int i = 0; i < got && i < n; i++) {
    if (values[i].id < names.size()) o.Set(names[values[i].id].name, static_cast<double>(values[i].value));
  }
  return o;
}

Napi::Value reset_stats(const Napi::CallbackInfo& info) {
  const uint16_t port = to_port(info[0]);
  if (!ports[port].configured) return info.Env().Undefined();
  check_dpdk(rte_eth_stats_reset(port), "rte_eth_stats_reset");
  const int rc = rte_eth_xstats_reset(port);
  if (rc != -ENOTSUP) check_dpdk(rc, "rte_eth_xstats_reset");
  return info.Env().Undefined();
}

Napi::Value rss(const Napi::CallbackInfo& info) {
  const uint16_t port = to_port(info[0]);
  if (!ports[port].configured) fail(code::PORT_STATE, "port %u is not configured", port);
  const rte_eth_dev_info dev = device_info(port);
  // A device without RSS has neither key nor table: both come back empty.
  uint8_t key[256] = {};
  size_t key_size = dev.hash_key_size;
  rte_eth_rss_conf conf = {};
  conf.rss_key = key;
  conf.rss_key_len = dev.hash_key_size;
  if (key_size != 0) {
    const int rc = rte_eth_dev_rss_hash_conf_get(port, &conf);
    if (rc == -ENOTSUP) key_size = 0;
    else check_dpdk(rc, "rte_eth_dev_rss_hash_conf_get");
  }
  size_t reta_size = dev.reta_size;
  std::vector<rte_eth_rss_reta_entry64> groups((reta_size + 63) / 64);
  for (auto& g : groups) g.mask = UINT64_MAX;
  if (reta_size != 0) {
    const int rc = rte_eth_dev_rss_reta_query(port, groups.data(), reta_size);
    if (rc == -ENOTSUP) reta_size = 0;
    else check_dpdk(rc, "rte_eth_dev_rss_reta_query");
  }
  auto js_key = Napi::Uint8Array::New(info.Env(), key_size);
  if (key_size != 0) memcpy(js_key.Data(), key, key_size);
  auto js_reta = Napi::Uint16Array::New(info.Env(), reta_size);
  for (size_t i = 0; i < reta_size; i++) js_reta[i] = groups[i / 64].reta[i % 64];
  auto o = Napi::Object::New(info.Env());
  o.Set("key", js_key);
  o.Set("reta", js_reta);
  return o;
}

Napi::Value set_reta(const Napi::CallbackInfo& info) {
  const uint16_t port = to_port(info[0]);
  if (!info[1].IsTypedArray() || info[1].As<Napi::TypedArray>().TypedArrayType() != napi_uint16_array) {
    fail(code::BAD_ARG, "reta: not a Uint16Array");
  }
  const auto reta = info[1].As<Napi::Uint16Array>();
  if (!ports[port].configured) fail(code::PORT_STATE, "port %u is not configured", port);
  const rte_eth_dev_info dev = device_info(port);
  if (reta.ElementLength() != dev.reta_size) {
    fail(code::BAD_ARG, "reta: %zu entries, the device has %u", reta.ElementLength(), dev.reta_size);
  }
  std::vector<rte_eth_rss_reta_entry64> groups((reta.ElementLength() + 63) / 64);
  for (size_t i = 0; i < reta.ElementLength(); i++) {
    if (reta[i] >= ports[port].rx_queues) fail(code::BAD_ARG, "reta: the port has no queue %u", reta[i]);
    groups[i / 64].mask |= RTE_BIT64(i % 64);
    groups[i / 64].reta[i % 64] = reta[i];
  }
  check_dpdk(rte_eth_dev_rss_reta_update(port, groups.data(), dev.reta_size), "rte_eth_dev_rss_reta_update");
  return info.Env().Undefined();
}

const Call CALLS[] = {
    {"portInfo", port_info},         {"portLink", link}, {"portStats", stats},      {"portXstats", xstats},
    {"portResetStats", reset_stats}, {"portRss", rss},   {"portSetReta", set_reta},
};

}  // namespace

void port_info_calls(Napi::Env env, Napi::Object exports) { add_calls(env, exports, CALLS); }

}  // namespace dpvs
