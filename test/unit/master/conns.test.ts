/** Listings of connections from records that lcores write, page by page. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { QUERIES, type QueryInput } from '../../../src/control/schema.js';
import type { ConnEntry } from '../../../src/control/results.js';
import {
  CONN4,
  CONN_F_HASHED,
  CONN_F_USED,
  DIR4,
  DIR_IN,
  DIR_OUT,
  LCORE_BLOCK,
} from '../../../src/core/layout.js';
import { Records } from '../../../src/ipvs/conn/records.js';
import { Services } from '../../../src/ipvs/service.js';
import { Conns, type LcoreConns } from '../../../src/master/conns.js';
import { parseIpv4 } from '../../../src/wire/ipv4.js';

const NOW = 5000;
const svc = { proto: 'tcp', addr: '10.1.1.1', port: 80 } as const;
const dns = { proto: 'udp', addr: '10.1.1.1', port: 53 } as const;

function services(): Services {
  const s = new Services();
  for (const key of [svc, dns]) {
    s.apply('svc.add', { svc: key, scheduler: 'rr' });
    s.apply('dest.add', { svc: key, dest: { addr: '192.168.0.2', port: 8080 }, fwd: 'fullnat' });
    for (const addr of ['192.168.0.200', '192.168.0.201'])
      s.apply('laddr.add', { svc: key, addr, dev: 'dpdk0' });
  }
  return s;
}

/** The tables of lcores that hold connections at these indices; even ones are of TCP (slot 1), odd ones of UDP (slot 2). */
function tables(...lcores: number[][]): LcoreConns[] {
  return lcores.map((indices, i) => {
    const top = Math.max(0, ...indices);
    const block = new SharedArrayBuffer(LCORE_BLOCK.size);
    new Float64Array(block, LCORE_BLOCK.at.nowMs, 1)[0] = NOW;
    const conns = new SharedArrayBuffer(CONN4.size * (top + 10));
    const r = new Records(conns);
    r.setTop(top);
    for (const c of indices) {
      const tcp = c % 2 === 0;
      const key = tcp ? svc : dns;
      const proto = tcp ? 6 : 17;
      r.begin(c);
      r.setFlags(c, CONN_F_USED | CONN_F_HASHED);
      r.setState(c, tcp ? 1 : 2);
      r.setTimeoutMs(c, 90_000);
      r.setLastSeenMs(c, 0, NOW - 1500);
      r.setDest(c, tcp ? 1 : 2);
      const laddr = parseIpv4(c % 4 < 2 ? '192.168.0.200' : '192.168.0.201');
      r.setMatch(r.dir(c, DIR_IN), proto, 0x0a000000 + c, 40000 + i, parseIpv4(key.addr), key.port);
      r.bytes.setU32(r.dir(c, DIR_IN) + DIR4.at.newDaddr, parseIpv4('192.168.0.2'));
      r.bytes.setU16(r.dir(c, DIR_IN) + DIR4.at.newDport, 8080);
      r.setMatch(r.dir(c, DIR_OUT), proto, parseIpv4('192.168.0.2'), 8080, laddr, c % 65536);
    }
    return { id: i + 1, block, conns };
  });
}

/** Every page, until there is no cursor any more. */
function list(conns: Conns, query: QueryInput<'conn.list'> = {}): { entries: ConnEntry[]; pages: number } {
  const entries: ConnEntry[] = [];
  let pages = 0;
  for (let cursor: string | undefined; ; pages++) {
    const page = conns.page(
      QUERIES['conn.list'].parse({ ...query, ...(cursor === undefined ? {} : { cursor }) }),
    );
    entries.push(...page.conns);
    cursor = page.cursor;
    if (cursor === undefined) return { entries, pages: pages + 1 };
  }
}

const names = (entries: ConnEntry[]): string[] => entries.map((e) => `${e.lcore} ${e.client}`);
const name = (lcore: number, c: number): string =>
  `${lcore} 10.${(c >>> 16) & 255}.${(c >>> 8) & 255}.${c & 255}`;
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

describe('the connection list', () => {
  it('shows what the record says and the time that remains', () => {
    const { entries } = list(new Conns(tables([], [2]), services()));
    expect(entries).toEqual([
      {
        lcore: 2,
        proto: 'tcp',
        timeout: 90,
        remaining: 89,
        state: 'TCP_EST',
        client: '10.0.0.2',
        clientPort: 40001,
        vaddr: '10.1.1.1',
        vport: 80,
        laddr: '192.168.0.201',
        lport: 2,
        daddr: '192.168.0.2',
        dport: 8080,
      },
    ]);
  });

  it('has every connection once, wherever the pages end', () => {
    const indices = fc.uniqueArray(fc.integer({ min: 1, max: 200 }), { maxLength: 40 });
    fc.assert(
      fc.property(
        fc.array(indices, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 30 }),
        (lcores, limit) => {
          const { entries } = list(new Conns(tables(...lcores), services()), { limit });
          expect(names(entries)).toEqual(
            lcores.flatMap((own, i) => own.toSorted((a, b) => a - b).map((c) => name(i + 1, c))),
          );
        },
      ),
    );
  });

  it('looks at 65536 records an answer, however few of them are wanted', () => {
    const conns = new Conns(tables([1, 200_000], [2, 70_000]), services());
    const { entries, pages } = list(conns, { svc });
    expect(names(entries)).toEqual([name(1, 200_000), name(2, 2), name(2, 70_000)]);
    expect(pages).toBe(5);
  });

  it('takes a service, a state, an lcore, a pair of sockets', () => {
    const conns = new Conns(tables([1, 2, 3], [4, 5, 6]), services());
    const of = (query: QueryInput<'conn.list'>): string[] => names(list(conns, query).entries);
    expect(of({ svc: dns })).toEqual([name(1, 1), name(1, 3), name(2, 5)]);
    expect(of({ states: ['tcp_est'] })).toEqual([name(1, 2), name(2, 4), name(2, 6)]);
    expect(of({ states: ['UDP_NORM', 'TCP_CLOSE'] })).toEqual([name(1, 1), name(1, 3), name(2, 5)]);
    expect(of({ lcore: 2 })).toEqual([name(2, 4), name(2, 5), name(2, 6)]);
    expect(of({ lcore: 2, limit: 1, svc: dns })).toEqual([name(2, 5)]);
    const pair = { proto: 'tcp', saddr: '10.0.0.4', sport: 40001, daddr: '10.1.1.1', dport: 80 } as const;
    expect(of({ sockpair: pair })).toEqual([name(2, 4)]);
    // as the real server's packets have it
    const back = {
      proto: 'tcp',
      saddr: '192.168.0.2',
      sport: 8080,
      daddr: '192.168.0.200',
      dport: 4,
    } as const;
    expect(of({ sockpair: back })).toEqual([name(2, 4)]);
    expect(of({ sockpair: { ...pair, proto: 'udp' } })).toEqual([]);
    expect(of({ sockpair: { ...pair, sport: 40000 } })).toEqual([]);
  });

  it.each([
    [{ states: ['TCP_FOO'] }, "unknown state 'TCP_FOO'"],
    [{ lcore: 3 }, 'there is no lcore 3'],
    [{ svc: { ...svc, port: 81 } }, 'no service tcp 10.1.1.1:81'],
    [{ cursor: 'x:1' }, "bad cursor 'x:1'"],
  ])('refuses %o', (query, message) => {
    const conns = new Conns(tables([1], [2]), services());
    expect(() => list(conns, query as QueryInput<'conn.list'>)).toThrow(message);
  });
});

describe('connections by local address', () => {
  it('are counted in one pass for all services', async () => {
    const s = services();
    const conns = new Conns(tables(range(1, 9), range(1, 5)), s);
    const laddrs = (a: number, b: number): object[] => [
      { addr: '192.168.0.200', dev: 'dpdk0', conns: a, conflicts: 0 },
      { addr: '192.168.0.201', dev: 'dpdk0', conns: b, conflicts: 0 },
    ];
    expect(await conns.laddrs(s.list())).toEqual([
      { svc, laddrs: laddrs(3, 3) },
      { svc: dns, laddrs: laddrs(3, 3) },
    ]);
    expect(await conns.laddrs([s.get(dns)], 2)).toEqual([{ svc: dns, laddrs: laddrs(1, 1) }]);
    await expect(conns.laddrs(s.list(), 3)).rejects.toThrow('there is no lcore 3');
  });

  it('lets others go first on the way through a large table', async () => {
    const s = services();
    const conns = new Conns(tables([2, 300_000]), s);
    let turns = 0;
    let done = false;
    const others = (): void => {
      turns++;
      if (!done) setImmediate(others);
    };
    setImmediate(others);
    await conns.laddrs(s.list());
    done = true;
    expect(turns).toBeGreaterThanOrEqual(4);
  });
});
