/** Start and end of the daemon: good and bad configuration, missing devices, no hugepages, signals, idling. */
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BIN, configText, Daemon, filesFor, nothingLeft, traces } from '../support/daemon.js';
import { type Outcome, run, until } from '../support/process.js';
import { PORT_IF, Topology } from '../support/topology.js';

let t: Topology;
let before: string[];
beforeEach(() => {
  before = traces();
  t = Topology.create('tap');
});
afterEach(() => t.remove());

/** Runs dpvs with a configuration with which it must refuse to start. */
async function refused(conf: string, ...more: string[]): Promise<Outcome> {
  const files = filesFor(t.dir, 'refused');
  writeFileSync(files.conf, conf);
  const command = [join(BIN, 'dpvs'), '-c', files.conf, '-p', files.pid, '-x', files.ipc, ...more];
  const outcome = await t.run('lb', command, { timeoutMs: 20_000 });
  expect(existsSync(files.pid), 'pid file').toBe(false);
  expect(existsSync(files.ipc), 'socket').toBe(false);
  return outcome;
}

describe('a bad configuration', () => {
  it('ends the daemon with every error at its place', async () => {
    const conf = configText(t).replace('log_level INFO', 'log_level LOUD').replace('rss all', 'rss tpc');
    const lines = conf.split('\n');
    const at = (word: string): string => {
      const line = lines.findIndex((l) => l.includes(word));
      return `dpvs.conf:${line + 1}:${lines[line]!.indexOf(word) + 1}`;
    };
    const { code, stderr, stdout } = await refused(conf);
    expect(code).toBe(1);
    expect(stderr + stdout).toContain(at('LOUD'));
    expect(stderr + stdout).toContain(at('tpc'));
    await nothingLeft(before);
  });

  it('is reported the same way by --check, which starts nothing', async () => {
    const file = join(t.dir, 'bad.conf');
    writeFileSync(file, configText(t).replace('log_level INFO', 'log_level LOUD'));
    const bad = await run([join(BIN, 'dpvs'), '--check', file]);
    expect(bad.code).toBe(1);
    expect(bad.stderr + bad.stdout).toMatch(/bad\.conf:\d+:\d+/);
    writeFileSync(file, configText(t));
    expect(await run([join(BIN, 'dpvs'), '--check', file])).toMatchObject({ code: 0 });
  });

  it('names a file that is not there', async () => {
    const o = await t.run('lb', [
      join(BIN, 'dpvs'),
      '-c',
      '/nowhere/dpvs.conf',
      '-p',
      join(t.dir, 'p'),
      '-x',
      join(t.dir, 'x'),
    ]);
    expect(o.code).toBe(1);
    expect(o.stderr + o.stdout).toContain('/nowhere/dpvs.conf');
  });
});

describe('a device that cannot be had', () => {
  it.each([
    ['an interface that does not exist', 'net_af_packet0,iface=nosuchif'],
    ['a driver that does not exist', 'net_nosuchdriver0'],
    ['a PCI address with nothing there', '0000:7f:1f.7'],
    ['an argument that the driver does not know', 'net_af_packet0,iface=lo,nonsense=1'],
  ])('ends the daemon and names it: %s', async (_what, devargs) => {
    const conf = configText(t).replace(/devargs ".*"/, `devargs "${devargs}"`);
    const { code, signal, stderr, stdout } = await refused(conf);
    expect({ code, signal }).toEqual({ code: 1, signal: null });
    expect(stderr + stdout).toContain(devargs.split(',')[0]);
    await nothingLeft(before);
    expect(t.interfaces('lb')).not.toContain(PORT_IF);
  });
});

describe('the end', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)('by %s leaves no file, page or device behind', async (signal) => {
    const d = await Daemon.start(t);
    expect(t.interfaces('lb')).toContain(PORT_IF);
    const { statsFile } = await d.call('info', {});
    expect(existsSync(statsFile)).toBe(true);
    const outcome = await d.stop(signal);
    expect({ code: outcome.code, signal: outcome.signal }).toEqual({ code: 0, signal: null });
    for (const file of [d.files.pid, d.files.ipc, statsFile]) expect(existsSync(file), file).toBe(false);
    expect(t.interfaces('lb')).not.toContain(PORT_IF);
    await nothingLeft(before);
  });

  it('by SIGKILL does not keep the next daemon from starting', async () => {
    const first = await Daemon.start(t);
    first.child.process.kill('SIGKILL');
    await first.child.ended;
    const second = await Daemon.start(t);
    expect(await second.ok('dpip', 'link', 'show')).toContain('1: dpdk0:');
    expect((await second.stop()).code).toBe(0);
    await nothingLeft(before);
  });
});

describe('a second daemon', () => {
  it('with the same pid file is refused and does no harm to the first', async () => {
    const first = await Daemon.start(t);
    const second = Daemon.spawn(t, first.files);
    const outcome = await second.child.ended;
    expect(outcome.code).toBe(1);
    expect(outcome.stderr + outcome.stdout).toContain('already running');
    expect(await first.ok('dpip', 'link', 'show')).toContain('1: dpdk0:');
    expect((await first.stop()).code).toBe(0);
  });
});

describe('without hugepages', () => {
  it('starts, says so, and works', async () => {
    const d = await Daemon.start(t, { ealArgs: ['--no-huge'] });
    expect(await d.ok('dpip', 'link', 'show')).toMatch(/^1: dpdk0: socket 0 mtu 1500 rx-queue 1 tx-queue 1/);
    expect((await d.stop()).code).toBe(0);
    await nothingLeft(before);
  });
});

describe('the control socket', () => {
  it('is for root and its group only', async () => {
    const d = await Daemon.start(t);
    expect(statSync(d.files.ipc).mode & 0o777).toBe(0o660);
    expect((await d.stop()).code).toBe(0);
  });

  it('is missed by the tools in one line, with exit code 2', async () => {
    for (const [tool, ...args] of [
      ['dpip', 'link', 'show'],
      ['ipvsadm', '-ln'],
    ] as const) {
      const o = await run([join(BIN, tool), ...args], { env: { DPVS_IPC_FILE: join(t.dir, 'nobody') } });
      expect(o.code, tool).toBe(2);
      expect(o.stdout).toBe('');
      expect(o.stderr).toContain('dpvs');
    }
  });
});

describe('an idle daemon', () => {
  it('uses under 5 % of a CPU', async () => {
    const d = await Daemon.start(t, { global: 'idle_sleep auto' });
    // Start-up work (compilation, garbage) has to end first.
    const window = 2000;
    const share = await until(
      'it idles',
      async () => {
        const from = { cpu: d.cpuMs(), at: Date.now() };
        await new Promise((resolve) => setTimeout(resolve, window));
        const used = (d.cpuMs() - from.cpu) / (Date.now() - from.at);
        return used < 0.05 && { used };
      },
      20_000,
    );
    expect(share.used).toBeLessThan(0.05);
    expect((await d.stop()).code).toBe(0);
  });
});
