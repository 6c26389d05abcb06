import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConfigError, checkText, formatDiagnostics, loadConfig } from '../../../src/config/config.js';
import { ITEMS } from '../../../src/config/items.js';
import { brief, diagnose, load, where } from './support.js';

describe("the original's syntax", () => {
  test('comments, <attributes>, quoted words, braces on either line, several statements of a block on its line', () => {
    const { config, warnings } = load(`\uFEFF! comment { that opens nothing
# another "
global_defs<init>
! between
{
    <init> log_level   WARNING   <none, EMERG|ALERT>   ! trailing
    log_file "/var/log/a b{}<x>!#.log" # trailing
}
<init> neigh_defs { timeout 30 } ipv4_defs { forwarding on }
\tnetif_defs {\r
        <init> device dpdk0 { rx { queue_number 2 } promisc_mode }\r
}\r
`);
    expect(warnings).toEqual([]);
    expect(config.global).toMatchObject({ logLevel: 'WARNING', logFile: '/var/log/a b{}<x>!#.log' });
    expect(config.neigh.timeoutS).toBe(30);
    expect(config.ipv4.forwarding).toBe(true);
    expect(config.netif.devices).toMatchObject([{ name: 'dpdk0', promisc: true, rx: { queues: 2 } }]);
  });

  test('a comment sign inside a word is part of the word', () => {
    expect(load('global_defs { log_file /tmp/a!b#c }').config.global.logFile).toBe('/tmp/a!b#c');
  });

  test('blocks of the same name are read as one', () => {
    const { config, warnings } = load('neigh_defs { timeout 30 }\nneigh_defs { unres_queue_length 64 }');
    expect(config.neigh).toEqual({ timeoutS: 30, unresQueueLength: 64 });
    expect(warnings).toEqual([]);
  });

  test('a key that is set twice keeps the last value, with a warning that names both places', () => {
    const text = 'neigh_defs {\n  timeout 30\n  timeout 40\n}';
    const { config, warnings } = load(text);
    expect(config.neigh.timeoutS).toBe(40);
    expect(brief(warnings, 'warning')).toEqual([
      "3:3 'timeout' is set again: this value replaces the one at test.conf:2:3",
    ]);
  });

  test('idle_sleep is known in global_defs and worker_defs, and is one value', () => {
    expect(load('global_defs { idle_sleep off }').config.idleSleep).toBe('off');
    expect(load('worker_defs { idle_sleep 50 }').config.idleSleep).toBe(50);
    const both = load('global_defs { idle_sleep off }\nworker_defs { idle_sleep auto }');
    expect(both.config.idleSleep).toBe('auto');
    expect(brief(both.warnings, 'warning')[0]).toContain("'idle_sleep' is set again");
  });
});

describe('syntax errors', () => {
  test.each([
    ['global_defs {\n  daemon\n', "1:13 this '{' is never closed"],
    ['global_defs {\n}\n}\n', "3:1 this '}' closes nothing"],
    ['{ daemon }', '1:1 a block without a keyword'],
    ['global_defs { { } }', '1:15 a block without a keyword'],
    ['global_defs { log_file "abc\n}', "1:24 a quoted word without its closing '\"'"],
    ['<init global_defs { }', "1:1 a '<' without its '>'"],
    ['a { '.repeat(40), '1:131 blocks nested deeper than 32'],
  ])('%j', (text, error) => {
    expect(brief(diagnose(text))).toContain(error);
  });

  test('are reported once each, and everything after them is still read', () => {
    const text = `global_defs {
    log_file "unfinished
    log_level NONSENSE
}
}
neigh_defs { timeout 0 }
<never closed
ipv4_defs { forwarding maybe }
`;
    expect(brief(diagnose(text))).toEqual([
      "2:14 a quoted word without its closing '\"'",
      "3:15 'NONSENSE' is no value of 'log_level'",
      "5:1 this '}' closes nothing",
      "6:22 0 is out of range, in 'timeout'",
      "7:1 a '<' without its '>'",
      "8:24 'maybe' is no value of 'forwarding'",
    ]);
  });

  test('a missing brace is reported at the block that shows it, and the blocks after it are read where they belong', () => {
    const text = `netif_defs {
    device dpdk0 {
        mtu 1400
worker_defs {
    worker cpu0 {
        cpu_id 1
    worker cpu1 {
        cpu_id 1
    }
}
neigh_defs { timeout 99999 }
`;
    expect(brief(diagnose(text))).toEqual([
      "1:12 this '{' is never closed",
      "2:18 this '{' is never closed",
      "4:1 'worker_defs' stands in netif_defs/device NAME, where it doesn't belong",
      "4:13 this '{' is never closed",
      "7:5 'worker' stands in worker_defs/worker NAME, where it doesn't belong",
      "8:16 worker 'cpu1' has the cpu_id 1 of worker 'cpu0' at test.conf:6:16",
      "11:22 99999 is out of range, in 'timeout'",
    ]);
  });
});

describe('words that are not known', () => {
  test.each([
    [
      'global_defs { log_levl INFO }',
      "1:15 unknown key 'log_levl' in global_defs",
      "did you mean 'log_level'?",
    ],
    ['globl_defs { }', "1:1 unknown key 'globl_defs' at top level", "did you mean 'global_defs'?"],
    [
      'global_defs { mtu 1500 }',
      "1:15 unknown key 'mtu' in global_defs",
      'it belongs in netif_defs/device NAME',
    ],
    ['sa_pool { xyzzy 1 }', "1:11 unknown key 'xyzzy' in sa_pool", 'known here: pool_hash_size, flow_enable'],
    [
      'ipv4_defs { forwarding onn }',
      "1:24 'onn' is no value of 'forwarding'",
      "did you mean 'on'? It takes on|off",
    ],
    [
      'netif_defs { device d { rx { rss tcp|upd } } }',
      "1:38 'upd' is no value of 'rss'",
      "did you mean 'udp'?",
    ],
    [
      'worker_defs { worker w { cpu_id 1\n type salve } }',
      "2:7 'salve' is no value of 'type'",
      "did you mean 'slave'?",
    ],
    ['global_defs { constructor 1 }', "1:15 unknown key 'constructor' in global_defs", 'known here:'],
    [
      'netif_defs { device d { rx { rss toString } } }',
      "1:34 'toString' is no value of 'rss'",
      'it takes all',
    ],
  ])('%s', (text, message, hint) => {
    const [first] = diagnose(text);
    expect(brief([first!])).toEqual([message]);
    expect(first!.hint).toContain(hint);
  });

  test.each([
    ['global_defs', "1:1 'global_defs' needs a block"],
    ['global_defs mine { }', "1:13 unexpected 'mine': 'global_defs' has no name or value"],
    ['netif_defs { device { } }', "1:14 'device' needs a name"],
    ['netif_defs { device a b { } }', "1:23 unexpected 'b' after the name of the device"],
    ['netif_defs { device /dev/x { } }', "1:21 '/dev/x' is not a name for a device"],
    [
      'netif_defs { bonding bond-0 { mode 0\n slave d }\n device d }',
      "1:22 'bond-0' is not a name for a bonding",
    ],
    ['worker_defs { worker w { } }', "1:22 this worker has no 'cpu_id'"],
  ])('%s', (text, message) => {
    expect(brief(diagnose(text))).toEqual([message]);
  });

  test('a known key without effect is a warning with its name, once however often it stands', () => {
    const { warnings } = load(`netif_defs {
    device dpdk0 { kni_name a.kni }
    device dpdk1 { kni_name b.kni }
}
ipv6_defs { forwarding off }
ctrl_defs { ipc_msg { unix_domain /var/run/dpvs_ctrl } lcore_msg { multicast_queue_length 256 } }
neigh_defs { pktpool_size 1023 }`);
    expect(brief(warnings, 'warning')).toEqual([
      '2:20 netif_defs/device NAME/kni_name is known, but has no effect yet',
      '5:13 ipv6_defs/forwarding is known, but has no effect yet',
      '6:23 ctrl_defs/ipc_msg/unix_domain is obsolete and ignored',
      '6:68 ctrl_defs/lcore_msg/multicast_queue_length is obsolete and ignored',
      '7:14 neigh_defs/pktpool_size is obsolete and ignored',
    ]);
  });
});

describe('a diagnostic as text', () => {
  test('has file, line, column, the line, a caret under the word, and the hint', () => {
    const text = '\tlog_level WARN <none>\nglobal_defs {\n\tlog_level\tWARNIGN ! x\n}';
    expect(formatDiagnostics(diagnose(text))).toBe(
      [
        "test.conf:1:2: error: unknown key 'log_level' at top level",
        '    1 | \tlog_level WARN <none>',
        '      | \t^~~~~~~~~',
        '  hint: it belongs in global_defs',
        "test.conf:3:12: error: 'WARNIGN' is no value of 'log_level'",
        '    3 | \tlog_level\tWARNIGN ! x',
        '      | \t         \t^~~~~~~',
        "  hint: did you mean 'WARNING'? It takes EMERG|ALERT|CRIT|ERR|WARNING|NOTICE|INFO|DEBUG",
        '2 errors',
      ].join('\n'),
    );
  });

  test('does not let control characters through to the terminal', () => {
    expect(formatDiagnostics(diagnose('global_defs { log_level \x1b[31mred\x07 }'))).toContain(
      "error: '\uFFFD[31mred\uFFFD' is no value of 'log_level'",
    );
    // oxlint-disable-next-line no-control-regex
    expect(formatDiagnostics(diagnose('\x1b'))).not.toMatch(/[\x1b]/);
  });

  test('the error has all of them, its code and a hint', () => {
    try {
      load('x\ny');
      expect.unreachable();
    } catch (e) {
      expect(e).toBeInstanceOf(ConfigError);
      expect(e).toMatchObject({ code: 'INVAL', hint: expect.stringContaining('--check') });
      expect((e as ConfigError).diagnostics.length).toBe(2);
      expect((e as Error).message).toContain('2 errors');
    }
  });
});

describe('include', () => {
  let dir = '';
  const put = (name: string, text: string): string => {
    const path = join(dir, name);
    writeFileSync(path, text);
    return path;
  };
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'dpvs-config-'));
    mkdirSync(join(dir, 'conf.d'));
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  test('is relative to the including file, takes patterns in the order of names, and works inside blocks', () => {
    put('conf.d/10-a.conf', 'neigh_defs { timeout 10 }');
    put('conf.d/20-b.conf', 'neigh_defs { timeout 20 }\ninclude sub.inc');
    put('conf.d/.hidden.conf', 'nonsense');
    put('conf.d/sub.inc', 'ipv4_defs { forwarding on }');
    put('level.inc', 'log_level DEBUG');
    const path = put('main.conf', 'include conf.d/*.conf\nglobal_defs {\n  include "level.inc"  ! here\n}');
    const { config, warnings } = loadConfig(path);
    expect(config.neigh.timeoutS).toBe(20);
    expect(config.ipv4.forwarding).toBe(true);
    expect(config.global.logLevel).toBe('DEBUG');
    expect(brief(warnings, 'warning')).toEqual([
      `1:14 'timeout' is set again: this value replaces the one at ${dir}/conf.d/10-a.conf:1:14`,
    ]);
  });

  test('patterns know ? and [...], and may match nothing', () => {
    put('p1.inc', 'neigh_defs { timeout 11 }');
    put('p2.inc', 'neigh_defs { unres_queue_length 22 }');
    put('pxx.inc', 'nonsense');
    const { config } = loadConfig(
      put('pattern.conf', 'include p[1].inc\ninclude p[!1x].inc\ninclude q?.inc\ninclude none.d/*'),
    );
    expect(config.neigh).toEqual({ timeoutS: 11, unresQueueLength: 22 });
  });

  test('errors name the included file', () => {
    const inc = put('bad.inc', '\n  nonsense 1');
    const path = put('with-bad.conf', 'include bad.inc\nworse');
    try {
      loadConfig(path);
      expect.unreachable();
    } catch (e) {
      const places = (e as ConfigError).diagnostics.map(
        (d) => `${d.place!.file}:${d.place!.line}:${d.place!.column}`,
      );
      expect(places).toEqual([`${inc}:2:3`, `${path}:2:1`]);
    }
  });

  test.each([
    ['include missing.conf', '1:9', /no such file: '.*missing\.conf'/],
    ['include conf.d', '1:9', /is not a file/],
    ['include', '1:1', /names no file/],
    ['include ""', '1:9', /names no file/],
    ['include a b', '1:11', /unexpected 'b'/],
    ['include a { }', '1:1', /has no block/],
  ])('%s', (text, at, message) => {
    const errors = brief(diagnose(text, join(dir, 'x.conf')));
    expect(errors.length).toBe(1);
    expect(errors[0]!.startsWith(`${at} `)).toBe(true);
    expect(errors[0]).toMatch(message);
  });

  test('a file that includes itself, over another and by another name, is an error that shows the circle', () => {
    const a = put('a.conf', 'neigh_defs { timeout 5 }\ninclude b.conf');
    const b = put('b.conf', 'include link.conf');
    symlinkSync(a, join(dir, 'link.conf'));
    try {
      loadConfig(a);
      expect.unreachable();
    } catch (e) {
      const [first] = (e as ConfigError).diagnostics;
      expect(first!.message).toContain(`includes itself: ${a} -> ${b} -> ${a}`);
      expect(first!.place).toMatchObject({ file: b, line: 1, column: 9 });
    }
  });

  test('files that include each other very often end at a limit', () => {
    for (let i = 0; i < 12; i++) put(`n${i}.conf`, i === 11 ? '' : `include n${i + 1}.conf\n`.repeat(3));
    const errors = brief(diagnose('include n0.conf', join(dir, 'x.conf')));
    expect(errors.length).toBe(1);
    expect(errors[0]).toMatch(/more than 256 files/);
  });

  test('a file that does not exist is an error, without a place', () => {
    expect(() => loadConfig(join(dir, 'none.conf'))).toThrow(/no such file/);
    expect(() => loadConfig(dir)).toThrow(/is not a file/);
  });

  test('without a file all is default', () => {
    expect(loadConfig(undefined)).toEqual(load(''));
  });
});

describe('whatever the text', () => {
  const check = (text: string): void => {
    try {
      checkText(text, '/nonexistent/fuzz.conf');
    } catch (e) {
      if (!(e instanceof ConfigError)) throw e;
      for (const d of e.diagnostics) {
        if (d.place === undefined) continue;
        const line = text.split('\n')[d.place.line - 1]!;
        expect(d.place.source).toBe(line.replace(/\r$/, ''));
        expect(d.place.column).toBeGreaterThanOrEqual(1);
        expect(d.place.column).toBeLessThanOrEqual(line.length + 1);
      }
    }
  };
  const words = [...new Set(ITEMS.flatMap((i) => i.path.split(/[/ ]/)))];
  const token = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...words) },
    {
      weight: 4,
      arbitrary: fc.constantFrom(
        '{',
        '}',
        '\n',
        ' ',
        '"',
        '<',
        '>',
        '!',
        '#',
        '\t',
        '\r\n',
        '"a b"',
        '<init>',
        'include',
      ),
    },
    {
      weight: 2,
      arbitrary: fc.constantFrom(
        'on',
        'off',
        '0',
        '1',
        '-1',
        '99999999999',
        'dpdk0',
        'all|tcp',
        '__proto__',
        'NaN',
      ),
    },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 6 }) },
  );

  test('nothing but ConfigError is thrown, and every place is in the text', () => {
    fc.assert(
      fc.property(fc.array(token, { maxLength: 80 }), (tokens) => check(tokens.join(' '))),
      { numRuns: 1500 },
    );
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), check), { numRuns: 500 });
  });

  test('very deep and very long texts are read too', () => {
    check('{'.repeat(100_000));
    check('}'.repeat(2_000));
    check('a {'.repeat(50_000));
    check(`global_defs { log_file ${'x'.repeat(100_000)} }`);
    check('<'.repeat(2_000) + '\n'.repeat(10_000));
    check(`netif_defs { device d { devargs "a,${'a=,'.repeat(20_000)}," } }`);
  });

  test('one mistake in a right file is found where it is', () => {
    const text = [
      'neigh_defs {',
      '  timeout 60',
      '}',
      'ipv4_defs {',
      '  forwarding off',
      '}',
      'global_defs {',
      '  hugepages auto',
      '}',
    ].join('\n');
    for (const value of ['60', 'off', 'auto']) {
      const broken = text.replace(` ${value}`, ' ???');
      expect(brief(diagnose(broken)).map((e) => e.split(' ')[0])).toEqual([where(broken, '???')]);
    }
  });
});
