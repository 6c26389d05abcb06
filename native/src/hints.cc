#include "hints.h"

#include <rte_byteorder.h>
#include <rte_ip.h>

#include <cstring>

#include "parse.h"

namespace dpvs {

namespace {

constexpr uint32_t PORTS = 4;

/** The tuple of what looks like a whole TCP or UDP datagram without IP options. @returns false for anything else */
bool read_tuple(const rte_mbuf* m, FlowKey& k) {
  if (m->data_len < ETH_HEADER + IP_HEADER + PORTS) return false;
  const char* frame = rte_pktmbuf_mtod(m, const char*);
  const char* l3 = frame + ETH_HEADER;
  uint16_t type, fragment;
  memcpy(&type, frame + ETH_HEADER - sizeof(type), sizeof(type));
  memcpy(&fragment, l3 + offsetof(rte_ipv4_hdr, fragment_offset), sizeof(fragment));
  k = key_at(l3, l3 + IP_HEADER);
  return type == RTE_BE16(0x0800) && l3[0] == 0x45 && (fragment & RTE_BE16(0x3fff)) == 0 &&
         (k.proto == IPPROTO_TCP || k.proto == IPPROTO_UDP);
}

}  // namespace

void find_hints(Lcore& lc, rte_mbuf* const* pkts, uint16_t n, int32_t* hints) {
  FlowTable& flows = lc.flows;
  FlowKey keys[BURST];
  uint64_t hashes[BURST];
  FlowTable::Look looks[BURST];
  uint32_t refs[BURST];
  uint16_t which[BURST];
  uint16_t wanted = 0;
  for (uint16_t i = 0; i < n; i++) {
    if (hints[i] != HINT_NONE || !read_tuple(pkts[i], keys[wanted])) continue;
    hashes[wanted] = flows.hash(keys[wanted]);
    looks[wanted] = flows.look(hashes[wanted]);
    which[wanted++] = i;
  }
  for (uint16_t i = 0; i < wanted; i++) {
    if (FlowTable::candidate(looks[i], &refs[i])) flows.prefetch_flow(refs[i], keys[i].proto);
    else refs[i] = FlowTable::NONE;
  }
  for (uint16_t i = 0; i < wanted; i++) {
    uint32_t ref = refs[i];
    if (ref == FlowTable::NONE || !flows.is(ref, keys[i])) ref = flows.find_missed(keys[i], hashes[i]);
    hints[which[i]] = ref == FlowTable::NONE ? HINT_ABSENT : static_cast<int32_t>(ref);
  }
}

}  // namespace dpvs
