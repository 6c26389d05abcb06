/** Every scenario, in the order in which they run. */
import { ACL } from './acl.js';
import { CONNECTIONS } from './connections.js';
import type { Scenario } from './context.js';
import { COST } from './cost.js';
import { FLOW_TABLE } from './flow-table.js';
import { MEMIF } from './memif.js';
import { PACKETS } from './packets.js';
import { PCAP } from './pcap.js';
import { QUALITY } from './quality.js';
import { SCHED } from './sched.js';
import { SYN_FLOOD } from './syn-flood.js';
import { VETH } from './veth.js';

export const SCENARIOS: readonly Scenario[] = [
  ...PACKETS,
  ...PCAP,
  ...MEMIF,
  ...CONNECTIONS,
  ...SYN_FLOOD,
  ...ACL,
  ...QUALITY,
  ...COST,
  ...FLOW_TABLE,
  ...SCHED,
  ...VETH,
];
