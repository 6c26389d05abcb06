/** Help texts of `dpip`, made from the declarations. */
import { usageOf } from '../grammar.js';
import { columns, optionLabel, type OptionSpec } from '../options.js';
import type { DpipObject } from './command.js';

export function usage(objects: readonly DpipObject[], options: readonly OptionSpec[]): string {
  return (
    'Usage:\n' +
    '    dpip [OPTIONS] OBJECT { COMMAND | help }\n' +
    'Objects:\n' +
    columns(objects.map((o) => [o.name, o.doc]), '    ') +
    'Commands:\n' +
    '    show (list), add, del (delete), set (change), flush, help; objects and commands may be abbreviated\n' +
    'Options (anywhere on the line):\n' +
    columns(options.map((o) => [optionLabel(o), o.doc]), '    ')
  );
}

/** `dpip addr add ADDR[/PLEN] dev DEV …` for each command. */
export function usageLines({ name, verbs }: DpipObject): string[] {
  return verbs.map((v) => `dpip ${name} ${v.name} ${usageOf(v.grammar)}`.trimEnd());
}

export function objectHelp(object: DpipObject): string {
  const words = new Map<string, [string, string]>();
  for (const { grammar } of object.verbs) {
    if (grammar.subject?.value) words.set(grammar.subject.value, [grammar.subject.value, grammar.subject.doc]);
    for (const [name, slot] of Object.entries(grammar.words) as [string, { value?: string; doc: string }][]) {
      if (!words.has(name)) words.set(name, [slot.value === undefined ? name : `${name} ${slot.value}`, slot.doc]);
    }
  }
  return (
    'Usage:\n' +
    usageLines(object).map((line) => `    ${line}\n`).join('') +
    'Commands:\n' +
    columns(object.verbs.map((v) => [v.name, v.doc]), '    ') +
    (words.size === 0 ? '' : 'Parameters:\n' + columns([...words.values()], '    '))
  );
}
