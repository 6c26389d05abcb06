/** Black and white lists: command lines, files, listings, what is saved. */
import { describe, expect, test } from 'vitest';
import { main } from '../../../src/cli/ipvsadm/main.js';
import { DpvsError } from '../../../src/core/errors.js';
import { run, words } from './support.js';

const svc = { proto: 'tcp', addr: '10.0.0.100', port: 80 };

describe('lines', () => {
  test.each([
    ['-U -t 10.0.0.100:80 -k 10.0.0.0/8', 'acl.add', { svc, list: 'black', entries: ['10.0.0.0/8'] }],
    [
      '-U -k 10.0.0.1 -k 10.0.0.2,10.0.0.4-10.0.0.9',
      'acl.add',
      { list: 'black', entries: ['10.0.0.1', '10.0.0.2', '10.0.0.4-10.0.0.9'] },
    ],
    ['-V -t 10.0.0.100:80 --blklst 10.0.0.1', 'acl.del', { svc, list: 'black', entries: ['10.0.0.1'] }],
    ['-O -t 10.0.0.100:80 -2 10.0.0.1', 'acl.add', { svc, list: 'white', entries: ['10.0.0.1'] }],
    ['-O -210.0.0.1', 'acl.add', { list: 'white', entries: ['10.0.0.1'] }],
    ['-Y -2 10.0.0.1', 'acl.del', { list: 'white', entries: ['10.0.0.1'] }],
    ['-Y -t 10.0.0.100:80 -2 all', 'acl.flush', { svc, list: 'white' }],
  ])('%s', async (line, method, params) => {
    const { code, calls, err } = await run(main, words(line));
    expect([code, err]).toEqual([0, '']);
    expect(calls).toEqual([{ method, params }]);
  });

  test.each([
    [
      '-U -t 10.0.0.100:80',
      "You need to supply the 'blklst' or the 'file' option for the 'add-blklst' command",
    ],
    [
      '-U -k 10.0.0.1 --file x',
      "You need to supply the 'blklst' or the 'file' option for the 'add-blklst' command",
    ],
    ['-U -k 10.0.0.1/8', "illegal black list entry: '10.0.0.1/8' has bits behind its prefix (10.0.0.0/8?)"],
    ['-U -k all', "illegal black list entry: 'all' is not an address, prefix or range"],
    ['-U -k ipset:bad', "'ipset:bad': sets of the kernel cannot be looked up from here (ipsets come later"],
    ['-U -2 10.0.0.1', "Illegal 'whtlst' option with the 'add-blklst' command"],
    ['-B -k 10.0.0.1', "Illegal 'blklst' option with the 'get-blklst' command"],
  ])('%s is refused', async (line, text) => {
    const { code, calls, err } = await run(main, words(line));
    expect([code, calls]).toEqual([2, []]);
    expect(err).toContain(text);
  });

  test('an entry that is there already, or is not, is told as the original does', async () => {
    const refuse = (code: 'EXIST' | 'NOTEXIST') => (): never => {
      throw new DpvsError(code, '10.0.0.1 …');
    };
    const add = await run(main, words('-U -k 10.0.0.1'), { answers: { 'acl.add': refuse('EXIST') } });
    expect([add.code, add.err.split('\n')[0]]).toEqual([253, 'Entry already exists']);
    const del = await run(main, words('-V -k 10.0.0.1'), { answers: { 'acl.del': refuse('NOTEXIST') } });
    expect([del.code, del.err.split('\n')[0]]).toEqual([252, 'No such entry']);
  });
});

describe('files', () => {
  test('comments, blanks and empty lines are nothing; the parts of a load have one name', async () => {
    const lines = Array.from({ length: 20_001 }, (_, i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
    const text = `# bad ones\n\n  ${lines.join(' # x\r\n')} ; y\n`;
    const { code, calls } = await run(main, words('-U -t 10.0.0.100:80 --file f'), { files: { f: text } });
    expect(code).toBe(0);
    const parts = calls.map(
      (c) => c.params as { entries: string[]; load: string; more: boolean; svc: unknown },
    );
    expect(parts.map((p) => [p.entries.length, p.more])).toEqual([
      [20_000, true],
      [1, false],
    ]);
    expect(parts.flatMap((p) => p.entries)).toEqual(lines);
    expect(new Set(parts.map((p) => p.load)).size).toBe(1);
    expect(parts[0]!.svc).toEqual(svc);
  });

  test('wrong lines are told with their places, and nothing is sent', async () => {
    const stdin = '10.0.0.1\n 10.0.0.x # no\n10.0.0.0/8\n10.0.0.0/99\n';
    const { code, calls, err } = await run(main, words('-U --file -'), { stdin });
    expect([code, calls]).toEqual([2, []]);
    expect(err).toContain("-:2:9: '10.0.0.x' is not an address");
    expect(err).toContain("-:4:10: '10.0.0.0/99' is not");
  });

  test('what the daemon refuses is told with its place', async () => {
    const answers = {
      'acl.add': () => {
        throw new DpvsError('EXIST', '10.0.0.2 is on the global black list already');
      },
    };
    const files = { f: '10.0.0.1\n10.0.0.2\n  10.0.0.2\n' };
    const { err } = await run(main, words('-U --file f'), { answers, files });
    expect(err).toBe('f:3:3: Entry already exists\n  10.0.0.2 is on the global black list already\n');
  });

  test('a file that is not there', async () => {
    expect((await run(main, words('-U --file none'))).err).toContain('cannot read none');
  });
});

test('--restore takes lists of any length: messages stay as long as they may be', async () => {
  const at = (i: number): string => `100.${i >> 14}.${(i >> 6) & 255}.${(i & 63) + 100}-100.255.255.255`;
  const lines = Array.from(
    { length: 150 },
    (_, n) => `-U -k ${Array.from({ length: 500 }, (_e, i) => at(n * 500 + i)).join(',')}\n`,
  );
  const { code, err, calls } = await run(main, ['-R'], { stdin: lines.join('') });
  expect([code, err]).toEqual([0, '']);
  expect(calls).toHaveLength(150);
  expect(calls.flatMap((c) => (c.params as { entries: string[] }).entries)).toHaveLength(75_000);
});

describe('listings', () => {
  const pages = {
    'acl.list': ({ cursor }: { cursor?: string }) =>
      cursor === undefined
        ? { entries: [{ svc, list: 'black', entry: '10.0.0.0/8' }], cursor: '7' }
        : { entries: [{ list: 'black', entry: '192.0.2.1' }] },
  };

  test('-B prints page by page, in the columns of the original', async () => {
    const { out, calls } = await run(main, words('-B -n'), { answers: pages });
    expect(out).toBe(
      'PROTO    VIP:VPORT                      BLACKLIST\n' +
        'TCP      10.0.0.100:80                  10.0.0.0/8\n' +
        'ALL      *                              192.0.2.1\n',
    );
    expect(calls.map((c) => (c.params as { cursor?: string }).cursor)).toEqual([undefined, '7']);
  });

  test('-W -t … -j asks for one service and prints JSON', async () => {
    const { out, calls } = await run(main, words('-W -t 10.0.0.100:80 -j'), { answers: pages });
    expect(calls[0]).toMatchObject({ method: 'acl.list', params: { svc, list: 'white' } });
    expect(JSON.parse(out)).toHaveLength(2);
  });
});
