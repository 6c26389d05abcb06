/** Our index of connections beside rte_hash, alone: no packets, no lcore (bench/native/flow_table.cc). */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { DATA_CPU } from '../lib/forwarder.js';
import { ratios, summary } from '../lib/numbers.js';
import { ROOT } from '../lib/paths.js';
import type { Run } from '../lib/results.js';
import type { Context, Scenario } from './context.js';

/** A line of the program. */
export interface Line {
  table: 'bucketised' | 'rte_hash';
  op: 'find' | 'miss' | 'remove' | 'insert';
  flows: number;
  round: number;
  /** CPU time of an operation. */
  ns: number;
  /** Memory of the index for a connection. */
  bytes: number;
}

const WHAT: Record<Line['op'], string> = {
  find: 'a packet finds its connection, in bursts of 32',
  miss: 'a packet finds none',
  insert: 'a connection comes, both directions',
  remove: 'a connection goes',
};

/** One run for each table, operation and size: `value` is ns, `ratio` rte_hash's time as a multiple of it. */
export function toRuns(lines: readonly Line[]): Run[] {
  const of = (like: Line, table: Line['table']): Line[] =>
    lines.filter((l) => l.flows === like.flows && l.op === like.op && l.table === table);
  const first = lines.filter((l) => l.round === 0);
  return first.map((l) => {
    const own = of(l, l.table).map((x) => x.ns);
    const times = ratios(
      of(l, 'rte_hash').map((x) => x.ns),
      own,
    );
    const ns = summary(own);
    return {
      name: 'flow-table',
      mode: `${WHAT[l.op]}: ${l.table}, ${Math.round(l.bytes)} bytes a connection`,
      proto: '-',
      flows: l.flows,
      lcores: 1,
      frameBytes: 0,
      path: '-',
      mpps: 0,
      nsPerPacket: 0,
      lossPct: 0,
      baseline: 'rte_hash',
      ratio: times.median,
      ratioMin: times.min,
      ratioMax: times.max,
      value: ns.median,
      min: ns.min,
      max: ns.max,
      perCpuSecond: 1e9 / ns.median,
      unit: 'ns',
      detail: { bytes: l.bytes, op: l.op, table: l.table },
    };
  });
}

async function measure(c: Context): Promise<void> {
  const sizes = c.quick ? [1000, 1_000_000] : [1000, 64_000, 1_000_000, 4_000_000];
  const lines: Line[] = [];
  for (const flows of sizes) {
    c.say(`${flows} connections`);
    const args = [DATA_CPU, c.rounds, flows].map(String);
    const child = spawn(join(ROOT, 'bench/build/flow_table'), args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let error = '';
    child.stdout.on('data', (b: Buffer) => (out += b.toString()));
    child.stderr.on('data', (b: Buffer) => (error += b.toString()));
    const code = await new Promise((done) => child.once('close', done));
    if (code !== 0) throw new Error(`flow_table: exit code ${String(code)}: ${error}`);
    lines.push(
      ...out
        .split('\n')
        .filter(Boolean)
        .map((l) => JSON.parse(l) as Line),
    );
  }
  for (const r of toRuns(lines)) c.add(r);
}

export const FLOW_TABLE: Scenario[] = [
  { name: 'flow-table', what: 'the index of connections against rte_hash', slow: true, run: measure },
];
