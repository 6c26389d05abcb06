import { defineConfig } from 'vitest/config';

/** What tests native code, for tools/sanitize: the layers `native` and `packet` in one run. */
export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    setupFiles: ['test/support/seed.ts'],
    include: ['test/native/**/*.test.ts', 'test/packet/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
