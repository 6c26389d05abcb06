/** `ipvsadm` as users type it, against the daemon: examples of LVS's manual, save and restore, filters, statistics. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConnEntry, SvcEntry } from '../../src/control/results.js';
import { Balanced, type Held } from '../support/balanced.js';
import { BIN } from '../support/daemon.js';
import { run, until, type Outcome } from '../support/process.js';
import { ADDRESS } from '../support/topology.js';

const { client, vip, lip } = ADDRESS;
const T = `${vip}:80`;

describe('ipvsadm', () => {
  let b: Balanced;
  beforeAll(async () => {
    b = await Balanced.start('tap', { lcores: 2 });
  });
  afterAll(() => b?.remove());

  const ipvsadm = (line: string, input?: string): Promise<Outcome> =>
    run([`${BIN}/ipvsadm`, ...line.split(' ')], {
      env: { DPVS_IPC_FILE: b.daemon.files.ipc },
      ...(input === undefined ? {} : { input }),
    });
  /** It must succeed. @returns what it printed */
  const ok = async (line: string, input?: string): Promise<string> => {
    const o = await ipvsadm(line, input);
    expect({ line, code: o.code, stderr: o.stderr }).toEqual({ line, code: 0, stderr: '' });
    return o.stdout;
  };
  const lines = (text: string): string[] => text.split('\n').filter((l) => l !== '');

  describe("LVS's manual, example 1: a virtual service with five real servers behind NAT", () => {
    const rules = [
      '-A -t 207.175.44.110:80 -s rr',
      ...[1, 2, 3, 4, 5].map((n) => `-a -t 207.175.44.110:80 -r 192.168.10.${n}:80 -m`),
    ];
    const table = [
      'TCP  207.175.44.110:80 rr',
      ...[1, 2, 3, 4, 5].map(
        (n) => `  -> 192.168.10.${n}:80              Masq    1      0          0         `,
      ),
    ];

    it('line by line', async () => {
      for (const rule of rules) await ok(rule);
      expect(lines(await ok('-Ln -t 207.175.44.110:80')).slice(3)).toEqual(table);
    });

    it('changed and taken away again, with the exit codes of the original', async () => {
      await ok('-E -t 207.175.44.110:80 -s wlc');
      await ok('-e -t 207.175.44.110:80 -r 192.168.10.5:80 -m -w 7');
      await ok('-d -t 207.175.44.110:80 -r 192.168.10.1:80');
      const listed = lines(await ok('-Ln -t 207.175.44.110:80')).slice(3);
      expect(listed).toEqual([
        'TCP  207.175.44.110:80 wlc',
        ...table.slice(2, 5),
        '  -> 192.168.10.5:80              Masq    7      0          0         ',
      ]);
      const refused = async (line: string): Promise<unknown> => {
        const { code, stderr } = await ipvsadm(line);
        return [code, stderr.split('\n')[0]];
      };
      expect(await refused('-A -t 207.175.44.110:80')).toEqual([253, 'Service already exists']);
      expect(await refused('-a -t 207.175.44.110:80 -r 192.168.10.2:80 -m')).toEqual([
        253,
        'Destination already exists',
      ]);
      expect(await refused('-d -t 207.175.44.110:80 -r 192.168.10.1:80')).toEqual([
        252,
        'No such destination',
      ]);
      await ok('-D -t 207.175.44.110:80');
      expect((await ipvsadm('-D -t 207.175.44.110:80')).code).toBe(255);
    });

    it('from standard input, with blanks in front', async () => {
      await ok('-R', rules.map((r) => `    ${r}\n`).join(''));
      expect(lines(await ok('-Ln -t 207.175.44.110:80')).slice(3)).toEqual(table);
      await ok('-D -t 207.175.44.110:80');
    });
  });

  it('saves everything and restores it', async () => {
    await ok('--set 1000 0 60');
    await ok(`-e -t ${T} -r ${ADDRESS.rs1}:80 -x 50000 -y 100 -w 3`);
    const saved = await ok('-Sn');
    const [table, laddrs] = [await ok('-ln'), await ok('-G')];
    expect(lines(saved)).toContain(`-P -t ${T} -z ${lip} -F dpdk0`);
    expect(lines(saved)[0]).toBe('--set 1000 0 60');
    expect(await ok('-L --timeout')).toMatch(/^Timeout \(tcp tcpfin udp\): 1000 \d+ 60\n$/);
    await ok('-C');
    expect(await ok('-Sn')).toBe('--set 1000 0 60\n');
    await ok('-R', saved);
    expect(await ok('-Sn')).toBe(saved);
    expect([await ok('-ln'), await ok('-G')]).toEqual([table, laddrs]);
    await ok(`-e -t ${T} -r ${ADDRESS.rs1}:80 -x 0 -y 0 -w 1`);
  });

  describe('connections', () => {
    let held: Held;
    const list = async (line: string): Promise<ConnEntry[]> => JSON.parse(await ok(line)) as ConnEntry[];
    beforeAll(async () => {
      held = await b.hold(80, 20);
    });
    afterAll(() => held?.end());

    it('are listed with the time that remains', async () => {
      const established = await until('all are established', async () => {
        const conns = await list(`-lncj -t ${T} --state TCP_EST`);
        return conns.length === 20 ? conns : undefined;
      });
      for (const c of established) {
        expect(c).toMatchObject({ proto: 'tcp', client, vaddr: vip, vport: 80, laddr: lip, timeout: 1000 });
        expect(c.remaining).toBeGreaterThan(900);
        expect(c.remaining).toBeLessThanOrEqual(1000);
      }
      expect(lines(await ok(`-lnc -t ${T} --state TCP_EST`))[0]).toMatch(
        /^\[[12]\]tcp (9\d\ds  |1000s ) TCP_EST     192\.168\.100\.3:\d+ +192\.168\.100\.100:80 /,
      );
    });

    it('are found by service, state, lcore and pair of sockets', async () => {
      expect(await list(`-lncj -u ${vip}:7`)).toEqual([]);
      expect(await list(`-lncj -t ${T} --state FIN_WAIT,CLOSE_WAIT`)).toEqual([]);
      const [one, two] = [await list(`-lncj -t ${T} --cpu 1`), await list(`-lncj -t ${T} --cpu 2`)];
      expect(one.length + two.length).toBe(20);
      expect(one.every((c) => c.lcore === 1) && two.every((c) => c.lcore === 2)).toBe(true);
      const c = [...one, ...two][0]!;
      expect(await list(`-lncj --sockpair tcp:${client}:${c.clientPort}:${vip}:80`)).toMatchObject([
        { clientPort: c.clientPort, lport: c.lport },
      ]);
      const answers = `tcp:${c.daddr}:${c.dport}:${c.laddr}:${c.lport}`;
      expect(await list(`-lncj --sockpair ${answers}`)).toMatchObject([{ clientPort: c.clientPort }]);
    });

    it('are counted by local address, on all lcores and on one', async () => {
      const conns = async (line: string): Promise<number> => {
        const entries = JSON.parse(await ok(line)) as { laddrs: { conns: number }[] }[];
        return entries[0]!.laddrs[0]!.conns;
      };
      expect(await conns(`-Gj -t ${T}`)).toBe(20);
      expect((await conns(`-Gj -t ${T} --cpu 1`)) + (await conns(`-Gj -t ${T} --cpu 2`))).toBe(20);
    });

    it('name what is wrong with a filter', async () => {
      expect(await ipvsadm('-lnc --state TCP_FOO')).toMatchObject({
        code: 255,
        stderr: expect.stringContaining("unknown state 'TCP_FOO'") as string,
      });
      expect(await ipvsadm('-lnc --cpu 3')).toMatchObject({
        code: 255,
        stderr: expect.stringContaining('data lcores: 1 to 2') as string,
      });
    });
  });

  describe('statistics', () => {
    const service = async (line: string): Promise<SvcEntry> => {
      const found = JSON.parse(await ok(line)) as SvcEntry[];
      expect(found).toHaveLength(1);
      return found[0]!;
    };

    it('of a service are those of its real servers and lcores, until they are zeroed', async () => {
      await ok('-Z');
      expect(await b.http(300, 10)).toMatchObject({ ok: 300, failed: 0 });
      const all = await service(`-lnj -t ${T}`);
      expect(all.counters.conns).toBe(300);
      expect(all.dests.map((d) => d.counters.conns).reduce((a, n) => a + n)).toBe(300);
      expect(all.counters.outBytes).toBeGreaterThan(all.counters.inBytes);
      const [one, two] = [await service(`-lnj -t ${T} --cpu 1`), await service(`-lnj -t ${T} --cpu 2`)];
      expect(one.counters.conns + two.counters.conns).toBe(300);
      const [, , , totals] = lines(await ok(`-ln -t ${T} --stats -X`));
      expect(totals!.split(/ +/).slice(0, 3)).toEqual(['TCP', T, '300']);
      // A real server takes nothing of it along when it goes.
      const rs = all.dests[0]!.addr;
      await ok(`-d -t ${T} -r ${rs}:80`);
      await ok(`-a -t ${T} -r ${rs}:80 -b`);
      expect((await service(`-lnj -t ${T}`)).counters.conns).toBe(300);
      await ok(`-Z -t ${T}`);
      expect((await service(`-lnj -t ${T}`)).counters.conns).toBe(0);
    });

    it('have true rates', async () => {
      const load = b.http(3000, 20);
      const busy = await until('a rate is seen', async () => {
        const { rates } = await service(`-lnj -t ${T}`);
        return rates.cps > 0 && rates.outBps > 0 ? rates : undefined;
      });
      expect(busy.outPps).toBeGreaterThan(busy.cps);
      expect(await load).toMatchObject({ ok: 3000, failed: 0 });
      await until('the rate is zero again', async () => (await service(`-lnj -t ${T}`)).rates.cps === 0);
    });
  });
});
