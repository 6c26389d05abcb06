/**
 * Runs the layers of the test suite one after the other, sums them up and ends with the line
 * `N passed, N failed`. A layer that crashes, hangs or finds no tests counts as failed.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { missingFeatures, sweep } from './test-ground.mjs';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const SECOND = 1000;

const vitest = (config) => ['node_modules/.bin/vitest', 'run', ...(config ? ['--config', config] : [])];

/**
 * In the order in which they run: the cheap ones first. `root`: needs devices and namespaces. `limit`: seconds after which a layer
 * counts as hung, some three times what it takes on a slow machine.
 */
const LAYERS = [
  { name: 'lint', what: 'types, rules, floors, formatting', command: ['tools/lint'], limit: 240 },
  { name: 'unit', what: 'TypeScript on a virtual clock', command: vitest(), limit: 420 },
  {
    name: 'native',
    what: 'the addon',
    command: vitest('test/native/vitest.config.ts'),
    limit: 600,
    root: true,
  },
  {
    name: 'packet',
    what: 'pcap in, pcap out',
    command: vitest('test/packet/vitest.config.ts'),
    limit: 300,
    root: true,
    optional: 'test/packet/vitest.config.ts',
  },
  {
    name: 'sanitize',
    what: 'native and packet under ASan and UBSan, with fewer random packets than npm run sanitize',
    command: ['tools/sanitize'],
    env: { DPVS_DIFF_PACKETS: '150000' },
    limit: 900,
    root: true,
  },
  {
    name: 'e2e',
    what: 'real daemons, clients and servers in network namespaces',
    command: vitest('test/e2e/vitest.config.ts'),
    limit: 1200,
    root: true,
  },
];

const USAGE = `usage: npm test [-- --only LAYER[,LAYER…]] [-- --filter TEXT]

  --only LAYER   run only these layers; may be repeated
  --filter TEXT  only test files whose path contains TEXT

layers: ${LAYERS.map((l) => `${l.name} (${l.what})`).join(', ')}`;

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    filter: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  },
});
if (options.help) {
  console.log(USAGE);
  process.exit(0);
}
const only = options.only?.flatMap((o) => o.split(','));
for (const name of only ?? []) {
  if (!LAYERS.some((l) => l.name === name)) {
    console.error(`no layer '${name}'\n${USAGE}`);
    process.exit(2);
  }
}

/** The signal that ended the run early. @type {string | undefined} */
let interrupt;

/** Runs one layer in a process group of its own; past its limit the whole group is ended. */
function run(layer, extra) {
  return new Promise((resolve) => {
    const [file, ...args] = [...layer.command, ...extra];
    const env = { ...process.env, ...layer.env };
    const child = spawn(join(ROOT, file), args, { cwd: ROOT, env, stdio: 'inherit', detached: true });
    let hung = false;
    const end = (signal) => {
      try {
        process.kill(-child.pid, signal);
      } catch {
        // already gone
      }
    };
    const timer = setTimeout(() => {
      hung = true;
      console.error(`\n${layer.name}: still running after ${layer.limit} s, ending it`);
      end('SIGTERM');
      setTimeout(() => end('SIGKILL'), 5 * SECOND).unref();
    }, layer.limit * SECOND);
    const interrupted = (signal) => {
      interrupt ??= signal;
      end('SIGTERM');
    };
    process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
    child.once('error', (error) => {
      clearTimeout(timer);
      resolve({ error: error.message });
    });
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
      if (hung) resolve({ error: `did not end within ${layer.limit} s` });
      else if (signal) resolve({ error: `ended by ${signal}` });
      else resolve({ code });
    });
  });
}

/** Counts what vitest's JSON report says; whatever it doesn't explain is one failure more. */
function count(reportFile, outcome) {
  if (!existsSync(reportFile)) {
    return { passed: 0, failed: 1, notes: [outcome.error ?? `no report (exit code ${outcome.code})`] };
  }
  const report = JSON.parse(readFileSync(reportFile, 'utf8'));
  const notes = [];
  const passed = report.numPassedTests;
  let failed = report.numFailedTests;
  for (const file of report.testResults) {
    for (const test of file.assertionResults.filter((t) => t.status === 'failed')) {
      notes.push(`${file.name.replace(`${ROOT}/`, '')}: ${test.fullName}`);
    }
    if (file.status === 'failed' && !file.assertionResults.some((t) => t.status === 'failed')) {
      failed += 1;
      const why = (file.message ?? '').split('\n')[0];
      notes.push(`${file.name.replace(`${ROOT}/`, '')}: ${why || 'failed outside its tests'}`);
    }
  }
  const skipped = report.numPendingTests + (report.numTodoTests ?? 0);
  if (outcome.error) {
    failed += 1;
    notes.push(outcome.error);
  } else if (outcome.code !== 0 && failed === 0) {
    failed += 1;
    notes.push(`exit code ${outcome.code} although no test failed (an unhandled error, or no test found)`);
  }
  return { passed, failed, skipped, notes };
}

const scratch = mkdtempSync(join(tmpdir(), 'dpvs-test-'));
const began = Date.now();
const results = [];
try {
  await sweep(console.error);
  for (const layer of LAYERS) {
    if (interrupt) break;
    if (only && !only.includes(layer.name)) continue;
    if (layer.optional && !existsSync(join(ROOT, layer.optional))) continue;
    console.log(`\n=== ${layer.name}: ${layer.what}`);
    if (layer.root) {
      const missing = missingFeatures();
      for (const text of missing) console.error(`\n!!! MISSING ON THIS MACHINE: ${text}\n`);
    }
    const from = Date.now();
    let result;
    if (layer.name === 'lint') {
      const outcome = await run(layer, []);
      result =
        outcome.code === 0
          ? { passed: 1, failed: 0, notes: [] }
          : { passed: 0, failed: 1, notes: [outcome.error ?? 'findings above'] };
    } else {
      const report = join(scratch, `${layer.name}.json`);
      const extra = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
      if (options.filter) extra.push(options.filter);
      result = count(report, await run(layer, extra));
    }
    results.push({ name: layer.name, seconds: (Date.now() - from) / SECOND, ...result });
  }
} finally {
  await sweep(console.error);
  rmSync(scratch, { recursive: true, force: true });
}

console.log('\n=== summary');
let passed = 0;
let failed = 0;
for (const r of results) {
  passed += r.passed;
  failed += r.failed;
  const skipped = r.skipped ? `, ${r.skipped} SKIPPED` : '';
  console.log(
    `${r.name.padEnd(8)} ${r.passed} passed, ${r.failed} failed${skipped} (${r.seconds.toFixed(0)} s)`,
  );
  for (const note of r.notes) console.log(`         FAILED ${note}`);
}
if (interrupt) {
  failed += 1;
  console.log(`interrupted by ${interrupt}`);
}
const cores = readdirSync(ROOT).filter((f) => /^core(\.\d+)?$/.test(f));
if (cores.length > 0) console.log(`core dumps here: ${cores.join(', ')}`);
console.log(`total time ${((Date.now() - began) / SECOND).toFixed(0)} s`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
