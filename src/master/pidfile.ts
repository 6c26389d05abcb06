/** The pid file: one daemon per file, stale files of dead daemons are replaced. */
import { readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { DpvsError } from '../core/errors.js';

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (e) {
    return (e as NodeJS.ErrnoException).code === 'EPERM';
  }
};

/** Writes our pid. @throws DpvsError BUSY while another daemon runs, SYSCALL when the file cannot be written */
export function writePidFile(path: string): void {
  let old = 0;
  try {
    old = Number.parseInt(readFileSync(path, 'utf8'), 10);
  } catch {
    // No file: the usual case.
  }
  if (old > 0 && old !== process.pid && alive(old)) {
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
