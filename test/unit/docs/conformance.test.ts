/** docs/conformance.md names tests that exist: a test that is renamed or removed must not stay behind as a promise. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const ROOT = new URL('../../../', import.meta.url);
const page = readFileSync(new URL('docs/conformance.md', ROOT), 'utf8');
const files = new Map(
  [...page.matchAll(/^\[(\w+)\]: \.\.\/(test\/\S+)$/gm)].map((m) => [m[1]!, m[2]!] as const),
);
/** The rows of all tables: section, rule, status, test. */
const rows = page
  .split('\n')
  .filter((line) => line.startsWith('| '))
  .map((line) =>
    line
      .slice(1, -1)
      .split(' | ')
      .map((cell) => cell.trim()),
  )
  .filter((row) => row[1] !== 'rule' && !row[0]!.startsWith('---'));
/** Text as it stands in a test's source, quotes escaped or not. */
const plain = (text: string): string => text.replaceAll('\\', '');

describe('docs/conformance.md', () => {
  it('has rows of four cells with a status', () => {
    expect(rows.length).toBeGreaterThan(100);
    for (const row of rows) {
      expect(row, row.join(' | ')).toHaveLength(4);
      expect(row[2], row.join(' | ')).toMatch(/^(yes|partly|no|n\/a)\b/);
    }
  });

  it('names files that exist, each at least once', () => {
    for (const [name, path] of files) {
      expect([path, existsSync(new URL(path, ROOT))]).toEqual([path, true]);
      expect(rows.filter((row) => row[3]!.includes(`[${name}]`)).length, name).toBeGreaterThan(0);
    }
  });

  it.each(rows.filter((row) => row[3] !== '–'))(
    '%s: %s (%s) is held by tests that exist',
    (_section, _rule, _status, tests) => {
      const parts = tests.split('; ');
      for (const part of parts) {
        const m = /^\[(\w+)\] ("[^"]+"(?:, "[^"]+")*)$/.exec(part);
        expect(m, part).not.toBeNull();
        const path = files.get(m![1]!);
        expect(path, part).toBeDefined();
        const source = plain(readFileSync(new URL(path!, ROOT), 'utf8'));
        for (const [, name] of m![2]!.matchAll(/"([^"]+)"/g)) expect(source).toContain(name);
      }
    },
  );
});
