/**
 * What changes between two loads of the configuration: keys that may be applied at run time, and keys that are read at
 * start only. Paths are as in the file, with the names of blocks: `netif_defs/device dpdk0/mtu`.
 */
import { isDeepStrictEqual } from 'node:util';
import { ITEMS, NAMED_BLOCKS } from './items.js';
import { getField, scopeOf } from './schema.js';
import type { Config } from './types.js';

export interface ReloadDiff {
  /** May be applied at run time. */
  changed: string[];
  /** Take effect at the next start. */
  initOnlyChanged: string[];
}

/** Compares by the table of items. A block that came or went (a device, a worker) is init-only. */
export function diffReload(before: Config, after: Config): ReloadDiff {
  const diff: ReloadDiff = { changed: [], initOnlyChanged: [] };
  compare('', '', before, after, diff);
  return { changed: [...new Set(diff.changed)], initOnlyChanged: [...new Set(diff.initOnlyChanged)] };
}

/** @param scope named block that both objects are, '' for the whole; @param shown the same with its names */
function compare(scope: string, shown: string, before: object, after: object, diff: ReloadDiff): void {
  for (const item of ITEMS) {
    if (item.to === '' || scopeOf(item.path) !== scope) continue;
    if (isDeepStrictEqual(getField(before, item.to), getField(after, item.to))) continue;
    (item.init ? diff.initOnlyChanged : diff.changed).push(shown + item.path.slice(scope.length));
  }
  for (const block of NAMED_BLOCKS) {
    if (scopeOf(block.path) !== scope) continue;
    const prefix = shown + block.path.slice(scope.length).replace(/NAME$/, '');
    const old = getField(before, block.to) as { name: string }[];
    const now = getField(after, block.to) as { name: string }[];
    for (const b of old) {
      const a = now.find((other) => other.name === b.name);
      if (a === undefined) diff.initOnlyChanged.push(prefix + b.name);
      else compare(block.path, prefix + b.name, b, a, diff);
    }
    for (const a of now) {
      if (!old.some((b) => b.name === a.name)) diff.initOnlyChanged.push(prefix + a.name);
    }
  }
}
