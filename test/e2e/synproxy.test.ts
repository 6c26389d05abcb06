/** Syn-proxy with real clients and servers, undisturbed and under a flood of SYNs from sources that do not exist. */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Arms } from '../support/arms.js';
import { settled } from '../support/balanced.js';
import { until } from '../support/process.js';
import { ADDRESS } from '../support/topology.js';

const FLOOD = fileURLToPath(new URL('../support/agents/synflood.py', import.meta.url));
const SYNS = 1_000_000;
const { vip, client } = ADDRESS;
const service = ['-t', `${vip}:80`, '-s', 'rr'];
const MODES = ['-b', '-m'] as const;

describe.each([1, 2] as const)('with %i lcore(s)', (lcores) => {
  let a: Arms;
  beforeAll(async () => {
    a = await Arms.start({ arms: 1, lcores });
  });
  afterAll(() => a?.remove());

  const event = async (name: string): Promise<number> => {
    const shown = await a.daemon.ok('dpip', 'estats', 'show');
    return Number(new RegExp(`(\\d+) ${name} `).exec(shown)?.[1] ?? 0);
  };
  const proxied = async (mode: (typeof MODES)[number]): Promise<void> => {
    await a.serve({ rs1: mode, rs2: mode });
    await a.daemon.ok('ipvsadm', '-E', ...service, '-j', 'enable');
  };

  describe.each(MODES)('%s', (mode) => {
    it('serves requests and a download', async () => {
      await proxied(mode);
      expect(await a.daemon.ok('ipvsadm', '-ln')).toMatch(/:80 rr synproxy$/m);
      expect(await a.daemon.ok('ipvsadm', '-S', '-n')).toMatch(/-s rr -j enable$/m);
      expect(await a.http(200, 10)).toMatchObject({ ok: 200, failed: 0, errors: {} });
      expect(await a.seenFrom()).toBe(mode === '-m' ? client : a.lip);
      expect(await a.download()).toBe(a.fileSha);
      expect(await event('SYNPROXY_JOINED')).toBeGreaterThan(200);
    }, 60_000);
  });

  if (lcores === 1)
    it('a flood of a million SYNs leaves no connection, and honest clients beside it are served', async () => {
      await proxied('-b');
      const [link] = await a.daemon.call('link.list', {});
      const before = await event('SYNPROXY_ANSWERED');
      const args = ['eth0', link!.mac, vip, '80', String(SYNS)];
      const flood = a.t.succeed('client', ['python3', FLOOD, ...args], { timeoutMs: 150_000 });
      let served = 0;
      const rounds = (async () => {
        while (served < 100) {
          const r = await a.http(20, 5);
          expect(r).toMatchObject({ ok: 20, failed: 0, errors: {} });
          served += r.ok;
        }
      })();
      const sent = (JSON.parse(await flood) as { sent: number }).sent;
      await rounds;
      expect(sent).toBe(SYNS);
      // The flood waits for answers, so that the virtual cable loses none.
      expect((await event('SYNPROXY_ANSWERED')) - before).toBeGreaterThanOrEqual(SYNS);
      const list = await a.daemon.ok('ipvsadm', '-lnc');
      const open = list.split('\n').filter((line) => line.includes('tcp'));
      for (const line of open) expect(line).toContain(client);
      expect(open.length).toBeLessThanOrEqual(400);
    }, 180_000);

  it('accounts for every packet', async () => {
    expect((await settled(a.daemon))['held']).toBe(0);
  });
});

describe('with every option that can be agreed upon', () => {
  let a: Arms;
  beforeAll(async () => {
    const options = 'synack_options {\n wscale 7\n timestamp on\n}\nclose_client_window on';
    a = await Arms.start({ arms: 1, lcores: 1, synproxy: options });
  });
  afterAll(() => a?.remove());

  it.each(MODES)(
    '%s: requests and a download',
    async (mode) => {
      await a.serve({ rs1: mode, rs2: mode });
      await a.daemon.ok('ipvsadm', '-E', ...service, '-j', 'enable');
      const capture = a.t.keep('client', ['tcpdump', '-i', 'eth0', '-nn', '-c', '1', 'tcp[13] == 18']);
      await until('tcpdump listens', () => capture.stderr.includes('listening'));
      expect(await a.http(200, 10)).toMatchObject({ ok: 200, failed: 0, errors: {} });
      expect(await a.download()).toBe(a.fileSha);
      await capture.ended;
      // What the client was answered.
      expect(capture.stdout).toMatch(/win 0, options \[mss 1452,sackOK,TS val \d+ ecr \d+,nop,wscale 7\]/);
    },
    60_000,
  );
});
