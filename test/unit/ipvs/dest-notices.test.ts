/** What an lcore notices of its real servers for passive health checks, and how often it tells. */
import { describe, expect, it } from 'vitest';
import { MOVE_ANSWERED } from '../../../src/core/layout.js';
import type { Records } from '../../../src/ipvs/conn/records.js';
import { DestNotices, type Notice } from '../../../src/ipvs/dest-notices.js';
import type { Dest, Services } from '../../../src/ipvs/service.js';
import { tcp, udp } from '../../support/frames.js';
import { CLIENT, endpoint, LIP, Rig, type RigOptions, RS, RS2, VIP } from './rig.js';

const passive = { downRetry: 1, downWait: 3, restore: { upConfirm: 1, min: 5, max: 3600 } };
const destCheck = { passive, external: [] };

interface Told {
  rig: Rig;
  told: Notice[][];
  /** Downs and ups that were told of each slot. */
  sums: () => Record<number, [number, number]>;
}

function checked(
  proto: 'tcp' | 'udp' = 'tcp',
  o: Parameters<Rig['serve']>[1] = {},
  rigOptions: RigOptions = {},
): Told {
  const rig = new Rig(rigOptions);
  const told: Notice[][] = [];
  rig.ipvs.notices.send = (n) => told.push(n);
  rig.serve(proto, { destCheck, ...o });
  const sums = (): Record<number, [number, number]> => {
    const out: Record<number, [number, number]> = {};
    for (const n of told.flat()) {
      out[n.slot] ??= [0, 0];
      out[n.slot]![0] += n.downs;
      out[n.slot]![1] += n.ups;
    }
    return out;
  };
  return { rig, told, sums };
}

const syn = (src = CLIENT): Uint8Array => tcp({ src, dst: VIP, flags: 'S', seq: 100 });
const ack = (src = CLIENT): Uint8Array => tcp({ src, dst: VIP, flags: 'A', seq: 101, ack: 501 });
const synAck = (port = 1025): Uint8Array =>
  tcp({ src: RS, dst: `${LIP}:${port}`, flags: 'SA', seq: 500, ack: 101 });
const refusal = (port = 1025): Uint8Array =>
  tcp({ src: RS, dst: `${LIP}:${port}`, flags: 'RA', seq: 0, ack: 101 });

describe('TCP', () => {
  it('a connection that the real server refuses is a failure, told at once', () => {
    const { rig, told } = checked();
    rig.fromClient(syn());
    rig.fromServer(refusal());
    rig.advance(0);
    rig.run();
    rig.advance(1, 1);
    expect(told).toEqual([[{ slot: 1, ...numbers(RS), downs: 1, ups: 0 }]]);
  });

  it('one that it never answers is a failure when its time is up', () => {
    const { rig, sums } = checked();
    rig.fromClient(syn());
    rig.advance(29_000);
    expect(sums()).toEqual({});
    rig.advance(3000);
    expect(sums()).toEqual({ 1: [1, 0] });
  });

  it('one that is established is a good sign', () => {
    const { rig, sums } = checked();
    rig.fromClient(syn());
    rig.fromServer(synAck());
    rig.fromClient(ack());
    rig.advance(1100);
    expect(sums()).toEqual({ 1: [0, 1] });
  });

  it('one that the native loop has taken through its states counts the same', () => {
    const { rig, sums } = checked();
    rig.fromClient(syn());
    // SYN_RECV -> ESTABLISHED -> CLOSE in one poll: the record has only the last.
    rig.ipvs.moved(1, (3 << 4) | 1);
    rig.ipvs.moved(1, (1 << 4) | 6);
    rig.ipvs.moved(1, (3 << 4) | 6);
    rig.advance(1100);
    expect(sums()).toEqual({ 1: [1, 1] });
  });

  it('a refusal that the native loop saw before the real server said something is one, and none behind that', () => {
    const { rig, sums } = checked();
    rig.fromClient(syn());
    const { records } = rig.ipvs.table;
    // In the same poll, behind the reset.
    records.setEndSeq(1, 4711);
    rig.ipvs.moved(1, (3 << 4) | 6);
    rig.ipvs.moved(1, MOVE_ANSWERED | (3 << 4) | 6);
    rig.advance(1100);
    expect(sums()).toEqual({ 1: [1, 0] });
  });

  it('a client that goes away in the middle of the handshake says nothing about a server that has answered', () => {
    const { rig, sums } = checked();
    rig.fromClient(syn());
    rig.fromServer(synAck());
    rig.advance(32_000);
    expect([rig.conns, sums()]).toEqual([0, {}]);
  });

  it.each(['dr', 'tunnel'] as const)(
    '%s: a flood of SYNs takes no server out that serves anybody; silence from then on counts',
    (fwd) => {
      const { rig, sums } = checked('tcp', { fwd, dests: ['192.168.0.2:80'] }, { conns: 512 });
      rig.fromClient(syn('10.0.0.9:1'));
      rig.advance(31_000);
      expect(sums()).toEqual({ 1: [1, 0] });
      for (let n = 0; n < 100; n++) rig.fromClient(syn(`10.0.1.${n}:1`));
      rig.advance(15_000);
      rig.fromClient(syn('10.0.0.2:999'));
      rig.fromClient(ack('10.0.0.2:999'));
      rig.advance(1000);
      for (let n = 0; n < 5; n++) rig.fromClient(syn(`10.0.2.${n}:1`));
      rig.advance(20_000);
      expect(sums()).toEqual({ 1: [1, 1] });
      rig.advance(20_000);
      expect(sums()).toEqual({ 1: [6, 1] });
    },
  );

  it('nor do established connections that end, by reset or by time', () => {
    const { rig, sums } = checked();
    rig.fromClient(syn());
    rig.fromServer(synAck());
    rig.fromClient(ack());
    rig.fromServer(tcp({ src: RS, dst: `${LIP}:1025`, flags: 'R', seq: 501 }));
    rig.fromClient(syn('10.0.0.2:999'));
    rig.fromServer(synAck(1026));
    rig.fromClient(ack('10.0.0.2:999'));
    rig.advance(100_000);
    expect([rig.conns, sums()]).toEqual([0, { 1: [0, 2] }]);
  });

  it('nor do connections that a command ends', () => {
    const { rig, sums } = checked('tcp', { expireQuiescent: true });
    rig.fromClient(syn());
    rig.services.apply('dest.edit', {
      svc: { proto: 'tcp', ...endpoint(VIP) },
      dest: endpoint(RS),
      weight: 0,
    });
    rig.fromClient(ack());
    rig.advance(1100);
    expect([rig.conns, sums()]).toEqual([0, {}]);
  });

  it.each(['dr', 'tunnel'])('with %s the client tells: by its acknowledgement, or by none', (fwd) => {
    const { rig, sums } = checked('tcp', { fwd, dests: ['192.168.0.2:80'] });
    rig.fromClient(syn());
    rig.fromClient(ack());
    rig.fromClient(syn('10.0.0.2:999'));
    rig.advance(32_000);
    expect(sums()).toEqual({ 1: [1, 1] });
  });
});

describe('UDP', () => {
  it('an answer is a good sign, none until the time is up a failure', () => {
    const { rig, sums } = checked('udp', {}, { config: { udpTimeoutsMs: { oneway: 2000, normal: 2000 } } });
    rig.fromClient(udp({ src: CLIENT, dst: VIP, data: 'a' }));
    rig.fromServer(udp({ src: RS, dst: `${LIP}:1025`, data: 'b' }));
    rig.fromClient(udp({ src: '10.0.0.2:999', dst: VIP, data: 'a' }));
    rig.advance(5000);
    expect([rig.conns, sums()]).toEqual([0, { 1: [1, 1] }]);
  });

  it.each(['dr', 'tunnel'])('with %s nobody can know', (fwd) => {
    const o = { config: { udpTimeoutsMs: { oneway: 2000 } } };
    const { rig, sums } = checked('udp', { fwd, dests: ['192.168.0.2:80'] }, o);
    rig.fromClient(udp({ src: CLIENT, dst: VIP, data: 'a' }));
    rig.advance(5000);
    expect([rig.conns, sums()]).toEqual([0, {}]);
  });

  it('packets that are scheduled one by one say nothing', () => {
    const { rig, sums } = checked('udp', { onePacket: true });
    rig.fromClient(udp({ src: CLIENT, dst: VIP, data: 'a' }));
    rig.advance(5000);
    expect([rig.conns, sums()]).toEqual([0, {}]);
  });
});

describe('telling', () => {
  it('nothing of services without passive checks, also when they had some', () => {
    const { rig, told } = checked('tcp', { destCheck: { passive: null, external: ['ping'] } });
    const svc = { proto: 'tcp', ...endpoint(VIP) } as const;
    rig.fromClient(syn());
    rig.fromServer(refusal());
    rig.advance(1100);
    expect(told).toEqual([]);
    rig.services.apply('svc.edit', { svc, destCheck });
    rig.services.apply('svc.edit', { svc, destCheck: { passive: null, external: [] } });
    rig.fromClient(syn('10.0.0.2:999'));
    rig.fromServer(refusal(1026));
    rig.advance(1100);
    expect(told).toEqual([]);
  });

  it('at most ten times a second, and once a second when all is well', () => {
    const { rig, told } = checked('tcp', {}, { conns: 2048 });
    for (let i = 0; i < 200; i++) {
      rig.fromClient(syn(`10.0.0.3:${1000 + i}`));
      rig.fromServer(refusal(1025 + i));
      rig.advance(5, 5);
    }
    expect(told.length).toBeGreaterThan(5);
    expect(told.length).toBeLessThanOrEqual(11);
    rig.advance(1000);
    expect(told.flat().reduce((n, t) => n + t.downs, 0)).toBe(200);
    const before = told.length;
    for (let i = 0; i < 400; i++) {
      rig.ipvs.notices.serverUp(aConn(rig));
      rig.advance(5, 5);
    }
    expect(told.length - before).toBeLessThanOrEqual(3);
  });

  it('of 64 real servers in one message at most, the others follow', () => {
    const svc = { proto: 6, destCheck } as unknown as Dest['svc'];
    const xmit = { name: 'fullnat', rewrites: true };
    const dests = Array.from(
      { length: 201 },
      (_, slot) => ({ svc, xmit, slot, addr: slot, port: 80 }) as Dest,
    );
    const records = { dest: (c: number) => c } as Records;
    const notices = new DestNotices(records, { destAt: (slot: number) => dests[slot] } as Services);
    const told: Notice[][] = [];
    notices.send = (n) => told.push(n);
    for (const d of dests.slice(1)) notices.rule(d);
    for (let c = 1; c <= 200; c++) notices.serverDown(c);
    for (let now = 1000; now < 2000; now += 50) notices.tick(now);
    expect(told.map((t) => t.length)).toEqual([64, 64, 64, 8]);
    expect(new Set(told.flat().map((t) => t.slot)).size).toBe(200);
  });

  it('nothing of a real server that is gone, and nothing old of one that takes its slot', () => {
    const { rig, told } = checked('tcp', { dests: [RS, RS2] });
    const svc = { proto: 'tcp', ...endpoint(VIP) } as const;
    rig.ipvs.notices.tick(rig.packets.nowMs);
    rig.fromClient(syn());
    rig.fromClient(syn('10.0.0.2:999'));
    for (const c of [1, 2]) rig.ipvs.notices.serverUp(c);
    rig.services.apply('dest.del', { svc, dest: endpoint(RS) });
    rig.addDest(RS);
    rig.advance(1100);
    expect(told.flat().map((t) => [t.addr, t.port, t.ups])).toEqual([[...Object.values(numbers(RS2)), 1]]);
  });

  it('a SYN proxy tells of the second handshake by serverUp and serverDown', () => {
    const { rig, sums } = checked();
    rig.fromClient(syn());
    rig.ipvs.notices.serverDown(1);
    rig.ipvs.notices.serverUp(1);
    rig.advance(1100);
    expect(sums()).toEqual({ 1: [1, 1] });
  });
});

/** A connection record that is in use. */
function aConn(rig: Rig): number {
  const { records } = rig.ipvs.table;
  for (let c = 1; c < records.capacity; c++) if (records.isUsed(c)) return c;
  throw new Error('no connection');
}

function numbers(text: string): { addr: number; port: number } {
  const { addr, port } = endpoint(text);
  return { addr: addr.split('.').reduce((n, b) => n * 256 + Number(b), 0), port };
}
