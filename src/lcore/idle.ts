/**
 * How an lcore spends time when no packet comes. `off` polls. `auto` polls a while, then sleeps a 64th of the silence so far, at
 * most four milliseconds: what comes waits little longer for that, and an idle instance takes some 2.5 % of a CPU. A number sleeps
 * that many microseconds. A message or a redirected packet wakes a sleeper at once.
 */

/** Empty polls before the first sleep. */
const SPIN = 200;
const FIRST_US = 50;
const LAST_US = 4000;
const PART = 64;

export class Idle {
  private rounds = 0;
  private silentUs = 0;

  /**
   * @param mode see above
   * @param sleep blocks the thread for that many microseconds or until it is woken
   */
  constructor(
    private readonly mode: 'off' | 'auto' | number,
    private readonly sleep: (us: number) => void,
  ) {}

  /** The poll found something. */
  busy(): void {
    this.rounds = 0;
    this.silentUs = 0;
  }

  /** The poll found nothing. */
  idle(): void {
    if (this.mode === 'off' || ++this.rounds < SPIN) return;
    if (this.mode === 'auto') {
      const us = Math.min(Math.max(Math.trunc(this.silentUs / PART), FIRST_US), LAST_US);
      this.sleep(us);
      this.silentUs += us;
    } else {
      this.sleep(this.mode);
    }
  }
}
