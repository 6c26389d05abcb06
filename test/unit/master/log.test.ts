import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLog } from '../../../src/master/log.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'dpvs-log-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const settle = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
};

describe.each(['json', 'pretty'] as const)('the log (%s)', (format) => {
  it('is in its file as soon as a line was logged', async () => {
    const file = join(dir, 'dpvs.log');
    createLog({ file, format }).info({ lcore: 1 }, 'lcore runs');
    await settle();
    expect(readFileSync(file, 'utf8')).toContain('lcore runs');
  });

  it('on a full disk loses lines, not the daemon', async () => {
    // An error that nobody handles fails the test run.
    const log = createLog({ file: '/dev/full', format });
    for (let i = 0; i < 100; i++) log.info({ i }, 'x'.repeat(1000));
    await settle();
    log.fatal('still here');
    await settle();
  });

  it('that cannot be written is an error that names the file', () => {
    expect(() => createLog({ file: dir, format })).toThrow(
      expect.objectContaining({ code: 'SYSCALL', message: expect.stringContaining(dir) as string }) as Error,
    );
  });
});
