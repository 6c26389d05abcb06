/**
 * Settings of V8 for the threads that forward packets. They are the process's: workers that start afterwards have them.
 * Measured in docs/performance.md.
 */
import { setFlagsFromString } from 'node:v8';

const FLAGS = [
  // What a packet passes is many small functions: by default the compiler inlines 920 bytes of bytecode and calls the rest.
  // Much more than this makes code that is slower again.
  '--max-inlined-bytecode-size-cumulative=3000',
  // Accessors and checksum helpers are inlined whatever the budget says: by default only up to 27 bytes and 4,600 in all.
  '--max-inlined-bytecode-size-small=160',
  '--max-inlined-bytecode-size-absolute=20000',
  // Helper threads share the master's CPU: an lcore that collects garbage would wait until they get it.
  '--no-parallel-scavenge',
  '--no-parallel-compaction',
  '--no-parallel-pointer-update',
  // To give them work takes a lock that they may be preempted with.
  '--no-concurrent-array-buffer-sweeping',
  // A full collection takes an lcore 2 ms, and V8 begins with them when a few MB have grown old. Commands leave some 25 bytes
  // each: this is millions of them.
  '--initial-old-space-size=256',
];

/** Call it before the first worker starts. */
export function tuneEngine(): void {
  for (const flag of FLAGS) setFlagsFromString(flag);
}
