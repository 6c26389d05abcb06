// What TypeScript has told the native loop about protocols and forwarding modes (flowRules() of src/core/native.ts).
#pragma once
#include <cstdint>

#include "layout.h"
#include "verdicts.h"

namespace dpvs {

constexpr uint8_t NO_EVENT = 255;
constexpr uint8_t NO_TABLE = 255;

/** A transport protocol's state tables. */
struct ProtoRules {
  static constexpr uint32_t TABLES = 3;
  static constexpr uint32_t EVENTS = 8;
  static constexpr uint32_t STATES = 32;

  bool known = false;
  /** Note the sequence numbers of the real server's segments. */
  bool observe = false;
  /** States that count as active, as bits. */
  uint32_t active = 0;
  /** Event by the byte of TCP flags. */
  uint8_t event_of[256] = {};
  /** By table, too: not 0 for those whose packets are for TypeScript. */
  uint8_t slow[TABLES][256] = {};
  uint8_t next[TABLES][EVENTS][STATES] = {};
};

/**
 * What a packet does to the state, in one look-up: [table][TCP flags, 0 over UDP][state] = the next state, or NOT_OURS. Made of
 * ProtoRules.
 */
struct Steps {
  static constexpr uint8_t NOT_OURS = 255;
  static constexpr uint32_t FLAGS = 256;
  /** Of packets from real servers; and one more that has nothing for us. */
  static constexpr uint32_t FROM_SERVER = 1, NOTHING = ProtoRules::TABLES, TABLES = NOTHING + 1;

  uint8_t next[TABLES][FLAGS][ProtoRules::STATES];
  /** Where the table stands in `next`, by direction and forwarding mode. */
  uint32_t at[2][8];

  void make(const ProtoRules& proto, const uint8_t (&table_in)[8]);
};

struct FlowRules {
  bool known = false;
  bool count_hop = false;
  /** Rounds of a storm of acknowledgements before the real server's are for TypeScript. */
  uint16_t ack_storm = UINT16_MAX;
  DestStats* dests = nullptr;
  /** By slot of the service, or nullptr. */
  SvcStats* svcs = nullptr;
  /** By forwarding mode: table of packets from the client. */
  uint8_t table_in[8] = {};
  /** By forwarding mode: kind of TCP option that sends a client's segment to TypeScript, 0 = none. */
  uint8_t refused_option[8] = {};
  ProtoRules tcp;
  ProtoRules udp;
  Steps tcp_steps, udp_steps;
  Verdicts verdicts;
};

/** Counts a drop of the service in a slot (`SvcStats.drop` of src/ipvs/svc-stats.ts); LcoreStats.drops is the caller's business. */
inline void count_svc_drop(const FlowRules& rules, uint32_t slot, uint32_t reason) {
  if (rules.svcs != nullptr && slot < SVC_CAP) rules.svcs[slot].drops[SVC_DROP_OF[reason]] += 1;
}

/** Counts an event of the service in a slot, one that is counted by service. */
inline void count_svc_event(const FlowRules& rules, uint32_t slot, uint32_t event) {
  if (rules.svcs != nullptr && slot < SVC_CAP) rules.svcs[slot].events[SVC_EVENT_OF[event]] += 1;
}

}  // namespace dpvs
