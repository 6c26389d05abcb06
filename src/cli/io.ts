/** Everything that a tool touches outside itself, so that tests can run it in their own process. */
import { closeSync, fstatSync, openSync, realpathSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { Writable } from 'node:stream';
import { connect, type ControlClient } from '../control/client.js';
import { DpvsError } from '../core/errors.js';
import { StatsReader } from '../core/stats.js';

export interface Io {
  out(text: string): void;
  err(text: string): void;
  /** Waits until the reader of a long output has caught up. */
  drain(): Promise<void>;
  /** All of standard input. */
  stdin(): Promise<string>;
  /** All of a file. @throws DpvsError IO */
  file(path: string): Promise<string>;
  connect(): Promise<ControlClient>;
  sleep(ms: number): Promise<void>;
  /** The statistics segment of a running daemon, mapped: what it reads is live. @throws DpvsError IO */
  segment(file: string): StatsReader;
  /** Monotonic, milliseconds. */
  now(): number;
  /** Whether a person looks at the output. */
  tty: boolean;
}

/** Resolves when the stream takes more, or is closed. */
export async function drained(stream: Writable): Promise<void> {
  if (!stream.writableNeedDrain || stream.destroyed) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      stream.off('drain', done).off('close', done);
      resolve();
    };
    stream.on('drain', done).on('close', done);
  });
}

/** What we use of mmap-io (its own types name a default export that it has not at run time). */
interface Mmap {
  PROT_READ: number;
  MAP_SHARED: number;
  map(bytes: number, protection: number, sharing: number, fd: number): Buffer;
}

/** Loaded only for live views: it takes 65 to 90 ms. */
function mapSegment(file: string): StatsReader {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch (e) {
    throw new DpvsError('IO', `cannot read the statistics segment: ${(e as Error).message}`);
  }
  try {
    const mmap = createRequire(realpathSync(process.argv[1]!))('mmap-io') as Mmap;
    return new StatsReader(mmap.map(fstatSync(fd).size, mmap.PROT_READ, mmap.MAP_SHARED, fd));
  } finally {
    closeSync(fd);
  }
}

export const processIo: Io = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  drain: () => drained(process.stdout),
  stdin: async () => {
    const parts: Buffer[] = [];
    for await (const part of process.stdin) parts.push(part as Buffer);
    return Buffer.concat(parts).toString('utf8');
  },
  file: async (path) =>
    readFile(path, 'utf8').catch((e: unknown) => {
      throw new DpvsError('IO', `cannot read ${path}: ${(e as Error).message}`);
    }),
  connect: () => connect(),
  sleep: (ms) => new Promise((done) => setTimeout(done, ms)),
  segment: mapSegment,
  now: () => performance.now(),
  tty: process.stdout.isTTY,
};
