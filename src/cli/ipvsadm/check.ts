/** From tokens to one command with its options: what excludes, needs and forbids what. */
import { notYet, OptionError, UsageError } from '../errors.js';
import type { Token } from '../options.js';
import { SERVICE_KEYS } from './endpoint.js';
import { EXIT_TRY_HELP, EXIT_USAGE } from './exit.js';
import type { Given } from './fields.js';
import { commandOf, groupOf, optionOf, type IpvsCommand } from './options.js';

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
  let later: string | undefined;
  for (const token of tokens) {
    if ('word' in token) {
      words.push(token.word);
      continue;
    }
    const asCommand = commandOf.get(token.option);
    if (asCommand) {
      if (command) throw fail('multiple commands specified');
      command = asCommand;
      if (asCommand.later) later ??= asCommand.name;
      continue;
    }
    if (!command) throw new OptionError('the first argument must be a command', EXIT_TRY_HELP);
    const option = optionOf.get(token.option)!;
    const group = groupOf(option);
    if (byGroup.has(group)) throw fail(`multiple '${group}' options specified`);
    byGroup.set(group, option.name);
    options.set(option.name, token.value ?? '');
    if (option.later) later ??= option.name;
  }
  if (!command)
    throw new OptionError(
      words.length === 0 ? 'no command' : `'${words[0]}' is not a command`,
      EXIT_TRY_HELP,
    );
  if (later === 'ipv6') throw notYet('IPv6', EXIT_USAGE);
  if (later !== undefined) throw notYet(`'--${later}'`, EXIT_USAGE);
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
  const what = [has('connection'), has('timeout'), SERVICE_KEYS.some((k) => has(k.name))].filter(
    Boolean,
  ).length;
  const format = ['stats', 'rate', 'thresholds', 'persistent-conn'].filter(has).length;
  const other = has('connection') || has('timeout');
  if (what > 1 || format > 1 || (other && format > 0)) throw fail('options conflicts in the list command');
}
