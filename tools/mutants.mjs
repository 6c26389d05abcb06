/**
 * Shows that tests notice: breaks the code on purpose, one line at a time, and expects the named suite to fail.
 *
 *   node tools/mutants.mjs            all, some 15 minutes
 *   node tools/mutants.mjs PART…      those whose name contains a PART
 *   node tools/mutants.mjs --list
 *
 * Works on the files themselves and puts them back; refuses when one of them has changes that are not committed.
 * A mutation whose text is no longer in its file is an error: it has to follow the code.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const DIFF = 'differential';
const FUZZ = 'sanitize';
const TALK = 'conversations';
const ENGINE = 'native/src/engine.cc';

/** Suite (part of a file's name in test/native, or tools/sanitize), what is broken, file, text, what stands there instead. */
const MUTANTS = [
  // Bounds: records hold garbage, frames are short.
  [FUZZ, 'adjacency index', ENGINE, 'lc.adjacencies[d.adj % ADJ_CAP]', 'lc.adjacencies[d.adj]'],
  [FUZZ, 'destination index', ENGINE, 'c.dest % DEST_CAP', 'c.dest'],
  [FUZZ, 'forwarding mode', ENGINE, 'c.fwd % RTE_DIM(rules.table_in)', 'c.fwd'],
  [FUZZ, 'state', ENGINE, 'c.state % ProtoRules::STATES', 'c.state'],
  [FUZZ, 'port of an adjacency', ENGINE, 'a.port >= RTE_MAX_ETHPORTS', 'false'],
  [FUZZ, 'length of the datagram', ENGINE, 'h.total > len - ETH_HEADER', 'false'],
  [FUZZ, 'port of the tx vector', 'native/src/flush.cc', 'unlikely(dst >= RTE_MAX_ETHPORTS)', 'false'],
  [FUZZ, 'lcore of the tx vector', 'native/src/flush.cc', 'unlikely(target >= RTE_MAX_LCORE)', 'false'],
  [FUZZ, 'record of the index', 'native/src/flow.cc', 'a.v[1] >= lc->flows.capacity()', 'false'],
  // Native code that does something else than TypeScript.
  [DIFF, 'native: active counter', ENGINE, 'dest.active += by;', ''],
  [DIFF, 'native: order within a connection', ENGINE, 'unlikely(is_behind(lc, conn))', 'false'],
  [
    DIFF,
    'native: wrap of acknowledgements',
    ENGINE,
    'static_cast<int32_t>(ack - c.endAck) > 0',
    'ack > c.endAck',
  ],
  [DIFF, 'native: MTU by one', ENGINE, 'h.total > d.mtu', 'h.total > d.mtu + 1'],
  [DIFF, 'native: TTL by one', ENGINE, 'rules.count_hop ? 1 : 0', 'rules.count_hop ? 0 : 1'],
  [DIFF, 'native: old generation', ENGINE, 'd.adjGen != lc.block->generation', 'false'],
  [DIFF, 'native: neighbour to be asked', ENGINE, '(a.flags & ADJ_F_READY) == 0', 'false'],
  [DIFF, 'native: SYN over a closing connection', ENGINE, 'proto.opens[flags] != 0', 'false'],
  [TALK, 'native: MTU by one', ENGINE, 'h.total > d.mtu', 'h.total > d.mtu + 1'],
  [TALK, 'native: TTL by one', ENGINE, 'rules.count_hop ? 1 : 0', 'rules.count_hop ? 0 : 1'],
  [DIFF, 'native: computed checksum 0', ENGINE, 'now == 0 ? UINT16_C(0xffff) : now', 'now'],
  [TALK, 'native: last packet seen', ENGINE, 'c.lastSeenMs = now;', ''],
  // And the other way round.
  [
    DIFF,
    'TypeScript: reopening clients',
    'src/ipvs/ipvs.ts',
    'return state.closing !== undefined &&',
    'return false &&',
  ],
  [
    DIFF,
    'TypeScript: adjacencies of an earlier life',
    'src/ipvs/ipvs.ts',
    'r.u32[(r.dir(c, DIR_OUT) + D.adj) >>> 2] = 0;',
    '',
  ],
  [DIFF, 'TypeScript: gauges', 'src/ipvs/ipvs.ts', 'this.stats.moved(r.dest(c), inactive === 0);', ''],
  [
    DIFF,
    'TypeScript: timeouts of native changes',
    'test/native/support/side.ts',
    'ipvs.moved(packets.event(i));',
    ';',
  ],
];

const { argv } = process;
const wanted = argv.slice(2);
const name = ([suite, what]) => `${suite}: ${what}`;
if (wanted[0] === '--list') {
  console.log(MUTANTS.map(name).join('\n'));
  process.exit(0);
}
const chosen = MUTANTS.filter((m) => wanted.length === 0 || wanted.some((w) => name(m).includes(w)));
const files = [...new Set(chosen.map(([, , file]) => file))];
const dirty = execFileSync('git', ['status', '--porcelain', '--', ...files], { encoding: 'utf8' });
if (dirty !== '') {
  console.error(`commit these first:\n${dirty}`);
  process.exit(2);
}

function run(command, args, env = {}) {
  const { status, signal } = spawnSync(command, args, { env: { ...process.env, ...env }, stdio: 'pipe' });
  if (signal !== null) throw new Error(`${command} ended by ${signal}`);
  return status === 0;
}

/** @returns true when the tests pass */
function passes(suite, file) {
  const build = suite === FUZZ ? ['--asan'] : [];
  if (file.startsWith('native/') && !run('tools/build-native', build))
    throw new Error(`${file} does not compile`);
  if (suite === FUZZ) return run('tools/sanitize', ['fuzz'], { DPVS_FUZZ_ROUNDS: '30' });
  if (file.startsWith('native/') && !run('tools/build-native', []))
    throw new Error(`${file} does not compile`);
  return run(
    'node_modules/.bin/vitest',
    ['run', '--config', 'test/native/vitest.config.ts', 'differential'],
    {
      DPVS_DIFF_PACKETS: process.env['DPVS_DIFF_PACKETS'] ?? '300000',
    },
  );
}

// An interrupt ends the command that runs, not us before the file is as it was.
process.on('SIGINT', () => {});

let unnoticed = 0;
for (const mutant of chosen) {
  const [suite, , file, find, replace] = mutant;
  const original = readFileSync(file, 'utf8');
  if (original.split(find).length !== 2) {
    console.error(`${name(mutant)}: '${find}' does not stand once in ${file}`);
    unnoticed++;
    continue;
  }
  try {
    writeFileSync(
      file,
      original.replace(find, () => replace),
    );
    const survived = passes(suite, file);
    if (survived) unnoticed++;
    console.log(`${survived ? 'NOT NOTICED' : 'noticed    '} ${name(mutant)}`);
  } finally {
    writeFileSync(file, original);
  }
}
if (files.some((f) => f.startsWith('native/'))) run('tools/build-native', []);
console.log(`${chosen.length - unnoticed} of ${chosen.length} noticed`);
process.exitCode = unnoticed === 0 ? 0 : 1;
