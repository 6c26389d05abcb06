/**
 * Black and white lists: the native look-up and that of TypeScript give the same verdict, that of a third one which looks at every
 * entry; and whoever looks while the master writes sees each entry as it was or as it is.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DROP } from '../../src/core/drops.js';
import {
  ADJ,
  ADJ_CAP,
  CONN4,
  DEST_CAP,
  DEST_STATS,
  LCORE_BLOCK,
  LCORE_STATS,
} from '../../src/core/layout.js';
import { formatRange } from '../../src/wire/range.js';
import { BLACK, GLOBAL, listOf, verdictBytes, Verdicts, WHITE } from '../../src/ipvs/acl/verdicts.js';
import { VerdictWriter } from '../../src/ipvs/acl/writer.js';
import { flowRules } from '../../src/ipvs/flow-rules.js';
import { formatIpv4, parseIpv4 } from '../../src/wire/ipv4.js';
import { tcp, udp } from '../support/frames.js';
import { Pair, pairPorts } from './support/pair.js';
import { ended, native, newFlag, pool, spawn, until } from './support/rig.js';
import { macOf } from './support/side.js';

const VIP = '10.1.1.1';
const RS = '192.168.0.10';
/** Ours, and the link's broadcast address. */
const NO_SOURCES = ['10.1.0.1', VIP, '192.168.0.1', '10.1.255.255', '192.168.255.255'];
const ports = pairPorts();

// ----- the same verdict

interface Range {
  from: number;
  to: number;
}
interface Entry extends Range {
  /** Of the service; else of all sources. */
  svc: boolean;
  list: 'black' | 'white';
}

/** Few addresses, close to each other and to both ends, so that entries nest, overlap and touch. */
const address = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.constantFrom(0, 0xffffffff, 1, 0xfffffffe, 0x7fffffff, 0x80000000, 0x01000000, 0xdfffffff),
  },
  { weight: 8, arbitrary: fc.nat(40).map((n) => parseIpv4('20.0.0.250') + n) },
  { weight: 2, arbitrary: fc.constantFrom(RS, '10.1.2.3').map(parseIpv4) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 0xffffffff }) },
);
const prefix = fc
  .tuple(address, fc.oneof(fc.integer({ min: 24, max: 32 }), fc.integer({ min: 0, max: 32 })))
  .map(([a, plen]) => {
    const size = 2 ** (32 - plen);
    const from = Math.floor(a / size) * size;
    return { from, to: from + size - 1 };
  });
const range = fc.oneof(
  prefix,
  fc.tuple(address, address).map(([a, b]) => ({ from: Math.min(a, b), to: Math.max(a, b) })),
);
const entry = fc
  .record({
    range,
    svc: fc.boolean(),
    list: fc.constantFrom('black' as const, 'black' as const, 'white' as const),
  })
  .map(({ range: r, ...o }): Entry => ({ ...r, ...o }));

const sizeAt = (e: Range, addr: number): number => {
  // The largest block of a power of two at its own multiple that has `addr` and lies in the range.
  let size = 0;
  for (let s = 1; s <= 2 ** 32; s *= 2) {
    const start = Math.floor(addr / s) * s;
    if (start >= e.from && start + s - 1 <= e.to) size = s;
  }
  return size;
};
const smallest = (entries: readonly Entry[], addr: number): number =>
  Math.min(...entries.map((e) => sizeAt(e, addr)).filter((s) => s > 0), Infinity);
const has = (e: Range, addr: number): boolean => e.from <= addr && addr <= e.to;

/** The verdict on a client, by looking at every entry. */
function verdict(
  entries: readonly Entry[],
  addr: number,
): 'passes' | 'none' | 'ACL_BLACKLIST' | 'ACL_WHITELIST' {
  const of = (svc: boolean, list: string): Entry[] => entries.filter((e) => e.svc === svc && e.list === list);
  const [black, white] = [smallest(of(false, 'black'), addr), smallest(of(false, 'white'), addr)];
  if (black < white && addr !== parseIpv4(RS)) return 'ACL_BLACKLIST';
  const first = addr >>> 24;
  if (first === 0 || first === 127 || first >= 224 || NO_SOURCES.includes(formatIpv4(addr))) return 'none';
  if (of(true, 'black').some((e) => has(e, addr))) return 'ACL_BLACKLIST';
  const own = of(true, 'white');
  return own.length > 0 && !own.some((e) => has(e, addr)) ? 'ACL_WHITELIST' : 'passes';
}

const svc = { proto: 'tcp' as const, addr: VIP, port: 80 };
const judged = { passes: 0, none: 0, ACL_BLACKLIST: 0, ACL_WHITELIST: 0 };
let byTypeScript = 0;

/** A SYN of each address to a service with syn-proxy, which the native loop answers: whoever gets no answer was refused. */
function ask(pair: Pair, entries: readonly Entry[], clients: readonly number[], now: number): void {
  const before = (['ACL_BLACKLIST', 'ACL_WHITELIST'] as const).map((d) =>
    pair.tested.packets.dropped(DROP[d]),
  );
  const exceptions = pair.tested.stat('exceptions');
  for (const c of clients)
    pair.send(0, tcp({ src: `${formatIpv4(c)}:1000`, dst: `${VIP}:80`, dmac: macOf(0), flags: 'S', seq: 1 }));
  const [answers] = pair.turn(now, 'SYNs');
  const wanted = { passes: 0, none: 0, ACL_BLACKLIST: 0, ACL_WHITELIST: 0 };
  for (const c of clients) wanted[verdict(entries, c)]++;
  const seen = answers!.filter((f) => f.readUInt16BE(12) === 0x0800).map((f) => f.readUInt32BE(30));
  const up = (x: number, y: number): number => x - y;
  expect(seen.sort(up)).toEqual(clients.filter((c) => verdict(entries, c) === 'passes').sort(up));
  const after = (['ACL_BLACKLIST', 'ACL_WHITELIST'] as const).map((d) =>
    pair.tested.packets.dropped(DROP[d]),
  );
  expect(after.map((n, i) => n - before[i]!)).toEqual([wanted.ACL_BLACKLIST, wanted.ACL_WHITELIST]);
  const { handled: _, ...tested } = pair.tested.counters();
  const { handled: __, ...plain } = pair.plain.counters();
  expect(tested).toEqual(plain);
  for (const k of Object.keys(judged) as (keyof typeof judged)[]) judged[k] += wanted[k];
  byTypeScript += pair.tested.stat('exceptions') - exceptions - wanted.none;
}

test('native and TypeScript judge alike, and as their entries say', { timeout: 300_000 }, () => {
  fc.assert(
    fc.property(
      fc.array(entry, { maxLength: 12 }),
      fc.array(address, { minLength: 1, maxLength: 40 }),
      fc.nat(),
      (entries, clients, salt) => {
        const pair = new Pair(ports, {
          conns: 64,
          nowMs: 1_000_000,
          neighTimeoutMs: 600_000,
          ipvs: {},
          path: 'flow',
        });
        try {
          const addr = { op: 'addr.add' as const, scope: 'global' as const, validLft: 0, sapool: false };
          pair.apply({ ...addr, dev: 'dpdk0', addr: '10.1.0.1', plen: 16 });
          pair.apply({ ...addr, dev: 'dpdk1', addr: '192.168.0.1', plen: 16 });
          pair.apply({ ...addr, dev: 'dpdk0', addr: VIP, plen: 32 });
          pair.apply({ op: 'svc.add', svc, scheduler: 'rr', synproxy: true });
          const dest = { addr: RS, port: 80 };
          pair.apply({ op: 'dest.add', svc, dest, fwd: 'nat', weight: 1, maxConn: 0, minConn: 0 });
          pair.turn(1_000_000, 'the beginning');
          const change = (op: 'acl.add' | 'acl.del', e: Entry): boolean => {
            const text = formatRange(e.from, e.to, -1);
            const of = e.svc ? { svc } : {};
            return pair.apply({ op, ...of, list: e.list, entries: [text], more: false }) === 'taken';
          };
          // Twice the same, or more than there is room for: refused, and nothing has changed.
          let there = entries.filter((e) => change('acl.add', e));
          // Their edges as well.
          const all = [...clients, ...there.flatMap((e) => [e.from, e.to, e.from - 1, e.to + 1])].filter(
            (a) => a >= 0 && a <= 0xffffffff,
          );
          const some = [...new Set(all)].slice(0, 64);
          ask(pair, there, some, 1_000_001);
          there = there.filter((e, i) => ((salt >>> i) & 1) === 1 || !change('acl.del', e));
          ask(pair, there, some, 1_000_002);
        } finally {
          pair.close();
        }
      },
    ),
    { numRuns: 150 },
  );
  expect(judged.ACL_BLACKLIST).toBeGreaterThan(500);
  expect(judged.ACL_WHITELIST).toBeGreaterThan(100);
  expect(judged.passes).toBeGreaterThan(500);
  // All that an answer could go to was judged by the native loop.
  expect(byTypeScript).toBe(0);
  expect(native.mempoolStats().inUse).toBe(0);
});

// ----- while it is written

const [LOOPS, STOP, WRONG] = [0, 1, 2];
const LISTED = '20.0.0.1';
const UNLISTED = '20.0.0.2';
const EXCEPTED = '30.0.0.3';
const CHANGES = 60_000;

/** Sends itself datagrams of the three addresses over a ring, and counts verdicts that never were right. */
const READER = `
  const { reader, sender, arena, bufferOffset, port, mac, frames, table, urls, dropsAt } = data;
  const load = async () => Promise.all(urls.map((u) => import(u)));
  load().then(([{ Packets }, { Verdicts }]) => {
    native.threadRegister();
    const face = ({ id, block, stats }) => {
      native.lcoreBind(id);
      return new Packets({ arena, bufferOffset, block, stats: { buffer: stats, offset: 0 }, lcore: id, flush: () => native.flush(id) });
    };
    const [r, s] = [face(reader), face(sender)];
    r.offload(port, mac);
    const verdicts = new Verdicts(table);
    const refused = () => new Float64Array(reader.stats)[dropsAt >>> 3];
    let wrong = 0;
    native.poll(sender.id, 0);
    while (Atomics.load(flag, ${STOP}) === 0) {
      // 8 of each: the first kind is refused, the others are not.
      const before = refused();
      for (let i = 0; i < 24; i++) {
        const p = s.alloc(), f = frames[i % 3];
        s.bytes.raw.set(f, s.data(p));
        s.setLen(p, f.length);
        s.transmit(p, port);
      }
      native.flush(sender.id);
      let n = 0;
      for (let k = native.poll(reader.id, 64); k > 0; k = native.poll(reader.id, 64)) {
        for (let i = 0; i < k; i++) r.drop(r.exception(i), 0);
        n += k;
        native.flush(reader.id);
      }
      if (n !== 16 || refused() - before !== 8) wrong++;
      for (let i = 0; i < 50; i++) {
        if (verdicts.ofAddr(${parseIpv4(LISTED)}) < 0) wrong++;
        if (verdicts.ofAddr(${parseIpv4(UNLISTED)}) >= 0) wrong++;
        if (verdicts.ofAddr(${parseIpv4(EXCEPTED)}) >= 0) wrong++;
      }
      Atomics.store(flag, ${WRONG}, wrong);
      Atomics.add(flag, ${LOOPS}, 1);
    }
    native.lcoreUnbind(reader.id);
    native.lcoreUnbind(sender.id);
  }).catch((e) => { setImmediate(() => { throw e; }); });`;

test('while lists change, nobody sees what never stood there', { timeout: 120_000 }, async () => {
  // So few buckets that everything stands in the way of everything.
  const table = native.mapAnonymous(verdictBytes(16));
  const verdicts = new Verdicts(table);
  const writer = new VerdictWriter(verdicts);
  const black = listOf(GLOBAL, BLACK);
  const other = listOf(7, BLACK);
  const add = (list: number, addr: string, plen: number): void => {
    const size = 2 ** (32 - plen);
    writer.add(list, Math.floor(parseIpv4(addr) / size) * size, plen);
    writer.publish(list);
  };
  add(black, LISTED, 32);
  add(black, EXCEPTED, 8);
  add(listOf(GLOBAL, WHITE), EXCEPTED, 32);

  const DEST_AT = Math.ceil(LCORE_STATS.size / 4096) * 4096;
  const lcore = (id: number, rx: number, tx: number) => {
    const config = {
      id,
      block: native.mapAnonymous(LCORE_BLOCK.size),
      stats: native.mapAnonymous(DEST_AT + DEST_CAP * DEST_STATS.size),
      statsOffset: 0,
      rxQueues: [{ port: ports[0]!, queue: rx }],
      txQueues: [{ port: ports[0]!, queue: tx }],
      redirectRing: 2,
      conns: native.mapAnonymous(2 * CONN4.size),
      adjacencies: native.mapAnonymous(ADJ_CAP * ADJ.size),
    };
    native.lcoreCreate(config);
    return { id, block: config.block, stats: config.stats };
  };
  const reader = lcore(11, 0, 1);
  const sender = lcore(12, 1, 0);
  native.flowRules(reader.id, flowRules(DEST_AT, false, undefined, 10, table));
  const mac = Uint8Array.from([2, 0, 0, 0, 0, 1]);
  const frames = [LISTED, UNLISTED, EXCEPTED].map((src) =>
    udp({ src: `${src}:1`, dst: `${VIP}:2`, dmac: macOf(0), data: 'x' }),
  );
  const flag = newFlag();
  const worker = spawn(
    READER,
    {
      reader,
      sender,
      arena: pool().arena,
      bufferOffset: pool().bufferOffset,
      port: ports[0]!,
      mac,
      frames,
      table,
      dropsAt: LCORE_STATS.at.drops + 8 * DROP.ACL_BLACKLIST,
      urls: ['core/packet', 'ipvs/acl/verdicts'].map(
        (f) => new URL(`../../dist/${f}.js`, import.meta.url).href,
      ),
    },
    flag,
  );
  const errors: unknown[] = [];
  worker.on('error', (e) => errors.push(e));
  const exit = ended(worker);
  await until(flag, LOOPS, (n) => n > 10 || errors.length > 0);
  const from = flag[LOOPS]!;

  // One that nobody refuses stands on the list of a service time and again, in the places that global entries have had.
  const standing: (() => void)[] = [];
  const put = (list: number, addr: string, plen: number): void => {
    while (writer.room <= 0) standing.shift()!();
    add(list, addr, plen);
    const size = 2 ** (32 - plen);
    standing.push(() => {
      writer.remove(list, Math.floor(parseIpv4(addr) / size) * size, plen);
      writer.publish(list);
    });
  };
  let seed = 1;
  const next = (n: number): number => ((seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) >>> 8) % n;
  for (let i = 0; i < CHANGES; i++) {
    if (next(3) === 0) put(other, UNLISTED, 32);
    else
      put(next(2) === 0 ? black : other, `40.${next(4)}.${next(256)}.${next(256)}`, next(4) === 0 ? 24 : 32);
    if (next(3) === 0 && standing.length > 0) standing.splice(next(standing.length), 1)[0]!();
    // The reader has its turn also where there is one CPU.
    if (i % 1000 === 999) await new Promise((r) => setImmediate(r));
  }
  await until(flag, LOOPS, (n) => n > from + 100 || errors.length > 0);
  Atomics.store(flag, STOP, 1);
  await exit;
  expect(errors).toEqual([]);
  expect(flag[WRONG]).toBe(0);
  for (const l of [reader, sender]) native.lcoreDestroy(l.id);
  expect(native.mempoolStats().inUse).toBe(0);
});
