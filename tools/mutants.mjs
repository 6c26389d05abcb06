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
const LOOK = 'look';
const TABLE = 'native/src/flow_table.cc';
const REWRITE = 'native/src/rewrite.h';
const PARSE = 'native/src/parse.h';
const RULES = 'native/src/flow_rules.cc';
const STORM = 'native/src/storm.h';
const OPEN = 'native/src/open_flow.h';
const OPENING = 'opening';
const SYN = 'native/src/syn_answer.h';
const SYNPROXY = 'src/ipvs/synproxy';
const LISTS = 'verdicts';
const CLIENT_ADDR = 'toa';
const TOA = 'native/src/toa.h';
const VERDICTS = 'native/src/verdicts';

/** Suite (part of a file's name in test/native, or tools/sanitize), what is broken, file, text, what stands there instead. */
const MUTANTS = [
  // Bounds: records hold garbage, frames are short.
  [FUZZ, 'forwarding mode', ENGINE, 'd.fwd % RTE_DIM(steps.at[0])', 'd.fwd'],
  [FUZZ, 'state', ENGINE, 'd.state % ProtoRules::STATES', 'd.state'],
  [LOOK, 'front: what is removed', TABLE, '    if (fronted()) forget(ref, h);', ''],
  [LOOK, 'front: what is there already', TABLE, '  if (slot_of(b, ref, tag(hash)) >= 0) return;', ''],
  [LOOK, 'front: whose flow', ENGINE, ' || !is_of(*d, l3)', ''],
  [FUZZ, 'port of an adjacency', ENGINE, '&& a.port < RTE_MAX_ETHPORTS', ''],
  [FUZZ, 'length of the datagram', PARSE, 'total - LEAST > len - ETH_HEADER - LEAST', 'false'],
  [FUZZ, 'length of TCP options', REWRITE, 'at + len > header', 'false'],
  [FUZZ, 'port of the tx vector', 'native/src/flush.cc', 'unlikely(dst >= RTE_MAX_ETHPORTS)', 'false'],
  [FUZZ, 'lcore of the tx vector', 'native/src/flush.cc', 'unlikely(target >= RTE_MAX_LCORE)', 'false'],
  [FUZZ, 'record of the index', 'native/src/flow.cc', 'a.v[1] >= lc->flows.capacity()', 'false'],
  // Native code that does something else than TypeScript.
  [DIFF, 'native: the state before a change', ENGINE, 'c.in.state << 4 | state', 'state << 4 | state'],
  [DIFF, 'native: active counter', ENGINE, 'dest.active += by;', ''],
  [DIFF, 'native: order within a connection', ENGINE, '|| is_behind(lc, ref >> 1)', ''],
  [
    DIFF,
    'native: wrap of acknowledgements',
    ENGINE,
    'static_cast<int32_t>(ack - c.endAck) > 0',
    'ack > c.endAck',
  ],
  [DIFF, 'native: MTU by one', ENGINE, 'total > d.mtu', 'total > d.mtu + 1'],
  [DIFF, 'native: TTL by one', ENGINE, 'rules.count_hop ? 1 : 0', 'rules.count_hop ? 0 : 1'],
  [DIFF, 'native: old generation', ENGINE, 'd.adjGen != pass.generation', 'false'],
  [DIFF, 'native: neighbour to be asked', ENGINE, '(a.flags & ADJ_F_READY) != 0 &&', ''],
  [DIFF, 'native: usual neighbour', ENGINE, '== usual_word(pass.to.port)', '!= 0'],
  [DIFF, 'native: usual actions', ENGINE, '&& (d.actions & ~NUMBERS) == REWRITE', ''],
  [DIFF, 'native: SYN over a closing connection', RULES, '|| proto.slow[table][flags] != 0', ''],
  [DIFF, 'native: computed checksum 0', REWRITE, 'now == 0 ? 0xffff : now', 'now'],
  [DIFF, 'native: SACK blocks', REWRITE, 'kind == SACK && edge', 'false && edge'],
  [DIFF, 'native: SACK blocks on odd bytes', REWRITE, '(edge & 1) != 0', 'false'],
  [DIFF, 'native: acknowledgement without ACK', REWRITE, '(load<uint8_t>(l4 + 13) & TCP_ACK) != 0', 'true'],
  [DIFF, 'opening: checksum of ports', OPEN, 'fold(ip + ports)', 'fold(ip)'],
  [DIFF, 'opening: timestamps of a SYN', OPEN, 'memset(l4 + at, 1, len);', ''],
  [DIFF, 'opening: numbers of answers', OPEN, 'out.seqDelta = 0 - delta;', 'out.seqDelta = delta;'],
  [DIFF, 'opening: sequence numbers', OPEN, 'now * ISN_TICKS_PER_MS +', ''],
  [DIFF, "opening: the client's address", OPEN, 'in.actions |= FLOW_ACTION_CLIENT_ADDR;', ''],
  [DIFF, 'opening: way back', OPEN, '(addr & b.near[2 * i + 1]) == b.near[2 * i]', 'false'],
  [OPENING, 'opening: MTU', ENGINE, 'total > s.mtu', 'total > s.mtu + 1'],
  [
    DIFF,
    'opening: hop limit',
    ENGINE,
    'time_to_live)) <= pass.hops || b.eventCount',
    'time_to_live)) < pass.hops || b.eventCount',
  ],
  [DIFF, 'opening: order within a service', ENGINE, '(lc.left_stocks >> stock & 1) != 0', 'false'],
  [DIFF, 'opening: forged addresses', ENGINE, 'has_option(l3 + IP_HEADER, OPTION_TOA)', 'false'],
  [OPENING, 'opening: sources that are none', ENGINE, '|| is_martian(b, l3 - ETH_HEADER)', ''],
  [
    OPENING,
    'opening: lists',
    ENGINE,
    'unlikely(listed) && refused_client(pass.lc',
    'false && refused_client(pass.lc',
  ],
  [DIFF, 'opening: counters', ENGINE, 'dest.inactive += 1;', ''],
  [
    DIFF,
    'opening: stocks of old routes',
    'src/ipvs/stocks.ts',
    'if (this.generation !== this.x.inet.generation) return NO_SPARE;',
    '',
  ],
  [
    DIFF,
    'opening: a service that changes',
    'src/ipvs/stocks.ts',
    'svcChanged: (svc) => this.forget(svc),',
    '',
  ],
  [DIFF, 'native: TOS of a tunnel', REWRITE, 'h.type_of_service = load<uint8_t>(l3 + 1);', ''],
  [DIFF, 'native: fragment bits of a tunnel', REWRITE, '& RTE_BE16(RTE_IPV4_HDR_DF_FLAG)', ''],
  [DIFF, 'native: both ends of SNAT', `${VERDICTS}.cc`, '!own || snat', '!own'],
  [DIFF, 'native: lists of a service', `${VERDICTS}.cc`, 'listed ? v.of_client(', 'false ? v.of_client('],
  [LISTS, 'native: white as long as black', `${VERDICTS}.cc`, 'addr) >= black)', 'addr) > black)'],
  [
    LISTS,
    'native: buckets behind a full one',
    `${VERDICTS}.h`,
    '__ATOMIC_RELAXED)) == 0) return false;',
    '__ATOMIC_RELAXED)) != 7) return false;',
  ],
  [
    LISTS,
    'lists: a prefix before it is known whose',
    'src/ipvs/acl/writer.ts',
    'words[place + 1] = prefix | 0;',
    'Atomics.store(words, place, meta); words[place + 1] = prefix | 0;',
  ],
  [TALK, 'native: tables of one-sided modes', RULES, 'NOTHING : table_in[fwd])', 'NOTHING : 0)'],
  [TALK, 'native: MTU by one', ENGINE, 'total > d.mtu', 'total > d.mtu + 1'],
  [TALK, 'native: TTL by one', ENGINE, 'rules.count_hop ? 1 : 0', 'rules.count_hop ? 0 : 1'],
  [TALK, 'native: last packet seen', ENGINE, 'd.lastSeenMs = pass.now;', ''],
  [TALK, 'native: TTL of direct routing', ENGINE, 'if (pass.hops != 0) count_down(l3, 0, pass.hops);', ''],
  [CLIENT_ADDR, 'native: end by the client', TOA, '>= 0 ? Toa::TOLD', '>= 0 ? Toa::NOTHING'],
  [CLIENT_ADDR, 'native: end of an upload', TOA, 'what == Toa::TELL && is_acknowledged(c)', 'false'],
  [CLIENT_ADDR, 'native: room in the header', TOA, 'header + TOA_LEN <= MAX_TCP_HEADER', 'true'],
  [CLIENT_ADDR, 'native: room in the MTU', TOA, 'total + TOA_LEN <= c.in.mtu', 'true'],
  [CLIENT_ADDR, 'native: MSS of the SYN-ACK', TOA, 'lower = mss - TOA_LEN', 'lower = mss'],
  [CLIENT_ADDR, 'native: MSS at an odd place', TOA, '(at & 1) == 0 ? delta', 'true ? delta'],
  [TALK, 'native: storm of acknowledgements', STORM, 'c.sameAcks >= most', 'false'],
  [TALK, 'native: data of the client in a storm', STORM, 'data != c.clientData', 'false'],
  [DIFF, 'native: what a SYN cookie signs', SYN, 'isn ^ data << 22', 'isn'],
  [
    DIFF,
    'native: SYN with a wrong checksum',
    SYN,
    'if (rte_ipv4_udptcp_cksum_verify(reinterpret_cast<const rte_ipv4_hdr*>(l3), l4) != 0) return 0;',
    '',
  ],
  [DIFF, 'native: window scale of a SYN', SYN, 'RTE_MIN(load<uint8_t>(p + 2), 14)', 'load<uint8_t>(p + 2)'],
  [DIFF, 'native: windows of syn-proxy', REWRITE, 'd.wshift != 0 &&', 'false &&'],
  [DIFF, 'native: time stamps of syn-proxy', REWRITE, 'out ? c.tsDelta : 0 - c.tsDelta', 'c.tsDelta'],
  // And the other way round.
  [
    DIFF,
    'TypeScript: MSS of our SYN-ACK',
    `${SYNPROXY}/answer.ts`,
    'Math.min(offer.mss, config.mss)',
    'offer.mss',
  ],
  [
    DIFF,
    'TypeScript: reflexes without real servers',
    `${SYNPROXY}/reflexes.ts`,
    'destChanged: (d) => changed(d.svc),',
    '',
  ],
  [DIFF, 'TypeScript: keys of reflexes', `${SYNPROXY}/cookie.ts`, 'this.onKeys();', ''],
  [
    DIFF,
    'TypeScript: cookies over a closing connection',
    `${SYNPROXY}/synproxy.ts`,
    'r.setAction(c, DIR_IN, FLOW_ACTION.EXCEPTION, this.reusable[state] === 1);',
    '',
  ],
  [
    DIFF,
    'TypeScript: reopening clients',
    'src/ipvs/ipvs.ts',
    'return state.closing !== undefined &&',
    'return false &&',
  ],
  [DIFF, 'TypeScript: gauges', 'src/ipvs/ipvs.ts', 'this.stats.moved(r.dest(c), inactive === 0);', ''],
  [
    DIFF,
    'TypeScript: timeouts of native changes',
    'test/native/support/side.ts',
    'ipvs.moved(packets.event(i), packets.move(i));',
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
  const packets = process.env['DPVS_DIFF_PACKETS'] ?? '300000';
  const args = ['run', '--config', 'test/native/vitest.config.ts', suite];
  return run('node_modules/.bin/vitest', args, { DPVS_DIFF_PACKETS: packets });
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
