// What the operating system knows and Node does not tell.
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "args.h"
#include "calls.h"

namespace dpvs {

namespace {

Napi::Value peer_credentials(const Napi::CallbackInfo& info) {
  const int fd = static_cast<int>(to_int(info[0], "fd", 0, INT_MAX));
  ucred peer = {};
  socklen_t len = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) {
    fail_syscall("getsockopt SO_PEERCRED", "fd " + std::to_string(fd), errno);
  }
  auto o = Napi::Object::New(info.Env());
  o.Set("pid", peer.pid);
  o.Set("uid", peer.uid);
  o.Set("gid", peer.gid);
  return o;
}

Napi::Value allowed_cpus(const Napi::CallbackInfo& info) {
  cpu_set_t set;
  // The main thread's set, not the caller's: a worker is pinned.
  if (sched_getaffinity(getpid(), sizeof(set), &set) != 0) fail_syscall("sched_getaffinity", "process", errno);
  auto a = Napi::Array::New(info.Env());
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (CPU_ISSET(cpu, &set)) a.Set(a.Length(), cpu);
  }
  return a;
}

const Call CALLS[] = {
    {"peerCredentials", peer_credentials},
    {"allowedCpus", allowed_cpus},
};

}  // namespace

void system_calls(Napi::Env env, Napi::Object exports) { add_calls(env, exports, CALLS); }

}  // namespace dpvs
