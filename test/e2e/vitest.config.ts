import { configDefaults, defineConfig } from 'vitest/config';

const ALL = 'test/e2e/**/*.test.ts';
/**
 * They look at how fast something happens, send more than the machine takes, or keep a sender waiting, which doubles its pause each
 * time: one after the other, with both CPUs to themselves.
 */
const ALONE = ['defence', 'full-table', 'lists', 'robustness'].map((name) => `test/e2e/${name}.test.ts`);

/** The others two at a time: each has namespaces, names and files of its own, and waits as often as it works. */
export default defineConfig({
  test: {
    pool: 'forks',
    setupFiles: ['test/support/seed.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'pairs',
          include: [ALL],
          exclude: [...configDefaults.exclude, ...ALONE],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: { name: 'alone', include: ALONE, fileParallelism: false, sequence: { groupOrder: 1 } },
      },
    ],
  },
});
