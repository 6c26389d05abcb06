/**
 * One direction with DPDK's own devices: net_pcap repeats a capture without end (infinite_rx=1), net_null takes what
 * is forwarded. The first figure that anybody gets from dpdk-testpmd, easy to repeat elsewhere, and a check that our own
 * source is neither cheaper nor dearer than DPDK's.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Devices, Dpvs, Testpmd } from '../lib/forwarder.js';
import { type Contestant, inTurns, rate, ratioOf } from '../lib/measure.js';
import { ip, NET } from '../lib/network.js';
import { capture, udpFrame } from '../lib/frames.js';
import type { Context, Scenario } from './context.js';

/** What net_pcap gives its first port. */
const PCAP_MAC = '02:70:63:61:70:00';

function frames(flows: number): Buffer {
  const all = Array.from({ length: flows }, (_, id) =>
    udpFrame({
      dmac: PCAP_MAC,
      smac: NET.routerMac,
      saddr: ip(NET.client) + (id & 0xfffff),
      daddr: ip(NET.vip),
      sport: 1024 + (id >>> 20),
      dport: NET.vport,
      id,
    }),
  );
  return capture(all);
}

async function measure(
  c: Context,
  name: string,
  flows: number,
  targets: { flow?: number; typescript?: number },
): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'dpvs-bench-pcap-'));
  const file = join(dir, 'in.pcap');
  writeFileSync(file, frames(flows));
  const devices: Devices = [`net_pcap0,rx_pcap=${file},infinite_rx=1`, 'net_null1,size=64,no-rx=1'];
  const contestants: (Contestant & { path: 'flow' | 'typescript' | '-'; verified?: number })[] = [];
  try {
    for (const path of c.paths) {
      c.say(`starting dpvs (${path})`);
      const d = await Dpvs.start({ flowOffload: path === 'flow', connections: flows, devargs: devices });
      contestants.push({ name: path, forwarder: d, path });
      if (d.macs[0].toLowerCase() !== PCAP_MAC) throw new Error(`net_pcap0 has MAC ${d.macs[0]}`);
      await d.service('udp');
      const { source } = d;
      source.setAll({ ARM_SIDES: 2, FLOWS: 0, VERIFY: 1 });
      await source.order('CLEAR');
      await source.order('ARM');
      await sleep(c.quick ? 300 : 1000);
      await source.order('DISARM');
      const { bad, verified } = source.counters();
      if (bad > 0)
        throw new Error(`${bad} of ${verified} frames are wrong: ${JSON.stringify(source.badReasons())}`);
      if (verified === 0) throw new Error(`nothing was forwarded: ${JSON.stringify(await d.drops())}`);
      contestants.at(-1)!.verified = verified;
      d.pause();
    }
    for (const mode of ['io', '5tswap'] as const) {
      c.say(`starting testpmd ${mode}`);
      const p = await Testpmd.start(mode, devices);
      p.pause();
      contestants.push({ name: `testpmd ${mode}`, forwarder: p, path: '-' });
    }
    const slices = await inTurns(contestants, { ...c, onRound: (n) => c.say(`round ${n} of ${c.rounds}`) });
    const base = slices.get('testpmd 5tswap')!;
    for (const { name: who, path, verified } of contestants) {
      const own = slices.get(who)!;
      const ratio = ratioOf(own, base);
      const bound = path === '-' ? undefined : targets[path];
      c.add({
        name,
        mode: path === '-' ? who : 'fullnat',
        proto: 'udp',
        flows,
        lcores: 1,
        frameBytes: 64,
        path,
        ...rate(own),
        baseline: 'testpmd 5tswap',
        ratio: ratio.median,
        ratioMin: ratio.min,
        ratioMax: ratio.max,
        ...(bound === undefined ? {} : { target: { of: 'ratio', sign: '>=', bound } }),
        detail: { verified },
      });
    }
  } finally {
    await Promise.all(contestants.map(({ forwarder }) => forwarder.end()));
    rmSync(dir, { recursive: true, force: true });
  }
}

export const PCAP: Scenario[] = [
  {
    name: 'pcap-1k',
    what: 'net_pcap to net_null, client to server only, 1 k flows',
    slow: true,
    run: (c) => measure(c, 'pcap-1k', 1000, { flow: 0.6, typescript: 0.15 }),
  },
];
