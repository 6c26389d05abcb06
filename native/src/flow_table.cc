#include "flow_table.h"

#include <sys/random.h>

#include <initializer_list>

#include "zeroed.h"

namespace dpvs {

namespace {
// Two entries for a connection, ten slots a bucket, 0.55 of them taken at capacity.
constexpr uint64_t SLOTS_PER_CONN_X100 = 364;
constexpr uint32_t MIN_BUCKETS = 8;
// Displacement looks at this many buckets before it gives up; at this load one or two suffice.
constexpr int SEARCH = 256;
// Connections that a table begins with room for, its growth, and how many it may hold when it grows for the last time: then it
// takes all its buckets. Their entries are put in again at once, some 0.3 ms.
constexpr uint32_t FIRST = 1024;
constexpr uint32_t GROWTH = 4;
constexpr uint32_t LAST = 4096;

uint32_t buckets_for(uint64_t conns, uint64_t slots) {
  const uint64_t n = (conns * SLOTS_PER_CONN_X100 / 100 + slots - 1) / slots;
  return static_cast<uint32_t>(n < MIN_BUCKETS ? MIN_BUCKETS : n);
}
}  // namespace

bool FlowTable::open(Conn4* conns, uint32_t capacity, bool always_front) {
  close();
  const uint64_t n = buckets_for(capacity, SLOTS);
  // Whole huge pages: with a tail of 4 kB ones, look-ups would miss the TLB.
  const size_t page = n * sizeof(Bucket) < HUGE_PAGE / 2 ? sizeof(Bucket) : HUGE_PAGE;
  const size_t bytes = (n * sizeof(Bucket) + page - 1) / page * page;
  void* p = map_zeroed(bytes);
  if (p == nullptr) return false;
  // The hash must not be predictable from outside: a crafted set of tuples would fill one bucket.
  if (getrandom(seed_, sizeof(seed_), 0) != static_cast<ssize_t>(sizeof(seed_))) {
    unmap_zeroed(p, bytes);
    return false;
  }
  buckets_ = static_cast<Bucket*>(p);
  all_buckets_ = static_cast<uint32_t>(n);
  mapped_ = bytes;
  conns_ = conns;
  capacity_ = capacity;
  always_front_ = always_front;
  begin_small();
  return true;
}

void FlowTable::close() {
  if (buckets_ != nullptr) unmap_zeroed(buckets_, mapped_);
  buckets_ = nullptr;
  conns_ = nullptr;
  n_buckets_ = all_buckets_ = capacity_ = 0;
  mapped_ = 0;
  count_ = 0;
}

void FlowTable::clear() {
  memset(static_cast<void*>(buckets_), 0, n_buckets_ * sizeof(Bucket));
  begin_small();
}

void FlowTable::begin_small() {
  grow_at_ = FIRST;
  n_buckets_ = RTE_MIN(buckets_for(FIRST, SLOTS), all_buckets_);
  count_.store(0, std::memory_order_relaxed);
  first_ = nullptr;  // what is in the front goes as well
  use_front(false);
}

void FlowTable::grow() {
  // Every slot of the most buckets that there are before the last time.
  uint32_t refs[LAST * SLOTS_PER_CONN_X100 / 100 + SLOTS];
  uint32_t n = 0;
  for (uint32_t b = 0; b < n_buckets_; b++) {
    for (const uint32_t ref : buckets_[b].ref) {
      if (ref != 0) refs[n++] = ref;
    }
  }
  memset(static_cast<void*>(buckets_), 0, n_buckets_ * sizeof(Bucket));
  grow_at_ *= GROWTH;
  n_buckets_ = grow_at_ > LAST ? all_buckets_ : RTE_MIN(buckets_for(grow_at_, SLOTS), all_buckets_);
  use_front(false);
  for (uint32_t i = 0; i < n; i++) {
    const uint64_t h = hash(key_of(dir(refs[i])));
    Place at;
    if (room_for(h, &at)) put(at, refs[i], h);
  }
}

void FlowTable::use_front(bool yes) {
  yes = yes || always_front_;
  if (yes && !fronted()) memset(static_cast<void*>(front_), 0, sizeof(front_));
  first_ = yes ? front_ : buckets_;
  n_first_ = yes ? FRONT : n_buckets_;
  looks_ = missed_ = 0;
  weigh_at_ = TRIAL;
}

void FlowTable::judge_front() {
  const bool failed = missed_ > MISSES;
  use_front(!failed && n_buckets_ > FRONT * 4);
  if (failed) weigh_at_ = PAUSE;
}

void FlowTable::remember(uint32_t ref, uint64_t hash) {
  Bucket& b = front_[scale(hash, FRONT)];
  // Two packets in a burst miss the same.
  if (slot_of(b, ref, tag(hash)) >= 0) return;
  b.ref[b.next] = ref;
  b.tag[b.next] = tag(hash);
  b.next = static_cast<uint16_t>((b.next + 1) % SLOTS);
}

void FlowTable::forget(uint32_t ref, uint64_t hash) {
  Bucket& b = front_[scale(hash, FRONT)];
  const int slot = slot_of(b, ref, tag(hash));
  if (slot >= 0) b.tag[slot] = 0;
}

bool FlowTable::room_for(uint64_t h, Place* at) {
  *at = {home(h), free_slot(buckets_[home(h)])};
  if (at->slot < 0) *at = {other(h), free_slot(buckets_[other(h)])};
  return at->slot >= 0 || make_room(home(h), other(h), at);
}

int FlowTable::free_slot(const Bucket& b) {
  for (int i = 0; i < SLOTS; i++) {
    if (b.ref[i] == 0) return i;
  }
  return -1;
}

void FlowTable::put(Place at, uint32_t ref, uint64_t hash) {
  Bucket& b = buckets_[at.bucket];
  b.ref[at.slot] = ref;
  b.tag[at.slot] = tag(hash);
  if (at.bucket != home(hash)) buckets_[home(hash)].elsewhere++;
}

void FlowTable::take(Place at, uint64_t hash) {
  Bucket& b = buckets_[at.bucket];
  b.ref[at.slot] = 0;
  b.tag[at.slot] = 0;
  if (at.bucket != home(hash)) buckets_[home(hash)].elsewhere--;
}

/**
 * Breadth-first search for the shortest chain of moves that frees a slot in `first` or `second`: entries go to
 * their other bucket, the last one first, so that every entry can be found at any moment.
 */
bool FlowTable::make_room(uint32_t first, uint32_t second, Place* at) {
  struct Step {
    uint32_t bucket;
    int parent;  // step whose entry would move here
    int slot;    // slot of that entry in the parent's bucket
  };
  Step steps[SEARCH];
  int n = 0;
  steps[n++] = {first, -1, 0};
  steps[n++] = {second, -1, 0};
  for (int i = 0; i < n; i++) {
    const int free = free_slot(buckets_[steps[i].bucket]);
    if (free >= 0) {
      Place hole{steps[i].bucket, free};
      for (int s = i; steps[s].parent >= 0; s = steps[s].parent) {
        const Place from{steps[steps[s].parent].bucket, steps[s].slot};
        const uint32_t ref = buckets_[from.bucket].ref[from.slot];
        const uint64_t h = hash(key_of(dir(ref)));
        put(hole, ref, h);
        take(from, h);
        hole = from;
      }
      *at = hole;
      return true;
    }
    for (int slot = 0; slot < SLOTS && n < SEARCH; slot++) {
      const uint64_t h = hash(key_of(dir(buckets_[steps[i].bucket].ref[slot])));
      const uint32_t to = home(h) == steps[i].bucket ? other(h) : home(h);
      bool seen = false;  // a bucket twice in one chain would move an entry that is no longer there
      for (int s = 0; s < n && !seen; s++) seen = steps[s].bucket == to;
      if (!seen) steps[n++] = {to, i, slot};
    }
  }
  return false;
}

FlowTable::Insert FlowTable::insert_one(uint32_t ref, uint64_t h) {
  if (find(key_of(dir(ref)), h) != NONE) return Insert::Exists;
  Place at;
  if (!room_for(h, &at)) return Insert::Full;
  put(at, ref, h);
  return Insert::Done;
}

bool FlowTable::remove_one(uint32_t ref, uint64_t h) {
  for (const uint32_t bucket : {home(h), other(h)}) {
    const int slot = slot_of(buckets_[bucket], ref, tag(h));
    if (slot < 0) continue;
    take({bucket, slot}, h);
    if (fronted()) forget(ref, h);
    return true;
  }
  return false;
}

FlowTable::Insert FlowTable::insert(uint32_t conn, const Hashes& h) {
  if (count() >= grow_at_ && n_buckets_ < all_buckets_) grow();
  const Insert in = insert_one(conn * 2 + DIR_IN, h.in);
  if (in != Insert::Done) return in;
  const Insert out = insert_one(conn * 2 + DIR_OUT, h.out);
  if (out != Insert::Done) {
    remove_one(conn * 2 + DIR_IN, h.in);
    return out;
  }
  count_.store(count() + 1, std::memory_order_relaxed);
  return Insert::Done;
}

bool FlowTable::remove(uint32_t conn, const Hashes& h) {
  const bool in = remove_one(conn * 2 + DIR_IN, h.in);
  const bool out = remove_one(conn * 2 + DIR_OUT, h.out);
  if (!in && !out) return false;
  count_.store(count() - 1, std::memory_order_relaxed);
  return true;
}

}  // namespace dpvs
