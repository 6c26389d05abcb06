/** `ipvsadm`: virtual services, real servers, local addresses, connections. */
import { randomUUID } from 'node:crypto';
import type { ControlClient } from '../../control/client.js';
import { MAX_MESSAGE_BYTES } from '../../control/framing.js';
import type { CommandName } from '../../control/schema.js';
import { DpvsError, ERRORS } from '../../core/errors.js';
import { OptionError, UsageError } from '../errors.js';
import type { Io } from '../io.js';
import { Program, runProgram, type Host } from '../program.js';
import { actionOf, type Action, type Request } from './action.js';
import { checkLine } from './check.js';
import { EXIT_TRY_HELP, EXIT_USAGE } from './exit.js';
import {
  formatConnection,
  formatLaddrs,
  formatServices,
  formatTemplate,
  formatTimeouts,
  sortServices,
} from './format.js';
import { help } from './help.js';
import { specsFor } from './options.js';
import {
  formatListEntry,
  LIST_PAGE,
  LIST_TITLE,
  LOAD_PART,
  readEntries,
  savedLists,
  whereIs,
} from './lists.js';
import { restoreLines, saveLines } from './save.js';

/** Lines of `--restore` in one message, the daemon waits for its lcores once for all of them; and its size, of which lists take most. */
const BATCH = 256;
const BATCH_BYTES = MAX_MESSAGE_BYTES / 2;

class Ipvsadm extends Program {
  /** The request under way, for the words of its error. */
  private method: CommandName | undefined;

  async main(): Promise<number> {
    const action = await this.action(this.argv.length === 0 ? ['--list'] : this.argv);
    switch (action.kind) {
      case 'help':
        this.io.out(help(this.config.version));
        return 0;
      case 'version':
        this.io.out(`ipvsadm v1.27 2008/5/15 (compiled with popt and IPVS v${this.config.version})\n`);
        return 0;
      case 'restore':
        return this.restore(await this.io.stdin());
      case 'request':
        await this.send(action);
        return 0;
      case 'load':
        await this.load(action);
        return 0;
      default:
        await this.show(action, await this.daemon());
        return 0;
    }
  }

  report(error: Error): number {
    if (error instanceof OptionError) {
      this.io.err(`${error.message}\nTry \`ipvsadm -h' or 'ipvsadm --help' for more information.\n`);
      return EXIT_TRY_HELP;
    }
    if (error instanceof UsageError) {
      this.io.err(`${error.message}\n`);
      return error.exit ?? EXIT_USAGE;
    }
    if (error instanceof DpvsError) {
      this.io.err(serverError(error, this.method));
      return error.errno & 0xff;
    }
    return this.internal(error);
  }

  private async action(argv: string[]): Promise<Action> {
    return actionOf(checkLine(await this.tokens(specsFor(argv[0]), argv)));
  }

  private async send(request: Request): Promise<void> {
    this.method = request.method;
    const client = await this.daemon();
    await client.call(request.method, request.params);
  }

  private async show(
    action: Exclude<Action, { kind: 'request' | 'restore' | 'load' | 'help' | 'version' }>,
    client: ControlClient,
  ): Promise<void> {
    const print = <T>(value: T, json: boolean, text: (value: T) => string): void =>
      this.io.out(json ? `${JSON.stringify(value, null, 2)}\n` : text(value));
    switch (action.kind) {
      case 'list': {
        const { of, format, exact, sort, json } = action;
        const [info, found] = await Promise.all([client.call('info', {}), client.call('svc.list', of)]);
        const services = sort ? sortServices(found) : found;
        return print(services, json, () => formatServices(info.version, services, format, exact));
      }
      case 'connections':
        return this.connections(client, action);
      case 'timeouts':
        return print(await client.call('timeout.get', {}), action.json, formatTimeouts);
      case 'laddrs':
        return print(await client.call('laddr.list', action.of), action.json, formatLaddrs);
      case 'lists': {
        const lines = new Lines(this.io, action.json);
        lines.title(LIST_TITLE[action.of.list!]);
        await this.pages(
          async (from) => client.call('acl.list', { ...action.of, ...from, limit: LIST_PAGE }),
          ({ entries }) => lines.print(entries, formatListEntry),
        );
        return lines.end();
      }
      case 'save': {
        const [services, laddrs, { set }] = await Promise.all([
          client.call('svc.list', {}),
          client.call('laddr.list', {}),
          client.call('timeout.get', {}),
        ]);
        this.io.out(
          saveLines(sortServices(services), laddrs, set)
            .map((line) => `${line}\n`)
            .join(''),
        );
        await this.pages(
          async (from) => client.call('acl.list', { ...from, limit: LIST_PAGE }),
          ({ entries }) => this.io.out(savedLists(entries)),
        );
      }
    }
  }

  /** A file of entries of a list: parts of one command, which takes effect with the last. */
  private async load({ method, list, file }: Extract<Action, { kind: 'load' }>): Promise<void> {
    const text = file === '-' ? await this.io.stdin() : await this.io.file(file);
    const entries = readEntries(text, file);
    this.method = method;
    const client = await this.daemon();
    const load = randomUUID();
    try {
      for (let at = 0; at < entries.length || at === 0; at += LOAD_PART) {
        const part = entries.slice(at, at + LOAD_PART);
        const more = at + LOAD_PART < entries.length;
        await client.call(method, { ...list, entries: part, load, more });
      }
    } catch (error) {
      const where = error instanceof DpvsError ? whereIs(text, error.message.split(' ')[0]!) : undefined;
      if (where !== undefined) this.io.err(`${file}:${where}: `);
      throw error;
    }
  }

  /** Connections, and then the clients of persistent services where they are wanted. */
  private async connections(
    client: ControlClient,
    { of, clients, json }: Extract<Action, { kind: 'connections' }>,
  ): Promise<void> {
    const lines = new Lines(this.io, json);
    await this.pages(
      async (from) => client.call('conn.list', { ...of, ...from }),
      ({ conns }) => lines.print(conns, formatConnection),
    );
    if (clients) {
      const svc = of.svc === undefined ? {} : { svc: of.svc };
      await this.pages(
        async (from) => client.call('template.list', { ...svc, ...from }),
        ({ templates }) => lines.print(templates, formatTemplate),
      );
    }
    lines.end();
  }

  /** Prints page by page, since a list may be huge: two pages are held at most, one printed and one on the way. */
  private async pages<P extends { cursor?: string }>(
    ask: (from: { cursor?: string }) => Promise<P>,
    print: (page: P) => void,
  ): Promise<void> {
    let next: Promise<P> | undefined = ask({});
    while (next !== undefined) {
      const page: P = await next;
      next = page.cursor === undefined ? undefined : ask({ cursor: page.cursor });
      // An error of the next page is thrown when it is awaited.
      next?.catch(() => undefined);
      print(page);
      await this.io.drain();
    }
  }

  /** Checks every line before the first is applied; stops at the first that the daemon refuses. */
  private async restore(text: string): Promise<number> {
    const requests: { line: number; request: Request }[] = [];
    const errors: { line: number; error: Error }[] = [];
    for (const { line, words } of restoreLines(text)) {
      try {
        const action = await this.action(words);
        if (action.kind !== 'request')
          throw new UsageError(`'${words.join(' ')}' changes nothing`, EXIT_USAGE);
        requests.push({ line, request: action });
      } catch (error) {
        errors.push({ line, error: error as Error });
      }
    }
    for (const { line, error } of errors) this.io.err(`line ${line}: ${error.message}\n`);
    if (errors.length > 0) return EXIT_USAGE;
    const client = await this.daemon();
    for (let from = 0, to = 0; from < requests.length; from = to) {
      for (let bytes = 0; to < requests.length && to - from < BATCH; to++) {
        bytes += JSON.stringify(requests[to]!.request.params).length;
        if (bytes > BATCH_BYTES && to > from) break;
      }
      const some = requests.slice(from, to);
      const commands = some.map(({ request: { method, params } }) => ({ method, params }));
      const { done, error } = await client.call('batch', { commands });
      if (error === undefined) continue;
      const { line, request } = some[done]!;
      this.io.err(`line ${line}${from + done === 0 ? '' : ' (the lines before it are in force)'}: `);
      this.method = request.method;
      throw DpvsError.fromData(error);
    }
    return 0;
  }
}

/** A list that is printed in parts: lines of text, or one JSON array. */
class Lines {
  private first = true;

  constructor(
    private readonly io: Io,
    private readonly json: boolean,
  ) {
    if (json) io.out('[');
  }

  title(text: string): void {
    if (!this.json) this.io.out(text);
  }

  print<T>(entries: readonly T[], text: (entry: T) => string): void {
    if (!this.json) {
      this.io.out(entries.map(text).join(''));
      return;
    }
    for (const entry of entries) {
      this.io.out(`${this.first ? '' : ','}\n  ${JSON.stringify(entry)}`);
      this.first = false;
    }
  }

  end(): void {
    if (this.json) this.io.out(this.first ? ']\n' : '\n]\n');
  }
}

/** The original's text for an error; scripts compare it. Then what the daemon says about it. */
export function serverError(error: DpvsError, method: CommandName | undefined): string {
  const detail = [error.message, ...(error.hint === undefined ? [] : [error.hint])];
  return [ipvsText(error, method), ...detail.map((d) => `  ${d}`)].map((line) => `${line}\n`).join('');
}

function ipvsText({ code }: DpvsError, method: CommandName = 'svc.zero'): string {
  const what = method.startsWith('dest.') ? 'destination' : 'service';
  if (method.startsWith('acl.') && code === 'EXIST') return 'Entry already exists';
  if (method.startsWith('acl.') && code === 'NOTEXIST') return 'No such entry';
  switch (code) {
    case 'EXIST':
      return method.startsWith('laddr.') ? 'Local address already exists' : `${upper(what)} already exists`;
    case 'NOTEXIST':
      return method.startsWith('laddr.') ? 'No such local address' : `No such ${what}`;
    case 'NOSERV':
      return 'No such service';
    case 'NOMEM':
      return 'Memory allocation problem';
    case 'INVAL':
      return 'Invalid operation.  Possibly wrong module version, address not unicast, ...';
    default:
      return ERRORS[code].text;
  }
}

const upper = (word: string): string => word[0]!.toUpperCase() + word.slice(1);

/** @returns the exit code */
export const main = (argv: string[], host: Host): Promise<number> =>
  runProgram((words, config) => new Ipvsadm(words, config), 'ipvsadm', argv, host);
