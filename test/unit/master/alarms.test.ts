/** Log lines about drops, from counters that lcores write. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DROP, type DropName } from '../../../src/core/drops.js';
import { EVENT } from '../../../src/core/events.js';
import { LCORE_STATS } from '../../../src/core/layout.js';
import { segmentLayout, StatsSegment } from '../../../src/core/stats.js';
import { Alarms } from '../../../src/master/alarms.js';

describe('log lines about drops', () => {
  let segment: StatsSegment;
  let alarms: Alarms;
  let lines: [string, number][];

  beforeEach(() => {
    vi.useFakeTimers();
    segment = StatsSegment.create(new SharedArrayBuffer(segmentLayout({ lcores: 2 }).bytes), { lcores: 2 });
    lines = [];
    add(1, 'ACL_BLACKLIST', 1000);
    alarms = new Alarms(segment, {
      warn: (fields: { reason: string; packets: number }) => void lines.push([fields.reason, fields.packets]),
    } as never);
  });
  afterEach(() => {
    alarms.stop();
    vi.useRealTimers();
  });

  const add = (lcore: number, name: DropName, n = 1): void => {
    segment.lcoreStats(lcore)[(LCORE_STATS.at.drops >>> 3) + DROP[name]]! += n;
  };
  const seconds = (n: number, each?: () => void): void => {
    for (let i = 0; i < n; i++) {
      each?.();
      vi.advanceTimersByTime(1000);
    }
  };

  it('come within a second, over all lcores; what was counted before is old news', () => {
    seconds(3);
    expect(lines).toEqual([]);
    add(1, 'ACL_BLACKLIST', 2);
    add(2, 'ACL_BLACKLIST', 3);
    add(2, 'CONN_FULL');
    seconds(1);
    expect(lines.toSorted(([a], [b]) => a.localeCompare(b))).toEqual([
      ['ACL_BLACKLIST', 5],
      ['CONN_FULL', 1],
    ]);
  });

  it('get rarer while it goes on, and count everything between them', () => {
    seconds(80, () => add(1, 'CONN_FULL', 10));
    expect(lines.map(([, n]) => n)).toEqual([10, 100, 200, 400]);
    seconds(24 * 3600, () => add(1, 'CONN_FULL', 10));
    expect(lines.length).toBeLessThan(40);
    const all = lines.reduce((n, [, packets]) => n + packets, 0);
    expect((80 + 24 * 3600) * 10 - all).toBeLessThanOrEqual(36_000);
  });

  it('come at once again when it had stopped', () => {
    seconds(80, () => add(1, 'CONN_FULL'));
    seconds(100);
    const before = lines.length;
    add(1, 'CONN_FULL');
    seconds(1);
    add(1, 'CONN_FULL');
    seconds(10);
    expect(lines.slice(before).map(([, n]) => n)).toEqual([1, 1]);
  });

  it('are not about what is normal, but about packets forwarded by hash', () => {
    add(1, 'ARP_DONE');
    add(1, 'CONN_NO_SYN');
    segment.lcoreStats(1)[(LCORE_STATS.at.events >>> 3) + EVENT.FLOOD_HASHED]! += 7;
    seconds(1);
    expect(lines).toEqual([['FLOOD_HASHED', 7]]);
  });
});
