/**
 * Lines in the log about what lcores drop in defence, or because something is full. They come from the counters, so that no packet
 * costs anything for them, not even one that the native loop drops. The first line comes within a second; while it goes on, others
 * after 10 s, 20 s, 40 s … an hour. A minute of silence ends it, with a line about what has not been told yet.
 */
import { DROP_REASONS } from '../core/drops.js';
import { EVENT_KINDS } from '../core/events.js';
import { LCORE_STATS } from '../core/layout.js';
import type { StatsSegment } from '../core/stats.js';
import type { Log } from './log.js';

const SAMPLE_MS = 1000;
const FIRST_MS = 10_000;
const LONGEST_MS = 3_600_000;
const SILENCE_MS = 60_000;

interface Watched {
  readonly name: string;
  readonly text: string;
  readonly hint: string | undefined;
  /** Index into an lcore's statistics. */
  readonly at: number;
  /** Count at the last line. */
  told: number;
  /** The last one seen, and since when. */
  seen: number;
  sinceMs: number;
  /** When the next line may come, and how long it is to the one behind. */
  nextMs: number;
  waitMs: number;
}

export class Alarms {
  private readonly lcores: readonly Float64Array[];
  private readonly watched: readonly Watched[];
  private readonly timer: NodeJS.Timeout;

  constructor(
    segment: StatsSegment,
    private readonly log: Pick<Log, 'warn'>,
  ) {
    this.lcores = Array.from({ length: segment.lcores }, (_, i) => segment.lcoreStats(i + 1));
    const watch = (kind: { name: string; text: string; hint?: string }, at: number): Watched => {
      const { name, text, hint } = kind;
      const count = this.count(at);
      return { name, text, hint, at, told: count, seen: count, sinceMs: 0, nextMs: 0, waitMs: FIRST_MS };
    };
    const { drops, events } = LCORE_STATS.at;
    this.watched = [
      ...DROP_REASONS.flatMap((r, i) => (r.alarm === true ? [watch(r, (drops >>> 3) + i)] : [])),
      ...EVENT_KINDS.flatMap((e, i) => (e.alarm === true ? [watch(e, (events >>> 3) + i)] : [])),
    ];
    this.timer = setInterval(() => this.sample(), SAMPLE_MS);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private count(at: number): number {
    return this.lcores.reduce((n, counters) => n + counters[at]!, 0);
  }

  private sample(): void {
    const now = performance.now();
    for (const w of this.watched) {
      const count = this.count(w.at);
      if (count !== w.seen) w.sinceMs = now;
      w.seen = count;
      const isOver = now - w.sinceMs >= SILENCE_MS;
      const packets = count - w.told;
      if (packets > 0 && (isOver || now >= w.nextMs)) {
        this.log.warn({ reason: w.name, packets, hint: w.hint }, w.text);
        w.told = count;
        w.nextMs = now + w.waitMs;
        w.waitMs = Math.min(2 * w.waitMs, LONGEST_MS);
      }
      if (!isOver) continue;
      w.nextMs = 0;
      w.waitMs = FIRST_MS;
    }
  }
}
