/** Every scenario, in the order in which they run. */
import type { Scenario } from './context.js';
import { PACKETS } from './packets.js';

export const SCENARIOS: readonly Scenario[] = [...PACKETS];
