/**
 * From a file to one list of statements: parses it and puts the statements of every `include FILE` in the place of the
 * line that names it, at any depth. FILE is relative to the including file and may be a pattern (`conf.d/*.conf`).
 */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Diagnostic, Place } from './diagnostics.js';
import { glob, isPattern } from './glob.js';
import { parse, type Statement, type Word } from './grammar.js';
import { SourceFile } from './source.js';

/** Files read in all, and bytes of each: enough for any use, a limit for a mistake. */
const MAX_FILES = 256;
const MAX_BYTES = 4 * 1024 * 1024;

interface Reading {
  problems: Diagnostic[];
  files: number;
}

/** The statements of text that stands for a file called `name`. */
export function readText(text: string, name: string, problems: Diagnostic[]): Statement[] {
  const source = new SourceFile(name, dirname(resolve(name)), text);
  return expand(parse(source, problems), source.dir, [resolve(name)], { problems, files: 1 });
}

/** The statements of a file. */
export function readFile(path: string, problems: Diagnostic[]): Statement[] {
  const reading = { problems, files: 0 };
  return load(path, undefined, [], reading);
}

/** @param at the word that names the file; absent for the first one */
function load(path: string, at: Place | undefined, chain: readonly string[], reading: Reading): Statement[] {
  const fail = (message: string, hint?: string): Statement[] => {
    reading.problems.push({
      severity: 'error',
      ...(at === undefined ? {} : { place: at }),
      message,
      ...(hint === undefined ? {} : { hint }),
    });
    return [];
  };
  let text: string;
  let real: string;
  try {
    const stat = statSync(path);
    if (!stat.isFile()) return fail(`'${path}' is not a file`);
    if (stat.size > MAX_BYTES) return fail(`'${path}' is larger than ${MAX_BYTES / 1024 / 1024} MiB`);
    real = realpathSync(path);
    text = readFileSync(path, 'utf8');
  } catch (e) {
    const code = (e as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return fail(`no such file: '${path}'`);
    return fail(`cannot read '${path}': ${code ?? (e as Error).message}`);
  }
  if (chain.includes(real)) {
    return fail(`'${path}' includes itself: ${[...chain.slice(chain.indexOf(real)), real].join(' -> ')}`);
  }
  if (++reading.files > MAX_FILES) {
    if (reading.files > MAX_FILES + 1) return [];
    return fail(`more than ${MAX_FILES} files are included`, 'the files from here on were not read');
  }
  const source = new SourceFile(path, dirname(resolve(path)), text);
  return expand(parse(source, reading.problems), source.dir, [...chain, real], reading);
}

function expand(
  statements: Statement[],
  dir: string,
  chain: readonly string[],
  reading: Reading,
): Statement[] {
  return statements.flatMap((s) => {
    const [keyword, file, ...more] = s.words;
    if (keyword?.text === 'include' && !keyword.quoted) {
      const problem = misused(s, file, more);
      if (problem !== undefined) {
        reading.problems.push(problem);
        return [];
      }
      const wanted = resolve(dir, file!.text);
      const paths = isPattern(file!.text) ? glob(wanted) : [wanted];
      return paths.flatMap((path) => load(path, file!.place, chain, reading));
    }
    if (s.block === undefined) return [s];
    return [{ words: s.words, block: expand(s.block, dir, chain, reading) }];
  });
}

function misused(s: Statement, file: Word | undefined, more: Word[]): Diagnostic | undefined {
  const hint = 'include FILE, one file or pattern a line';
  const place = s.words[0]!.place;
  if (file === undefined || file.text === '') {
    return { severity: 'error', place: file?.place ?? place, message: "'include' names no file", hint };
  }
  if (more[0] !== undefined) {
    return {
      severity: 'error',
      place: more[0].place,
      message: `unexpected '${more[0].text}' after the file name`,
      hint,
    };
  }
  if (s.block !== undefined) return { severity: 'error', place, message: "'include' has no block", hint };
  if (file.text.includes('\0'))
    return { severity: 'error', place: file.place, message: 'a file name cannot hold NUL' };
  return undefined;
}
