/** Addresses, routes, static neighbours: the models that master and lcores share. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DpvsError } from '../../../src/core/errors.js';
import { InetModels } from '../../../src/inet/models.js';
import type { InetOp } from '../../../src/inet/models.js';
import { formatIpv4, mask, parseIpv4 } from '../../../src/wire/ipv4.js';
import { macOf } from '../../support/lab.js';

function models(clock: () => number = () => 0): InetModels {
  const m = new InetModels(clock);
  for (let i = 0; i < 3; i++) m.devices.add({ name: `dpdk${i}`, portId: i, mac: macOf(i), mtu: 1500 });
  return m;
}

/** Commands in the words of `dpip`: `addr add A/P dev D`, `route add D/P [via G] …`. Returns the error's code. */
function dpip(m: InetModels, line: string): string | undefined {
  const [object, verb, ...words] = line.split(' ');
  const prefix =
    object === 'route' || object === 'addr' ? (verb === 'flush' ? undefined : words.shift()!) : undefined;
  const [head, plen] = (prefix === 'default' ? '0.0.0.0/0' : (prefix ?? '')).split('/');
  const params: Record<string, unknown> = {};
  if (object === 'addr' && verb === 'add')
    Object.assign(params, { plen: 32, scope: 'global', validLft: 0, sapool: false });
  if (object === 'route' && verb === 'add')
    Object.assign(params, { mtu: 0, metric: 0, tos: 0, local: false });
  if (object === 'route' && verb === 'del') params.local = false;
  if (prefix !== undefined) params[object === 'route' ? 'dst' : 'addr'] = head;
  if (plen !== undefined) params.plen = Number(plen);
  for (let i = 0; i < words.length; i += 2) {
    const [key, value] = [words[i]!, words[i + 1]!];
    params[key] = ['metric', 'mtu', 'tos', 'validLft', 'plen'].includes(key)
      ? Number(value)
      : value === 'true'
        ? true
        : value;
  }
  try {
    m.apply(`${object}.${verb}` as InetOp, params);
    return undefined;
  } catch (e) {
    if (e instanceof DpvsError) return e.code;
    throw e;
  }
}

function all(m: InetModels, ...lines: string[]): void {
  for (const line of lines) expect(`${line}: ${dpip(m, line) ?? 'ok'}`).toBe(`${line}: ok`);
}

const routes = (m: InetModels): string[] =>
  m.routes
    .list()
    .map(
      (r) =>
        `${r.dst}/${r.plen} via ${r.via} src ${r.src} dev ${r.dev} mtu ${r.mtu} scope ${r.scope} metric ${r.metric} ${r.proto}`,
    );

/** Where a datagram goes: `local`, `via G dev D`, or `none`. */
function goes(m: InetModels, addr: string): string {
  const r = m.routes.lookup(parseIpv4(addr));
  if (!r) return 'none';
  const dev = m.devices.nameOf(r.ifindex);
  return r.local
    ? `local ${dev}`
    : r.broadcast
      ? `broadcast ${dev}`
      : r.via === 0
        ? `dev ${dev}`
        : `via ${formatIpv4(r.via)} dev ${dev}`;
}

describe('an address', () => {
  it('implies itself, its subnet and its broadcast address', () => {
    const m = models();
    all(m, 'addr add 192.168.100.100/24 dev dpdk0');
    expect(routes(m)).toEqual([
      '192.168.100.100/32 via 0.0.0.0 src 0.0.0.0 dev dpdk0 mtu 1500 scope host metric 0 auto',
      '192.168.100.0/24 via 0.0.0.0 src 192.168.100.100 dev dpdk0 mtu 1500 scope link metric 0 auto',
    ]);
    expect(goes(m, '192.168.100.100')).toBe('local dpdk0');
    expect(goes(m, '192.168.100.7')).toBe('dev dpdk0');
    expect(goes(m, '192.168.100.255')).toBe('broadcast dpdk0');
    expect(goes(m, '192.168.101.7')).toBe('none');
  });

  it('without a subnet implies only itself', () => {
    const m = models();
    all(m, 'addr add 192.168.100.200 dev dpdk0');
    expect(routes(m)).toEqual([
      '192.168.100.200/32 via 0.0.0.0 src 0.0.0.0 dev dpdk0 mtu 1500 scope host metric 0 auto',
    ]);
  });

  it('of a /31 has no broadcast address (RFC 3021)', () => {
    const m = models();
    all(m, 'addr add 10.0.0.0/31 dev dpdk0');
    expect(goes(m, '10.0.0.1')).toBe('dev dpdk0');
  });

  it('takes what it implied along when it goes, and leaves a second address its subnet', () => {
    const m = models();
    all(m, 'addr add 10.0.0.1/24 dev dpdk0', 'addr add 10.0.0.2/24 dev dpdk0');
    expect(routes(m)).toHaveLength(3);
    all(m, 'addr del 10.0.0.1/24 dev dpdk0');
    expect(routes(m)).toEqual([
      '10.0.0.2/32 via 0.0.0.0 src 0.0.0.0 dev dpdk0 mtu 1500 scope host metric 0 auto',
      '10.0.0.0/24 via 0.0.0.0 src 10.0.0.2 dev dpdk0 mtu 1500 scope link metric 0 auto',
    ]);
    expect(goes(m, '10.0.0.255')).toBe('broadcast dpdk0');
    all(m, 'addr flush dev dpdk0');
    expect(routes(m)).toEqual([]);
  });

  it('moves its subnet when its prefix length is set', () => {
    const m = models();
    all(m, 'addr add 10.0.0.1/24 dev dpdk0', 'addr set 10.0.0.1/16 dev dpdk0');
    expect(goes(m, '10.0.9.9')).toBe('dev dpdk0');
    expect(goes(m, '10.0.0.255')).toBe('dev dpdk0');
    expect(goes(m, '10.0.255.255')).toBe('broadcast dpdk0');
  });

  it.each([
    ['addr add 10.0.0.1/24 dev dpdk0', 'EXIST'],
    ['addr add 10.0.0.1/16 dev dpdk0', 'EXIST'],
    ['addr add 10.0.0.9/33 dev dpdk0', 'INVAL'],
    ['addr add 224.0.0.1/24 dev dpdk0', 'INVAL'],
    ['addr add 127.0.0.1/8 dev dpdk0', 'INVAL'],
    ['addr add 0.0.0.0/8 dev dpdk0', 'INVAL'],
    ['addr add 255.255.255.255/32 dev dpdk0', 'INVAL'],
    ['addr add 10.0.0.300/24 dev dpdk0', 'INVAL'],
    ['addr add 10.0.0.9/24 dev dpdk0 broadcast 10.0.0', 'INVAL'],
    ['addr add 10.0.0.9/24 dev dpdk9', 'NODEV'],
    ['addr set 10.0.0.9/24 dev dpdk0', 'NOTEXIST'],
    ['addr set 10.0.0.1/40 dev dpdk0', 'INVAL'],
    ['addr del 10.0.0.9/24 dev dpdk0', 'NOTEXIST'],
    ['addr del 10.0.0.1/25 dev dpdk0', 'NOTEXIST'],
    ['addr del 10.0.0.1/24 dev dpdk1', 'NOTEXIST'],
    ['addr flush dev dpdk9', 'NODEV'],
  ])('%s fails with %s and changes nothing', (line, code) => {
    const m = models();
    all(m, 'addr add 10.0.0.1/24 dev dpdk0');
    const before = [m.snapshot(), m.routes.generation.value];
    expect(dpip(m, line)).toBe(code);
    expect([m.snapshot(), m.routes.generation.value]).toEqual(before);
  });

  it('is named by expired() once its life is over, and lists what remains of it', () => {
    let now = 5000;
    const m = models(() => now);
    all(m, 'addr add 10.0.0.1/24 dev dpdk0 validLft 10', 'addr add 10.0.0.2/24 dev dpdk0');
    now = 14_500;
    expect(m.addresses.list().map((a) => a.validLft)).toEqual([1, 0]);
    expect(m.addresses.expired(14_999)).toEqual([]);
    expect(m.addresses.expired(15_000)).toEqual([{ dev: 'dpdk0', addr: '10.0.0.1' }]);
    for (const p of m.addresses.expired(15_000)) m.apply('addr.del', p);
    expect(m.addresses.list().map((a) => a.addr)).toEqual(['10.0.0.2']);
  });
});

describe('a route', () => {
  const ready = (): InetModels => {
    const m = models();
    all(m, 'addr add 10.0.0.1/24 dev dpdk0', 'addr add 10.1.0.1/24 dev dpdk1');
    return m;
  };

  it('takes its device from the gateway', () => {
    const m = ready();
    all(m, 'route add default via 10.1.0.254', 'route add 20.0.0.0/8 via 10.0.0.254');
    expect(goes(m, '1.1.1.1')).toBe('via 10.1.0.254 dev dpdk1');
    expect(goes(m, '20.1.1.1')).toBe('via 10.0.0.254 dev dpdk0');
  });

  it('has its host bits cut off', () => {
    const m = ready();
    all(m, 'route add 20.1.2.3/8 dev dpdk0');
    expect(goes(m, '20.255.0.1')).toBe('dev dpdk0');
    all(m, 'route del 20.9.9.9/8');
    expect(goes(m, '20.255.0.1')).toBe('none');
  });

  it('with the lowest metric wins among equal prefixes, the first one among equal metrics', () => {
    const m = ready();
    all(m, 'route add default via 10.0.0.254 metric 10', 'route add default via 10.1.0.254 metric 5');
    expect(goes(m, '1.1.1.1')).toBe('via 10.1.0.254 dev dpdk1');
    all(m, 'route add default via 10.0.0.253 metric 5');
    expect(goes(m, '1.1.1.1')).toBe('via 10.1.0.254 dev dpdk1');
    all(m, 'route del default dev dpdk1');
    expect(goes(m, '1.1.1.1')).toBe('via 10.0.0.253 dev dpdk0');
    all(m, 'route set 0.0.0.0/0 dev dpdk0 via 10.0.0.254 metric 1');
    expect(goes(m, '1.1.1.1')).toBe('via 10.0.0.254 dev dpdk0');
  });

  it('on a device that is down yields to an equal prefix on one that is up', () => {
    const m = ready();
    all(m, 'route add default via 10.0.0.254', 'route add default via 10.1.0.254 metric 5');
    m.apply('link.set', { dev: 'dpdk0', up: false });
    expect(goes(m, '1.1.1.1')).toBe('via 10.1.0.254 dev dpdk1');
    m.apply('link.set', { dev: 'dpdk0', up: true });
    expect(goes(m, '1.1.1.1')).toBe('via 10.0.0.254 dev dpdk0');
  });

  it('leads to a gateway that is on link by another route', () => {
    const m = ready();
    all(m, 'route add 30.0.0.1/32 dev dpdk1', 'route add default via 30.0.0.1');
    expect(goes(m, '1.1.1.1')).toBe('via 30.0.0.1 dev dpdk1');
    all(m, 'route del 30.0.0.1/32');
    expect(goes(m, '1.1.1.1')).toBe('none');
  });

  it('goes when the address goes that its gateway or its source needs', () => {
    const m = ready();
    all(
      m,
      'route add default via 10.0.0.254',
      'route add 20.0.0.0/8 dev dpdk1 src 10.0.0.1',
      'route add 40.0.0.0/8 dev dpdk1',
    );
    all(m, 'addr del 10.0.0.1/24 dev dpdk0');
    expect(routes(m).filter((r) => r.endsWith('static'))).toEqual([
      '40.0.0.0/8 via 0.0.0.0 src 0.0.0.0 dev dpdk1 mtu 1500 scope link metric 0 static',
    ]);
  });

  it('of scope host makes an address ours', () => {
    const m = ready();
    all(m, 'route add 50.0.0.1/32 dev dpdk0 scope host');
    expect(goes(m, '50.0.0.1')).toBe('local dpdk0');
  });

  it.each([
    ['route add 20.0.0.0/8', 'INVAL'],
    ['route add 20.0.0.0/8 via 99.0.0.1', 'INVAL'],
    ['route add 20.0.0.0/8 via 10.0.0.254 dev dpdk1', 'INVAL'],
    ['route add 20.0.0.0/8 via 10.0.0.1', 'INVAL'],
    ['route add 20.0.0.0/8 via 10.0.0.255', 'INVAL'],
    ['route add 20.0.0.0/8 dev dpdk0 src 10.0.0.7', 'INVAL'],
    ['route add 20.0.0.0/33 dev dpdk0', 'INVAL'],
    ['route add 20.0.0.0/8 dev dpdk0 local true', 'INVAL'],
    ['route add 20.0.0.1/32 dev dpdk0 scope kni_host', 'NOTSUPP'],
    ['route add 20.0.0.0/8 dev dpdk9', 'NODEV'],
    ['route add 10.0.0.0/24 dev dpdk0', 'EXIST'],
    ['route add 60.0.0.0/8 dev dpdk0', 'EXIST'],
    ['route add 60.0.0.0/8 via 10.0.0.9', 'EXIST'],
    ['route del 20.0.0.0/8', 'NOTEXIST'],
    ['route del 60.0.0.0/9', 'NOTEXIST'],
    ['route del 60.0.0.0/8 dev dpdk1', 'NOTEXIST'],
    ['route del 60.0.0.0/8 via 10.0.0.9', 'NOTEXIST'],
    ['route del 10.0.0.0/24 dev dpdk0', 'INVAL'],
    ['route set 20.0.0.0/8 metric 5', 'NOTEXIST'],
    ['route set 60.0.0.0/8 via 99.0.0.1', 'INVAL'],
    ['route flush dev dpdk9', 'NODEV'],
  ])('%s fails with %s and changes nothing', (line, code) => {
    const m = ready();
    all(m, 'route add 60.0.0.0/8 dev dpdk0');
    const before = [m.snapshot(), routes(m), m.routes.generation.value];
    expect(dpip(m, line)).toBe(code);
    expect([m.snapshot(), routes(m), m.routes.generation.value]).toEqual(before);
  });

  it('may stand beside an equal one on another device', () => {
    const m = ready();
    all(m, 'route add 60.0.0.0/8 dev dpdk0', 'route add 60.0.0.0/8 dev dpdk1', 'route flush dev dpdk0');
    expect(goes(m, '60.1.1.1')).toBe('dev dpdk1');
  });

  it('changes the generation, as everything does that it rests on', () => {
    const m = ready();
    for (const line of [
      'route add default via 10.0.0.254',
      'route set 0.0.0.0/0 mtu 1400',
      'route del default',
      'route flush dev dpdk0',
      'addr add 10.9.0.1/24 dev dpdk2',
      'addr set 10.9.0.1/16 dev dpdk2',
      'addr del 10.9.0.1 dev dpdk2',
      'link set',
    ]) {
      const before = m.routes.generation.value;
      if (line === 'link set') m.apply('link.set', { dev: 'dpdk0', mtu: 1400 });
      else all(m, line);
      expect(m.routes.generation.value, line).not.toBe(before);
    }
  });
});

describe('the source address', () => {
  it.each([
    ['a neighbour gets the address of its subnet', '10.0.0.9', '10.0.0.1'],
    ["a neighbour of a second subnet gets that one's", '10.5.0.9', '10.5.0.1'],
    ["what is behind a gateway gets the address of the gateway's subnet", '20.1.1.1', '10.5.0.1'],
    ['a route may prefer its own', '40.1.1.1', '10.0.0.200'],
    ["a device without addresses lends another's", '50.1.1.1', '10.0.0.1'],
  ])('%s', (_, daddr, expected) => {
    const m = models();
    all(
      m,
      'addr add 10.0.0.1/24 dev dpdk0',
      'addr add 10.0.0.200 dev dpdk0',
      'addr add 10.5.0.1/24 dev dpdk0',
    );
    all(
      m,
      'route add 20.0.0.0/8 via 10.5.0.254',
      'route add 40.0.0.0/8 dev dpdk0 src 10.0.0.200',
      'route add 50.0.0.0/8 dev dpdk2',
    );
    const d = parseIpv4(daddr);
    const r = m.routes.lookup(d)!;
    expect(formatIpv4(m.routes.sourceFor(r.ifindex, r.src, r.via === 0 ? d : r.via))).toBe(expected);
  });

  it('is 0 when we have none', () => {
    const m = models();
    all(m, 'route add default dev dpdk0');
    expect(m.routes.sourceFor(1, 0, 0x01020304)).toBe(0);
  });
});

describe('longest prefix match', () => {
  it('equals the naive search over any set of routes', () => {
    // Few distinct bits, so that prefixes nest and collide.
    const addr = fc.nat(15).map((n) => ((n >>> 2) * 0x40000000 + (n & 3) * 0x00400000 + (n & 1)) >>> 0);
    const route = fc.record({
      dst: addr,
      plen: fc.nat(32),
      dev: fc.nat(2),
      metric: fc.nat(2),
      del: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.array(route, { maxLength: 30 }),
        fc.array(addr, { minLength: 5, maxLength: 20 }),
        (ops, probes) => {
          const m = models();
          let naive: { dst: number; plen: number; dev: string; metric: number }[] = [];
          for (const o of ops) {
            const dst = (o.dst & mask(o.plen)) >>> 0;
            const dev = `dpdk${o.dev}`;
            if (o.del) {
              const code = dpip(m, `route del ${formatIpv4(dst)}/${o.plen} dev ${dev}`);
              const fits = naive
                .filter((r) => r.dst === dst && r.plen === o.plen && r.dev === dev)
                .sort((a, b) => a.metric - b.metric);
              expect(code).toBe(fits.length === 0 ? 'NOTEXIST' : undefined);
              naive = naive.filter((r) => r !== fits[0]);
            } else if (
              dpip(m, `route add ${formatIpv4(dst)}/${o.plen} dev ${dev} metric ${o.metric}`) === undefined
            ) {
              naive.push({ dst, plen: o.plen, dev, metric: o.metric });
            }
          }
          for (const p of probes) {
            const best = naive
              .filter((r) => (p & mask(r.plen)) >>> 0 === r.dst)
              .reduce<(typeof naive)[0] | undefined>(
                (a, r) => (!a || r.plen > a.plen || (r.plen === a.plen && r.metric < a.metric) ? r : a),
                undefined,
              );
            const found = m.routes.lookup(p);
            expect(
              found && { plen: found.plen, dev: m.devices.nameOf(found.ifindex), metric: found.metric },
            ).toEqual(best && { plen: best.plen, dev: best.dev, metric: best.metric });
          }
        },
      ),
    );
  });
});

describe('static neighbours', () => {
  it.each([
    [{ dev: 'dpdk9', addr: '10.0.0.9', lladdr: macOf(9) }, 'NODEV'],
    [{ dev: 'dpdk0', addr: '224.0.0.9', lladdr: macOf(9) }, 'INVAL'],
    [{ dev: 'dpdk0', addr: '10.0.0.9', lladdr: '01:00:00:00:00:09' }, 'INVAL'],
    [{ dev: 'dpdk0', addr: '10.0.0.8', lladdr: macOf(9) }, 'EXIST'],
  ])('%j is refused with %s', (p, code) => {
    const m = models();
    m.apply('neigh.add', { dev: 'dpdk0', addr: '10.0.0.8', lladdr: macOf(8) });
    expect(() => m.apply('neigh.add', p)).toThrow(expect.objectContaining({ code }));
    expect(m.staticNeighs.list()).toEqual([{ dev: 'dpdk0', addr: '10.0.0.8', lladdr: macOf(8) }]);
  });

  it('go by del and by flush of their device', () => {
    const m = models();
    for (const dev of ['dpdk0', 'dpdk1'])
      for (const addr of ['10.0.0.8', '10.0.0.9']) m.apply('neigh.add', { dev, addr, lladdr: macOf(8) });
    m.apply('neigh.del', { dev: 'dpdk0', addr: '10.0.0.8' });
    m.apply('neigh.flush', { dev: 'dpdk1' });
    expect(m.staticNeighs.list().map((n) => `${n.dev} ${n.addr}`)).toEqual(['dpdk0 10.0.0.9']);
    m.apply('neigh.flush', {});
    expect(m.staticNeighs.list()).toEqual([]);
  });
});

describe('a snapshot', () => {
  it('recreates the state from empty, in any history of commands', () => {
    const dev = fc.constantFrom('dpdk0', 'dpdk1', 'dpdk2');
    const host = fc.integer({ min: 1, max: 4 }).map((n) => `10.0.${n & 1}.${n}`);
    const prefix = fc.constantFrom('0.0.0.0/0', '20.0.0.0/8', '10.0.0.4/32', '30.0.0.0/24');
    const line = fc.oneof(
      fc.tuple(host, fc.constantFrom(24, 16, 32), dev).map(([a, p, d]) => `addr add ${a}/${p} dev ${d}`),
      fc.tuple(host, fc.constantFrom(24, 32), dev).map(([a, p, d]) => `addr set ${a}/${p} dev ${d}`),
      fc.tuple(host, dev).map(([a, d]) => `addr del ${a} dev ${d}`),
      fc.tuple(prefix, host, fc.nat(2)).map(([p, g, n]) => `route add ${p} via ${g} metric ${n}`),
      fc.tuple(prefix, dev).map(([p, d]) => `route add ${p} dev ${d}`),
      fc.tuple(prefix, dev, host).map(([p, d, s]) => `route add ${p} dev ${d} src ${s}`),
      fc.tuple(prefix, host).map(([p, g]) => `route set ${p} via ${g} metric 1`),
      prefix.map((p) => `route del ${p}`),
      fc.tuple(host, dev).map(([a, d]) => `neigh add dev ${d} addr ${a} lladdr 02:00:00:00:00:07`),
      dev.map((d) => `addr flush dev ${d}`),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 40 }), (lines) => {
        const m = models();
        for (const l of lines) dpip(m, l);
        const copy = models();
        for (const { op, ...params } of m.snapshot()) copy.apply(op, params);
        expect(copy.snapshot()).toEqual(m.snapshot());
        expect(routes(copy).sort()).toEqual(routes(m).sort());
      }),
    );
  });
});

it('an unknown command is refused', () => {
  expect(() => models().apply('svc.add' as InetOp, {})).toThrow(expect.objectContaining({ code: 'NOTSUPP' }));
});
