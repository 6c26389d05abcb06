/**
 * What is wrong with a configuration, where, and what to do about it: `file:line:column: error: …` with the source line
 * and a caret under the bad word, as compilers do.
 */
import { DpvsError } from '../core/errors.js';

/** A stretch of one line of a file. Lines and columns count from 1, columns in characters. */
export interface Place {
  file: string;
  line: number;
  column: number;
  /** Characters to mark. */
  length: number;
  /** The whole source line, without its end. */
  source: string;
}

export interface Diagnostic {
  severity: 'error' | 'warning';
  /** Absent when no word of a file is to blame (a file that cannot be read, a fact of the machine). */
  place?: Place;
  message: string;
  hint?: string;
}

/** Control characters of the text would reach the terminal: each is shown as one replacement character. */
// oxlint-disable-next-line no-control-regex
const printable = (text: string): string => text.replace(/[\0-\x08\v-\x1f\x7f-\x9f]/g, '\uFFFD');

/** `dpvs.conf:3:9: error: …`, the line, the caret, the hint. Several lines, no newline at the end. */
export function formatDiagnostic(d: Diagnostic): string {
  return printable(format(d));
}

function format(d: Diagnostic): string {
  const hint = d.hint === undefined ? [] : [`  hint: ${d.hint}`];
  if (d.place === undefined) return [`${d.severity}: ${d.message}`, ...hint].join('\n');
  const { file, line, column, length, source } = d.place;
  const gutter = String(line).padStart(5);
  const blank = ' '.repeat(gutter.length);
  // Tabs stay tabs in front of the caret, so that it stands under the word whatever the terminal's tab width.
  const indent = source.slice(0, column - 1).replace(/[^\t]/g, ' ');
  const marks = '^' + '~'.repeat(Math.max(0, Math.min(length, source.length - column + 1) - 1));
  return [
    `${file}:${line}:${column}: ${d.severity}: ${d.message}`,
    `${gutter} | ${source}`,
    `${blank} | ${indent}${marks}`,
    ...hint,
  ].join('\n');
}

/** All of them, then one line that counts them. */
export function formatDiagnostics(list: readonly Diagnostic[]): string {
  const errors = list.filter((d) => d.severity === 'error').length;
  const warnings = list.length - errors;
  const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;
  const summary = [
    ...(errors > 0 ? [count(errors, 'error')] : []),
    ...(warnings > 0 ? [count(warnings, 'warning')] : []),
  ].join(', ');
  return [...list.map(formatDiagnostic), ...(summary === '' ? [] : [summary])].join('\n');
}

/** In the order of the text: by file (as first met), line and column; what has no place comes first. */
export function sortDiagnostics(list: readonly Diagnostic[]): Diagnostic[] {
  const files = [...new Set(list.map((d) => d.place?.file ?? ''))];
  const key = (d: Diagnostic): [number, number, number] =>
    d.place === undefined ? [-1, 0, 0] : [files.indexOf(d.place.file), d.place.line, d.place.column];
  return [...list].sort((a, b) => {
    const [fa, la, ca] = key(a);
    const [fb, lb, cb] = key(b);
    return fa - fb || la - lb || ca - cb;
  });
}

/** A configuration that cannot be used. `message` is the formatted text of everything found. */
export class ConfigError extends DpvsError {
  /** Errors and warnings, in the order of the text. */
  readonly diagnostics: readonly Diagnostic[];

  constructor(diagnostics: readonly Diagnostic[]) {
    const sorted = sortDiagnostics(diagnostics);
    super(
      'INVAL',
      formatDiagnostics(sorted),
      'correct the configuration and check it with dpvs --check FILE',
    );
    this.diagnostics = sorted;
  }
}

/** Words of `known` nearest to `word`, if near enough to be a slip of the pen. */
export function suggest(word: string, known: readonly string[]): string | undefined {
  const lower = word.toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.ceil(word.length / 3)) + 1;
  for (const k of known) {
    const d = editDistance(lower, k.toLowerCase(), bestDistance);
    if (d < bestDistance && d < Math.max(word.length, k.length)) {
      best = k;
      bestDistance = d;
    }
  }
  return best;
}

/** Damerau-Levenshtein (optimal string alignment): insert, delete, replace and swap of neighbours cost 1. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let d = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        d = Math.min(d, before[j - 2]! + 1);
      row.push(d);
    }
    before = last;
    last = row;
  }
  return last[b.length]!;
}
