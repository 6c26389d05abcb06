// EAL's log lines on their way to JavaScript.
#pragma once
#include <napi.h>

#include <string>

namespace dpvs {

/** Opens EAL's log stream towards `on_log` (called on the thread of `env`). */
void log_open(Napi::Env env, Napi::Function on_log);
/** Sends EAL's log to standard error again if `env` had it: the environment ends. */
void log_close(napi_env env);
/** Hands a line that did not come by EAL's log. Level 1 (emergency) to 8 (debug). */
void log_line(int level, const std::string& line);

/** Error lines since the last call, joined: the reason that a driver gave for what failed. */
std::string log_take_errors();

}  // namespace dpvs
