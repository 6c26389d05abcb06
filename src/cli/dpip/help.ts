/** Help texts of `dpip`, made from the declarations. */
import { usageOf } from '../grammar.js';
import { columns, optionLabel, type OptionSpec } from '../options.js';
import type { DpipObject } from './command.js';

export function usage(objects: readonly DpipObject[], options: readonly OptionSpec[]): string {
  return (
    'Usage:\n' +
    '    dpip [OPTIONS] OBJECT { COMMAND | help }\n' +
    'Objects:\n' +
    columns(
      objects.map((o) => [o.name, o.doc]),
      '    ',
    ) +
    'Commands:\n' +
    '    show (list), add, del (delete), set (change), flush, help; objects and commands may be abbreviated\n' +
    'Options (anywhere on the line):\n' +
    columns(
      options.map((o) => [optionLabel(o), o.doc]),
      '    ',
    )
  );
}

/** `dpip addr add ADDR[/PLEN] dev DEV …` for each command. */
export function usageLines({ name, verbs }: DpipObject): string[] {
  return verbs.map((v) => `dpip ${name} ${v.name} ${usageOf(v.grammar)}`.trimEnd());
}

/** What may stand on the lines of an object: [as written, meaning]. */
export function parameters({ verbs }: DpipObject): [string, string][] {
  const rows = new Map<string, [string, string]>();
  const add = (key: string, written: string, doc: string): void => {
    if (!rows.has(key)) rows.set(key, [written, doc]);
  };
  for (const { grammar } of verbs) {
    if (grammar.subject?.value) add(grammar.subject.value, grammar.subject.value, grammar.subject.doc);
    for (const [name, { value, doc }] of Object.entries(grammar.words)) {
      add(name, value === undefined ? name : `${name} ${value}`, doc);
    }
  }
  return [...rows.values()];
}

export function objectHelp(object: DpipObject): string {
  const words = parameters(object);
  return (
    'Usage:\n' +
    usageLines(object)
      .map((line) => `    ${line}\n`)
      .join('') +
    'Commands:\n' +
    columns(
      object.verbs.map((v) => [v.name, v.doc]),
      '    ',
    ) +
    (words.length === 0 ? '' : 'Parameters:\n' + columns(words, '    '))
  );
}
