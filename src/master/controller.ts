/**
 * The control plane: every command goes through `execute` and every query through `ask`. A command is validated by its
 * schema, applied to the master's replica (which refuses what is wrong), carried out on devices where it concerns
 * them, and posted to every lcore in order; the caller is answered when all have applied it.
 */
import type * as z from 'zod';
import type { BatchResult } from '../control/results.js';
import {
  BATCH,
  COMMANDS,
  QUERIES,
  type Command,
  type CommandName,
  type QueryName,
} from '../control/schema.js';
import { DpvsError } from '../core/errors.js';
import type { AccessLists, AclCommand } from '../ipvs/acl/lists.js';
import { keyOf } from '../ipvs/service.js';
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

/** A command as its schema has it. @throws DpvsError INVAL */
function commandOf(method: CommandName, params: unknown): Command {
  const parsed = COMMANDS[method].safeParse(params);
  if (!parsed.success) throw complain(method, parsed.error);
  return { op: method, ...parsed.data } as Command;
}
const isAcl = (c: { op: string }): c is AclCommand => c.op.startsWith('acl.');

export class Controller {
  constructor(
    private readonly replica: Replica,
    private readonly lcores: Lcores,
    private readonly ports: Ports,
    private readonly queries: Queries,
    private readonly lists: AccessLists,
    private readonly log: Log,
    private readonly debug: boolean,
  ) {}

  /** Answers one request of the control socket. */
  async handle(method: string, params: unknown): Promise<unknown> {
    if (Object.hasOwn(COMMANDS, method)) {
      await this.execute(commandOf(method as CommandName, params));
      return null;
    }
    if (method === 'batch') {
      const parsed = BATCH.batch.safeParse(params);
      if (!parsed.success) throw complain(method, parsed.error);
      return this.batch(parsed.data.commands);
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

  /** Applies a command everywhere, or nowhere and throws why. Our own replica has it before this returns. */
  async execute(command: Command): Promise<void> {
    await this.begin(command);
  }

  /** @returns when all lcores have applied it @throws DpvsError at once, when it is refused */
  private begin(command: Command): Promise<void> {
    if (isAcl(command)) return this.enlist(command);
    if (command.op === 'svc.flush') return this.flush();
    // The device first: it may refuse what the model would take.
    if (command.op === 'link.set') this.ports.set(command);
    this.replica.apply(command);
    this.log.info({ command }, 'command');
    return this.lcores.apply(command);
  }

  /** Removes all services. Lcores are told of one at a time and look after packets in between. */
  private async flush(): Promise<void> {
    const { services } = this.replica;
    const gone = services.list().map((svc): Command => ({ op: 'svc.del', svc: keyOf(svc) }));
    services.apply('svc.flush', {});
    this.log.info({ command: { op: 'svc.flush' } }, 'command');
    await Promise.all(gone.map((command) => this.lcores.apply(command)));
  }

  /** Commands in order up to the first that is refused; lcores are waited for once. */
  private async batch(commands: readonly { method: string; params?: unknown }[]): Promise<BatchResult> {
    const under: Promise<void>[] = [];
    let error: DpvsError | undefined;
    for (const { method, params } of commands) {
      try {
        if (!Object.hasOwn(COMMANDS, method))
          throw new DpvsError('NOTSUPP', `unknown command '${method}'`, 'a batch has only commands');
        under.push(this.begin(commandOf(method as CommandName, params)));
      } catch (e) {
        if (!(e instanceof DpvsError)) throw e;
        error = e;
        break;
      }
    }
    await Promise.all(under);
    return { done: under.length, ...(error === undefined ? {} : { error: error.toData() }) };
  }

  /** Entries of lists go into memory that all lcores read; they are told only that there are some. */
  private async enlist(command: AclCommand): Promise<void> {
    const note = this.lists.apply(command);
    const { entries, ...rest } = { entries: [], ...command };
    this.log.info({ command: { ...rest, entries: entries.length } }, 'command');
    if (note === undefined) return;
    this.replica.apply(note as unknown as Command);
    await this.lcores.apply(note as unknown as Command);
  }
}
