/** The quick start of the README, as a newcomer runs it. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BIN, nothingLeft, traces } from '../support/daemon.js';
import { Kept, run, succeed, until } from '../support/process.js';

const QUICKSTART = join(dirname(BIN), 'tools', 'quickstart');
const DIR = '/run/dpvs-quickstart';
const namespaces = (): string[] => readdirSync('/run/netns').filter((n) => n.startsWith('dpvs-quickstart-'));

describe('the quick start', () => {
  let before: string[];
  beforeEach(() => {
    if (existsSync(DIR))
      throw new Error(`a quick start is running here: end it first (${QUICKSTART} --stop)`);
    before = traces();
  });
  afterEach(async () => {
    await run([QUICKSTART, '--stop']);
  });

  const allGone = async (): Promise<void> => {
    expect(namespaces()).toEqual([]);
    expect(existsSync(DIR)).toBe(false);
    await nothingLeft(before);
  };

  it('shows a page fetched through a VIP, the servers taking turns, and leaves nothing behind', async () => {
    const out = await succeed([QUICKSTART]);
    expect(out).toMatch(
      /^1: dpdk0: socket 0 mtu 1500 rx-queue 1 tx-queue 1 ?\n {4}UP \d+ Mbps full-duplex /m,
    );
    expect(out).toMatch(/^TCP {2}192\.168\.100\.100:80 rr *$/m);
    expect(out).toMatch(/^ {2}-> 192\.168\.100\.2:80 +FullNat 1 +0 +0 *$/m);
    const answers = [...out.matchAll(/^(rs[12])\nYour ip:port : 192\.168\.100\.3:(\d+)$/gm)];
    expect(answers.map((a) => a[1]).join(' ')).toMatch(/^(rs1 rs2 rs1 rs2|rs2 rs1 rs2 rs1)$/);
    await allGone();
  });

  it('leaves nothing behind when it is interrupted', async () => {
    const child = new Kept([QUICKSTART]);
    await until('dpvs is being started', () => child.stdout.includes('Start dpvs'));
    const outcome = await child.stop('SIGINT', 30_000);
    expect(outcome.code).toBe(130);
    await allGone();
  });

  it('keeps running with --keep until --stop', async () => {
    const out = await succeed([QUICKSTART, '--keep']);
    expect(out).toContain('npm run quickstart -- --stop');
    const page = await succeed([
      'ip',
      'netns',
      'exec',
      'dpvs-quickstart-client',
      'curl',
      '-s',
      '192.168.100.100',
    ]);
    expect(page).toContain('Your ip:port : 192.168.100.3:');
    const list = await succeed([join(BIN, 'ipvsadm'), '-ln'], { env: { DPVS_IPC_FILE: `${DIR}/dpvs.ipc` } });
    expect(list).toContain('192.168.100.4:80');
    expect((await run([QUICKSTART])).stderr).toContain('it still runs');
    await succeed([QUICKSTART, '--stop']);
    await allGone();
  });
});
