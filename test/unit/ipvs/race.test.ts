/** What lcores share, on real threads at once: no place is given twice, no client gets two real servers. */
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { Bandwidth } from '../../../src/ipvs/bandwidth.js';
import { DestLimits } from '../../../src/ipvs/limits.js';
import { Templates } from '../../../src/ipvs/templates.js';

const THREADS = 3;

/**
 * Runs `body` on every thread with `Class` (an export of dist/ipvs), `shared`, `id` (from 0) and `meet()`, which waits for the
 * others. @returns what each gave back
 */
async function race(file: string, shared: SharedArrayBuffer, body: string): Promise<number[][]> {
  const gate = new Int32Array(new SharedArrayBuffer(8));
  const code = `
    const { parentPort, workerData: { url, shared, gate, id } } = require('node:worker_threads');
    let round = 0;
    function meet() {
      round++;
      if (Atomics.add(gate, 0, 1) === round * ${THREADS} - 1) { Atomics.store(gate, 1, round); Atomics.notify(gate, 1); }
      while (Atomics.load(gate, 1) < round) Atomics.wait(gate, 1, round - 1, 10);
    }
    import(url).then((m) => { const Class = Object.values(m).find((v) => typeof v === 'function' && v.prototype);
      const result = [];
      ${body}
      parentPort.postMessage(result); });`;
  const url = new URL(`../../../dist/ipvs/${file}.js`, import.meta.url).href;
  return Promise.all(
    Array.from(
      { length: THREADS },
      async (_, id) =>
        new Promise<number[]>((resolve, reject) => {
          const w = new Worker(code, { eval: true, workerData: { url, shared, gate, id } });
          w.once('message', (m: number[]) => resolve(m));
          w.once('error', reject);
        }),
    ),
  );
}

describe('threads at once', () => {
  it('take as many places as there are, and leave none behind', async () => {
    const shared = new SharedArrayBuffer(64);
    const won = await race(
      'limits',
      shared,
      `const limits = new Class(shared);
       for (let r = 0; r < 200; r++) {
         meet();
         let n = 0;
         for (let k = 0; k < 50; k++) if (limits.reserve(3, 40)) n++;
         meet();
         result.push(n);
         for (; n > 0; n--) limits.release(3, 40, 0);
         meet();
       }`,
    );
    for (let r = 0; r < 200; r++) expect(won.reduce((n, w) => n + w[r]!, 0)).toBe(40);
    expect(new DestLimits(shared).count(3)).toBe(0);
  });

  it('give a client one real server, also while others are forgotten and their places taken', async () => {
    const shared = new SharedArrayBuffer(Templates.bytes(256, THREADS));
    const got = await race(
      'templates',
      shared,
      `const t = new Class(shared, ${THREADS}, id + 1);
       for (let r = 0; r < 1500; r++) {
         meet();
         for (let k = 0; k < 16; k++) {
           const client = (r * 16 + k) * 7919;
           const now = r * 100 + k;
           let e = t.find(client, 1, now);
           if (e < 0) while ((e = t.enter(client, 1, id + 1, 1, now)) === -2);
           result.push(e < 0 ? 0 : t.dest(e));
         }
       }`,
    );
    let entered = 0;
    const winners = new Set<number>();
    for (let n = 0; n < got[0]!.length; n++) {
      const dests = new Set(got.map((g) => g[n]!));
      expect(dests.size, `client ${n}`).toBe(1);
      if (got[0]![n]! > 0) entered++;
      winners.add(got[0]![n]!);
    }
    expect(entered).toBeGreaterThan(got[0]!.length * 0.5);
    expect(winners.size).toBeGreaterThan(1);
  });

  it('spend no more than a service has', async () => {
    const shared = new SharedArrayBuffer(64);
    const bytes = await race(
      'bandwidth',
      shared,
      `const b = new Class(shared);
       let n = 0;
       for (let ms = 0; ms < 500; ms++) {
         if (ms % 10 === 0) meet();
         for (let k = 0; k < 40; k++) if (b.take(1, 0, 700, 100e6, ms)) n += 700;
       }
       result.push(n);`,
    );
    const total = bytes.reduce((n, [b]) => n + b!, 0);
    // 12.5 kB a millisecond; the threads may be ten apart.
    expect(total).toBeLessThanOrEqual(12_500 * (500 + 50 + 1 + THREADS) + 700);
    expect(total).toBeGreaterThan(12_500 * 490);
    expect(new Bandwidth(shared).take(1, 1, 700, 100e6, 0)).toBe(true);
  });
});
