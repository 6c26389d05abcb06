/** What changes between two loads of the configuration. */
import type { Config } from './types.js';

/** Paths of the keys (as dpvs.conf names them) that differ. */
export interface ReloadDiff {
  /** May be applied at run time. */
  changed: string[];
  /** Read at start only: take effect at the next start. */
  initOnlyChanged: string[];
}

export function diffReload(before: Config, after: Config): ReloadDiff {
  throw new Error(`not yet ${before} ${after}`);
}
