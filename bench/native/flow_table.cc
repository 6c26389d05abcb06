// Our index of connections (native/src/flow_table.h) beside rte_hash: the same keys, both directions of N connections, in
// the same random orders, in turns. `flow_table CPU ROUNDS N…` prints a JSON line for each table, operation and round:
// {"table","op","flows","round","ns","bytes"}, ns of CPU time an operation (find, miss: a packet; insert, remove: a
// connection), bytes of the index a connection.
#include <rte_eal.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_malloc.h>
#include <rte_memory.h>
#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <vector>

#include "../../native/src/flow_table.h"
#include "../../native/src/zeroed.h"

namespace {

using dpvs::Conn4;
using dpvs::Dir4;
using dpvs::FlowKey;
using dpvs::FlowTable;

constexpr uint32_t BURST = 32;
/** Lookups of a small table are repeated, so that the clock's own cost does not count. */
constexpr uint32_t AT_LEAST = 1 << 20;

/** As rte_hash compares it: without padding. */
struct alignas(16) Key {
  uint64_t addrs;
  uint32_t ports;
  uint32_t proto;

  FlowKey flow() const { return {addrs, ports, static_cast<uint8_t>(proto)}; }
};
static_assert(sizeof(Key) == 16);

std::mt19937_64 rng(20261122);
Conn4* conns;
uint32_t n_conns;
/** Both directions of all, shuffled, as packets would bring them; and as many that no table has. */
std::vector<Key> packets, strangers;
std::vector<uint32_t> order;
/** What the optimiser must not know to be unused. */
volatile uint64_t sink;

[[noreturn]] void die(const char* what) {
  fprintf(stderr, "flow_table: %s\n", what);
  exit(1);
}

double now_ns() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

Dir4& dir(uint32_t ref) { return (ref & 1) == dpvs::DIR_OUT ? conns[ref >> 1].out : conns[ref >> 1].in; }

Key wide(const Dir4& d) {
  const FlowKey k = dpvs::key_of(d);
  return {k.addrs, k.ports, k.proto};
}

void make_world() {
  for (uint32_t c = 1; c <= n_conns; c++) {
    // Full-NAT as in the bench: clients without number, 16 local addresses towards 16 servers.
    Dir4& in = conns[c].in;
    in.saddr = static_cast<uint32_t>(rng());
    in.daddr = 0x0100010a;
    in.sport = static_cast<uint16_t>(rng());
    in.dport = 80;
    in.proto = 17;
    Dir4& out = conns[c].out;
    out.saddr = 0x0100020a + (c % 16 << 24);
    out.daddr = 0x0101020a + (c / 16 % 16 << 24);
    out.sport = 8080;
    out.dport = static_cast<uint16_t>(1024 + c / 256);
    out.proto = 17;
  
    order.push_back(c);
  }
  for (uint32_t c = 1; c <= n_conns; c++) {
    packets.push_back(wide(conns[c].in));
    packets.push_back(wide(conns[c].out));
  }
  for (uint32_t i = 0; i < RTE_MIN(n_conns * 2, AT_LEAST); i++) {
    Key key = packets[i];
    key.proto = 6;
    strangers.push_back(key);
  }
  std::shuffle(packets.begin(), packets.end(), rng);
  std::shuffle(strangers.begin(), strangers.end(), rng);
  std::shuffle(order.begin(), order.end(), rng);
}

struct Ours {
  static constexpr const char* NAME = "bucketised";
  FlowTable t;

  Ours() {
    if (!t.open(conns, n_conns + 1)) die("no memory");
  }
  size_t bytes() const { return t.bytes(); }
  bool insert(uint32_t conn) { return t.insert(conn) == FlowTable::Insert::Done; }
  bool remove(uint32_t conn) { return t.remove(conn); }
  /** The stages of native/src/engine.cc; a packet's record is looked at, as the key stands there. @returns found */
  uint32_t find(const Key* keys) {
    FlowTable::Look looks[BURST];
    uint32_t refs[BURST];
    for (uint32_t i = 0; i < BURST; i++) looks[i] = t.look(t.hash(keys[i].flow()));
    for (uint32_t i = 0; i < BURST; i++) {
      if (FlowTable::candidate(looks[i], &refs[i])) rte_prefetch0(&dir(refs[i]));
      else refs[i] = FlowTable::NONE;
    }
    uint32_t found = 0;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < BURST; i++) {
      uint32_t ref = refs[i];
      if (ref == FlowTable::NONE || !t.is(ref, keys[i].flow())) ref = t.find(keys[i].flow());
      if (ref == FlowTable::NONE) continue;
      found++;
      sum += dir(ref).newSaddr;
    }
    sink = sink + sum;
    return found;
  }
};

struct Theirs {
  static constexpr const char* NAME = "rte_hash";
  rte_hash* h;
  size_t before, own;

  static size_t used() {
    rte_malloc_socket_stats s;
    rte_malloc_get_socket_stats(0, &s);
    return s.heap_allocsz_bytes;
  }

  Theirs() {
    before = used();
    rte_hash_parameters p = {};
    p.name = "flows";
    // A cuckoo table refuses keys when it is nearly full: room for a seventh more.
    p.entries = RTE_MAX(n_conns * 2 * 8 / 7, 64u);
    p.key_len = sizeof(Key);
    p.hash_func = rte_hash_crc;
    p.socket_id = 0;
    h = rte_hash_create(&p);
    if (h == nullptr) die("rte_hash_create");
    own = used() - before;
  }
  ~Theirs() { rte_hash_free(h); }
  size_t bytes() const { return own; }
  bool insert(uint32_t conn) {
    for (const uint32_t ref : {conn * 2, conn * 2 + 1}) {
      const Key key = wide(dir(ref));
      // As ours does: nothing is replaced.
      const hash_sig_t sig = rte_hash_hash(h, &key);
      if (rte_hash_lookup_with_hash(h, &key, sig) >= 0) return false;
      if (rte_hash_add_key_with_hash_data(h, &key, sig, reinterpret_cast<void*>(uintptr_t{ref})) != 0) return false;
    }
    return true;
  }
  bool remove(uint32_t conn) {
    for (const uint32_t ref : {conn * 2, conn * 2 + 1}) {
      const Key key = wide(dir(ref));
      if (rte_hash_del_key(h, &key) < 0) return false;
    }
    return true;
  }
  uint32_t find(const Key* keys) {
    const void* wanted[BURST];
    void* data[BURST];
    uint64_t hits = 0;
    for (uint32_t i = 0; i < BURST; i++) wanted[i] = &keys[i];
    rte_hash_lookup_bulk_data(h, wanted, BURST, &hits, data);
    for (uint64_t m = hits; m != 0; m &= m - 1) {
      rte_prefetch0(&dir(static_cast<uint32_t>(reinterpret_cast<uintptr_t>(data[__builtin_ctzll(m)]))));
    }
    uint64_t sum = 0;
    for (uint64_t m = hits; m != 0; m &= m - 1) {
      sum += dir(static_cast<uint32_t>(reinterpret_cast<uintptr_t>(data[__builtin_ctzll(m)]))).newSaddr;
    }
    sink = sink + sum;
    return static_cast<uint32_t>(__builtin_popcountll(hits));
  }
};

template <typename T>
void say(const T& t, const char* op, int round, double ns) {
  printf("{\"table\":\"%s\",\"op\":\"%s\",\"flows\":%u,\"round\":%d,\"ns\":%.2f,\"bytes\":%.1f}\n", T::NAME, op, n_conns, round,
         ns, static_cast<double>(t.bytes()) / n_conns);
}

/** ns a packet, over all of `keys`. */
template <typename T>
double look(T& t, const std::vector<Key>& keys, bool there) {
  const uint32_t n = static_cast<uint32_t>(keys.size()) / BURST * BURST;
  const uint32_t times = n >= AT_LEAST ? 1 : (AT_LEAST + n - 1) / n;
  // Their caches are as their own packets leave them.
  for (uint32_t i = 0; i < RTE_MIN(n, AT_LEAST / 8); i += BURST) t.find(&keys[i]);
  uint64_t found = 0;
  const double from = now_ns();
  for (uint32_t k = 0; k < times; k++) {
    for (uint32_t i = 0; i < n; i += BURST) found += t.find(&keys[i]);
  }
  const double ns = now_ns() - from;
  if (found != (there ? static_cast<uint64_t>(n) * times : 0)) die("wrong number of keys found");
  return ns / n / times;
}

/** Takes a part of the connections out and puts them in again. */
template <typename T>
void churn(T& t, int round) {
  const uint32_t part = RTE_MIN(n_conns / 2, AT_LEAST / 4);
  const uint32_t at = static_cast<uint32_t>(rng() % (n_conns - part + 1));
  double from = now_ns();
  for (uint32_t i = 0; i < part; i++) {
    if (!t.remove(order[at + i])) die("a connection is not there");
  }
  say(t, "remove", round, (now_ns() - from) / part);
  from = now_ns();
  for (uint32_t i = 0; i < part; i++) {
    if (!t.insert(order[at + i])) die("a connection finds no room");
  }
  say(t, "insert", round, (now_ns() - from) / part);
}

template <typename T>
void measure(T& t, int round) {
  say(t, "find", round, look(t, packets, true));
  say(t, "miss", round, look(t, strangers, false));
  churn(t, round);
}

void run(uint32_t flows, int rounds) {
  n_conns = flows;
  const size_t size = (static_cast<size_t>(flows) + 1) * sizeof(Conn4);
  conns = static_cast<Conn4*>(dpvs::map_zeroed(size));
  if (conns == nullptr) die("no memory");
  packets.clear();
  strangers.clear();
  order.clear();
  make_world();
  {
    Ours ours;
    Theirs theirs;
    for (const uint32_t c : order) {
      if (!ours.insert(c)) die("not inserted in ours");
      if (!theirs.insert(c)) die("not inserted in rte_hash");
    }
    for (int round = 0; round < rounds; round++) {
      measure(ours, round);
      measure(theirs, round);
      fflush(stdout);
    }
    ours.t.close();
  }
  dpvs::unmap_zeroed(conns, size);
}

/** Both on the same kind of memory: transparent huge pages. */
int advise(const rte_memseg_list* list, void*) {
  madvise(list->base_va, list->len, MADV_HUGEPAGE);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) die("usage: flow_table CPU ROUNDS FLOWS…");
  char lcores[32];
  snprintf(lcores, sizeof(lcores), "0@%d", atoi(argv[1]));
  const char* eal[] = {"flow_table", "--no-huge",     "-m",       "2048",        "--no-shconf",
                       "--no-pci",   "--no-telemetry", "--lcores", lcores, "--iova-mode=va", "--log-level=error"};
  if (rte_eal_init(RTE_DIM(eal), const_cast<char**>(eal)) < 0) die("rte_eal_init");
  rte_memseg_list_walk(advise, nullptr);
  for (int i = 3; i < argc; i++) run(static_cast<uint32_t>(atoi(argv[i])), atoi(argv[2]));
  return 0;
}
