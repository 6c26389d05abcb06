/** What every scenario is given. */
import type { Run } from '../lib/results.js';

export interface Context {
  /** Shorter slices, fewer rounds and flows. */
  quick: boolean;
  /** Contestants of our own: with and without the native flow engine. */
  paths: readonly ('flow' | 'typescript')[];
  rounds: number;
  sliceMs: number;
  warmMs: number;
  /** Says what is being done now; shown while it takes time. */
  say(what: string): void;
  /** Adds a result. */
  add(run: Run): void;
}

export interface Scenario {
  name: string;
  what: string;
  /** Left out when the bench is to be quick. */
  slow?: boolean;
  run(c: Context): Promise<void>;
}
