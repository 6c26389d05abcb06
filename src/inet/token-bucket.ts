/** Rate limit: `perSec` on average, `burst` at once. Allocates nothing. */
export class TokenBucket {
  /** Tokens, time of the last refill: in a typed array so that storing a number allocates no box. */
  private readonly s = new Float64Array(2);

  constructor(
    private readonly perSec: number,
    private readonly burst: number,
  ) {
    this.s[0] = burst;
  }

  /** Takes a token. @returns false when there is none */
  take(nowMs: number): boolean {
    const s = this.s;
    const elapsed = nowMs - s[1]!;
    if (elapsed > 0) {
      s[0] = Math.min(this.burst, s[0]! + (elapsed * this.perSec) / 1000);
      s[1] = nowMs;
    }
    if (s[0]! < 1) return false;
    s[0]! -= 1;
    return true;
  }
}
