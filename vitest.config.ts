import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    pool: 'forks',
    setupFiles: ['test/support/seed.ts'],
    include: ['test/unit/**/*.test.ts'],
    testTimeout: 20_000,
  },
});
