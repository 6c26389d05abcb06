/** The pid file: one daemon per file, stale files of dead daemons are replaced. */
import { readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { DpvsError } from '../core/errors.js';

/** True while `pid` is a dpvs: after a crash, its number may have been given to any other program. */
function isDaemon(pid: number): boolean {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return words.some((w) => basename(w) === 'dpvs');
  } catch {
    return false;
  }
}

/** Writes our pid. @throws DpvsError BUSY while another daemon runs, SYSCALL when the file cannot be written */
export function writePidFile(path: string): void {
  let old = 0;
  try {
    old = Number.parseInt(readFileSync(path, 'utf8'), 10);
  } catch {
    // No file: the usual case.
  }
  if (old > 0 && old !== process.pid && isDaemon(old)) {
    throw new DpvsError(
      'BUSY',
      `dpvs is already running (pid ${old} in ${path})`,
      'stop it, or use -p, -x and -c for another',
    );
  }
  try {
    writeFileSync(path, `${process.pid}\n`);
  } catch (e) {
    throw new DpvsError(
      'SYSCALL',
      `cannot write ${path}: ${(e as Error).message}`,
      'choose another pid file with -p',
    );
  }
}

export function removePidFile(path: string): void {
  try {
    if (Number.parseInt(readFileSync(path, 'utf8'), 10) === process.pid) unlinkSync(path);
  } catch {
    // Gone already.
  }
}
