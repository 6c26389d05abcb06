/** An lcore that has died is started again over the same memory: its connections live on. */
import { describe, expect, it } from 'vitest';
import { CONN4, CONN_F_HASHED } from '../../../src/core/layout.js';
import type { ServiceCommand } from '../../../src/ipvs/service.js';
import { decode, tcp, udp } from '../../support/frames.js';
import { CLIENT, endpoint, LIP, Rig, RS, RS2, VIP } from './rig.js';

const syn = (n: number): Uint8Array => tcp({ src: `10.0.0.1:${n}`, dst: VIP, flags: 'S' });
const svc = { proto: 'tcp', ...endpoint(VIP) } as const;

/** What the master does: a new lcore on the old memory, the snapshot, then the connections. */
function restart(
  old: Rig,
  o: { laddr?: boolean; snapshot?: ServiceCommand[] } = {},
): { rig: Rig; kept: number } {
  const rig = new Rig({ native: old.native, destStats: old.destStats });
  for (const c of o.snapshot ?? old.services.snapshot()) rig.services.apply(c.op, c);
  if (o.laddr !== false) rig.addAddress(LIP);
  return { rig, kept: rig.ipvs.rebuild() };
}

function before(): Rig {
  const rig = new Rig();
  rig.serve('tcp', { dests: [RS, RS2] });
  rig.fromClient(syn(1), syn(2), syn(3));
  rig.fromServer(tcp({ src: RS, dst: `${LIP}:1025`, flags: 'SA' }));
  rig.fromClient(tcp({ src: '10.0.0.1:1', dst: VIP, flags: 'A' }));
  return rig;
}
const gauges = (rig: Rig): number[] =>
  [1, 2].flatMap((slot) => [rig.stat('active', slot), rig.stat('inactive', slot)]);

describe('a restarted lcore', () => {
  it('knows its connections: states, gauges, ports, index, counters', () => {
    const old = before();
    const conns = old.stat('conns');
    const { rig, kept } = restart(old);
    expect(kept).toBe(3);
    expect([rig.conns, rig.portsUsed, rig.native.flowCount(1)]).toEqual([3, 3, 3]);
    expect(rig.states).toEqual(['6:1', '6:3', '6:3']);
    expect(gauges(rig)).toEqual([1, 1, 0, 1]);
    expect(rig.stat('conns')).toBe(conns);
  });

  it('forwards them both ways as before', () => {
    const { rig } = restart(before());
    const data = { flags: 'PA', data: 'x' };
    expect(rig.fromClient(tcp({ src: '10.0.0.1:1', dst: VIP, ...data })).map((f) => decode(f))).toMatchObject(
      [{ ip: { src: LIP, dst: '192.168.0.2' }, tcp: { sport: 1025 } }],
    );
    expect(rig.fromServer(tcp({ src: RS, dst: `${LIP}:1025`, ...data })).map((f) => decode(f))).toMatchObject(
      [{ ip: { dst: '10.0.0.1' }, tcp: { dport: 1, sport: 80 } }],
    );
  });

  it('gives new connections neither their records nor their ports', () => {
    const old = before();
    const { rig } = restart(old);
    const out = rig.fromClient(syn(4), syn(5), syn(6)).map((f) => decode(f));
    expect(rig.conns).toBe(6);
    expect(new Set(out.map((d) => `${d.ip!.dst}:${d.tcp!.sport}`)).size).toBe(3);
    expect(rig.drops).toEqual(old.drops);
  });

  it('expires them when their time is up, counted from the last packet of the old life', () => {
    const old = before();
    old.advance(25_000);
    const { rig } = restart(old);
    rig.advance(5100);
    expect(rig.conns).toBe(1);
    rig.advance(61_000);
    expect([rig.conns, rig.portsUsed, rig.native.flowCount(1), ...gauges(rig)]).toEqual([
      0, 0, 0, 0, 0, 0, 0,
    ]);
    expect(rig.imbalance).toBe(0);
  });

  it('expires at once what ended while it was away', () => {
    const old = before();
    old.native.nowMs += 3_600_000;
    const { rig } = restart(old);
    rig.advance(100);
    expect([rig.conns, rig.portsUsed]).toEqual([0, 0]);
  });

  it('looks next hops up again: they have been numbered anew', () => {
    const { rig } = restart(before());
    rig.fromClient(tcp({ src: '10.0.0.1:1', dst: VIP, flags: 'A' }));
    expect(rig.inet.lookups).toBe(1);
  });

  it('frees a record that the crash caught in the making, and one that makes no sense', () => {
    const old = before();
    const { records } = old.ipvs.table;
    records.setFlags(2, records.flags(2) & ~CONN_F_HASHED);
    records.setState(3, 77);
    const { rig, kept } = restart(old);
    expect(kept).toBe(1);
    expect([rig.conns, rig.portsUsed, rig.native.flowCount(1)]).toEqual([1, 1, 1]);
    expect(gauges(rig)).toEqual([1, 0, 0, 0]);
    expect(rig.fromClient(syn(2), syn(3))).toHaveLength(2);
  });

  it('survives any byte of its records being wrong', () => {
    for (let at = 0; at < CONN4.size; at += 3) {
      const old = before();
      new Uint8Array(old.native.conns)[CONN4.size + at]! ^= 0xff;
      const { rig } = restart(old);
      rig.judging = false;
      rig.fromClient(syn(1), syn(2), syn(9));
      rig.advance(2 ** 31 + 1e6, 2 ** 29);
      expect([rig.conns, rig.portsUsed, rig.imbalance, rig.native.inUse]).toEqual([0, 0, 0, 0]);
    }
  });

  it('gives nobody the port of a connection whose local address was gone and is back', () => {
    const { rig } = restart(before(), { laddr: false });
    rig.addAddress(LIP);
    const out = rig.fromClient(syn(4), syn(5), syn(6)).map((f) => decode(f));
    expect(out.map((d) => d.tcp!.sport).filter((port) => port <= 1026)).toEqual([1026]);
    expect([rig.conns, rig.native.flowCount(1)]).toEqual([6, 6]);
  });

  it('keeps connections whose local address or real server is gone', () => {
    const old = before();
    old.services.apply('dest.del', { svc, dest: endpoint(RS) });
    const { rig, kept } = restart(old, { laddr: false });
    expect([kept, rig.portsUsed]).toEqual([3, 0]);
    expect(rig.fromClient(tcp({ src: '10.0.0.1:1', dst: VIP, flags: 'A' }))).toHaveLength(1);
    expect(rig.stat('active', 1)).toBe(1);
    rig.advance(91_000);
    expect([rig.conns, ...gauges(rig)]).toEqual([0, 0, 0, 0, 0]);
  });

  it('takes a UDP flow over too', () => {
    const old = new Rig();
    old.serve('udp');
    old.fromClient(udp({ src: CLIENT, dst: VIP, data: 'a' }));
    const { rig } = restart(old);
    expect(rig.fromServer(udp({ src: RS, dst: `${LIP}:1025`, data: 'b' }))).toHaveLength(1);
    expect(rig.states).toEqual(['17:2']);
  });
});
