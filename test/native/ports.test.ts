/** The main thread stops, closes and reconfigures ports while lcores run. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Worker } from 'node:worker_threads';
import type { TestLcore } from './support/rig.js';
import {
  PORT_CONFIG,
  ended,
  lcoreConfig,
  leaveNothing,
  makeLcore,
  native,
  newFlag,
  pool,
  spawn,
  startEal,
  startPort,
  until,
} from './support/rig.js';
import { LCORE_BLOCK, LCORE_STATS } from '../../src/core/layout.js';

const ROUNDS = 0;
const STOP = 1;
const RECEIVED = 2;

/** Polls and sends every packet back to the port that it came from. */
const REFLECT = `
  const { id, block, stats, arena, at, sAt } = data;
  native.threadRegister();
  native.lcoreBind(id);
  const u32 = new Uint32Array(block), u16 = new Uint16Array(arena);
  const exc = at.exc >>> 2, tx = at.txPkt >>> 2, dst = at.txDst >>> 2;
  while (Atomics.load(flag, 1) === 0) {
    const n = native.poll(id, 256);
    for (let i = 0; i < n; i++) {
      const p = u32[exc + i];
      u32[tx + i] = p;
      u32[dst + i] = u16[(p + 22) >>> 1];
    }
    u32[at.txCount >>> 2] = n;
    native.flush(id);
    Atomics.add(flag, 0, 1);
    Atomics.add(flag, 2, n);
  }
  native.lcoreUnbind(id);`;

interface Running {
  lc: TestLcore;
  flag: Int32Array;
  worker: Worker;
  exit: Promise<number>;
  errors: unknown[];
}

function reflector(id: number, ports: number[], queue = 0): Running {
  const lc = makeLcore(lcoreConfig(id, ports, queue), false);
  const flag = newFlag();
  const { block, stats } = lc.config;
  const data = { id, block, stats, arena: pool().arena, at: LCORE_BLOCK.at, sAt: LCORE_STATS.at };
  const worker = spawn(REFLECT, data, flag);
  const errors: unknown[] = [];
  worker.on('error', (e) => errors.push(e));
  return { lc, flag, worker, exit: ended(worker), errors };
}

async function finish(r: Running): Promise<void> {
  Atomics.store(r.flag, STOP, 1);
  await r.exit;
  expect(r.errors).toEqual([]);
  expect(r.lc.packets.balance()).toBe(0);
  native.lcoreDestroy(r.lc.id);
}

beforeAll(() => {
  startEal();
  pool();
});

afterAll(() => {
  leaveNothing();
  native.ealCleanup();
});

describe('while lcores poll and send', () => {
  test('a port is stopped and started three hundred times', async () => {
    const port = startPort('net_null0,size=64', 2);
    const runs = [reflector(1, [port], 0), reflector(2, [port], 1)];
    for (const r of runs) await until(r.flag, RECEIVED, (v) => v !== 0);
    for (let i = 0; i < 300; i++) {
      native.portStop(port);
      native.portStart(port);
    }
    for (const r of runs) {
      const seen = Atomics.load(r.flag, RECEIVED);
      await until(r.flag, RECEIVED, (v) => v !== seen);
      await finish(r);
    }
    native.devDetach(port);
  });

  test('a port is reconfigured with other queues, closed, and comes back as another device, four hundred times', async () => {
    const first = startPort('net_null0,size=64', 2);
    const other = startPort('net_null9,size=64', 2);
    const runs = [reflector(1, [first, other], 0), reflector(2, [first, other], 1)];
    for (const r of runs) await until(r.flag, RECEIVED, (v) => v !== 0);
    let port = first;
    for (let i = 0; i < 400; i++) {
      native.portStop(port);
      const queues = 1 + (i % 2);
      native.portConfigure(port, {
        ...PORT_CONFIG,
        rxQueues: queues,
        txQueues: queues,
        rxDesc: 64 << (i % 3),
      });
      native.portStart(port);
      if (i % 3 === 0) {
        native.portClose(port);
        port = startPort(i % 2 === 0 ? 'net_null0,size=100' : 'net_ring0', 2);
        expect(port).toBe(first);
      }
      if (i % 5 === 0) {
        native.devDetach(port);
        port = startPort('net_null0,size=64', 2);
      }
    }
    for (const r of runs) {
      const seen = Atomics.load(r.flag, ROUNDS);
      await until(r.flag, ROUNDS, (v) => v > seen + 10);
      await finish(r);
    }
    native.devDetach(port);
    native.devDetach(other);
  });

  test('setters and counters are used while traffic flows', async () => {
    const port = startPort('net_null0,size=64');
    const r = reflector(1, [port]);
    await until(r.flag, RECEIVED, (v) => v !== 0);
    for (let i = 0; i < 200; i++) {
      try {
        native.portSetMtu(port, 1400 + (i % 100));
      } catch (e) {
        expect((e as { code: string }).code).toBe('DPDK'); // net_null has no MTU of its own on some versions
      }
      native.portStats(port);
      native.portXstats(port);
      native.portInfo(port);
      native.portLink(port);
      native.portSetMac(port, '02:00:00:00:00:01');
      if (i % 20 === 0) native.portResetStats(port);
    }
    await finish(r);
    native.devDetach(port);
  });

  test('an lcore is destroyed while another redirects to it', async () => {
    const port = startPort('net_null0,size=64');
    const target = makeLcore(lcoreConfig(2, []), false);
    const lc = makeLcore(lcoreConfig(1, [port]), false);
    const flag = newFlag();
    const { block } = lc.config;
    const worker = spawn(
      REFLECT.replace('u16[(p + 22) >>> 1]', '0x80000002'),
      { id: 1, block, stats: null, arena: pool().arena, at: LCORE_BLOCK.at, sAt: LCORE_STATS.at },
      flag,
    );
    const exit = ended(worker);
    await until(flag, RECEIVED, (v) => v !== 0);
    for (let i = 0; i < 50; i++) {
      native.lcoreDestroy(2);
      native.lcoreCreate(target.config);
    }
    Atomics.store(flag, STOP, 1);
    await exit;
    expect(lc.packets.balance()).toBe(0);
    expect(lc.drops('REDIRECT_FULL')).toBeGreaterThan(0);
    native.lcoreDestroy(1);
    native.lcoreDestroy(2);
    native.devDetach(port);
  });
});
