// EAL: one per process, from init to cleanup.
#include <fcntl.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_version.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "args.h"
#include "calls.h"
#include "lcore.h"
#include "log.h"
#include "ports.h"
#include "state.h"

namespace dpvs {

std::mutex control;
std::atomic<Eal> eal{Eal::Fresh};
Pool pool;

void need_eal() {
  switch (eal.load(std::memory_order_acquire)) {
    case Eal::Ready:
      return;
    case Eal::Fresh:
      fail(code::EAL_STATE, "EAL is not initialised");
    case Eal::Failed:
      fail(code::EAL_STATE, "EAL failed to initialise; it cannot be tried again in this process");
    case Eal::Cleaned:
      fail(code::EAL_STATE, "EAL was cleaned up; it cannot be used again in this process");
  }
}

namespace {

/** What EAL and getopt print by themselves (usage, unknown options) while it lives, instead of on the terminal. */
class OutputCapture {
 public:
  OutputCapture() {
    fflush(stdout);
    fflush(stderr);
    file_ = memfd_create("dpvs-eal", MFD_CLOEXEC);
    if (file_ < 0) return;
    for (int i = 0; i < 2; i++) {
      saved_[i] = fcntl(i + 1, F_DUPFD_CLOEXEC, 3);
      if (saved_[i] >= 0) dup2(file_, i + 1);
    }
  }
  /** Ends the capture. @returns what was printed, up to 16 kB */
  std::string end() {
    if (file_ < 0) return {};
    fflush(stdout);
    fflush(stderr);
    for (int i = 0; i < 2; i++) {
      if (saved_[i] < 0) continue;
      dup2(saved_[i], i + 1);
      close(saved_[i]);
    }
    std::string text(16384, '\0');
    const ssize_t n = pread(file_, text.data(), text.size(), 0);
    text.resize(n > 0 ? static_cast<size_t>(n) : 0);
    close(file_);
    file_ = -1;
    return text;
  }
  ~OutputCapture() { end(); }

 private:
  int file_ = -1;
  int saved_[2] = {-1, -1};
};

/** The lines in front of the usage text. */
std::string before_usage(const std::string& text) {
  std::string out;
  size_t at = 0;
  while (at < text.size()) {
    size_t end = text.find('\n', at);
    if (end == std::string::npos) end = text.size();
    const std::string line = text.substr(at, end - at);
    if (line.rfind("Usage:", 0) == 0) break;
    if (!line.empty()) out += (out.empty() ? "" : "; ") + line;
    at = end + 1;
  }
  return out;
}

/** EAL's parser takes abbreviations and clusters of short options; its help ends the process. */
bool asks_for_help(const std::string& arg) {
  if (arg.rfind("--", 0) == 0) {
    return arg == "--version" || (arg.size() >= 4 && std::string("--help").rfind(arg, 0) == 0);
  }
  if (arg.size() < 2 || arg[0] != '-') return false;
  for (size_t i = 1; i < arg.size(); i++) {
    if (arg[i] == 'h') return true;
    if (arg[i] != 'v') return false;  // the rest is this option's value
  }
  return false;
}

Napi::Value init(const Napi::CallbackInfo& info) {
  static std::vector<std::string> args;  // EAL keeps pointers into its arguments
  std::vector<std::string> given = to_strings(info[0], "args", 4096);
  for (const std::string& a : given) {
    if (asks_for_help(a)) fail(code::BAD_ARG, "EAL argument %s is not possible here", a.c_str());
  }
  if (!info[1].IsFunction()) fail(code::BAD_ARG, "onLog: not a function");
  if (eal != Eal::Fresh) {
    if (eal == Eal::Ready) fail(code::EAL_STATE, "EAL is already initialised");
    need_eal();
  }

  args = std::move(given);
  args.insert(args.begin(), "dpvs");
  static std::vector<char*> argv;
  for (std::string& a : args) argv.push_back(a.data());
  argv.push_back(nullptr);

  log_open(info.Env(), info[1].As<Napi::Function>());
  log_take_errors();
  OutputCapture capture;
  const int rc = rte_eal_init(static_cast<int>(args.size()), argv.data());
  const int err = rte_errno;
  rmdir(rte_eal_get_runtime_dir());  // made also where EAL keeps nothing in it (`--in-memory`); with files in it, it stays
  const std::string printed = before_usage(capture.end());
  if (!printed.empty()) log_line(rc < 0 ? 4 : 7, printed);
  if (rc < 0) {
    eal = Eal::Failed;
    const std::string why = log_take_errors();
    fail(code::EAL_INIT, "rte_eal_init: %s%s%s", rte_strerror(err), why.empty() ? "" : ": ", why.c_str());
  }
  eal = Eal::Ready;
  return info.Env().Undefined();
}

Napi::Value cleanup(const Napi::CallbackInfo& info) {
  need_eal();
  lcores_destroy_all();  // throws while one is bound
  ports_close_all();
  if (pool.mp != nullptr) rte_mempool_free(pool.mp);
  pool = Pool{};
  eal = Eal::Cleaned;
  check_dpdk(rte_eal_cleanup(), "rte_eal_cleanup");
  return info.Env().Undefined();
}

Napi::Value dpdk_version(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), rte_version()); }

Napi::Value tsc_hz(const Napi::CallbackInfo& info) {
  need_eal();
  return Napi::Number::New(info.Env(), static_cast<double>(rte_get_tsc_hz()));
}

const Call CALLS[] = {
    {"ealInit", init},
    {"ealCleanup", cleanup},
    {"dpdkVersion", dpdk_version},
    {"tscHz", tsc_hz},
};

}  // namespace

void eal_calls(Napi::Env env, Napi::Object exports) { add_calls(env, exports, CALLS); }

}  // namespace dpvs
