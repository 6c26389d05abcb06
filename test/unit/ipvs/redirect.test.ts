/** Several lcores: a packet that arrives on the wrong one finds its connection. */
import { describe, expect, it } from 'vitest';
import { decode, icmp, payloadOf, tcp, udp } from '../../support/frames.js';
import { CLIENT, endpoint, LIP, Rig, RS, VIP } from './rig.js';

const vip = VIP.split(':')[0]!;
const rs = RS.split(':')[0]!;

/** `n` lcores with the same services. */
function lcores(n: number, proto: 'tcp' | 'udp' = 'tcp'): Rig[] {
  return Array.from({ length: n }, (_, i) => {
    const rig = new Rig({ lcore: i + 1, lcores: n });
    rig.serve(proto);
    return rig;
  });
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
