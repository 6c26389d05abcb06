/**
 * How an lcore spends time when no packet comes. `off` polls. `auto` polls a while, then sleeps, longer and
 * longer: up to a millisecond, after a second of silence two, so that an idle instance takes a few percent of a CPU. A number sleeps that
 * many microseconds. A message or a redirected packet wakes a sleeper at once.
 */

/** Empty polls before the first sleep. */
const SPIN = 200;
const FIRST_MS = 0.05;
const LAST_MS = 1;
/** Rounds, most of them a millisecond long, after which nobody seems to be there. */
const LONG = 1200;
const LONG_MS = 2;

export class Idle {
  private rounds = 0;
  private ms = FIRST_MS;

  /**
   * @param mode see above
   * @param sleep blocks the thread for that many milliseconds or until it is woken
   */
  constructor(
    private readonly mode: 'off' | 'auto' | number,
    private readonly sleep: (ms: number) => void,
  ) {}

  /** The poll found something. */
  busy(): void {
    this.rounds = 0;
    this.ms = FIRST_MS;
  }

  /** The poll found nothing. */
  idle(): void {
    if (this.mode === 'off' || ++this.rounds < SPIN) return;
    if (this.mode === 'auto') {
      this.sleep(this.ms);
      this.ms = Math.min(this.ms * 2, this.rounds < LONG ? LAST_MS : LONG_MS);
    } else {
      this.sleep(this.mode / 1000);
    }
  }
}
