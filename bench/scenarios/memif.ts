/**
 * Packets from another process through shared memory (net_memif), as a container would send them: dpdk-testpmd in txonly
 * mode on CPU 0 fills the ring, dpvs or testpmd 5tswap on CPU 1 empties it into net_null.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CONTROL_CPU, type Devices, Dpvs, type Forwarder, Testpmd } from '../lib/forwarder.js';
import { type Contestant, inTurns, rate, ratioOf } from '../lib/measure.js';
import { NET } from '../lib/network.js';
import type { Context, Scenario } from './context.js';

const MAC = '02:00:00:00:00:01';

/** Starts the process at the other end of a socket. */
function feed(f: Forwarder, socket: string): void {
  const eal = [
    '--lcores',
    `0@${CONTROL_CPU},1@${CONTROL_CPU}`,
    '--in-memory',
    '--iova-mode=va',
    '--no-pci',
    '--no-telemetry',
  ];
  const device = ['--vdev', `net_memif0,role=client,id=0,socket=${socket},socket-abstract=no,rsize=11`];
  const own = [
    '--forward-mode=txonly',
    '--nb-cores=1',
    '--total-num-mbufs=16383',
    '--burst=32',
    '--auto-start',
  ];
  // 128 source addresses: --txonly-multi-flow.
  const traffic = [
    `--eth-peer=0,${MAC}`,
    `--tx-ip=16.0.0.1,${NET.vip}`,
    `--tx-udp=1024,${NET.vport}`,
    '--txonly-multi-flow',
  ];
  f.feedBy('dpdk-testpmd', [
    ...eal,
    ...device,
    '--',
    ...own,
    ...traffic,
    '--txpkts=64',
    '--no-lsc-interrupt',
  ]);
}

async function flows(f: Forwarder): Promise<void> {
  for (let i = 0; i < 200; i++) {
    const before = await f.counters();
    await sleep(100);
    const after = await f.counters();
    if (after.tx > before.tx + 10_000) return;
  }
  throw new Error(`nothing comes through the memif: ${f.log.slice(-3000)}`);
}

async function measure(c: Context): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'dpvs-bench-memif-'));
  const contestants: (Contestant & { path: 'flow' | 'typescript' | '-'; verified?: number })[] = [];
  const devices = (socket: string): Devices => [
    `net_memif0,role=server,id=0,socket=${socket},socket-abstract=no,rsize=11,mac=${MAC}`,
    'net_null1,size=64,no-rx=1',
  ];
  try {
    for (const path of c.paths) {
      c.say(`starting dpvs (${path})`);
      const socket = join(dir, path);
      const d = await Dpvs.start({
        flowOffload: path === 'flow',
        connections: 1000,
        devargs: devices(socket),
      });
      contestants.push({ name: path, forwarder: d, path });
      await d.service('udp');
      feed(d, socket);
      await flows(d);
      const { source } = d;
      source.setAll({ ARM_SIDES: 2, FLOWS: 0, VERIFY: 2 });
      await source.order('CLEAR');
      await source.order('ARM');
      await sleep(c.quick ? 300 : 1000);
      await source.order('DISARM');
      const { bad, verified } = source.counters();
      if (bad > 0)
        throw new Error(`${bad} of ${verified} frames are wrong: ${JSON.stringify(source.badReasons())}`);
      contestants.at(-1)!.verified = verified;
      d.pause();
    }
    c.say('starting testpmd 5tswap');
    const socket = join(dir, 'pmd');
    const p = await Testpmd.start('5tswap', devices(socket));
    contestants.push({ name: 'testpmd 5tswap', forwarder: p, path: '-' });
    feed(p, socket);
    await flows(p);
    p.pause();
    const slices = await inTurns(contestants, { ...c, onRound: (n) => c.say(`round ${n} of ${c.rounds}`) });
    for (const { name, path, verified } of contestants) {
      const own = slices.get(name)!;
      const ratio = ratioOf(own, slices.get('testpmd 5tswap')!);
      c.add({
        name: 'memif',
        mode: path === '-' ? name : 'fullnat',
        proto: 'udp',
        flows: 128,
        lcores: 1,
        frameBytes: 64,
        path,
        ...rate(own),
        baseline: 'testpmd 5tswap',
        ratio: ratio.median,
        ratioMin: ratio.min,
        ratioMax: ratio.max,
        detail: { verified },
      });
    }
  } finally {
    await Promise.all(contestants.map(({ forwarder }) => forwarder.end()));
    rmSync(dir, { recursive: true, force: true });
  }
}

export const MEMIF: Scenario[] = [
  { name: 'memif', what: 'from another process through shared memory', slow: true, run: measure },
];
