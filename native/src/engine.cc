#include "engine.h"

#include "fence.h"
#include "rewrite.h"

namespace dpvs {

namespace {

/** Packets between asking for a bucket and looking at it. */
constexpr uint32_t LAG = 16;
constexpr uint64_t MAC_MASK = UINT64_C(0xffffffffffff);

enum class Kind : uint8_t {
  Other,    // nothing that a flow could cover
  Options,  // of a flow perhaps, but for TypeScript: options, or a first fragment
  Plain,    // may be forwarded here
};

/** What was read off a packet. */
struct Head {
  FlowKey key;
  uint16_t total;
  Kind kind;
};

/** True when the transport header of `len` bytes is whole and consistent: `check` of src/wire/tcp.ts and udp.ts. */
bool l4_whole(uint8_t proto, const char* l4, uint32_t len) {
  if (proto == IPPROTO_UDP) {
    if (len < UDP_HEADER) return false;
    const uint32_t length = load16(l4 + 4);
    return length >= UDP_HEADER && length <= len;
  }
  if (len < TCP_HEADER) return false;
  const uint32_t header = (load<uint8_t>(l4 + 12) >> 4) * 4u;
  return header >= TCP_HEADER && header <= len;
}

/** The checks that netif and inet make before the load balancer sees a packet. */
inline __attribute__((always_inline)) Kind parse(const Lcore& lc, const rte_mbuf* m, Head& h) {
  const uint32_t len = m->pkt_len;
  if (unlikely(len < ETH_HEADER + IP_HEADER + UDP_HEADER || m->nb_segs != 1 || m->port >= PORT_CAP)) return Kind::Other;
  const char* frame = rte_pktmbuf_mtod(m, const char*);
  const uint64_t mac = lc.block->portMac[m->port];
  if (mac == 0 || (load<uint64_t>(frame) & MAC_MASK) != mac) return Kind::Other;
  if (load<uint16_t>(frame + 12) != RTE_BE16(0x0800)) return Kind::Other;
  const char* l3 = frame + ETH_HEADER;
  const auto ver_ihl = load<uint8_t>(l3);
  const uint32_t hlen = (ver_ihl & 15u) * 4;
  const auto proto = load<uint8_t>(l3 + offsetof(rte_ipv4_hdr, next_proto_id));
  const auto fragment = load<uint16_t>(l3 + offsetof(rte_ipv4_hdr, fragment_offset));
  h.total = load16(l3 + offsetof(rte_ipv4_hdr, total_length));
  if (unlikely(ver_ihl >> 4 != 4 || hlen < IP_HEADER || h.total < hlen + UDP_HEADER || h.total > len - ETH_HEADER ||
               (proto != IPPROTO_TCP && proto != IPPROTO_UDP) ||
               (fragment & RTE_BE16(0x1fff)) != 0)) {
    return Kind::Other;
  }
  h.key = key_at(l3, l3 + hlen);
  if (unlikely(hlen != IP_HEADER || (fragment & RTE_BE16(0x2000)) != 0)) return Kind::Options;
  if (unlikely(!header_sum_right(l3) || !l4_whole(proto, l3 + IP_HEADER, h.total - IP_HEADER))) return Kind::Other;
  return Kind::Plain;
}

bool is_behind(const Lcore& lc, uint32_t conn) {
  return lc.any_behind && (lc.behind[conn / 64 % RTE_DIM(lc.behind)] >> (conn % 64) & 1) != 0;
}

void set_behind(Lcore& lc, uint32_t conn) {
  lc.behind[conn / 64 % RTE_DIM(lc.behind)] |= UINT64_C(1) << (conn % 64);
  lc.any_behind = true;
}

/** `observe` of src/ipvs/proto/tcp.ts. `len` = transport header and data. */
void observe_tcp(Conn4& c, const char* l4, uint32_t len) {
  const auto flags = load<uint8_t>(l4 + 13);
  if ((flags & TCP_RST) != 0) return;
  const uint32_t header = (load<uint8_t>(l4 + 12) >> 4) * 4u;
  const uint32_t seq = load32(l4 + 4) + (len - header) + ((flags & TCP_SYN) != 0) + ((flags & TCP_FIN) != 0);
  const uint32_t ack = (flags & TCP_ACK) != 0 ? load32(l4 + 8) : 0;
  const bool first = (flags & TCP_SYN) != 0;
  if (first || static_cast<int32_t>(seq - c.endSeq) > 0) c.endSeq = seq;
  if (first || ((flags & TCP_ACK) != 0 && static_cast<int32_t>(ack - c.endAck) > 0)) c.endAck = ack;
}

/** `enter` of src/ipvs/ipvs.ts but for the timeout, which TypeScript sets. There is room in the event vector. */
void enter(Lcore& lc, uint32_t conn, DestStats& dest, const ProtoRules& proto, uint8_t state) {
  Conn4& c = lc.flows.conn(conn * 2);
  lc.block->moves[lc.block->eventCount] = static_cast<uint8_t>(c.in.state << 4 | state);
  c.in.state = c.out.state = state;
  const bool active = (proto.active >> state & 1) != 0;
  if (active == ((c.flags & CONN_F_INACTIVE) != 0)) {
    c.flags ^= CONN_F_INACTIVE;
    const double by = active ? 1 : -1;
    dest.active += by;
    dest.inactive -= by;
  }
  lc.block->events[lc.block->eventCount++] = conn;
}

/** Ethernet padding goes, what the minimum frame size asks for is zeros. There is room. */
inline void set_frame(rte_mbuf* m, char* frame, const char* l3, uint32_t total) {
  unfence(m);
  m->data_off = static_cast<uint16_t>(frame - static_cast<char*>(m->buf_addr));
  uint32_t len = static_cast<uint32_t>(l3 - frame) + total;
  if (unlikely(len < MIN_FRAME)) {
    memset(frame + len, 0, MIN_FRAME - len);
    len = MIN_FRAME;
  }
  m->pkt_len = len;
  m->data_len = static_cast<uint16_t>(len);
}

/** What is the same for all packets of a burst. */
struct Pass {
  Lcore& lc;
  const FlowRules& rules;
  uint32_t now;
  uint32_t generation;
};

/** Actions that are carried out here. */
constexpr bool is_known(uint16_t actions) {
  constexpr uint16_t REWRITE = FLOW_ACTION_REWRITE_SRC | FLOW_ACTION_REWRITE_DST;
  return (actions & ~(FLOW_ACTION_SEQ | FLOW_ACTION_ACK)) == REWRITE || actions == FLOW_ACTION_MAC_ONLY ||
         actions == FLOW_ACTION_ENCAP_IPIP;
}

/** The actions other than a plain rewrite. @returns where the IP header begins now */
__attribute__((noinline)) char* act(const Dir4& d, const Dir4& other, char* l3, bool count_hop) {
  const bool seq = (d.actions & FLOW_ACTION_SEQ) != 0;
  const bool ack = (d.actions & FLOW_ACTION_ACK) != 0;
  if (seq || ack) {
    rewrite(d, l3, count_hop);
    if (d.proto == IPPROTO_TCP) {
      shift_numbers(l3 + IP_HEADER, seq ? d.seqDelta : 0, !ack ? 0 : seq ? 0 - other.seqDelta : d.seqDelta);
    }
    return l3;
  }
  if (count_hop) fix_ip_sum(l3, count_down(l3));
  return d.actions == FLOW_ACTION_ENCAP_IPIP ? encapsulate(d, l3) : l3;
}

/** A packet of flow `ref`. @returns false when it is for TypeScript: nothing has changed then */
inline __attribute__((always_inline)) bool forward(const Pass& pass, rte_mbuf* m, const Head& h, uint32_t ref) {
  Lcore& lc = pass.lc;
  const FlowRules& rules = pass.rules;
  const bool out = (ref & 1) == DIR_OUT;
  Dir4& d = lc.flows.dir(ref);
  const uint16_t actions = d.actions;
  Adjacency& a = lc.adjacencies[d.adj];
  char* l3 = rte_pktmbuf_mtod_offset(m, char*, ETH_HEADER);
  if (unlikely(is_behind(lc, ref >> 1) || !is_known(actions) || d.adjGen != pass.generation ||
               (a.flags & ADJ_F_READY) == 0 || a.port >= RTE_MAX_ETHPORTS || h.total > d.mtu ||
               load<uint8_t>(l3 + 8) <= (rules.count_hop ? 1 : 0) ||
               m->data_off + ETH_HEADER < headroom_for(actions, a) ||
               m->data_off + MIN_FRAME > m->buf_len)) {
    return false;
  }
  DestStats& dest = rules.dests[d.dest];
  if (unlikely((dest.flags[0] & DEST_F_EXCEPTION) != 0)) return false;

  const bool tcp = h.key.proto == IPPROTO_TCP;
  const ProtoRules& proto = tcp ? rules.tcp : rules.udp;
  const uint8_t table = out ? 1 : rules.table_in[d.fwd % RTE_DIM(rules.table_in)];
  if (unlikely(!proto.known || table == NO_TABLE)) return false;
  const uint8_t flags = tcp ? load<uint8_t>(l3 + IP_HEADER + 13) : 0;
  const uint8_t event = proto.event_of[flags];
  const uint8_t state = d.state % ProtoRules::STATES;
  if (unlikely(proto.slow[flags] != 0)) return false;
  if (tcp && !out) {
    const uint8_t refused = rules.refused_option[d.fwd % RTE_DIM(rules.refused_option)];
    if (unlikely(refused != 0 && has_option(l3 + IP_HEADER, refused))) return false;
  }
  const uint8_t next = event == NO_EVENT ? state : proto.next[table][event][state];
  if (unlikely(next != state && lc.block->eventCount >= EVENT_CAP)) return false;

  // From here on it is ours.
  d.lastSeenMs = pass.now;
  d.bytes += h.total;
  d.packets += 1;
  if (unlikely(next != state)) enter(lc, ref >> 1, dest, proto, next);
  if (out) {
    dest.outPackets += 1;
    dest.outBytes += h.total;
    if (tcp && proto.observe) observe_tcp(lc.flows.conn(ref), l3 + IP_HEADER, h.total - IP_HEADER);
  } else {
    dest.inPackets += 1;
    dest.inBytes += h.total;
  }
  a.usedMs = pass.now;
  if (likely(actions == (FLOW_ACTION_REWRITE_SRC | FLOW_ACTION_REWRITE_DST))) rewrite(d, l3, rules.count_hop);
  else l3 = act(d, lc.flows.dir(ref ^ 1), l3, rules.count_hop);
  set_frame(m, frame_to(a, l3), l3, h.total + (actions == FLOW_ACTION_ENCAP_IPIP ? IP_HEADER : 0));
  stage(lc, m, a.port);
  return true;
}

}  // namespace

void begin_flows(Lcore& lc) {
  lc.block->eventCount = 0;
  if (lc.any_behind) {
    memset(lc.behind, 0, sizeof(lc.behind));
    lc.any_behind = false;
  }
}

uint16_t forward_flows(Lcore& lc, rte_mbuf** pkts, uint16_t n, int32_t* hints) {
  if (!lc.rules.known) {
    for (uint16_t i = 0; i < n; i++) hints[i] = HINT_NONE;
    return n;
  }
  const FlowTable& flows = lc.flows;
  Head heads[BURST];
  uint64_t hashes[BURST];
  uint32_t refs[BURST];
  // Every stage touches memory that an earlier one has asked for: bucket, then record. Buckets are looked at some packets
  // behind, not in a loop of their own: a CPU that has no room for another outstanding miss drops the prefetch (Zen 3 lost
  // a fifth of 32 in a row).
  for (uint32_t k = 0; k < n + LAG; k++) {
    if (likely(k < n)) {
      heads[k].kind = parse(lc, pkts[k], heads[k]);
      if (likely(heads[k].kind != Kind::Other)) {
        hashes[k] = flows.hash(heads[k].key);
        flows.prefetch(hashes[k]);
      }
    }
    const uint32_t i = k - LAG;
    if (k < LAG || unlikely(heads[i].kind == Kind::Other)) continue;
    refs[i] = flows.candidate(hashes[i]);
    if (unlikely(refs[i] == FlowTable::NONE)) continue;
    flows.prefetch_flow(refs[i], heads[i].key.proto);
  }
  const Pass pass{lc, lc.rules, static_cast<uint32_t>(static_cast<uint64_t>(lc.block->nowMs)), lc.block->generation};
  uint16_t left = 0;
  for (uint16_t i = 0; i < n; i++) {
    uint32_t ref = FlowTable::NONE;
    if (likely(heads[i].kind != Kind::Other)) {
      ref = refs[i];
      if (unlikely(ref == FlowTable::NONE || !flows.is(ref, heads[i].key))) ref = flows.find(heads[i].key, hashes[i]);
      if (likely(ref != FlowTable::NONE)) {
        if (likely(heads[i].kind == Kind::Plain) && forward(pass, pkts[i], heads[i], ref)) continue;
        set_behind(lc, ref >> 1);
      }
    }
    const int32_t none = heads[i].kind == Kind::Other ? HINT_NONE : HINT_ABSENT;
    hints[left] = ref == FlowTable::NONE ? none : static_cast<int32_t>(ref);
    pkts[left++] = pkts[i];
  }
  lc.stats->flowHits += n - left;
  return left;
}

}  // namespace dpvs
