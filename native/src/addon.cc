// The boundary: registers every call and turns Faults into JavaScript errors.
#include <rte_errno.h>

#include <cstdarg>
#include <cstring>
#include <new>

#include "calls.h"
#include "state.h"
#include "threads.h"

namespace dpvs {

void fail(const char* code, const char* format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof(text), format, args);
  va_end(args);
  throw Fault{code, text};
}

void check_dpdk(int rc, const char* call) {
  if (rc < 0) fail(code::DPDK, "%s: %s", call, rte_strerror(rc == -1 && rte_errno > 0 ? rte_errno : -rc));
}

void fail_syscall(const char* call, const std::string& what, int err) {
  fail(code::SYSCALL, "%s %s: %s", call, what.c_str(), strerror(err));
}

void throw_fault(napi_env env, const Fault& fault) { napi_throw_error(env, fault.code, fault.text.c_str()); }

static Napi::Value dispatch(const Napi::CallbackInfo& info) {
  const auto* call = static_cast<const Call*>(info.Data());
  const auto name_the_call = [call](const std::string& text) { return std::string(call->name) + ": " + text; };
  try {
    const std::lock_guard lock(control);
    return call->fn(info);
  } catch (const Fault& fault) {
    throw_fault(info.Env(), {fault.code, name_the_call(fault.text)});
  } catch (const std::bad_alloc&) {
    throw_fault(info.Env(), {code::NO_MEMORY, name_the_call("out of memory")});
  } catch (const Napi::Error& error) {
    // A getter of an argument threw, or the thread is being terminated.
    error.ThrowAsJavaScriptException();
  } catch (const std::exception& error) {
    throw_fault(info.Env(), {code::BAD_ARG, name_the_call(error.what())});
  }
  return Napi::Value();
}

void add_call(Napi::Env env, Napi::Object exports, const Call& call) {
  exports.Set(call.name, Napi::Function::New<dispatch>(env, call.name, const_cast<Call*>(&call)));
}

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  eal_calls(env, exports);
  system_calls(env, exports);
  memory_calls(env, exports);
  ethdev_calls(env, exports);
  port_info_calls(env, exports);
  thread_calls(env, exports);
  lcore_calls(env, exports);
  doorbell_calls(env, exports);
  burst_calls(env, exports);
  flow_calls(env, exports);
  flow_rule_calls(env, exports);
  watch_thread_end(env);
  return exports;
}

}  // namespace dpvs

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) { return dpvs::init(env, exports); }

NODE_API_MODULE(dpvs, init_addon)
