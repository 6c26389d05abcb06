/**
 * Loads dpvs.conf: text -> statements (grammar.ts, include.ts) -> values (read.ts, by the table in items.ts) -> rules
 * over the whole (semantics.ts). Everything that is wrong is reported at once.
 */
import { ConfigError, sortDiagnostics, type Diagnostic } from './diagnostics.js';
import type { Statement } from './grammar.js';
import { readFile, readText } from './include.js';
import type { Origins } from './origins.js';
import { read } from './read.js';
import { checkSemantics } from './semantics.js';
import type { Config } from './types.js';

export { ConfigError, formatDiagnostic, formatDiagnostics, type Diagnostic } from './diagnostics.js';
export { defaultConfig } from './schema.js';
export type * from './types.js';

export interface Loaded {
  config: Config;
  warnings: Diagnostic[];
  /** Where each value stands in the files; `resolve` points at it in its own errors. */
  origins: Origins;
}

/**
 * Loads a configuration file. A file that doesn't exist is an error; the caller decides whether its default path may be
 * missing and passes undefined then, which means all defaults.
 * @throws ConfigError listing everything that is wrong
 */
export function loadConfig(path: string | undefined): Loaded {
  if (path === undefined) return checkText('', 'defaults');
  const problems: Diagnostic[] = [];
  return check(readFile(path, problems), problems);
}

/**
 * The same for text. `name` stands in messages, and includes are relative to its folder.
 * @throws ConfigError listing everything that is wrong
 */
export function checkText(text: string, name: string): Loaded {
  const problems: Diagnostic[] = [];
  return check(readText(text, name, problems), problems);
}

function check(statements: readonly Statement[], problems: Diagnostic[]): Loaded {
  const result = read(statements, problems);
  checkSemantics(result, problems);
  if (problems.some((p) => p.severity === 'error')) throw new ConfigError(problems);
  return { config: result.config, warnings: sortDiagnostics(problems), origins: result.origins };
}
