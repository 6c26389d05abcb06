// What an lcore sleeps on when it is idle.
#pragma once
#include <atomic>
#include <cstdint>

namespace dpvs {

/**
 * A futex of our own: V8's Atomics.wait and notify share one lock between all threads of the process, and cost several times as
 * much CPU. On a cache line of its own, as every other lcore writes it.
 */
class alignas(64) Doorbell {
 public:
  /** Any thread, no lock: wakes the sleeper, or makes the next sleep return at once. What was posted before is visible to it. */
  void ring();

  /** Owner: sleeps until the bell rings (or rang since the last sleep), at most so long. Ends early on a signal. */
  void sleep(uint32_t microseconds);

 private:
  enum State : uint32_t { QUIET, RUNG, ASLEEP };

  std::atomic<uint32_t> state_{QUIET};
};

}  // namespace dpvs
