/** `dpip`: links, addresses, routes and neighbours of the stack. */
import { DpvsError, ERRORS } from '../../core/errors.js';
import { notYet, OptionError, UsageError } from '../errors.js';
import { parseWords } from '../grammar.js';
import type { OptionSpec, Token } from '../options.js';
import { Program, runProgram, type Host } from '../program.js';
import { integer } from '../values.js';
import { addr } from './addr.js';
import type { Context, DpipObject, DpipOptions, Verb } from './command.js';
import { drop } from './drop.js';
import { estats } from './estats.js';
import { objectHelp, usage } from './help.js';
import { link } from './link.js';
import { neigh } from './neigh.js';
import { route } from './route.js';

/** In the order in which abbreviations are tried. */
export const OBJECTS: readonly DpipObject[] = [link, addr, route, neigh, drop, estats];

/** Objects of the original that this version lacks. */
export const LATER_OBJECTS = [
  'vlan',
  'tunnel',
  'qsch',
  'cls',
  'ipv6',
  'iftraf',
  'eal-mem',
  'ipset',
  'flow',
  'maddr',
  'lldp',
] as const;

/** Verbs as typed -> verbs as declared; abbreviations are tried in this order. */
const VERBS: readonly (readonly [string, Verb['name'] | 'help' | undefined])[] = [
  ['add', 'add'],
  ['show', 'show'],
  ['list', 'show'],
  ['del', 'del'],
  ['delete', 'del'],
  ['set', 'set'],
  ['change', 'set'],
  ['flush', 'flush'],
  ['help', 'help'],
  ['create', undefined],
  ['destroy', undefined],
  ['replace', undefined],
  ['test', undefined],
  ['enable', undefined],
  ['disable', undefined],
];

export const OPTIONS: readonly OptionSpec[] = [
  { name: 'stats', chars: 's', doc: 'show counters' },
  { name: 'verbose', chars: 'v', doc: 'show more' },
  { name: 'inet', chars: '4', doc: 'IPv4 only (the same as -f inet)' },
  { name: 'inet6', chars: '6', doc: 'IPv6 only (not supported yet)' },
  { name: 'family', chars: 'f', value: 'inet|inet6', doc: 'address family' },
  {
    name: 'interval',
    chars: 'i',
    value: 'SEC',
    doc: 'link show: repeat every SEC seconds and show what happens per second',
  },
  { name: 'count', chars: 'c', value: 'N', doc: 'link show: stop after N times' },
  { name: 'color', chars: 'C', doc: 'redraw the screen each time' },
  { name: 'force', chars: 'F', doc: 'accepted, without effect on these objects' },
  { name: 'json', chars: 'j', doc: 'print JSON' },
  { name: 'help', chars: 'h', doc: 'show help' },
  { name: 'version', chars: 'V', doc: 'show the version' },
];

class Dpip extends Program {
  private json = false;

  async main(): Promise<number> {
    // known before the rest is parsed, so that errors about the rest are JSON too
    this.json = this.argv.some((a) => a === '--json' || /^-[a-zA-Z]*j[a-zA-Z]*$/.test(a));
    if (this.argv.length === 0) {
      this.io.err(usage(OBJECTS, OPTIONS));
      return 0;
    }
    const { options, words, help, version } = readOptions(await this.tokens(OPTIONS));
    this.json = options.json;
    if (version) return this.say(`dpip-${this.config.version}\n`);
    const [first, second, ...rest] = words;
    if (first === undefined || first === 'help') {
      if (!help && first !== 'help') throw new UsageError("invalid object, use `-h' for help.");
      return this.say(usage(OBJECTS, OPTIONS));
    }
    const object = findObject(first);
    if (help) return this.say(objectHelp(object));
    if (second === undefined) {
      this.io.err(objectHelp(object));
      return 1;
    }
    const verb = findVerb(object, second);
    if (verb === 'help') return this.say(objectHelp(object));
    const parsed = parseWords(verb.grammar, rest);
    if (verb.request) {
      const { method, params } = verb.request(parsed);
      await (await this.daemon()).call(method, params);
      if (this.json) this.io.out('{"ok":true}\n');
    } else {
      await verb.show!(parsed, await this.context(options));
    }
    return 0;
  }

  report(error: Error): number {
    const text = errorText(error);
    if (text === undefined) return this.internal(error);
    if (this.json) {
      const data =
        error instanceof DpvsError ? error.toData() : { code: 'INVAL', errno: -1, message: error.message };
      this.io.out(`${JSON.stringify({ error: data })}\n`);
    }
    this.io.err(text);
    return 1;
  }

  private say(text: string): number {
    this.io.out(text);
    return 0;
  }

  private async context(options: DpipOptions): Promise<Context> {
    const { io } = this;
    const print: Context['print'] = (value, text) =>
      io.out(options.json ? `${JSON.stringify(value, null, 2)}\n` : text(value));
    return { io, options, client: await this.daemon(), print };
  }
}

/** Splits the line into options and words. @throws UsageError */
function readOptions(tokens: readonly Token[]): {
  options: DpipOptions;
  words: string[];
  help: boolean;
  version: boolean;
} {
  const words: string[] = [];
  const values = new Map<string, string>();
  for (const token of tokens) {
    if ('word' in token) words.push(token.word);
    else values.set(token.option, token.value ?? '');
  }
  const family = values.get('family');
  if (family !== undefined && family !== 'inet' && family !== 'inet6') {
    throw new UsageError(`family: '${family}' is none of inet, inet6`);
  }
  if (values.has('inet6') || family === 'inet6') throw notYet('IPv6');
  const number = (name: string): number | undefined => {
    const text = values.get(name);
    if (text === undefined) return undefined;
    try {
      return integer(1, 1_000_000)(text);
    } catch (error) {
      throw new UsageError(`${name}: ${(error as Error).message}`);
    }
  };
  const count = number('count');
  const interval = number('interval') ?? (count === undefined ? undefined : 1);
  return {
    options: {
      stats: values.has('stats'),
      verbose: values.has('verbose'),
      json: values.has('json'),
      color: values.has('color'),
      ...(interval === undefined ? {} : { interval }),
      ...(count === undefined ? {} : { count }),
    },
    words,
    help: values.has('help'),
    version: values.has('version'),
  };
}

function findObject(word: string): DpipObject {
  const exact = OBJECTS.find((o) => o.name === word) ?? OBJECTS.find((o) => o.name.startsWith(word));
  if (exact) return exact;
  const later = LATER_OBJECTS.find((o) => o === word) ?? LATER_OBJECTS.find((o) => o.startsWith(word));
  if (later !== undefined) throw notYet(`object '${later}'`);
  throw new UsageError("invalid object, use `-h' for help.");
}

function findVerb(object: DpipObject, word: string): Verb | 'help' {
  const known = VERBS.find(([v]) => v === word) ?? VERBS.find(([v]) => v.startsWith(word));
  if (known === undefined) throw new UsageError(`invalid command ${word}`);
  const [typed, name] = known;
  if (name === 'help') return name;
  const verb = object.verbs.find((v) => v.name === name);
  if (verb === undefined) throw notYet(`'${object.name} ${typed}'`);
  return verb;
}

/** What is printed about an error, or undefined if it is none of the user's. */
export function errorText(error: Error): string | undefined {
  if (error instanceof OptionError) return `dpip: ${error.message}, use \`-h' for help.\n`;
  if (error instanceof UsageError) return `dpip: ${error.message}\n`;
  if (!(error instanceof DpvsError)) return undefined;
  // the original's words always appear, scripts look for them
  const { text } = ERRORS[error.code];
  const what = error.message.includes(text) ? error.message : `${text}: ${error.message}`;
  return `dpip: ${what}\n${error.hint === undefined ? '' : `      ${error.hint}\n`}`;
}

/** @returns the exit code */
export const main = (argv: string[], host: Host): Promise<number> =>
  runProgram((words, config) => new Dpip(words, config), 'dpip', argv, host);
