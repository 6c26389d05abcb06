/** Every key by itself: a right value, its default, values below and above its range, values of another kind. */
import { describe, expect, test } from 'vitest';
import { defaultConfig, type Loaded } from '../../../src/config/config.js';
import { ITEMS, type Item } from '../../../src/config/items.js';
import { getField } from '../../../src/config/schema.js';
import type { Value } from '../../../src/config/values.js';
import { brief, diagnose, load } from './support.js';

/** A file that says `keyword value` in the block of the item, and the object that it fills. */
function fileWith(item: Item, value: string): { text: string; line: number; owner: (l: Loaded) => object } {
  const segments = item.path.split('/');
  const keyword = segments.pop()!;
  const lines: string[] = [];
  for (const segment of segments) {
    if (segment === 'worker NAME') lines.push('worker w {', ...(keyword === 'cpu_id' ? [] : ['cpu_id 1']));
    else if (segment === 'port NAME')
      lines.push('port d {', ...(keyword === 'tx_queue_ids' ? [] : ['tx_queue_ids 0']));
    else if (segment === 'device NAME') lines.push('device d {');
    else if (segment === 'bonding NAME') {
      lines.push(
        'bonding b {',
        ...(keyword === 'mode' ? [] : ['mode 4']),
        ...(keyword === 'slave' ? [] : ['slave d']),
      );
    } else lines.push(`${segment} {`);
  }
  if (item.path.includes('port NAME') && keyword !== 'rx_queue_ids') lines.push('rx_queue_ids 0');
  lines.push(`${keyword} ${value}`);
  const line = lines.length;
  lines.push(...segments.map(() => '}'));
  if (!item.path.startsWith('netif_defs/device')) lines.push('netif_defs {', 'device d {', '}', '}');
  const owner = ({ config }: Loaded): object => {
    if (item.path.includes('device NAME')) return config.netif.devices[0]!;
    if (item.path.includes('bonding NAME')) return config.netif.bondings[0]!;
    if (item.path.includes('port NAME')) return config.workers[0]!.ports[0]!;
    if (item.path.includes('worker NAME')) return config.workers[0]!;
    return config;
  };
  return { text: lines.join('\n'), line, owner };
}

interface Cases {
  good: [written: string, value: Value][];
  bad: string[];
}

function casesOf(item: Item): Cases {
  const t = item.type;
  switch (t.kind) {
    case 'flag':
      return {
        good: [
          ['', true],
          ['on', true],
          ['off', false],
          ['enable', true],
          ['disable', false],
        ],
        bad: ['yes', '1', 'ON'],
      };
    case 'bool':
      return {
        good: [
          ['on', true],
          ['off', false],
          ['enable', true],
          ['disable', false],
        ],
        bad: ['', 'yes', '1', 'onn'],
      };
    case 'int': {
      const low = t.round === 'pow2-1' ? 2 ** Math.floor(Math.log2(t.min + 1)) - 1 : t.min;
      const high = t.round === 'pow2-1' ? 2 ** Math.floor(Math.log2(t.max + 1)) - 1 : t.max;
      return {
        good: [
          ...(item.zeroIsDefault && t.min === 0 ? [] : ([[String(t.min), low]] as [string, Value][])),
          [String(t.max), high],
          ...(t.words ?? []).map((w): [string, Value] => [w, w]),
        ],
        bad: [
          '',
          String(t.min - 1),
          String(t.max + 1),
          'many',
          '1.5',
          '0x10',
          '10k',
          '1e3',
          '""',
          '99999999999999999999',
        ],
      };
    }
    case 'enum':
      return { good: t.words.map((w) => [w, w]), bad: ['', 'nonsense', '17', '""'] };
    case 'text':
      if (t.what === 'a device name') return { good: [['d', 'd']], bad: ['', '""', 'a/b', '-x'] };
      return {
        good: [[t.example.split(' or ').at(-1)!, t.example.split(' or ').at(-1)!.replaceAll('"', '')]],
        bad: ['', '""', '"\t"'],
      };
    case 'ints':
      return {
        good: [
          [String(t.min), [t.min]],
          ['0 1', [0, 1]],
          ['0-2', [0, 1, 2]],
        ],
        bad: ['', String(t.max + 1), '-1', '0 x', '3-1', '0,1', ...(t.repeats ? [] : ['0 0', '0-2 1'])],
      };
    case 'set':
      return {
        good: [
          ['all', ['ip', 'tcp', 'udp']],
          ['udp|tcp', ['tcp', 'udp']],
          ['ip | sctp', ['ip', 'sctp']],
          ['tunnel', ['tunnel']],
        ],
        bad: ['', 'tpc', 'tcp|', 'tcp,udp', '|'],
      };
    case 'options':
      return {
        good: [
          ['dedicated_queues=off', false],
          ['dedicated_queues=enable;', true],
        ],
        bad: ['', 'dedicated_queues', 'dedicated_queues=maybe', 'queues=on', ';'],
      };
    case 'any':
      return { good: [], bad: [] };
  }
}

describe.each(ITEMS.map((item) => [item.path, item] as const))('%s', (_, item) => {
  const { good, bad } = casesOf(item);

  test.each(good)('takes "%s"', (written, value) => {
    const { text, owner } = fileWith(item, written);
    const loaded = load(text);
    if (item.to === '') return expect(brief(loaded.warnings, 'warning').join('\n')).toContain('obsolete');
    // A list that is built line by line has the value as an element.
    expect(getField(owner(loaded), item.to)).toEqual(item.repeat ? [value] : value);
  });

  test.each(bad)('refuses "%s" where it stands', (written) => {
    const { text, line } = fileWith(item, written);
    const errors = diagnose(text).filter((d) => d.severity === 'error');
    expect(errors.map((e) => e.place?.line)).toContain(line);
    for (const e of errors) expect(e.message + (e.hint ?? '')).not.toBe('');
  });

  test('refuses a block, and a second value', () => {
    const [first] = good;
    const block = fileWith(item, `${first?.[0] ?? ''} { }`);
    expect(brief(diagnose(block.text)).join('\n')).toContain('takes a value, not a block');
    if (first === undefined || first[0] === '' || ['ints', 'set'].includes(item.type.kind)) return;
    const extra = fileWith(item, `${first[0]} surplus`);
    expect(brief(diagnose(extra.text))).toContainEqual(
      expect.stringMatching(new RegExp(`^${extra.line}:[0-9]+ unexpected 'surplus'`)),
    );
  });

  test('has its default when the file says nothing', () => {
    const other = fileWith({ ...item, path: `${item.path.replace(/[^/]+$/, '')}!none` }, '');
    if (item.required || item.path.includes('queue_ids')) return;
    expect(getField(other.owner(load(other.text)), item.to === '' ? 'none' : item.to)).toEqual(
      item.repeat ? ['d'] : item.default,
    );
  });

  test(`says that it has ${item.effect === 'now' ? 'an' : 'no'} effect`, () => {
    const { text } = fileWith(item, good[0]?.[0] ?? 'x');
    const named = brief(load(text).warnings, 'warning').filter((w) => /no effect|obsolete/.test(w));
    if (item.effect === 'now') expect(named).toEqual([]);
    else expect(named.length).toBe(1);
    if (item.effect !== 'now' && !item.path.includes('bonding')) expect(named[0]).toContain(item.path);
  });
});

describe('numbers that must be a power of two', () => {
  test.each([
    ['netif_defs { pktpool_size 65536 }', 65535, 0],
    ['netif_defs { pktpool_size 70000 }', 65535, 1],
    ['netif_defs { pktpool_size 1048575 }', 1048575, 0],
  ])('%s is %i', (text, size, warnings) => {
    const loaded = load(text);
    expect(loaded.config.netif.pktpoolSize).toBe(size);
    expect(loaded.warnings.length).toBe(warnings);
  });

  test('are rounded down with a warning that says so', () => {
    const loaded = load('netif_defs { pktpool_cache 300 }');
    expect(loaded.config.netif.pktpoolCache).toBe(256);
    expect(brief(loaded.warnings, 'warning')).toEqual([
      "1:28 'pktpool_cache' must be a power of two: 300 is rounded down to 256",
    ]);
  });
});

describe('zero', () => {
  test('means the default for queue_number, mtu and default_ttl', () => {
    const { config } = load(
      'netif_defs { device d { mtu 0\n rx { queue_number 0 }\n tx { queue_number 0 } } }\nipv4_defs { default_ttl 0 }',
    );
    expect(config.netif.devices[0]).toMatchObject({ mtu: 1500 });
    expect(config.netif.devices[0]!.rx).not.toHaveProperty('queues');
    expect(config.netif.devices[0]!.tx).not.toHaveProperty('queues');
    expect(config.ipv4.defaultTtl).toBe(64);
  });
});

describe('log_level', () => {
  test.each([
    ['WARN', 'WARNING'],
    ['error', 'ERR'],
    ['Debug', 'DEBUG'],
    ['EMERGENCY', 'EMERG'],
  ])('%s is %s', (written, level) => {
    expect(load(`global_defs { log_level ${written} }`).config.global.logLevel).toBe(level);
  });
});

describe('devargs', () => {
  test.each([
    '0000:06:00.0',
    '06:00.1',
    '0000:06:00.0,representor=[0-3]',
    'net_af_packet0,iface=eth0,qpairs=2,qdisc_bypass=1',
    'net_memif0,role=server,id=0,socket=/tmp/a.sock,socket-abstract=no,rsize=11',
    'net_pcap0,rx_pcap=in.pcap,tx_pcap=out.pcap',
    'net_null0',
  ])('may be %s', (devargs) => {
    expect(load(`netif_defs { device d { devargs "${devargs}" } }`).config.netif.devices[0]!.devargs).toBe(
      devargs,
    );
  });

  test.each(['--vdev=net_tap0', '0000:06:00.8', 'net_tap0,', 'net_tap0, iface=x', '/dev/net/tun'])(
    'may not be %s',
    (devargs) => {
      expect(brief(diagnose(`netif_defs { device d { devargs "${devargs}" } }`))).toEqual([
        `1:33 '${devargs}' is not a PCI address or the arguments of a virtual device`,
      ]);
    },
  );
});

test('an empty file, and no file, are all defaults', () => {
  expect(load('').config).toEqual(defaultConfig());
  expect(load('').config).toMatchObject({
    global: { daemon: false, kni: true, hugepages: 'auto', memoryMb: 0 },
    netif: { pktpoolSize: 65535, pktpoolCache: 256, devices: [], bondings: [] },
    workers: [],
    idleSleep: 'auto',
    neigh: { timeoutS: 60, unresQueueLength: 128 },
    ipv4: { forwarding: false, defaultTtl: 64 },
    ipvs: {
      conn: { poolSize: 2097151, initTimeoutS: 3, flowOffload: true },
      udp: { timeoutsS: { oneway: 300, normal: 300, last: 2 } },
      tcp: {
        timeoutsS: {
          none: 2,
          established: 90,
          synSent: 3,
          synRecv: 30,
          finWait: 7,
          timeWait: 7,
          close: 3,
          closeWait: 7,
          lastAck: 7,
          listen: 120,
          synack: 30,
          last: 2,
        },
      },
    },
  });
});

test('no two keys of one block fill the same field', () => {
  const fields = ITEMS.filter((i) => i.to !== '').map((i) => `${i.path.replace(/(\/[^/ ]+)+$/, '')} ${i.to}`);
  const twice = fields.filter((f, i) => fields.indexOf(f) !== i);
  expect(twice).toEqual([]);
  expect(new Set(ITEMS.map((i) => i.path)).size).toBe(ITEMS.length);
});
