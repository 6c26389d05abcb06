/** Several lcores: a packet that arrives on the wrong one finds its connection. */
import { describe, expect, it } from 'vitest';
import { ownerByHash } from '../../../src/ipvs/owner.js';
import { parseIpv4 } from '../../../src/wire/ipv4.js';
import { decode, fragmentsOf, icmp, joined, payloadOf, ping, ramp, tcp, udp } from '../../support/frames.js';
import { CLIENT, endpoint, LIP, Rig, RS, VIP } from './rig.js';

const vip = VIP.split(':')[0]!;
const rs = RS.split(':')[0]!;

/** `n` lcores with the same services. */
function lcores(n: number, proto: 'tcp' | 'udp' = 'tcp', fwd = 'fullnat'): Rig[] {
  const rigs = Array.from({ length: n }, (_, i) => {
    const rig = new Rig({ lcore: i + 1, lcores: n });
    rig.serve(proto, { fwd, ...(fwd === 'tunnel' ? { dests: ['192.168.0.2:80'] } : {}) });
    return rig;
  });
  for (const rig of rigs) rig.native.peers = rigs.map((r) => r.native);
  return rigs;
}

/** Carries what lcores passed to each other, until nobody passes anything. */
function carry(rigs: Rig[], port = 1): { client: Uint8Array[]; server: Uint8Array[] } {
  const all = { client: [] as Uint8Array[], server: [] as Uint8Array[] };
  for (let again = true; again;) {
    for (const rig of rigs) {
      const { client, server } = rig.run();
      all.client.push(...client);
      all.server.push(...server);
    }
    again = false;
    for (const from of rigs)
      for (const to of rigs)
        for (const frame of from.native.redirected(to.native.lcore)) {
          to.native.injectRedirected(port, frame);
          again = true;
        }
  }
  return all;
}
const balanced = (rigs: Rig[]): void =>
  expect(rigs.map((r) => [r.imbalance, r.native.inUse])).toEqual(rigs.map(() => [0, 0]));

describe.each([2, 3, 4])('with %i lcores', (n) => {
  it('each uses local ports of its own', () => {
    const rigs = lcores(n);
    const mask = n === 2 ? 1 : 3;
    const classes = rigs.map((rig) => {
      const frames = Array.from({ length: 20 }, (_, i) =>
        tcp({ src: `10.0.0.1:${i + 1}`, dst: VIP, flags: 'S' }),
      );
      return new Set(rig.fromClient(...frames).map((f) => decode(f).tcp!.sport & mask));
    });
    const all = classes.flatMap((c) => [...c]);
    expect(new Set(all).size).toBe(all.length);
  });

  it('an answer on any of them comes out as the owner translates it', () => {
    const rigs = lcores(n);
    const owner = rigs[n - 1]!;
    const [out] = owner.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'S' }));
    const local = `${LIP}:${decode(out!).tcp!.sport}`;
    for (const rig of rigs) {
      const answer = tcp({ src: RS, dst: local, flags: 'SA', padTo: 60 });
      rig.native.inject(1, answer);
      const own = rig.run();
      if (rig !== owner) {
        expect(own).toEqual({ client: [], server: [] });
        const passed = rig.native.redirected(n);
        // The frame as it was received, all but its padding.
        expect(passed).toEqual([answer.slice(0, 54)]);
        owner.native.injectRedirected(1, passed[0]!);
      }
      const { client } = rig === owner ? own : owner.run();
      expect(client.map((f) => decode(f))).toMatchObject([
        { ip: { src: vip, dst: '10.0.0.1' }, tcp: { sport: 80, flags: 'SA' } },
      ]);
    }
    balanced(rigs);
  });

  it('an answer to a connection that is gone is dropped by the owner, not passed around', () => {
    const rigs = lcores(n);
    for (const port of [2000, 2001, 2002, 2003])
      rigs[0]!.native.inject(1, tcp({ src: RS, dst: `${LIP}:${port}`, flags: 'A' }));
    expect(carry(rigs)).toEqual({ client: [], server: [] });
    const drops = rigs.map((r) => r.drops);
    expect(drops[0]!.CONN_NO_SYN).toBeGreaterThan(0);
    const loops = drops.slice(1).reduce((sum, d) => sum + (d.REDIRECT_LOOP ?? 0), 0);
    expect(loops + drops[0]!.CONN_NO_SYN!).toBe(4);
    expect(loops).toBeGreaterThan(0);
    balanced(rigs);
  });

  it("an ICMP error from the real server's side finds the owner by the quoted local port", () => {
    const rigs = lcores(n, 'udp');
    const owner = rigs[1]!;
    const ours = owner.fromClient(udp({ src: CLIENT, dst: VIP, data: 'abc' }))[0]!;
    rigs[0]!.native.inject(1, icmp({ src: rs, dst: LIP, type: 3, code: 3, data: payloadOf(ours) }));
    const { client } = carry(rigs);
    expect(client.map((f) => decode(f))).toMatchObject([
      { ip: { src: vip, dst: '10.0.0.1' }, icmp: { type: 3, code: 3 } },
    ]);
    expect(rigs[0]!.drops).toEqual({});
    balanced(rigs);
  });

  it("an ICMP error from the client's side finds the owner though nothing in it says who that is", () => {
    const rigs = lcores(n);
    for (const owner of rigs) {
      owner.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'S' }));
      const about = tcp({ src: VIP, dst: CLIENT, flags: 'A', data: 'abcdefgh' });
      const other = rigs[owner === rigs[0] ? 1 : 0]!;
      other.native.inject(
        0,
        icmp({ src: '10.0.0.254', dst: vip, type: 3, code: 4, rest: 1400, data: payloadOf(about) }),
      );
      const { server } = carry(rigs, 0);
      expect(server.map((f) => decode(f))).toMatchObject([
        { ip: { src: LIP, dst: rs }, icmp: { type: 3, code: 4, rest: 1400 } },
      ]);
      owner.advance(40_000);
    }
    balanced(rigs);
  });
});

describe.each([2, 3, 4])('NAT with %i lcores', (n) => {
  const clients = Array.from({ length: 24 }, (_, i) => `10.0.${i % 5}.${i + 1}:${40_000 + 7 * i}`);
  /** Packets of all clients, or answers to them, by turns on all lcores. */
  const deal = (
    rigs: Rig[],
    port: 0 | 1,
    frames: Uint8Array[],
  ): { client: Uint8Array[]; server: Uint8Array[] } => {
    frames.forEach((f, i) => rigs[i % n]!.native.inject(port, f));
    return carry(rigs, port);
  };
  const opened = (proto: 'tcp' | 'udp' = 'tcp'): Rig[] => {
    const rigs = lcores(n, proto, 'nat');
    const first = clients.map((src) =>
      proto === 'tcp' ? tcp({ src, dst: VIP, flags: 'S' }) : udp({ src, dst: VIP }),
    );
    expect(deal(rigs, 0, first).server).toHaveLength(clients.length);
    return rigs;
  };
  const answers = clients.map((dst) => tcp({ src: RS, dst, flags: 'SA' }));

  it('every lcore owns a share, and answers find their connection wherever they arrive', () => {
    const rigs = opened();
    expect(Math.min(...rigs.map((r) => r.conns))).toBeGreaterThan(0);
    for (let shift = 0; shift < n; shift++) {
      const { client, server } = deal(rigs, 1, [...answers.slice(shift), ...answers.slice(0, shift)]);
      expect(server).toEqual([]);
      expect(client.map((f) => decode(f).ip!.src)).toEqual(clients.map(() => vip));
    }
    // The client's next packets may come in anywhere, too.
    const acks = clients.map((src) => tcp({ src, dst: VIP, flags: 'A' })).reverse();
    expect(deal(rigs, 0, acks).server).toHaveLength(clients.length);
    expect(rigs.reduce((sum, r) => sum + r.stat('active'), 0)).toBe(clients.length);
    expect(rigs.map((r) => [r.drops, r.accepted])).toEqual(rigs.map(() => [{}, 0]));
    balanced(rigs);
  });

  it.each(['dest.del', 'svc.del'] as const)('connections go on after %s', (op) => {
    const rigs = opened();
    const svc = { proto: 'tcp', ...endpoint(VIP) } as const;
    for (const r of rigs) r.services.apply(op, { svc, dest: endpoint(RS) });
    const acks = clients.map((src) => tcp({ src, dst: VIP, flags: 'A' })).reverse();
    expect(deal(rigs, 0, acks).server).toHaveLength(clients.length);
    expect(deal(rigs, 1, answers.slice(1)).client).toHaveLength(clients.length - 1);
    // Also when another lcore was restarted meanwhile and knows the history from a snapshot only.
    const fresh = new Rig({ lcore: 1, lcores: n });
    for (const c of rigs[1]!.services.snapshot()) fresh.services.apply(c.op, c);
    rigs[0] = fresh;
    const foreign = clients.filter((c) => {
      const { addr, port } = endpoint(c);
      return ownerByHash(parseIpv4(addr), port, n) !== 1;
    });
    expect(foreign.length).toBeGreaterThan(0);
    foreign.forEach((dst) => fresh.native.inject(1, tcp({ src: RS, dst, flags: 'A' })));
    expect(carry(rigs).client).toHaveLength(foreign.length);
  });

  it('ICMP errors of both sides find the connection', () => {
    const rigs = opened('udp');
    const e = { type: 3, code: 4, rest: 1400 };
    const inner = { data: 'abcdefgh' };
    const about = clients.map((src) =>
      icmp({ src: rs, dst: src.split(':')[0]!, ...e, data: payloadOf(udp({ src, dst: RS, ...inner })) }),
    );
    expect(deal(rigs, 1, [...about.slice(1), about[0]!]).client.map((f) => decode(f).ip!.src)).toEqual(
      clients.map(() => vip),
    );
    const other = clients.map((dst) =>
      icmp({ src: '10.0.0.254', dst: vip, ...e, data: payloadOf(udp({ src: VIP, dst, ...inner })) }),
    );
    const { server } = deal(rigs, 0, other);
    expect(server.map((f) => decode(f).ip)).toMatchObject(
      clients.map(() => ({ src: '10.0.0.254', dst: rs })),
    );
    balanced(rigs);
  });

  it('answers to a local address go by its port, also from a server that NAT uses as well', () => {
    const rigs = lcores(n, 'tcp', 'nat');
    const svc = { proto: 'tcp', addr: '10.1.1.2', port: 80 } as const;
    for (const r of rigs) {
      r.services.apply('svc.add', { svc, scheduler: 'rr' });
      r.services.apply('dest.add', { svc, dest: endpoint(RS), fwd: 'fullnat' });
      r.services.apply('laddr.add', { svc, addr: LIP, dev: 'dpdk0' });
    }
    const syns = clients.map((src) => tcp({ src, dst: '10.1.1.2:80', flags: 'S' }));
    const { server } = deal(rigs, 0, syns);
    const back = server.map((f) => tcp({ src: RS, dst: `${LIP}:${decode(f).tcp!.sport}`, flags: 'SA' }));
    expect(deal(rigs, 1, back.reverse()).client).toHaveLength(clients.length);
    balanced(rigs);
  });

  it('services by match and of ICMP work too', () => {
    const rigs = Array.from({ length: n }, (_, i) => new Rig({ lcore: i + 1, lcores: n }));
    const range = { from: '192.168.99.1', to: '192.168.99.9', fromPort: 0, toPort: 65535 };
    const match = { proto: 'tcp', addr: '0.0.0.0', port: 0, match: { dst: range } } as const;
    const echo = { proto: 'icmp', addr: vip, port: 0 } as const;
    for (const r of rigs)
      for (const svc of [match, echo]) {
        r.services.apply('svc.add', { svc, scheduler: 'rr' });
        r.services.apply('dest.add', { svc, dest: { addr: rs, port: 0 }, fwd: 'nat' });
      }
    const dst = '192.168.99.3:443';
    const opened = deal(
      rigs,
      0,
      clients.map((src) => tcp({ src, dst, flags: 'S' })),
    ).server;
    expect(opened.map((f) => `${decode(f).ip!.dst}:${decode(f).tcp!.dport}`)).toEqual(
      clients.map(() => `${rs}:443`),
    );
    const back = clients.map((to) => tcp({ src: `${rs}:443`, dst: to, flags: 'SA' })).reverse();
    expect(deal(rigs, 1, back).client.map((f) => decode(f).ip!.src)).toEqual(
      clients.map(() => '192.168.99.3'),
    );
    const acks = clients.map((src) => tcp({ src, dst, flags: 'A' })).reverse();
    expect(deal(rigs, 0, acks).server).toHaveLength(clients.length);

    const hosts = clients.map((c) => c.split(':')[0]!);
    const pings = hosts.map((src, ident) => ping({ src, dst: vip, ident }));
    expect(deal(rigs, 0, pings).server.map((f) => decode(f).ip!.dst)).toEqual(clients.map(() => rs));
    const pongs = hosts.map((to, ident) => ping({ src: rs, dst: to, ident, reply: true })).reverse();
    expect(deal(rigs, 1, pongs).client.map((f) => decode(f).ip!.src)).toEqual(clients.map(() => vip));
    balanced(rigs);
  });

  it('another service keeps its packets where they arrive', () => {
    const rigs = lcores(n);
    const svc = { proto: 'tcp', addr: '10.1.1.2', port: 80 } as const;
    const options = { fwd: 'nat', weight: 1, maxConn: 0, minConn: 0 };
    for (const r of rigs) {
      r.services.apply('svc.add', { svc, scheduler: 'rr', connTimeout: 0 });
      r.services.apply('dest.add', { svc, dest: { addr: '192.168.0.9', port: 80 }, ...options });
    }
    const syns = clients.map((src) => tcp({ src, dst: VIP, flags: 'S' }));
    syns.forEach((f, i) => rigs[i % n]!.native.inject(0, f));
    expect(rigs.map((r) => r.run().server.length)).toEqual(rigs.map(() => clients.length / n));
  });
});

it('an error from inside a tunnel reaches the lcore that owns the connection, and all learn the MTU', () => {
  const rigs = lcores(3, 'tcp', 'tunnel');
  const [out] = rigs[2]!.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'S', df: true }));
  const error = icmp({ src: '192.168.5.1', dst: LIP, type: 3, code: 4, rest: 1000, data: payloadOf(out!) });
  rigs[0]!.native.inject(1, error);
  carry(rigs);
  expect(rigs.map((r) => r.inet.errors.length)).toEqual([0, 0, 1]);
  expect(rigs.map((r) => r.drops)).toEqual([{}, { ICMP_NO_CONN: 1 }, { ICMP_DONE: 1 }]);
  for (const rig of rigs) {
    const o = { src: '10.0.0.8:8', dst: VIP, df: true };
    rig.fromClient(tcp({ ...o, flags: 'S' }));
    expect(rig.fromClient(tcp({ ...o, flags: 'A', data: new Uint8Array(1000) }))).toEqual([]);
    expect(rig.inet.errors.at(-1)).toMatchObject({ type: 3, code: 4, info: 980 });
  }
  balanced(rigs);
});

describe.each([2, 3, 4])('fragments that arrive anywhere, %i lcores', (n) => {
  const question = (id: number): Uint8Array[] =>
    fragmentsOf(udp({ src: CLIENT, dst: VIP, id, data: ramp(3000) }), 1000);
  /** Fragment `i` arrives on lcore `i + shift`. */
  const scatter = (rigs: Rig[], port: number, pieces: Uint8Array[], shift: number): void =>
    pieces.forEach((f, i) => rigs[(i + shift) % n]!.native.inject(port, f));
  const conns = (rigs: Rig[]): number => rigs.reduce((sum, r) => sum + r.conns, 0);

  it('meet on one lcore, which opens the connection', () => {
    for (let id = 0; id < 8; id++)
      for (const order of [
        [0, 1, 2, 3],
        [3, 2, 1, 0],
        [1, 3, 0, 2],
      ]) {
        const rigs = lcores(n, 'udp');
        scatter(
          rigs,
          0,
          order.map((i) => question(id)[i]!),
          id,
        );
        const { server } = carry(rigs, 0);
        expect(decode(joined(server)).udp!.data).toEqual(ramp(3000));
        expect([conns(rigs), rigs.map((r) => r.drops)]).toEqual([1, rigs.map(() => ({}))]);
        balanced(rigs);
      }
  });

  it('of a client go to the lcore that has its connection, and so do those of its server', () => {
    for (const owner of lcores(n, 'udp').keys()) {
      const rigs = lcores(n, 'udp');
      const [opened] = rigs[owner]!.fromClient(udp({ src: CLIENT, dst: VIP, data: 'small' }));
      const local = `${LIP}:${decode(opened!).udp!.sport}`;
      for (let id = 0; id < 8; id++) {
        scatter(rigs, 0, question(id).reverse(), id);
        const { server } = carry(rigs, 0);
        expect(decode(joined(server))).toMatchObject({ ip: { src: LIP }, udp: { data: ramp(3000) } });
        expect(`${LIP}:${decode(joined(server)).udp!.sport}`).toBe(local);
        scatter(rigs, 1, fragmentsOf(udp({ src: RS, dst: local, id, data: ramp(2500) }), 1000), id);
        const { client } = carry(rigs);
        expect(decode(joined(client))).toMatchObject({ ip: { src: vip }, udp: { data: ramp(2500) } });
      }
      expect([conns(rigs), rigs.map((r) => r.drops)]).toEqual([1, rigs.map(() => ({}))]);
      balanced(rigs);
    }
  });

  it('of NAT reach the lcore that owns the client, also when they are its first datagram', () => {
    for (let id = 0; id < 8; id++) {
      const rigs = lcores(n, 'udp', 'nat');
      scatter(rigs, 0, question(id).reverse(), id);
      const { server } = carry(rigs, 0);
      expect(decode(joined(server))).toMatchObject({ ip: { src: '10.0.0.1', dst: rs, id } });
      const answer = fragmentsOf(udp({ src: RS, dst: CLIENT, id, data: ramp(2500) }), 1000);
      scatter(rigs, 1, answer.reverse(), id + 1);
      const { client } = carry(rigs);
      expect(decode(joined(client))).toMatchObject({ ip: { src: vip }, udp: { data: ramp(2500) } });
      // Whole ones have the same owner.
      rigs[id % n]!.native.inject(0, udp({ src: CLIENT, dst: VIP }));
      expect(carry(rigs, 0).server).toHaveLength(1);
      expect([conns(rigs), rigs.map((r) => r.drops)]).toEqual([1, rigs.map(() => ({}))]);
      balanced(rigs);
    }
  });

  it('of nobody end, and are not passed around', () => {
    const rigs = lcores(n, 'udp');
    for (let id = 0; id < 8; id++)
      scatter(rigs, 1, fragmentsOf(udp({ src: RS, dst: `${LIP}:2000`, id, data: ramp(3000) }), 1000), id);
    expect(carry(rigs)).toEqual({ client: [], server: [] });
    const drops = rigs.flatMap((r) => Object.values(r.drops));
    expect(drops.reduce((sum, d) => sum + d, 0)).toBe(32);
    balanced(rigs);
  });

  it('of the same connection on two lcores have identifications of their own', () => {
    const rigs = lcores(n, 'udp');
    const ids = rigs.map((rig) => {
      const pieces = Array.from({ length: 64 }, (_, id) => question(id)[0]!);
      return rig.fromClient(...pieces).map((f) => decode(f).ip!.id);
    });
    const all = ids.flat();
    expect(new Set(all).size).toBe(all.length);
  });
});

describe('passing ICMP errors to all lcores', () => {
  it('is bounded, as it multiplies packets', () => {
    const rigs = lcores(3);
    const about = tcp({ src: VIP, dst: CLIENT, flags: 'A' });
    const error = icmp({ src: '10.0.0.254', dst: vip, type: 3, code: 4, data: payloadOf(about) });
    const send = (count: number): void => {
      for (let i = 0; i < count; i++) rigs[0]!.native.inject(0, error);
      rigs[0]!.run();
      for (const id of [2, 3]) rigs[0]!.native.redirected(id);
    };
    send(1000);
    expect(rigs[0]!.dropped('ICMP_RATE')).toBe(0);
    send(5);
    expect(rigs[0]!.dropped('ICMP_RATE')).toBe(5);
    rigs[0]!.advance(1000);
    send(5);
    expect(rigs[0]!.dropped('ICMP_RATE')).toBe(5);
    balanced(rigs);
  });

  it('gives up on copies when there are no packets, the last lcore still gets it', () => {
    const rigs = lcores(3);
    const about = tcp({ src: VIP, dst: CLIENT, flags: 'A' });
    rigs[0]!.native.inject(
      0,
      icmp({ src: '10.0.0.254', dst: vip, type: 3, code: 4, data: payloadOf(about) }),
    );
    rigs[0]!.native.poll(1, 1);
    const p = rigs[0]!.packets.exception(0);
    const back = rigs[0]!.native.exhaust();
    rigs[0]!.packets.pullTo(p, rigs[0]!.packets.data(p) + 14);
    const at = rigs[0]!.packets.data(p);
    rigs[0]!.packets.setIfindex(p, 1);
    rigs[0]!.packets.setL3(p, at);
    rigs[0]!.packets.setL4(p, at + 20);
    rigs[0]!.ipvs.in(p);
    rigs[0]!.native.flush(1);
    back();
    expect([2, 3].map((id) => rigs[0]!.native.redirected(id).length)).toEqual([0, 1]);
    balanced(rigs);
  });
});

describe('connection limits', () => {
  it('hold for the sum of all lcores', () => {
    const a = new Rig({ lcore: 1, lcores: 2 });
    const b = new Rig({ lcore: 2, lcores: 2, shared: a.shared });
    for (const rig of [a, b]) {
      rig.serve('tcp', { dests: [] });
      rig.services.apply('dest.add', {
        svc: { proto: 'tcp', ...endpoint(VIP) },
        dest: endpoint(RS),
        fwd: 'fullnat',
        weight: 1,
        maxConn: 3,
        minConn: 0,
      });
    }
    const syn = (n: number): Uint8Array => tcp({ src: `10.0.0.1:${n}`, dst: VIP, flags: 'S' });
    expect(a.fromClient(syn(1), syn(2))).toHaveLength(2);
    expect(b.fromClient(syn(3), syn(4))).toHaveLength(1);
    expect(b.drops).toEqual({ SVC_OVERLOAD: 1 });
  });
});
