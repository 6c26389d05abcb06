/** Child processes of the end-to-end tests: run one to its end, or keep one and end it for sure. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';

export interface Outcome {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  input?: string;
  /** Ended with SIGKILL when it takes longer. */
  timeoutMs?: number;
}

/** Variables of the test run that would change what a child prints or how fast it starts. */
const cleanEnv = (extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => {
  const env: NodeJS.ProcessEnv = { ...process.env, ...extra };
  for (const name of ['NODE_OPTIONS', 'NODE_EXTRA_CA_CERTS', 'VITEST', 'NODE_ENV', 'FORCE_COLOR'])
    delete env[name];
  return env;
};

/** Runs a program to its end, whatever its exit code. */
export function run(command: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const child = new Kept(command, options);
  if (options.input !== undefined) child.process.stdin?.end(options.input);
  else child.process.stdin?.end();
  const timer = setTimeout(() => child.process.kill('SIGKILL'), options.timeoutMs ?? 55_000);
  return child.ended.finally(() => clearTimeout(timer));
}

/** Runs a program that must succeed. @returns its standard output @throws Error with everything that it printed */
export async function succeed(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const outcome = await run(command, options);
  if (outcome.code !== 0) throw new Error(describe(command, outcome));
  return outcome.stdout;
}

/** The same, blocking: for building and removing the ground. */
export function succeedSync(command: readonly string[], input?: string): string {
  const { status, signal, stdout, stderr, error } = spawnSync(command[0]!, command.slice(1), {
    encoding: 'utf8',
    ...(input === undefined ? {} : { input }),
  });
  if (error) throw error;
  if (status !== 0) throw new Error(describe(command, { code: status, signal, stdout, stderr }));
  return stdout;
}

function describe(command: readonly string[], o: Outcome): string {
  const how = o.signal === null ? `exit code ${o.code}` : `signal ${o.signal}`;
  return `${command.join(' ')}: ${how}\n${o.stderr}${o.stdout}`;
}

/** A program that keeps running. */
export class Kept {
  readonly process: ChildProcess;
  readonly ended: Promise<Outcome>;
  stdout = '';
  stderr = '';

  constructor(
    readonly command: readonly string[],
    options: RunOptions = {},
  ) {
    this.process = spawn(command[0]!, command.slice(1), {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: cleanEnv(options.env),
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    this.process.stdout!.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    this.process.stderr!.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    // A child that ends before it has read its input is seen by its exit code.
    this.process.stdin!.on('error', () => {});
    this.ended = new Promise((resolve, reject) => {
      this.process.once('error', reject);
      this.process.once('close', (code, signal) =>
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr }),
      );
    });
    // Whoever awaits it sees the failure; nobody has to.
    this.ended.catch(() => {});
  }

  get running(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** Asks it to end, and makes sure. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', graceMs = 5000): Promise<Outcome> {
    if (this.running) this.process.kill(signal);
    const timer = setTimeout(() => this.process.kill('SIGKILL'), graceMs);
    try {
      return await this.ended;
    } finally {
      clearTimeout(timer);
    }
  }
}

/**
 * Polls until `condition` gives something other than undefined or false.
 * @param what goes into the message when the time is up
 */
export async function until<T>(
  what: string,
  condition: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 20_000,
  everyMs = 25,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value !== undefined && value !== false) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() >= end) {
      const why = last instanceof Error ? `: ${last.message}` : '';
      throw new Error(`not within ${timeoutMs / 1000} s: ${what}${why}`);
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
