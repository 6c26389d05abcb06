// The part of struct rte_mbuf that TypeScript reads (MBUF in src/core/layout.ts) against the DPDK that is here.
#include <rte_mbuf.h>

#include "layout.h"

namespace dpvs {

static_assert(MBUF_AT_DATA_OFF == offsetof(rte_mbuf, data_off));
static_assert(MBUF_AT_REFCNT == offsetof(rte_mbuf, refcnt));
static_assert(MBUF_AT_NB_SEGS == offsetof(rte_mbuf, nb_segs));
static_assert(MBUF_AT_PORT == offsetof(rte_mbuf, port));
static_assert(MBUF_AT_OL_FLAGS == offsetof(rte_mbuf, ol_flags));
static_assert(MBUF_AT_PKT_LEN == offsetof(rte_mbuf, pkt_len));
static_assert(MBUF_AT_DATA_LEN == offsetof(rte_mbuf, data_len));
static_assert(MBUF_AT_VLAN_TCI == offsetof(rte_mbuf, vlan_tci));
static_assert(MBUF_AT_HASH == offsetof(rte_mbuf, hash.rss));
static_assert(MBUF_AT_BUF_LEN == offsetof(rte_mbuf, buf_len));
static_assert(MBUF_AT_TX_OFFLOAD == offsetof(rte_mbuf, tx_offload));
static_assert(MBUF_AT_PRIV == sizeof(rte_mbuf));
static_assert(sizeof(static_cast<rte_mbuf*>(nullptr)->data_off) == 2);
static_assert(sizeof(static_cast<rte_mbuf*>(nullptr)->pkt_len) == 4);
static_assert(sizeof(static_cast<rte_mbuf*>(nullptr)->data_len) == 2);
static_assert(MBUF_HEADROOM == RTE_PKTMBUF_HEADROOM);

}  // namespace dpvs
