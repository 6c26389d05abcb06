/** Features of services with real clients and servers: passive health checks, and changes under many live connections. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Balanced, settled } from '../support/balanced.js';
import { until } from '../support/process.js';
import { startNginx } from '../support/servers/nginx.js';
import { ADDRESS } from '../support/topology.js';

const { vip, rs1 } = ADDRESS;
const HTTP = `${vip}:80`;

describe('passive health checks', () => {
  let b: Balanced;
  beforeAll(async () => {
    b = await Balanced.start('af_packet', { lcores: 2 });
  });
  afterAll(() => b?.remove());

  /** What the daemon says of real server 1. */
  const first = async (): Promise<{ checkInhibited: boolean; inhibited: boolean }> => {
    const [svc] = await b.daemon.call('svc.list', { svc: { proto: 'tcp', addr: vip, port: 80 } });
    return svc!.dests.find((d) => d.addr === rs1)!;
  };

  it('a killed nginx gets no more connections, and gets some when it is back', async () => {
    await b.daemon.ok('ipvsadm', '-E', '-t', HTTP, '--dest-check', '1,1,3s,3-6s');
    expect(await b.daemon.ok('ipvsadm', '-ln')).toContain(
      `TCP  ${HTTP} rr dest-check internal:1,1,3s,3-6s\n`,
    );
    const both = await b.http(100, 5);
    expect([both.ok, both.servers['rs1']! > 30, (await first()).checkInhibited]).toEqual([100, true, false]);

    await b.nginx.rs1!.stop('SIGKILL');
    await until('dpvs takes it out', async () => {
      await b.http(2, 1);
      return (await first()).checkInhibited;
    });
    expect(await b.http(100, 10)).toMatchObject({ ok: 100, failed: 0, servers: { rs2: 100 } });
    expect(await b.daemon.ok('ipvsadm', '-ln')).toMatch(
      new RegExp(`-> ${rs1}:80 .* 1 +\\d+ +\\d+ +inhibited,dest-check$`, 'm'),
    );
    expect(b.daemon.log).toMatch(
      new RegExp(
        `SERVICE: \\[cid 00, tcp, svc ${HTTP}, rs ${rs1}:80, weight 0, inhibited yes, .*notify slaves DOWN`,
      ),
    );

    b.nginx.rs1 = await startNginx(b.t, 'rs1', b.t.dir);
    await until('it is back', async () => !(await first()).checkInhibited);
    const back = await b.http(100, 5);
    expect([back.ok, back.servers['rs1']! > 30]).toEqual([100, true]);
    expect(b.daemon.log).toContain('notify slaves UP');
  });

  it('what an operator has inhibited stays so', async () => {
    await b.daemon.ok('ipvsadm', '-e', '-t', HTTP, '-r', `${rs1}:80`, '--inhibited');
    expect(await b.http(50, 5)).toMatchObject({ ok: 50, servers: { rs2: 50 } });
    expect(await first()).toMatchObject({ inhibited: true, checkInhibited: false });
    await b.daemon.ok('ipvsadm', '-e', '-t', HTTP, '-r', `${rs1}:80`, '--no-inhibited');
    expect((await b.http(50, 5)).servers['rs1']).toBeGreaterThan(10);
  });

  it('every packet is accounted for and correct', async () => {
    expect((await settled(b.daemon))['held']).toBe(0);
    expect((await b.judge()).bad).toEqual([]);
  });
});
