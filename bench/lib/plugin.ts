/** Where the forwarders load the source from: EAL refuses plugins below a world-writable folder such as /tmp. */
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './paths.js';

let copied: string | undefined;

/** Path of a copy that goes away with this process. */
export function plugin(): string {
  if (copied === undefined) {
    const dir = `/run/dpvs-bench-${process.pid}`;
    mkdirSync(dir, { recursive: true, mode: 0o755 });
    process.once('exit', () => rmSync(dir, { recursive: true, force: true }));
    copied = join(dir, 'source.so');
    copyFileSync(join(ROOT, 'bench/build/source.so'), copied);
  }
  return copied;
}
