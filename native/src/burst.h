// What poll and flush share.
#pragma once
#include <node_api.h>

#include "calls.h"
#include "lcore.h"
#include "state.h"

namespace dpvs {

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

/** @returns false, with an exception pending, when the lcore was taken from this thread in the meantime */
inline bool still_owner(napi_env env, const Lcore& lc, const char* call) {
  if (likely(lc.owner.load() == thread_uid())) return true;
  throw_fault(env,
              {code::WRONG_THREAD, std::string(call) + ": lcore " + std::to_string(lc.id) + " was taken away"});
  return false;
}

inline napi_value number(napi_env env, uint32_t n) {
  napi_value v = nullptr;
  napi_create_uint32(env, n, &v);
  return v;
}

/** Tops the alloc vector up with blank packets when half of it is used. */
void refill_blanks(Lcore& lc);

napi_value poll(napi_env env, napi_callback_info info);
napi_value flush(napi_env env, napi_callback_info info);

}  // namespace dpvs
