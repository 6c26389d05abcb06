/** Black and white lists on two lcores with real clients: transfers that stop and go on, and a million entries under traffic. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Balanced, settled } from '../support/balanced.js';
import { run, type Kept, until } from '../support/process.js';
import { BIN } from '../support/daemon.js';
import { ADDRESS } from '../support/topology.js';

const DRIP = fileURLToPath(new URL('../support/agents/drip.mjs', import.meta.url));
const { vip, client, rs1, rs2 } = ADDRESS;
const OTHER = '192.168.100.77';
const HTTP = `${vip}:80`;
const PORT = 8081;
const DRIPPING = `${vip}:${PORT}`;
const MILLION = 1_000_000;

let b: Balanced;
beforeAll(async () => {
  b = await Balanced.start('af_packet', { lcores: 2, env: { DPVS_DEBUG: '1' } });
  b.t.sh('client', `ip address add ${OTHER}/24 dev eth0`);
  for (const host of ['rs1', 'rs2'] as const) {
    const server = b.t.keep(host, ['node', DRIP, 'serve', String(PORT)]);
    await until('the server listens', () => server.stdout.includes('ready'));
  }
  await b.daemon.rules(
    `-A -t ${DRIPPING} -s rr`,
    ...[rs1, rs2].map((rs) => `-a -t ${DRIPPING} -r ${rs}:${PORT} -b`),
    `--add-laddr -z ${ADDRESS.lip} -t ${DRIPPING} -F dpdk0`,
  );
});
afterAll(() => b?.remove());

const ipvsadm = (...args: string[]): Promise<string> => b.daemon.ok('ipvsadm', ...args);
const drops = async (): Promise<Record<string, number>> => {
  const out: Record<string, number> = {};
  for (const r of await b.daemon.call('drop.list', {})) out[r.name] = (out[r.name] ?? 0) + r.count;
  return out;
};
const refused = async (): Promise<number> => {
  const { ACL_BLACKLIST = 0, ACL_WHITELIST = 0 } = await drops();
  return ACL_BLACKLIST + ACL_WHITELIST;
};
const curl = (from: string, seconds = 20) =>
  b.t.run('client', ['curl', '-sf', '--max-time', String(seconds), '--interface', from, `http://${vip}/`]);

/** A transfer of a client. */
class Transfer {
  private constructor(private readonly child: Kept) {}

  static async begin(from: string): Promise<Transfer> {
    const t = new Transfer(b.t.keep('client', ['node', DRIP, 'drain', vip, String(PORT), from]));
    await t.goesOn();
    return t;
  }
  get bytes(): number {
    return Number(this.child.stdout.trimEnd().split('\n').at(-1));
  }
  async goesOn(): Promise<void> {
    const before = this.bytes;
    await until('the transfer goes on', () => {
      if (!this.child.running) throw new Error(this.child.stderr || 'the transfer has ended');
      return this.bytes > before + 50_000;
    });
  }
  /**
   * While packets of it are refused.
   * @param other goes on meanwhile
   * @returns bytes that have come nevertheless
   */
  async leaks(other: Transfer): Promise<number> {
    const more = async (): Promise<void> => {
      const from = await refused();
      await until('packets are refused', async () => (await refused()) >= from + 2);
    };
    // What had passed before has arrived by then.
    await more();
    const before = this.bytes;
    await more();
    await other.goesOn();
    return this.bytes - before;
  }
  end(): Promise<unknown> {
    return this.child.stop();
  }
}

describe('a transfer of an established connection', () => {
  let mine: Transfer;
  let others: Transfer;
  beforeAll(async () => {
    mine = await Transfer.begin(client);
    others = await Transfer.begin(OTHER);
  });
  afterAll(() => Promise.all([mine?.end(), others?.end()]));

  // Both ranges have real server 1 in them, the last one real server 2 as well: they are spared.
  const entries = [client, '192.168.100.0/30', '192.168.100.1-192.168.100.5'];
  const services = [
    ['of its service', ['-t', DRIPPING]],
    ['of all sources', []],
  ] as const;
  it.each(services.flatMap(([what, svc]) => entries.map((e) => [what, e, svc] as const)))(
    'stops while its client is on the black list %s by %s, another goes on; off the list it goes on without losing a byte',
    async (_, entry, svc) => {
      await ipvsadm('-U', ...svc, '-k', entry);
      expect(await ipvsadm('-B', '-n', ...svc)).toContain(` ${entry}\n`);
      expect(await mine.leaks(others)).toBe(0);
      // One service is not another.
      expect((await curl(client, svc.length > 0 ? 20 : 1)).code).toBe(svc.length > 0 ? 0 : 28);
      await ipvsadm('-V', ...svc, '-k', entry);
      await mine.goesOn();
    },
  );

  it('stops while a white list of its service has others, who go on; on the list it goes on', async () => {
    await ipvsadm('-O', '-t', DRIPPING, '-2', OTHER);
    expect(await mine.leaks(others)).toBe(0);
    expect((await drops())['ACL_WHITELIST']).toBeGreaterThan(0);
    expect((await curl(client)).code).toBe(0);
    await ipvsadm('-O', '-t', DRIPPING, '-2', '192.168.100.3-192.168.100.4');
    await mine.goesOn();
    await others.goesOn();
    await ipvsadm('-Y', '-t', DRIPPING, '-2', 'all');
    await mine.goesOn();
  });

  it('stops when everybody is on the global black list and only others on the white one', async () => {
    await ipvsadm('-O', '-2', `${OTHER}/32`);
    await ipvsadm('-U', '-k', '0.0.0.0/0');
    expect(await mine.leaks(others)).toBe(0);
    expect([(await curl(client, 1)).code, (await curl(OTHER)).code]).toEqual([28, 0]);
    await ipvsadm('-O', '-2', '192.168.100.2/31');
    await mine.goesOn();
    await ipvsadm('-V', '-k', 'all');
    await ipvsadm('-Y', '-2', 'all');
    await mine.goesOn();
    await others.goesOn();
  });

  it('stops also after its lcore has died: lists are as they were', async () => {
    await ipvsadm('-U', '-t', DRIPPING, '-k', client);
    expect(await mine.leaks(others)).toBe(0);
    for (const lcore of [1, 2]) {
      await b.daemon.call('debug.throw' as never, { lcore } as never);
      await until('it is back', async () => {
        const l = (await b.daemon.call('lcore.list', {})).find((x) => x.id === lcore)!;
        return l.stats['restarts'] === 1 && l.state === 'running';
      });
    }
    await others.goesOn();
    expect(await mine.leaks(others)).toBe(0);
    await ipvsadm('-V', '-t', DRIPPING, '-k', client);
    await mine.goesOn();
  });
});

describe('a million entries', () => {
  /** Addresses and ranges of none of ours, and at the end a client. */
  const entry = (i: number): string => {
    const at = `${20 + (i >>> 17)}.${(i >>> 9) & 255}.${(i >>> 1) & 255}`;
    return i % 2 === 0
      ? `${at}.8`
      : i % 10 === 1
        ? `${at}.64/26`
        : i % 10 === 3
          ? `${at}.10-${at}.15`
          : `${at}.7`;
  };
  const file = (): string => join(b.t.dir, 'list');
  const saved = async (): Promise<string[]> => (await ipvsadm('-S', '-n')).split('\n');
  const lists = (lines: readonly string[]): string[] =>
    lines.flatMap((l) => (/^-U .*-k (.*)$/.exec(l)?.[1] ?? '').split(',').filter((e) => e !== '')).sort();

  it('come from a file in one command while traffic passes: nobody else loses a packet, and memory is bounded', async () => {
    const held = await b.hold(80, 20, 20);
    const [before, rss] = [await drops(), b.daemon.rssBytes()];
    writeFileSync(
      file(),
      `# made up\n${Array.from({ length: MILLION - 1 }, (_, i) => entry(i)).join('\n')}\n${OTHER} # the last one\n`,
    );
    const list = { loading: true };
    const load = ipvsadm('-U', '--file', file()).finally(() => (list.loading = false));
    let fetched = 0;
    do {
      // Another client, with connections of its own, until it is on the list.
      const { answered, wrong } = await b.udpSizes(1, 400);
      expect([answered, wrong]).toEqual([400, 0]);
      expect(await b.http(100, 5)).toMatchObject({ ok: 100, failed: 0 });
      fetched += 100;
    } while (list.loading);
    await load;
    expect(fetched).toBeGreaterThanOrEqual(100);
    expect((await curl(OTHER, 1)).code).toBe(28);
    expect((await curl(client)).code).toBe(0);
    const after = await drops();
    expect(after['ACL_BLACKLIST']! - (before['ACL_BLACKLIST'] ?? 0)).toBeGreaterThan(0);
    // Answers to ARP end here, and what the client's kernel says of a connection that it has closed.
    const lost = Object.keys(after).filter(
      (k) => after[k] !== (before[k] ?? 0) && !['ACL_BLACKLIST', 'ARP_DONE', 'ARP_NOT_OURS'].includes(k),
    );
    expect(lost).toEqual([]);
    const { errors } = await held.end();
    expect(errors).toEqual([]);
    const grown = b.daemon.rssBytes() - rss;
    console.log(`a million entries: ${Math.round(grown / 2 ** 20)} MiB more`);
    expect(grown).toBeLessThan(300 * 2 ** 20);
  }, 120_000);

  it('a wrong line of a file is told by line and column, and nothing of it is applied', async () => {
    const bad = join(b.t.dir, 'bad');
    writeFileSync(
      bad,
      `198.51.100.1\n# fine\n  198.51.100.2 # and\n 198.51.100.3-198.51.100.x\n198.51.100.9/31\n`,
    );
    const o = await b.daemon.tool('ipvsadm', '-U', '-t', HTTP, '--file', bad);
    expect(o.code).toBe(2);
    expect(o.stderr).toContain(`${bad}:4:26: '198.51.100.3-198.51.100.x' is not an address`);
    expect(o.stderr).toContain(`${bad}:5:1: '198.51.100.9/31' has bits behind its prefix (198.51.100.8/31?)`);
    expect(await ipvsadm('-B', '-n', '-t', HTTP)).not.toContain('198.51.100');
    // Right, but for the last line that the daemon has already.
    writeFileSync(bad, `198.51.100.1\n198.51.100.2\n${OTHER}\n`);
    const twice = await b.daemon.tool('ipvsadm', '-U', '--file', bad);
    expect([twice.code, twice.stderr]).toEqual([
      253,
      expect.stringContaining(`${bad}:3:1: Entry already exists`),
    ]);
    expect(lists(await saved())).toHaveLength(MILLION);
  }, 120_000);

  it('are saved and restored as they were', async () => {
    const lines = await saved();
    const all = lists(lines);
    expect(all).toEqual([...Array.from({ length: MILLION - 1 }, (_, i) => entry(i)), OTHER].sort());
    await ipvsadm('-V', '-k', 'all');
    expect(lists(await saved())).toEqual([]);
    expect((await curl(OTHER)).code).toBe(0);
    const input = lines.filter((l) => l.startsWith('-U ')).join('\n');
    const o = await run([join(BIN, 'ipvsadm'), '-R'], { env: { DPVS_IPC_FILE: b.daemon.files.ipc }, input });
    expect([o.code, o.stderr]).toEqual([0, '']);
    expect((await curl(OTHER, 1)).code).toBe(28);
    expect(lists(await saved())).toEqual(all);
    await ipvsadm('-V', '-k', 'all');
    expect((await curl(OTHER)).code).toBe(0);
  }, 120_000);

  it('and every packet is accounted for and correct', async () => {
    expect((await settled(b.daemon))['held']).toBe(0);
    expect((await b.judge()).bad).toEqual([]);
  });
});
