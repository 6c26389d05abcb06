/** Every scheduler in a running instance of two lcores, changed under way. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SCHEDULERS } from '../../src/ipvs/sched/index.js';
import { Balanced, SHORT_TIMEOUTS } from '../support/balanced.js';
import { ADDRESS } from '../support/topology.js';

const { vip, rs1, rs2 } = ADDRESS;
/** These send one client, or all that asks for one address, to one real server. */
const ONE = ['sh', 'dh', 'conhash', 'mh', 'fo', 'lblc', 'lblcr'];

describe('schedulers', () => {
  let b: Balanced;
  beforeAll(async () => {
    b = await Balanced.start('tap', { lcores: 2, ipvs: SHORT_TIMEOUTS });
  });
  afterAll(() => b?.remove());

  const ipvsadm = (line: string): Promise<string> => b.daemon.ok('ipvsadm', ...line.split(' '));
  const weight = (rs: string, w: number): Promise<unknown> =>
    b.daemon.call('dest.edit', {
      svc: { proto: 'tcp', addr: vip, port: 80 },
      dest: { addr: rs, port: 80 },
      weight: w,
    });

  it.each(SCHEDULERS.map((s) => s.name))(
    '%s: every request is served, also while a server drains',
    async (name) => {
      await ipvsadm(`-E -t ${vip}:80 -s ${name}`);
      const both = await b.http(100, 10);
      expect(both).toMatchObject({ ok: 100, failed: 0 });
      // Whoever it was that lblc and lblcr chose on each lcore.
      if (ONE.includes(name) && !name.startsWith('lblc')) expect(Object.values(both.servers)).toEqual([100]);
      for (const [rs, other] of [
        [rs1, 'rs2'],
        [rs2, 'rs1'],
      ] as const) {
        await weight(rs, 0);
        expect(await b.http(50, 10)).toMatchObject({ ok: 50, failed: 0, servers: { [other]: 50 } });
        await weight(rs, 1);
      }
    },
  );

  it('mh tells connections of a client apart by their ports when it is told to', async () => {
    await ipvsadm(`-E -t ${vip}:80 -s mh --sched-flags mh-port`);
    const { servers } = await b.http(300, 10);
    expect(Math.min(servers['rs1'] ?? 0, servers['rs2'] ?? 0)).toBeGreaterThan(75);
    expect(await ipvsadm(`-ln -t ${vip}:80`)).toContain(`TCP  ${vip}:80 mh mh-port`);
    expect(await ipvsadm('-S')).toContain(`-A -t ${vip}:80 -s mh --sched-flags mh-port`);
  });

  it('no change of scheduler, weight or servers disturbs a connection', async () => {
    const held = await b.hold(81, 40, 20);
    for (const { name } of SCHEDULERS) {
      await b.daemon.rules(`-E -t ${vip}:81 -s ${name}`, `-e -t ${vip}:81 -r ${rs1}:80 -b -w ${name.length}`);
    }
    await ipvsadm(`-e -t ${vip}:81 -r ${rs1}:80 -b -w 0`);
    await ipvsadm(`-d -t ${vip}:81 -r ${rs2}:80`);
    const { answers, errors } = await held.end();
    expect(errors).toEqual([]);
    expect(answers).toBeGreaterThan(40);
  });
});
