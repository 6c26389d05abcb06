/** Threads of another process: names, CPU time, pinning. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

export interface Thread {
  tid: number;
  name: string;
}

export function threads(pid: number): Thread[] {
  return readdirSync(`/proc/${pid}/task`).map((t) => ({
    tid: Number(t),
    name: readFileSync(`/proc/${pid}/task/${t}/comm`, 'utf8').trim(),
  }));
}

/** The only thread whose name matches. @throws Error with the names that there are */
export function threadNamed(pid: number, name: RegExp): Thread {
  const all = threads(pid);
  const found = all.filter((t) => name.test(t.name));
  if (found.length !== 1) {
    throw new Error(
      `process ${pid}: ${found.length} threads match ${name}: ${all.map((t) => t.name).join(', ')}`,
    );
  }
  return found[0]!;
}

export interface Schedule {
  /** Nanoseconds on a CPU, and waiting for one. */
  runNs: number;
  waitNs: number;
}

/** https://docs.kernel.org/scheduler/sched-stats.html */
export function schedule(pid: number, tid: number): Schedule {
  const [run, wait] = readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8').split(' ');
  return { runNs: Number(run), waitNs: Number(wait) };
}

/** Pins every thread but `except` to a CPU, so that garbage collectors and compilers leave the lcore's CPU alone. */
export function pinOthers(pid: number, except: number, cpu: number): void {
  for (const t of threads(pid)) {
    if (t.tid === except) continue;
    try {
      execFileSync('taskset', ['-p', '-c', String(cpu), String(t.tid)], { stdio: 'pipe' });
    } catch {
      // The thread has ended meanwhile.
    }
  }
}

/** Resident memory of a process in bytes, without the pages of files and devices. */
export function residentBytes(pid: number): { anon: number; total: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kb = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
  return { anon: kb('RssAnon') * 1024, total: kb('VmRSS') * 1024 };
}
