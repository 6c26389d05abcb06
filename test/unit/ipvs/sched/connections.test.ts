/** Schedulers inside the load balancer: what edits do to running connections, and what packets say to schedulers. */
import { describe, expect, it } from 'vitest';
import { SCHEDULERS } from '../../../../src/ipvs/sched/index.js';
import { Services } from '../../../../src/ipvs/service.js';
import { decode, udp } from '../../../support/frames.js';
import { endpoint, Rig, VIP } from '../rig.js';

const svc = { proto: 'udp', ...endpoint(VIP) } as const;
const rs = (i: number): string => `192.168.0.${10 + i}:8080`;
const N = 40;

const packet = (i: number): Uint8Array => udp({ src: `10.0.${i}.1:${2000 + i}`, dst: VIP, data: 'x' });

/** Sends a packet of each client. @returns the real server that got it, '' for none */
function servedBy(rig: Rig, clients = N): string[] {
  return Array.from({ length: clients }, (_, i) => {
    const [out] = rig.fromClient(packet(i));
    return out === undefined ? '' : decode(out).ip!.dst;
  });
}

function serving(scheduler: string, dests = 4): Rig {
  const rig = new Rig({ conns: 256 });
  rig.serve('udp', { scheduler, dests: Array.from({ length: dests }, (_, i) => rs(i)) });
  build(rig);
  return rig;
}
function build({ services }: Rig): void {
  while (services.build());
}

describe.each(SCHEDULERS.map((s) => s.name))('running connections under %s', (name) => {
  it('stay with their real server through weights, drains, limits, additions, removals and another scheduler', () => {
    const rig = serving(name);
    const before = servedBy(rig);
    expect(before).not.toContain('');
    const edits = [
      () => rig.services.apply('dest.edit', { svc, dest: endpoint(rs(0)), weight: 7 }),
      () => rig.services.apply('dest.edit', { svc, dest: endpoint(rs(1)), weight: 0 }),
      () => rig.services.apply('dest.edit', { svc, dest: endpoint(rs(2)), maxConn: 1 }),
      () => rig.addDest(rs(9), 'udp'),
      () => rig.services.apply('dest.del', { svc, dest: endpoint(rs(3)) }),
      () => rig.services.apply('svc.edit', { svc, scheduler: name === 'rr' ? 'mh' : 'rr' }),
    ];
    for (const edit of edits) {
      edit();
      expect(servedBy(rig)).toEqual(before);
      build(rig);
      expect(servedBy(rig)).toEqual(before);
    }
    expect(rig.conns).toBe(N);
    expect(rig.imbalance).toBe(0);
  });

  it('end, and leave nothing behind', () => {
    const rig = serving(name);
    servedBy(rig);
    rig.advance(400_000, 10_000);
    expect([rig.conns, rig.portsUsed, rig.imbalance]).toEqual([0, 0, 0]);
  });
});

describe('what a packet says to its scheduler', () => {
  it('mh, sh and conhash go by the client address', () => {
    for (const scheduler of ['mh', 'sh', 'conhash']) {
      const rig = serving(scheduler);
      const from = (src: string) => decode(rig.fromClient(udp({ src, dst: VIP, data: 'x' }))[0]!).ip!.dst;
      const own = from('10.0.0.1:1000');
      for (let port = 1001; port < 1030; port++) expect(from(`10.0.0.1:${port}`)).toBe(own);
      expect(new Set(Array.from({ length: 40 }, (_, i) => from(`10.2.${i}.1:1000`))).size).toBe(4);
    }
  });

  it('by its port as well with the flag, also when that is set later', () => {
    const rig = serving('mh');
    const spread = (first: number) =>
      new Set(
        Array.from(
          { length: 30 },
          (_, i) =>
            decode(rig.fromClient(udp({ src: `10.0.0.1:${first + i}`, dst: VIP, data: 'x' }))[0]!).ip!.dst,
        ),
      ).size;
    expect(spread(1000)).toBe(1);
    rig.services.apply('svc.edit', { svc, schedFlags: ['mh-port'] });
    expect(spread(2000)).toBe(4);
  });

  it('dh, lblc and lblcr go by the destination', () => {
    for (const scheduler of ['dh', 'lblc', 'lblcr'])
      expect(new Set(servedBy(serving(scheduler))).size).toBe(1);
  });

  it('a full real server is an overload, with or without others', () => {
    const rig = serving('mh', 1);
    rig.services.apply('dest.edit', { svc, dest: endpoint(rs(0)), maxConn: 3 });
    expect(servedBy(rig).filter((s) => s !== '')).toHaveLength(3);
    expect(rig.drops).toEqual({ SVC_OVERLOAD: N - 3 });
  });
});

describe('flags and hash targets of a service', () => {
  const add = (s: Services, o: object): void => s.apply('svc.add', { svc, connTimeout: 0, ...o } as never);
  const flags = (s: Services): readonly string[] => s.get(svc).schedFlags;

  it('are kept by edits that do not name them, go with another scheduler, and survive a snapshot', () => {
    const s = new Services();
    add(s, { scheduler: 'mh', schedFlags: ['mh-port', 'mh-fallback'] });
    s.apply('svc.edit', { svc, connTimeout: 7 });
    s.apply('svc.edit', { svc, scheduler: 'mh' });
    expect(flags(s)).toEqual(['mh-fallback', 'mh-port']);
    const copy = new Services();
    for (const c of s.snapshot()) copy.apply(c.op, c);
    expect(flags(copy)).toEqual(flags(s));
    s.apply('svc.edit', { svc, schedFlags: ['mh-port'] });
    expect(flags(s)).toEqual(['mh-port']);
    s.apply('svc.edit', { svc, scheduler: 'sh' });
    expect(flags(s)).toEqual([]);
  });

  it.each([
    ['INVAL', { scheduler: 'rr', schedFlags: ['mh-port'] }],
    ['INVAL', { scheduler: 'sh', hashTarget: 'sip' }],
    ['NOTSUPP', { scheduler: 'conhash', hashTarget: 'qid' }],
  ])('that do not fit are %s and change nothing: %o', (code, o) => {
    const s = new Services();
    expect(() => add(s, o)).toThrow(expect.objectContaining({ code }));
    expect(s.list()).toEqual([]);
    add(s, { scheduler: 'mh', schedFlags: ['mh-port'] });
    const before = s.snapshot();
    expect(() => s.apply('svc.edit', { svc, connTimeout: 9, ...o })).toThrow(
      expect.objectContaining({ code }),
    );
    expect(s.snapshot()).toEqual(before);
  });
});

describe('tables of schedulers', () => {
  const filled = (lcore: number): Services => {
    const s = new Services(lcore);
    s.apply('svc.add', { svc, scheduler: 'mh', connTimeout: 0 });
    for (let i = 0; i < 3; i++)
      s.apply('dest.add', {
        svc,
        dest: endpoint(rs(i)),
        fwd: 'fullnat',
        weight: 1,
        maxConn: 0,
        minConn: 0,
      });
    return s;
  };

  it('are built by lcores in slices, never by the master', () => {
    expect(filled(0).build()).toBe(false);
    const s = filled(1);
    let slices = 0;
    while (s.build()) slices++;
    expect(slices).toBeGreaterThan(20);
    expect(s.build()).toBe(false);
  });

  it('of a service that has gone or changed its scheduler meanwhile are given up', () => {
    const s = filled(1);
    s.build();
    s.apply('svc.edit', { svc, scheduler: 'rr' });
    expect(s.build()).toBe(false);
    const t = filled(1);
    t.build();
    t.apply('svc.del', { svc });
    let slices = 0;
    while (t.build()) slices++;
    expect(slices).toBeLessThan(200);
  });
});
