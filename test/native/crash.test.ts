/** Lcore threads that fail: nothing is lost, the process lives, another thread takes over. */
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { LCORE_BLOCK, LCORE_STATS, MBUF, PKT } from '../../src/core/layout.js';
import { DROP } from '../../src/core/drops.js';
import type { TestLcore } from './support/rig.js';
import {
  build,
  codeOf,
  done,
  ended,
  frame,
  lastMessage,
  lcoreConfig,
  leaveNothing,
  makeLcore,
  native,
  newFlag,
  poll,
  pool,
  spawn,
  startEal,
  startPort,
  until,
} from './support/rig.js';

const RUNNING = 0;
const STOP = 1;

beforeAll(() => {
  startEal();
  pool();
});

afterEach(leaveNothing);

/** What the stack's identity lacks after a crash: the packets that the dead thread had. */
function settle(lc: TestLcore, reclaimed: number): void {
  const c = lc.packets.counters;
  c[(LCORE_STATS.at.drops >>> 3) + DROP.LCORE_RESTART]! += reclaimed;
  c[LCORE_STATS.at.held >>> 3] = 0;
  expect(lc.packets.balance()).toBe(0);
}

/** A worker that binds lcore `data.id`, polls, holds 10 packets, drops and queues others, and then does `end`. */
const holder = (end: string): string => `
  const { id, arena, block, stats, at, sAt, flags } = data;
  native.threadRegister();
  native.threadName('lcore-' + id);
  native.lcoreBind(id);
  const u32 = new Uint32Array(block);
  const f64 = new Float64Array(stats);
  const exc = at.exc >>> 2, tx = at.txPkt >>> 2, dst = at.txDst >>> 2, free = at.free >>> 2;
  let held = 0;
  for (let round = 0; round < 5; round++) {
    const n = native.poll(id, 64);
    for (let i = 0; i < n; i++) {
      const p = u32[exc + i];
      if (held < 10) { held++; f64[sAt.held >>> 3]++; continue; }
      if (i & 1) { u32[tx + u32[at.txCount >>> 2]] = p; u32[dst + u32[at.txCount >>> 2]] = data.port; u32[at.txCount >>> 2]++; }
      else { u32[free + u32[at.freeCount >>> 2]] = p; u32[at.freeCount >>> 2]++; f64[sAt.drops >>> 3]++; }
    }
    if (round < 4) native.flush(id);
  }
  const n = native.poll(id, 64);           // exceptions that nobody looks at any more
  // three generated packets: one still in hand, one to be sent, one of them dropped
  const alloc = at.alloc >>> 2;
  const take = () => {
    const p = u32[alloc + --u32[at.allocCount >>> 2]];
    new Uint16Array(arena)[(p + flags) >>> 1] = 0; // as Packets.alloc() does
    f64[sAt.generated >>> 3]++;
    return p;
  };
  take();
  const q = take(); u32[tx + u32[at.txCount >>> 2]] = q; u32[dst + u32[at.txCount >>> 2]] = data.port; u32[at.txCount >>> 2]++;
  const r = take(); u32[free + u32[at.freeCount >>> 2]] = r; u32[at.freeCount >>> 2]++; f64[sAt.drops >>> 3]++;
  Atomics.store(flag, 0, 1);
  ${end}`;

async function crash(end: string, kill = false): Promise<void> {
  const port = startPort('net_null0,size=64');
  const lc = makeLcore(lcoreConfig(1, [port]), false);
  const flag = newFlag();
  const w = spawn(
    holder(end),
    {
      id: 1,
      port,
      arena: pool().arena,
      block: lc.config.block,
      stats: lc.config.stats,
      at: LCORE_BLOCK.at,
      sAt: LCORE_STATS.at,
      flags: MBUF.priv + PKT.at.flags,
    },
    flag,
  );
  const errors: unknown[] = [];
  w.on('error', (e) => errors.push(e));
  const exit = ended(w);
  await until(flag, RUNNING, (v) => v === 1);
  if (kill) await w.terminate();
  await exit;

  expect(codeOf(() => native.poll(1, 32))).toBe('WRONG_THREAD');
  expect(codeOf(() => native.lcoreBind(1))).toBe('WRONG_THREAD');
  const reclaimed = native.lcoreReclaim(1);
  settle(lc, reclaimed);
  expect(reclaimed).toBeGreaterThan(10 + 64);
  expect(native.mempoolStats()).toEqual({ available: 8192, inUse: 0 });

  // another thread (this one) takes over and works
  native.lcoreBind(1);
  const ps = poll(lc, 64);
  expect(ps.length).toBe(64);
  done(lc, ps);
  expect(lc.packets.balance()).toBe(0);
  native.lcoreUnbind(1);
  native.lcoreDestroy(1);
}

describe('the thread of an lcore ends with packets in every place', () => {
  test('by an exception', () => crash(`throw new Error('crash on purpose');`));
  test('by process.exit() of the worker', () => crash('process.exit(3);'));
  test(
    'by terminate() while it polls',
    () => crash('for (;;) { native.poll(id, 0); native.flush(id); }', true),
    30_000,
  );
});

describe('reclaim', () => {
  test('of an lcore without any packet frees none', () => {
    const lc = makeLcore(lcoreConfig(1, []));
    poll(lc);
    native.lcoreUnbind(1);
    expect(native.lcoreReclaim(1)).toBe(0);
    expect(native.lcoreReclaim(1)).toBe(0);
    native.lcoreDestroy(1);
  });

  test("leaves other lcores' packets alone", () => {
    const one = makeLcore(lcoreConfig(1, []));
    const two = makeLcore(lcoreConfig(2, []));
    const mine = build(two, frame(100, 5));
    build(one, frame(60));
    expect(native.lcoreReclaim(1)).toBe(1);
    expect(two.packets.len(mine)).toBe(100);
    done(two, [mine]);
    expect(two.packets.balance()).toBe(0);
    native.lcoreUnbind(2);
    native.lcoreDestroy(1);
    native.lcoreDestroy(2);
  });

  test('takes the lcore from a thread that is alive but failed: it cannot poll any more', async () => {
    const port = startPort('net_null0,size=64');
    const lc = makeLcore(lcoreConfig(1, [port]), false);
    const flag = newFlag();
    const w = spawn(
      `native.threadRegister(); native.lcoreBind(1);
       let code = 'none';
       try { for (;;) { native.poll(1, 32); native.flush(1); Atomics.add(flag, 0, 1); } } catch (e) { code = e.code; }
       parentPort.postMessage(code);`,
      {},
      flag,
    );
    const message = lastMessage(w);
    await until(flag, RUNNING, (v) => v > 10);
    const reclaimed = native.lcoreReclaim(1);
    expect(await message).toBe('WRONG_THREAD');
    settle(lc, reclaimed + native.lcoreReclaim(1));
    native.lcoreDestroy(1);
  });

  test('garbage in the vectors of a crashed lcore does no harm', () => {
    const lc = makeLcore(lcoreConfig(1, []));
    build(lc, frame(60));
    const u32 = new Uint32Array(lc.config.block);
    for (let i = LCORE_BLOCK.at.excCount >>> 2; i < u32.length; i++) u32[i] = (i * 2654435761) >>> 0;
    expect(native.lcoreReclaim(1)).toBe(1);
    expect(u32[LCORE_BLOCK.at.freeCount >>> 2]).toBe(0);
    native.lcoreDestroy(1);
  });

  test('destroying an lcore frees what it still held', () => {
    const lc = makeLcore(lcoreConfig(1, []));
    for (let i = 0; i < 100; i++) lc.packets.hold(build(lc, frame(60)));
    native.lcoreUnbind(1);
    native.lcoreDestroy(1);
  });
});

describe('many crashes', () => {
  test('thirty threads one after the other die while polling; no buffer and no thread id is lost', async () => {
    const port = startPort('net_null0,size=64');
    const lc = makeLcore(lcoreConfig(1, [port]), false);
    for (let i = 0; i < 30; i++) {
      const flag = newFlag();
      const w = spawn(
        `native.threadRegister(); native.lcoreBind(1);
         for (;;) { native.poll(1, 64); Atomics.store(flag, 0, 1); if (Atomics.load(flag, 1)) throw new Error('crash'); native.flush(1); break; }
         for (;;) { if (${i} % 2) throw new Error('crash'); native.poll(1, 64); }`,
        {},
        flag,
      );
      w.on('error', () => {});
      const exit = ended(w);
      await until(flag, RUNNING, (v) => v === 1);
      if (i % 2 === 0) await w.terminate();
      Atomics.store(flag, STOP, 1);
      await exit;
      settle(lc, native.lcoreReclaim(1));
    }
    native.lcoreDestroy(1);
  });
});
