// With AddressSanitizer (tools/sanitize): marks what must not be touched inside of memory that is ours, where the
// sanitizer sees no borders. Nothing otherwise.
#pragma once
#include <rte_mbuf.h>

#include <cstddef>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace dpvs {

/** The room behind a received frame: whoever parses it must not look there. */
inline void fence([[maybe_unused]] rte_mbuf* m) {
#ifdef __SANITIZE_ADDRESS__
  const size_t end = m->data_off + static_cast<size_t>(m->data_len);
  if (end < m->buf_len) ASAN_POISON_MEMORY_REGION(static_cast<char*>(m->buf_addr) + end, m->buf_len - end);
#endif
}

/** The whole buffer may be used: the frame is changed, or belongs to somebody else now. */
inline void unfence([[maybe_unused]] rte_mbuf* m) {
#ifdef __SANITIZE_ADDRESS__
  ASAN_UNPOISON_MEMORY_REGION(m->buf_addr, m->buf_len);
#endif
}

}  // namespace dpvs
