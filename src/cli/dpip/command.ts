/** How objects and commands of `dpip` are declared. */
import type { Input, Method, ControlClient } from '../../control/client.js';
import type { CommandName } from '../../control/schema.js';
import type { Grammar, Parsed, Slots } from '../grammar.js';
import type { Io } from '../io.js';

/** The options that stand anywhere on the line. */
export interface DpipOptions {
  stats: boolean;
  verbose: boolean;
  json: boolean;
  color: boolean;
  /** Seconds between samples. */
  interval?: number;
  /** Number of samples. */
  count?: number;
}

export interface Context {
  io: Io;
  options: DpipOptions;
  client: ControlClient;
  /** Prints `value` as JSON with `-j`, else the text made from it. */
  print<T>(value: T, text: (value: T) => string): void;
}

/** One request of a command. */
export type Request = { [M in CommandName]: { method: M; params: Input<M> } }[CommandName];

/** A verb of an object: changes something (`request`) or shows something (`show`). */
export interface Verb<S = any, W extends Slots = any> {
  name: 'show' | 'add' | 'del' | 'set' | 'flush';
  doc: string;
  grammar: Grammar<S, W>;
  request?: (parsed: Parsed<S, W>) => Request;
  show?: (parsed: Parsed<S, W>, context: Context) => Promise<void>;
}

export interface DpipObject {
  name: string;
  doc: string;
  verbs: Verb[];
}

/** Types `request` and `show` from the grammar. */
export const verb = <S, W extends Slots>(spec: Verb<S, W>): Verb => spec as Verb;

export const request = <M extends CommandName>(method: M, params: Input<M>): Request =>
  ({ method, params }) as unknown as Request;

export type { Method };
