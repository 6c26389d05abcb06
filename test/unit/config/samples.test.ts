/** The files that we ship: samples that load, and texts made from the table that are up to date. */
import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { defaultConfig, loadConfig, type PortFact } from '../../../src/config/config.js';
import { ITEMS } from '../../../src/config/items.js';
import { itemsFile, referencePage } from '../../../src/config/reference.js';
import { resolve } from '../../../src/config/resolve.js';
import { brief } from './support.js';

const root = new URL('../../../', import.meta.url);
const path = (name: string): string => new URL(name, root).pathname;
const BONDING = /bond/;

describe.each(readdirSync(path('conf')))('conf/%s', (name) => {
  test('loads, with no warning but that bonding comes later', () => {
    const { warnings } = loadConfig(path(`conf/${name}`));
    const texts = brief(warnings, 'warning');
    if (BONDING.test(name))
      expect(texts).toEqual([expect.stringMatching(/bonding bond0 is known, but has no effect yet/)]);
    else expect(texts).toEqual([]);
  });
});

const WITHOUT_BONDING = readdirSync(path('conf')).filter((name) => !BONDING.test(name));
describe.each(WITHOUT_BONDING)('conf/%s', (name) => {
  test('makes a plan on a machine that has its ports and CPUs', () => {
    const { config, origins } = loadConfig(path(`conf/${name}`));
    const ports = config.netif.devices.map(({ name: device, devargs }, i): PortFact => {
      const queues = {
        maxRxQueues: devargs === undefined ? 64 : 1,
        maxTxQueues: devargs === undefined ? 64 : 1,
      };
      return devargs === undefined
        ? { deviceName: `0000:06:00.${i}`, ...queues }
        : { name: device, deviceName: devargs.split(',')[0]!, ...queues };
    });
    const { plan, warnings } = resolve(
      config,
      { allowedCpus: Array.from({ length: 9 }, (_, i) => i), ports },
      origins,
    );
    expect(warnings).toEqual([]);
    expect(plan.devices.length).toBe(config.netif.devices.length);
    const forwarding = config.workers.filter((w) => w.type === 'slave').length;
    expect(plan.lcores.length).toBe(Math.max(1, forwarding));
    for (const l of plan.lcores)
      expect(l.ports.map((p) => p.rxQueues.length)).toEqual(plan.devices.map(() => 1));
  });
});

test('conf/dpvs.conf.items is up to date (tools/docs-config.mjs writes it)', () => {
  expect(readFileSync(path('conf/dpvs.conf.items'), 'utf8')).toBe(itemsFile());
});

test('conf/dpvs.conf.items shows every key, and says nothing but defaults', () => {
  const text = itemsFile();
  for (const item of ITEMS)
    expect(text).toMatch(new RegExp(`^[ !]*(<init> )?${item.path.split('/').at(-1)}\\b`, 'm'));
  const { config } = loadConfig(path('conf/dpvs.conf.items'));
  const { netif, workers, ...rest } = config;
  const { netif: defaults, workers: _, ...restDefaults } = defaultConfig();
  expect(rest).toEqual(restDefaults);
  expect({ ...netif, devices: [] }).toEqual(defaults);
  expect(workers.map((w) => [w.name, w.type])).toEqual([
    ['cpu0', 'master'],
    ['cpu1', 'slave'],
  ]);
});

test('docs/configuration.md is up to date (tools/docs-config.mjs writes it), and has every key', () => {
  const committed = readFileSync(path('docs/configuration.md'), 'utf8');
  const marker = /^<!-- made from .* -->\n/m.exec(committed);
  expect(marker).not.toBeNull();
  expect(committed).toBe(referencePage(committed.slice(0, marker!.index + marker![0].length)));
  for (const item of ITEMS) expect(committed).toContain(`| \`${item.path.split('/').at(-1)}\` |`);
});

test('the example of an error in docs/configuration.md is what dpvs says', () => {
  expect(readFileSync(path('docs/configuration.md'), 'utf8')).toContain(
    "'WARNIGN' is no value of 'log_level'",
  );
});
