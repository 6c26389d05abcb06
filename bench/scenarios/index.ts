/** Every scenario, in the order in which they run. */
import { CONNECTIONS } from './connections.js';
import type { Scenario } from './context.js';
import { COST } from './cost.js';
import { PACKETS } from './packets.js';
import { QUALITY } from './quality.js';

export const SCENARIOS: readonly Scenario[] = [...PACKETS, ...CONNECTIONS, ...QUALITY, ...COST];
