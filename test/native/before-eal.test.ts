import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ADDON, codeOf, lcoreConfig, native } from './support/rig.js';

/** Runs `body` with the addon in a process of its own. */
function run(body: string): { status: number | null; out: string; err: string; result: unknown } {
  const code = `
    const native = require(${JSON.stringify(ADDON)});
    const codeOf = (fn) => { try { fn(); return 'none'; } catch (e) { return e.code + ': ' + e.message; } };
    const log = [];
    const result = (() => { ${body} })();
    setTimeout(() => require('node:fs').writeFileSync(3, JSON.stringify({ result, log })), 50);`;
  const r = spawnSync(process.execPath, ['-e', code], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    encoding: 'utf8',
  });
  return { status: r.status, out: r.stdout, err: r.stderr, result: JSON.parse(String(r.output[3])) };
}

describe('before EAL is initialised', () => {
  const calls: Record<string, () => unknown> = {
    ealCleanup: () => native.ealCleanup(),
    tscHz: () => native.tscHz(),
    mempoolCreate: () => native.mempoolCreate({ name: 'p', count: 64, cache: 0, socket: 0 }),
    mempoolStats: () => native.mempoolStats(),
    memzone: () => native.memzone('z', 64, 0),
    memFree: () => native.memFree(0),
    devAttach: () => native.devAttach('net_null0'),
    devDetach: () => native.devDetach(0),
    ports: () => native.ports(),
    portInfo: () => native.portInfo(0),
    portStart: () => native.portStart(0),
    portStop: () => native.portStop(0),
    portClose: () => native.portClose(0),
    portLink: () => native.portLink(0),
    portStats: () => native.portStats(0),
    threadRegister: () => native.threadRegister(),
    lcoreCreate: () => native.lcoreCreate(lcoreConfig(1, [])),
    lcoreDestroy: () => native.lcoreDestroy(1),
    lcoreBind: () => native.lcoreBind(1),
    lcoreReclaim: () => native.lcoreReclaim(1),
    lcoreSleep: () => native.lcoreSleep(1, 0),
    lcoreWake: () => native.lcoreWake(1),
    poll: () => native.poll(1, 32),
    flush: () => native.flush(1),
    flowInsert: () => native.flowInsert(1, 1),
    flowFind: () => native.flowFind(1, 0, 0, false),
    flowOwner: () => native.flowOwner(1, 0, 0, false),
    flowCount: () => native.flowCount(1),
  };
  for (const [name, call] of Object.entries(calls)) {
    test(`${name} throws EAL_STATE`, () => {
      expect(codeOf(call)).toBe('EAL_STATE');
    });
  }

  test('what needs no EAL works', () => {
    expect(native.dpdkVersion()).toMatch(/^DPDK \d+\.\d+/);
    expect(native.allowedCpus().length).toBeGreaterThan(0);
    expect(native.mapAnonymous(100).byteLength).toBe(100);
  });

  test.each(['-h', '--help', '--hel', '--he', '-vh', '--version'])(
    'argument %s is refused and does not end us',
    (arg) => {
      expect(codeOf(() => native.ealInit([arg], () => {}))).toBe('BAD_ARG');
    },
  );

  test.each([
    ['no array', 'x', () => {}],
    ['a number among the arguments', [1], () => {}],
    ['an argument with a NUL', ['-m\0'], () => {}],
    ['no callback', ['-m', '64'], undefined],
  ])('%s is BAD_ARG', (_, args, onLog) => {
    expect(codeOf(() => native.ealInit(args as string[], onLog as () => void))).toBe('BAD_ARG');
  });
});

describe('an EAL that does not come up', () => {
  test('throws EAL_INIT with the reason, stays silent on the terminal, and cannot be tried again', () => {
    const r = run(`
      const first = codeOf(() => native.ealInit(['--no-such-option'], (l, t) => log.push(t)));
      return [first, codeOf(() => native.ealInit(['--no-huge'], () => {})), codeOf(() => native.ports())];`);
    expect(r.status).toBe(0);
    expect(r.out + r.err).toBe('');
    const { result, log } = r.result as { result: string[]; log: string[] };
    expect(result[0]).toMatch(/^EAL_INIT: ealInit: rte_eal_init: .*no-such-option/);
    expect(result[1]).toMatch(/^EAL_STATE/);
    expect(result[2]).toMatch(/^EAL_STATE/);
    expect(log.join('\n')).toContain('no-such-option');
    expect(log.join('\n')).not.toContain('Usage:');
  });

  test('says so when the memory is not there', () => {
    const r = run(`return codeOf(() => native.ealInit(
      ['--no-huge', '-m', '9999999', '--no-shconf', '--no-pci', '--no-telemetry'], (l, t) => log.push(t)));`);
    expect(r.status).toBe(0);
    expect((r.result as { result: string }).result).toMatch(/^EAL_INIT/);
  });
});

describe('an EAL that comes up', () => {
  test('hands its log to the callback and leaves the terminal alone', () => {
    const r = run(`
      native.ealInit(['--no-huge', '-m', '64', '--no-shconf', '--no-pci', '--no-telemetry', '--log-level=lib.eal:8'],
        (l, t) => log.push([l, t]));
      return native.ports();`);
    expect(r.status).toBe(0);
    expect(r.out + r.err).toBe('');
    const { log } = r.result as { log: [number, string][] };
    expect(log.length).toBeGreaterThan(3);
    for (const [level, text] of log) {
      expect(level).toBeGreaterThanOrEqual(1);
      expect(level).toBeLessThanOrEqual(8);
      expect(text).not.toMatch(/\n/);
    }
  });

  test.each([
    ['is removed where EAL keeps nothing in it', ['--no-shconf'], { after: false }],
    [
      'stays where EAL does',
      [],
      { kept: expect.arrayContaining(['config', 'mp_socket']) as string[], after: true },
    ],
  ])('the runtime folder %s', (_, more, expected) => {
    const prefix = `dpvs-test-${process.pid}`;
    const folder = `/var/run/dpdk/${prefix}`;
    const args = ['--no-huge', '-m', '64', '--no-pci', '--no-telemetry', `--file-prefix=${prefix}`, ...more];
    try {
      const r = run(`
        const { existsSync, readdirSync } = require('node:fs');
        native.ealInit(${JSON.stringify(args)}, () => {});
        const kept = existsSync('${folder}') ? readdirSync('${folder}') : undefined;
        native.ealCleanup();
        return { kept, after: existsSync('${folder}') };`);
      expect((r.result as { result: object }).result).toEqual(expected);
      expect(r.out + r.err).toBe('');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('the process ends by itself while the log callback is registered', () => {
    const r = run(
      `native.ealInit(['--no-huge', '-m', '64', '--no-shconf', '--no-pci', '--no-telemetry'], () => {});`,
    );
    expect(r.status).toBe(0);
  });
});
