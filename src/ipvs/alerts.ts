/**
 * Log lines about attacks, which come as often as the attacker likes: at most one of a kind in an interval. The next one says how many
 * there were meanwhile.
 */
const INTERVAL_MS = 10_000;

/** Kinds, each with its own interval. */
export const ALERT = { FLOOD_BEGUN: 0, FLOOD_OVER: 1, SOURCE: 2 } as const;

export type Tell = (msg: string, fields: Record<string, unknown>) => void;

export class Alerts {
  private readonly nextMs = new Float64Array(Object.keys(ALERT).length);
  private readonly suppressed = new Float64Array(this.nextMs.length);

  constructor(private readonly tell: Tell | undefined) {}

  /** True when a line of this kind may be written now; else it is counted as suppressed. Allocates nothing. */
  isDue(kind: number, nowMs: number): boolean {
    if (this.tell !== undefined && nowMs >= this.nextMs[kind]!) return true;
    this.suppressed[kind]! += 1;
    return false;
  }

  /** Writes a line that is due. */
  write(kind: number, nowMs: number, msg: string, fields: Record<string, unknown>): void {
    const suppressed = this.suppressed[kind]!;
    this.nextMs[kind] = nowMs + INTERVAL_MS;
    this.suppressed[kind] = 0;
    this.tell?.(msg, suppressed > 0 ? { ...fields, suppressed } : fields);
  }
}
