// flowRules(): the tables of TypeScript, checked once so that the packet path need not.
#include "flow_rules.h"

#include <cmath>
#include <cstring>

#include "args.h"
#include "calls.h"
#include "lcore.h"
#include "state.h"

namespace dpvs {

namespace {

constexpr uint8_t IP_TCP = 6;
constexpr uint8_t IP_UDP = 17;

/** The bytes of a Uint8Array of exactly `size`. */
const uint8_t* bytes_of(const Napi::Object& o, const char* name, size_t size) {
  const Napi::Value v = o.Get(name);
  if (!v.IsTypedArray() || v.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    fail(code::BAD_ARG, "%s: not a Uint8Array", name);
  }
  const auto a = v.As<Napi::Uint8Array>();
  if (a.ElementLength() != size) fail(code::BAD_ARG, "%s: %zu bytes, not %zu", name, a.ElementLength(), size);
  return a.Data();
}

ProtoRules to_proto(const Napi::Object& o) {
  ProtoRules p;
  const auto states = static_cast<uint32_t>(int_of(o, "states", 1, ProtoRules::STATES));
  const auto events = static_cast<uint32_t>(int_of(o, "events", 1, ProtoRules::EVENTS));
  const uint8_t* next = bytes_of(o, "next", ProtoRules::TABLES * events * states);
  const uint8_t* event_of = bytes_of(o, "eventOf", sizeof(p.event_of));
  const uint8_t* active = bytes_of(o, "active", states);
  memcpy(p.slow, bytes_of(o, "slow", sizeof(p.slow)), sizeof(p.slow));
  for (uint32_t i = 0; i < ProtoRules::TABLES * events * states; i++) {
    if (next[i] >= states) fail(code::BAD_ARG, "next[%u]: no state %u", i, next[i]);
    p.next[i / (events * states)][i / states % events][i % states] = next[i];
  }
  for (uint32_t i = 0; i < sizeof(p.event_of); i++) {
    if (event_of[i] >= events && event_of[i] != NO_EVENT) fail(code::BAD_ARG, "eventOf[%u]: no event %u", i, event_of[i]);
    p.event_of[i] = event_of[i];
  }
  for (uint32_t s = 0; s < states; s++) {
    p.active |= (active[s] != 0 ? 1u : 0u) << s;
  }
  p.observe = to_bool(o.Get("observe"), "observe");
  p.known = true;
  return p;
}

/** An array of counters in the statistics segment, at the offset that is named. */
template <typename T>
T* area(const Lcore& lc, const Napi::Object& o, const char* name, size_t count) {
  const auto offset = static_cast<size_t>(int_of(o, name, 0, INT64_C(1) << 40));
  if (offset % alignof(T) != 0) fail(code::BAD_ARG, "%s: %zu is not on a cache line", name, offset);
  const auto& segment = lc.kept[1];
  if (offset + count * sizeof(T) > segment->ByteLength()) {
    fail(code::BAD_ARG, "%s: the statistics segment ends at %zu", name, segment->ByteLength());
  }
  char* at = static_cast<char*>(segment->Data()) + offset;
  if (reinterpret_cast<uintptr_t>(at) % sizeof(double) != 0) fail(code::BAD_ARG, "%s: unaligned segment", name);
  return reinterpret_cast<T*>(at);
}

Lcore& idle_lcore(const Napi::CallbackInfo& info, const char* call) {
  const auto id = static_cast<uint32_t>(to_int(info[0], "id", 0, UINT32_MAX));
  Lcore* lc = lcore_at(id);
  if (lc == nullptr) fail(code::NO_LCORE, "no lcore %u", id);
  if (lc->owner != 0 && lc->owner != thread_uid()) fail(code::WRONG_THREAD, "%s: lcore %u belongs to another thread", call, id);
  return *lc;
}

Napi::Value set_rules(const Napi::CallbackInfo& info) {
  Lcore& lc = idle_lcore(info, "flowRules");
  const Napi::Object o = to_object(info[1], "rules");
  FlowRules rules;
  rules.dests = area<DestStats>(lc, o, "destOffset", DEST_CAP);
  if (!o.Get("svcOffset").IsUndefined()) rules.svcs = area<SvcStats>(lc, o, "svcOffset", SVC_CAP);
  rules.ack_storm = static_cast<uint16_t>(int_of(o, "ackStorm", 0, UINT16_MAX));
  rules.count_hop = to_bool(o.Get("xmitTtl"), "xmitTtl");
  memcpy(rules.table_in, bytes_of(o, "tableIn", sizeof(rules.table_in)), sizeof(rules.table_in));
  memcpy(rules.refused_option, bytes_of(o, "refusedOption", sizeof(rules.refused_option)), sizeof(rules.refused_option));
  for (const uint8_t t : rules.table_in) {
    if (t >= ProtoRules::TABLES && t != NO_TABLE) fail(code::BAD_ARG, "tableIn: no table %u", t);
  }
  const Napi::Array protos = to_array(o.Get("protos"), "protos");
  for (uint32_t i = 0; i < protos.Length(); i++) {
    const Napi::Object p = to_object(protos.Get(i), "protos");
    const int64_t number = int_of(p, "number", 0, 255);
    // Others have no ports where we look for them: their packets stay with TypeScript.
    if (number == IP_TCP) rules.tcp = to_proto(p);
    if (number == IP_UDP) rules.udp = to_proto(p);
  }
  rules.tcp_steps.make(rules.tcp, rules.table_in);
  rules.udp_steps.make(rules.udp, rules.table_in);
  const Napi::Value verdicts = o.Get("verdicts");
  if (!verdicts.IsUndefined()) {
    auto memory = to_shared(verdicts, "verdicts", VERDICT_BUCKETS + RTE_CACHE_LINE_SIZE);
    const size_t buckets = (memory->ByteLength() - VERDICT_BUCKETS) / RTE_CACHE_LINE_SIZE;
    if (!rte_is_power_of_2(buckets) || VERDICT_BUCKETS + buckets * RTE_CACHE_LINE_SIZE != memory->ByteLength() ||
        reinterpret_cast<uintptr_t>(memory->Data()) % sizeof(uint64_t) != 0) {
      fail(code::BAD_ARG, "verdicts: %zu bytes are no table", memory->ByteLength());
    }
    rules.verdicts = Verdicts(std::move(memory));
  }
  rules.known = true;
  lc.rules = rules;
  return info.Env().Undefined();
}

Napi::Value set_clock(const Napi::CallbackInfo& info) {
  Lcore& lc = idle_lcore(info, "lcoreClock");
  lc.stopped_ms = static_cast<double>(to_int(info[1], "nowMs", -1, INT64_C(1) << 53));
  lc.clock_tsc = 0;
  return info.Env().Undefined();
}

uint8_t step_of(const ProtoRules& proto, uint32_t table, uint32_t flags, uint32_t state) {
  if (!proto.known || table == Steps::NOTHING || proto.slow[table][flags] != 0) return Steps::NOT_OURS;
  const uint8_t event = proto.event_of[flags];
  return event == NO_EVENT ? static_cast<uint8_t>(state) : proto.next[table][event][state];
}

const Call CALLS[] = {{"flowRules", set_rules}, {"lcoreClock", set_clock}};

}  // namespace

void Steps::make(const ProtoRules& proto, const uint8_t (&table_in)[8]) {
  for (uint32_t table = 0; table < TABLES; table++) {
    for (uint32_t flags = 0; flags < FLAGS; flags++) {
      for (uint32_t s = 0; s < ProtoRules::STATES; s++) next[table][flags][s] = step_of(proto, table, flags, s);
    }
  }
  for (uint32_t fwd = 0; fwd < RTE_DIM(at[0]); fwd++) {
    at[DIR_IN][fwd] = (table_in[fwd] == NO_TABLE ? NOTHING : table_in[fwd]) * sizeof(next[0]);
    at[DIR_OUT][fwd] = FROM_SERVER * sizeof(next[0]);
  }
}

void flow_rule_calls(Napi::Env env, Napi::Object exports) { add_calls(env, exports, CALLS); }

}  // namespace dpvs
