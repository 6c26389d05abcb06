#include "args.h"

#include <sys/mman.h>

#include <cmath>
#include <cstring>

#include "errors.h"
#include "zeroed.h"

namespace dpvs {

int64_t to_int(Napi::Value v, const char* name, int64_t min, int64_t max) {
  if (!v.IsNumber()) fail(code::BAD_ARG, "%s: not a number", name);
  const double d = v.As<Napi::Number>().DoubleValue();
  if (!(d >= static_cast<double>(min) && d <= static_cast<double>(max)) || d != std::floor(d)) {
    fail(code::BAD_ARG, "%s: %.17g is not an integer from %lld to %lld", name, d, static_cast<long long>(min),
         static_cast<long long>(max));
  }
  return static_cast<int64_t>(d);
}

bool to_bool(Napi::Value v, const char* name) {
  if (!v.IsBoolean()) fail(code::BAD_ARG, "%s: not a boolean", name);
  return v.As<Napi::Boolean>().Value();
}

std::string to_string(Napi::Value v, const char* name, size_t max) {
  if (!v.IsString()) fail(code::BAD_ARG, "%s: not a string", name);
  std::string s = v.As<Napi::String>().Utf8Value();
  if (s.empty()) fail(code::BAD_ARG, "%s: empty", name);
  if (s.size() > max) fail(code::BAD_ARG, "%s: longer than %zu bytes", name, max);
  if (s.find('\0') != std::string::npos) fail(code::BAD_ARG, "%s: contains a NUL", name);
  return s;
}

Napi::Array to_array(Napi::Value v, const char* name) {
  if (!v.IsArray()) fail(code::BAD_ARG, "%s: not an array", name);
  return v.As<Napi::Array>();
}

Napi::Object to_object(Napi::Value v, const char* name) {
  if (!v.IsObject()) fail(code::BAD_ARG, "%s: not an object", name);
  return v.As<Napi::Object>();
}

std::vector<std::string> to_strings(Napi::Value v, const char* name, size_t max_each) {
  const Napi::Array a = to_array(v, name);
  std::vector<std::string> out;
  for (uint32_t i = 0; i < a.Length(); i++) out.push_back(to_string(a.Get(i), name, max_each));
  return out;
}

int64_t int_of(Napi::Object o, const char* name, int64_t min, int64_t max) {
  return to_int(o.Get(name), name, min, max);
}

std::string string_of(Napi::Object o, const char* name, size_t max) { return to_string(o.Get(name), name, max); }

// N-API 9 has no SharedArrayBuffer; a napi_value is a v8::Local, as node's own v8impl has it.
static v8::Local<v8::Value> to_v8(napi_value v) {
  v8::Local<v8::Value> local;
  static_assert(sizeof(local) == sizeof(v));
  memcpy(static_cast<void*>(&local), &v, sizeof(v));
  return local;
}

static Napi::Value from_v8(Napi::Env env, v8::Local<v8::Value> local) {
  napi_value v;
  memcpy(&v, static_cast<void*>(&local), sizeof(v));
  return Napi::Value(env, v);
}

std::shared_ptr<v8::BackingStore> to_shared(Napi::Value v, const char* name, size_t min) {
  const v8::Local<v8::Value> local = to_v8(v);
  if (local.IsEmpty() || !local->IsSharedArrayBuffer()) {
    fail(code::BAD_ARG, "%s: not a SharedArrayBuffer", name);
  }
  auto store = local.As<v8::SharedArrayBuffer>()->GetBackingStore();
  if (store->ByteLength() < min) {
    fail(code::BAD_ARG, "%s: %zu bytes where %zu are needed", name, store->ByteLength(), min);
  }
  return store;
}

static Napi::Value shared(Napi::Env env, void* p, size_t bytes, v8::BackingStore::DeleterCallback deleter) {
  auto store = v8::SharedArrayBuffer::NewBackingStore(p, bytes, deleter, nullptr);
  return from_v8(env, v8::SharedArrayBuffer::New(v8::Isolate::GetCurrent(), std::move(store)));
}

Napi::Value shared_over(Napi::Env env, void* p, size_t bytes) {
  return shared(env, p, bytes, v8::BackingStore::EmptyDeleter);
}

Napi::Value shared_over_mapping(Napi::Env env, void* p, size_t bytes) {
  return shared(env, p, bytes, [](void* data, size_t length, void*) { munmap(data, length); });
}

Napi::Value shared_over_zeroed(Napi::Env env, void* p, size_t bytes) {
  return shared(env, p, bytes, [](void* data, size_t length, void*) { unmap_zeroed(data, length); });
}

}  // namespace dpvs
