#include "engine.h"

#include <emmintrin.h>

#include "fence.h"
#include "open_flow.h"
#include "rewrite.h"
#include "storm.h"
#include "syn_answer.h"
#include "toa.h"

namespace dpvs {

namespace {

/** Packets between asking for a bucket and looking at it. */
constexpr uint32_t LAG = 16;
/** Packets between asking for a frame and reading it. */
constexpr uint32_t AHEAD = 6;

bool is_behind(const Lcore& lc, uint32_t conn) {
  return lc.any_behind && (lc.behind[conn / 64 % RTE_DIM(lc.behind)] >> (conn % 64) & 1) != 0;
}

void set_behind(Lcore& lc, uint32_t conn) {
  lc.behind[conn / 64 % RTE_DIM(lc.behind)] |= UINT64_C(1) << (conn % 64);
  lc.any_behind = true;
}

/** `observe` of src/ipvs/proto/tcp.ts. `len` = transport header and data. */
inline void observe_tcp(Conn4& c, const char* l4, uint32_t len, bool same) {
  const auto flags = load<uint8_t>(l4 + 13);
  if (unlikely(same)) {
    observe_same(c, len);
  } else {
    c.sameAcks = 0;
    c.lastWindow = load16(l4 + 14);
  }
  if ((flags & TCP_RST) != 0) return;
  const uint32_t header = (load<uint8_t>(l4 + 12) >> 4) * 4u;
  const uint32_t seq = load32(l4 + 4) + (len - header) + ((flags & TCP_SYN) != 0) + ((flags & TCP_FIN) != 0);
  const uint32_t ack = (flags & TCP_ACK) != 0 ? load32(l4 + 8) : 0;
  const bool first = (flags & TCP_SYN) != 0;
  if (unlikely(first)) c.isnOut = load32(l4 + 4);
  if (first || static_cast<int32_t>(seq - c.endSeq) > 0) c.endSeq = seq;
  if (first || ((flags & TCP_ACK) != 0 && static_cast<int32_t>(ack - c.endAck) > 0)) c.endAck = ack;
}

/** `enter` of src/ipvs/ipvs.ts but for the timeout, which TypeScript sets. There is room in the event vector. */
__attribute__((noinline)) void enter(Lcore& lc, uint32_t ref, DestStats& dest, bool tcp, uint8_t state) {
  Conn4& c = lc.flows.conn(ref);
  // Not to be asked later: another packet of this poll may be the real server's first.
  const uint16_t answered = (c.endSeq | c.endAck) != 0 ? MOVE_ANSWERED : 0;
  lc.block->moves[lc.block->eventCount] = static_cast<uint16_t>(answered | c.in.state << 4 | state);
  c.in.state = c.out.state = state;
  const bool active = ((tcp ? lc.rules.tcp : lc.rules.udp).active >> state & 1) != 0;
  if (active == ((c.flags & CONN_F_INACTIVE) != 0)) {
    c.flags ^= CONN_F_INACTIVE;
    const double by = active ? 1 : -1;
    dest.active += by;
    dest.inactive -= by;
  }
  lc.block->events[lc.block->eventCount++] = ref >> 1;
}

constexpr uint16_t REWRITE = FLOW_ACTION_REWRITE_SRC | FLOW_ACTION_REWRITE_DST;
constexpr uint16_t JOINED = FLOW_ACTION_WINDOW | FLOW_ACTION_TIMESTAMP;
constexpr uint16_t NUMBERS = FLOW_ACTION_SEQ | FLOW_ACTION_ACK | JOINED;

/** Actions that are carried out here. */
constexpr bool is_known(uint16_t actions) {
  return (actions & ~(NUMBERS | FLOW_ACTION_CLIENT_ADDR)) == REWRITE || actions == FLOW_ACTION_MAC_ONLY || actions == FLOW_ACTION_ENCAP_IPIP;
}

/** Sequence and acknowledgement numbers of a segment, its window and time stamps. */
__attribute__((noinline)) void shift(const Conn4& c, uint32_t out, char* l4) {
  const Dir4& d = out == DIR_OUT ? c.out : c.in;
  const Dir4& other = out == DIR_OUT ? c.in : c.out;
  const bool seq = (d.actions & FLOW_ACTION_SEQ) != 0;
  const bool ack = (d.actions & FLOW_ACTION_ACK) != 0;
  if (seq || ack) shift_numbers(l4, seq ? d.seqDelta : 0, !ack ? 0 : seq ? 0 - other.seqDelta : d.seqDelta);
  if (unlikely((d.actions & JOINED) != 0)) join_options(c, out == DIR_OUT, l4);
}

/** Ethernet padding goes, what the minimum frame size asks for is zeros. There is room. @returns the frame's length */
inline uint32_t set_frame(rte_mbuf* m, char* frame, uint32_t len) {
  m->data_off = static_cast<uint16_t>(frame - static_cast<char*>(m->buf_addr));
  if (unlikely(len < MIN_FRAME)) {
    memset(frame + len, 0, MIN_FRAME - len);
    len = MIN_FRAME;
  }
  m->pkt_len = len;
  m->data_len = static_cast<uint16_t>(len);
  return len;
}

/** Adds a packet of `bytes` to a pair of counters. */
inline void count(double* packets_and_bytes, double bytes) {
  _mm_storeu_pd(packets_and_bytes, _mm_add_pd(_mm_loadu_pd(packets_and_bytes), _mm_set_pd(bytes, 1)));
}

/**
 * What is the same for all packets of a burst. Copies, so that the compiler may keep them in registers: a store to a packet could
 * change anything that is behind a pointer.
 */
struct Pass {
  explicit Pass(Lcore& l)
      : lc(l),
        adjacencies(l.adjacencies),
        dests(l.rules.dests),
        now(static_cast<uint32_t>(static_cast<uint64_t>(l.block->nowMs))),
        generation(l.block->generation),
        hops(l.rules.count_hop ? 1 : 0) {}

  Lcore& lc;
  Adjacency* const adjacencies;
  DestStats* const dests;
  const uint32_t now;
  const uint32_t generation;
  const uint32_t hops;
  Collector to;
};

/** Flags, port and VLAN tag of an adjacency: what decides how a packet is sent by it. */
constexpr uint64_t ADJ_WORD = ADJ_F_READY | UINT64_C(0xffff) << 16 | UINT64_C(0xffff) << 48;
static_assert(offsetof(Adjacency, flags) == 0 && offsetof(Adjacency, port) == 2 && offsetof(Adjacency, vlanTci) == 6);

/** That of an untagged neighbour behind `port`; that of no port matches none. */
constexpr uint64_t usual_word(uint32_t port) { return ADJ_F_READY | static_cast<uint64_t>(port) << 16; }

/** There is somewhere to send to. */
inline bool leads_out(const Adjacency& a) { return (a.flags & ADJ_F_READY) != 0 && a.port < RTE_MAX_ETHPORTS; }

/** What most packets need: both ends rewritten, to an untagged neighbour behind the port of the packet before. */
inline bool is_usual(const Pass& pass, const Dir4& d) {
  return (load<uint64_t>(&pass.adjacencies[d.adj]) & ADJ_WORD) == usual_word(pass.to.port) && (d.actions & ~NUMBERS) == REWRITE;
}

/**
 * A sound packet of flow `ref`.
 * @tparam USUAL what `is_usual` says
 * @returns false when it is for TypeScript: nothing has changed then
 */
template <bool USUAL>
inline __attribute__((always_inline)) bool forward(Pass& pass, rte_mbuf* m, char* l3, Dir4& d, uint32_t ref, uint32_t total, bool tcp) {
  Lcore& lc = pass.lc;
  const uint32_t out = ref & 1;
  const uint32_t actions = d.actions;
  Adjacency& a = pass.adjacencies[d.adj];
  if (unlikely(d.adjGen != pass.generation || total > d.mtu || load<uint8_t>(l3 + offsetof(rte_ipv4_hdr, time_to_live)) <= pass.hops)) {
    return false;
  }
  if constexpr (!USUAL) {
    if (!leads_out(a) || !is_known(d.actions) || m->data_off + ETH_HEADER < headroom_for(d.actions, a)) return false;
    if ((actions & FLOW_ACTION_CLIENT_ADDR) != 0 && (!tcp || out != DIR_IN || !may_tell(lc.flows.conn(ref), l3, total))) return false;
    if (a.port != pass.to.port) pass.to = turned(lc, pass.to, a.port);
  }
  if (unlikely(total < MIN_FRAME - ETH_HEADER && m->data_off + MIN_FRAME > m->buf_len)) return false;
  DestStats& dest = pass.dests[d.dest];
  if (unlikely((dest.flags[0] & DEST_F_EXCEPTION) != 0 || is_behind(lc, ref >> 1))) return false;

  const Steps& steps = tcp ? lc.rules.tcp_steps : lc.rules.udp_steps;
  const uint32_t flags = tcp ? load<uint8_t>(l3 + IP_HEADER + 13) : 0;
  const uint32_t state = d.state % ProtoRules::STATES;
  bool same = false;
  if (tcp && out == DIR_IN) {
    const uint8_t refused = lc.rules.refused_option[d.fwd % RTE_DIM(lc.rules.refused_option)];
    if (unlikely(refused != 0 && has_option(l3 + IP_HEADER, refused))) return false;
  } else if (tcp && lc.rules.tcp.observe) {
    // The shared line, which answers over TCP need anyhow.
    const Conn4& c = lc.flows.conn(ref);
    same = says_the_same(c, l3 + IP_HEADER, total - IP_HEADER, pass.now);
    if (unlikely(same && is_storm(c, total - IP_HEADER, lc.rules.ack_storm))) return false;
  }
  const uint8_t next = (&steps.next[0][0][0])[steps.at[out][d.fwd % RTE_DIM(steps.at[0])] + flags * ProtoRules::STATES + state];
  if (unlikely(next != state)) {
    if (next == Steps::NOT_OURS || lc.block->eventCount >= EVENT_CAP) return false;
    enter(lc, ref, dest, tcp, next);
  }

  // From here on it is ours.
  const auto bytes = static_cast<double>(static_cast<int32_t>(total));
  d.lastSeenMs = pass.now;
  d.bytes += bytes;
  d.packets += 1;
  static_assert(offsetof(DestStats, inBytes) == offsetof(DestStats, inPackets) + 8 &&
                offsetof(DestStats, outPackets) == offsetof(DestStats, inPackets) + 16 &&
                offsetof(DestStats, outBytes) == offsetof(DestStats, outPackets) + 8);
  count(&dest.inPackets + 2 * out, bytes);
  if (tcp && out == DIR_OUT && lc.rules.tcp.observe) observe_tcp(lc.flows.conn(ref), l3 + IP_HEADER, total - IP_HEADER, same);
  a.usedMs = pass.now;
  unfence(m);
  uint32_t len = ETH_HEADER + total;
  if (USUAL || (actions & REWRITE) != 0) {
    if (!USUAL && (actions & FLOW_ACTION_CLIENT_ADDR) != 0) {
      l3 = tell(lc, lc.flows.conn(ref), l3);
      len = ETH_HEADER + load16(l3 + offsetof(rte_ipv4_hdr, total_length));
    }
    if (unlikely((flags & TCP_SYN) != 0)) leave_room(lc.flows.conn(ref), l3 + IP_HEADER);
    rewrite(d, l3, pass.hops, tcp);
    if (tcp && (actions & NUMBERS) != 0) shift(lc.flows.conn(ref), out, l3 + IP_HEADER);
  } else {
    if (pass.hops != 0) count_down(l3, 0, pass.hops);
    if (actions == FLOW_ACTION_ENCAP_IPIP) {
      l3 = encapsulate(d, l3);
      len += IP_HEADER;
    }
  }
  if constexpr (USUAL) {
    // It stays where it is, and so does its type.
    put_macs(a, l3 - ETH_HEADER);
    if (unlikely(len != m->pkt_len || len < MIN_FRAME)) len = set_frame(m, l3 - ETH_HEADER, len);
  } else {
    if (a.vlanTci != 0) len += VLAN_TAG;
    len = set_frame(m, frame_to(a, l3), len);
  }
  pass.to.add(m, len);
  return true;
}

/** Not inlined, for the sake of what is. */
__attribute__((noinline)) bool forward_unusual(Pass& pass, rte_mbuf* m, char* l3, Dir4& d, uint32_t ref, uint32_t total, bool tcp) {
  return forward<false>(pass, m, l3, d, ref, total, tcp);
}

/** Sends back what `answer_syn` has made of a packet. */
__attribute__((noinline)) void send_back(Pass& pass, rte_mbuf* m, uint32_t total) {
  const uint32_t len = set_frame(m, rte_pktmbuf_mtod(m, char*), ETH_HEADER + total);
  if (m->port != pass.to.port) pass.to = turned(pass.lc, pass.to, m->port);
  pass.to.add(m, len);
}

/**
 * Opens a connection by a SYN, which leaves to the real server.
 * @returns false when it is for TypeScript: nothing has changed then
 */
bool open_flow(Pass& pass, rte_mbuf* m, char* l3, const Reflex& reflex, uint32_t total) {
  Lcore& lc = pass.lc;
  LcoreBlock& b = *lc.block;
  FlowTable& flows = lc.flows;
  const uint32_t stock = reflex.window % STOCKS;
  if ((lc.left_stocks >> stock & 1) != 0) return false;
  const uint32_t head = b.stockHead[stock];
  if (head == b.stockTail[stock]) {
    lc.hungry |= b.stockWanted[stock] == STOCK_SIZE;
    return false;
  }
  const Spare& s = *spare_at(b, stock, head);
  Adjacency& a = pass.adjacencies[s.adj];
  DestStats& dest = pass.dests[s.dest];
  const ProtoRules& rules = lc.rules.tcp;
  const uint8_t table = lc.rules.table_in[FWD_FULLNAT];
  const uint8_t event = rules.event_of[load<uint8_t>(l3 + IP_HEADER + 13)];
  if (s.conn == 0 || s.conn >= flows.capacity() || table >= ProtoRules::TABLES || event >= ProtoRules::EVENTS) return false;
  if (!leads_out(a) || m->data_off + ETH_HEADER < headroom_for(REWRITE, a) || total > s.mtu ||
      load<uint8_t>(l3 + offsetof(rte_ipv4_hdr, time_to_live)) <= pass.hops || b.eventCount >= EVENT_CAP ||
      (total < MIN_FRAME - ETH_HEADER && m->data_off + MIN_FRAME > m->buf_len) || (dest.flags[0] & DEST_F_EXCEPTION) != 0 ||
      has_option(l3 + IP_HEADER, OPTION_TOA)) {
    return false;
  }
  if (b.stockTail[stock] - head > SPARES_AHEAD) prefetch_spare(flows, *spare_at(b, stock, head + SPARES_AHEAD));
  const uint32_t ref = s.conn * 2 + DIR_IN;
  Conn4& c = flows.conn(ref);
  write_conn(c, s, b, reflex, l3, total, pass.now, pass.generation);
  if (flows.insert(s.conn) != FlowTable::Insert::Done) {
    c.flags = 0;
    return false;
  }
  c.flags |= CONN_F_HASHED;
  b.stockHead[stock] = head + 1;
  dest.conns += 1;
  dest.inactive += 1;
  enter(lc, ref, dest, true, rules.next[table][event][0]);

  if (a.port != pass.to.port) pass.to = turned(lc, pass.to, a.port);
  count(&dest.inPackets, static_cast<double>(static_cast<int32_t>(total)));
  a.usedMs = pass.now;
  unfence(m);
  if ((reflex.flags & REFLEX_F_KEEP_TIMESTAMPS) == 0) blank_options(l3 + IP_HEADER, OPTION_TIMESTAMP);
  rewrite(c.in, l3, pass.hops, true);
  if ((c.in.actions & NUMBERS) != 0) shift(c, DIR_IN, l3 + IP_HEADER);
  const uint32_t len = ETH_HEADER + total + (a.vlanTci != 0 ? VLAN_TAG : 0);
  pass.to.add(m, set_frame(m, frame_to(a, l3), len));
  return true;
}

/** What became of a SYN: it is for TypeScript and nothing has changed, a list has refused it, it was answered, or it is on its way. */
enum class Syn : uint8_t { LEFT, REFUSED, ANSWERED, OPENED };

/** A SYN that no flow covers. @param listed there are lists to ask; the global ones have been asked */
__attribute__((noinline)) Syn take_syn(Pass& pass, rte_mbuf* m, char* l3, uint32_t total, bool listed) {
  const LcoreBlock& b = *pass.lc.block;
  const Reflex* r = find_reflex(b, load<uint32_t>(l3 + 16), load<uint16_t>(l3 + IP_HEADER + 2));
  if (r == nullptr || (r->kind != REFLEX_SYN && r->kind != REFLEX_STOCK) || is_martian(b, l3 - ETH_HEADER)) return Syn::LEFT;
  if (unlikely(listed) && refused_client(pass.lc, m, r->svc, load32(l3 + 12))) return Syn::REFUSED;
  if (r->kind == REFLEX_STOCK) return open_flow(pass, m, l3, *r, total) ? Syn::OPENED : Syn::LEFT;
  const uint32_t length = answer_syn(pass.lc, m, *r, pass.now);
  if (length == 0) return Syn::LEFT;
  send_back(pass, m, length);
  return Syn::ANSWERED;
}

/** True for a segment that may open a connection, as far as its flags go. */
inline bool is_syn(const char* l3) { return (load<uint8_t>(l3 + IP_HEADER + 13) & OPENING) == TCP_SYN; }

/** Packet `l3` goes to TypeScript, and may be one that opens a connection there: later ones of its service must not overtake it. */
__attribute__((noinline)) void leave_stocks(Lcore& lc, const char* l3, bool plain) {
  if (!plain) {
    lc.left_stocks = UINT32_MAX;
    return;
  }
  const Reflex* r = find_reflex(*lc.block, load<uint32_t>(l3 + 16), load<uint16_t>(l3 + IP_HEADER + 2));
  if (r != nullptr && r->kind == REFLEX_STOCK) lc.left_stocks |= UINT32_C(1) << r->window % STOCKS;
}

/** In place of a flow: nothing for this loop. */
constexpr uint32_t SPECIAL = FlowTable::NONE - 1;

/** What one stage found out for the next ones, by packet. */
struct Found {
  /** Behind the Ethernet header. */
  char* l3;
  FlowTable::Look look;
  Dir4* dir;
  /** connection * 2 + direction; NONE: only `find` can tell; SPECIAL. */
  uint32_t ref;
  /** Length of a plain datagram, 0 of others. */
  uint16_t total;
  bool tcp;
};

/** Of a frame that is not plain: it may be of a segment, or a part of one. */
inline bool is_tcp(const rte_mbuf* m, const char* l3) {
  return m->pkt_len < ETH_HEADER + IP_HEADER || (load<uint16_t>(l3 - 2) == RTE_BE16(RTE_ETHER_TYPE_IPV4) &&
         load<uint8_t>(l3 + offsetof(rte_ipv4_hdr, next_proto_id)) == IPPROTO_TCP);
}

/** For `plain_length`. */
inline uint64_t mac_of(const Lcore& lc, int port) {
  return mac_word(lc.rules.known && port >= 0 && port < static_cast<int>(PORT_CAP) ? lc.block->portMac[port] : 0);
}

/** What `port` has received, -1: the packets know where they came in. @returns false for those of several segments */
__attribute__((noinline)) bool take_in(const Lcore& lc, rte_mbuf* m, int port, uint64_t& mac) {
  // net_ring passes mbufs on without a port; bonding leaves the slave's.
  if (port >= 0) m->port = static_cast<uint16_t>(port);
  mac = mac_of(lc, m->port);
  return m->nb_segs == 1;
}

/** A packet that its candidate isn't the flow of. */
__attribute__((noinline)) uint32_t find(FlowTable& flows, const char* l3) {
  const FlowKey key = key_at(l3, l3 + IP_HEADER);
  return flows.find_missed(key, flows.hash(key));
}

inline bool is_of(const Dir4& d, const char* l3) {
  return load<uint64_t>(&d.saddr) == load<uint64_t>(l3 + offsetof(rte_ipv4_hdr, src_addr)) &&
         load<uint32_t>(&d.sport) == load<uint32_t>(l3 + IP_HEADER) &&
         d.proto == load<uint8_t>(l3 + offsetof(rte_ipv4_hdr, next_proto_id));
}

/** What TypeScript is told of a packet that is not plain. */
__attribute__((noinline)) int32_t hint_of_special(const Lcore& lc, const rte_mbuf* m) {
  const char* l3 = rte_pktmbuf_mtod_offset(m, const char*, ETH_HEADER);
  if (!has_flow(m, l3 - ETH_HEADER, mac_of(lc, m->port))) return HINT_NONE;
  const uint32_t ref = lc.flows.find(key_at(l3, l4_of(l3)));
  return ref == FlowTable::NONE ? HINT_ABSENT : static_cast<int32_t>(ref);
}

}  // namespace

void begin_flows(Lcore& lc) {
  lc.block->eventCount = 0;
  lc.left_stocks = 0;
  lc.hungry = false;
  if (lc.any_behind) {
    memset(lc.behind, 0, sizeof(lc.behind));
    lc.any_behind = false;
  }
}

uint16_t forward_flows(Lcore& lc, rte_mbuf** pkts, uint16_t n, int port, int32_t* hints, uint64_t* bytes) {
  const FlowTable& flows = lc.flows;
  const Verdicts& verdicts = lc.rules.verdicts;
  const bool listed = verdicts.any();
  const bool global = listed && verdicts.is_global();
  Found found[BURST];
  uint64_t mac = mac_of(lc, port);
  // One segment, of this port: two fields in one word.
  static_assert(offsetof(rte_mbuf, port) == offsetof(rte_mbuf, nb_segs) + 2);
  const uint32_t usual = port >= 0 ? static_cast<uint32_t>(port) << 16 | 1 : 0;
  uint64_t received = 0;
  // Every stage touches memory that an earlier one has asked for: frame, bucket, record.
  const auto read = [&](uint16_t k) __attribute__((always_inline)) {
    rte_mbuf* m = pkts[k];
    Found& f = found[k];
    if (likely(k + AHEAD < n)) rte_prefetch0(rte_pktmbuf_mtod(pkts[k + AHEAD], char*));
    fence(m);
    received += m->pkt_len;
    // net_ring passes mbufs on with the sender's requests.
    if (unlikely((m->ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK) != 0)) m->ol_flags &= ~RTE_MBUF_F_TX_OFFLOAD_MASK;
    char* l3 = rte_pktmbuf_mtod_offset(m, char*, ETH_HEADER);
    const bool whole = load<uint32_t>(&m->nb_segs) == usual || take_in(lc, m, port, mac);
    const uint32_t total = whole ? plain_length(m->pkt_len, l3 - ETH_HEADER, mac) : 0;
    f.l3 = l3;
    f.total = static_cast<uint16_t>(total);
    if (unlikely(total == 0)) return;
    const FlowKey key = key_at(l3, l3 + IP_HEADER);
    f.tcp = key.proto == IPPROTO_TCP;
    f.look = flows.look(flows.hash(key));
    if (unlikely(global)) verdicts.prefetch_source(load32(l3 + offsetof(rte_ipv4_hdr, src_addr)));
  };
  const auto seek = [&](Found& f) __attribute__((always_inline)) {
    if (unlikely(f.total == 0)) {
      f.ref = SPECIAL;
      return;
    }
    uint32_t ref;
    if (unlikely(!FlowTable::candidate(f.look, &ref))) {
      f.ref = FlowTable::NONE;
      return;
    }
    f.ref = ref;
    f.dir = &flows.dir(ref);
    rte_prefetch0(f.dir);
    // The sequence numbers of real servers stand in the shared line.
    if (f.tcp && (ref & 1) == DIR_OUT) rte_prefetch0(&flows.conn(ref).flags);
  };
  // Buckets are looked at some packets behind, not in a loop of their own: a CPU that has no room for another outstanding miss drops
  // the prefetch (Zen 3 lost a fifth of 32 in a row).
  for (uint16_t k = 0; k < n; k++) {
    read(k);
    if (k >= LAG) seek(found[k - LAG]);
  }
  for (uint16_t k = n > LAG ? n - LAG : 0; k < n; k++) seek(found[k]);
  *bytes += received;
  Pass pass(lc);
  const bool answers = lc.block->reflexCount != 0 && lc.block->reflexGeneration == pass.generation;
  if (unlikely(listed)) {
    for (uint16_t i = 0; i < n; i++) {
      const char* l3 = found[i].l3;
      if (found[i].ref < SPECIAL) prefetch_verdicts(lc, key_at(l3, l3 + IP_HEADER), found[i].ref);
    }
  }
  uint16_t left = 0, answered = 0;
  for (uint16_t i = 0; i < n; i++) {
    rte_mbuf* m = pkts[i];
    char* l3 = found[i].l3;
    uint32_t ref = found[i].ref;
    Dir4* d = found[i].dir;
    if (unlikely(ref >= SPECIAL || !is_of(*d, l3))) {
      if (ref != SPECIAL) ref = find(lc.flows, l3);
      if (ref >= SPECIAL) {
        if (unlikely(listed) && ref != SPECIAL && refused(lc, m, key_at(l3, l3 + IP_HEADER), FlowTable::NONE)) continue;
        if (answers && (ref == SPECIAL ? is_tcp(m, l3) : found[i].tcp && is_syn(l3))) {
          const Syn syn = ref == SPECIAL ? Syn::LEFT : take_syn(pass, m, l3, found[i].total, listed);
          answered += syn == Syn::ANSWERED;
          if (likely(syn != Syn::LEFT)) continue;
          leave_stocks(lc, l3, ref != SPECIAL);
        }
        const int32_t hint = ref == SPECIAL ? hint_of_special(lc, m) : HINT_ABSENT;
        if (hint >= 0) set_behind(lc, static_cast<uint32_t>(hint) >> 1);
        hints[left] = hint;
        pkts[left++] = m;
        continue;
      }
      d = &flows.dir(ref);
    }
    if (unlikely(listed) && refused(lc, m, key_at(l3, l3 + IP_HEADER), ref)) continue;
    const uint32_t total = found[i].total;
    const bool tcp = found[i].tcp;
    // With `tcp` a constant the compiler leaves out, of either, what is for the other: 3 ns a packet.
    const bool done = unlikely(!is_usual(pass, *d)) ? forward_unusual(pass, m, l3, *d, ref, total, tcp)
                      : tcp                         ? forward<true>(pass, m, l3, *d, ref, total, true)
                                                    : forward<true>(pass, m, l3, *d, ref, total, false);
    if (likely(done)) continue;
    set_behind(lc, ref >> 1);
    // A SYN over a connection that closes opens another one.
    if (answers && tcp && is_syn(l3)) leave_stocks(lc, l3, true);
    hints[left] = static_cast<int32_t>(ref);
    pkts[left++] = m;
  }
  finish(lc, pass.to);
  lc.flows.weigh_front(n);
  lc.stats->flowHits += n - left - answered;
  lc.stats->events[EVENT_SYNPROXY_ANSWERED] += answered;
  return left;
}

}  // namespace dpvs
