/** A Full-NAT service over each kind of port, with real clients and servers; every frame that dpvs sends is judged. */
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Balanced, BIG_BYTES, SHORT_TIMEOUTS, settled } from '../support/balanced.js';
import { nothingLeft, traces } from '../support/daemon.js';
import { until } from '../support/process.js';
import { ADDRESS, type Device, PORT_IF } from '../support/topology.js';

const SCENES: { device: Device; lcores: 1 | 2 }[] = [
  { device: 'tap', lcores: 1 },
  { device: 'tap', lcores: 2 },
  { device: 'af_packet', lcores: 1 },
  { device: 'af_packet', lcores: 2 },
  { device: 'af_xdp', lcores: 1 },
];
const { vip, lip, rs1, rs2 } = ADDRESS;
const noErrors = { failed: 0, errors: {} };

describe.each(SCENES)('over net_$device with $lcores lcore(s)', ({ device, lcores }) => {
  let b: Balanced;
  const before = traces();
  beforeAll(async () => {
    b = await Balanced.start(device, { lcores, ipvs: SHORT_TIMEOUTS });
  });
  afterAll(() => b?.remove());

  it('answers a ping of the VIP', async () => {
    expect(await b.t.ping('client', vip, 10)).toBe('10 packets transmitted, 10 received, 0% packet loss');
  });

  it('serves 1,000 requests one after the other, the servers taking turns', async () => {
    const r = await b.http(1000, 1);
    expect(r).toMatchObject({ ok: 1000, ...noErrors });
    // Each lcore keeps its own turn, so with several lcores the shares are only nearly equal.
    const slack = lcores === 1 ? 0 : 100;
    expect(Math.abs(r.servers['rs1']! - 500)).toBeLessThanOrEqual(slack);
    expect(r.servers['rs1']! + r.servers['rs2']!).toBe(1000);
  });

  it('serves 200 clients at once', async () => {
    expect(await b.http(2000, 200)).toMatchObject({ ok: 2000, ...noErrors });
  });

  it('carries a 100 MB download unchanged', async () => {
    const sha = b.offerBig();
    const fetch = `curl -sf --max-time 50 http://${vip}/big | sha256sum`;
    expect((await b.t.succeed('client', ['sh', '-c', fetch])).split(' ')[0]).toBe(sha);
    const [svc] = await b.daemon.call('svc.list', { svc: { proto: 'tcp', addr: vip, port: 80 } });
    expect(svc!.counters.outBytes).toBeGreaterThan(BIG_BYTES);
  });

  it('echoes UDP datagrams of every size from 0 to 1472 bytes', async () => {
    expect(await b.udpSizes(0, 1472)).toMatchObject({ answered: 1473, wrong: 0, unanswered: [] });
  });

  // The kernel puts datagrams together before it gives them to net_af_packet: those over 2 kB don't fit there.
  const large = device !== 'af_packet';

  it('echoes UDP datagrams that come and go in fragments, up to 64 KiB', async () => {
    const ranges = [
      [1473, 1600],
      ...(large
        ? [
            [2950, 2980],
            [65500, 65507],
          ]
        : []),
    ] as [number, number][];
    for (const [from, to] of ranges) {
      const answered = to - from + 1;
      expect(await b.udpSizes(from, to)).toMatchObject({ answered, wrong: 0, unanswered: [] });
    }
  });

  it('answers pings of the VIP and of its local address that come in fragments', async () => {
    // One after the other: several of 64 KiB at once are too much for the queues of the client's kernel.
    for (const addr of [vip, lip])
      for (const size of ['1900', ...(large ? ['3000', '65507'] : [])])
        for (let i = 0; i < 5; i++)
          expect(await b.t.ping('client', addr, 1, '-s', size)).toBe(
            '1 packets transmitted, 1 received, 0% packet loss',
          );
  });

  it('sends nothing more to a real server that was taken away, and uses it again when it is back', async () => {
    await b.daemon.ok('ipvsadm', '-d', '-t', `${vip}:80`, '-r', `${rs2}:80`);
    expect(await b.http(200, 10)).toMatchObject({ ok: 200, ...noErrors, servers: { rs1: 200 } });
    await b.daemon.ok('ipvsadm', '-a', '-t', `${vip}:80`, '-r', `${rs2}:80`, '-b');
    const back = await b.http(200, 10);
    expect(back).toMatchObject({ ok: 200, ...noErrors });
    expect(back.servers['rs2']).toBeGreaterThan(60);
    await b.daemon.ok('ipvsadm', '-e', '-t', `${vip}:80`, '-r', `${rs1}:80`, '-b', '-w', '0');
    expect(await b.http(50, 5)).toMatchObject({ ok: 50, ...noErrors, servers: { rs2: 50 } });
    await b.daemon.ok('ipvsadm', '-e', '-t', `${vip}:80`, '-r', `${rs1}:80`, '-b', '-w', '1');
  });

  it('spreads held connections by weight with wlc', async () => {
    const held = await b.hold(81, 40);
    const active = await until('40 connections are established', async () => {
      const by = await b.activeByServer('tcp', 81);
      const sum = (by[rs1] ?? 0) + (by[rs2] ?? 0);
      return sum === 40 && by;
    });
    // Weights 1 and 3. Each lcore weighs what it knows: with two, rounding may put a few elsewhere.
    const slack = lcores === 1 ? 1 : 4;
    expect(Math.abs(active[rs1]! - 10)).toBeLessThanOrEqual(slack);
    expect((await held.end()).errors).toEqual([]);
  });

  it('opens and expires 10,000 connections; local ports and counters are back at zero', async () => {
    const conns = async (): Promise<number> => {
      const [svc] = await b.daemon.call('svc.list', { svc: { proto: 'tcp', addr: vip, port: 80 } });
      return svc!.counters.conns;
    };
    const earlier = await conns();
    const r = await b.http(10_000, 100, 10_000);
    expect(r).toMatchObject({ ok: 10_000, ...noErrors });
    expect((await conns()) - earlier).toBe(10_000);

    const rest = await until(
      'every connection has expired',
      async () => {
        const page = await b.daemon.call('conn.list', {});
        return page.conns.length === 0;
      },
      40_000,
      200,
    ).then(async () => {
      const addrs = await b.daemon.call('addr.list', { dev: 'dpdk0' });
      const laddrs = await b.daemon.call('laddr.list', {});
      const svcs = await b.daemon.call('svc.list', {});
      const lcoreConns = (await b.daemon.call('lcore.list', {})).map((l) => l.stats['conns'] ?? 0);
      return {
        portsUsed: addrs.filter((a) => a.addr === lip).reduce((n, a) => n + a.saUsed, 0),
        laddrConns: laddrs.flatMap((s) => s.laddrs).reduce((n, l) => n + l.conns, 0),
        active: svcs.flatMap((s) => s.dests).reduce((n, s) => n + s.active, 0),
        inactive: svcs.flatMap((s) => s.dests).reduce((n, s) => n + s.inactive, 0),
        conns: lcoreConns.reduce((n, c) => n + c, 0),
      };
    });
    expect(rest).toEqual({ portsUsed: 0, laddrConns: 0, active: 0, inactive: 0, conns: 0 });
  });

  if (lcores === 2) {
    it('finds the connection of a reply that arrives on the other lcore', async () => {
      const workers = (await b.daemon.call('lcore.list', {})).filter((l) => l.role === 'worker');
      expect(workers).toHaveLength(2);
      for (const l of workers) {
        expect(l.stats['rxPackets'], `lcore ${l.id} received`).toBeGreaterThan(100);
      }
      // Nothing steers replies on these devices, so about half of them came the long way.
      expect(workers.reduce((n, l) => n + l.stats['redirIn']!, 0)).toBeGreaterThan(100);
    });
  }

  it('accounts for every packet, keeps none, and sent only correct frames', async () => {
    const terms = await settled(b.daemon);
    expect(terms['held']).toBe(0);
    expect(terms['rxPackets']).toBeGreaterThan(100_000);
    const verdict = await b.judge();
    expect(verdict.bad).toEqual([]);
    expect(verdict.frames).toBeGreaterThan(100_000);
  }, 120_000);

  it('ends cleanly on SIGTERM and leaves nothing behind', async () => {
    const outcome = await b.daemon.stop('SIGTERM');
    expect({ code: outcome.code, signal: outcome.signal }).toEqual({ code: 0, signal: null });
    await nothingLeft(before);
    expect(existsSync(b.daemon.files.pid)).toBe(false);
    expect(existsSync(b.daemon.files.ipc)).toBe(false);
    if (device === 'tap') expect(b.t.interfaces('lb')).not.toContain(PORT_IF);
  });
});
