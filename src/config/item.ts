/** What a key of dpvs.conf is, and short words to declare one. The keys themselves stand in items*.ts. */
import type { Value, ValueType } from './values.js';

/**
 * now: works. later: accepted and checked, does nothing yet. never: accepted for compatibility, this design has no
 * use for it. obsolete: the original itself dropped it (any value is accepted).
 */
export type Effect = 'now' | 'later' | 'never' | 'obsolete';

export interface Item {
  path: string;
  /** Field of `Config` (inside a named block: of its object). Empty for an obsolete key. */
  to: string;
  type: ValueType;
  /** Absent = the field is absent when the file doesn't give it. */
  default?: Value;
  /** Read at start only; else a reload applies it. */
  init: boolean;
  /** Unit of a number. */
  unit?: string;
  effect: Effect;
  /** May stand several times: the values make a list. */
  repeat?: true;
  /** The block is incomplete without it. */
  required?: true;
  /** 0 is written for "the default". */
  zeroIsDefault?: true;
  doc: string;
}

/** A block with a name of its own that may stand several times. */
export interface NamedBlock {
  path: string;
  /** Field of `Config` or of the enclosing block's object: a list. */
  to: string;
  /** What a name looks like. */
  name: RegExp;
  nameHint: string;
  effect: Effect;
  doc: string;
}

// ---------------------------------------------------------------------------------------------
// To declare them

type Extra = Partial<Pick<Item, 'unit' | 'effect' | 'repeat' | 'required' | 'zeroIsDefault'>>;
type Declare = (
  path: string,
  to: string,
  type: ValueType,
  fallback: Value | undefined,
  doc: string,
  extra?: Extra,
) => Item;

const declare =
  (init: boolean): Declare =>
  (path, to, type, fallback, doc, extra = {}) => ({
    path,
    to,
    type,
    ...(fallback === undefined ? {} : { default: fallback }),
    init,
    effect: 'now',
    doc,
    ...extra,
  });

/** A key that is read at start only. */
export const atStart = declare(true);
/** A key that a reload applies. */
export const onReload = declare(false);
/** A key that the original itself dropped: any value is accepted. */
export const obsolete = (path: string, doc: string): Item =>
  atStart(path, '', { kind: 'any' }, undefined, doc, { effect: 'obsolete' });

export const flag: ValueType = { kind: 'flag' };
export const bool: ValueType = { kind: 'bool' };
export const int = (min: number, max: number, round?: 'pow2' | 'pow2-1'): ValueType =>
  round === undefined ? { kind: 'int', min, max } : { kind: 'int', min, max, round };
export const oneOf = (...words: string[]): ValueType => ({ kind: 'enum', words });
export const numbers = (min: number, max: number, repeats = false): ValueType =>
  repeats ? { kind: 'ints', min, max, repeats: true } : { kind: 'ints', min, max };

/** A timeout. */
export const SECONDS = int(1, 31535999);
export const U31 = 2147483647;
/** What an idle lcore does: see IdleSleep. */
export const IDLE: ValueType = { kind: 'int', min: 1, max: 1000000, words: ['off', 'auto'] };

export const DEVICE_NAME = /^[A-Za-z0-9][\w.:@-]{0,31}$/;
export const DEVICE_NAME_HINT = 'letters, digits and _ . : @ -, at most 32 characters';
