/**
 * The iproute2-like tail of a `dpip` line: an optional subject, then keywords with or without a value, in any order.
 * Declared as data; the usage line and the reference page are made from the declaration.
 */
import { UsageError, notYet } from './errors.js';

/** One subject or keyword. */
export interface Slot<T = unknown> {
  /** Placeholder of its value. A keyword without one is a switch and parses as `true`. */
  value?: string;
  parse(text: string): T;
  doc: string;
  /** Error message when it is missing. */
  required?: string;
  /** Other spellings. */
  aliases?: string[];
}

export interface Grammar<S = unknown, W extends Slots = Slots> {
  subject?: Slot<S>;
  words: W;
  /** Keywords of the original that are refused by name. */
  later?: string[];
  /** What an unexpected word is called; default `unexpected word`. */
  unknown?: (word: string) => string;
}

export type Slots = Record<string, Slot>;
export type Values<W extends Slots> = { [K in keyof W]?: W[K] extends Slot<infer T> ? T : never };
export interface Parsed<S, W extends Slots> {
  subject?: S;
  values: Values<W>;
}

/** A keyword without a value. */
export const flag = (doc: string): Slot<true> => ({ parse: () => true, doc });

/** @throws UsageError naming the offending word */
export function parseWords<S, W extends Slots>(
  grammar: Grammar<S, W>,
  words: readonly string[],
): Parsed<S, W> {
  const names = new Map<string, string>();
  for (const [name, slot] of Object.entries(grammar.words)) {
    for (const alias of [name, ...(slot.aliases ?? [])]) names.set(alias, name);
  }
  const parsed: Parsed<S, W> = { values: {} };
  const values = parsed.values as Record<string, unknown>;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const name = names.get(word);
    if (name !== undefined) {
      const slot = grammar.words[name]!;
      if (Object.hasOwn(values, name)) throw new UsageError(`duplicate '${word}'`);
      if (slot.value !== undefined && ++i >= words.length) {
        throw new UsageError(`'${word}' needs a value (${slot.value})`);
      }
      values[name] = parseValue(slot, slot.value === undefined ? '' : words[i]!, word);
    } else if (grammar.subject && !('subject' in parsed)) {
      parsed.subject = grammar.subject.parse(word);
    } else if (grammar.later?.includes(word)) {
      throw notYet(`'${word}'`);
    } else {
      throw new UsageError(grammar.unknown?.(word) ?? `unexpected word '${word}'`);
    }
  }
  if (grammar.subject?.required !== undefined && !('subject' in parsed)) {
    throw new UsageError(grammar.subject.required);
  }
  for (const [name, slot] of Object.entries(grammar.words)) {
    if (slot.required !== undefined && !Object.hasOwn(values, name)) throw new UsageError(slot.required);
  }
  return parsed;
}

function parseValue(slot: Slot, text: string, word: string): unknown {
  try {
    return slot.parse(text);
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`${word}: ${error.message}`, error.exit);
    throw error;
  }
}

/** `ADDR[/PLEN] dev DEV [broadcast ADDR] [sapool]` */
export function usageOf(grammar: Grammar): string {
  const parts: string[] = [];
  const { subject } = grammar;
  if (subject) parts.push(subject.required === undefined ? `[${subject.value}]` : subject.value!);
  for (const [name, { value, required }] of Object.entries(grammar.words)) {
    const text = value === undefined ? name : `${name} ${value}`;
    parts.push(required === undefined ? `[${text}]` : text);
  }
  return parts.join(' ');
}
