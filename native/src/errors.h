// The one way in which the addon fails: a Fault carries a code of NativeErrorCode (src/core/native.ts) to the
// boundary, where it becomes a JavaScript Error with `.code`. No C++ exception crosses the boundary.
#pragma once
#include <string>

namespace dpvs {

namespace code {
constexpr const char* EAL_STATE = "EAL_STATE";
constexpr const char* EAL_INIT = "EAL_INIT";
constexpr const char* BAD_ARG = "BAD_ARG";
constexpr const char* NO_MEMORY = "NO_MEMORY";
constexpr const char* NO_PORT = "NO_PORT";
constexpr const char* PORT_STATE = "PORT_STATE";
constexpr const char* DEV_ATTACH = "DEV_ATTACH";
constexpr const char* DPDK = "DPDK";
constexpr const char* NO_LCORE = "NO_LCORE";
constexpr const char* WRONG_THREAD = "WRONG_THREAD";
constexpr const char* SYSCALL = "SYSCALL";
}  // namespace code

struct Fault {
  const char* code;
  std::string text;
};

/** Throws a Fault; `format` as in printf. */
[[noreturn]] void fail(const char* code, const char* format, ...) __attribute__((format(printf, 2, 3)));

/** Throws DPDK with the call's name and the text of the error when `rc` is negative. */
void check_dpdk(int rc, const char* call);

/** Throws SYSCALL with the call's name, what it was applied to, and the text of `err`. */
[[noreturn]] void fail_syscall(const char* call, const std::string& what, int err);

}  // namespace dpvs
