import { expect, test } from 'vitest';
import { ITEMS } from '../../../src/config/items.js';
import { diffReload, type ReloadDiff } from '../../../src/config/reload.js';
import { setField } from '../../../src/config/schema.js';
import { load } from './support.js';

const diff = (before: string, after: string): ReloadDiff =>
  diffReload(load(before).config, load(after).config);

test('the same file changes nothing', () => {
  const text =
    'global_defs { log_level INFO }\nnetif_defs { device dpdk0 { rx { rss tcp } } }\nworker_defs { worker w { cpu_id 1 } }';
  expect(diff(text, text)).toEqual({ changed: [], initOnlyChanged: [] });
});

test('a key that may change at run time is told from one that is read at start only', () => {
  expect(diff('neigh_defs { timeout 60 }', 'neigh_defs { timeout 30\n unres_queue_length 64 }')).toEqual({
    changed: ['neigh_defs/timeout'],
    initOnlyChanged: ['neigh_defs/unres_queue_length'],
  });
});

test('a line taken away means the default again', () => {
  expect(diff('ipvs_defs { tcp { timeout { established 30 } } }', '')).toEqual({
    changed: ['ipvs_defs/tcp/timeout/established'],
    initOnlyChanged: [],
  });
});

test('devices, workers and ports are compared by name, and come and go at start only', () => {
  const before =
    'netif_defs { device a { mtu 1400 }\n device b { } }\nworker_defs { worker w { cpu_id 1\n port a { rx_queue_ids 0\n tx_queue_ids 0 } } }';
  const after =
    'netif_defs { device c { }\n device a { rx { rss tcp } } }\nworker_defs { worker w { cpu_id 2\n port a { rx_queue_ids 0 1\n tx_queue_ids 0 } } }';
  const d = diff(before, after);
  expect(d.changed).toEqual([]);
  expect(new Set(d.initOnlyChanged)).toEqual(
    new Set([
      'netif_defs/device a/mtu',
      'netif_defs/device a/rx/rss',
      'netif_defs/device b',
      'netif_defs/device c',
      'worker_defs/worker w/cpu_id',
      'worker_defs/worker w/port a/rx_queue_ids',
    ]),
  );
});

test.each(ITEMS.filter((i) => i.to !== '' && !i.path.includes('NAME')).map((i) => [i.path, i] as const))(
  '%s is noticed',
  (path, item) => {
    const { config } = load('');
    const after = structuredClone(config);
    setField(after, item.to, 'something else');
    const { changed, initOnlyChanged } = diffReload(config, after);
    expect(item.init ? initOnlyChanged : changed).toContain(path);
    expect(item.init ? changed : initOnlyChanged).toEqual([]);
  },
);
