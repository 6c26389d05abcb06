/** The bench: see docs/performance.md, or `npm run bench -- --help`. */
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { endAll } from './lib/forwarder.js';
import { RESULTS, ROOT } from './lib/paths.js';
import { Progress } from './lib/progress.js';
import { charts } from './lib/charts.js';
import { machine, type Report, type Run, versions } from './lib/results.js';
import { between, markdownTable, terminalTable } from './lib/table.js';
import { SCENARIOS } from './scenarios/index.js';

const USAGE = `usage: npm run bench -- [options]

  --quick        under 2 minutes: short slices, the most telling scenarios
  --only NAME    only these scenarios; may be repeated, or a prefix such as udp
  --path PATH    only flow or typescript; default: both
  --rounds N     slices of each contestant; default 5
  --json         print JSON only
  --doc          write the tables of docs/performance.md from the last results, measure nothing

scenarios:
${SCENARIOS.map((s) => `  ${s.name.padEnd(16)} ${s.what}${s.slow === true ? ' (not with --quick)' : ''}`).join('\n')}`;

const { values: o } = parseArgs({
  options: {
    quick: { type: 'boolean' },
    only: { type: 'string', multiple: true },
    path: { type: 'string' },
    rounds: { type: 'string' },
    json: { type: 'boolean' },
    doc: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
});

if (o.help === true) {
  console.log(USAGE);
} else if (o.doc === true) {
  writeDoc();
} else {
  process.exitCode = await bench();
}

async function bench(): Promise<number> {
  const quick = o.quick === true;
  const only = o.only?.flatMap((s) => s.split(','));
  const names = new Set(SCENARIOS.map((s) => s.name));
  const wanted = SCENARIOS.filter((s) =>
    only === undefined
      ? !(quick && s.slow === true)
      : only.some((n) => s.name === n || (!names.has(n) && s.name.startsWith(`${n}-`))),
  );
  if (wanted.length === 0) {
    console.error(`no scenario ${only?.join(', ')}\n${USAGE}`);
    return 2;
  }
  if (process.getuid?.() !== 0) {
    console.error('bench: needs root (DPDK memory, CPU pinning, network namespaces)');
    return 1;
  }
  const runs: Run[] = [];
  const failed: string[] = [];
  const progress = new Progress(wanted.length, o.json !== true);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      void endAll().finally(() => process.exit(signal === 'SIGINT' ? 130 : 143));
    });
  }
  const report = (): Report => ({
    machine: machine(),
    versions: versions(),
    at: new Date().toISOString(),
    quick,
    runs,
  });
  for (const s of wanted) {
    progress.begin(s.name);
    try {
      await s.run({
        quick,
        paths: o.path === 'flow' || o.path === 'typescript' ? [o.path] : ['flow', 'typescript'],
        rounds: Number(o.rounds ?? 5),
        sliceMs: quick ? 200 : 1000,
        warmMs: quick ? 60 : 250,
        say: (what) => progress.say(what),
        add: (run) => runs.push(run),
      });
    } catch (e) {
      failed.push(`${s.name}: ${(e as Error).message}`);
      if (process.env.BENCH_DEBUG !== undefined) failed.push((e as Error).stack ?? '');
    } finally {
      await endAll();
    }
    progress.done();
  }
  progress.end();
  const r = report();
  save(r);
  if (o.json === true) console.log(JSON.stringify(r, null, 2));
  else if (runs.length > 0) console.log(terminalTable(runs));
  for (const f of failed) console.error(`bench: ${f}`);
  return failed.length > 0 ? 1 : 0;
}

/** One file a scenario, so that a run of some leaves the results of others. */
function save(r: Report): void {
  mkdirSync(RESULTS, { recursive: true });
  for (const name of new Set(r.runs.map((run) => run.name))) {
    const own: Report = { ...r, runs: r.runs.filter((run) => run.name === name) };
    writeFileSync(join(RESULTS, `${name}.json`), `${JSON.stringify(own, null, 2)}\n`);
  }
  for (const [file, svg] of charts(lastResults().flatMap((x) => x.runs)))
    writeFileSync(join(RESULTS, file), svg);
}

/** Everything measured so far, in the order of the scenarios. */
function lastResults(): Report[] {
  const place = (x: Report): number => SCENARIOS.findIndex((s) => s.name === x.runs[0]?.name);
  return readdirSync(RESULTS)
    .filter((f) => f.endsWith('.json'))
    .map((f) => JSON.parse(readFileSync(join(RESULTS, f), 'utf8')) as Report)
    .filter((x) => place(x) >= 0)
    .sort((a, b) => place(a) - place(b));
}

function writeDoc(): void {
  const file = join(ROOT, 'docs/performance.md');
  const reports = lastResults();
  const last = reports.toSorted((a, b) => a.at.localeCompare(b.at)).at(-1);
  if (last === undefined) throw new Error(`no results in ${RESULTS}: run the bench first`);
  const facts = [
    ...Object.entries(last.machine),
    ...Object.entries(last.versions),
    ['measured', `${last.at.slice(0, 10)}${last.quick ? ', with --quick on a busy machine' : ''}`],
  ];
  let text = readFileSync(file, 'utf8');
  text = between(text, 'machine', facts.map(([k, v]) => `* ${k}: ${v}`).join('\n'));
  text = between(text, 'figures', markdownTable(reports.flatMap((x) => x.runs)));
  writeFileSync(file, text);
  mkdirSync(join(ROOT, 'docs/figures'), { recursive: true });
  for (const [name, svg] of charts(reports.flatMap((x) => x.runs)))
    writeFileSync(join(ROOT, 'docs/figures', name), svg);
  console.log(`docs/performance.md: ${reports.length} scenarios`);
}
