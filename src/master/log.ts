/** The daemon's log: pino, JSON lines into a file or a pipe, readable lines on a terminal. */
import pino from 'pino';
import pretty from 'pino-pretty';
import { DpvsError } from '../core/errors.js';

export type Log = pino.Logger;

/** Levels of dpvs.conf (RFC 5424 names) and their pino levels. */
const LEVELS: Record<string, pino.Level> = {
  EMERG: 'fatal',
  ALERT: 'fatal',
  CRIT: 'fatal',
  ERR: 'error',
  WARNING: 'warn',
  NOTICE: 'info',
  INFO: 'info',
  DEBUG: 'debug',
};

export interface LogOptions {
  /** A level name of dpvs.conf. */
  level?: string | undefined;
  /** File to append to; standard error when absent. */
  file?: string | undefined;
  format?: 'json' | 'pretty' | undefined;
}

/** What waits for a full disk at most, bytes; later lines are lost. */
const MAX_WAITING = 1 << 20;

/**
 * Writes are synchronous: the last line before a crash is the one that matters. A write that fails (full disk) is tried
 * again with the next line; it never ends the daemon.
 * @throws DpvsError SYSCALL when the file cannot be opened
 */
export function createLog(o: LogOptions): Log {
  const level = LEVELS[o.level ?? 'INFO'] ?? 'info';
  const readable =
    o.format === undefined ? o.file === undefined && process.stderr.isTTY : o.format === 'pretty';
  const destination = open(o.file);
  destination.on('error', () => undefined);
  // A fatal line flushes, and flushing waits for a full disk for ever. There is nothing to flush.
  destination.flushSync = () => undefined;
  const stream = readable
    ? pretty({ destination, colorize: o.file === undefined, ignore: 'pid,hostname' })
    : destination;
  return pino({ level, base: null }, stream);
}

function open(file: string | undefined): ReturnType<typeof pino.destination> {
  try {
    return pino.destination({
      dest: file ?? 2,
      sync: true,
      append: true,
      mkdir: true,
      maxLength: MAX_WAITING,
    });
  } catch (e) {
    throw new DpvsError(
      'SYSCALL',
      `cannot write the log ${file}: ${(e as Error).message}`,
      'global_defs/log_file',
    );
  }
}

/** RTE_LOG levels (1 emergency … 8 debug) as pino levels. */
const EAL_LEVELS: pino.Level[] = [
  'info',
  'fatal',
  'fatal',
  'fatal',
  'error',
  'warn',
  'info',
  'debug',
  'trace',
];

/** A sink for DPDK's log lines. */
export function ealLogger(log: Log): (level: number, line: string) => void {
  const child = log.child({ from: 'dpdk' });
  return (level, line) => {
    const text = line.trim();
    if (text !== '') child[EAL_LEVELS[level] ?? 'info'](text);
  };
}
