/** Help text of `ipvsadm`, made from the tables. */
import { columns, isSupported, letters, optionLabel, valueLabel } from '../options.js';
import { COMMANDS, groupOf, OPTIONS, type IpvsCommand } from './options.js';

/** `-t HOST:PORT|-u HOST:PORT` */
function part(name: string): string {
  return OPTIONS.filter((o) => isSupported(o) && groupOf(o) === name)
    .map((o) => (o.chars ? `-${o.chars[0]}` : `--${o.name}`) + valueLabel(o))
    .join('|');
}

/** `ipvsadm -A -t HOST:PORT|-u HOST:PORT [-s NAME] [--conn-timeout SEC]` */
export function usageLine(spec: IpvsCommand): string {
  const { name, chars, needs = [], allows = [], words = [] } = spec;
  const command = chars
    ? letters(spec)
        .map((c) => `-${c}`)
        .join('|')
    : `--${name}`;
  const optional = allows
    .map(part)
    .filter((p) => p !== '')
    .map((p) => `[${p}]`);
  return ['ipvsadm', command, ...words, ...needs.map(part), ...optional].join(' ');
}

export function help(version: string): string {
  const commands = COMMANDS.filter(isSupported);
  const row = (o: (typeof OPTIONS)[number]): [string, string] => [optionLabel(o), o.doc];
  const later = [...COMMANDS, ...OPTIONS].filter((o) => o.later).map((o) => `--${o.name}`);
  return (
    `ipvsadm of dpvs ${version}\n` +
    'Usage:\n' +
    commands.map((c) => `  ${usageLine(c)}\n`).join('') +
    'Commands (the first argument; none is the same as --list):\n' +
    columns(commands.map(row)) +
    'Options:\n' +
    columns(OPTIONS.filter(isSupported).map(row)) +
    'Not supported yet:\n' +
    wrap(later, 100) +
    'Not supported:\n' +
    columns(
      [...COMMANDS, ...OPTIONS].flatMap((o) => (o.refused === undefined ? [] : [[`--${o.name}`, o.refused]])),
    )
  );
}

function wrap(words: string[], width: number): string {
  let line = ' ';
  let text = '';
  for (const word of words) {
    if (line.length + word.length + 1 > width) {
      text += `${line}\n`;
      line = ' ';
    }
    line += ` ${word}`;
  }
  return `${text}${line}\n`;
}
