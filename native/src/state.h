// What the whole process shares: one EAL, one packet pool. Control calls hold `control`; the packet path
// (poll.cc, flush.cc, flow.cc) never takes it.
#pragma once
#include <rte_mempool.h>

#include <atomic>
#include <cstdint>
#include <mutex>

namespace dpvs {

enum class Eal : uint8_t { Fresh, Ready, Failed, Cleaned };

extern std::mutex control;
extern std::atomic<Eal> eal;

/** Throws EAL_STATE unless EAL is up. */
void need_eal();

/** The packet pool: all mbufs in one piece, a packet is the offset of its mbuf from `base`. */
struct Pool {
  rte_mempool* mp = nullptr;
  char* base = nullptr;
  size_t bytes = 0;
  /** From an mbuf to its first buffer byte. */
  uint32_t buffer_offset = 0;
};
extern Pool pool;

/** Throws PORT_STATE unless the packet pool exists. */
void need_pool();

/** A number that no other thread of this process has or will have. */
uint64_t thread_uid();

}  // namespace dpvs
