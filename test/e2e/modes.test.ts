/** NAT, direct routing and tunnel with real clients and servers, with one arm and two, on one lcore and two. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Arms, FILE_BYTES, type Flag } from '../support/arms.js';
import { settled } from '../support/balanced.js';
import { succeed, until } from '../support/process.js';
import { ADDRESS, FAR } from '../support/topology.js';

const SCENES = [
  { arms: 1, lcores: 1 },
  { arms: 1, lcores: 2 },
  { arms: 2, lcores: 2 },
] as const;
const { vip, client } = ADDRESS;
const noErrors = { failed: 0, errors: {} };
const FORWARD = { '-m': 'Masq', '-g': 'Route', '-i': 'Tunnel' } as const;

describe.each(SCENES)('with $arms arm(s) and $lcores lcore(s)', ({ arms, lcores }) => {
  let a: Arms;
  beforeAll(async () => {
    a = await Arms.start({ arms, lcores });
  });
  afterAll(() => a?.remove());

  describe.each(['-m', '-g', '-i'] as const)('%s', (mode) => {
    it("serves requests from the client's own address", async () => {
      // Direct routing needs the real server on a link of ours; the other one is behind a router.
      await a.serve(arms === 2 && mode === '-g' ? { rs1: mode } : { rs1: mode, rs2: mode });
      const r = await a.http(300, 10);
      expect(r).toMatchObject({ ok: 300, ...noErrors });
      if (arms === 1 || mode !== '-g') expect(r.servers['rs2']).toBeGreaterThan(100);
      expect(await a.seenFrom()).toBe(client);
      expect(await a.daemon.ok('ipvsadm', '-ln')).toMatch(
        new RegExp(`-> ${a.address('rs1')}:80\\s+${FORWARD[mode]}\\s+1`),
      );
      const listed = new RegExp(
        `^\\[\\d\\]tcp \\d+s +\\w+ +${client}:\\d+ +${vip}:80 +${client}:\\d+ +${a.address('rs1')}:80$`,
        'm',
      );
      // What has ended is there for 2 s, and the tool takes its time to start.
      await until('a connection is listed', async () => {
        await a.seenFrom();
        expect(await a.daemon.ok('ipvsadm', '-lnc')).toMatch(listed);
        return true;
      });
    });

    it('carries a 20 MB download unchanged', async () => {
      expect(await a.download()).toBe(a.fileSha);
      const [svc] = await a.daemon.call('svc.list', { svc: { proto: 'tcp', addr: vip, port: 80 } });
      // Only in NAT mode answers are ours.
      if (mode === '-m') expect(svc!.counters.outBytes).toBeGreaterThan(FILE_BYTES);
      else expect(svc!.counters.outPackets).toBe(0);
      expect(svc!.counters.inPackets).toBeGreaterThan(1000);
    });

    it('echoes UDP datagrams of every size that fits', async () => {
      const room = (arms === 1 ? 1500 : FAR.mtu) - 28 - (mode === '-i' ? 20 : 0);
      expect(await a.udpSizes(0, room)).toMatchObject({ answered: room + 1, wrong: 0, unanswered: [] });
    });

    it('echoes UDP datagrams that come and go in fragments, or are cut on the way', async () => {
      for (const [from, to] of [
        [1473, 1480],
        [2990, 3000],
        [40000, 40003],
      ] as const)
        expect(await a.udpSizes(from, to)).toMatchObject({
          answered: to - from + 1,
          wrong: 0,
          unanswered: [],
        });
    });
  });

  it('mixes modes in one service', async () => {
    const pairs: [Flag, Flag][] =
      arms === 1
        ? [
            ['-m', '-g'],
            ['-i', '-b'],
          ]
        : [
            ['-g', '-m'],
            ['-b', '-i'],
          ];
    for (const [one, two] of pairs) {
      await a.serve({ rs1: one, rs2: two });
      const r = await a.http(200, 10);
      expect(r).toMatchObject({ ok: 200, ...noErrors });
      expect(Math.min(r.servers['rs1']!, r.servers['rs2']!)).toBeGreaterThan(60);
    }
  });

  it('saves and restores the modes', async () => {
    await a.serve({ rs1: '-m', rs2: '-i' });
    const saved = await a.daemon.ok('ipvsadm', '-S', '-n');
    expect(saved).toMatch(/ -m -w 1$/m);
    expect(saved).toMatch(/ -i -w 1$/m);
    await a.daemon.rules('-C', saved);
    expect(await a.daemon.ok('ipvsadm', '-S', '-n')).toBe(saved);
    expect(await a.http(50, 5)).toMatchObject({ ok: 50, ...noErrors });
  });

  if (lcores === 2) {
    it('passed packets to the lcore that owns their connection', async () => {
      const workers = (await a.daemon.call('lcore.list', {})).filter((l) => l.role === 'worker');
      for (const l of workers) expect(l.stats['redirIn'], `lcore ${l.id}`).toBeGreaterThan(100);
    });
  }

  it('accounts for every packet and sent only correct frames', async () => {
    expect((await settled(a.daemon))['held']).toBe(0);
    for (const verdict of await a.judge()) {
      expect(verdict.bad).toEqual([]);
      expect(verdict.frames).toBeGreaterThan(1000);
    }
  }, 120_000);
});

describe('the way to the real server', () => {
  let a: Arms;
  beforeAll(async () => {
    a = await Arms.start({ arms: 2, lcores: 1, hops: true });
  });
  afterAll(() => a?.remove());

  it.each(['-m', '-i'] as const)('has hops that traceroute shows: %s', async (mode) => {
    await a.serve({ rs2: mode });
    const out = await a.t.succeed('client', [
      'traceroute',
      '-n',
      '-T',
      '-p',
      '80',
      '-q',
      '1',
      '-w',
      '2',
      '-m',
      '5',
      vip,
    ]);
    const hops = [...out.matchAll(/^ *\d+ +(\S+)/gm)].map((m) => m[1]);
    // Us, the router (NAT hides it behind the virtual address, a tunnel is told by us), the server.
    expect(hops).toEqual([vip, vip, vip]);
  });

  it.each(['-m', '-i'] as const)('has an MTU that tracepath finds: %s', async (mode) => {
    await a.serve({ rs2: mode });
    a.t.sh('client', 'ip route flush cache');
    // tracepath takes another port for each probe.
    for (let port = 44444; port < 44444 + 64; port++) {
      const svc = { proto: 'udp', addr: vip, port } as const;
      await a.daemon.call('svc.add', { svc, scheduler: 'rr' });
      await a.daemon.call('dest.add', {
        svc,
        dest: { addr: FAR.rs2, port },
        fwd: mode === '-m' ? 'nat' : 'tunnel',
      });
    }
    const out = await a.t.succeed('client', ['tracepath', '-n', '-p', '44444', '-m', '6', vip]);
    expect(out).toMatch(new RegExp(`pmtu ${mode === '-m' ? FAR.mtu : FAR.mtu - 20}$`, 'm'));
    expect(out).toContain('reached');
  });

  it('does not stop an upload with large segments', async () => {
    await a.serve({ rs2: '-i' });
    // The route of the client is as new: nothing is known of the path.
    a.t.sh('client', 'ip route flush cache');
    const upload = `head -c 900000 /dev/zero | curl -sf --max-time 20 --data-binary @- http://${vip}/`;
    expect(await a.t.succeed('client', ['sh', '-c', upload])).toContain('rs2');
    const route = await succeed(a.t.in('client', ['ip', 'route', 'get', vip]));
    expect(route).toContain('mtu 1380');
  });

  it('sent only correct frames', async () => {
    await settled(a.daemon);
    for (const { bad } of await a.judge()) expect(bad).toEqual([]);
  }, 120_000);
});
