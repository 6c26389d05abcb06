/** Totals and rates of services, from counters that lcores write. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Counters } from '../../../src/control/results.js';
import { DEST_STATS } from '../../../src/core/layout.js';
import { DROP } from '../../../src/core/drops.js';
import { destIndex, segmentLayout, StatsSegment } from '../../../src/core/stats.js';
import { SvcStats } from '../../../src/ipvs/svc-stats.js';
import { DestStats } from '../../../src/ipvs/dest-stats.js';
import type { DestLimits } from '../../../src/ipvs/limits.js';
import { Services } from '../../../src/ipvs/service.js';
import { Rates } from '../../../src/master/rates.js';

const svc = { proto: 'tcp', addr: '10.1.1.1', port: 80 } as const;
const dest = (n: number) => ({ addr: `192.168.0.${n}`, port: 80 });

describe('counters of services', () => {
  const lcores = 2;
  let services: Services;
  let segment: StatsSegment;
  let rates: Rates;

  beforeEach(() => {
    vi.useFakeTimers();
    segment = StatsSegment.create(new SharedArrayBuffer(segmentLayout({ lcores }).bytes), { lcores });
    services = new Services();
    // The master first, as in the daemon; then lcores, which zero what begins anew.
    rates = new Rates(segment, services);
    for (let id = 1; id <= lcores; id++) {
      const stats = new DestStats(segment.destStats(id), {} as DestLimits);
      services.listen({
        destAdded: (d, use) => (use === 'revived' ? stats.zero(d.slot) : undefined),
        zero: (dests) => dests.forEach((d) => stats.zero(d.slot)),
      });
    }
    services.apply('svc.add', { svc, scheduler: 'rr' });
    add(2);
    add(3);
  });
  afterEach(() => {
    rates.stop();
    vi.useRealTimers();
  });

  const add = (n: number): void => services.apply('dest.add', { svc, dest: dest(n), fwd: 'fullnat' });
  const remove = (n: number): void => services.apply('dest.del', { svc, dest: dest(n) });
  const count = (lcore: number, slot: number, field: keyof Counters, n: number): void => {
    segment.destStats(lcore)[destIndex(slot) + (DEST_STATS.at[field] >>> 3)]! += n;
  };
  const conns = (lcore?: number): number => rates.svcCounters(services.get(svc), lcore).conns;

  it('are sums over lcores and real servers, or of one lcore', () => {
    count(1, 1, 'conns', 1);
    count(2, 1, 'conns', 10);
    count(2, 2, 'conns', 100);
    expect([conns(), conns(1), conns(2)]).toEqual([111, 1, 110]);
    expect([rates.counters(1).conns, rates.counters(1, 2).conns]).toEqual([11, 10]);
  });

  it('drops are sums over lcores, or of one lcore, without those that did not occur', () => {
    const { slot } = services.get(svc);
    new SvcStats(segment.svcStats(1)).drop(slot, DROP.CONN_FULL);
    new SvcStats(segment.svcStats(2)).drop(slot, DROP.CONN_FULL);
    new SvcStats(segment.svcStats(2)).drop(slot, DROP.SVC_NO_DEST);
    expect(rates.svcDrops(services.get(svc))).toEqual({ CONN_FULL: 2, SVC_NO_DEST: 1 });
    expect(rates.svcDrops(services.get(svc), 1)).toEqual({ CONN_FULL: 1 });
  });

  it('survive the removal of a real server, and its return', () => {
    count(1, 1, 'conns', 5);
    count(2, 1, 'conns', 7);
    remove(2);
    expect(conns()).toBe(12);
    // its last connections go on
    count(2, 1, 'conns', 1);
    add(2);
    expect(rates.counters(1).conns).toBe(0);
    expect([conns(), conns(1), conns(2)]).toEqual([13, 5, 8]);
    count(1, 1, 'conns', 100);
    remove(2);
    add(2);
    expect(conns()).toBe(113);
  });

  it('are zero after a zero, those of removed and returned real servers as well', () => {
    count(1, 1, 'conns', 5);
    remove(2);
    add(2);
    count(1, 1, 'conns', 5);
    count(1, 2, 'conns', 5);
    remove(3);
    expect(conns()).toBe(15);
    services.apply('svc.zero', { svc });
    expect(conns()).toBe(0);
    count(1, 1, 'conns', 1);
    services.apply('svc.zero', {});
    expect(conns()).toBe(0);
  });

  it('give rates per second of the last second', () => {
    vi.advanceTimersByTime(1000);
    count(1, 1, 'inPackets', 300);
    count(2, 1, 'inPackets', 200);
    count(2, 2, 'outBytes', 4096);
    vi.advanceTimersByTime(1000);
    const [one, two] = services.get(svc).dests;
    expect(rates.rates(one!)).toEqual({ cps: 0, inPps: 500, outPps: 0, inBps: 0, outBps: 0 });
    expect(rates.rates(two!).outBps).toBe(4096);
    expect(rates.svcRates(services.get(svc))).toEqual({
      cps: 0,
      inPps: 500,
      outPps: 0,
      inBps: 0,
      outBps: 4096,
    });
    vi.advanceTimersByTime(1000);
    expect(rates.rates(one!).inPps).toBe(0);
  });

  it('give no negative rate after a zero', () => {
    count(1, 1, 'inPackets', 300);
    vi.advanceTimersByTime(1000);
    services.apply('svc.zero', {});
    vi.advanceTimersByTime(1000);
    expect(rates.rates(services.get(svc).dests[0]!).inPps).toBe(0);
  });
});
