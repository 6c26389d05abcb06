import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { removePidFile, writePidFile } from '../../../src/master/pidfile.js';

let dir: string;
let file: string;
const children: ChildProcess[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'dpvs-pid-'));
  file = join(dir, 'dpvs.pid');
});
afterEach(() => {
  for (const c of children.splice(0)) c.kill();
  rmSync(dir, { recursive: true });
});

/** A process that calls itself `name`. */
async function process_(name: string): Promise<number> {
  const child = spawn('sleep', ['60'], { argv0: name, stdio: 'ignore' });
  children.push(child);
  await once(child, 'spawn');
  return child.pid!;
}

test('the file holds our pid and goes with us', () => {
  writePidFile(file);
  expect(readFileSync(file, 'utf8')).toBe(`${process.pid}\n`);
  removePidFile(file);
  expect(existsSync(file)).toBe(false);
});

test('a second daemon is refused while the first runs, and leaves its file alone', async () => {
  const pid = await process_('/usr/local/bin/dpvs');
  writeFileSync(file, `${pid}\n`);
  expect(() => writePidFile(file)).toThrow(expect.objectContaining({ code: 'BUSY' }) as Error);
  removePidFile(file);
  expect(readFileSync(file, 'utf8')).toBe(`${pid}\n`);
});

test('the pid of a killed daemon that another program has been given is no obstacle', async () => {
  writeFileSync(file, `${await process_('postgres')}\n`);
  writePidFile(file);
  expect(readFileSync(file, 'utf8')).toBe(`${process.pid}\n`);
});

test.each(['', 'garbage\n', '-1\n', '99999999\n'])('a file with %j is replaced', (text) => {
  writeFileSync(file, text);
  writePidFile(file);
  expect(readFileSync(file, 'utf8')).toBe(`${process.pid}\n`);
});
