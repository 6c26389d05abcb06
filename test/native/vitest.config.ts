import { defineConfig } from 'vitest/config';

/** One process a file: a process can have EAL once. Two at a time: they poll, and CPUs are few. */
export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    setupFiles: ['test/support/seed.ts'],
    include: ['test/native/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
