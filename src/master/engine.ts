/**
 * Settings of V8 for the threads that forward packets. They are the process's: workers that start afterwards have them.
 * Measured in docs/performance.md.
 */
import { setFlagsFromString } from 'node:v8';

const FLAGS = [
  // What a packet passes is many small functions: by default the compiler inlines 920 bytes of bytecode and calls the rest.
  // Much more than this makes code that is slower again.
  '--max-inlined-bytecode-size-cumulative=3000',
  // Helper threads share the master's CPU: an lcore that collects garbage would wait until they get it.
  '--no-parallel-scavenge',
];

/** Call it before the first worker starts. */
export function tuneEngine(): void {
  for (const flag of FLAGS) setFlagsFromString(flag);
}
