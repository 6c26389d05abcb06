/**
 * Reads dpvs.conf: text -> syntax tree (grammar.ts) -> values (read.ts, by items.ts) -> rules over the whole (semantics.ts).
 */
import type { Diagnostic } from './diagnostics.js';
import type { Origins } from './origins.js';
import type { Config } from './types.js';

export interface Loaded {
  config: Config;
  warnings: Diagnostic[];
  /** Where each value stands in the files; `resolve` points at it in its own errors. */
  origins: Origins;
}

/**
 * Loads a configuration file. A file that doesn't exist is an error (the caller decides whether a default path may be
 * missing, and then calls with undefined = all defaults).
 * @throws ConfigError listing everything that is wrong with it
 */
export function loadConfig(path: string | undefined): Loaded {
  throw new Error(`not yet: ${path}`);
}

/** The same for text; `name` stands in messages, and includes are relative to its folder. */
export function checkText(text: string, name: string): Loaded {
  throw new Error(`not yet: ${name} ${text}`);
}
