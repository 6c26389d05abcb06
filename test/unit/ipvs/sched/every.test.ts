/** What holds for every scheduler of the registry. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SCHEDULERS, schedulerByName, schedulerFlags } from '../../../../src/ipvs/sched/index.js';
import { client, equal, Harness, server, servers, type Server, weights } from './harness.js';

describe.each(SCHEDULERS.map((s) => [s.name, s] as const))('every scheduler: %s', (_name, sched) => {
  it('finds nobody in a service without real servers, or with all at weight 0 or full', () => {
    expect(new Harness(sched, []).name()).toBe('-');
    expect(new Harness(sched, servers(0, 0)).picks(3)).toBe('---');
    expect(new Harness(sched, [server('A', { weight: 5, full: true })]).name()).toBe('-');
  });

  it('survives every real server going and coming', () => {
    const [a, b, c] = servers(1, 1, 1) as [Server, Server, Server];
    const h = new Harness(sched, [a, b, c]);
    h.picks(2);
    h.changed([]);
    expect(h.name()).toBe('-');
    h.build();
    expect(h.name()).toBe('-');
    h.changed([c]);
    expect(h.picks(2)).toBe('CC');
    h.build();
    expect(h.picks(2)).toBe('CC');
    h.changed([c, a, b]);
    h.build();
    expect('ABC').toContain(h.name());
  });

  /** Also while a table is being built, and with each of its flags and all. */
  const flags = [[], ...(sched.flags ?? []).map((f) => [f]), [...(sched.flags ?? [])]];

  it('never picks weight 0, a full or a removed one, whatever changes', () => {
    const change = fc.record({
      server: fc.nat(7),
      what: fc.constantFrom('weight', 'full', 'remove', 'add'),
      value: fc.nat(3),
      slices: fc.nat(3),
    });
    fc.assert(
      fc.property(
        fc.constantFrom(...flags),
        weights(3, 8),
        fc.array(change, { maxLength: 12 }),
        (f, w, changes) => {
          const all = servers(...w);
          const h = new Harness(sched, [...all], { flags: f });
          let i = 0;
          for (const { server: k, what, value, slices } of changes) {
            const s = all[k % all.length]!;
            if (what === 'weight') s.weight = value;
            else if (what === 'full') s.full = value > 0;
            if (what === 'remove') h.changed(h.servers.filter((x) => x !== s));
            else if (what === 'add' && !h.servers.includes(s)) h.changed([...h.servers, s]);
            else if (what === 'weight') h.changed();
            for (let n = 0; n < slices; n++) sched.build?.(h.state);
            for (let n = 0; n < 10; n++) {
              const got = h.pick(client(i++));
              if (got === undefined) continue;
              expect([got.weight > 0, got.full, h.servers.includes(got)]).toEqual([true, false, true]);
              if (n % 2 === 0) got.active++;
              else got.inactive++;
            }
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  // Hashing without fall-back keeps a client with its own real server, or with none; dh has no fall-back.
  const fallback = (sched.flags ?? []).filter((f) => f.endsWith('-fallback'));
  if (sched.name !== 'dh')
    it('finds one whenever there is one', () => {
      fc.assert(
        fc.property(weights(3, 8), fc.array(fc.boolean(), { maxLength: 8 }), (w, full) => {
          const all = servers(...w);
          all.forEach((s, i) => (s.full = full[i] === true));
          const h = new Harness(sched, all, { flags: fallback });
          const some = all.some((s) => s.weight > 0 && !s.full);
          for (let i = 0; i < 20; i++) expect(h.pick(client(i)) !== undefined).toBe(some);
        }),
        { numRuns: 60 },
      );
    });

  it('drains: a real server whose weight becomes 0 gets nothing from then on, the others everything', () => {
    const h = new Harness(sched, equal(4, 2));
    for (let i = 0; i < 50; i++) h.pick(client(i))!.active++;
    const drained = h.servers[1]!;
    drained.weight = 0;
    h.changed();
    for (let i = 0; i < 50; i++) expect(h.name(client(i))).toMatch(/[ACD]/);
    h.build();
    for (let i = 0; i < 200; i++) expect(h.name(client(i))).toMatch(/[ACD]/);
  });

  it('picks the same on every lcore, or starts elsewhere on each', () => {
    const first = [0, 1, 2].map((start) => new Harness(sched, servers(1, 1, 1), { start }).name());
    const distinct = new Set(first).size;
    expect(distinct).toBe(
      ['rr', 'wrr', 'lc', 'wlc', 'sed', 'nq', 'lblc', 'lblcr'].includes(sched.name) ? 3 : 1,
    );
  });
});

describe('the registry', () => {
  it('has what LVS and the original have', () => {
    expect(SCHEDULERS.map((s) => s.name)).toEqual(
      'rr wrr lc wlc sed nq sh dh conhash mh fo lblc lblcr'.split(' '),
    );
  });

  it('names what there is when a scheduler is unknown', () => {
    expect(() => schedulerByName('ovf')).toThrow(
      expect.objectContaining({ code: 'NOTSUPP', hint: expect.stringContaining('rr, wrr, lc, wlc') }),
    );
  });

  it('takes only flags and hash targets of the scheduler, in its order', () => {
    const [rr, mh, conhash] = ['rr', 'mh', 'conhash'].map(schedulerByName) as [never, never, never];
    expect(schedulerFlags(mh, { schedFlags: ['mh-port', 'mh-fallback'] })).toEqual([
      'mh-fallback',
      'mh-port',
    ]);
    expect(schedulerFlags(mh, {}, ['mh-port'])).toEqual(['mh-port']);
    expect(schedulerFlags(mh, { schedFlags: [] }, ['mh-port'])).toEqual([]);
    expect(schedulerFlags(conhash, { hashTarget: 'sip' })).toEqual([]);
    const refused = (s: never, p: object) => {
      try {
        return schedulerFlags(s, p);
      } catch (e) {
        return (e as { code: string }).code;
      }
    };
    expect(refused(rr, { schedFlags: ['mh-port'] })).toBe('INVAL');
    expect(refused(mh, { schedFlags: ['sh-port'] })).toBe('INVAL');
    expect(refused(rr, { hashTarget: 'sip' })).toBe('INVAL');
    expect(refused(conhash, { hashTarget: 'qid' })).toBe('NOTSUPP');
  });
});
