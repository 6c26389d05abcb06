/** The programs as they are installed: bundles, launchers, exit codes, a daemon on a real socket. */
import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DpvsError } from '../../../src/core/errors.js';
import { rpcServer, type RpcServer } from './rpc-server.js';

const top = fileURLToPath(new URL('../../..', import.meta.url));
const home = mkdtempSync(join(tmpdir(), 'dpvs-launcher-'));
const BINS = ['dpvs', 'dpip', 'ipvsadm'] as const;
let server: RpcServer;

interface Exit {
  code: number | null;
  out: string;
  err: string;
}

function exec(
  file: string,
  argv: string[],
  { stdin = '', env = {}, cwd = '/', uid = process.getuid!() } = {},
): Promise<Exit> {
  return new Promise((done, failed) => {
    const child = spawn(file, argv, {
      cwd,
      uid,
      env: { PATH: process.env['PATH'], DPVS_IPC_FILE: server.path, ...env },
    });
    const exit: Exit = { code: null, out: '', err: '' };
    child.stdout.on('data', (d) => (exit.out += String(d)));
    child.stderr.on('data', (d) => (exit.err += String(d)));
    child.on('error', failed);
    child.on('close', (code) => done({ ...exit, code }));
    child.stdin.on('error', () => {});
    child.stdin.end(stdin);
  });
}

beforeAll(async () => {
  cpSync(join(top, 'bin'), join(home, 'bin'), { recursive: true });
  execFileSync(process.execPath, [join(top, 'tools/bundle.mjs'), join(home, 'dist')], { stdio: 'pipe' });
  server = await rpcServer(({ method }) => {
    if (method === 'svc.list') return [];
    if (method === 'info') return { version: '9.9.9' };
    if (method === 'batch') return { done: 2 };
    if (method === 'svc.add') throw new DpvsError('EXIST', 'tcp 10.0.0.1:80 exists');
    return null;
  });
});

afterAll(async () => {
  await server.close();
  rmSync(home, { recursive: true, force: true });
});

describe('the installed programs', () => {
  it('ask the daemon at DPVS_IPC_FILE, from any folder and through a symbolic link', async () => {
    symlinkSync(join(home, 'bin', 'ipvsadm'), join(home, 'link'));
    const title =
      'IP Virtual Server version 9.9.9 (size=0)\nProt LocalAddress:Port Scheduler Flags\n' +
      '  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n';
    for (const file of [join(home, 'bin', 'ipvsadm'), join(home, 'link')]) {
      for (const cwd of ['/', home])
        expect(await exec(file, ['-ln'], { cwd })).toEqual({ code: 0, out: title, err: '' });
    }
  });

  it('send commands and report refusals by exit code', async () => {
    const dpip = await exec(join(home, 'bin', 'dpip'), ['addr', 'add', '10.0.0.1/24', 'dev', 'dpdk0']);
    expect(dpip).toEqual({ code: 0, out: '', err: '' });
    expect(server.calls).toContainEqual({
      method: 'addr.add',
      params: { dev: 'dpdk0', addr: '10.0.0.1', plen: 24 },
    });
    const refused = await exec(join(home, 'bin', 'ipvsadm'), ['-A', '-t', '10.0.0.1:80']);
    expect(refused).toEqual({
      code: 253,
      out: '',
      err: 'Service already exists\n  tcp 10.0.0.1:80 exists\n',
    });
  });

  it('read standard input only to restore', async () => {
    const restored = await exec(join(home, 'bin', 'ipvsadm'), ['-R'], { stdin: '-C\n-D -t 10.0.0.1:80\n' });
    expect(restored).toEqual({ code: 0, out: '', err: '' });
    expect(server.calls.at(-1)).toMatchObject({
      method: 'batch',
      params: { commands: [{ method: 'svc.flush' }, { method: 'svc.del' }] },
    });
  });

  it.each(['dpip', 'ipvsadm'])('%s says in one line that there is no daemon, exit 2', async (bin) => {
    const argv = bin === 'dpip' ? ['link', 'show'] : ['-ln'];
    const exit = await exec(join(home, 'bin', bin), argv, { env: { DPVS_IPC_FILE: '/nonexistent/ipc' } });
    expect(exit).toEqual({ code: 2, out: '', err: 'dpvs is not running (no socket at /nonexistent/ipc)\n' });
  });

  it('say that permission is missing', async () => {
    const NOBODY = 65534;
    for (const dir of [home, server.dir]) chmodSync(dir, 0o755);
    chmodSync(server.path, 0);
    const uid = process.getuid!() === 0 ? NOBODY : process.getuid!();
    const exit = await exec(join(home, 'bin', 'dpip'), ['link', 'show'], { uid });
    chmodSync(server.path, 0o600);
    const err = `no permission for ${server.path}: be root or in the group of the socket\n`;
    expect(exit).toEqual({ code: 2, out: '', err });
  });

  it('do not mind a development environment', async () => {
    const exit = await exec(join(home, 'bin', 'ipvsadm'), [], {
      env: { NODE_ENV: 'development', HOME: '/nonexistent' },
    });
    expect({ code: exit.code, err: exit.err }).toEqual({ code: 0, err: '' });
  });

  it('dpvs loads the daemon from dist, and ends with its exit code', async () => {
    const modules: [string, string][] = [
      ['master/main.js', 'export const run = async (o) => { console.log(JSON.stringify(o)); return 5; };'],
      [
        'config/config.js',
        "export const loadConfig = (f) => { const e = new Error(f + ':1:1: error: bad'); e.name = 'DpvsError'; throw e; };",
      ],
    ];
    writeFileSync(join(home, 'package.json'), '{ "type": "module" }');
    for (const [path, text] of modules) {
      mkdirSync(join(home, 'dist', path, '..'), { recursive: true });
      writeFileSync(join(home, 'dist', path), text);
    }
    const dpvs = join(home, 'bin', 'dpvs');
    expect(await exec(dpvs, ['-c', 'x', '--', '-l', '1'])).toEqual({
      code: 5,
      out: '{"conf":"x","ealArgs":["-l","1"]}\n',
      err: '',
    });
    expect(await exec(dpvs, ['--check', 'x'])).toEqual({ code: 1, out: '', err: 'x:1:1: error: bad\n' });
  });

  it('say what to do when they are not built', async () => {
    const bare = join(home, 'bare');
    cpSync(join(top, 'bin'), join(bare, 'bin'), { recursive: true });
    for (const bin of BINS) {
      const exit = await exec(join(bare, 'bin', bin), ['-h']);
      expect(exit).toEqual({
        code: 1,
        out: '',
        err: `${bin}: not built yet: run \`npm run build\` in ${bare}\n`,
      });
    }
  });

  it.each(BINS)('%s starts from its code cache, and without zod', (bin) => {
    const file = join(home, 'dist', 'cli', bin, 'bundle.cjs');
    const { load } = createRequire(import.meta.url)(join(home, 'bin', 'launch.js')) as {
      load: (file: string) => { script: { cachedDataRejected?: boolean } };
    };
    // undefined: there was no cache; true: V8 refused it
    expect(load(file).script.cachedDataRejected).toBe(false);
    expect(readFileSync(file, 'utf8')).not.toContain('ZodError');
  });
});
