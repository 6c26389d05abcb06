#include "threads.h"

#include <dirent.h>
#include <pthread.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <sched.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "args.h"
#include "calls.h"
#include "lcore.h"
#include "log.h"
#include "state.h"

namespace dpvs {

uint64_t thread_uid() {
  // pthread_self() and gettid() come back for later threads; this does not.
  static std::atomic<uint64_t> last{0};
  static thread_local const uint64_t mine = ++last;
  return mine;
}

namespace {

thread_local bool registered = false;

void thread_ended(void* env) {
  const std::lock_guard lock(control);
  log_close(static_cast<napi_env>(env));
  lcores_thread_ended(thread_uid());
  if (!registered || eal != Eal::Ready) return;
  if (pool.mp != nullptr) {
    rte_mempool_cache* cache = rte_mempool_default_cache(pool.mp, rte_lcore_id());
    if (cache != nullptr) rte_mempool_cache_flush(cache, pool.mp);
  }
  rte_thread_unregister();
  registered = false;
}

Napi::Value pin(const Napi::CallbackInfo& info) {
  const int cpu = static_cast<int>(to_int(info[0], "cpu", 0, CPU_SETSIZE - 1));
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  const int err = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
  if (err != 0) fail_syscall("pthread_setaffinity_np", "to CPU " + std::to_string(cpu), err);
  return info.Env().Undefined();
}

/** Every thread of the process; those that they start later inherit it. One that ends meanwhile is no error. */
Napi::Value pin_process(const Napi::CallbackInfo& info) {
  const Napi::Array cpus = to_array(info[0], "cpus");
  cpu_set_t set;
  CPU_ZERO(&set);
  for (uint32_t i = 0; i < cpus.Length(); i++) CPU_SET(to_int(cpus.Get(i), "cpus", 0, CPU_SETSIZE - 1), &set);
  DIR* tasks = opendir("/proc/self/task");
  if (tasks == nullptr) fail_syscall("opendir", "/proc/self/task", errno);
  int err = 0;
  while (const dirent* entry = readdir(tasks)) {
    const pid_t tid = static_cast<pid_t>(atoi(entry->d_name));
    if (tid > 0 && sched_setaffinity(tid, sizeof(set), &set) != 0 && errno != ESRCH) err = errno;
  }
  closedir(tasks);
  if (err != 0) fail_syscall("sched_setaffinity", "of the process", err);
  return info.Env().Undefined();
}

Napi::Value name(const Napi::CallbackInfo& info) {
  const std::string text = to_string(info[0], "name", 15);
  const int err = pthread_setname_np(pthread_self(), text.c_str());
  if (err != 0) fail_syscall("pthread_setname_np", text, err);
  return info.Env().Undefined();
}

Napi::Value enlist(const Napi::CallbackInfo& info) {
  need_eal();
  if (rte_lcore_id() == LCORE_ID_ANY) {
    if (rte_thread_register() < 0) fail(code::DPDK, "rte_thread_register: %s", rte_strerror(rte_errno));
    registered = true;
  }
  return info.Env().Undefined();
}

const Call CALLS[] = {
    {"threadPin", pin},
    {"processPin", pin_process},
    {"threadName", name},
    {"threadRegister", enlist},
};

}  // namespace

void watch_thread_end(Napi::Env env) { napi_add_env_cleanup_hook(env, thread_ended, static_cast<napi_env>(env)); }

void thread_calls(Napi::Env env, Napi::Object exports) { add_calls(env, exports, CALLS); }

}  // namespace dpvs
