// Memory that TypeScript and DPDK share: the packet pool, memzones, mapped files.
#include <fcntl.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_memzone.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "args.h"
#include "calls.h"
#include "layout.h"
#include "state.h"
#include "zeroed.h"

namespace dpvs {

void need_pool() {
  need_eal();
  if (pool.mp == nullptr) fail(code::PORT_STATE, "there is no packet pool yet (mempoolCreate)");
}

namespace {

// Packet offsets have to stay small integers in V8.
constexpr size_t MAX_ARENA = 2ull << 30;
constexpr size_t MAX_MAPPING = 64ull << 30;

constexpr size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

/**
 * Where addresses for devices are virtual ones, a virtually contiguous piece is contiguous for them too. Else no
 * mbuf may cross a (huge) page, and room is lost at the end of each.
 */
bool addresses_are_virtual() { return rte_eal_iova_mode() == RTE_IOVA_VA || !rte_eal_has_hugepages(); }

/** Fills the empty pool from one memzone. @returns false when there is no memory */
bool populate(rte_mempool* mp, uint32_t count, int socket) {
  const bool contiguous = addresses_are_virtual();
  size_t page = 0;
  if (!contiguous && rte_mempool_get_page_size(mp, &page) < 0) return false;
  size_t min_chunk = 0, align = 0;
  const ssize_t bytes =
      rte_mempool_op_calc_mem_size_default(mp, count, page == 0 ? 0 : rte_bsf64(page), &min_chunk, &align);
  if (bytes <= 0) return false;
  if (static_cast<size_t>(bytes) > MAX_ARENA) {
    fail(code::BAD_ARG, "count: %u packets need %zd bytes, more than 2 GiB", count, bytes);
  }
  char name[RTE_MEMZONE_NAMESIZE];
  snprintf(name, sizeof(name), "arena_%.16s", mp->name);
  if (align < 4096) align = 4096;  // AF_XDP maps whole pages
  const rte_memzone* mz = rte_memzone_reserve_aligned(name, bytes, socket, 0, align);
  if (mz == nullptr) return false;
  memset(mz->addr, 0, mz->len);
  const auto release = [](rte_mempool_memhdr*, void* opaque) {
    rte_memzone_free(static_cast<const rte_memzone*>(opaque));
  };
  char* const base = static_cast<char*>(mz->addr);
  int n;
  if (contiguous) {
    const rte_iova_t iova = rte_eal_iova_mode() == RTE_IOVA_VA ? mz->iova : RTE_BAD_IOVA;
    n = rte_mempool_populate_iova(mp, base, iova, mz->len, release, const_cast<rte_memzone*>(mz));
    if (n <= 0) rte_memzone_free(mz);
  } else {
    n = rte_mempool_populate_virt(mp, base, mz->len, page, nullptr, nullptr);
  }
  if (n < 0 || mp->populated_size < count) return false;
  pool.base = base;
  pool.bytes = mz->len;
  return true;
}

Napi::Value mempool_create(const Napi::CallbackInfo& info) {
  need_eal();
  const Napi::Object o = to_object(info[0], "options");
  const std::string name = string_of(o, "name", 16);
  const auto count = static_cast<uint32_t>(int_of(o, "count", 1, 1 << 22));
  const auto cache = static_cast<uint32_t>(int_of(o, "cache", 0, RTE_MEMPOOL_CACHE_MAX_SIZE));
  const int socket = static_cast<int>(int_of(o, "socket", SOCKET_ID_ANY, RTE_MAX_NUMA_NODES - 1));
  if (cache * 3 > count * 2) fail(code::BAD_ARG, "cache: %u is too large for %u packets", cache, count);
  if (pool.mp != nullptr) fail(code::BAD_ARG, "the packet pool exists already");

  constexpr uint32_t priv = sizeof(PktPriv);
  constexpr uint32_t room = MBUF_HEADROOM + MBUF_DATA_ROOM;
  constexpr uint32_t element = sizeof(rte_mbuf) + priv + room;
  const unsigned flags = addresses_are_virtual() ? RTE_MEMPOOL_F_NO_IOVA_CONTIG : 0;
  rte_mempool* mp = rte_mempool_create_empty(name.c_str(), count, element, cache, sizeof(rte_pktmbuf_pool_private),
                                             socket, flags);
  if (mp == nullptr) {
    fail(code::NO_MEMORY, "rte_mempool_create_empty (%u packets): %s", count, rte_strerror(rte_errno));
  }
  try {
    check_dpdk(rte_mempool_set_ops_byname(mp, rte_mbuf_best_mempool_ops(), nullptr), "rte_mempool_set_ops_byname");
    rte_pktmbuf_pool_private settings = {};
    settings.mbuf_data_room_size = room;
    settings.mbuf_priv_size = priv;
    rte_pktmbuf_pool_init(mp, &settings);
    if (!populate(mp, count, socket)) {
      fail(code::NO_MEMORY, "no contiguous memory for %u packets of %u bytes on socket %d", count, element, socket);
    }
  } catch (...) {
    rte_mempool_free(mp);
    throw;
  }
  rte_mempool_obj_iter(mp, rte_pktmbuf_init, nullptr);
  pool.mp = mp;
  pool.buffer_offset = sizeof(rte_mbuf) + priv;

  auto result = Napi::Object::New(info.Env());
  result.Set("arena", shared_over(info.Env(), pool.base, pool.bytes));
  result.Set("bufferOffset", pool.buffer_offset);
  result.Set("count", mp->populated_size);
  return result;
}

Napi::Value mempool_stats(const Napi::CallbackInfo& info) {
  need_pool();
  auto o = Napi::Object::New(info.Env());
  o.Set("available", rte_mempool_avail_count(pool.mp));
  o.Set("inUse", rte_mempool_in_use_count(pool.mp));
  return o;
}

Napi::Value memzone(const Napi::CallbackInfo& info) {
  need_eal();
  const std::string name = to_string(info[0], "name", RTE_MEMZONE_NAMESIZE - 1);
  const auto bytes = static_cast<size_t>(to_int(info[1], "bytes", 1, MAX_MAPPING));
  const int socket = static_cast<int>(to_int(info[2], "socket", SOCKET_ID_ANY, RTE_MAX_NUMA_NODES - 1));
  const rte_memzone* mz = rte_memzone_lookup(name.c_str());
  if (mz == nullptr) {
    mz = rte_memzone_reserve(name.c_str(), bytes, socket, 0);
    if (mz == nullptr) {
      fail(rte_errno == ENOMEM ? code::NO_MEMORY : code::DPDK, "memzone %s (%zu bytes, socket %d): %s",
           name.c_str(), bytes, socket, rte_strerror(rte_errno));
    }
    memset(mz->addr, 0, mz->len);
  } else if (mz->len != round_up(bytes, RTE_CACHE_LINE_SIZE)) {
    fail(code::BAD_ARG, "bytes: memzone %s exists with %zu bytes, not %zu", name.c_str(), mz->len, bytes);
  }
  return shared_over(info.Env(), mz->addr, bytes);
}

Napi::Value mem_free(const Napi::CallbackInfo& info) {
  need_eal();
  const int socket = static_cast<int>(to_int(info[0], "socket", 0, RTE_MAX_NUMA_NODES - 1));
  rte_malloc_socket_stats stats = {};
  if (rte_malloc_get_socket_stats(socket, &stats) < 0) fail(code::BAD_ARG, "socket: EAL has no socket %d", socket);
  return Napi::Number::New(info.Env(), static_cast<double>(stats.heap_freesz_bytes));
}

/** Gives the file its size with zeros in all of it and the space for it reserved: no SIGBUS later. */
int make_zeroed(int fd, off_t bytes) {
  struct stat st;
  if (fstat(fd, &st) != 0) return errno;
  if (!S_ISREG(st.st_mode)) return EINVAL;
  // A hole in place of a truncation to nothing: tools may have the file mapped.
  if (st.st_size > 0 && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, st.st_size) != 0) {
    if (ftruncate(fd, 0) != 0) return errno;
    st.st_size = 0;
  }
  if (st.st_size != bytes && ftruncate(fd, bytes) != 0) return errno;
  return posix_fallocate(fd, 0, bytes);
}

Napi::Value map_file(const Napi::CallbackInfo& info) {
  const std::string path = to_string(info[0], "path", PATH_MAX);
  const auto bytes = static_cast<size_t>(to_int(info[1], "bytes", 1, MAX_MAPPING));
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) fail_syscall("open", path, errno);
  const int err = make_zeroed(fd, static_cast<off_t>(bytes));
  if (err != 0) {
    close(fd);
    fail_syscall("reserving space in", path, err);
  }
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  const int map_err = errno;
  close(fd);
  if (p == MAP_FAILED) fail_syscall("mmap", path, map_err);
  return shared_over_mapping(info.Env(), p, bytes);
}

Napi::Value map_anonymous(const Napi::CallbackInfo& info) {
  const auto bytes = static_cast<size_t>(to_int(info[0], "bytes", 1, MAX_MAPPING));
  void* start = map_zeroed(bytes);
  if (start == nullptr) {
    fail(errno == ENOMEM ? code::NO_MEMORY : code::SYSCALL, "mmap of %zu bytes: %s", bytes, strerror(errno));
  }
  return shared_over_zeroed(info.Env(), start, bytes);
}

const Call CALLS[] = {
    {"mempoolCreate", mempool_create},
    {"mempoolStats", mempool_stats},
    {"memzone", memzone},
    {"memFree", mem_free},
    {"mapFile", map_file},
    {"mapAnonymous", map_anonymous},
};

}  // namespace

void memory_calls(Napi::Env env, Napi::Object exports) { add_calls(env, exports, CALLS); }

}  // namespace dpvs
