import { ConfigError, checkText, type Diagnostic, type Loaded } from '../../../src/config/config.js';

export const FILE = 'test.conf';

/** Loads text that must be right. */
export const load = (text: string): Loaded => checkText(text, FILE);

/** The diagnostics of text, whether it is right or not. */
export function diagnose(text: string, name = FILE): readonly Diagnostic[] {
  try {
    return checkText(text, name).warnings;
  } catch (e) {
    if (e instanceof ConfigError) return e.diagnostics;
    throw e;
  }
}

/** `line:column message`, one for each diagnostic of a severity. */
export const brief = (list: readonly Diagnostic[], severity: 'error' | 'warning' = 'error'): string[] =>
  list
    .filter((d) => d.severity === severity)
    .map((d) => (d.place === undefined ? d.message : `${d.place.line}:${d.place.column} ${d.message}`));

/** Where the nth (from 1) occurrence of a word stands in a text, as `line:column`. */
export function where(text: string, word: string, nth = 1): string {
  let at = -1;
  for (let i = 0; i < nth; i++) at = text.indexOf(word, at + 1);
  if (at === -1) throw new Error(`no ${nth}. '${word}' in the text`);
  const before = text.slice(0, at).split('\n');
  return `${before.length}:${before.at(-1)!.length + 1}`;
}
