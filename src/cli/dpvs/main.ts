/** `dpvs`: starts the daemon, or checks a configuration file. */
import type { Config } from '@oclif/core/config';
import { DpvsError } from '../../core/errors.js';
import { OptionError, UsageError } from '../errors.js';
import { columns, optionLabel, type OptionSpec } from '../options.js';
import { Program, runProgram, type Host } from '../program.js';

export const OPTIONS: readonly OptionSpec[] = [
  { name: 'conf', chars: 'c', value: 'FILE', doc: 'configuration file; default /etc/dpvs.conf' },
  { name: 'check', doc: 'only check the configuration (FILE may follow): exit 0 or 1' },
  { name: 'pid-file', chars: 'p', value: 'FILE', doc: 'pid file; default /var/run/dpvs.pid' },
  { name: 'ipc-file', chars: 'x', value: 'SOCKET', doc: 'control socket; default /var/run/dpvs.ipc' },
  { name: 'version', chars: 'v', doc: 'show the version' },
  { name: 'help', chars: 'h', doc: 'show this help' },
];

const DEFAULT_CONF = '/etc/dpvs.conf';

/** What the daemon's modules export, as far as it matters here. They are loaded only when asked for. */
export interface Modules {
  master(): Promise<{ run: (options: RunOptions) => Promise<number> }>;
  config(): Promise<{ loadConfig: (path: string) => { warnings: { message: string }[] } }>;
  diagnostics(): Promise<{ formatDiagnostics: (list: readonly object[]) => string }>;
}

export interface RunOptions {
  conf?: string | undefined;
  pidFile?: string | undefined;
  ipcFile?: string | undefined;
  ealArgs: string[];
}

export type Action =
  | { kind: 'run'; options: RunOptions }
  | { kind: 'check'; file: string }
  | { kind: 'help' | 'version' };

export interface DaemonHost extends Host {
  modules: Modules;
}

export function usage(): string {
  return (
    'Usage:\n' +
    '    dpvs [-c FILE] [-p FILE] [-x SOCKET] [-- EAL ARGUMENTS]\n' +
    '    dpvs --check [FILE]\n' +
    'Options:\n' +
    columns(
      OPTIONS.map((o) => [optionLabel(o), o.doc]),
      '    ',
    )
  );
}

class Dpvs extends Program {
  constructor(
    argv: string[],
    config: Config,
    private readonly modules: Modules,
  ) {
    super(argv, config);
  }

  async main(): Promise<number> {
    const action = await this.action();
    switch (action.kind) {
      case 'help':
        this.io.out(usage());
        return 0;
      case 'version':
        this.io.out(`dpvs version: ${this.config.version}\n`);
        return 0;
      case 'check':
        return this.check(action.file);
      case 'run': {
        const { run } = await this.modules.master();
        return run(action.options);
      }
    }
  }

  report(error: Error): number {
    if (error instanceof OptionError) this.io.err(`dpvs: ${error.message}\n${usage()}`);
    else if (error instanceof UsageError) this.io.err(`dpvs: ${error.message}\n`);
    else if (error instanceof DpvsError)
      this.io.err(`dpvs: ${error.message}\n${error.hint ? `      ${error.hint}\n` : ''}`);
    else return this.internal(error);
    return 1;
  }

  private async action(): Promise<Action> {
    const split = this.argv.indexOf('--');
    const own = split < 0 ? this.argv : this.argv.slice(0, split);
    const ealArgs = split < 0 ? [] : this.argv.slice(split + 1);
    const given = new Map<string, string>();
    const words: string[] = [];
    for (const token of await this.tokens(OPTIONS, own)) {
      if ('word' in token) words.push(token.word);
      else if (given.has(token.option)) throw new UsageError(`--${token.option} given twice`);
      else given.set(token.option, token.value ?? '');
    }
    if (given.has('help')) return { kind: 'help' };
    if (given.has('version')) return { kind: 'version' };
    const conf = given.get('conf');
    if (given.has('check')) {
      const files = [...words, ...(conf === undefined ? [] : [conf])];
      if (files.length > 1) throw new UsageError(`--check takes one file, not ${files.join(' ')}`);
      return { kind: 'check', file: files[0] ?? DEFAULT_CONF };
    }
    if (words.length > 0) {
      throw new UsageError(`unexpected word '${words[0]}'; arguments for EAL follow after --`);
    }
    const options = { conf, pidFile: given.get('pid-file'), ipcFile: given.get('ipc-file'), ealArgs };
    return { kind: 'run', options };
  }

  private async check(file: string): Promise<number> {
    const { loadConfig } = await this.modules.config();
    try {
      const { warnings } = loadConfig(file);
      const { formatDiagnostics } = await this.modules.diagnostics();
      if (warnings.length > 0) this.io.err(`${formatDiagnostics(warnings)}\n`);
      this.io.out(`${file}: ok\n`);
      return 0;
    } catch (error) {
      // a ConfigError: its text lists every error with its place. Not told by class: that one lives in another bundle.
      if ((error as { name?: unknown }).name !== 'DpvsError') throw error;
      this.io.err(`${(error as Error).message}\n`);
      return 1;
    }
  }
}

/** @returns the exit code, when the daemon has ended */
export const main = (argv: string[], host: DaemonHost): Promise<number> =>
  runProgram((words, config) => new Dpvs(words, config, host.modules), 'dpvs', argv, host);
