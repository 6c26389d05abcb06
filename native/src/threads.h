// Threads as EAL and the lcores know them.
#pragma once
#include <napi.h>

namespace dpvs {

/** When the thread's environment ends: its lcores are marked as without thread, its EAL registration is undone. */
void watch_thread_end(Napi::Env env);

}  // namespace dpvs
