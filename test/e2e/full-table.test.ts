/** Direct routing and tunnel with real clients, when a flood has filled the connection table to the last record. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SvcEntry } from '../../src/control/results.js';
import { Arms, type Flag } from '../support/arms.js';
import { settled } from '../support/balanced.js';
import { until } from '../support/process.js';
import { ADDRESS } from '../support/topology.js';
import { FLOODED_IPVS, startSinks, wave } from '../support/udp-flood.js';

const WAVE = 100_000;
const { vip } = ADDRESS;

let a: Arms;
beforeAll(async () => {
  a = await Arms.start({ arms: 1, lcores: 1, ipvs: FLOODED_IPVS, judged: false });
  await startSinks(a.t);
});
afterAll(() => a?.remove());

const count = async (event: string, port: number): Promise<number> => {
  const services: SvcEntry[] = await a.daemon.call('svc.list', {});
  return services.find((s) => s.svc.port === port)!.events[event] ?? 0;
};
const full = async (): Promise<number> =>
  (await a.daemon.call('drop.list', {})).find((r) => r.lcore === 1 && r.name === 'CONN_FULL')!.count;

describe.each(['-g', '-i'] as const)('a full table, %s', (mode: Flag) => {
  it(
    'new clients are served, known ones go on, and it is counted and told',
    { timeout: 120_000 },
    async () => {
      const servers = { rs1: mode, rs2: mode };
      await a.serve(servers);
      await a.daemon.rules(...a.service(`-u ${vip}:9`, 9, servers));
      const { mac } = (await a.daemon.call('link.list', {})).find((l) => l.name === 'dpdk0')!;
      const download = a.download();
      // The virtual cable loses much of it.
      for (let waves = 1; (await count('FLOOD_HASHED', 9)) < 1000; waves++) {
        expect(waves).toBeLessThan(10);
        await wave(a.t, mac, WAVE, waves);
      }
      expect(await download).toBe(a.fileSha);

      const load = await a.http(200, 10);
      expect(load).toMatchObject({ ok: 200, failed: 0, errors: {} });
      expect(Math.min(load.servers['rs1']!, load.servers['rs2']!)).toBeGreaterThan(30);
      expect(await a.download()).toBe(a.fileSha);
      expect(await a.udpSizes(0, 100)).toMatchObject({ answered: 101, wrong: 0, unanswered: [] });
      // A handshake needs no record, whoever has finished it gets one.
      expect(await count('FLOOD_HASHED', 80)).toBeGreaterThan(0);
      expect(await count('FLOOD_RESUMED', 80)).toBeGreaterThan(0);
      expect(await full()).toBe(0);
      await until('the log tells', () => a.daemon.log.includes('forwarded without a connection'));
    },
  );
});

it('accounts for every packet', async () => {
  expect((await settled(a.daemon))['held']).toBe(0);
});
