/** Defence on two lcores with real clients: limits of each source, and a connection table that a flood fills to the brim. */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Balanced, settled } from '../support/balanced.js';
import { type Kept, until } from '../support/process.js';
import { ADDRESS } from '../support/topology.js';
import { FLOODED_IPVS, startSinks, wave } from '../support/udp-flood.js';

const BURST = fileURLToPath(new URL('../support/agents/tcp-burst.mjs', import.meta.url));
const WAVE = 200_000;
const { vip, client, rs1, rs2 } = ADDRESS;
const OTHER = '192.168.100.77';
const HTTP = `${vip}:80`;

let b: Balanced;
beforeAll(async () => {
  b = await Balanced.start('tap', { lcores: 2, ipvs: FLOODED_IPVS });
  b.t.sh('client', `ip address add ${OTHER}/24 dev eth0`);
});
afterAll(() => b?.remove());

const conns = async (): Promise<number> => {
  const [svc] = await b.daemon.call('svc.list', { svc: { proto: 'tcp', addr: vip, port: 80 } });
  return svc!.counters.conns;
};
const drops = async (name: string): Promise<number> =>
  (await b.daemon.call('drop.list', {})).reduce((n, r) => n + (r.name === name ? r.count : 0), 0);
const event = async (name: string): Promise<number> => {
  const shown = await b.daemon.ok('dpip', 'estats', 'show');
  return Number(new RegExp(`(\\d+) ${name} `).exec(shown)?.[1] ?? 0);
};
const workers = async (): Promise<Record<string, number>[]> =>
  (await b.daemon.call('lcore.list', {})).filter((l) => l.role === 'worker').map((l) => l.stats);
const fetch = (from: string): Promise<string> =>
  b.t.succeed('client', ['curl', '-sf', '--max-time', '20', '--interface', from, `http://${vip}/`]);
const noConnections = (): Promise<unknown> =>
  until('every connection has ended', async () => {
    const { conns: left } = await b.daemon.call('conn.list', {});
    return left.length === 0;
  });

describe('limits of a source', () => {
  const ASKED = 60;
  const LIMIT = 20;
  const burst = (from: string): Kept => b.t.keep('client', ['node', BURST, vip, '80', String(ASKED), from]);
  const opened = (k: Kept): number => (k.stdout.match(/"open"/g) ?? []).length;
  const close = async (k: Kept): Promise<void> => {
    k.process.stdin!.end();
    await k.ended;
    await noConnections();
  };

  it('--src-conns: of 60 connections at once a client has exactly 20, again and again; another is not affected', async () => {
    await b.daemon.ok('ipvsadm', '-E', '-t', HTTP, '-s', 'rr', '--src-conns', String(LIMIT));
    for (let round = 0; round < 2; round++) {
      const [connsBefore, dropsBefore] = [await conns(), await drops('SRC_CONNS')];
      const one = burst(client);
      // All that it was refused it has asked for a second time.
      await until(
        'refused again',
        async () => (await drops('SRC_CONNS')) - dropsBefore >= 2 * (ASKED - LIMIT),
      );
      await until('it has its connections', () => opened(one) >= LIMIT);
      expect([opened(one), (await conns()) - connsBefore]).toEqual([LIMIT, LIMIT]);
      expect((await workers()).reduce((n, l) => n + l['conns']!, 0)).toBe(LIMIT);
      // Both lcores refuse, whichever of them has let in more.
      const refusing = (await b.daemon.call('drop.list', {})).filter((r) => r.name === 'SRC_CONNS');
      expect(refusing.filter((r) => r.count > 0)).toHaveLength(2);
      for (let i = 0; i < 5; i++) expect(await fetch(OTHER)).toContain('rs');
      expect(opened(one)).toBe(LIMIT);
      await close(one);
    }
    expect(b.daemon.log).toContain('source over its limit of new connections');
  });

  it('--src-rate: of 60 connections at once a client gets its burst, then one a second; another is not affected', async () => {
    await b.daemon.ok(
      'ipvsadm',
      '-E',
      '-t',
      HTTP,
      '-s',
      'rr',
      '--src-conns',
      '0',
      '--src-rate',
      '1/s',
      '--src-burst',
      String(LIMIT),
    );
    const [connsBefore, dropsBefore] = [await conns(), await drops('SRC_RATE')];
    const start = Date.now();
    const one = burst(client);
    await until(
      'refused again',
      async () => (await drops('SRC_RATE')) - dropsBefore >= 2 * (ASKED - LIMIT) - 10,
    );
    const got = (await conns()) - connsBefore;
    const seconds = (Date.now() - start) / 1000;
    expect(got).toBeGreaterThanOrEqual(LIMIT);
    expect(got).toBeLessThanOrEqual(LIMIT + Math.floor(seconds));
    for (let i = 0; i < 5; i++) expect(await fetch(OTHER)).toContain('rs');
    await close(one);
    await b.daemon.ok('ipvsadm', '-E', '-t', HTTP, '-s', 'rr', '--src-rate', '0');
    expect(await b.http(100, 20)).toMatchObject({ ok: 100, failed: 0, errors: {} });
    await noConnections();
  });
});

describe('a connection table that a UDP flood fills to the brim', () => {
  it('keeps established connections and lets new ones in, and says so', async () => {
    await startSinks(b.t);
    await b.daemon.rules(`-A -u ${vip}:9 -s rr`, ...[rs1, rs2].map((rs) => `-a -u ${vip}:9 -r ${rs}:9 -m`));
    const held = await b.hold(80, 20, 100);
    expect(b.daemon.log).not.toContain('flood mode');

    // The virtual cable loses much of it.
    let waves = 0;
    while ((await event('FLOOD_EVICTED')) < 1000 || (await workers()).some((l) => l['flood'] !== 1)) {
      expect(waves).toBeLessThan(8);
      expect(await wave(b.t, b.link.mac, WAVE, ++waves)).toBeGreaterThan(WAVE / 2);
    }
    const log = b.daemon.log;
    expect(log).toContain('connection table nearly full: flood mode');
    const capacity = Number(/"?capacity"?[=:] ?(\d+)/.exec(log)?.[1]);
    const full = (await workers()).map((l) => l['conns']!);
    for (const n of full) expect(n).toBeGreaterThan(capacity * 0.9);

    // New clients, with the table full: each takes the place of a datagram that nobody has answered.
    const evicted = await event('FLOOD_EVICTED');
    expect(await b.http(300, 10)).toMatchObject({ ok: 300, failed: 0, errors: {} });
    expect(await fetch(OTHER)).toContain('rs');
    expect(await event('FLOOD_EVICTED')).toBeGreaterThan(evicted);
    expect(await drops('CONN_FULL')).toBe(0);

    // And with the flood going on. What the cable loses costs an honest client its time limit now and then.
    const flood = wave(b.t, b.link.mac, WAVE, ++waves);
    const beside = await b.http(40, 4);
    expect(beside.ok, JSON.stringify(beside.errors)).toBeGreaterThanOrEqual(36);
    await flood;

    expect(held.endedPorts).toEqual([]);
    const { errors, ports } = await held.end();
    expect(errors).toEqual([]);
    expect(Object.keys(ports)).toHaveLength(20);
    for (const p of Object.values(ports)) expect(p.answers).toBeGreaterThan(10);
  }, 120_000);

  it('accounts for every packet', async () => {
    expect((await settled(b.daemon))['held']).toBe(0);
  });
});
