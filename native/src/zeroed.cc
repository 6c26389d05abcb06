#include "zeroed.h"

#include <malloc.h>
#include <rte_common.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

namespace dpvs {

constexpr size_t PAGE = 4096;

#ifdef __SANITIZE_ADDRESS__
// From the sanitizer's heap: it knows the borders, and who uses it after its end.
void* map_zeroed(size_t bytes) {
  void* p = memalign(PAGE, bytes);
  if (p != nullptr) memset(p, 0, bytes);
  return p;
}

void unmap_zeroed(void* p, size_t) { free(p); }
#else
void* map_zeroed(size_t bytes) {
  // Huge pages need an aligned start: take more, give the rest back.
  const size_t slack = bytes >= HUGE_PAGE ? HUGE_PAGE : 0;
  const size_t whole = RTE_ALIGN_CEIL(bytes, PAGE) + slack;
  void* raw = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  char* start = static_cast<char*>(raw);
  if (slack != 0) {
    char* const aligned = RTE_PTR_ALIGN_CEIL(start, HUGE_PAGE);
    if (aligned > start) munmap(start, aligned - start);
    char* const end = start + whole;
    char* const keep = aligned + (whole - slack);
    if (end > keep) munmap(keep, end - keep);
    start = aligned;
    madvise(start, bytes, MADV_HUGEPAGE);
  }
  return start;
}

void unmap_zeroed(void* p, size_t bytes) { munmap(p, bytes); }
#endif

}  // namespace dpvs
