/** What the three programs share: one oclif command each, its own flags, one way to end. */
import { Command } from '@oclif/core/command';
import { Config } from '@oclif/core/config';
import { TransportError, type ControlClient } from '../control/client.js';
import { processIo, type Io } from './io.js';
import { explicit, flagsOf, optionError, tokensOf, type OptionSpec, type Token } from './options.js';

/** Where and as which version a program runs; the launcher knows. */
export interface Host {
  /** oclif's root: a folder of the program's own. */
  root: string;
  version: string;
  io?: Io;
}

/** No daemon to talk to. */
export const EXIT_NO_DAEMON = 2;

export abstract class Program extends Command {
  static override strict = false;

  io: Io = processIo;
  private status = 0;
  private client: ControlClient | undefined;

  /** Does the work. @returns the exit code */
  abstract main(): Promise<number>;
  /** Prints what {@link main} threw. @returns the exit code */
  abstract report(error: Error): number;

  override async run(): Promise<void> {
    this.parsed = true; // oclif warns developers about lines that it did not parse; ours may be empty
    this.status = await this.main();
  }

  override async catch(error: Error): Promise<void> {
    if (error instanceof TransportError) {
      this.io.err(`${error.message}\n`);
      this.status = EXIT_NO_DAEMON;
    } else {
      this.status = this.report(error);
    }
  }

  override async finally(): Promise<void> {
    this.client?.close();
  }

  async execute(): Promise<number> {
    await this._run();
    return this.status;
  }

  /** The command line as tokens in order. @throws OptionError */
  async tokens(specs: readonly OptionSpec[], argv: string[] = this.argv): Promise<Token[]> {
    try {
      const words = explicit(specs, argv);
      const { raw } = await this.parse({ strict: false, flags: flagsOf(specs), args: {} }, words);
      return tokensOf(specs, raw);
    } catch (error) {
      throw optionError(error as Error);
    }
  }

  /** The connection to the daemon, made when first needed. */
  async daemon(): Promise<ControlClient> {
    this.client ??= await this.io.connect();
    return this.client;
  }

  /** An error that is our own fault. */
  internal(error: Error): number {
    this.io.err(`${this.config.bin}: internal error: ${error.message}\n`);
    if (process.env['DPVS_DEBUG']) this.io.err(`${error.stack ?? ''}\n`);
    return 1;
  }
}

/** Runs one program. @returns its exit code */
export async function runProgram(
  program: (argv: string[], config: Config) => Program,
  bin: string,
  argv: string[],
  host: Host,
): Promise<number> {
  const pjson = { name: bin, version: host.version, oclif: { bin } };
  const config = await Config.load({ root: host.root, pjson });
  const command = program(argv, config);
  if (host.io) command.io = host.io;
  return command.execute();
}
