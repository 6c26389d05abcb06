// The connection index as JavaScript calls it.
#include <rte_ip.h>

#include "calls.h"
#include "lcore.h"
#include "state.h"

namespace dpvs {

namespace {

constexpr size_t IPV4_HEADER = 20;
constexpr size_t L4_PORTS = 4;

struct Args {
  uint32_t v[3] = {};
  bool flag = false;
};

/** `n` numbers and perhaps a boolean behind them. @returns false with an exception pending */
bool read(napi_env env, napi_callback_info info, size_t n, bool with_flag, const char* call, Args& out) {
  size_t argc = 4;
  napi_value argv[4];
  bool ok = napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr) == napi_ok;
  for (size_t i = 0; ok && i < n; i++) ok = napi_get_value_uint32(env, argv[i], &out.v[i]) == napi_ok;
  if (ok && with_flag) ok = napi_get_value_bool(env, argv[n], &out.flag) == napi_ok;
  if (!ok) throw_fault(env, {code::BAD_ARG, std::string(call) + ": wrong arguments"});
  return ok;
}

/** The index may be used by the lcore's thread, and by any thread while the lcore has none. */
Lcore* usable(napi_env env, uint32_t id, const char* call) {
  Lcore* lc = lcore_at(id);
  if (lc != nullptr && lc->owner.load(std::memory_order_relaxed) == 0) return lc;
  return own_lcore(env, id, call);
}

Lcore* with_conn(napi_env env, const Args& a, const char* call) {
  Lcore* lc = usable(env, a.v[0], call);
  if (lc == nullptr) return nullptr;
  if (a.v[1] == 0 || a.v[1] >= lc->flows.capacity()) {
    throw_fault(env, {code::BAD_ARG, std::string(call) + ": no connection record " + std::to_string(a.v[1])});
    return nullptr;
  }
  return lc;
}

napi_value number(napi_env env, int32_t n) {
  napi_value v = nullptr;
  napi_create_int32(env, n, &v);
  return v;
}

napi_value insert(napi_env env, napi_callback_info info) {
  Args a;
  if (!read(env, info, 2, false, "flowInsert", a)) return nullptr;
  Lcore* lc = with_conn(env, a, "flowInsert");
  if (lc == nullptr) return nullptr;
  switch (lc->flows.insert(a.v[1])) {
    case FlowTable::Insert::Done:
      return number(env, 0);
    case FlowTable::Insert::Exists:
      return number(env, -1);
    default:
      return number(env, -2);
  }
}

napi_value remove(napi_env env, napi_callback_info info) {
  Args a;
  if (!read(env, info, 2, false, "flowRemove", a)) return nullptr;
  Lcore* lc = with_conn(env, a, "flowRemove");
  if (lc == nullptr) return nullptr;
  return number(env, lc->flows.remove(a.v[1]) ? 0 : -1);
}

/** Works on the connections in the block's vector, in stages: what a stage needs has been asked for by the one before. */
template <typename Each>
napi_value many(napi_env env, napi_callback_info info, const char* call, Each each) {
  Args a;
  if (!read(env, info, 2, false, call, a)) return nullptr;
  Lcore* lc = usable(env, a.v[0], call);
  if (lc == nullptr) return nullptr;
  const uint32_t n = a.v[1];
  bool known = n <= CONN_BATCH;
  uint32_t conns[CONN_BATCH];
  for (uint32_t i = 0; known && i < n; i++) {
    conns[i] = lc->block->conns[i];
    known = conns[i] != 0 && conns[i] < lc->flows.capacity();
  }
  if (!known) {
    throw_fault(env, {code::BAD_ARG, std::string(call) + ": not " + std::to_string(n) + " connection records"});
    return nullptr;
  }
  FlowTable::Hashes hashes[CONN_BATCH];
  for (uint32_t i = 0; i < n; i++) lc->flows.prefetch_conn(conns[i]);
  for (uint32_t i = 0; i < n; i++) {
    hashes[i] = lc->flows.hashes(conns[i]);
    lc->flows.prefetch(hashes[i]);
  }
  return number(env, each(*lc, conns, hashes, n));
}

napi_value prefetch_many(napi_env env, napi_callback_info info) {
  return many(env, info, "flowPrefetch",
              [](Lcore&, const uint32_t*, const FlowTable::Hashes*, uint32_t) { return 0; });
}

napi_value insert_many(napi_env env, napi_callback_info info) {
  return many(env, info, "flowInsertMany",
              [](Lcore& lc, const uint32_t* conns, const FlowTable::Hashes* hashes, uint32_t n) {
                int32_t refused = 0;
                for (uint32_t i = 0; i < n; i++) {
                  if (lc.flows.insert(conns[i], hashes[i]) != FlowTable::Insert::Done) lc.block->conns[refused++] = conns[i];
                }
                return refused;
              });
}

napi_value remove_many(napi_env env, napi_callback_info info) {
  return many(env, info, "flowRemoveMany",
              [](Lcore& lc, const uint32_t* conns, const FlowTable::Hashes* hashes, uint32_t n) {
                int32_t removed = 0;
                for (uint32_t i = 0; i < n; i++) removed += lc.flows.remove(conns[i], hashes[i]);
                return removed;
              });
}

/** The tuple at arena offsets that the caller has checked against the packet, and we against the arena. */
FlowKey packet_key(const char* l3, const char* l4, bool inverse) {
  FlowKey k = key_at(l3, l4);
  if (inverse) {
    k.addrs = k.addrs << 32 | k.addrs >> 32;
    k.ports = k.ports << 16 | k.ports >> 16;
  }
  return k;
}

/** Arguments of a call that looks for a packet's flow. @returns nullptr with an exception pending */
Lcore* with_headers(napi_env env, napi_callback_info info, const char* call, FlowKey* key) {
  Args a;
  if (!read(env, info, 3, true, call, a)) return nullptr;
  Lcore* lc = usable(env, a.v[0], call);
  if (lc == nullptr) return nullptr;
  const size_t l3 = a.v[1], l4 = a.v[2];
  if (l3 + IPV4_HEADER > pool.bytes || l4 + L4_PORTS > pool.bytes) {
    throw_fault(env, {code::BAD_ARG, std::string(call) + ": headers outside the packet arena"});
    return nullptr;
  }
  *key = packet_key(pool.base + l3, pool.base + l4, a.flag);
  return lc;
}

napi_value find(napi_env env, napi_callback_info info) {
  FlowKey key;
  const Lcore* lc = with_headers(env, info, "flowFind", &key);
  return lc == nullptr ? nullptr : number(env, static_cast<int32_t>(lc->flows.find(key)));
}

/**
 * Reads the indexes of other threads while they write. Their memory stays where it is as long as any lcore runs, and
 * references never leave their table; a torn entry costs a miss or a false hit.
 */
napi_value owner(napi_env env, napi_callback_info info) {
  FlowKey key;
  const Lcore* lc = with_headers(env, info, "flowOwner", &key);
  if (lc == nullptr) return nullptr;
  for (uint32_t id = 1; id < RTE_MAX_LCORE; id++) {
    const Lcore* peer = lcore_table[id].load(std::memory_order_acquire);
    if (peer == nullptr || peer == lc || !peer->exists.load(std::memory_order_acquire)) continue;
    if (peer->flows.find(key) != FlowTable::NONE) return number(env, static_cast<int32_t>(id));
  }
  return number(env, 0);
}

napi_value count(napi_env env, napi_callback_info info) {
  Args a;
  if (!read(env, info, 1, false, "flowCount", a)) return nullptr;
  const Lcore* lc = lcore_at(a.v[0]);
  if (lc == nullptr) {
    own_lcore(env, a.v[0], "flowCount");  // throws
    return nullptr;
  }
  return number(env, static_cast<int32_t>(lc->flows.count()));
}

napi_value rebuild(napi_env env, napi_callback_info info) {
  Args a;
  if (!read(env, info, 1, false, "flowRebuild", a)) return nullptr;
  Lcore* lc = usable(env, a.v[0], "flowRebuild");
  if (lc == nullptr) return nullptr;
  const auto* conns = static_cast<const Conn4*>(lc->kept[2]->Data());
  lc->flows.clear();
  for (uint32_t i = 1; i < lc->flows.capacity(); i++) {
    if ((conns[i].flags & CONN_F_HASHED) != 0) lc->flows.insert(i);
  }
  return number(env, static_cast<int32_t>(lc->flows.count()));
}

const HotCall CALLS[] = {
    {"flowInsert", insert}, {"flowRemove", remove},   {"flowFind", find},
    {"flowOwner", owner},   {"flowCount", count},     {"flowRebuild", rebuild},
    {"flowPrefetch", prefetch_many}, {"flowInsertMany", insert_many}, {"flowRemoveMany", remove_many},
};

}  // namespace

void flow_calls(Napi::Env env, Napi::Object exports) { add_hot_calls(env, exports, CALLS); }

}  // namespace dpvs
