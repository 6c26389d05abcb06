// Arguments from JavaScript, checked: every one of the wrong type or out of range throws BAD_ARG with its name.
#pragma once
#include <napi.h>
#include <v8.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace dpvs {

int64_t to_int(Napi::Value v, const char* name, int64_t min, int64_t max);
bool to_bool(Napi::Value v, const char* name);
/** A string without NUL of 1 to `max` bytes. */
std::string to_string(Napi::Value v, const char* name, size_t max);
std::vector<std::string> to_strings(Napi::Value v, const char* name, size_t max_each);
Napi::Object to_object(Napi::Value v, const char* name);
Napi::Array to_array(Napi::Value v, const char* name);

/** Members of an object argument. */
int64_t int_of(Napi::Object o, const char* name, int64_t min, int64_t max);
std::string string_of(Napi::Object o, const char* name, size_t max);

/** The memory of a SharedArrayBuffer of at least `min` bytes. Whoever keeps it keeps the memory alive. */
std::shared_ptr<v8::BackingStore> to_shared(Napi::Value v, const char* name, size_t min);

/** A SharedArrayBuffer over memory that outlives it (EAL's). */
Napi::Value shared_over(Napi::Env env, void* p, size_t bytes);
/** A SharedArrayBuffer over a mapping that is unmapped when nobody refers to it any more. */
Napi::Value shared_over_mapping(Napi::Env env, void* p, size_t bytes);
/** The same over what map_zeroed() gave. */
Napi::Value shared_over_zeroed(Napi::Env env, void* p, size_t bytes);

}  // namespace dpvs
