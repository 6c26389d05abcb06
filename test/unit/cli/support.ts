/** Runs a program in this process with a daemon that answers from a table and notes what it was asked. */
import { fileURLToPath } from 'node:url';
import type { ControlClient } from '../../../src/control/client.js';
import type { BatchResult } from '../../../src/control/results.js';
import { TransportError } from '../../../src/control/client.js';
import { encodeMessage } from '../../../src/control/framing.js';
import { DpvsError } from '../../../src/core/errors.js';
import type { StatsReader } from '../../../src/core/stats.js';
import type { Host } from '../../../src/cli/program.js';
import type { Io } from '../../../src/cli/io.js';

export interface Call {
  method: string;
  params: unknown;
}

/** Answers by method: a value, or a function of the parameters that may throw. Commands answer null. */
export type Answers = Record<string, unknown>;

export interface Outcome {
  code: number;
  out: string;
  err: string;
  calls: Call[];
  /** Milliseconds slept, on the virtual clock. */
  slept: number[];
}

export interface RunOptions {
  answers?: Answers;
  stdin?: string;
  /** Files by name. */
  files?: Record<string, string>;
  daemon?: boolean;
  segment?: StatsReader;
}

type Batch = { commands: Call[] };

const root = fileURLToPath(new URL('.', import.meta.url));

export async function run(
  main: (argv: string[], host: Host) => Promise<number>,
  argv: string[],
  { answers = {}, stdin = '', files = {}, daemon = true, segment }: RunOptions = {},
): Promise<Outcome> {
  const outcome: Outcome = { code: -1, out: '', err: '', calls: [], slept: [] };
  let clock = 1000;
  const one = async (method: string, params: unknown): Promise<unknown> => {
    outcome.calls.push({ method, params });
    const answer = answers[method];
    return structuredClone(typeof answer === 'function' ? await answer(params) : (answer ?? null));
  };
  /** As the daemon does it; its commands are noted one by one. */
  const batch = async ({ commands }: Batch): Promise<BatchResult> => {
    encodeMessage({ jsonrpc: '2.0', id: 1, method: 'batch', params: { commands } });
    for (const [done, { method, params }] of commands.entries()) {
      try {
        await one(method, params);
      } catch (error) {
        if (error instanceof DpvsError) return { done, error: error.toData() };
        throw error;
      }
    }
    return { done: commands.length };
  };
  const client: ControlClient = {
    call: (async (method: string, params: unknown) =>
      method === 'batch' ? batch(params as Batch) : one(method, params)) as ControlClient['call'],
    close() {},
  };
  const io: Io = {
    out: (text) => void (outcome.out += text),
    err: (text) => void (outcome.err += text),
    drain: async () => {},
    stdin: async () => stdin,
    file: async (path) => {
      if (files[path] === undefined) throw new DpvsError('IO', `cannot read ${path}`);
      return files[path];
    },
    connect: async () => {
      if (!daemon) throw new TransportError('not-running', 'dpvs is not running (no socket at /tmp/none)');
      return client;
    },
    sleep: async (ms) => {
      outcome.slept.push(ms);
      clock += ms;
    },
    segment: (file) => {
      if (!segment) throw new DpvsError('IO', `no segment at ${file}`);
      return segment;
    },
    now: () => clock,
    tty: false,
  };
  outcome.code = await main(argv, { root, version: '1.2.3', io });
  return outcome;
}

/** A command line as words. */
export const words = (line: string): string[] => line.split(' ').filter((w) => w !== '');
