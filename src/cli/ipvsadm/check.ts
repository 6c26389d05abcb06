/** From tokens to one command with its options: what excludes, needs and forbids what. */
import { notYet, OptionError, UsageError } from '../errors.js';
import { isSupported, type OptionSpec, type Token } from '../options.js';
import { SERVICE_KEYS } from './endpoint.js';
import { EXIT_TRY_HELP, EXIT_USAGE } from './exit.js';
import type { Given } from './fields.js';
import { commandOf, FORMATS, groupOf, optionOf, type IpvsCommand } from './options.js';

export interface Line {
  command: string;
  options: Given;
  /** Values of the command itself, one for each of its `words`. */
  words: string[];
}

const fail = (message: string): UsageError => new UsageError(message, EXIT_USAGE);

/** @throws UsageError with the texts and exit codes of the original */
export function checkLine(tokens: readonly Token[]): Line {
  const options = new Map<string, string>();
  const byGroup = new Map<string, string>();
  let command: IpvsCommand | undefined;
  const words: string[] = [];
  let later: OptionSpec | undefined;
  for (const token of tokens) {
    if ('word' in token) {
      words.push(token.word);
      continue;
    }
    const asCommand = commandOf.get(token.option);
    if (asCommand) {
      if (command) throw fail('multiple commands specified');
      command = asCommand;
      if (!isSupported(asCommand)) later ??= asCommand;
      continue;
    }
    if (!command) throw new OptionError('the first argument must be a command', EXIT_TRY_HELP);
    const option = optionOf.get(token.option)!;
    const group = groupOf(option);
    const before = option.repeats === true ? options.get(option.name) : undefined;
    if (before === undefined && byGroup.has(group)) throw fail(`multiple '${group}' options specified`);
    byGroup.set(group, option.name);
    options.set(option.name, before === undefined ? (token.value ?? '') : `${before},${token.value}`);
    if (!isSupported(option)) later ??= option;
  }
  if (!command)
    throw new OptionError(
      words.length === 0 ? 'no command' : `'${words[0]}' is not a command`,
      EXIT_TRY_HELP,
    );
  if (later?.name === 'ipv6') throw notYet('IPv6', EXIT_USAGE);
  if (later?.refused !== undefined) throw fail(`'--${later.name}' is not supported: ${later.refused}`);
  if (later !== undefined) throw notYet(`'--${later.name}'`, EXIT_USAGE);
  const { words: wanted = [] } = command;
  if (words.length > wanted.length) throw fail(`unexpected argument ${words[wanted.length]}`);
  if (words.length < wanted.length) {
    throw fail(`You need to supply ${wanted.join(' ')} for the '${command.name}' command`);
  }
  checkMatrix(command, new Set(byGroup.keys()));
  if (command.name === 'list') checkList(options);
  return { command: command.name, options, words };
}

function checkMatrix({ name, needs = [], allows = [] }: IpvsCommand, given: Set<string>): void {
  for (const need of needs) {
    if (!given.has(need)) throw fail(`You need to supply the '${need}' option for the '${name}' command`);
  }
  for (const option of given) {
    if (!needs.includes(option) && !allows.includes(option)) {
      throw fail(`Illegal '${option}' option with the '${name}' command`);
    }
  }
}

function checkList(options: Given): void {
  const has = (name: string): boolean => options.has(name);
  if (has('sort') && has('nosort')) {
    throw fail("The option 'nosort' conflicts with the 'sort' option in the 'list' command");
  }
  const conns = has('connection');
  const formats = FORMATS.filter(has).length;
  const ofConns = ['sockpair', 'state'].find(has);
  if (ofConns !== undefined && !conns) {
    throw fail(`You need to supply the 'connection' option with the '${ofConns}' option`);
  }
  const conflict =
    formats > 1 ||
    (conns && (has('timeout') || formats > Number(has('persistent-conn')))) ||
    (has('timeout') && (formats > 0 || has('cpu') || SERVICE_KEYS.some((k) => has(k.name)))) ||
    // rates are those of all lcores
    (has('cpu') && has('rate'));
  if (conflict) throw fail('options conflicts in the list command');
}
