/** Features of services with real clients and servers: passive health checks, and changes under many live connections. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Balanced, settled } from '../support/balanced.js';
import { until } from '../support/process.js';
import { startNginx } from '../support/servers/nginx.js';
import { ADDRESS } from '../support/topology.js';

const { vip, rs1, rs2 } = ADDRESS;
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

  /** Kills real server 1 and fetches until the daemon has taken it out once more. */
  async function kill(): Promise<void> {
    const downs = (): number => b.daemon.log.split('notify slaves DOWN').length;
    const before = downs();
    await b.nginx.rs1!.stop('SIGKILL');
    await until('dpvs takes it out', async () => {
      await b.http(2, 1);
      return downs() > before;
    });
  }

  it('a killed nginx gets no more connections until somebody takes it back', async () => {
    await b.daemon.ok('ipvsadm', '-E', '-t', HTTP, '--dest-check', '1,1,3s,300-600s');
    expect(await b.daemon.ok('ipvsadm', '-ln')).toContain(
      `TCP  ${HTTP} rr dest-check internal:1,1,3s,300-600s\n`,
    );
    const both = await b.http(100, 5);
    expect([both.ok, both.servers['rs1']! > 30, (await first()).checkInhibited]).toEqual([100, true, false]);

    await kill();
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
    await b.daemon.ok('ipvsadm', '-e', '-t', HTTP, '-r', `${rs1}:80`, '--no-inhibited');
    const back = await b.http(100, 5);
    expect([back.ok, back.servers['rs1']! > 30]).toEqual([100, true]);
  });

  it('comes back by itself when its time is over', async () => {
    await b.daemon.ok('ipvsadm', '-E', '-t', HTTP, '--dest-check', '1,1,3s,1-2s');
    expect(b.daemon.log).not.toContain('notify slaves UP');
    await kill();
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

describe('with 1,000 live connections', () => {
  const COUNT = 1000;
  let b: Balanced;
  beforeAll(async () => {
    b = await Balanced.start('af_packet', { lcores: 2 });
  });
  afterAll(() => b?.remove());

  /** Client ports of established connections by real server, sorted. */
  async function established(): Promise<Record<string, number[]>> {
    const out: Record<string, number[]> = { [rs1]: [], [rs2]: [] };
    for (let cursor: string | undefined, more = true; more; more = cursor !== undefined) {
      const from = cursor === undefined ? {} : { cursor };
      const page = await b.daemon.call('conn.list', { states: ['TCP_EST'], ...from });
      for (const c of page.conns) if (c.vport === 80) out[c.daddr]!.push(c.clientPort);
      cursor = page.cursor;
    }
    for (const ports of Object.values(out)) ports.sort((x, y) => x - y);
    return out;
  }

  /** Waits until `live` connections, which say something once a second, have all had their turn: two packets of the client each time. */
  async function turns(live: number): Promise<void> {
    const packets = async (): Promise<number> =>
      (await b.daemon.call('svc.list', {})).find((s) => s.svc.port === 80)!.counters.inPackets;
    const from = await packets();
    await until('every connection has had its turn', async () => (await packets()) - from >= 3 * live);
  }

  it('a service is edited, drained and removed: only connections of what is removed end', async () => {
    const ipvsadm = async (...args: string[]): Promise<unknown> => b.daemon.ok('ipvsadm', ...args);
    const held = await b.hold(80, COUNT, 1000);
    const before = await established();
    expect(before[rs1]!.length + before[rs2]!.length).toBe(COUNT);
    expect(Math.min(before[rs1]!.length, before[rs2]!.length)).toBeGreaterThan(COUNT / 3);

    await ipvsadm('-E', '-t', HTTP, '-s', 'wlc');
    await ipvsadm('-E', '-t', HTTP, '-s', 'mh', '-p', '100');
    await ipvsadm('-E', '-t', HTTP, '-s', 'rr', '-p', '0');
    await ipvsadm('-e', '-t', HTTP, '-r', `${rs1}:80`, '-w', '0');
    expect(await b.http(40, 4)).toMatchObject({ ok: 40, failed: 0, servers: { rs2: 40 } });
    await turns(COUNT);
    expect([held.endedPorts, await established()]).toEqual([[], before]);

    // Removed without the option: nothing ends, and a server that comes back finds its connections.
    await ipvsadm('-d', '-t', HTTP, '-r', `${rs1}:80`);
    await turns(COUNT);
    expect(held.endedPorts).toEqual([]);
    await ipvsadm('-a', '-t', HTTP, '-r', `${rs1}:80`, '-b');

    await ipvsadm('-E', '-t', HTTP, '--expire-quiescent');
    await ipvsadm('-d', '-t', HTTP, '-r', `${rs1}:80`);
    await until(
      'those of the removed server have ended',
      () => held.endedPorts.length >= before[rs1]!.length,
    );
    await turns(before[rs2]!.length);
    expect(held.endedPorts).toEqual(before[rs1]);
    expect(await established()).toEqual({ [rs1]: [], [rs2]: before[rs2] });

    await ipvsadm('-D', '-t', HTTP);
    await until('all have ended', () => held.endedPorts.length >= COUNT);
    const { answers } = await held.end();
    expect(answers).toBeGreaterThan(COUNT * 3);
  });

  it('every packet is accounted for and correct', async () => {
    expect((await settled(b.daemon))['held']).toBe(0);
    expect((await b.judge()).bad).toEqual([]);
  });
});
