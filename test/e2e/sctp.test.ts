/** SCTP associations in every mode with real packets: answered only when checksum and verification tag are right. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Arms, type Flag } from '../support/arms.js';
import { AGENT, settled } from '../support/balanced.js';
import { until } from '../support/process.js';
import { ADDRESS } from '../support/topology.js';

const { vip, client } = ADDRESS;
const SVC = `${vip}:3868`;
const MODES: Flag[] = ['-b', '-m', '-g', '-i'];

describe.each([1, 2] as const)('with %i lcore(s)', (lcores) => {
  let a: Arms;
  beforeAll(async () => {
    a = await Arms.start({ arms: 1, lcores });
    for (const host of ['rs1', 'rs2'] as const)
      for (const addr of [a.address(host), vip]) {
        const server = a.t.keep(host, ['python3', AGENT.sctp, 'server', addr, '3868', host]);
        await until('the SCTP server listens', () => {
          if (!server.running) throw new Error(server.stderr);
          return server.stdout.includes('ready');
        });
      }
  });
  afterAll(() => a?.remove());

  it.each(MODES)('%s: associations open, carry data and end, the servers taking turns', async (mode) => {
    const servers = { rs1: mode, rs2: mode };
    await a.serve(servers);
    await a.daemon.rules(...a.service(`--sctp-service ${SVC}`, 3868, servers));
    const out = await a.t.succeed('client', ['python3', AGENT.sctp, 'client', vip, '3868', '10']);
    const r = JSON.parse(out) as { ok: number; errors: string[]; servers: Record<string, number> };
    expect(r).toMatchObject({ ok: 10, errors: [] });
    if (lcores === 1) expect(r.servers).toEqual({ rs1: 5, rs2: 5 });
    expect(await a.daemon.ok('ipvsadm', '-ln')).toContain(`SCTP ${SVC} rr`);
    const conns = await a.daemon.ok('ipvsadm', '-lnc');
    expect(conns).toMatch(new RegExp(`^\\[\\d\\]sctp \\d+s +CLOSED +${client}:30000 +${SVC} `, 'm'));
    const saved = await a.daemon.ok('ipvsadm', '-S', '-n');
    expect(saved).toContain(`-a --sctp-service ${SVC} -r ${a.address('rs1')}:3868 ${mode} -w 1\n`);
    await a.daemon.rules('-C', saved);
    expect(await a.daemon.ok('ipvsadm', '-S', '-n')).toBe(saved);
  });

  it('sent only correct frames, and accounts for every packet', async () => {
    expect((await settled(a.daemon))['held']).toBe(0);
    for (const { bad, frames } of await a.judge()) {
      expect(bad).toEqual([]);
      expect(frames).toBeGreaterThan(500);
    }
  });
});
