/**
 * Options of a tool, declared as data: oclif's flags, the help text and docs/commands.md follow from the same table.
 */
import { boolean, string } from '@oclif/core/flags';
import type { FlagInput } from '@oclif/core/interfaces';
import { OptionError } from './errors.js';

export interface OptionSpec {
  /** Long name, without dashes. */
  name: string;
  /** Short letters; the first is the usual one. */
  chars?: string;
  /** Placeholder of the value; absent for a switch. */
  value?: string;
  /** The value when none is given; only options that may stand without one have it. */
  assumed?: string;
  doc: string;
  /** May be given several times: its values, joined by commas. */
  repeats?: true;
  /** In the original, but not supported yet: parsed, then refused by name. */
  later?: true;
  /** In the original, and deliberately not here: why, and what to do instead. Parsed, then refused by name. */
  refused?: string;
}

/** Whether the option does something in this version. */
export const isSupported = (o: OptionSpec): boolean => o.later === undefined && o.refused === undefined;

/** Short letters of an option. */
export const letters = ({ chars = '' }: OptionSpec): string[] => chars.split('');

const isDigit = (letter: string): boolean => /\d/.test(letter);

/** One word of the command line, in order. */
export type Token = { option: string; value?: string } | { word: string };

/** oclif's form of the table; a letter is the first option's that has it. Digits are no flags: oclif would not take `-1` as a value then (`-w -1`). */
export function flagsOf(specs: readonly OptionSpec[]): FlagInput {
  const table: FlagInput = {};
  const taken = new Set<string>();
  for (const spec of specs) {
    const { name, value } = spec;
    const [char, ...charAliases] = letters(spec).filter((c) => !isDigit(c) && !taken.has(c)) as 'a'[];
    for (const c of letters(spec)) taken.add(c);
    const common = {
      ...(char === undefined ? {} : { char }),
      ...(charAliases.length > 0 ? { charAliases } : {}),
    };
    table[name] =
      value === undefined ? boolean(common) : string({ ...common, multiple: true, multipleNonGreedy: true });
  }
  return table;
}

/**
 * The words with every value that may be left out written down (`-p` -> `--persistent=360`), as oclif knows only options
 * with a value and options without. As in popt, the next word is the value unless it begins with a dash.
 */
export function explicit(specs: readonly OptionSpec[], argv: readonly string[]): string[] {
  if (!specs.some((s) => s.assumed !== undefined)) return [...argv];
  const out: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    if (word === '--') return [...out, ...argv.slice(i)];
    const { spec, before, inWord } = lastOption(specs, word);
    const next = argv[i + 1];
    if (spec?.value !== undefined && /^-\d/.test(word) && before === '') {
      // oclif has no flags that are digits
      out.push(`--${spec.name}`, ...(inWord !== '' ? [inWord] : argv.slice(i + 1, i + 2)));
      if (inWord === '') i++;
    } else if (spec?.value === undefined || (spec.assumed === undefined && inWord !== '')) {
      out.push(word);
    } else if (spec.assumed === undefined) {
      // its value may look like an option
      out.push(word, ...argv.slice(i + 1, i + 2));
      i++;
    } else {
      const given = inWord !== '' || (next !== undefined && !next.startsWith('-'));
      if (before !== '') out.push(`-${before}`);
      out.push(`--${spec.name}=${inWord !== '' ? inWord : given ? next! : spec.assumed}`);
      if (inWord === '' && given) i++;
    }
  }
  return out;
}

/** The option in a word that takes a value, the letters before it, and the value if it stands in the same word. */
function lastOption(
  specs: readonly OptionSpec[],
  word: string,
): { spec?: OptionSpec; before: string; inWord: string } {
  if (word.startsWith('--')) {
    const [, name, inWord = ''] = /^--([^=]*)=?(.*)$/s.exec(word)!;
    const spec = specs.find((s) => s.name === name);
    return { ...(spec ? { spec } : {}), before: '', inWord };
  }
  for (let i = 1; word.startsWith('-') && i < word.length; i++) {
    const spec = specs.find((s) => s.chars?.includes(word[i]!));
    if (spec === undefined) break;
    if (spec.value !== undefined) return { spec, before: word.slice(1, i), inWord: word.slice(i + 1) };
  }
  return { before: '', inWord: '' };
}

/** oclif's raw tokens as ours: digit options (`-4`) are options again. */
export function tokensOf(specs: readonly OptionSpec[], raw: readonly RawToken[]): Token[] {
  const byDigit = new Map<string, OptionSpec>();
  for (const spec of specs) for (const c of letters(spec)) if (isDigit(c)) byDigit.set(`-${c}`, spec);
  const valued = new Set(specs.filter((s) => s.value !== undefined).map((s) => s.name));
  return raw.map((token) => {
    if (token.type === 'flag') {
      return valued.has(token.flag) ? { option: token.flag, value: token.input } : { option: token.flag };
    }
    const digit = byDigit.get(token.input);
    return digit ? { option: digit.name } : { word: token.input };
  });
}

export type RawToken =
  | { type: 'flag'; flag: string; input: string }
  | { type: 'arg'; arg?: string | undefined; input: string };

/** oclif's complaint about an option in our words. */
export function optionError(error: Error): Error {
  const unknown = /^Nonexistent flags?: (\S+?),?(?:\s|$)/.exec(error.message);
  if (unknown) return new OptionError(`unknown option '${unknown[1]}'`);
  const valueless = /^Flag (--\S+) expects a value/.exec(error.message);
  if (valueless) return new OptionError(`option '${valueless[1]}' needs a value`);
  return error;
}

/** `-t, --tcp-service HOST[:PORT]` */
export function optionLabel(spec: OptionSpec): string {
  const short = letters(spec)
    .map((c) => `-${c}, `)
    .join('');
  return `${short}--${spec.name}${valueLabel(spec)}`;
}

/** ` HOST:PORT`, ` [SEC]`, '' */
export function valueLabel({ value, assumed }: OptionSpec): string {
  if (value === undefined) return '';
  return assumed === undefined ? ` ${value}` : ` [${value}]`;
}

/** Two columns for help texts. */
export function columns(rows: readonly (readonly [string, string])[], indent = '  '): string {
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `${indent}${left.padEnd(width)}  ${right}`.trimEnd() + '\n').join('');
}
