import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/config.js';
import type { Log } from '../../../src/master/log.js';
import { reportReload } from '../../../src/master/reload.js';

let dir: string;
let file: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'dpvs-reload-'));
  file = join(dir, 'dpvs.conf');
});
afterEach(() => rmSync(dir, { recursive: true }));

/** What the log says when the file changes from one text to another and SIGHUP comes. */
function said(before: string, after: string): string[] {
  writeFileSync(file, before);
  const { config } = loadConfig(file);
  writeFileSync(file, after);
  const lines: string[] = [];
  const at =
    (level: string) =>
    (...words: unknown[]): void =>
      void lines.push(
        `${level} ${words.map((w) => (typeof w === 'string' ? w : JSON.stringify(w))).join(' ')}`,
      );
  reportReload(file, config, { info: at('info'), warn: at('warn'), error: at('error') } as unknown as Log);
  return lines;
}

test('a changed key is named as waiting for the next start', () => {
  const [line] = said('neigh_defs { timeout 60 }', 'neigh_defs { timeout 61 }');
  expect(line).toMatch(/^warn .*neigh_defs\/timeout.*next start/);
});

test('an unchanged file is called so', () => {
  expect(said('neigh_defs { timeout 60 }', 'neigh_defs { timeout 60 } ! same')).toEqual([
    'info SIGHUP: the configuration has not changed',
  ]);
});

test('errors are told with their place', () => {
  const lines = said('', 'neigh_defs { timeout x }');
  expect(lines[0]).toContain('dpvs.conf:1:');
  expect(lines.at(-1)).toContain('cannot be used');
});
