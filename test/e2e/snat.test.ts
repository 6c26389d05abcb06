/**
 * SNAT with dpvs as the gateway of a client inside, one-arm: both networks are on the link of dpdk0.
 *
 *     client .3 ── 192.168.100.0/24 ── .1 dpvs 10.99.0.1 ── 10.99.0.254 rs1 (router) ── 198.51.100.2 rs2 (server)
 *
 * The link between router and server has an MTU of 1400.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AGENT, settled, UDP_ECHO } from '../support/balanced.js';
import { Daemon } from '../support/daemon.js';
import { Recorder } from '../support/judge.js';
import { type Kept, succeed, succeedSync, until } from '../support/process.js';
import { startHaproxy } from '../support/servers/haproxy.js';
import { iperf3, IPERF3_BYTES, startIperf3 } from '../support/servers/iperf3.js';
import { startNginx } from '../support/servers/nginx.js';
import { ADDRESS, Topology } from '../support/topology.js';

const GATE = '192.168.100.1';
const WAN = '10.99.0.1';
const ROUTER = '10.99.0.254';
const SERVER = '198.51.100.2';
const CLIENT2 = '192.168.100.77';
const BIG = 20 * 1024 * 1024;
const MATCH = (proto: string): string =>
  `proto=${proto},src-range=192.168.100.0-192.168.100.254,iif=dpdk0,oif=dpdk0`;

describe.each([{ lcores: 1 }, { lcores: 2 }] as const)('SNAT on $lcores lcore(s)', ({ lcores }) => {
  let t: Topology;
  let d: Daemon;
  let sent: Recorder;
  /** What the server saw. */
  let seen: Kept;
  const big = randomBytes(BIG);

  beforeAll(async () => {
    t = Topology.create('tap', lcores);
    const ip = (host: 'client' | 'rs1' | 'rs2', ...lines: string[]): void =>
      lines.forEach((line) => void succeedSync(['ip', '-n', t.ns(host), ...line.split(' ')]));
    ip('rs1', `address add ${ROUTER}/24 dev eth0`);
    ip('rs1', `link add eth1 mtu 1400 type veth peer name eth1 mtu 1400 netns ${t.ns('rs2')}`);
    ip('rs1', 'address add 198.51.100.1/24 dev eth1', 'link set eth1 up');
    ip('rs2', `address add ${SERVER}/24 dev eth1`, 'link set eth1 up');
    ip('rs2', 'route add 10.99.0.0/24 via 198.51.100.1');
    ip('client', `address add ${CLIENT2}/24 dev eth0`, `route add default via ${GATE}`);
    for (const host of ['rs1', 'rs2'] as const) {
      const set = 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv4/icmp_ratelimit';
      succeedSync(t.in(host, ['sh', '-c', set]));
    }
    writeFileSync(join(t.dir, 'big'), big);
    await startNginx(t, 'rs2', t.dir);
    await startHaproxy(t, 'rs2');
    await startIperf3(t, 'rs2');
    const echo = t.keep('rs2', ['node', UDP_ECHO, '7']);
    await until('the echo server listens', () => echo.stdout.includes('ready'));
    d = await Daemon.start(t, { lcores, sections: 'ipv4_defs {\n    forwarding on\n}\n' });
    const [link] = await d.call('link.list', { dev: 'dpdk0' });
    sent = await Recorder.start(t, link!.mac);
    seen = t.keep('rs2', ['tcpdump', '-i', 'eth1', '-n', '-Z', 'root', '-w', join(t.dir, 'seen.pcap'), 'ip']);
    await until('tcpdump listens', () => seen.stderr.includes('listening on'));
    await d.ok('dpip', 'addr', 'add', `${GATE}/24`, 'dev', 'dpdk0');
    await d.ok('dpip', 'addr', 'add', `${WAN}/24`, 'dev', 'dpdk0', 'sapool');
    await d.ok('dpip', 'route', 'add', 'default', 'via', ROUTER, 'dev', 'dpdk0');
    await d.rules(
      ...['tcp', 'udp', 'icmp'].flatMap((proto) => [
        `-A -s rr -H ${MATCH(proto)}`,
        `-a -H ${MATCH(proto)} -r ${WAN}:0 -w 100 -J`,
      ]),
    );
  }, 90_000);
  afterAll(() => t?.remove());

  const client = (...command: string[]): Promise<string> => t.succeed('client', command);

  it('fetches a page; the server sees the WAN address', async () => {
    const page = await client('curl', '-sf', '--max-time', '10', `http://${SERVER}/`);
    expect(page).toMatch(new RegExp(`Your ip:port : ${WAN.replaceAll('.', '\\.')}:\\d+`));
  });

  it('fetches a page of haproxy, which sees the WAN address too', async () => {
    const page = await client('curl', '-sf', '--max-time', '10', `http://${SERVER}:8080/peer`);
    expect(page).toMatch(new RegExp(`^haproxy ${WAN.replaceAll('.', '\\.')}:\\d+$`, 'm'));
  });

  it('lets iperf3 send 30 MB each way', async () => {
    for (const toClient of [false, true]) {
      const { sent, received } = await iperf3(t, SERVER, IPERF3_BYTES, toClient);
      expect(sent).toBeGreaterThanOrEqual(IPERF3_BYTES);
      expect(received).toBeGreaterThan(IPERF3_BYTES / 2);
    }
  });

  it('carries 20 MB unchanged', async () => {
    const file = join(t.dir, 'fetched');
    await client('curl', '-sf', '--max-time', '60', '-o', file, `http://${SERVER}/big`);
    expect(readFileSync(file).equals(big)).toBe(true);
  }, 90_000);

  it('serves 500 connections, 50 at once', async () => {
    const r = JSON.parse(await client('node', AGENT.httpLoad, `http://${SERVER}/`, '500', '50'));
    expect(r).toMatchObject({ ok: 500, failed: 0, errors: {} });
  });

  it('echoes UDP datagrams of every size up to the MTU of the way', async () => {
    const r = JSON.parse(await client('node', AGENT.udpSizes, SERVER, '7', '0', '1372'));
    expect(r).toMatchObject({ answered: 1373, wrong: 0, unanswered: [] });
  });

  it('echoes UDP datagrams that come and go in fragments', async () => {
    for (const [from, to] of [
      [1473, 1480],
      [40000, 40003],
    ] as const) {
      const r = JSON.parse(await client('node', AGENT.udpSizes, SERVER, '7', String(from), String(to)));
      expect(r).toMatchObject({ answered: to - from + 1, wrong: 0, unanswered: [] });
    }
  });

  it('lets two hosts ping with one identifier at the same time', async () => {
    const ping = (from: string): Promise<string> => t.ping('client', SERVER, 20, '-e', '77', '-I', from);
    const both = await Promise.all([ping(ADDRESS.client), ping(CLIENT2)]);
    for (const sum of both) expect(sum).toBe('20 packets transmitted, 20 received, 0% packet loss');
  });

  it.each([['-U'], ['-I'], ['-T']])('traceroute %s shows the router and the server', async (kind) => {
    // One after the other: servers limit the ICMP errors that they send, and several lcores may turn the order round.
    const out = await client('traceroute', '-n', kind, '-N', '1', '-q', '1', '-w', '5', SERVER);
    const hops = out.split('\n').slice(1, -1);
    expect(hops.map((h) => h.trim().split(/\s+/).slice(0, 2).join(' '))).toEqual([
      `1 ${ROUTER}`,
      `2 ${SERVER}`,
    ]);
  });

  it('tracepath finds the smaller MTU behind the router', async () => {
    expect(await client('tracepath', '-n', SERVER)).toMatch(/pmtu 1400[\s\S]*Resume: pmtu 1400/);
  });

  it('lists, counts, saves and restores', async () => {
    const list = await d.ok('ipvsadm', '-ln');
    expect(list).toContain(
      'MATCH tcp,from=192.168.100.0-192.168.100.254:0-0,iif=dpdk0,oif=dpdk0 rr\n' +
        `  -> ${`${WAN}:0`.padEnd(28)} SNAT    100    `,
    );
    const svcs = await d.call('svc.list', {});
    expect(svcs.map((s) => s.svc.proto)).toEqual(['tcp', 'udp', 'icmp']);
    for (const s of svcs) {
      expect(s.counters.conns).toBeGreaterThan(1);
      expect(s.counters.inPackets).toBeGreaterThan(1);
      expect(s.counters.outPackets).toBeGreaterThan(1);
    }
    // What comes from the internet counts as in.
    expect(svcs[0]!.counters.inBytes).toBeGreaterThan(BIG);
    const conns = await d.call('conn.list', { svc: svcs[1]!.svc });
    expect(conns.conns.length).toBeGreaterThan(0);
    for (const c of conns.conns) expect([c.proto, c.vaddr]).toEqual(['udp', WAN]);
    expect(await d.ok('ipvsadm', '-lnc')).toMatch(/icmp 300s {3}ICMP_NORMAL 198\.51\.100\.2:8/);

    const saved = await d.ok('ipvsadm', '-Sn');
    await d.ok('ipvsadm', '-C');
    await d.rules(saved);
    expect(await d.ok('ipvsadm', '-Sn')).toBe(saved);
    expect(await client('curl', '-sf', '--max-time', '10', `http://${SERVER}/`)).toContain(WAN);
  });

  it('says what is wrong with a match', async () => {
    const o = await d.tool('ipvsadm', '-A', '-H', 'proto=tcp,src-range=1.2.3.4-1.2.3.300');
    expect(o).toMatchObject({ code: 2, stdout: '' });
    expect(o.stderr).toContain("character 29: '1.2.3.300' is not an IPv4 address");
    const unknown = await d.tool('ipvsadm', '-A', '-H', 'proto=tcp,af=ipv4,oif=dpdk9');
    expect(unknown.code).toBe(256 - 27);
    expect(unknown.stderr).toContain('dpdk9');
  });

  it('routes what no service covers', async () => {
    await d.ok('ipvsadm', '-D', '-H', MATCH('icmp'));
    succeedSync(['ip', '-n', t.ns('rs2'), 'route', 'add', '192.168.100.3/32', 'via', '198.51.100.1']);
    succeedSync(['ip', '-n', t.ns('rs1'), 'route', 'add', '192.168.100.3/32', 'via', WAN]);
    expect(await t.ping('client', SERVER, 3)).toBe('3 packets transmitted, 3 received, 0% packet loss');
  });

  it('sent only correct frames, and none from inside to the server until it was told to', async () => {
    if (lcores === 2) {
      const workers = (await d.call('lcore.list', {})).filter((l) => l.role === 'worker');
      expect(workers.reduce((n, l) => n + l.stats['redirIn']!, 0)).toBeGreaterThan(100);
    }
    await settled(d);
    expect((await sent.judge()).bad).toEqual([]);
    await seen.stop('SIGINT');
    const from = (filter: string): Promise<string> =>
      succeed(['tcpdump', '-n', '-r', join(t.dir, 'seen.pcap'), filter]);
    expect(await from('src net 192.168.100.0/24 and not icmp')).toBe('');
    expect((await from(`src host ${WAN}`)).split('\n').length).toBeGreaterThan(1000);
  }, 120_000);
});
