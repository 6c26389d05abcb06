// lcoreSleep() and lcoreWake(): a sleeper that is woken without V8.
#include "doorbell.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>

#include "calls.h"
#include "lcore.h"
#include "state.h"

namespace dpvs {

namespace {

static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t) && std::atomic<uint32_t>::is_always_lock_free);

void futex(std::atomic<uint32_t>* word, int op, uint32_t value, const timespec* timeout) {
  // Of no consequence when it fails: the sleeper looks around, and the woken one has woken already.
  syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, timeout, nullptr, 0);
}

/** The first `n` arguments as numbers. @returns false with an exception pending */
bool read(napi_env env, napi_callback_info info, size_t n, const char* call, uint32_t* out) {
  size_t argc = 2;
  napi_value argv[2];
  bool ok = napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr) == napi_ok;
  for (size_t i = 0; ok && i < n; i++) ok = napi_get_value_uint32(env, argv[i], &out[i]) == napi_ok;
  if (!ok) throw_fault(env, {code::BAD_ARG, std::string(call) + ": wrong arguments"});
  return ok;
}

napi_value sleep_call(napi_env env, napi_callback_info info) {
  uint32_t a[2];
  if (!read(env, info, 2, "lcoreSleep", a)) return nullptr;
  Lcore* lc = own_lcore(env, a[0], "lcoreSleep");
  if (lc != nullptr) lc->doorbell.sleep(a[1]);
  return nullptr;
}

napi_value wake_call(napi_env env, napi_callback_info info) {
  uint32_t id;
  if (!read(env, info, 1, "lcoreWake", &id)) return nullptr;
  // Contexts outlive their destruction, and with them the word that is written here.
  Lcore* lc = id < RTE_MAX_LCORE ? lcore_table[id].load(std::memory_order_acquire) : nullptr;
  if (lc == nullptr) {
    own_lcore(env, id, "lcoreWake");  // throws
    return nullptr;
  }
  lc->doorbell.ring();
  return nullptr;
}

const HotCall CALLS[] = {{"lcoreSleep", sleep_call}, {"lcoreWake", wake_call}};

}  // namespace

// Who rings writes the state after what it posted, who sleeps reads it before it looks: one of the two sees the other.

void Doorbell::ring() {
  if (state_.exchange(RUNG) == ASLEEP) futex(&state_, FUTEX_WAKE, 1, nullptr);
}

void Doorbell::sleep(uint32_t microseconds) {
  uint32_t expected = QUIET;
  if (state_.compare_exchange_strong(expected, ASLEEP)) {
    const timespec timeout{microseconds / 1'000'000, static_cast<long>(microseconds % 1'000'000) * 1000};
    futex(&state_, FUTEX_WAIT, ASLEEP, &timeout);
  }
  state_.exchange(QUIET);
}

void doorbell_calls(Napi::Env env, Napi::Object exports) { add_hot_calls(env, exports, CALLS); }

}  // namespace dpvs
