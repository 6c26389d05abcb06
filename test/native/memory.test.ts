import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MBUF, PKT } from '../../src/core/layout.js';
import { codeOf, ended, lastMessage, native, newFlag, pool, spawn, startEal } from './support/rig.js';

const dir = mkdtempSync(join(tmpdir(), 'dpvs-native-'));
beforeAll(() => startEal());
afterAll(() => rmSync(dir, { recursive: true }));

const zero = (b: SharedArrayBuffer): boolean => new Uint8Array(b).every((v) => v === 0);

describe('the packet pool', () => {
  test('tens of thousands of packets in one piece, each where its mbuf says', () => {
    const mp = pool(50_000);
    expect(mp.count).toBe(50_000);
    expect(mp.arena).toBeInstanceOf(SharedArrayBuffer);
    expect(mp.arena.byteLength).toBeLessThan(2 ** 31);
    expect(mp.bufferOffset).toBe(MBUF.priv + PKT.size);
    expect(native.mempoolStats()).toEqual({ available: 50_000, inUse: 0 });
  });
});

describe('memzones', () => {
  test('are zeroed, found again by name, and the same memory each time and in every thread', async () => {
    const a = native.memzone('zone', 1000, 0);
    expect(a.byteLength).toBe(1000);
    expect(zero(a)).toBe(true);
    new Uint8Array(a)[999] = 7;
    expect(new Uint8Array(native.memzone('zone', 1000, -1))[999]).toBe(7);
    const w = spawn(
      `new Uint8Array(native.memzone('zone', 1000, 0))[0] = 9; Atomics.add(new Int32Array(data), 1, 5);`,
      a,
      newFlag(),
    );
    await ended(w);
    expect(new Uint8Array(a)[0]).toBe(9);
    expect(new Int32Array(a, 0, 2)[1]).toBe(5);
  });
});

describe('mapped files', () => {
  test('hold what is written, for anyone who reads the file', () => {
    const path = join(dir, 'stats');
    const m = native.mapFile(path, 10_000);
    expect(m.byteLength).toBe(10_000);
    new Float64Array(m, 0, 1)[0] = 42.5;
    expect(readFileSync(path).readDoubleLE(0)).toBe(42.5);
    expect(statSync(path).size).toBe(10_000);
  });

  test('an old file is taken over in the new size, zeroed; a longer and a shorter one', () => {
    for (const old of [1, 100, 5000, 100_000]) {
      const path = join(dir, `old${old}`);
      writeFileSync(path, Buffer.alloc(old, 0xff));
      const m = native.mapFile(path, 5000);
      expect(statSync(path).size).toBe(5000);
      expect(zero(m)).toBe(true);
    }
  });

  test('who has the old content mapped sees zeros, not a bus error', () => {
    const path = join(dir, 'twice');
    const first = new Uint8Array(native.mapFile(path, 8192));
    first.fill(1);
    native.mapFile(path, 8192);
    expect(first.every((v) => v === 0)).toBe(true);
  });

  test('a symbolic link is not followed', () => {
    const path = join(dir, 'link');
    symlinkSync(join(dir, 'stats'), path);
    expect(codeOf(() => native.mapFile(path, 100))).toBe('SYSCALL');
  });

  test('more than the file system holds is an error now, not a bus error later', () => {
    expect(codeOf(() => native.mapFile('/dev/shm/dpvs-native-test-huge', 60 * 2 ** 30))).toBe('SYSCALL');
    rmSync('/dev/shm/dpvs-native-test-huge', { force: true });
  });
});

describe('anonymous memory', () => {
  test.each([1, 4096, 5000, 2 ** 21, 2 ** 21 + 1, 100 * 2 ** 20])(
    '%d bytes, zeroed, usable to the last',
    (bytes) => {
      const m = native.mapAnonymous(bytes);
      expect(m.byteLength).toBe(bytes);
      const u8 = new Uint8Array(m);
      u8[bytes - 1] = 1;
      expect(u8[0]! + u8[bytes - 1]!).toBe(bytes === 1 ? 2 : 1);
    },
  );

  test('a thread that ends takes nothing from the others', async () => {
    const m = native.mapAnonymous(4 * 2 ** 20);
    for (let i = 1; i <= 3; i++) {
      await ended(spawn('Atomics.add(new Int32Array(data), 0, 1);', m, newFlag()));
      expect(new Int32Array(m, 0, 1)[0]).toBe(i);
    }
  });
});

describe('the operating system', () => {
  test('peer credentials of a Unix socket are this process', async () => {
    const path = join(dir, 'sock');
    const server = createServer();
    await new Promise<void>((r) => server.listen(path, r));
    const accepted = new Promise<number>((r) =>
      server.once('connection', (s) => r((s as unknown as { _handle: { fd: number } })._handle.fd)),
    );
    const client = connect(path);
    const peer = native.peerCredentials(await accepted);
    expect(peer).toEqual({ pid: process.pid, uid: process.getuid!(), gid: process.getgid!() });
    client.destroy();
    server.close();
  });

  test('a worker that is pinned and named is seen so, and the allowed CPUs stay those of the process', async () => {
    const cpus = native.allowedCpus();
    const w = spawn(
      `native.threadPin(data); native.threadName('lcore-1');
       const fs = require('node:fs');
       const s = fs.readFileSync('/proc/thread-self/status', 'utf8');
       parentPort.postMessage([/Name:\\s*(.*)/.exec(s)[1], /Cpus_allowed_list:\\s*(.*)/.exec(s)[1], native.allowedCpus()]);`,
      cpus.at(-1),
      newFlag(),
    );
    const seen = await lastMessage(w);
    expect(seen).toEqual(['lcore-1', String(cpus.at(-1)), cpus]);
  });

  test('the time stamp counter has a plausible frequency', () => {
    expect(native.tscHz()).toBeGreaterThan(1e8);
    expect(native.tscHz()).toBeLessThan(1e11);
  });
});
