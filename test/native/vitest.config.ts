import { defineConfig } from 'vitest/config';

/** One process a file: a process can have EAL once. One file after the other: they poll, and CPUs are few. */
export default defineConfig({
  test: {
    pool: 'forks',
    fileParallelism: false,
    setupFiles: ['test/support/seed.ts'],
    include: ['test/native/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
