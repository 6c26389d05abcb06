/** Whatever is typed: an exit code and a sentence, never a stack trace. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { main as dpip } from '../../../src/cli/dpip/main.js';
import { main as dpvs } from '../../../src/cli/dpvs/main.js';
import { main as ipvsadm } from '../../../src/cli/ipvsadm/main.js';
import { ALL } from '../../../src/cli/ipvsadm/options.js';
import { run } from './support.js';

const modules = {
  master: async () => ({ run: async () => 0 }),
  config: async () => ({ loadConfig: () => ({ warnings: [] }) }),
  diagnostics: async () => ({ formatDiagnostics: () => '' }),
};

const values = [
  '10.0.0.1',
  '10.0.0.1/24',
  '10.0.0.1:80',
  '[::1]:80',
  '::1',
  '-1',
  '0',
  '99999999999',
  '--',
  '-',
  '',
  '=',
  'on',
  'up',
  'dpdk0',
  'default',
  'forever',
  'toString',
  '__proto__',
  'constructor',
  '02:00:00:00:00:01',
];
const dpipWords = [
  'link',
  'addr',
  'route',
  'neigh',
  'drop',
  'vlan',
  'show',
  'add',
  'del',
  'set',
  'flush',
  'help',
  'dev',
  'via',
  'src',
  'scope',
  'lladdr',
  'promisc',
  'sapool',
  'cpu',
  'cpu1',
  '-s',
  '-v',
  '-4',
  '-6',
  '-f',
  '-i',
  '-c',
  '-C',
  '-F',
  '-h',
  '-V',
  '-j',
  '-sj',
  '--json',
  '--stats=1',
];
const ipvsadmWords = ALL.flatMap((o) => [`--${o.name}`, ...[...(o.chars ?? '')].map((c) => `-${c}`)]).concat(
  '-ln',
  '-At',
  '-lnc',
  '--tcp-service=10.0.0.1:80',
);
const dpvsWords = ['-c', '--check', '--check=x', '-p', '-x', '-v', '-h', '--', 'FILE'];

/** Empty answers that every listing understands. */
const answers = {
  info: { version: '1' },
  'svc.list': [],
  'laddr.list': [],
  'conn.list': { conns: [] },
  'timeout.get': { tcp: {}, udp: {}, set: {} },
  'link.list': [],
  'lcore.list': [],
  'addr.list': [],
  'route.list': [],
  'neigh.list': [],
  'drop.list': [],
  'acl.list': { entries: [] },
};

const programs = [
  ['dpip', dpip, dpipWords, [0, 1]],
  ['ipvsadm', ipvsadm, ipvsadmWords, [0, 2, 255]],
  [
    'dpvs',
    (argv: string[], host: Parameters<typeof dpip>[1]) => dpvs(argv, { ...host, modules }),
    dpvsWords,
    [0, 1],
  ],
] as const;

describe('any command line', () => {
  it.each(programs)('%s ends with an exit code and no stack trace', async (_, main, vocabulary, codes) => {
    const word = fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(...vocabulary) },
      { weight: 3, arbitrary: fc.constantFrom(...values) },
      { weight: 1, arbitrary: fc.string() },
    );
    // -i without -c goes on for ever
    const argvs = fc
      .array(word, { maxLength: 8 })
      .filter((argv) => !argv.some((w) => /^-[a-zA-Z]*i|^--interval/.test(w)) || main !== dpip);
    await fc.assert(
      fc.asyncProperty(argvs, async (argv) => {
        const { code, err } = await run(main, argv, { answers, stdin: argv.join(' ') });
        expect(codes).toContain(code);
        expect(err).not.toMatch(/internal error|\n\s+at |undefined|\[object/);
        if (code !== 0) expect(err).toMatch(/\S/);
      }),
      { numRuns: 400 },
    );
  });
});
