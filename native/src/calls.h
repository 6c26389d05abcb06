// How functions of the addon become JavaScript functions.
#pragma once
#include <napi.h>

#include "errors.h"

namespace dpvs {

/** A control call: runs under the `control` lock, may throw Fault. */
struct Call {
  const char* name;
  Napi::Value (*fn)(const Napi::CallbackInfo&);
};

void add_call(Napi::Env env, Napi::Object exports, const Call& call);

template <size_t N>
void add_calls(Napi::Env env, Napi::Object exports, const Call (&calls)[N]) {
  for (const Call& c : calls) add_call(env, exports, c);
}

/** A call of the packet path: plain N-API, no lock. It reports errors by `throw_fault`. */
struct HotCall {
  const char* name;
  napi_callback fn;
};

template <size_t N>
void add_hot_calls(Napi::Env env, Napi::Object exports, const HotCall (&calls)[N]) {
  for (const HotCall& c : calls) {
    napi_value fn;
    if (napi_create_function(env, c.name, NAPI_AUTO_LENGTH, c.fn, nullptr, &fn) == napi_ok) {
      napi_set_named_property(env, exports, c.name, fn);
    }
  }
}

/** Makes the pending JavaScript exception of a Fault. */
void throw_fault(napi_env env, const Fault& fault);

// The groups of calls, each in the file of its name.
void eal_calls(Napi::Env env, Napi::Object exports);
void system_calls(Napi::Env env, Napi::Object exports);
void memory_calls(Napi::Env env, Napi::Object exports);
void ethdev_calls(Napi::Env env, Napi::Object exports);
void port_info_calls(Napi::Env env, Napi::Object exports);
void thread_calls(Napi::Env env, Napi::Object exports);
void lcore_calls(Napi::Env env, Napi::Object exports);
void doorbell_calls(Napi::Env env, Napi::Object exports);
void burst_calls(Napi::Env env, Napi::Object exports);
void flow_calls(Napi::Env env, Napi::Object exports);
void flow_rule_calls(Napi::Env env, Napi::Object exports);

}  // namespace dpvs
