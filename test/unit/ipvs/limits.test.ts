/** Connection limits over several lcores: exact, with hysteresis, through edits and restarts. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DestLimits } from '../../../src/ipvs/limits.js';
import { decode, tcp } from '../../support/frames.js';
import { endpoint, LIP, Rig, RS, RS2, VIP } from './rig.js';

const svc = { proto: 'tcp', ...endpoint(VIP) } as const;
const dest = endpoint(RS);
const syn = (n: number): Uint8Array => tcp({ src: `10.0.0.1:${n}`, dst: VIP, flags: 'S' });

function lcores(n: number, o: { maxConn?: number; minConn?: number }): Rig[] {
  const rigs: Rig[] = [];
  for (let i = 1; i <= n; i++) {
    const rig = new Rig({ lcore: i, lcores: n, ...(rigs[0] && { shared: rigs[0].shared }) });
    rig.serve('tcp', { dests: [] });
    rig.addDest(RS, 'tcp', o);
    rigs.push(rig);
  }
  return rigs;
}
const counted = (rig: Rig): number => new DestLimits(rig.shared.limits).count(1);
const conns = (rigs: Rig[]): number => rigs.reduce((n, r) => n + r.conns, 0);

describe('a limit', () => {
  it('is the sum over the lcores, and a place that is left can be taken by any', () => {
    const [a, b] = lcores(2, { maxConn: 3 }) as [Rig, Rig];
    a.fromClient(syn(1), syn(2));
    expect(b.fromClient(syn(3), syn(4))).toHaveLength(1);
    expect(b.drops).toEqual({ SVC_OVERLOAD: 1 });
    a.advance(31_000);
    expect(b.fromClient(syn(5), syn(6), syn(7))).toHaveLength(2);
    expect(counted(a)).toBe(3);
  });

  it('with a lower threshold keeps a full real server empty until it has fewer', () => {
    const [rig] = lcores(1, { maxConn: 4, minConn: 2 }) as [Rig];
    for (let n = 1; n <= 4; n++) {
      rig.fromClient(syn(n));
      rig.advance(5000);
    }
    const lives = (): number => rig.conns;
    const tries: [number, number][] = [];
    for (let n = 10; lives() > 0 && n < 40; n++) {
      const before = lives();
      tries.push([before, rig.fromClient(syn(n)).length]);
      if (tries.at(-1)![1] === 1) break;
      rig.advance(1000);
    }
    expect(new Set(tries.map(([left, in_]) => `${left}:${in_}`))).toEqual(
      new Set(['4:0', '3:0', '2:0', '1:1']),
    );
  });

  it('that is set later counts what is there already, and one that is taken away lets all in', () => {
    const [a, b] = lcores(2, {}) as [Rig, Rig];
    a.fromClient(syn(1), syn(2));
    b.fromClient(syn(3));
    expect(counted(a)).toBe(0);
    for (const r of [a, b]) r.services.apply('dest.edit', { svc, dest, maxConn: 4 });
    expect(counted(a)).toBe(3);
    expect(a.fromClient(syn(4), syn(5))).toHaveLength(1);
    for (const r of [a, b]) r.services.apply('dest.edit', { svc, dest, maxConn: 0 });
    expect(counted(a)).toBe(0);
    expect(a.fromClient(syn(6))).toHaveLength(1);
  });

  it('follows edits up and down', () => {
    const [rig] = lcores(1, { maxConn: 2 }) as [Rig];
    expect(rig.fromClient(syn(1), syn(2), syn(3))).toHaveLength(2);
    rig.services.apply('dest.edit', { svc, dest, maxConn: 3 });
    expect(rig.fromClient(syn(4), syn(5))).toHaveLength(1);
    rig.services.apply('dest.edit', { svc, dest, maxConn: 1 });
    expect(rig.fromClient(syn(6))).toEqual([]);
    rig.advance(31_000);
    expect(rig.fromClient(syn(7), syn(8))).toHaveLength(1);
  });

  it('counts connections that outlive the removal of their real server when it comes back', () => {
    const [rig] = lcores(1, { maxConn: 2 }) as [Rig];
    rig.fromClient(syn(1), syn(2));
    rig.services.apply('dest.del', { svc, dest });
    rig.addDest(RS, 'tcp', { maxConn: 2 });
    expect(rig.fromClient(syn(3))).toEqual([]);
    rig.advance(31_000);
    expect([counted(rig), rig.fromClient(syn(4)).length]).toEqual([0, 1]);
  });

  it('gives the place back when the connection cannot be made', () => {
    const [rig] = lcores(1, { maxConn: 2 }) as [Rig];
    rig.removeAddress(LIP);
    rig.fromClient(syn(1), syn(2), syn(3));
    expect(rig.drops).toEqual({ SVC_NO_LADDR: 3 });
    expect(counted(rig)).toBe(0);
  });

  it('is right after the restart of an lcore', () => {
    const [a, b] = lcores(2, { maxConn: 4 }) as [Rig, Rig];
    a.fromClient(syn(1), syn(2));
    b.fromClient(syn(3));
    const c = new Rig({ lcore: 1, lcores: 2, native: a.native, destStats: a.destStats, shared: a.shared });
    for (const command of a.services.snapshot()) c.services.apply(command.op, command);
    c.addAddress(LIP);
    c.ipvs.rebuild();
    expect([counted(c), conns([b, c])]).toEqual([3, 3]);
    expect(c.fromClient(syn(5), syn(6))).toHaveLength(1);
    c.advance(31_000);
    expect(counted(c)).toBe(1);
  });

  it('of one real server leaves the others alone', () => {
    const [rig] = lcores(1, { maxConn: 1 }) as [Rig];
    rig.addDest(RS2);
    const to = rig.fromClient(syn(1), syn(2), syn(3)).map((f) => decode(f).ip!.dst);
    expect(to.filter((d) => d === dest.addr)).toHaveLength(1);
  });

  it('is never exceeded, and shared and own counts agree, whatever comes in whatever order', () => {
    const event = fc.oneof(
      { weight: 8, arbitrary: fc.record({ t: fc.constant('syn' as const), lcore: fc.nat(2) }) },
      { weight: 4, arbitrary: fc.record({ t: fc.constant('time' as const), ms: fc.nat(20_000) }) },
      { weight: 1, arbitrary: fc.record({ t: fc.constant('max' as const), max: fc.nat(6), min: fc.nat(6) }) },
      { weight: 1, arbitrary: fc.record({ t: fc.constant('again' as const) }) },
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const rigs = lcores(3, { maxConn: 3 });
        let max = 3;
        let port = 0;
        for (const e of events) {
          const before = conns(rigs);
          if (e.t === 'syn') {
            const n = rigs[e.lcore]!.fromClient(syn(++port)).length;
            if (max > 0 && before >= max) expect(n).toBe(0);
          } else if (e.t === 'time') {
            for (const r of rigs) r.advance(e.ms, 1000);
          } else if (e.t === 'max') {
            max = e.max;
            const limits = { maxConn: max, minConn: Math.min(e.min, max) };
            for (const r of rigs) r.services.apply('dest.edit', { svc, dest, ...limits });
          } else {
            for (const r of rigs) r.services.apply('dest.del', { svc, dest });
            for (const r of rigs) r.addDest(RS, 'tcp', { maxConn: max });
          }
          expect(counted(rigs[0]!)).toBe(max > 0 ? conns(rigs) : 0);
        }
      }),
      { numRuns: 60 },
    );
  });
});
