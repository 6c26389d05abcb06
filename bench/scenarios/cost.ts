/** What an instance costs: memory of a connection, CPU time of an idle instance. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Dpvs } from '../lib/forwarder.js';
import { residentBytes, schedule, threadNamed } from '../lib/threads.js';
import { plainRun } from '../lib/results.js';
import type { Context, Scenario } from './context.js';
import { open } from './packets.js';

/** The plugin's own note of a connection (struct learnt). */
const LEARNT_BYTES = 12;

/** The growth of the process from an instance for 128 k connections to one with 1 M open, all that belongs to it included. */
async function memory(c: Context): Promise<void> {
  const flows = c.quick ? 500_000 : 1_000_000;
  for (const path of c.paths) {
    const resident = async (connections: number, opened: number): Promise<number> => {
      c.say(`an instance for ${connections} connections`);
      const d = await Dpvs.start({ flowOffload: path === 'flow', connections });
      try {
        await d.service('udp');
        // Both have forwarded, so that code and buffers are the same.
        const { source } = d;
        source.setAll({ PROTO: 17, FLOWS: opened, FIRST_ID: 0 });
        await open(d, { proto: 'udp', flows: 1000, frame: 64 }, () => undefined);
        if (opened > 1000) {
          source.set('FIRST_ID', 1 << 26);
          source.setAll({ FLOWS: opened });
          await source.order('CLEAR');
          source.mode('WALK');
          while (source.counters().learnt < opened) {
            await sleep(50);
            c.say(`${source.counters().learnt} connections`);
          }
          source.mode('IDLE');
        }
        await sleep(300);
        return residentBytes(d.pid).total - (opened > 1000 ? opened * LEARNT_BYTES : 0);
      } finally {
        await d.end();
      }
    };
    const before = await resident(100_000, 1000);
    const after = await resident(flows, flows);
    c.add({
      name: 'memory',
      mode: 'resident memory of a connection, index and both directions included',
      ...plainRun(path, flows),
      value: (after - before) / flows,
      unit: 'bytes',
      target: { of: 'value', sign: '<=', bound: 256 },
      detail: { before, after },
    });
  }
}

/** CPU time of all threads but the bench's own, in seconds. */
function cpuSeconds(pid: number): number {
  const source = threadNamed(pid, /^bench-source$/);
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100 - schedule(pid, source.tid).runNs / 1e9;
}

async function idle(c: Context): Promise<void> {
  const path = c.paths[0]!;
  const d = await Dpvs.start({ flowOffload: path === 'flow', idleSleep: 'auto' });
  try {
    await d.service('udp');
    await sleep(1500);
    const seconds = c.quick ? 3 : 20;
    c.say(`watching an idle instance for ${seconds} s`);
    const before = { cpu: cpuSeconds(d.pid), lcore: d.schedule().runNs };
    await sleep(seconds * 1000);
    const all = ((cpuSeconds(d.pid) - before.cpu) / seconds) * 100;
    const lcore = ((d.schedule().runNs - before.lcore) / 1e9 / seconds) * 100;
    c.add({
      name: 'idle-cpu',
      mode: 'CPU of an idle instance, idle_sleep auto',
      ...plainRun(path, 0),
      value: all,
      unit: '%',
      detail: { lcorePct: lcore },
    });
  } finally {
    await d.end();
  }
}

export const COST: Scenario[] = [
  { name: 'memory', what: 'memory of a connection', slow: true, run: memory },
  { name: 'idle-cpu', what: 'CPU time of an idle instance', slow: true, run: idle },
];
