/** Drops by service and reason, and events. */
import { describe, expect, it } from 'vitest';
import { tcp, udp } from '../../support/frames.js';
import { CLIENT, endpoint, LIP, Rig, RS, VIP } from './rig.js';

const key = { proto: 'tcp', ...endpoint(VIP) } as const;
const syn = (n: number): Uint8Array => tcp({ src: `10.0.0.1:${n}`, dst: VIP, flags: 'S' });

describe('a packet that is dropped for a service', () => {
  it('is counted there with its reason, besides the total', () => {
    const rig = new Rig({ conns: 2 });
    rig.serve('tcp');
    rig.serve('udp', { dests: [] });
    rig.fromClient(syn(1), syn(2), syn(3), tcp({ src: CLIENT, dst: VIP, flags: 'A' }));
    rig.fromClient(udp({ src: CLIENT, dst: VIP }));
    expect(rig.svcDrops(1)).toEqual({ CONN_FULL: 2, CONN_NO_SYN: 1 });
    expect(rig.svcDrops(2)).toEqual({ SVC_NO_DEST: 1 });
    expect(rig.drops).toEqual({ CONN_FULL: 2, CONN_NO_SYN: 1, SVC_NO_DEST: 1 });
  });

  it('is counted with the reason of the limit that it met', () => {
    const rig = new Rig();
    rig.serve('tcp', { limitProportion: 0 });
    rig.fromClient(syn(1));
    rig.services.apply('svc.edit', { svc: key, limitProportion: 100, bps: 1 });
    rig.fromClient(syn(2), syn(3));
    rig.services.apply('svc.edit', { svc: key, bps: 0 });
    rig.services.apply('dest.edit', { svc: key, dest: endpoint(RS), maxConn: 1 });
    rig.fromClient(syn(4), syn(5));
    expect(rig.svcDrops()).toEqual({ ...rig.drops });
    expect(Object.keys(rig.svcDrops())).toEqual(['SVC_OVERLOAD', 'SVC_RATE', 'SVC_PROPORTION']);
  });

  it('is forgotten when the counters are zeroed, for that service alone', () => {
    const rig = new Rig();
    rig.serve('tcp', { dests: [] });
    rig.serve('udp', { dests: [] });
    rig.fromClient(syn(1), udp({ src: CLIENT, dst: VIP }));
    rig.services.apply('svc.zero', { svc: key });
    expect([rig.svcDrops(1), rig.svcDrops(2)]).toEqual([{}, { SVC_NO_DEST: 1 }]);
    rig.services.apply('svc.zero', {});
    expect(rig.svcDrops(2)).toEqual({});
  });

  it('is not counted for a service that comes later', () => {
    const rig = new Rig();
    rig.serve('tcp', { dests: [] });
    rig.fromClient(syn(1));
    rig.services.apply('svc.del', { svc: key });
    rig.services.apply('svc.add', { svc: key, scheduler: 'rr' });
    expect(rig.svcDrops()).toEqual({});
  });

  it('stays counted when the lcore is restarted', () => {
    const old = new Rig();
    old.serve('tcp', { dests: [] });
    old.fromClient(syn(1));
    const rig = new Rig({ native: old.native, destStats: old.destStats, svcStats: old.svcStats });
    for (const { op, ...params } of old.services.snapshot()) rig.services.apply(op, params);
    rig.ipvs.rebuild();
    expect(rig.svcDrops()).toEqual({ SVC_NO_DEST: 1 });
  });
});

describe('an event', () => {
  it('is counted when a client opens a closing connection anew', () => {
    const rig = new Rig();
    rig.serve('tcp');
    rig.fromClient(syn(1));
    rig.fromServer(tcp({ src: RS, dst: `${LIP}:1025`, flags: 'RA' }));
    rig.fromClient(syn(1));
    expect(rig.event('CONN_REUSED')).toBe(1);
  });
});
