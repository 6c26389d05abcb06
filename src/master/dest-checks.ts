/**
 * Passive health checks (`--dest-check`), the master's part: from what lcores notice of connections it decides which real
 * servers are out and when they are back, and says so by ordinary commands, so that every replica follows.
 *
 * A real server is out when `downRetry` connections fail within `downWait` seconds; at first for `min` seconds, each further time
 * for twice as long, `max` at most. Each `downWait` seconds with `upConfirm` good connections and no bad one halve that again.
 * Without `restore` it stays out until somebody says `--no-inhibited`.
 *
 * `checkInhibited` is ours alone: what an operator or a health-check daemon has inhibited (`inhibited`) is never touched.
 */
import type { Command } from '../control/schema.js';
import type { Notice } from '../ipvs/dest-notices.js';
import { isInhibited } from '../ipvs/quiescent.js';
import { type Dest, keyOf, type Services } from '../ipvs/service.js';
import { formatIpv4 } from '../wire/ipv4.js';
import type { Log } from './log.js';

interface Health {
  /** Failures, or good connections, since `since`. */
  downs: number;
  ups: number;
  since: number;
  /** When good connections have last halved `duration`. */
  halvedAt: number;
  /** Seconds that it is out, or will be the next time. */
  duration: number;
  /** Out until then, 0 = not by us, Infinity = until somebody takes it back. */
  until: number;
}

const fresh = (duration: number, nowMs: number): Health => ({
  downs: 0,
  ups: 0,
  since: nowMs,
  halvedAt: -Infinity,
  duration,
  until: 0,
});

export class DestChecks {
  /** How often `tick` wants to be called. */
  static readonly INTERVAL_MS = 200;
  /** Real servers that lcores have noticed something of. */
  private readonly health = new Map<Dest, Health>();

  /** @param execute applies a command everywhere; its first step, to `services`, before it returns */
  constructor(
    private readonly services: Services,
    private readonly execute: (c: Command) => Promise<void>,
    private readonly log: Pick<Log, 'info' | 'warn' | 'error'>,
  ) {
    services.listen({ destRemoved: (dest) => void this.health.delete(dest) });
  }

  /** What an lcore has noticed. */
  notice(notices: readonly Notice[], nowMs: number): void {
    for (const n of notices) {
      const dest = this.services.destAt(n.slot);
      // The slot may have changed hands meanwhile.
      if (dest === undefined || dest.removed || dest.addr !== n.addr || dest.port !== n.port) continue;
      this.noticed(dest, n, nowMs);
    }
  }

  /** Brings back those whose time is over. */
  tick(nowMs: number): void {
    for (const [dest, h] of this.health) {
      if (h.until === 0) continue;
      const { passive } = dest.svc.destCheck;
      if (!dest.checkInhibited) {
        // Somebody else took it back: it begins anew.
        this.health.delete(dest);
      } else if (passive === null || nowMs >= h.until) {
        h.until = 0;
        h.downs = h.ups = 0;
        h.since = nowMs;
        this.command(dest, h, false);
        if (passive === null) this.health.delete(dest);
      }
    }
  }

  private noticed(dest: Dest, { downs, ups }: Notice, nowMs: number): void {
    const { passive } = dest.svc.destCheck;
    // Connections from before it went out may still fail.
    if (passive === null || dest.checkInhibited) return;
    const { downRetry, downWait, restore } = passive;
    const first = restore?.min ?? 0;
    const h = this.health.get(dest) ?? fresh(first, nowMs);
    this.health.set(dest, h);
    // Somebody else took it back before a tick has seen it.
    if (h.until !== 0) Object.assign(h, fresh(first, nowMs));
    if (nowMs - h.since >= downWait * 1000) {
      h.downs = h.ups = 0;
      h.since = nowMs;
    }
    h.downs += downs;
    h.ups += ups;
    if (h.downs >= downRetry) {
      // As it was edited meanwhile.
      if (restore) h.duration = Math.min(Math.max(h.duration, restore.min), restore.max);
      h.until = restore ? nowMs + h.duration * 1000 : Infinity;
      this.command(dest, h, true);
      if (restore) h.duration = Math.min(h.duration * 2, restore.max);
    } else if (
      restore &&
      h.downs === 0 &&
      h.ups >= restore.upConfirm &&
      nowMs - h.halvedAt >= downWait * 1000
    ) {
      h.duration = Math.max(Math.floor(h.duration / 2), restore.min);
      h.halvedAt = nowMs;
    }
  }

  private command(dest: Dest, h: Health, checkInhibited: boolean): void {
    const { svc, addr, port, weight } = dest;
    const key = { addr: formatIpv4(addr), port };
    const done = this.execute({ op: 'dest.edit', svc: keyOf(svc), dest: key, checkInhibited });
    done.catch((err: unknown) => this.log.error({ err, svc: svc.name, dest: key }, 'passive check'));
    const [proto, at] = svc.name.split(' ') as [string, string];
    // In the words of the original; scripts look for them.
    const text =
      `SERVICE: [cid 00, ${proto}, svc ${at}, rs ${key.addr}:${port}, weight ${isInhibited(dest) ? 0 : weight}, ` +
      `inhibited ${isInhibited(dest) ? 'yes' : 'no'}, down_notice_recvd ${h.downs}, ` +
      `inhibit_duration ${h.duration}s, origin_weight ${weight}] notify slaves ${checkInhibited ? 'DOWN' : 'UP'}`;
    this.log[checkInhibited ? 'warn' : 'info'](text);
  }
}
