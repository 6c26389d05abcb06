// The index of an lcore's connections: from a packet's tuple to connection * 2 + direction.
//
// Buckets of one cache line hold ten references of 32 bits with 16-bit tags; the keys are not stored, they are the
// match fields of the connection records themselves. An entry stands in its home bucket, or, when that is full, in
// one other bucket given by the same hash; a home counts the entries that stand elsewhere, so that a lookup of
// what is not there also touches one line in nearly all cases. When both are full, entries move (cuckoo hashing).
// At most 48 bytes for a connection; at full size 0.55 of the slots are taken. A table with few connections uses few of its
// buckets, so that they stay in the caches; it grows to a multiple as connections come, and never shrinks.
//
// The buckets of a large table lie on more pages than the TLB has room for: beside a million idle connections the packets of a
// thousand flows cost 13 ns more each. While few flows have nearly all packets, `look` looks into a small index of these instead, the
// front, and only what it misses is searched for in the whole one.
//
// One thread at a time. No bounds are checked here: flow.cc does.
#pragma once
#include <emmintrin.h>
#include <netinet/in.h>
#include <rte_ip.h>
#include <rte_prefetch.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "layout.h"

namespace dpvs {

/** A tuple in the order of the match fields of Dir4: addresses, ports, protocol. */
struct FlowKey {
  uint64_t addrs;
  uint32_t ports;
  uint8_t proto;

  bool operator==(const FlowKey& k) const { return addrs == k.addrs && ports == k.ports && proto == k.proto; }
};

static_assert(offsetof(Dir4, saddr) == 0 && offsetof(Dir4, daddr) == 4);
static_assert(offsetof(Dir4, sport) == 8 && offsetof(Dir4, dport) == 10 && offsetof(Dir4, proto) == 12);

inline FlowKey key_of(const Dir4& d) {
  FlowKey k;
  memcpy(&k.addrs, &d.saddr, 8);
  memcpy(&k.ports, &d.sport, 4);
  k.proto = d.proto;
  return k;
}

/** The tuple of a datagram by its headers. */
inline FlowKey key_at(const char* l3, const char* l4) {
  FlowKey k;
  memcpy(&k.addrs, l3 + offsetof(rte_ipv4_hdr, src_addr), sizeof(k.addrs));
  memcpy(&k.ports, l4, sizeof(k.ports));
  k.proto = static_cast<uint8_t>(l3[offsetof(rte_ipv4_hdr, next_proto_id)]);
  return k;
}

class FlowTable {
  struct Bucket;

 public:
  static constexpr uint32_t NONE = UINT32_MAX;
  enum class Insert { Done, Exists, Full };

  FlowTable() = default;
  FlowTable(const FlowTable&) = delete;
  FlowTable& operator=(const FlowTable&) = delete;
  ~FlowTable() { close(); }

  /**
   * Makes an empty index over `capacity` records.
   * @param always_front for tests: the front is used whether it pays or not
   * @returns false when there is no memory
   */
  bool open(Conn4* conns, uint32_t capacity, bool always_front = false);
  void close();
  void clear();

  uint32_t capacity() const { return capacity_; }
  /** Connections in the index; any thread may ask. */
  uint32_t count() const { return count_.load(std::memory_order_relaxed); }
  size_t bytes() const { return mapped_; }

  /** Of both directions of a connection. */
  struct Hashes {
    uint64_t in, out;
  };
  Hashes hashes(uint32_t conn) const { return {hash(key_of(conns_[conn].in)), hash(key_of(conns_[conn].out))}; }
  void prefetch(const Hashes& h) const {
    prefetch(h.in);
    prefetch(h.out);
  }
  /** The lines of a record. */
  void prefetch_conn(uint32_t conn) const {
    const Conn4& c = conns_[conn];
    rte_prefetch0(&c.in);
    rte_prefetch0(&c.out);
    rte_prefetch0(&c.flags);
  }

  /** Both directions or nothing. */
  Insert insert(uint32_t conn, const Hashes& h);
  Insert insert(uint32_t conn) {
    const Hashes h = hashes(conn);
    prefetch(h);
    return insert(conn, h);
  }
  /** @returns false when neither direction was there */
  bool remove(uint32_t conn, const Hashes& h);
  bool remove(uint32_t conn) {
    const Hashes h = hashes(conn);
    prefetch(h);
    return remove(conn, h);
  }

  /** Keyed as NH of UMAC is (RFC 4418 section 5.2.2): what collides can't be told without the seed. */
  uint64_t hash(const FlowKey& k) const {
    return mix(k.addrs + seed_[0], (static_cast<uint64_t>(k.ports) << 8 | k.proto) + seed_[1]);
  }
  void prefetch(uint64_t hash) const { rte_prefetch0(&buckets_[home(hash)]); }
  /** Where to look for a tuple first: worked out once, used when the bucket has come. */
  struct Look {
    const Bucket* bucket;
    uint16_t tag;
  };
  /** Asks for the bucket. */
  Look look(uint64_t hash) const {
    const Bucket* b = &first_[scale(hash, n_first_)];
    rte_prefetch0(b);
    return {b, tag(hash)};
  }
  /**
   * What may be the flow, by the bucket alone: its record can be prefetched before it is compared (`is`).
   * @param ref connection * 2 + direction
   * @returns false when only `find` can tell
   */
  static bool candidate(const Look& look, uint32_t* ref) {
    const uint32_t m = matches(*look.bucket, look.tag);
    if (__builtin_expect(m == 0, 0)) return false;
    *ref = look.bucket->ref[__builtin_ctz(m)];
    return true;
  }
  /** Asks for what a packet of the flow needs; the sequence numbers of real servers stand in the shared line. */
  void prefetch_flow(uint32_t ref, uint8_t proto) const {
    rte_prefetch0(&dir(ref));
    if ((ref & 1) == DIR_OUT && proto == IPPROTO_TCP) rte_prefetch0(&conn(ref).flags);
  }
  bool is(uint32_t ref, const FlowKey& k) const { return key_of(dir(ref)) == k; }
  static bool is(const Dir4& d, const FlowKey& k) { return key_of(d) == k; }
  Conn4& conn(uint32_t ref) const { return conns_[ref >> 1]; }
  Dir4& dir(uint32_t ref) const {
    static_assert(offsetof(Conn4, in) == DIR_IN * sizeof(Dir4) && offsetof(Conn4, out) == DIR_OUT * sizeof(Dir4));
    return (&conns_[ref >> 1].in)[ref & 1];
  }
  /** @returns connection * 2 + direction, or NONE */
  uint32_t find(const FlowKey& k, uint64_t hash) const {
    const Bucket& b = buckets_[home(hash)];
    const uint32_t ref = find_in(b, k, tag(hash));
    if (__builtin_expect(ref != NONE || b.elsewhere == 0, 1)) return ref;
    return find_in(buckets_[other(hash)], k, tag(hash));
  }
  uint32_t find(const FlowKey& k) const { return find(k, hash(k)); }
  /** `find` for a packet that `look` gave no flow, or a wrong one: `look` knows it the next time. */
  uint32_t find_missed(const FlowKey& k, uint64_t hash) {
    const uint32_t ref = find(k, hash);
    if (fronted()) {
      missed_++;
      if (ref != NONE) remember(ref, hash);
    }
    return ref;
  }
  /** Decides now and then whether the front is used. @param packets that were looked for since the last call */
  void weigh_front(uint32_t packets) {
    looks_ += packets;
    if (__builtin_expect(looks_ >= weigh_at_ || missed_ > MISSES, 0)) judge_front();
  }

 private:
  static constexpr int SLOTS = 10;
  struct alignas(64) Bucket {
    uint16_t tag[SLOTS];
    /** Entries that have their home here and stand in their other bucket. */
    uint16_t elsewhere;
    /** Of the front: the slot that is given away next. */
    uint16_t next;
    /** 0 = empty: connection 0 is never used. */
    uint32_t ref[SLOTS];
  };
  static_assert(sizeof(Bucket) == 64);

  /** Buckets of the front, 64 kB: room for both directions of some 3,000 flows. */
  static constexpr uint32_t FRONT = 1024;
  /** Packets in which the front may miss MISSES. Past that it is left alone for PAUSE packets: a trial takes some 0.4 ms. */
  static constexpr uint32_t TRIAL = 32768;
  static constexpr uint32_t MISSES = TRIAL / 8;
  static constexpr uint32_t PAUSE = 1 << 22;

  /** A free slot found, and where. */
  struct Place {
    uint32_t bucket;
    int slot;
  };

  static uint64_t mix(uint64_t a, uint64_t b) {
    const auto m = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(m) ^ static_cast<uint64_t>(m >> 64);
  }
  /** One of `n` buckets, by the upper half of a hash. */
  static uint32_t scale(uint64_t hash, uint32_t n) { return static_cast<uint32_t>((hash >> 32) * n >> 32); }
  uint32_t home(uint64_t hash) const { return scale(hash, n_buckets_); }
  uint32_t other(uint64_t hash) const {
    const uint32_t first = home(hash);
    const uint32_t second = scale(hash << 32, n_buckets_);
    return second != first ? second : (first + 1 == n_buckets_ ? 0 : first + 1);
  }
  /** Never 0: that is an empty slot. */
  static uint16_t tag(uint64_t hash) { return static_cast<uint16_t>((hash ^ hash >> 32) | 1); }

  /** Slots whose tag is equal, as bits. */
  static uint32_t matches(const Bucket& b, uint16_t tag) {
    const __m128i want = _mm_set1_epi16(static_cast<int16_t>(tag));
    const auto* p = reinterpret_cast<const __m128i*>(b.tag);
    const __m128i low = _mm_cmpeq_epi16(_mm_load_si128(p), want);
    const __m128i high = _mm_cmpeq_epi16(_mm_load_si128(p + 1), want);  // tags 8, 9, and what is masked off
    return static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(low, high))) & ((1u << SLOTS) - 1);
  }

  uint32_t find_in(const Bucket& b, const FlowKey& k, uint16_t tag) const {
    for (uint32_t m = matches(b, tag); m != 0; m &= m - 1) {
      const uint32_t ref = b.ref[__builtin_ctz(m)];
      if (key_of(dir(ref)) == k) return ref;
    }
    return NONE;
  }

  static int free_slot(const Bucket& b);
  /** Slot of an entry, or -1. */
  static int slot_of(const Bucket& b, uint32_t ref, uint16_t tag) {
    for (uint32_t m = matches(b, tag); m != 0; m &= m - 1) {
      const int i = __builtin_ctz(m);
      if (b.ref[i] == ref) return i;
    }
    return -1;
  }
  void begin_small();
  /** Puts all entries into the next larger number of buckets. */
  void grow();
  void put(Place at, uint32_t ref, uint64_t hash);
  void take(Place at, uint64_t hash);
  bool room_for(uint64_t hash, Place* at);
  bool make_room(uint32_t first, uint32_t second, Place* at);
  Insert insert_one(uint32_t ref, uint64_t hash);
  bool remove_one(uint32_t ref, uint64_t hash);

  bool fronted() const { return first_ == front_; }
  void use_front(bool yes);
  void judge_front();
  void remember(uint32_t ref, uint64_t hash);
  void forget(uint32_t ref, uint64_t hash);

  /** Where `look` looks: all buckets in use, or the front. */
  const Bucket* first_ = nullptr;
  uint32_t n_first_ = 0;
  /** Since it was last decided whether the front is used, when that is due, and what the front has missed. */
  uint32_t looks_ = 0;
  uint32_t weigh_at_ = 0;
  uint32_t missed_ = 0;
  bool always_front_ = false;
  Bucket* buckets_ = nullptr;
  /** In use, and mapped. */
  uint32_t n_buckets_ = 0;
  uint32_t all_buckets_ = 0;
  /** Connections at which more buckets come into use. */
  uint32_t grow_at_ = 0;
  uint32_t capacity_ = 0;
  Conn4* conns_ = nullptr;
  uint64_t seed_[2] = {};
  size_t mapped_ = 0;
  std::atomic<uint32_t> count_{0};
  Bucket front_[FRONT];
};

}  // namespace dpvs
