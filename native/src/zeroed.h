// Large pieces of zeroed memory.
#pragma once
#include <cstddef>

namespace dpvs {

constexpr size_t HUGE_PAGE = 2 << 20;

/** On huge pages where the kernel has some, taken when touched. @returns nullptr when there is no room (errno) */
void* map_zeroed(size_t bytes);
void unmap_zeroed(void* p, size_t bytes);

}  // namespace dpvs
