#include "log.h"

#include <rte_log.h>

#include <cstdio>
#include <mutex>

namespace dpvs {

namespace {

struct Line {
  int level;
  std::string text;
};

// A flood of debug lines must not eat the heap while the main thread is busy: beyond this many, lines are lost.
constexpr size_t QUEUE = 16384;
constexpr size_t KEPT_ERRORS = 2000;

std::mutex guard;
napi_threadsafe_function sink = nullptr;
napi_env sink_env = nullptr;
std::string partial;
std::string errors;
FILE* stream = nullptr;

void deliver(int level, std::string text) {
  if (level <= static_cast<int>(RTE_LOG_ERR) && errors.size() < KEPT_ERRORS) {
    if (!errors.empty()) errors += "; ";
    errors += text;
  }
  if (sink == nullptr) {
    fprintf(stderr, "%s\n", text.c_str());
    return;
  }
  auto* line = new Line{level, std::move(text)};
  if (napi_call_threadsafe_function(sink, line, napi_tsfn_nonblocking) != napi_ok) delete line;
}

ssize_t write_cookie(void*, const char* data, size_t size) {
  const std::lock_guard lock(guard);
  const int level = rte_log_cur_msg_loglevel();
  for (size_t i = 0; i < size; i++) {
    if (data[i] != '\n') {
      partial += data[i];
    } else if (!partial.empty()) {
      deliver(level, std::move(partial));
      partial.clear();
    }
  }
  return static_cast<ssize_t>(size);
}

void call_js(napi_env env, napi_value callback, void*, void* data) {
  auto* line = static_cast<Line*>(data);
  if (env != nullptr && callback != nullptr) {
    napi_handle_scope scope;
    napi_value argv[2], undefined;
    if (napi_open_handle_scope(env, &scope) == napi_ok) {
      napi_create_int32(env, line->level, &argv[0]);
      napi_create_string_utf8(env, line->text.data(), line->text.size(), &argv[1]);
      napi_get_undefined(env, &undefined);
      napi_call_function(env, undefined, callback, 2, argv, nullptr);
      napi_close_handle_scope(env, scope);
    }
  }
  delete line;
}

}  // namespace

void log_open(Napi::Env env, Napi::Function on_log) {
  const std::lock_guard lock(guard);
  if (sink != nullptr) return;
  napi_value name;
  napi_create_string_utf8(env, "dpvs.log", NAPI_AUTO_LENGTH, &name);
  if (napi_create_threadsafe_function(env, on_log, nullptr, name, QUEUE, 1, nullptr, nullptr, nullptr, call_js,
                                      &sink) != napi_ok) {
    sink = nullptr;
    return;
  }
  sink_env = env;
  napi_unref_threadsafe_function(env, sink);
  if (stream == nullptr) {
    cookie_io_functions_t io = {};
    io.write = write_cookie;
    stream = fopencookie(nullptr, "w", io);
    setvbuf(stream, nullptr, _IOLBF, 4096);
  }
  rte_openlog_stream(stream);
}

void log_close(napi_env env) {
  const std::lock_guard lock(guard);
  if (sink == nullptr || env != sink_env) return;
  napi_release_threadsafe_function(sink, napi_tsfn_abort);
  sink = nullptr;
}

void log_line(int level, const std::string& line) {
  const std::lock_guard lock(guard);
  deliver(level, line);
}

std::string log_take_errors() {
  if (stream != nullptr) fflush(stream);
  const std::lock_guard lock(guard);
  return std::move(errors);
}

}  // namespace dpvs
