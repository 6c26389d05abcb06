/** A full table and services that need no records (DR, tunnel): packets are forwarded by hash. */
import { describe, expect, it } from 'vitest';
import type { IpvsConfig } from '../../../src/ipvs/ipvs.js';
import type { SvcOptions } from '../../../src/ipvs/options.js';
import { decode, fragmentsOf, icmp, payloadOf, tcp, udp } from '../../support/frames.js';
import { endpoint, Rig, type RigOptions, VIP } from './rig.js';

const CONFIG: IpvsConfig = { floodHigh: 90, floodLow: 50, floodIdleMs: 3000 };
const CONNS = 17;
const FULL = CONNS - 1;
const DESTS = ['192.168.0.2:80', '192.168.0.3:80', '192.168.0.4:80'];
const svcOf = (proto: 'tcp' | 'udp') => ({ proto, ...endpoint(VIP) });

type Options = RigOptions & Partial<SvcOptions> & { fwd?: string; scheduler?: string };
function make(proto: 'tcp' | 'udp' = 'tcp', o: Options = {}): Rig {
  const { fwd = 'tunnel', scheduler = 'rr', conns = CONNS, config = CONFIG, lcore, lcores, ...options } = o;
  const rig = new Rig({ conns, config, ...(lcore && { lcore }), ...(lcores && { lcores }) });
  rig.serve(proto, { dests: DESTS, fwd, scheduler, ...options });
  return rig;
}

const from = (n: number): string => `10.0.${n >> 8}.${n & 255}:${1000 + n}`;
const segment = (n: number, flags: string, data = ''): Uint8Array =>
  tcp({ src: from(n), dst: VIP, flags, seq: 1, ack: 1, data });
const query = (n: number): Uint8Array => udp({ src: from(n), dst: VIP });
/** The real server of a tunnel datagram. */
const to = (frames: Uint8Array[]): string => frames.map((f) => decode(f).ip!.dst.split('.')[3]!).join(' ');

/** Fills the table with connections that nobody may end. */
function fill(rig: Rig, first = 1): void {
  for (let n = first; rig.conns < rig.ipvs.table.records.capacity - 1; n++)
    rig.fromClient(segment(n, 'S'), segment(n, 'A'));
}
/** Ends one connection of `fill`. */
const end = (rig: Rig, n: number): void => {
  rig.fromClient(segment(n, 'R'));
  rig.advance(4000);
};
const NEW = Array.from({ length: 40 }, (_, i) => 500 + i);

describe('a full table of established connections', () => {
  it('keeps them, and gives each new client a real server that it keeps', () => {
    const rig = make();
    fill(rig);
    const chosen = NEW.map((n) => to(rig.fromClient(segment(n, 'S'))));
    expect(new Set(chosen)).toEqual(new Set(['2', '3', '4']));
    for (const flags of ['A', 'PA', 'A', 'FA', 'R', 'S'])
      expect(NEW.map((n) => to(rig.fromClient(segment(n, flags))))).toEqual(chosen);
    for (let n = 1; n <= FULL; n++) expect(to(rig.fromClient(segment(n, 'A')))).not.toBe('');
    expect([rig.drops, rig.imbalance, rig.conns, rig.stat('active')]).toEqual([{}, 0, FULL, 6]);
    expect(rig.event('FLOOD_HASHED')).toBe(7 * NEW.length);
    expect([rig.event('FLOOD_EVICTED'), rig.event('FLOOD_RESUMED')]).toEqual([0, 0]);
  });

  it('with direct routing as well: packets leave as they came and are counted for the real server', () => {
    const rig = make('tcp', { fwd: 'dr' });
    fill(rig);
    const before = [1, 2, 3].map((slot) => rig.stat('inPackets', slot));
    for (const n of NEW)
      for (const f of [segment(n, 'S'), segment(n, 'A', 'data')])
        expect(payloadOf(rig.fromClient(f)[0]!)).toEqual(payloadOf(f));
    const counted = [1, 2, 3].map((slot, i) => rig.stat('inPackets', slot) - before[i]!);
    expect(counted.reduce((a, b) => a + b)).toBe(2 * NEW.length);
    expect(Math.min(...counted)).toBeGreaterThan(0);
    expect(rig.stat('conns') + rig.stat('conns', 2) + rig.stat('conns', 3)).toBe(FULL);
  });

  it('gives them a record as soon as there is room, with the same real server', () => {
    const rig = make();
    fill(rig);
    const chosen = NEW.slice(0, 3).map((n) => to(rig.fromClient(segment(n, 'S'), segment(n, 'A'))));
    end(rig, 1);
    expect(rig.conns).toBe(FULL - 1);
    expect(to(rig.fromClient(segment(NEW[1]!, 'PA')))).toBe(chosen[1]!.split(' ')[0]);
    expect([rig.conns, rig.event('FLOOD_RESUMED')]).toEqual([FULL, 1]);
    const hashed = rig.event('FLOOD_HASHED');
    expect(to(rig.fromClient(segment(NEW[1]!, 'PA'), segment(NEW[1]!, 'A')))).toBe(chosen[1]);
    expect(rig.event('FLOOD_HASHED')).toBe(hashed);
    expect(to(rig.fromClient(segment(NEW[2]!, 'A')))).toBe(chosen[2]!.split(' ')[0]);
    expect(rig.event('FLOOD_HASHED')).toBe(hashed + 1);
  });

  it('a record that a single acknowledgement has brought may be ended again, like one of a SYN', () => {
    const rig = make();
    fill(rig);
    rig.fromClient(segment(500, 'S'));
    end(rig, 1);
    rig.fromClient(segment(600, 'A'));
    expect(rig.states.filter((s) => s === '6:3')).toHaveLength(1);
    rig.fromClient(segment(601, 'A'));
    expect([rig.event('FLOOD_RESUMED'), rig.event('FLOOD_EVICTED'), rig.conns]).toEqual([2, 1, FULL]);
    rig.fromClient(segment(601, 'A'));
    expect(rig.states.filter((s) => s === '6:1')).toHaveLength(FULL);
  });

  it('new clients get the real server of the hash, recorded or not, until no packet is waited for any more', () => {
    const rig = make();
    fill(rig);
    const chosen = NEW.map((n) => to(rig.fromClient(segment(n, 'S'))));
    const inTurn = (from: number): boolean => {
      const clients = NEW.slice(from, from + 6);
      const got = to(clients.flatMap((n) => rig.fromClient(segment(n, 'S'))));
      return got !== chosen.slice(from, from + 6).join(' ');
    };
    for (let n = 1; n <= FULL; n++) rig.fromClient(segment(n, 'R'));
    rig.advance(4000);
    expect(rig.conns).toBe(0);
    expect(inTurn(0)).toBe(false);
    rig.advance(85_000, 1000);
    expect(inTurn(6)).toBe(false);
    rig.advance(2000, 1000);
    expect(inTurn(12)).toBe(true);
    expect(rig.fromClient(segment(NEW[30]!, 'A'))).toEqual([]);
    expect(rig.drops).toEqual({ CONN_NO_SYN: 1 });
  });

  it('packets in the midst of a connection are dropped as ever while every connection has a record', () => {
    const rig = make();
    rig.fromClient(segment(500, 'A'));
    fill(rig);
    rig.fromClient(segment(500, 'A'));
    expect([rig.drops, rig.svcDrops()]).toEqual([{ CONN_NO_SYN: 2 }, { CONN_NO_SYN: 2 }]);
  });

  it('when a real server goes, its clients go to others and nobody else moves', () => {
    const rig = make();
    fill(rig);
    const chosen = NEW.map((n) => to(rig.fromClient(segment(n, 'S'))));
    const edit = (weight: number): void =>
      rig.services.apply('dest.edit', { svc: svcOf('tcp'), dest: endpoint(DESTS[1]!), weight });
    edit(0);
    const moved = NEW.map((n) => to(rig.fromClient(segment(n, 'A'))));
    moved.forEach((s, i) => (chosen[i] === '3' ? expect(s).not.toBe('3') : expect(s).toBe(chosen[i])));
    edit(1);
    expect(NEW.map((n) => to(rig.fromClient(segment(n, 'A'))))).toEqual(chosen);
  });

  it('half-open connections make room for whoever has sent a second packet, not for SYNs', () => {
    const rig = make();
    for (let n = 1; n <= FULL; n++) rig.fromClient(segment(n, 'S'));
    rig.fromClient(segment(500, 'S'));
    expect([rig.event('FLOOD_EVICTED'), rig.event('FLOOD_HASHED')]).toEqual([0, 1]);
    rig.fromClient(segment(500, 'A'));
    expect([rig.event('FLOOD_EVICTED'), rig.event('FLOOD_RESUMED')]).toEqual([1, 1]);
  });

  it('a fragmented datagram needs a record: later fragments have no ports', () => {
    const rig = make();
    fill(rig);
    const pieces = fragmentsOf(segment(500, 'S', 'x'.repeat(100)), 48);
    rig.fromClient(...pieces);
    expect(rig.dropped('CONN_FULL')).toBe(1);
    expect(rig.imbalance).toBe(0);
  });

  it("an ICMP error about a real server's packet goes to the real server of the client", () => {
    const rig = make();
    fill(rig);
    const error = (n: number): Uint8Array =>
      icmp({
        src: '10.9.9.9',
        dst: '10.1.1.1',
        type: 3,
        code: 4,
        rest: 1400,
        data: payloadOf(tcp({ src: VIP, dst: from(n), flags: 'A', data: 'much' })),
      });
    expect(rig.fromClient(error(500))).toEqual([]);
    for (const n of NEW) {
      const chosen = to(rig.fromClient(segment(n, 'S')));
      expect(to(rig.fromClient(error(n)))).toBe(chosen);
    }
    expect(rig.drops).toEqual({ ICMP_NO_CONN: 1 });
  });
});

describe('UDP', () => {
  it('is forwarded by hash when the table is full of one-way connections, which stay', () => {
    const rig = make('udp');
    const known = Array.from({ length: FULL }, (_, n) => to(rig.fromClient(query(n))));
    const chosen = NEW.map((n) => to(rig.fromClient(query(n))));
    for (let i = 0; i < 3; i++) {
      expect(known.map((_, n) => to(rig.fromClient(query(n))))).toEqual(known);
      expect(NEW.map((n) => to(rig.fromClient(query(n))))).toEqual(chosen);
    }
    expect([rig.event('FLOOD_EVICTED'), rig.event('FLOOD_HASHED')]).toEqual([0, 4 * NEW.length]);
    // What falls silent makes room: the same real server again, with a record.
    for (let i = 0; i < 4; i++) {
      rig.advance(1000);
      expect(NEW.slice(0, 4).map((n) => to(rig.fromClient(query(n))))).toEqual(chosen.slice(0, 4));
    }
    rig.advance(100);
    const hashed = rig.event('FLOOD_HASHED');
    expect(NEW.slice(0, 4).map((n) => to(rig.fromClient(query(n))))).toEqual(chosen.slice(0, 4));
    expect([rig.conns, rig.event('FLOOD_HASHED')]).toEqual([4, hashed]);
  });
});

describe('what needs a record', () => {
  const refused = (rig: Rig): object => {
    fill(rig);
    for (const n of NEW) expect(rig.fromClient(segment(n, 'S'))).toEqual([]);
    return [rig.drops, rig.event('FLOOD_HASHED')];
  };
  const none = [{ CONN_FULL: NEW.length }, 0];

  it('other modes', () => {
    expect(refused(make('tcp', { fwd: 'nat' }))).toEqual([{ CONN_FULL: NEW.length }, 0]);
  });
  it('limits of sources', () => expect(refused(make('tcp', { srcConns: 1000 }))).toEqual(none));
  it('flood mode that is off', () =>
    expect(refused(make('tcp', { config: { ...CONFIG, floodHigh: 0 } }))).toEqual(none));
  it('limits of real servers: they get nobody without a record, the others do', () => {
    const rig = make();
    const limit = (at: string): void =>
      rig.services.apply('dest.edit', { svc: svcOf('tcp'), dest: endpoint(at), maxConn: 1000 });
    limit(DESTS[0]!);
    fill(rig);
    const got = new Set(NEW.map((n) => to(rig.fromClient(segment(n, 'S')))));
    expect(got).toEqual(new Set(['3', '4']));
    DESTS.forEach(limit);
    expect(rig.fromClient(segment(900, 'S'))).toEqual([]);
    expect(rig.drops).toEqual({ CONN_FULL: 1 });
  });
});

describe('persistence', () => {
  it('holds: a client keeps the real server of its template, others one for all their ports', () => {
    const rig = make('tcp', { persistent: 100, netmask: '255.255.255.255' });
    const syn = (host: number, port: number): Uint8Array =>
      tcp({ src: `10.0.7.${host}:${port}`, dst: VIP, flags: 'S' });
    const had = [1, 2, 3, 4].map((host) => to(rig.fromClient(syn(host, 1))));
    fill(rig);
    for (let port = 2; port < 5; port++)
      expect([1, 2, 3, 4].map((host) => to(rig.fromClient(syn(host, port))))).toEqual(had);
    for (let host = 10; host < 20; host++) {
      const chosen = new Set([1, 2, 3, 4].map((port) => to(rig.fromClient(syn(host, port)))));
      expect(chosen.size).toBe(1);
    }
    expect(rig.event('FLOOD_HASHED')).toBe(52);
  });
});

describe('on several lcores', () => {
  it('all choose alike', () => {
    const rigs = [1, 2].map((lcore) => make('tcp', { lcore, lcores: 2 }));
    const chosen = rigs.map((rig) => {
      fill(rig);
      return NEW.map((n) => to(rig.fromClient(segment(n, 'S'))));
    });
    expect(chosen[1]).toEqual(chosen[0]);
  });
});
