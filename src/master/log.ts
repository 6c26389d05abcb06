/** The daemon's log: pino, JSON lines into a file or a pipe, readable lines on a terminal. */
import pino from 'pino';
import pretty from 'pino-pretty';

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

/** Writes are synchronous: the last line before a crash is the one that matters. */
export function createLog(o: LogOptions): Log {
  const level = LEVELS[o.level ?? 'INFO'] ?? 'info';
  const destination = o.file ?? 2;
  const readable =
    o.format === undefined ? o.file === undefined && process.stderr.isTTY : o.format === 'pretty';
  const stream = readable
    ? pretty({
        destination,
        sync: true,
        colorize: o.file === undefined,
        ignore: 'pid,hostname',
        append: true,
      })
    : pino.destination({ dest: destination, sync: true, append: true, mkdir: true });
  return pino({ level, base: null }, stream);
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
