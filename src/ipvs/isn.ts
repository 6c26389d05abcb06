/**
 * Initial sequence numbers for connections to real servers, RFC 6528: a clock, so that one that follows on the same ends begins
 * behind its predecessor, plus a keyed hash of the ends, so that nobody foretells those of others.
 */
import { Chaskey, KEY_WORDS } from '../core/chaskey.js';

/** Ticks of 64 ns, as Linux has them: the numbers come round in 275 s, more than twice the life of a segment. */
const TICKS_PER_MS = 15625;

export class Isn {
  private readonly hash: Chaskey;

  /** @param secret of the instance, at least KEY_WORDS words */
  constructor(secret: Uint32Array) {
    this.hash = new Chaskey(secret.slice(0, KEY_WORDS));
  }

  /** See `Chaskey.words`. */
  get words(): number[] {
    return this.hash.words;
  }

  /** @param ports source port in the upper half */
  of(saddr: number, daddr: number, ports: number, nowMs: number): number {
    return (Math.imul(nowMs >>> 0, TICKS_PER_MS) + this.hash.of(saddr, daddr, ports, 0)) >>> 0;
  }
}
