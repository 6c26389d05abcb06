/**
 * The control plane: every command goes through `execute` and every query through `ask`. A command is validated by its
 * schema, applied to the master's replica (which refuses what is wrong), carried out on devices where it concerns
 * them, and posted to every lcore in order; the caller is answered when all have applied it.
 */
import type * as z from 'zod';
import { COMMANDS, QUERIES, type Command, type CommandName, type QueryName } from '../control/schema.js';
import { DpvsError } from '../core/errors.js';
import type { Replica } from '../lcore/replica.js';
import type { Lcores } from './lcores.js';
import type { Log } from './log.js';
import type { Ports } from './ports.js';
import type { Queries } from './queries.js';

/** A schema's complaint as one line: `svc.port: …; dest.weight: …`. */
function complain(method: string, e: z.ZodError): DpvsError {
  const issues = e.issues.map((i) => `${i.path.length > 0 ? `${i.path.join('.')}: ` : ''}${i.message}`);
  return new DpvsError('INVAL', `${method}: ${issues.join('; ')}`);
}

export class Controller {
  constructor(
    private readonly replica: Replica,
    private readonly lcores: Lcores,
    private readonly ports: Ports,
    private readonly queries: Queries,
    private readonly log: Log,
    private readonly debug: boolean,
  ) {}

  /** Answers one request of the control socket. */
  async handle(method: string, params: unknown): Promise<unknown> {
    if (Object.hasOwn(COMMANDS, method)) {
      const parsed = COMMANDS[method as CommandName].safeParse(params);
      if (!parsed.success) throw complain(method, parsed.error);
      await this.execute({ op: method, ...parsed.data } as Command);
      return null;
    }
    if (Object.hasOwn(QUERIES, method)) {
      const parsed = QUERIES[method as QueryName].safeParse(params);
      if (!parsed.success) throw complain(method, parsed.error);
      return this.queries.ask(method as QueryName, parsed.data);
    }
    if (this.debug && method === 'debug.throw') {
      this.lcores.throwIn(Number((params as { lcore?: unknown }).lcore));
      return null;
    }
    throw new DpvsError('NOTSUPP', `unknown method '${method}'`, 'tool and daemon of different versions?');
  }

  /** Applies a command everywhere, or nowhere and throws why. */
  async execute(command: Command): Promise<void> {
    // The device first: it may refuse what the model would take.
    if (command.op === 'link.set') this.ports.set(command);
    this.replica.apply(command);
    this.log.info({ command }, 'command');
    await this.lcores.apply(command);
  }
}
