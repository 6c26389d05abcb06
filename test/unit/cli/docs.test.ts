import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { commandsPage } from '../../../src/cli/docs.js';

describe('docs/commands.md', () => {
  it('is what the declarations say now (otherwise: npm run build && node tools/docs-commands.mjs)', () => {
    expect(readFileSync(new URL('../../../docs/commands.md', import.meta.url), 'utf8')).toBe(commandsPage());
  });
});
