/** Fills in what the file leaves open, once the machine's CPUs and ports are known. */
import type { Diagnostic } from './diagnostics.js';
import type { Origins } from './origins.js';
import type { Config, Facts, Plan } from './types.js';

/**
 * @param origins of the loaded file, for positions in errors
 * @throws ConfigError when file and machine don't fit
 */
export function resolve(config: Config, facts: Facts, origins?: Origins): { plan: Plan; warnings: Diagnostic[] } {
  throw new Error(`not yet ${config} ${facts} ${origins}`);
}
