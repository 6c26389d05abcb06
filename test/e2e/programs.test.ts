/** Programs that the suites of the modes do not run, in every mode, with real servers on a second arm and two lcores. SNAT has its own. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Arms } from '../support/arms.js';
import { settled } from '../support/balanced.js';
import { iperf3, IPERF3_BYTES, startIperf3 } from '../support/servers/iperf3.js';
import { startHaproxy } from '../support/servers/haproxy.js';
import { ADDRESS, FAR, SECOND_IF } from '../support/topology.js';

const { vip, client } = ADDRESS;
const BYTES = 5_000_000;

let a: Arms;
beforeAll(async () => {
  a = await Arms.start({ arms: 2, lcores: 2, hops: true });
  for (const host of ['rs1', 'rs2'] as const) {
    await startHaproxy(a.t, host);
    await startIperf3(a.t, host);
  }
});
afterAll(() => a?.remove());

describe.each(['-b', '-m', '-g', '-i'] as const)('%s', (mode) => {
  // Direct routing needs the real server on a link of ours; the other one is behind a router.
  const server = mode === '-g' ? 'rs1' : 'rs2';
  const service = (port: number): Promise<void> =>
    a.daemon.rules(...a.service(`-t ${vip}:${port}`, port, { [server]: mode }));

  it('haproxy answers, sees whom it should see, and passes a download of 5 MB', async () => {
    await a.serve({ [server]: mode });
    await service(8080);
    const curl = `curl -sf --max-time 20 http://${vip}:8080`;
    const peer = await a.t.succeed('client', ['sh', '-c', `${curl}/peer`]);
    expect(peer).toMatch(new RegExp(`^haproxy ${mode === '-b' ? a.lip : client}:\\d+$`, 'm'));
    const fetched = join(a.t.dir, 'fetched');
    await a.t.succeed('client', ['sh', '-c', `${curl}/file -r 0-${BYTES - 1} -o ${fetched}`]);
    expect(readFileSync(fetched).equals(readFileSync(join(a.t.dir, 'file')).subarray(0, BYTES))).toBe(true);
  });

  it('iperf3 sends 30 MB each way', async () => {
    await service(5201);
    for (const toClient of [false, true]) {
      const { sent, received } = await iperf3(a.t, vip, IPERF3_BYTES, toClient);
      expect(sent).toBeGreaterThanOrEqual(IPERF3_BYTES);
      expect(received).toBeGreaterThan(IPERF3_BYTES / 2);
    }
  });

  // modes.test.ts has these for NAT and tunnel.
  if (mode === '-b' || mode === '-g') {
    it('traceroute shows the hops', async () => {
      const trace = ['traceroute', '-n', '-T', '-p', '80', '-q', '1', '-w', '2', '-m', '5', vip];
      const out = await a.t.succeed('client', trace);
      const hops = [...out.matchAll(/^ *\d+ +(\S+)/gm)].map((m) => m[1]);
      // Us, the router where there is one (hidden behind the virtual address), the server.
      expect(hops).toEqual(mode === '-b' ? [vip, vip, vip] : [vip, vip]);
    });

    it('tracepath finds the MTU of the way', async () => {
      a.t.sh('client', 'ip route flush cache');
      // tracepath takes another port for each probe.
      for (let port = 44444; port < 44444 + 64; port++) {
        const svc = { proto: 'udp', addr: vip, port } as const;
        await a.daemon.call('svc.add', { svc, scheduler: 'rr' });
        const fwd = mode === '-b' ? 'fullnat' : 'dr';
        await a.daemon.call('dest.add', { svc, dest: { addr: a.address(server), port }, fwd });
        if (mode === '-b') await a.daemon.call('laddr.add', { svc, addr: a.lip, dev: SECOND_IF });
      }
      const out = await a.t.succeed('client', ['tracepath', '-n', '-p', '44444', '-m', '6', vip]);
      expect(out).toMatch(new RegExp(`pmtu ${mode === '-b' ? FAR.mtu : 1500}$`, 'm'));
      expect(out).toContain('reached');
    });
  }

  if (mode === '-b') {
    it('UDP datagrams in fragments come back, cut again on the way', async () => {
      for (const [from, to] of [
        [1473, 1480],
        [40000, 40003],
      ] as const)
        expect(await a.udpSizes(from, to)).toMatchObject({
          answered: to - from + 1,
          wrong: 0,
          unanswered: [],
        });
    });
  }
});

it('accounts for every packet and sent only correct frames', async () => {
  expect((await settled(a.daemon))['held']).toBe(0);
  for (const { bad } of await a.judge()) expect(bad).toEqual([]);
}, 120_000);
