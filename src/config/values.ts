/**
 * The kinds of values that keys of dpvs.conf take, and how words are read as them. A value that doesn't fit is a
 * problem with the bad word, the reason and, where one is near, a suggestion.
 */
import { suggest, type Diagnostic, type Place } from './diagnostics.js';
import type { Word } from './grammar.js';

export type ValueType =
  /** The keyword alone means on; `off` switches it off. */
  | { kind: 'flag' }
  | { kind: 'bool' }
  | {
      kind: 'int';
      min: number;
      max: number;
      /** Rounded down to 2^n, or to 2^n - 1. */
      round?: 'pow2' | 'pow2-1';
      /** Words that stand in place of a number and mean themselves. */
      words?: readonly string[];
    }
  | {
      kind: 'enum';
      words: readonly string[];
      /** Any case, and longer words beginning with one of them. */ loose?: true;
    }
  | { kind: 'text'; what: string; pattern: RegExp; example: string }
  /** One or more numbers, or ranges such as `0-3`, without repetition unless `repeats`. */
  | { kind: 'ints'; min: number; max: number; repeats?: true }
  /** Words joined by `|`; a word of `groups` stands for several. */
  | { kind: 'set'; words: readonly string[]; groups: Readonly<Record<string, readonly string[]>> }
  /** `NAME=VALUE;…` with on/off values, of which the value of `name` is kept. */
  | { kind: 'options'; name: string }
  /** Anything: the key is obsolete. */
  | { kind: 'any' };

export type Value = boolean | number | string | number[] | string[];

export interface Read {
  /** Absent when the words are no such value. */
  value?: Value;
  /** The word of each element of the value. */
  places: Place[];
  problems: Diagnostic[];
}

const ON = ['on', 'enable'];
const OFF = ['off', 'disable'];

/** What a key of this type takes, for messages and the reference page: `10..100`, `on|off`. */
export function describeType(t: ValueType): string {
  switch (t.kind) {
    case 'flag':
      return 'nothing, on or off';
    case 'bool':
      return 'on|off';
    case 'int': {
      const round = t.round === 'pow2' ? ', 2^n' : t.round === 'pow2-1' ? ', 2^n-1' : '';
      return [...(t.words ?? []), `${t.min}..${t.max}${round}`].join('|');
    }
    case 'enum':
      return t.words.join('|');
    case 'text':
      return t.what;
    case 'ints':
      return `numbers ${t.min}..${t.max}`;
    case 'set':
      return `${[...Object.keys(t.groups), ...t.words].join(', ')}, joined by |`;
    case 'options':
      return `${t.name}=on|off`;
    case 'any':
      return 'anything';
  }
}

/**
 * Reads the words behind a keyword.
 * @param keyword blamed when a value is missing
 */
export function readValue(t: ValueType, keyword: Word, words: readonly Word[]): Read {
  if (t.kind === 'any') return { value: true, places: [keyword.place], problems: [] };
  if (words.length === 0) {
    if (t.kind === 'flag') return { value: true, places: [keyword.place], problems: [] };
    return bad(keyword, `'${keyword.text}' needs a value`, `it takes ${describeType(t)}`);
  }
  if (t.kind === 'ints') return readInts(t, words);
  // `rss ip | tcp` reads as `rss ip|tcp`.
  const word = t.kind === 'set' ? joined(words) : words[0]!;
  const extra = t.kind === 'set' ? undefined : words[1];
  const read = readOne(t, keyword, word);
  if (extra !== undefined) {
    const hint = `'${keyword.text}' takes one value, ${describeType(t)}; quote a value with spaces in it`;
    read.problems.push({
      severity: 'error',
      place: extra.place,
      message: `unexpected '${extra.text}'`,
      hint,
    });
  }
  return read;
}

function readOne(t: Exclude<ValueType, { kind: 'any' | 'ints' }>, keyword: Word, word: Word): Read {
  const text = word.text;
  switch (t.kind) {
    case 'flag':
    case 'bool':
      if (ON.includes(text)) return good(true, word);
      if (OFF.includes(text)) return good(false, word);
      return badWord(keyword, word, describeType(t), [...ON, ...OFF]);
    case 'int':
      return readInt(t, keyword, word);
    case 'enum': {
      const found = t.words.find((w) => w === text) ?? (t.loose ? loosely(text, t.words) : undefined);
      return found === undefined ? badWord(keyword, word, describeType(t), t.words) : good(found, word);
    }
    case 'text':
      if (t.pattern.test(text)) return good(text, word);
      return bad(word, `'${text}' is not ${t.what}`, `such as ${t.example}`);
    case 'set':
      return readSet(t, keyword, word);
    case 'options':
      return readOptions(t, word);
  }
}

function readInt(t: Extract<ValueType, { kind: 'int' }>, keyword: Word, word: Word): Read {
  const text = word.text;
  if (t.words?.includes(text)) return good(text, word);
  if (!/^[+-]?[0-9]+$/.test(text)) {
    const near = suggest(text, t.words ?? []);
    const hint = near === undefined ? `it takes ${describeType(t)}` : `did you mean '${near}'?`;
    return bad(word, `'${text}' is not a number, in '${keyword.text}'`, hint);
  }
  const n = Number(text);
  if (n < t.min || n > t.max) {
    return bad(word, `${text} is out of range, in '${keyword.text}'`, `it takes ${describeType(t)}`);
  }
  if (t.round === undefined) return good(n, word);
  const power = 2 ** Math.floor(Math.log2(n));
  // 2^n where 2^n - 1 is asked for is how people write it: no remark.
  if (t.round === 'pow2-1') {
    const rounded = n === power * 2 - 1 ? n : power - 1;
    return n === rounded || n === power ? good(rounded, word) : rounding(rounded, '2^n - 1', keyword, word);
  }
  return n === power ? good(n, word) : rounding(power, 'a power of two', keyword, word);
}

function rounding(rounded: number, to: string, keyword: Word, word: Word): Read {
  const message = `'${keyword.text}' must be ${to}: ${word.text} is rounded down to ${rounded}`;
  return { ...good(rounded, word), problems: [{ severity: 'warning', place: word.place, message }] };
}

function readInts(t: Extract<ValueType, { kind: 'ints' }>, words: readonly Word[]): Read {
  const value: number[] = [];
  const places: Place[] = [];
  const problems: Diagnostic[] = [];
  const fail = (word: Word, message: string): void => {
    problems.push({ severity: 'error', place: word.place, message, hint: `it takes ${describeType(t)}` });
  };
  for (const word of words) {
    const m = /^([0-9]{1,9})(?:-([0-9]{1,9}))?$/.exec(word.text);
    if (m === null) {
      fail(word, `'${word.text}' is not a number`);
      continue;
    }
    const from = Number(m[1]);
    const to = Number(m[2] ?? m[1]);
    if (from < t.min || to > t.max || from > to) {
      fail(word, `${word.text} is out of range`);
      continue;
    }
    for (let n = from; n <= to; n++) {
      if (!t.repeats && value.includes(n)) fail(word, `${n} is listed twice`);
      value.push(n);
      places.push(word.place);
    }
  }
  return problems.length > 0 ? { places, problems } : { value, places, problems };
}

function readSet(t: Extract<ValueType, { kind: 'set' }>, keyword: Word, word: Word): Read {
  const known = [...Object.keys(t.groups), ...t.words];
  const chosen = new Set<string>();
  for (const part of word.text.split('|')) {
    if (!known.includes(part)) {
      const at = word.quoted ? -1 : word.text.indexOf(part);
      const place =
        at === -1 || word.place.length !== word.text.length
          ? word.place
          : { ...word.place, column: word.place.column + at, length: Math.max(1, part.length) };
      return badWord(keyword, { ...word, text: part, place }, describeType(t), known);
    }
    for (const w of Object.hasOwn(t.groups, part) ? t.groups[part]! : [part]) chosen.add(w);
  }
  return good(
    t.words.filter((w) => chosen.has(w)),
    word,
  );
}

function readOptions(t: Extract<ValueType, { kind: 'options' }>, word: Word): Read {
  let value: boolean | undefined;
  for (const option of word.text.split(';').filter((o) => o !== '')) {
    const [name = '', setting = ''] = option.split('=', 2);
    if (name !== t.name) return bad(word, `unknown option '${name}'`, `known is ${describeType(t)}`);
    if (!ON.includes(setting) && !OFF.includes(setting)) {
      return bad(word, `'${setting}' is no value of option '${name}'`, 'it takes on|off');
    }
    value = ON.includes(setting);
  }
  if (value === undefined) return bad(word, 'no option given', `known is ${describeType(t)}`);
  return good(value, word);
}

/** Any case; a longer word (`ERROR` for ERR) or a shorter one (`WARN` for WARNING). */
function loosely(text: string, words: readonly string[]): string | undefined {
  const upper = text.toUpperCase();
  if (upper.length < 3) return undefined;
  return words.find((w) => upper.startsWith(w)) ?? words.find((w) => w.startsWith(upper));
}

function joined(words: readonly Word[]): Word {
  const text = words.map((w) => w.text).join('');
  const first = words[0]!.place;
  const last = words.at(-1)!.place;
  return { text, quoted: false, place: { ...first, length: last.column + last.length - first.column } };
}

function good(value: Value, word: Word): Read {
  return { value, places: [word.place], problems: [] };
}

function bad(word: Word, message: string, hint: string): Read {
  return { places: [], problems: [{ severity: 'error', place: word.place, message, hint }] };
}

function badWord(keyword: Word, word: Word, takes: string, known: readonly string[]): Read {
  const near = suggest(word.text, known);
  const hint = near === undefined ? `it takes ${takes}` : `did you mean '${near}'? It takes ${takes}`;
  return bad(word, `'${word.text}' is no value of '${keyword.text}'`, hint);
}
