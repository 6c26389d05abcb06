import { describe, expect, it } from 'vitest';
import { main, type Modules, type RunOptions } from '../../../src/cli/dpvs/main.js';
import { DpvsError } from '../../../src/core/errors.js';
import { run, words, type Outcome } from './support.js';

interface DpvsOutcome extends Outcome {
  started: RunOptions[];
  checked: string[];
}

async function dpvs(
  line: string,
  load: () => { warnings: { message: string }[] } = () => ({ warnings: [] }),
): Promise<DpvsOutcome> {
  const started: RunOptions[] = [];
  const checked: string[] = [];
  const modules: Modules = {
    master: async () => ({
      run: async (options) => {
        started.push(options);
        return 7;
      },
    }),
    config: async () => ({
      loadConfig: (path) => {
        checked.push(path);
        return load();
      },
    }),
    diagnostics: async () => ({ formatDiagnostics: (list) => `${list.length} warnings` }),
  };
  const outcome = await run((argv, host) => main(argv, { ...host, modules }), words(line));
  return { ...outcome, started, checked };
}

describe('dpvs', () => {
  it("starts the daemon with defaults and ends with the daemon's exit code", async () => {
    const { code, started } = await dpvs('');
    expect({ code, started }).toEqual({ code: 7, started: [{ ealArgs: [] }] });
  });

  it('hands over files and the arguments behind -- untouched', async () => {
    const { started } = await dpvs('-c a.conf --pid-file p -x s -- -a 0000:01:00.0 --file-prefix x -v -- -h');
    expect(started).toEqual([
      {
        conf: 'a.conf',
        pidFile: 'p',
        ipcFile: 's',
        ealArgs: words('-a 0000:01:00.0 --file-prefix x -v -- -h'),
      },
    ]);
  });

  it.each([
    ['--check', '/etc/dpvs.conf'],
    ['--check my.conf', 'my.conf'],
    ['--check=my.conf', 'my.conf'],
    ['--check -c my.conf', 'my.conf'],
    ['-c my.conf --check', 'my.conf'],
  ])('%s checks only', async (line, file) => {
    const { code, out, err, started, checked } = await dpvs(line);
    expect({ code, out, err, started, checked }).toEqual({
      code: 0,
      out: `${file}: ok\n`,
      err: '',
      started: [],
      checked: [file],
    });
  });

  it('--check prints warnings and exits 0', async () => {
    expect(await dpvs('--check x', () => ({ warnings: [{ message: 'w' }] }))).toMatchObject({
      code: 0,
      err: '1 warnings\n',
      out: 'x: ok\n',
    });
  });

  it('--check prints all errors and exits 1', async () => {
    const fail = (): never => {
      throw new DpvsError('INVAL', 'x:3:9: error: bad\n1 error', 'hint');
    };
    expect(await dpvs('--check x', fail)).toMatchObject({
      code: 1,
      err: 'x:3:9: error: bad\n1 error\n',
      out: '',
    });
  });

  it.each([
    ['-c', "option '--conf' needs a value"],
    ['--fred', "unknown option '--fred'"],
    ['-c a -c b', '--conf given twice'],
    ['my.conf', "unexpected word 'my.conf'; arguments for EAL follow after --"],
    ['--check a b', '--check takes one file, not a b'],
  ])('%s is refused, exit 1', async (line, message) => {
    const { code, err, started } = await dpvs(line);
    expect({ code, started }).toEqual({ code: 1, started: [] });
    expect(err.split('\n')[0]).toBe(`dpvs: ${message}`);
  });

  it('-v, -h', async () => {
    expect(await dpvs('-v')).toMatchObject({ code: 0, out: 'dpvs version: 1.2.3\n' });
    expect((await dpvs('--help')).out).toContain('dpvs --check [FILE]');
  });
});
