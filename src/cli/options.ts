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
  doc: string;
  /** In the original, but not supported yet: parsed, then refused by name. */
  later?: true;
}

/** Short letters of an option. */
export const letters = ({ chars = '' }: OptionSpec): string[] => chars.split('');

const isDigit = (letter: string): boolean => /\d/.test(letter);

/** One word of the command line, in order. */
export type Token = { option: string; value?: string } | { word: string };

/** oclif's form of the table. Digits are no flags: oclif would not take `-1` as a value then (`-w -1`). */
export function flagsOf(specs: readonly OptionSpec[]): FlagInput {
  const table: FlagInput = {};
  for (const spec of specs) {
    const { name, value } = spec;
    const [char, ...charAliases] = letters(spec).filter((c) => !isDigit(c)) as 'a'[];
    const common = {
      ...(char === undefined ? {} : { char }),
      ...(charAliases.length > 0 ? { charAliases } : {}),
    };
    table[name] =
      value === undefined ? boolean(common) : string({ ...common, multiple: true, multipleNonGreedy: true });
  }
  return table;
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
  const { name, value } = spec;
  const short = letters(spec)
    .map((c) => `-${c}, `)
    .join('');
  return `${short}--${name}${value === undefined ? '' : ` ${value}`}`;
}

/** Two columns for help texts. */
export function columns(rows: readonly (readonly [string, string])[], indent = '  '): string {
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `${indent}${left.padEnd(width)}  ${right}`.trimEnd() + '\n').join('');
}
