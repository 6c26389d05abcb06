/** How objects and commands of `dpip` are declared. */
import type { ControlClient, Input } from '../../control/client.js';
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
  print: <T>(value: T, text: (value: T) => string) => void;
}

/** One request of a command. */
export type Request = { [M in CommandName]: { method: M; params: Input<M> } }[CommandName];

/** A verb of an object: changes something (`request`) or shows something (`show`). */
export interface Verb {
  name: 'show' | 'add' | 'del' | 'set' | 'flush';
  doc: string;
  grammar: Grammar;
  request?: (parsed: Parsed<unknown, Slots>) => Request;
  show?: (parsed: Parsed<unknown, Slots>, context: Context) => Promise<void>;
}

/** A verb as it is declared: what its functions get follows from its grammar. */
export interface VerbSpec<S, W extends Slots> extends Pick<Verb, 'name' | 'doc'> {
  grammar: Grammar<S, W>;
  request?: (parsed: Parsed<S, W>) => Request;
  show?: (parsed: Parsed<S, W>, context: Context) => Promise<void>;
}

export interface DpipObject {
  name: string;
  doc: string;
  verbs: Verb[];
}

/** Forgets the types: a verb only ever gets what its own grammar has parsed. */
export const verb = <S, W extends Slots>(spec: VerbSpec<S, W>): Verb => spec as unknown as Verb;

export const request = <M extends CommandName>(method: M, params: Input<M>): Request =>
  ({ method, params }) as unknown as Request;
