/** --expire-quiescent: connections of a real server that is out of service end at their next packet, on both paths. */
import { describe, expect, it } from 'vitest';
import { DEST_F_EXCEPTION, DEST_F_QUIESCENT } from '../../../src/core/layout.js';
import { decode, tcp, udp } from '../../support/frames.js';
import { CLIENT, endpoint, LIP, Rig, RS, RS2, VIP } from './rig.js';

const svc = { proto: 'tcp', ...endpoint(VIP) } as const;
const dest = endpoint(RS);
const client = (flags: string): Uint8Array => tcp({ src: CLIENT, dst: VIP, flags, seq: 101, ack: 501 });

function established(o: { expireQuiescent?: boolean } = { expireQuiescent: true }): Rig {
  const rig = new Rig();
  rig.serve('tcp', o);
  rig.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'S', seq: 100 }));
  rig.fromServer(tcp({ src: RS, dst: `${LIP}:1025`, flags: 'SA', seq: 500, ack: 101 }));
  rig.fromClient(client('A'));
  return rig;
}
/** What the native loop sees. */
const flags = (rig: Rig, slot = 1): number => new Uint32Array(rig.destStats.buffer)[slot * 16 + 14]!;

describe('a real server that goes out of service', () => {
  it.each([
    ['is removed', (r: Rig) => r.services.apply('dest.del', { svc, dest })],
    ['gets weight 0', (r: Rig) => r.services.apply('dest.edit', { svc, dest, weight: 0 })],
    ['loses its service', (r: Rig) => r.services.apply('svc.del', { svc })],
  ])('because it %s: the next packet ends the connection, both ends are told', (_what, act) => {
    const rig = established();
    act(rig);
    expect(flags(rig) & DEST_F_EXCEPTION).not.toBe(0);
    const out = rig.input(0, client('PA'));
    expect(out.client.map((f) => decode(f).tcp)).toMatchObject([{ flags: 'RA', seq: 501, ack: 101 }]);
    expect(out.server.map((f) => decode(f).tcp)).toMatchObject([{ flags: 'RA', seq: 101, ack: 501 }]);
    expect([rig.conns, rig.portsUsed, rig.stat('active'), rig.imbalance]).toEqual([0, 0, 0, 0]);
    expect(rig.drops).toEqual({ CONN_DEST_GONE: 1 });
  });

  it('ends at a packet of the real server as well', () => {
    const rig = established();
    rig.services.apply('dest.del', { svc, dest });
    rig.fromServer(tcp({ src: RS, dst: `${LIP}:1025`, flags: 'PA', data: 'x' }));
    expect([rig.conns, rig.dropped('CONN_DEST_GONE')]).toEqual([0, 1]);
  });

  it('and the client that tries again gets another one', () => {
    const rig = established();
    rig.addDest(RS2);
    rig.services.apply('dest.del', { svc, dest });
    rig.fromClient(client('PA'));
    const [syn] = rig.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'S' }));
    expect(decode(syn!).ip!.dst).toBe(endpoint(RS2).addr);
  });

  it('without the option nothing ends', () => {
    const rig = established({ expireQuiescent: false });
    rig.services.apply('dest.del', { svc, dest });
    expect(rig.fromClient(client('PA'))).toHaveLength(1);
    expect(flags(rig)).toBe(0);
  });

  it('that is back before the next packet goes on as if nothing had been', () => {
    const rig = established();
    rig.services.apply('dest.del', { svc, dest });
    rig.addDest(RS);
    expect(rig.fromClient(client('PA'))).toHaveLength(1);
    rig.services.apply('dest.edit', { svc, dest, weight: 0 });
    rig.services.apply('dest.edit', { svc, dest, weight: 5 });
    expect(rig.fromClient(client('PA'))).toHaveLength(1);
  });

  it('ends no connection of another one', () => {
    const rig = established();
    rig.addDest(RS2);
    rig.services.apply('dest.edit', { svc, dest: endpoint(RS2), weight: 0 });
    rig.services.apply('dest.del', { svc, dest: endpoint(RS2) });
    expect(rig.fromClient(client('PA'))).toHaveLength(1);
  });

  it('follows the option as it is edited', () => {
    const rig = established({ expireQuiescent: false });
    rig.services.apply('dest.edit', { svc, dest, weight: 0 });
    rig.services.apply('svc.edit', { svc, expireQuiescent: true });
    expect(flags(rig)).toBe(DEST_F_QUIESCENT);
    rig.services.apply('svc.edit', { svc, expireQuiescent: false });
    expect(rig.fromClient(client('PA'))).toHaveLength(1);
  });

  it('is known to an lcore that was away when it happened', () => {
    const old = established();
    const master = old.services.snapshot();
    const rig = new Rig({ native: old.native, destStats: old.destStats });
    old.services.apply('dest.del', { svc, dest });
    expect(master).not.toEqual(old.services.snapshot());
    // As if the lcore had died before it heard of it.
    new Uint32Array(old.destStats.buffer)[16 + 14] = 0;
    for (const c of old.services.snapshot()) rig.services.apply(c.op, c);
    rig.addAddress(LIP);
    rig.ipvs.rebuild();
    rig.fromClient(client('PA'));
    expect([rig.conns, rig.dropped('CONN_DEST_GONE')]).toEqual([0, 1]);
  });

  it('ends UDP connections too', () => {
    const rig = new Rig();
    rig.serve('udp', { expireQuiescent: true });
    rig.fromClient(udp({ src: CLIENT, dst: VIP, data: 'a' }));
    rig.services.apply('dest.edit', { svc: { ...svc, proto: 'udp' }, dest, weight: 0 });
    rig.fromClient(udp({ src: CLIENT, dst: VIP, data: 'b' }));
    expect([rig.conns, rig.drops]).toEqual([0, { CONN_DEST_GONE: 1 }]);
  });
});
