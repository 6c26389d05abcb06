/** Flood mode: a table that is full keeps its connections and lets new ones in. */
import { describe, expect, it } from 'vitest';
import { LCORE_STATS } from '../../../src/core/layout.js';
import type { IpvsConfig } from '../../../src/ipvs/ipvs.js';
import { tcp, udp } from '../../support/frames.js';
import { LIP, Rig, RS, VIP } from './rig.js';

const CONFIG: IpvsConfig = { floodHigh: 90, floodLow: 50, floodIdleMs: 3000 };
/** Records of the table, the first of which is no connection. */
const CONNS = 65;

const make = (proto: 'tcp' | 'udp', config = CONFIG): Rig => {
  const rig = new Rig({ conns: CONNS, config });
  rig.serve(proto);
  return rig;
};
const syn = (n: number): Uint8Array => tcp({ src: `10.0.0.1:${n}`, dst: VIP, flags: 'S', seq: 1 });
const ack = (n: number): Uint8Array => tcp({ src: `10.0.0.1:${n}`, dst: VIP, flags: 'A', seq: 2, ack: 501 });
const query = (n: number): Uint8Array => udp({ src: `10.1.${n >> 8}.${n & 255}:9`, dst: VIP });

/** Makes the next connection, which gets the next local port, an established one. */
function establish(rig: Rig, n: number, lport: number): void {
  rig.fromClient(syn(n));
  rig.fromServer(tcp({ src: RS, dst: `${LIP}:${lport}`, flags: 'SA', seq: 500, ack: 2 }));
  rig.fromClient(ack(n));
}
const isFlood = (rig: Rig): boolean => rig.packets.counters[LCORE_STATS.at.flood >>> 3] === 1;

describe('a table that a flood of SYNs fills', () => {
  it('keeps every established connection and lets every new one in', () => {
    const rig = make('tcp');
    for (let n = 1; n <= 30; n++) establish(rig, n, 1024 + n);
    for (let n = 1000; n < 3000; n++) expect(rig.fromClient(syn(n))).toHaveLength(1);
    for (let n = 1; n <= 30; n++) expect(rig.fromClient(ack(n))).toHaveLength(1);
    expect([rig.drops, rig.imbalance]).toEqual([{}, 0]);
    expect([rig.stat('active'), rig.stat('inactive'), rig.conns]).toEqual([30, 34, 64]);
    expect(rig.portsUsed).toBe(64);
    expect(rig.event('FLOOD_EVICTED')).toBe(30 + 2000 - 64);
  });

  it('lets an honest client finish its handshake while others come', () => {
    const rig = make('tcp');
    const flood = (from: number, to: number): void => {
      for (let n = from; n < to; n++) {
        rig.fromClient(syn(n));
        rig.advance(1, 1);
      }
    };
    flood(1000, 1200);
    expect(rig.fromClient(syn(7))).toHaveLength(1);
    flood(1200, 1220);
    expect(rig.fromClient(ack(7))).toHaveLength(1);
  });

  it('of established connections alone refuses new ones: none of them ends', () => {
    const rig = make('tcp');
    for (let n = 1; n < CONNS; n++) establish(rig, n, 1024 + n);
    rig.fromClient(syn(5000), syn(5001));
    expect([rig.drops, rig.svcDrops(), rig.conns]).toEqual([{ CONN_FULL: 2 }, { CONN_FULL: 2 }, 64]);
    expect(rig.stat('active')).toBe(64);
  });
});

describe('a table that one-way UDP fills', () => {
  it('ends what is silent early, and is as before when the flood is over', () => {
    const rig = make('udp');
    for (let n = 0; n < 56; n++) rig.fromClient(query(n));
    expect(isFlood(rig)).toBe(false);
    rig.fromClient(query(57));
    rig.advance(100);
    expect(isFlood(rig)).toBe(true);
    expect(rig.conns).toBe(57);
    rig.advance(3000);
    expect([rig.conns, rig.event('FLOOD_EXPIRED'), rig.event('FLOOD_BEGUN')]).toEqual([0, 57, 1]);
    rig.advance(100);
    expect(isFlood(rig)).toBe(false);
    rig.fromClient(query(1));
    rig.advance(200_000, 1000);
    expect(rig.conns).toBe(1);
  });

  it('keeps what is answered, and what goes on one way', () => {
    const rig = make('udp');
    rig.fromClient(query(1));
    rig.fromServer(udp({ src: RS, dst: `${LIP}:1025` }));
    for (let n = 2; n < 63; n++) rig.fromClient(query(n));
    for (let s = 0; s < 10; s++) {
      rig.fromClient(query(2));
      rig.advance(1000);
    }
    expect(rig.states.sort()).toEqual(['17:1', '17:2']);
    expect(rig.portsUsed).toBe(2);
  });

  it('takes the longest silent of a few for each new one', () => {
    const rig = make('udp');
    for (let n = 0; n < 64; n++) rig.fromClient(query(n));
    rig.advance(500, 500);
    const active = Array.from({ length: 64 }, (_, n) => n).filter((n) => n % 8 !== 5);
    for (const n of active) rig.fromClient(query(n));
    for (let n = 100; n < 108; n++) expect(rig.fromClient(query(n))).toHaveLength(1);
    // Those that were seen lately are found.
    const opened = rig.stat('conns');
    for (const n of active) rig.fromClient(query(n));
    expect(rig.stat('conns')).toBe(opened);
  });
});

describe('flood mode', () => {
  it('is off with a high watermark of 0: the table fills up', () => {
    const rig = make('tcp', { ...CONFIG, floodHigh: 0 });
    for (let n = 1; n <= 70; n++) rig.fromClient(syn(n));
    expect([rig.conns, rig.drops, isFlood(rig)]).toEqual([64, { CONN_FULL: 6 }, false]);
  });

  it('is over for an lcore that is restarted with few connections', () => {
    const old = make('udp');
    for (let n = 0; n < 60; n++) old.fromClient(query(n));
    old.advance(100);
    expect(isFlood(old)).toBe(true);
    const rig = new Rig({ native: old.native, destStats: old.destStats, config: CONFIG });
    rig.ipvs.rebuild();
    expect(isFlood(rig)).toBe(false);
    rig.advance(100);
    expect(isFlood(rig)).toBe(true);
    rig.advance(4000);
    expect([isFlood(rig), rig.conns]).toEqual([false, 0]);
  });

  it('tells the log when it begins and ends, once in ten seconds each, with how many lines are missing', () => {
    const lines: [string, Record<string, unknown>][] = [];
    const rig = new Rig({ conns: CONNS, config: CONFIG, alert: (msg, fields) => lines.push([msg, fields]) });
    rig.serve('udp');
    const flood = (): void => {
      for (let n = 0; n < 60; n++) rig.fromClient(query(n));
      rig.advance(3200);
    };
    flood();
    flood();
    flood();
    rig.advance(10_000);
    flood();
    expect(lines.map(([msg, f]) => [msg, f['suppressed']])).toEqual([
      ['connection table nearly full: flood mode', undefined],
      ['flood mode is over', undefined],
      ['connection table nearly full: flood mode', 2],
      ['flood mode is over', 2],
    ]);
    expect(lines[0]![1]).toMatchObject({ conns: 57, capacity: 64 });
  });

  it('a source over its limit is told to the log with its service', () => {
    const lines: [string, Record<string, unknown>][] = [];
    const rig = new Rig({ alert: (msg, fields) => lines.push([msg, fields]) });
    rig.serve('tcp', { srcConns: 1 });
    rig.fromClient(syn(1), syn(2), syn(3));
    expect(lines).toEqual([
      [
        'source over its limit of new connections',
        { service: 'tcp 10.1.1.1:80', source: '10.0.0.1', reason: 'SRC_CONNS' },
      ],
    ]);
  });
});
