import { Worker } from 'node:worker_threads';
import { buildSync } from 'esbuild';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Ring } from '../../../src/core/ring.js';

/** Offsets inside a region, of the fields that the corruption tests overwrite. */
const HEAD = 0;
const TAIL = 64;
const DATA = 128;

function make(capacity = 64): { ring: Ring; words: Int32Array } {
  const buffer = new SharedArrayBuffer(Ring.bytesFor(capacity));
  return { ring: new Ring(buffer, 0, capacity), words: new Int32Array(buffer) };
}

const bytes = (len: number, seed = 0): Uint8Array =>
  Uint8Array.from({ length: len }, (_, i) => (i * 7 + seed) & 255);

describe('ring', () => {
  it('is empty at first and gives back what was pushed, in order', () => {
    const { ring } = make();
    expect(ring.isEmpty).toBe(true);
    expect(ring.pop()).toBeUndefined();
    ring.push(bytes(3, 1));
    ring.push(bytes(0));
    ring.push(bytes(8, 2));
    expect(ring.isEmpty).toBe(false);
    expect(ring.used).toBe(8 + 4 + 12);
    expect(ring.pop()).toEqual(bytes(3, 1));
    expect(ring.pop()).toEqual(bytes(0));
    expect(ring.pop()).toEqual(bytes(8, 2));
    expect(ring.pop()).toBeUndefined();
    expect(ring.isEmpty).toBe(true);
  });

  it('says no when full and takes the record once there is room', () => {
    const { ring } = make(64);
    expect(ring.push(bytes(40))).toBe(true);
    expect(ring.push(bytes(17))).toBe(false);
    expect(ring.push(bytes(16))).toBe(true);
    expect(ring.push(bytes(0))).toBe(false);
    ring.pop();
    expect(ring.push(bytes(17))).toBe(true);
  });

  it('takes a record as large as itself, from any position', () => {
    const { ring } = make(64);
    for (let i = 0; i < 20; i++) {
      expect(ring.push(bytes(60, i))).toBe(true);
      expect(ring.pop()).toEqual(bytes(60, i));
      ring.push(bytes(i));
      ring.pop();
    }
  });

  it('throws for a record that can never fit', () => {
    const { ring } = make(64);
    expect(() => ring.push(bytes(61))).toThrow(expect.objectContaining({ code: 'NOROOM' }));
    expect(ring.isEmpty).toBe(true);
  });

  it('hands out copies, not views of the ring', () => {
    const { ring } = make(64);
    ring.push(bytes(60, 1));
    const first = ring.pop();
    ring.push(bytes(60, 2));
    expect(first).toEqual(bytes(60, 1));
  });

  it('keeps working when the cursors pass 2^32', () => {
    const { ring, words } = make(64);
    words[HEAD >>> 2] = words[TAIL >>> 2] = -32;
    for (let i = 0; i < 10; i++) {
      expect(ring.push(bytes(21, i))).toBe(true);
      expect(ring.push(bytes(5, i))).toBe(true);
      expect(ring.used).toBe(40);
      expect(ring.pop()).toEqual(bytes(21, i));
      expect(ring.pop()).toEqual(bytes(5, i));
    }
    expect(words[HEAD >>> 2]).toBeGreaterThan(0);
  });

  it('carries JSON, of any script, and null', () => {
    const { ring } = make(256);
    const value = {
      op: 'svc.add',
      addr: '192.168.100.100',
      n: [1, 2.5, null],
      text: 'h\u00e9 \u4e16 \u{1f600}',
    };
    expect(ring.sendJson(value)).toBe(true);
    expect(ring.sendJson(null)).toBe(true);
    expect(ring.receiveJson()).toEqual(value);
    expect(ring.receiveJson()).toBeNull();
    expect(ring.receiveJson()).toBeUndefined();
  });

  it('refuses to send what JSON cannot express, and to read what is none', () => {
    const { ring } = make(64);
    expect(() => ring.sendJson(undefined)).toThrow(expect.objectContaining({ code: 'INVAL' }));
    expect(ring.isEmpty).toBe(true);
    ring.push(Buffer.from('{"a":'));
    expect(() => ring.receiveJson()).toThrow(expect.objectContaining({ code: 'IO' }));
    expect(ring.isEmpty).toBe(true);
  });

  it('refuses a bad capacity, offset or buffer', () => {
    const buffer = new SharedArrayBuffer(Ring.bytesFor(64) + 64);
    for (const capacity of [0, 32, 63, 100, -64, 64.5, NaN, 2 ** 31])
      expect(() => Ring.bytesFor(capacity), `capacity ${capacity}`).toThrow(
        expect.objectContaining({ code: 'INVAL' }),
      );
    for (const offset of [-4, 2, 0.5, 68, 128, NaN])
      expect(() => new Ring(buffer, offset, 64), `offset ${offset}`).toThrow(
        expect.objectContaining({ code: 'INVAL' }),
      );
    expect(() => new Ring(buffer, 64, 64)).not.toThrow();
  });

  it('rings back to back do not touch each other', () => {
    const size = Ring.bytesFor(64);
    const buffer = new SharedArrayBuffer(3 * size);
    const [a, b, c] = [0, 1, 2].map((i) => new Ring(buffer, i * size, 64));
    b!.push(bytes(60, 9));
    expect([a!.isEmpty, c!.isEmpty]).toEqual([true, true]);
    a!.push(bytes(60, 1));
    c!.push(bytes(60, 2));
    expect(b!.pop()).toEqual(bytes(60, 9));
  });

  it('behaves as a queue of bounded bytes, in any sequence', () => {
    const op = fc.oneof(
      fc.uint8Array({ maxLength: 80 }).map((push) => ({ push })),
      fc.constant({ push: undefined }),
    );
    fc.assert(
      fc.property(
        fc.constantFrom(64, 128),
        fc.nat(64),
        fc.array(op, { maxLength: 200 }),
        (capacity, start, ops) => {
          const { ring, words } = make(capacity);
          words[HEAD >>> 2] = words[TAIL >>> 2] = -(start & ~3);
          const model: Uint8Array[] = [];
          const cost = (b: Uint8Array): number => 4 + Math.ceil(b.length / 4) * 4;
          const used = (): number => model.reduce((n, b) => n + cost(b), 0);
          for (const { push } of ops) {
            if (push === undefined) {
              expect(ring.pop()).toEqual(model.shift());
            } else if (cost(push) > capacity) {
              expect(() => ring.push(push)).toThrow(expect.objectContaining({ code: 'NOROOM' }));
            } else {
              const fits = used() + cost(push) <= capacity;
              expect(ring.push(push)).toBe(fits);
              if (fits) model.push(push);
            }
            expect(ring.used).toBe(used());
            expect(ring.isEmpty).toBe(model.length === 0);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('a ring whose memory was overwritten', () => {
  it('throws on a length that exceeds what is in use, every time, until it is reset', () => {
    for (const len of [9, 60, 64, 2 ** 31 - 1, -1, -4]) {
      const { ring, words } = make(64);
      ring.push(bytes(8));
      words[DATA >>> 2] = len;
      for (let i = 0; i < 3; i++) expect(() => ring.pop()).toThrow(expect.objectContaining({ code: 'IO' }));
      ring.reset();
      expect(ring.pop()).toBeUndefined();
      expect(ring.push(bytes(8))).toBe(true);
      expect(ring.pop()).toEqual(bytes(8));
    }
  });

  it('throws on impossible cursors', () => {
    for (const [head, tail] of [
      [0, 68],
      [0, -4],
      [0, 2],
      [2, 6],
      [4, 0],
    ] as const) {
      const { ring, words } = make(64);
      words[HEAD >>> 2] = head;
      words[TAIL >>> 2] = tail;
      expect(() => ring.pop(), `${head} ${tail}`).toThrow(expect.objectContaining({ code: 'IO' }));
      expect(() => ring.push(bytes(4)), `${head} ${tail}`).toThrow(expect.objectContaining({ code: 'IO' }));
    }
  });

  it('either throws or ends within as many pops as it could hold, whatever was written into it', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), { minLength: 18, maxLength: 18 }),
        (noise) => {
          const { ring, words } = make(64);
          words[HEAD >>> 2] = noise[0]! & ~3;
          words[TAIL >>> 2] = (noise[0]! & ~3) + ((Math.abs(noise[1]!) % 65) & ~3);
          for (let i = 0; i < 16; i++) words[(DATA >>> 2) + i] = noise[2 + i]! % 24;
          let pops = 0;
          try {
            while (ring.pop() !== undefined) expect(++pops).toBeLessThanOrEqual(16);
            expect(ring.isEmpty).toBe(true);
          } catch (e) {
            expect(e).toMatchObject({ code: 'IO' });
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('a ring between two threads', () => {
  /** Both sides in worker threads of their own; a side that finds no room or nothing naps, and gives up in the end. */
  const SIDES = `
    import { workerData, parentPort } from 'node:worker_threads';
    import { Ring } from './src/core/ring.ts';
    const { buffer, capacity, records, role } = workerData;
    const ring = new Ring(buffer, 64, capacity);
    const never = new Int32Array(new SharedArrayBuffer(4));
    let naps = 0;
    const nap = () => {
      if (++naps > 10_000) throw new Error(role + ' gave up');
      Atomics.wait(never, 0, 0, 1);
    };
    const record = (n) => {
      // Mostly small; now and then one that needs the whole ring.
      const b = new Uint8Array((n * 2654435761 >>> 0) % (n % 1000 === 999 ? capacity - 3 : 300));
      for (let i = 0; i < b.length; i++) b[i] = n + i;
      return b;
    };
    let wrong = 0;
    for (let n = 0; n < records; n++) {
      const expected = record(n);
      if (role === 'producer') {
        while (!ring.push(expected)) nap();
      } else {
        while (ring.isEmpty) nap();
        if (Buffer.compare(ring.pop(), expected) !== 0) wrong++;
      }
    }
    parentPort.postMessage({ wrong });
  `;

  it('delivers every record whole and in order', async () => {
    const code = buildSync({
      stdin: { contents: SIDES, resolveDir: process.cwd(), loader: 'ts' },
      bundle: true,
      platform: 'node',
      format: 'cjs',
      write: false,
    }).outputFiles[0]!.text;
    const capacity = 4096;
    const buffer = new SharedArrayBuffer(64 + Ring.bytesFor(capacity));
    const run = (role: string): Promise<{ wrong: number }> =>
      new Promise((resolve, reject) => {
        const worker = new Worker(code, {
          eval: true,
          workerData: { buffer, capacity, records: 10_000, role },
        });
        worker.once('message', resolve);
        worker.once('error', reject);
      });
    expect(await Promise.all([run('producer'), run('consumer')])).toEqual([{ wrong: 0 }, { wrong: 0 }]);
    expect(new Ring(buffer, 64, capacity).isEmpty).toBe(true);
  });
});
