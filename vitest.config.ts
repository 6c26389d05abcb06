import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    pool: 'forks',
    // No test changes what a module holds: loading each once a process instead of once a file takes a third off the time.
    isolate: false,
    maxWorkers: '100%',
    setupFiles: ['test/support/seed.ts'],
    include: ['test/unit/**/*.test.ts'],
    testTimeout: 20_000,
  },
});
