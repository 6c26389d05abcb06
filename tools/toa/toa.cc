// The client's address on a real server behind Full-NAT, without a kernel module: a library for LD_PRELOAD that makes
// accept(), accept4() and getpeername() of an unmodified program answer with the client that TCP option 254 names
// (`tools/toa/toa CMD…` builds it and runs a command with it).
//
// A raw socket with a filter gets a copy of every segment with the option before TCP itself sees it, so whoever accepts a
// connection finds it there. What was read stands in memory that all processes of the program share: a server may
// accept in one process what another one has read.
//
// TOA_FROM=ADDR[/LEN][,…]: who is believed, by the address that the segment comes from: the local addresses of the balancer.
// Not set: everybody, so whoever reaches this server directly may claim any address.
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

namespace {

constexpr uint8_t TOA = 254;
constexpr unsigned TOA_LEN = 8, IP_HEADER = 20, TCP_HEADER = 20;
/** Connections remembered: a later one may take the place of an earlier one. */
constexpr uint32_t SLOTS = 1u << 16, WAYS = 4;
/** A connection that was accepted later than this after its last segment with the option is a new one without. */
constexpr int64_t ACCEPT_WITHIN_S = 120;
/** Out of the way of programs that count on the lowest numbers. */
constexpr int FD_FROM = 200;

/** Addresses and ports in network order. */
struct Entry {
  uint32_t peer, client;
  uint16_t peer_port, own_port, client_port, used;
  int64_t seen_s;
};

struct Shared {
  pthread_mutex_t lock;
  Entry entries[SLOTS];
};

struct Prefix {
  uint32_t addr, mask;
};

Shared* shared = nullptr;
int raw = -1;
Prefix trusted[64];
unsigned trusted_count = 0;

template <typename F>
F next(const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

int64_t now_s() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec;
}

bool is_trusted(uint32_t addr) {
  if (trusted_count == 0) return true;
  for (unsigned i = 0; i < trusted_count; i++) {
    if ((ntohl(addr) & trusted[i].mask) == trusted[i].addr) return true;
  }
  return false;
}

Entry* set_of(uint32_t peer, uint16_t peer_port, uint16_t own_port) {
  const uint32_t key = peer ^ (static_cast<uint32_t>(peer_port) << 16 | own_port);
  return shared->entries + (key * 2654435769u >> 16) / WAYS * WAYS;
}

bool is_of(const Entry& e, uint32_t peer, uint16_t peer_port, uint16_t own_port) {
  return e.used != 0 && e.peer == peer && e.peer_port == peer_port && e.own_port == own_port;
}

void remember(const Entry& fresh) {
  Entry* set = set_of(fresh.peer, fresh.peer_port, fresh.own_port);
  Entry* oldest = set;
  for (unsigned i = 0; i < WAYS; i++) {
    if (is_of(set[i], fresh.peer, fresh.peer_port, fresh.own_port)) {
      oldest = set + i;
      break;
    }
    if (set[i].used == 0 || (oldest->used != 0 && set[i].seen_s < oldest->seen_s)) oldest = set + i;
  }
  *oldest = fresh;
}

/** Reads the option off a datagram. */
void look_at(const uint8_t* ip, size_t len) {
  const size_t hlen = (ip[0] & 15u) * 4u;
  if (len < IP_HEADER || hlen < IP_HEADER || len < hlen + TCP_HEADER) return;
  const uint8_t* tcp = ip + hlen;
  size_t end = (tcp[12] >> 4) * 4u;
  if (end > len - hlen) return;
  for (size_t at = TCP_HEADER; at + 1 < end;) {
    if (tcp[at] == 0) return;
    if (tcp[at] == 1) {
      at++;
      continue;
    }
    const size_t option = tcp[at + 1];
    if (option < 2 || at + option > end) return;
    if (tcp[at] == TOA && option == TOA_LEN) {
      Entry e{};
      memcpy(&e.peer, ip + 12, 4);
      memcpy(&e.peer_port, tcp, 2);
      memcpy(&e.own_port, tcp + 2, 2);
      memcpy(&e.client_port, tcp + at + 2, 2);
      memcpy(&e.client, tcp + at + 4, 4);
      e.used = 1;
      e.seen_s = now_s();
      if (is_trusted(e.peer)) remember(e);
      return;
    }
    at += option;
  }
}

void lock() {
  // Whoever held it has died: an entry is at worst of nobody.
  if (pthread_mutex_lock(&shared->lock) == EOWNERDEAD) pthread_mutex_consistent(&shared->lock);
}

/** Reads what has come. The lock is held. */
void drain() {
  uint8_t packet[60 + 60];
  for (;;) {
    const ssize_t n = recv(raw, packet, sizeof(packet), MSG_DONTWAIT);
    if (n < 0) return;
    look_at(packet, static_cast<size_t>(n));
  }
}

/** Where the IPv4 address of a peer stands, also in `::ffff:a.b.c.d`. @returns false when there is none */
bool parts(sockaddr* addr, socklen_t len, uint8_t*& ip, uint8_t*& port) {
  if (addr->sa_family == AF_INET && len >= sizeof(sockaddr_in)) {
    auto* in = reinterpret_cast<sockaddr_in*>(addr);
    ip = reinterpret_cast<uint8_t*>(&in->sin_addr);
    port = reinterpret_cast<uint8_t*>(&in->sin_port);
    return true;
  }
  if (addr->sa_family != AF_INET6 || len < sizeof(sockaddr_in6)) return false;
  auto* in6 = reinterpret_cast<sockaddr_in6*>(addr);
  if (!IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) return false;
  ip = reinterpret_cast<uint8_t*>(&in6->sin6_addr) + 12;
  port = reinterpret_cast<uint8_t*>(&in6->sin6_port);
  return true;
}

/** Puts the client in place of the peer of connection `fd`. */
void translate(int fd, sockaddr* addr, socklen_t len, bool just_accepted) {
  uint8_t *ip, *port;
  if (shared == nullptr || !parts(addr, len, ip, port)) return;
  sockaddr_storage own{};
  socklen_t own_len = sizeof(own);
  uint8_t *own_ip, *own_at;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&own), &own_len) != 0) return;
  if (!parts(reinterpret_cast<sockaddr*>(&own), own_len, own_ip, own_at)) return;
  uint32_t peer;
  uint16_t peer_port, own_port;
  memcpy(&peer, ip, sizeof(peer));
  memcpy(&peer_port, port, sizeof(peer_port));
  memcpy(&own_port, own_at, sizeof(own_port));
  const int kept = errno;
  lock();
  drain();
  const Entry* set = set_of(peer, peer_port, own_port);
  for (unsigned i = 0; i < WAYS; i++) {
    if (!is_of(set[i], peer, peer_port, own_port)) continue;
    if (just_accepted && now_s() - set[i].seen_s > ACCEPT_WITHIN_S) continue;
    memcpy(ip, &set[i].client, sizeof(peer));
    memcpy(port, &set[i].client_port, sizeof(peer_port));
    break;
  }
  pthread_mutex_unlock(&shared->lock);
  errno = kept;
}

void read_trusted(const char* text) {
  char copy[1024];
  snprintf(copy, sizeof(copy), "%s", text);
  char* rest = nullptr;
  for (char* one = strtok_r(copy, ",", &rest); one != nullptr; one = strtok_r(nullptr, ",", &rest)) {
    char* slash = strchr(one, '/');
    if (slash != nullptr) *slash = 0;
    const int len = slash == nullptr ? 32 : atoi(slash + 1);
    in_addr addr{};
    if (inet_pton(AF_INET, one, &addr) != 1 || len < 0 || len > 32 || trusted_count == 64) {
      // Believing everybody would be worse than not to start.
      fprintf(stderr, "toa: TOA_FROM: not an address or prefix: '%s'\n", one);
      exit(1);
    }
    const uint32_t mask = len == 0 ? 0 : ~UINT32_C(0) << (32 - len);
    trusted[trusted_count++] = {ntohl(addr.s_addr) & mask, mask};
  }
}

/** Only segments with the option right behind their header, where the balancer puts it: the program's traffic costs nothing. */
bool attach_filter(int fd) {
  sock_filter code[] = {
      BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
      BPF_STMT(BPF_LD | BPF_B | BPF_IND, 12),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x70, 0, 3),
      BPF_STMT(BPF_LD | BPF_B | BPF_IND, TCP_HEADER),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TOA, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 120),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  const sock_fprog filter{sizeof(code) / sizeof(code[0]), code};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) == 0;
}

__attribute__((constructor)) void begin() {
  if (const char* text = getenv("TOA_FROM")) read_trusted(text);
  const int fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (fd < 0) {
    if (getenv("TOA_QUIET") == nullptr) fprintf(stderr, "toa: no raw socket (needs CAP_NET_RAW): %s\n", strerror(errno));
    return;
  }
  const int high = fcntl(fd, F_DUPFD_CLOEXEC, FD_FROM);
  raw = high < 0 ? fd : high;
  if (high >= 0) close(fd);
  const int room = 4 << 20;
  if (setsockopt(raw, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) != 0) {
    setsockopt(raw, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
  }
  void* at = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED || !attach_filter(raw)) {
    fprintf(stderr, "toa: %s\n", strerror(errno));
    return;
  }
  auto* s = static_cast<Shared*>(at);
  pthread_mutexattr_t a;
  pthread_mutexattr_init(&a);
  pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&s->lock, &a);
  shared = s;
}

/** `call` into an address that is large enough, and the client's to whom wants it. */
template <typename Call>
int accepted(sockaddr* addr, socklen_t* len, Call call) {
  sockaddr_storage peer{};
  socklen_t peer_len = sizeof(peer);
  auto* at = reinterpret_cast<sockaddr*>(&peer);
  const int fd = call(at, &peer_len);
  if (fd < 0 || addr == nullptr || len == nullptr) return fd;
  translate(fd, at, peer_len, true);
  memcpy(addr, at, peer_len < *len ? peer_len : *len);
  *len = peer_len;
  return fd;
}

}  // namespace

extern "C" {

int accept4(int fd, sockaddr* addr, socklen_t* len, int flags) {
  static const auto real = next<int (*)(int, sockaddr*, socklen_t*, int)>("accept4");
  return accepted(addr, len, [&](sockaddr* a, socklen_t* l) { return real(fd, a, l, flags); });
}

int accept(int fd, sockaddr* addr, socklen_t* len) {
  static const auto real = next<int (*)(int, sockaddr*, socklen_t*)>("accept");
  return accepted(addr, len, [&](sockaddr* a, socklen_t* l) { return real(fd, a, l); });
}

int getpeername(int fd, sockaddr* addr, socklen_t* len) {
  static const auto real = next<int (*)(int, sockaddr*, socklen_t*)>("getpeername");
  const socklen_t room = *len;
  const int rc = real(fd, addr, len);
  if (rc == 0 && *len <= room) translate(fd, addr, *len, false);
  return rc;
}

}
