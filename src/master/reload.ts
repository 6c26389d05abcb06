/**
 * SIGHUP. The configuration is read at start only; a reload by signal reads it again and tells in the log what is wrong with
 * it, or what has changed and waits for the next start. Nothing else happens, whatever the file holds.
 */
import { ConfigError, loadConfig } from '../config/config.js';
import { formatDiagnostic } from '../config/diagnostics.js';
import { diffReload } from '../config/reload.js';
import type { Config } from '../config/types.js';
import type { Log } from './log.js';

/** @param path as at start; undefined = there is no file */
export function reportReload(path: string | undefined, running: Config, log: Log): void {
  try {
    const { config, warnings } = loadConfig(path);
    for (const w of warnings) log.warn(formatDiagnostic(w));
    const { changed, initOnlyChanged } = diffReload(running, config);
    const waiting = [...changed, ...initOnlyChanged];
    if (waiting.length === 0) log.info('SIGHUP: the configuration has not changed');
    else log.warn({ waiting }, 'SIGHUP: the configuration has changed; it takes effect with the next start');
  } catch (e) {
    if (e instanceof ConfigError) for (const d of e.diagnostics) log.error(formatDiagnostic(d));
    log.error({ err: (e as Error).message }, 'SIGHUP: the configuration cannot be used');
  }
}
