/** Limits of new connections by source: exact over lcores, whoever comes, through edits, expiry and restarts. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Packets } from '../../../src/core/packet.js';
import type { SvcOptions } from '../../../src/ipvs/options.js';
import type { Svc } from '../../../src/ipvs/service.js';
import { sharedMemory } from '../../../src/ipvs/shared.js';
import { Sources } from '../../../src/ipvs/sources.js';
import { parseIpv4 } from '../../../src/wire/ipv4.js';
import { tcp, udp } from '../../support/frames.js';
import { endpoint, LIP, Rig, RS, VIP } from './rig.js';

const svc = { proto: 'tcp', ...endpoint(VIP) } as const;
const syn = (client: string, port: number): Uint8Array =>
  tcp({ src: `${client}:${port}`, dst: VIP, flags: 'S' });
const A = '10.0.0.1';
const B = '10.0.0.2';

function lcores(n: number, o: Partial<SvcOptions>): Rig[] {
  const rigs: Rig[] = [];
  for (let i = 1; i <= n; i++) {
    const rig = new Rig({ lcore: i, lcores: n, ...(rigs[0] && { shared: rigs[0].shared }) });
    rig.serve('tcp', o);
    rigs.push(rig);
  }
  return rigs;
}

describe('--src-conns', () => {
  it('is the sum over the lcores; others are not concerned', () => {
    const [a, b] = lcores(2, { srcConns: 3 }) as [Rig, Rig];
    expect(a.fromClient(syn(A, 1), syn(A, 2))).toHaveLength(2);
    expect(b.fromClient(syn(A, 3), syn(A, 4), syn(B, 1))).toHaveLength(2);
    expect([a.drops, b.drops, b.svcDrops()]).toEqual([{}, { SRC_CONNS: 1 }, { SRC_CONNS: 1 }]);
    expect([a.imbalance, b.imbalance]).toEqual([0, 0]);
  });

  it('gives a place back when a connection expires, wherever it was', () => {
    const [a, b] = lcores(2, { srcConns: 2 }) as [Rig, Rig];
    a.fromClient(syn(A, 1), syn(A, 2));
    expect(b.fromClient(syn(A, 3))).toHaveLength(0);
    a.advance(31_000, 1000);
    expect(b.fromClient(syn(A, 3), syn(A, 4), syn(A, 5))).toHaveLength(2);
  });

  it('does not count what could not be opened', () => {
    const [rig] = lcores(1, { srcConns: 2, dests: [] } as Partial<SvcOptions>) as [Rig];
    rig.fromClient(syn(A, 1), syn(A, 2), syn(A, 3));
    expect(rig.drops).toEqual({ SVC_NO_DEST: 3 });
    rig.addDest(RS);
    expect(rig.fromClient(syn(A, 1), syn(A, 2), syn(A, 3))).toHaveLength(2);
  });

  it('counts a network as one with --src-mask', () => {
    const [rig] = lcores(1, { srcConns: 2, srcPlen: 24 }) as [Rig];
    expect(rig.fromClient(syn(A, 1), syn(B, 1), syn('10.0.0.77', 1))).toHaveLength(2);
    expect(rig.fromClient(syn('10.0.1.1', 1))).toHaveLength(1);
    rig.services.apply('svc.edit', { svc, srcPlen: 0 });
    expect(rig.fromClient(syn('10.5.0.1', 1), syn('10.6.0.1', 1), syn('10.7.0.1', 1))).toHaveLength(2);
  });

  it('of one service is not that of another', () => {
    const [rig] = lcores(1, { srcConns: 1 }) as [Rig];
    rig.serve('udp', { srcConns: 1 });
    expect(rig.fromClient(syn(A, 1), syn(A, 2))).toHaveLength(1);
    expect(rig.fromClient(udp({ src: `${A}:1`, dst: VIP }))).toHaveLength(1);
  });

  it('that is set later counts from then on, and what is taken away lets all in', () => {
    const [rig] = lcores(1, {}) as [Rig];
    rig.fromClient(syn(A, 1), syn(A, 2));
    rig.services.apply('svc.edit', { svc, srcConns: 1 });
    expect(rig.fromClient(syn(A, 3), syn(A, 4))).toHaveLength(1);
    rig.services.apply('svc.edit', { svc, srcConns: 0 });
    expect(rig.fromClient(syn(A, 5), syn(A, 6))).toHaveLength(2);
    rig.advance(31_000, 1000);
    rig.services.apply('svc.edit', { svc, srcConns: 1 });
    expect(rig.fromClient(syn(A, 7), syn(A, 8))).toHaveLength(1);
  });

  it('survives the restart of an lcore, whose connections still count', () => {
    const [a, b] = lcores(2, { srcConns: 3 }) as [Rig, Rig];
    a.fromClient(syn(A, 1), syn(A, 2));
    b.fromClient(syn(A, 3));
    const c = new Rig({ lcore: 1, lcores: 2, native: a.native, destStats: a.destStats, shared: a.shared });
    c.addAddress(LIP);
    for (const { op, ...params } of a.services.snapshot()) c.services.apply(op, params);
    expect(c.ipvs.rebuild()).toBe(2);
    expect(c.fromClient(syn(A, 4))).toHaveLength(0);
    c.advance(31_000, 1000);
    expect(b.fromClient(syn(A, 5), syn(A, 6), syn(A, 7))).toHaveLength(2);
  });

  it('is never passed nor missed, whatever comes and ends on three lcores (property)', () => {
    const step = fc.record({
      lcore: fc.nat(2),
      client: fc.nat(3),
      wait: fc.constantFrom(0, 0, 0, 700, 31_000),
    });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 60 }), (max, steps) => {
        const rigs = lcores(3, { srcConns: max });
        const open: { client: number; until: number }[] = [];
        let now = 0;
        steps.forEach(({ lcore, client, wait }, i) => {
          if (wait > 0) for (const r of rigs) r.advance(wait, 100);
          now += wait;
          const alive = open.filter((o) => o.client === client && o.until > now).length;
          const sent = rigs[lcore]!.fromClient(syn(`10.0.0.${client + 1}`, 1000 + i)).length;
          // The timer of a connection is a tick late at most.
          const ending = open.filter((o) => o.client === client && Math.abs(o.until - now) <= 200).length;
          if (ending === 0) expect(sent).toBe(alive < max ? 1 : 0);
          if (sent > 0) open.push({ client, until: now + 30_000 });
        });
        expect(rigs.map((r) => r.imbalance)).toEqual([0, 0, 0]);
      }),
      { numRuns: 40 },
    );
  });
});

describe('--src-rate', () => {
  it('lets a second’s worth in at once, then one for each interval', () => {
    const [rig] = lcores(1, { srcRate: 4 }) as [Rig];
    const burst = Array.from({ length: 10 }, (_, i) => syn(A, i + 1));
    expect(rig.fromClient(...burst)).toHaveLength(4);
    expect(rig.drops).toEqual({ SRC_RATE: 6 });
    rig.advance(249, 1);
    expect(rig.fromClient(syn(A, 20))).toHaveLength(0);
    rig.advance(1, 1);
    expect(rig.fromClient(syn(A, 21), syn(A, 22))).toHaveLength(1);
    rig.advance(10_000);
    expect(rig.fromClient(...Array.from({ length: 10 }, (_, i) => syn(A, 100 + i)))).toHaveLength(4);
  });

  it('with --src-burst lets so many in at once', () => {
    const [rig] = lcores(1, { srcRate: 1, srcBurst: 6 }) as [Rig];
    expect(rig.fromClient(...Array.from({ length: 10 }, (_, i) => syn(A, i + 1)))).toHaveLength(6);
    rig.advance(2000);
    expect(rig.fromClient(syn(A, 20), syn(A, 21), syn(A, 22))).toHaveLength(2);
  });

  it('gives the place of --src-conns back when it refuses', () => {
    const [rig] = lcores(1, { srcRate: 1, srcConns: 3 }) as [Rig];
    rig.fromClient(syn(A, 1), syn(A, 2), syn(A, 3), syn(A, 4));
    expect(rig.drops).toEqual({ SRC_RATE: 3 });
    rig.services.apply('svc.edit', { svc, srcRate: 0 });
    expect(rig.fromClient(syn(A, 5), syn(A, 6), syn(A, 7))).toHaveLength(2);
  });

  it('holds for known connections nothing back', () => {
    const [rig] = lcores(1, { srcRate: 1 }) as [Rig];
    rig.fromClient(syn(A, 1));
    expect(rig.fromClient(syn(A, 1), syn(A, 1), syn(A, 1))).toHaveLength(3);
  });

  it('in any time admits at most the burst and what the rate gives, and all of it, over lcores (property)', () => {
    const gaps = fc.array(fc.tuple(fc.nat(3), fc.nat(40)), { minLength: 1, maxLength: 120 });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 9 }),
        gaps,
        (rate, burst, steps) => {
          const shared = sharedMemory(4);
          const packets = { countEvent: () => undefined } as unknown as Packets;
          const of = [1, 2, 3, 4].map((l) => new Sources(shared.sources, 4, l, packets, 77));
          const s = { slot: 1, srcPlen: 32, srcConns: 0, srcRate: rate, srcBurst: burst } as Svc;
          let [now, left] = [2 ** 40 + 12_345, burst];
          for (const [lcore, wait] of steps) {
            now += wait;
            left = Math.min(burst, left + (wait * rate) / 1000);
            // Parts of tokens are whole: on the border either answer is right.
            const border = Math.abs(left - Math.round(left)) < 0.02 && Math.round(left) === 1;
            const admitted = of[lcore]!.admit(s, 0x0a000001, now);
            if (!border) expect(admitted).toBe(left >= 1);
            if (admitted) left -= 1;
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('the table of sources', () => {
  const packets = { countEvent: () => undefined } as unknown as Packets;
  const limited = { slot: 1, srcPlen: 32, srcConns: 10, srcRate: 0, srcBurst: 0 } as Svc;
  const table = (): Sources => new Sources(sharedMemory(1, undefined, 64).sources, 1, 1, packets, 77);

  it('full of random sources neither frees one that is at his limit nor locks anybody out', () => {
    const t = table();
    const attacker = parseIpv4('203.0.113.5');
    for (let i = 0; i < 10; i++) expect(t.admit(limited, attacker, 0)).toBe(true);
    for (let i = 0; i < 50_000; i++) expect(t.admit(limited, (i * 2654435761) | 0, i)).toBe(true);
    expect(t.admit(limited, attacker, 60_000)).toBe(false);
    expect(t.count(limited, attacker)).toBe(10);
    expect(t.admit(limited, parseIpv4('192.0.2.1'), 60_000)).toBe(true);
  });

  it('keeps the rate of one that is at his limit, too', () => {
    const t = table();
    const s = { ...limited, srcConns: 0, srcRate: 1, srcBurst: 100 } as Svc;
    for (let i = 0; i < 100; i++) expect(t.admit(s, 5, 0)).toBe(true);
    for (let i = 0; i < 50_000; i++) t.admit(s, (i * 2654435761) | 0, 1);
    expect(t.admit(s, 5, 2)).toBe(false);
  });

  it('a place of a source that was replaced is nobody else’s when it comes back', () => {
    const t = table();
    const first: [number, number][] = [];
    for (let i = 0; i < 64; i++) {
      t.admit(limited, i, 0);
      first.push([t.entry, t.generation]);
    }
    for (let i = 100; i < 5000; i++) t.admit(limited, i, 0);
    const before = Array.from({ length: 5000 }, (_, i) => t.count(limited, i));
    for (const [e, g] of first) t.release(e, g);
    const after = Array.from({ length: 5000 }, (_, i) => t.count(limited, i));
    expect(after.slice(100)).toEqual(before.slice(100));
  });

  it('what a dead lcore was writing is free again, and its turns are given back', () => {
    const { sources } = sharedMemory(2, undefined, 16);
    const [a, b] = [1, 2].map((l) => new Sources(sources, 2, l, packets, 77)) as [Sources, Sources];
    const words = new Int32Array(sources);
    // One bucket: its turn is held, and an entry half written, by lcore 2.
    words[words.length - 1] = 2;
    words[0] = 0xfff00 | 2;
    expect(a.admit(limited, 7, 0)).toBe(false);
    b.forget();
    for (let i = 0; i < 16; i++) expect(a.admit(limited, i, 0)).toBe(true);
    expect(Array.from({ length: 16 }, (_, i) => a.count(limited, i))).toEqual(Array(16).fill(1));
  });
});
