/**
 * How an lcore spends time when no packet comes. `off` polls. `auto` polls a while, then sleeps a 64th of the silence so far, at
 * most four milliseconds: what comes waits little longer for that, and an idle instance takes some 3 % of a CPU. A number sleeps
 * that many microseconds. A message or a redirected packet wakes a sleeper at once.
 */

/** Empty polls before the first sleep. */
const SPIN = 200;
const FIRST_MS = 0.05;
const LAST_MS = 4;
const PART = 64;

export class Idle {
  private rounds = 0;
  private silentMs = 0;

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
    this.silentMs = 0;
  }

  /** The poll found nothing. */
  idle(): void {
    if (this.mode === 'off' || ++this.rounds < SPIN) return;
    if (this.mode === 'auto') {
      const ms = Math.min(Math.max(this.silentMs / PART, FIRST_MS), LAST_MS);
      this.sleep(ms);
      this.silentMs += ms;
    } else {
      this.sleep(this.mode / 1000);
    }
  }
}
