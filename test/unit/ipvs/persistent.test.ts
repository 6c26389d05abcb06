/** Persistence and services of all ports: a client keeps its real server, on whatever lcore its connections arrive. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SvcOptions } from '../../../src/ipvs/options.js';
import { BUSY, NO_TEMPLATE, Templates, type TemplateView } from '../../../src/ipvs/templates.js';
import { parseIpv4 } from '../../../src/wire/ipv4.js';
import { decode, tcp, udp } from '../../support/frames.js';
import { endpoint, LIP, Rig, type RigOptions, RS, RS2, VIP } from './rig.js';

const svc = { proto: 'tcp', ...endpoint(VIP) } as const;
const syn = (from: string, dst = VIP): Uint8Array => tcp({ src: from, dst, flags: 'S' });
const to = (frames: Uint8Array[]): string => frames.map((f) => decode(f).ip!.dst.split('.')[3]!).join(' ');

function serving(o: Partial<SvcOptions> & RigOptions = {}): Rig {
  const { persistent = 360, netmask = '255.255.255.255', ...rest } = o;
  const rig = new Rig({ conns: 512, ...rest });
  rig.serve('tcp', { dests: [RS, RS2], persistent, netmask });
  return rig;
}
function several(n: number, o: Partial<SvcOptions> = {}): Rig[] {
  const first = serving({ ...o, lcore: 1, lcores: n });
  const { shared } = first;
  return [
    first,
    ...Array.from({ length: n - 1 }, (_, i) => serving({ ...o, lcore: i + 2, lcores: n, shared })),
  ];
}
function templates(rig: Rig): TemplateView[] {
  const out: TemplateView[] = [];
  const lcores = 1;
  new Templates(rig.shared.templates, lcores).list(0, Infinity, rig.native.nowMs, (t) => out.push(t));
  return out;
}

describe('a persistent service', () => {
  it('gives a client the same real server, and clients their turns', () => {
    const rig = serving();
    expect(to(rig.fromClient(syn('10.0.0.1:1'), syn('10.0.0.1:2'), syn('10.0.0.1:3')))).toBe('2 2 2');
    expect(to(rig.fromClient(syn('10.0.0.2:1'), syn('10.0.0.3:1'), syn('10.0.0.2:2')))).toBe('3 2 3');
    expect(templates(rig).map((t) => [t.client & 255, t.dest, t.timeoutS])).toEqual(
      expect.arrayContaining([
        [1, 1, 360],
        [2, 2, 360],
        [3, 1, 360],
      ]),
    );
  });

  it('takes the clients of a network for one under a mask', () => {
    const rig = serving({ netmask: '255.255.255.0' });
    const from = ['10.0.0.1:1', '10.0.0.200:1', '10.0.1.1:1', '10.0.0.7:9', '10.0.1.2:1'];
    expect(to(rig.fromClient(...from.map((f) => syn(f))))).toBe('2 2 3 2 3');
    const clients = new Set(templates(rig).map((t) => t.client));
    expect(clients).toEqual(new Set([parseIpv4('10.0.0.0'), parseIpv4('10.0.1.0')]));
  });

  it('forgets a client after the timeout, counted from its last new connection', () => {
    const rig = serving({ persistent: 100 });
    rig.fromClient(syn('10.0.0.1:1'));
    rig.advance(90_000, 1000);
    expect(to(rig.fromClient(syn('10.0.0.1:2')))).toBe('2');
    rig.advance(95_000, 1000);
    expect([rig.conns, templates(rig).length]).toEqual([0, 1]);
    rig.advance(6000, 1000);
    expect(templates(rig)).toEqual([]);
    expect(to(rig.fromClient(syn('10.0.0.1:3')))).toBe('3');
  });

  it('remembers a client as long as it has a connection, and for a minute', () => {
    const rig = serving({ persistent: 100 });
    const packet = (flags: string): Uint8Array => tcp({ src: '10.0.0.1:1', dst: VIP, flags });
    rig.fromClient(packet('S'));
    rig.fromServer(tcp({ src: RS, dst: `${LIP}:1025`, flags: 'SA' }));
    for (let s = 0; s < 600; s += 60) {
      rig.fromClient(packet('A'));
      rig.advance(60_000, 1000);
    }
    expect(templates(rig)).toHaveLength(1);
    rig.fromClient(packet('RA'));
    rig.advance(3500);
    expect([rig.conns, templates(rig).length]).toEqual([0, 1]);
    rig.advance(55_000, 1000);
    expect(to(rig.fromClient(syn('10.0.0.1:2')))).toBe('2');
  });

  it('keeps clients of a short timeout no longer than that', () => {
    const rig = serving({ persistent: 5 });
    rig.fromClient(syn('10.0.0.1:1'));
    rig.fromServer(tcp({ src: RS, dst: `${LIP}:1025`, flags: 'RA' }));
    rig.advance(3100);
    expect([rig.conns, templates(rig).length]).toEqual([0, 1]);
    rig.advance(5100);
    expect(templates(rig)).toEqual([]);
  });

  it('gives a client another real server when its own is removed or inhibited', () => {
    const rig = serving();
    rig.fromClient(syn('10.0.0.1:1'));
    rig.services.apply('dest.edit', { svc, dest: endpoint(RS), inhibited: true });
    expect(to(rig.fromClient(syn('10.0.0.1:2'), syn('10.0.0.1:3')))).toBe('3 3');
    rig.services.apply('dest.edit', { svc, dest: endpoint(RS), inhibited: false });
    rig.services.apply('dest.del', { svc, dest: endpoint(RS2) });
    expect(to(rig.fromClient(syn('10.0.0.1:4')))).toBe('2');
    expect(templates(rig)).toHaveLength(1);
  });

  it.each([
    [false, '2'],
    [true, '3'],
  ])('with expire_quiescent_template %s a client of a server of weight 0 goes to .%s', (on, where) => {
    const rig = serving({ config: { expireQuiescentTemplate: on } });
    rig.fromClient(syn('10.0.0.1:1'));
    rig.services.apply('dest.edit', { svc, dest: endpoint(RS), weight: 0 });
    expect(to(rig.fromClient(syn('10.0.0.1:2')))).toBe(where);
    expect(to(rig.fromClient(syn('10.0.0.9:1'), syn('10.0.0.8:1')))).toBe('3 3');
  });

  it('refuses a client whose real server is full, rather than send it elsewhere', () => {
    const rig = serving();
    rig.services.apply('dest.edit', { svc, dest: endpoint(RS), maxConn: 2 });
    expect(to(rig.fromClient(syn('10.0.0.1:1'), syn('10.0.0.1:2'), syn('10.0.0.1:3')))).toBe('2 2');
    expect(rig.drops).toEqual({ SVC_OVERLOAD: 1 });
  });

  it('can become one and cease to be one while it runs', () => {
    const rig = serving({ persistent: 0 });
    expect(to(rig.fromClient(syn('10.0.0.1:1'), syn('10.0.0.1:2')))).toBe('2 3');
    rig.services.apply('svc.edit', { svc, persistent: 60 });
    expect(to(rig.fromClient(syn('10.0.0.1:3'), syn('10.0.0.1:4')))).toBe('2 2');
    rig.services.apply('svc.edit', { svc, persistent: 0 });
    expect(to(rig.fromClient(syn('10.0.0.1:5'), syn('10.0.0.1:6')))).toBe('3 2');
  });

  it('and another one each have their own clients', () => {
    const rig = serving();
    rig.serve('udp', { dests: [RS2, RS], persistent: 360 });
    rig.fromClient(syn('10.0.0.1:1'));
    const [, b] = ['a', 'b'].map((data) => rig.fromClient(udp({ src: '10.0.0.1:5', dst: VIP, data })));
    expect(to(b!)).toBe('3');
    expect(templates(rig)).toHaveLength(2);
  });
});

describe('several lcores', () => {
  it('send a client to the same real server', () => {
    const rigs = several(3);
    for (let client = 1; client <= 30; client++) {
      const went = rigs.map((r, i) => to(r.fromClient(syn(`10.0.0.${client}:${i + 1}`))));
      expect(new Set(went).size).toBe(1);
    }
  });

  it('agree also when one of them dies, and its connections still hold their clients', () => {
    const [a, b] = several(2, { persistent: 10 }) as [Rig, Rig];
    const packet = (flags: string): Uint8Array => tcp({ src: '10.0.0.1:1', dst: VIP, flags });
    a.fromClient(packet('S'));
    a.fromServer(tcp({ src: RS, dst: `${LIP}:1026`, flags: 'SA' }));
    a.fromClient(packet('A'));
    const c = new Rig({ lcore: 1, lcores: 2, native: a.native, destStats: a.destStats, shared: a.shared });
    for (const command of a.services.snapshot()) c.services.apply(command.op, command);
    c.addAddress(LIP);
    expect(c.ipvs.rebuild()).toBe(1);
    for (const r of [b, c]) r.advance(60_000, 1000);
    b.fromClient(syn('10.0.0.2:1'));
    expect(to(b.fromClient(syn('10.0.0.1:2')))).toBe('2');
    // With the last connection, and in time, it is forgotten.
    for (const r of [b, c]) r.advance(60_000, 1000);
    expect([b.conns, c.conns]).toEqual([0, 0]);
    for (const r of [b, c]) r.advance(11_000, 1000);
    expect(new Templates(b.shared.templates, 2).find(parseIpv4('10.0.0.1'), 1, b.native.nowMs)).toBe(
      NO_TEMPLATE,
    );
  });

  it('drop a packet when the turn to enter a client cannot be had', () => {
    const [a] = several(2) as [Rig];
    new Int32Array(a.shared.templates).subarray(1024 * 8, 1024 * 8 + 64).fill(2);
    expect(a.fromClient(syn('10.0.0.1:1'))).toEqual([]);
    expect([a.drops, a.conns, a.imbalance]).toEqual([{ PERSIST_BUSY: 1 }, 0, 0]);
  });

  it('agree at all times, whatever clients, times and real servers come and go', () => {
    const event = fc.oneof(
      {
        weight: 10,
        arbitrary: fc.record({ t: fc.constant('syn' as const), lcore: fc.nat(2), client: fc.nat(5) }),
      },
      { weight: 3, arbitrary: fc.record({ t: fc.constant('time' as const), s: fc.nat(70) }) },
      { weight: 1, arbitrary: fc.record({ t: fc.constant('weight' as const), rs: fc.nat(1), w: fc.nat(1) }) },
      { weight: 1, arbitrary: fc.record({ t: fc.constant('gone' as const), rs: fc.nat(1) }) },
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 80 }), (events) => {
        const rigs = several(3, { persistent: 60 });
        const has = new Map<number, { where: string; at: number }>();
        const servers = [RS, RS2].map((rs) => ({ dest: endpoint(rs), here: true, weight: 1 }));
        let port = 0;
        let now = 0;
        for (const e of events) {
          if (e.t === 'time') {
            now += e.s;
            for (const r of rigs) r.advance(e.s * 1000, 1000);
          } else if (e.t === 'weight' && servers[e.rs]!.here) {
            servers[e.rs]!.weight = e.w;
            for (const r of rigs)
              r.services.apply('dest.edit', { svc, dest: servers[e.rs]!.dest, weight: e.w });
          } else if (e.t === 'gone') {
            const s = servers[e.rs]!;
            for (const r of rigs) {
              if (s.here) r.services.apply('dest.del', { svc, dest: s.dest });
              else r.services.apply('dest.add', { svc, dest: s.dest, fwd: 'fullnat', weight: s.weight });
            }
            s.here = !s.here;
          } else if (e.t === 'syn') {
            const went = to(rigs[e.lcore]!.fromClient(syn(`10.0.0.${e.client + 1}:${++port}`)));
            const before = has.get(e.client);
            const back = before && servers.find((s) => s.dest.addr.endsWith(`.${before.where}`));
            // Known in the last minute and still there: the same one, also at weight 0.
            if (before && back?.here && now - before.at < 60) expect(went).toBe(before.where);
            if (went !== '') has.set(e.client, { where: went, at: now });
          }
        }
        for (const r of rigs) expect(r.imbalance).toBe(0);
      }),
      { numRuns: 60 },
    );
  });
});

describe('the table of clients', () => {
  const make = (n: number, lcores = 2): Templates[] => {
    const buffer = new SharedArrayBuffer(Templates.bytes(n, lcores));
    return Array.from({ length: lcores }, (_, i) => new Templates(buffer, lcores, i + 1));
  };

  it('has room for a quarter of its size without refusing anyone', () => {
    const [t] = make(65536) as [Templates];
    let refused = 0;
    for (let n = 0; n < 16384; n++) if (t.enter(n * 7919, 1, 1, 60, 0) === NO_TEMPLATE) refused++;
    expect(refused).toBe(0);
    for (let n = 0; n < 16384; n++) expect(t.find(n * 7919, 1, 59_000)).not.toBe(NO_TEMPLATE);
  });

  it('that is full takes no more until somebody is forgotten, and forgets nobody before', () => {
    const [t] = make(16) as [Templates];
    for (let n = 0; n < 16; n++) expect(t.enter(n, 1, 5, 60 + n, 0)).not.toBe(NO_TEMPLATE);
    expect(t.enter(99, 1, 5, 60, 0)).toBe(NO_TEMPLATE);
    expect(t.enter(99, 1, 6, 60, 60_100)).not.toBe(NO_TEMPLATE);
    expect(t.dest(t.find(99, 1, 60_100))).toBe(6);
    for (let n = 1; n < 16; n++) expect(t.dest(t.find(n, 1, 60_100))).toBe(5);
  });

  it('lets the first choice win when two lcores enter a client, and tells the other', () => {
    const [a, b] = make(16) as [Templates, Templates];
    const e = a.enter(7, 1, 5, 60, 0);
    expect(b.enter(7, 1, 6, 60, 0)).toBe(e);
    expect([b.dest(e), b.change(e, 0, 6), b.change(e, 5, 6), a.change(e, 5, 9)]).toEqual([5, 5, 6, 6]);
  });

  it('is healed when an lcore died in the middle of an entry, with its turn not given back', () => {
    const [a, b] = make(16) as [Templates, Templates];
    const words = new Int32Array((a as unknown as { words: Int32Array }).words.buffer);
    words[16 * 8] = 1;
    words[0] = -1;
    expect(b.enter(7, 1, 5, 60, 0)).toBe(BUSY);
    b.forget();
    expect(b.enter(7, 1, 5, 60, 0)).toBe(BUSY);
    a.forget();
    expect([b.enter(7, 1, 5, 60, 0), words[16 * 8]]).toEqual([0, 0]);
  });

  it('survives any content', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16 * 32, maxLength: 16 * 32 }), fc.nat(), (bytes, now) => {
        const [t] = make(16) as [Templates];
        new Uint8Array((t as unknown as { words: Int32Array }).words.buffer).set(bytes);
        t.enter(1, 2, 3, 60, now);
        t.list(0, 100, now, () => undefined);
        for (const e of [0, 15, 16, 2 ** 31, 2 ** 32 - 2]) t.release(e, now);
      }),
    );
  });

  it('knows times beyond the wrap of its clock', () => {
    const [t] = make(16) as [Templates];
    const wrap = 2 ** 31 * 100;
    const e = t.enter(7, 1, 5, 31 * 86400, wrap - 1000);
    expect(t.find(7, 1, wrap + 86_400_000)).toBe(e);
    expect(t.find(7, 1, wrap + 32 * 86_400_000)).toBe(NO_TEMPLATE);
  });
});

describe('a service of all ports', () => {
  const all = { proto: 'tcp', addr: '10.1.1.1', port: 0 } as const;
  function open(o: { port?: number } = {}): Rig {
    const rig = new Rig();
    rig.services.apply('svc.add', { svc: all, scheduler: 'rr', persistent: 360 });
    for (const addr of ['192.168.0.2', '192.168.0.3'])
      rig.services.apply('dest.add', { svc: all, dest: { addr, port: o.port ?? 0 }, fwd: 'fullnat' });
    rig.addAddress(LIP);
    rig.services.apply('laddr.add', { svc: all, addr: LIP, dev: 'dpdk0' });
    return rig;
  }

  it("serves every port, at the real server the packet's own, one real server for a client", () => {
    const rig = open();
    const out = [21, 80, 65535].map((p) => decode(rig.fromClient(syn('10.0.0.1:9', `10.1.1.1:${p}`))[0]!));
    expect(out.map((d) => [d.ip!.dst, d.tcp!.dport])).toEqual([
      ['192.168.0.2', 21],
      ['192.168.0.2', 80],
      ['192.168.0.2', 65535],
    ]);
    const [answer] = rig.fromServer(
      tcp({ src: '192.168.0.2:80', dst: `${LIP}:${out[1]!.tcp!.sport}`, flags: 'SA' }),
    );
    expect(decode(answer!)).toMatchObject({
      ip: { src: '10.1.1.1', dst: '10.0.0.1' },
      tcp: { sport: 80, dport: 9 },
    });
    expect(rig.imbalance).toBe(0);
  });

  it('leads to one port where the real server has one', () => {
    const rig = open({ port: 8080 });
    expect(decode(rig.fromClient(syn('10.0.0.1:9', '10.1.1.1:81'))[0]!).tcp!.dport).toBe(8080);
  });

  it('leaves ports that have a service of their own to that one', () => {
    const rig = open();
    rig.serve('tcp', { dests: ['192.168.0.9:80'] });
    expect(to(rig.fromClient(syn('10.0.0.1:9', '10.1.1.1:80'), syn('10.0.0.1:9', '10.1.1.1:81')))).toBe(
      '9 2',
    );
  });

  it('is for its own protocol and address only, and ends with its deletion', () => {
    const rig = open();
    rig.fromClient(udp({ src: '10.0.0.1:1', dst: '10.1.1.1:80' }));
    expect(rig.accepted).toBe(1);
    rig.services.apply('svc.del', { svc: all });
    rig.fromClient(syn('10.0.0.1:1'));
    expect(rig.accepted).toBe(2);
  });

  it('must be persistent, and stay so', () => {
    const rig = open();
    const refused = expect.objectContaining({ code: 'INVAL', hint: expect.stringContaining('-p') });
    expect(() => rig.services.apply('svc.edit', { svc: all, persistent: 0 })).toThrow(refused);
    const udpAll = { ...all, proto: 'udp' } as const;
    expect(() => rig.services.apply('svc.add', { svc: udpAll, scheduler: 'rr' })).toThrow(refused);
  });

  it('on a local address leaves the local ports to the connections that leave from them', () => {
    const rig = open();
    rig.addAddress('10.1.1.1');
    expect(rig.fromClient(syn('10.0.0.1:1', '10.1.1.1:80'))).toHaveLength(1);
    rig.fromClient(tcp({ src: '10.0.0.1:1', dst: '10.1.1.1:30000', flags: 'SA' }));
    expect(rig.drops).toEqual({ CONN_NO_SYN: 1 });
  });
});
