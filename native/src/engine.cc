#include "engine.h"

#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_prefetch.h>

#include <cstring>

#include "fence.h"
#include "transmit.h"

namespace dpvs {

namespace {

constexpr uint32_t IP_HEADER = 20;
constexpr uint32_t TCP_HEADER = 20;
constexpr uint32_t UDP_HEADER = 8;
constexpr uint8_t IP_TCP = 6;
constexpr uint8_t IP_UDP = 17;
constexpr uint32_t TCP_CHECKSUM = 16;
constexpr uint32_t UDP_CHECKSUM = 6;
constexpr uint64_t MAC_MASK = UINT64_C(0xffffffffffff);
/** TTL - 1 in a checksum delta: the word of TTL and protocol falls by 0x100. */
constexpr uint32_t TTL_DELTA = 0xfeff;
constexpr uint8_t TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_ACK = 0x10;

template <typename T>
T load(const char* p) {
  T v;
  memcpy(&v, p, sizeof(v));
  return v;
}
template <typename T>
void store(char* p, T v) {
  memcpy(p, &v, sizeof(v));
}
uint16_t load16(const char* p) { return rte_be_to_cpu_16(load<uint16_t>(p)); }
uint32_t load32(const char* p) { return rte_be_to_cpu_32(load<uint32_t>(p)); }

/** As fold() of src/wire/checksum.ts. */
uint32_t fold(uint32_t sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return ((sum & 0xffff) + (sum >> 16)) & 0xffff;
}

/** RFC 1624 equation 3. */
uint16_t apply(uint16_t checksum, uint32_t delta) {
  return static_cast<uint16_t>(~fold((~checksum & 0xffffu) + delta));
}

bool header_sum_right(const char* l3) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < IP_HEADER; i += 4) sum += load<uint32_t>(l3 + i);
  sum = (sum & 0xffffffff) + (sum >> 32);
  return fold(static_cast<uint32_t>((sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32))) == 0xffff;
}

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

void read_key(const char* l3, const char* l4, FlowKey& k) {
  k.addrs = load<uint64_t>(l3 + offsetof(rte_ipv4_hdr, src_addr));
  k.ports = load<uint32_t>(l4);
  k.proto = load<uint8_t>(l3 + offsetof(rte_ipv4_hdr, next_proto_id));
}

/** True when the transport header of `len` bytes is whole and consistent: `check` of src/wire/tcp.ts and udp.ts. */
bool l4_whole(uint8_t proto, const char* l4, uint32_t len) {
  if (proto == IP_UDP) {
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
               (proto != IP_TCP && proto != IP_UDP) ||
               (fragment & RTE_BE16(0x1fff)) != 0)) {
    return Kind::Other;
  }
  read_key(l3, l3 + hlen, h.key);
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
void enter(Lcore& lc, uint32_t conn, Conn4& c, DestStats& dest, const ProtoRules& proto, uint8_t state) {
  c.state = state;
  const bool active = (proto.active >> state & 1) != 0;
  if (active == ((c.flags & CONN_F_INACTIVE) != 0)) {
    c.flags ^= CONN_F_INACTIVE;
    const double by = active ? 1 : -1;
    dest.active += by;
    dest.inactive -= by;
  }
  lc.block->events[lc.block->eventCount++] = conn;
}

/** `rewrite` of src/ipvs/xmit/rewrite.ts, with the Ethernet header of the neighbour. */
void rewrite(const Dir4& d, const Adjacency& a, char* frame, bool count_hop) {
  char* l3 = frame + ETH_HEADER;
  char* l4 = l3 + IP_HEADER;
  static_assert(offsetof(Adjacency, smac) == offsetof(Adjacency, dmac) + 6);
  const auto* macs = reinterpret_cast<const char*>(a.dmac);
  store(frame, load<uint64_t>(macs));
  store(frame + 8, load<uint32_t>(macs + 8));
  uint32_t ip = d.ipDelta;
  if (count_hop) {
    store<uint8_t>(l3 + 8, load<uint8_t>(l3 + 8) - 1);
    ip += TTL_DELTA;
  }
  char* sum = l3 + offsetof(rte_ipv4_hdr, hdr_checksum);
  store(sum, rte_cpu_to_be_16(apply(load16(sum), ip)));
  static_assert(offsetof(Dir4, newDaddr) == offsetof(Dir4, newSaddr) + 4);
  static_assert(offsetof(Dir4, newDport) == offsetof(Dir4, newSport) + 2);
  store(l3 + offsetof(rte_ipv4_hdr, src_addr), load<uint64_t>(reinterpret_cast<const char*>(&d.newSaddr)));
  store(l4, load<uint32_t>(reinterpret_cast<const char*>(&d.newSport)));
  if (d.proto == IP_TCP) {
    sum = l4 + TCP_CHECKSUM;
    store(sum, rte_cpu_to_be_16(apply(load16(sum), d.l4Delta)));
  } else {
    // RFC 768: 0 says "none" and stays so, a computed 0 is sent as 0xffff.
    sum = l4 + UDP_CHECKSUM;
    const uint16_t old = load16(sum);
    if (old != 0) {
      const uint16_t now = apply(old, d.l4Delta);
      store(sum, rte_cpu_to_be_16(now == 0 ? UINT16_C(0xffff) : now));
    }
  }
}

/** Ethernet padding goes, what the minimum frame size asks for is zeros. @returns false when there is no room */
bool set_length(rte_mbuf* m, char* frame, uint32_t len) {
  unfence(m);
  if (unlikely(len < MIN_FRAME)) {
    if (m->data_off + MIN_FRAME > m->buf_len) return false;
    memset(frame + len, 0, MIN_FRAME - len);
    len = MIN_FRAME;
  }
  m->pkt_len = len;
  m->data_len = static_cast<uint16_t>(len);
  return true;
}

/** A packet of flow `ref`. @returns false when it is for TypeScript: nothing has changed then */
inline __attribute__((always_inline)) bool forward(Lcore& lc, rte_mbuf* m, const Head& h, uint32_t ref, uint32_t now) {
  constexpr uint16_t REWRITE = FLOW_ACTION_REWRITE_SRC | FLOW_ACTION_REWRITE_DST;
  const FlowRules& rules = lc.rules;
  const uint32_t conn = ref >> 1;
  const bool out = (ref & 1) == DIR_OUT;
  Conn4& c = lc.flows.conn(ref);
  Dir4& d = out ? c.out : c.in;
  if (unlikely(is_behind(lc, conn))) return false;
  if (unlikely((d.actions & REWRITE) == 0 || (d.actions & ~REWRITE) != 0)) return false;
  DestStats& dest = rules.dests[c.dest % DEST_CAP];
  if (unlikely((dest.flags[0] & DEST_F_EXCEPTION) != 0)) return false;
  Adjacency& a = lc.adjacencies[d.adj % ADJ_CAP];
  if (unlikely(d.adjGen != lc.block->generation || (a.flags & ADJ_F_READY) == 0 || a.vlanTci != 0)) return false;
  if (unlikely(h.total > d.mtu || a.port >= RTE_MAX_ETHPORTS)) return false;
  char* frame = rte_pktmbuf_mtod(m, char*);
  const char* l4 = frame + ETH_HEADER + IP_HEADER;
  if (unlikely(load<uint8_t>(frame + ETH_HEADER + 8) <= (rules.count_hop ? 1 : 0))) return false;

  const bool tcp = h.key.proto == IP_TCP;
  const ProtoRules& proto = tcp ? rules.tcp : rules.udp;
  const uint8_t table = out ? 1 : rules.table_in[c.fwd % RTE_DIM(rules.table_in)];
  if (unlikely(!proto.known || table == NO_TABLE)) return false;
  const uint8_t flags = tcp ? load<uint8_t>(l4 + 13) : 0;
  const uint8_t event = proto.event_of[flags];
  const uint8_t state = c.state % ProtoRules::STATES;
  if (unlikely(!out && (proto.closing >> state & 1) != 0 && proto.opens[flags] != 0)) return false;
  const uint8_t next = event == NO_EVENT ? state : proto.next[table][event][state];
  if (unlikely(next != state && lc.block->eventCount >= EVENT_CAP)) return false;
  if (unlikely(!set_length(m, frame, ETH_HEADER + h.total))) return false;

  // From here on it is ours.
  c.lastSeenMs = now;
  if (unlikely(next != state)) enter(lc, conn, c, dest, proto, next);
  if (out && tcp && proto.observe) observe_tcp(c, l4, h.total - IP_HEADER);
  d.bytes += h.total;
  d.packets += 1;
  if (out) {
    dest.outPackets += 1;
    dest.outBytes += h.total;
  } else {
    dest.inPackets += 1;
    dest.inBytes += h.total;
  }
  a.usedMs = now;
  rewrite(d, a, frame, rules.count_hop);
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
  // Every stage touches memory that an earlier one has asked for: bucket, then record, both for the whole burst.
  for (uint16_t i = 0; i < n; i++) {
    heads[i].kind = parse(lc, pkts[i], heads[i]);
    if (unlikely(heads[i].kind == Kind::Other)) continue;
    hashes[i] = flows.hash(heads[i].key);
    flows.prefetch(hashes[i]);
  }
  for (uint16_t i = 0; i < n; i++) {
    if (unlikely(heads[i].kind == Kind::Other)) continue;
    refs[i] = flows.candidate(hashes[i]);
    if (unlikely(refs[i] == FlowTable::NONE)) continue;
    const Conn4& c = flows.conn(refs[i]);
    rte_prefetch0((refs[i] & 1) == DIR_OUT ? &c.out : &c.in);
    rte_prefetch0(&c.flags);
  }
  const auto now = static_cast<uint32_t>(static_cast<uint64_t>(lc.block->nowMs));
  uint16_t left = 0;
  for (uint16_t i = 0; i < n; i++) {
    uint32_t ref = FlowTable::NONE;
    if (likely(heads[i].kind != Kind::Other)) {
      ref = refs[i];
      if (unlikely(ref == FlowTable::NONE || !flows.is(ref, heads[i].key))) ref = flows.find(heads[i].key, hashes[i]);
      if (likely(ref != FlowTable::NONE)) {
        if (likely(heads[i].kind == Kind::Plain) && forward(lc, pkts[i], heads[i], ref, now)) continue;
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
