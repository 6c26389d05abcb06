import { defineConfig } from 'vitest/config';

/** One file after the other: they share two CPUs, the hugepages and the clock of real timeouts. */
export default defineConfig({
  test: {
    pool: 'forks',
    setupFiles: ['test/support/seed.ts'],
    fileParallelism: false,
    include: ['test/e2e/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
  },
});
