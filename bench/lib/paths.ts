/** Where things are. This file runs as bench/build/bench/lib/paths.js, or as it is under vitest. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

function top(from: string): string {
  return existsSync(join(from, 'package-lock.json')) ? from : top(dirname(from));
}

export const ROOT = top(dirname(fileURLToPath(import.meta.url)));
export const RESULTS = join(ROOT, 'bench/results');
