/**
 * A flood of SYNs of ever new clients to a service with syn-proxy: answers a second. No connection comes of it, so no memory and
 * no local port is ever short.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Dpvs } from '../lib/forwarder.js';
import { NET } from '../lib/network.js';
import { type Contestant, inTurns, rate } from '../lib/measure.js';
import type { Run } from '../lib/results.js';
import type { Context, Scenario } from './context.js';

async function flood(c: Context): Promise<void> {
  const contestants: Contestant[] = [];
  try {
    for (const path of c.paths) {
      c.say(`starting dpvs (${path})`);
      const d = await Dpvs.start({ flowOffload: path === 'flow', connections: 65536 });
      contestants.push({ name: path, forwarder: d });
      await d.service('tcp');
      const svc = { proto: 'tcp', addr: NET.vip, port: NET.vport } as const;
      await d.client.call('svc.edit', { svc, synproxy: true });
      const { source } = d;
      source.setAll({ PROTO: 6, FRAME: 64, RATE: 0, FIRST_ID: 0, LAST_ID: 1 << 26, FLOWS: 0 });
      source.mode('SYN');
      await sleep(c.quick ? 200 : 1000);
      if (source.counters().syns > 0) throw new Error('a SYN has reached a real server');
      d.pause();
    }
    const slices = await inTurns(contestants, { ...c, onRound: (n) => c.say(`round ${n} of ${c.rounds}`) });
    for (const { name, forwarder } of contestants) {
      const d = forwarder as Dpvs;
      d.resume();
      const own = rate(slices.get(name)!);
      c.add({
        name: 'syn-flood',
        mode: 'fullnat, syn-proxy',
        proto: 'tcp',
        flows: 1 << 26,
        lcores: 1,
        frameBytes: 64,
        path: name as Run['path'],
        ...own,
        baseline: null,
        ratio: null,
        value: own.perCpuSecond,
        unit: 'SYNs/s',
        ...(name === 'flow' ? { target: { of: 'value', sign: '>=', bound: 3e6 } } : {}),
        detail: { drops: await d.drops() },
      });
    }
  } finally {
    await Promise.all(contestants.map(({ forwarder }) => (forwarder as Dpvs).end()));
  }
}

export const SYN_FLOOD: Scenario[] = [{ name: 'syn-flood', what: 'SYNs answered with cookies', run: flood }];
