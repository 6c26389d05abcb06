/**
 * `ipvsadm -lnc` of a million connections: the tool and the control socket are the real ones, in two processes; the records
 * are written by this test in place of an lcore.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connect, type ControlClient } from '../../src/control/client.js';
import { QUERIES } from '../../src/control/schema.js';
import { ControlServer } from '../../src/control/server.js';
import {
  CONN4,
  CONN_F_HASHED,
  CONN_F_USED,
  DIR4,
  DIR_IN,
  DIR_OUT,
  LCORE_BLOCK,
} from '../../src/core/layout.js';
import { Records } from '../../src/ipvs/conn/records.js';
import { Services } from '../../src/ipvs/service.js';
import { Conns, type LcoreConns } from '../../src/master/conns.js';
import { parseIpv4 } from '../../src/wire/ipv4.js';
import { BIN } from '../support/daemon.js';
import { until } from '../support/process.js';

const COUNT = 1_000_000;
const VIP = parseIpv4('10.1.1.1');

/** A table with connections 1 to `n` of one TCP service, one client address each. */
function table(n: number): LcoreConns {
  const r = new Records(new SharedArrayBuffer(CONN4.size * (n + 1)));
  r.setTop(n);
  for (let c = 1; c <= n; c++) {
    r.setFlags(c, CONN_F_USED | CONN_F_HASHED);
    r.setState(c, c % 10 === 0 ? 4 : 1);
    r.setTimeoutMs(c, 90_000);
    r.setDest(c, 1);
    const into = r.dir(c, DIR_IN);
    r.setMatch(into, 6, 0x0b000000 + c, 1024, VIP, 80);
    r.bytes.setU32(into + DIR4.at.newDaddr, parseIpv4('192.168.0.2'));
    r.bytes.setU16(into + DIR4.at.newDport, 8080);
    r.setMatch(r.dir(c, DIR_OUT), 6, parseIpv4('192.168.0.2'), 8080, parseIpv4('192.168.0.200'), c % 65536);
  }
  return { id: 1, block: new SharedArrayBuffer(LCORE_BLOCK.size), conns: r.buffer };
}

describe('a million connections', () => {
  const dir = mkdtempSync(join(tmpdir(), 'dpvs-listing-'));
  const path = join(dir, 'ipc');
  const services = new Services();
  let server: ControlServer;
  let other: ControlClient;
  /** Answers to `conn.list` given. */
  let pages = 0;

  beforeAll(async () => {
    const svc = { proto: 'tcp', addr: '10.1.1.1', port: 80 } as const;
    services.apply('svc.add', { svc, scheduler: 'rr' });
    services.apply('dest.add', { svc, dest: { addr: '192.168.0.2', port: 8080 }, fwd: 'fullnat' });
    const conns = new Conns([table(COUNT)], services);
    server = await ControlServer.listen({
      path,
      handle: (method, params) => {
        if (method !== 'conn.list') return { version: 'test' };
        pages++;
        return conns.page(QUERIES['conn.list'].parse(params));
      },
      credentials: () => ({ pid: 0, uid: 0, gid: 0 }),
      onError: (e) => {
        throw e;
      },
    });
    other = await connect({ path });
  });
  beforeEach(() => (pages = 0));
  afterAll(async () => {
    other?.close();
    await server?.close();
    rmSync(dir, { recursive: true });
  });

  /** The tool with a heap far too small for all of it. */
  const list = (...args: string[]): ChildProcessByStdio<null, Readable, Readable> =>
    spawn(join(BIN, 'ipvsadm'), args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'], DPVS_IPC_FILE: path, NODE_OPTIONS: '--max-old-space-size=32' },
    });
  const ended = (child: ReturnType<typeof list>): Promise<number | null> =>
    new Promise((resolve) => child.once('exit', resolve));

  it('are all listed, once, by a tool of 32 MB of heap, while others are answered', async () => {
    const child = list('-lnc');
    const end = ended(child);
    let lines = 0;
    let sum = 0;
    let last = '';
    const reading = (async () => {
      for await (const line of createInterface(child.stdout)) {
        lines++;
        const [, a, b, c] = /11\.(\d+)\.(\d+)\.(\d+):1024/.exec(line)!;
        sum += Number(a) * 65536 + Number(b) * 256 + Number(c);
        last = line;
      }
    })();
    // Another client asks one question after the other.
    let answered = 0;
    const state = { done: false };
    const asking = (async () => {
      while (!state.done) {
        const before = pages;
        await other.call('info', {});
        if (before > 0 && !state.done) answered++;
      }
    })();
    expect(await end).toBe(0);
    await reading;
    state.done = true;
    await asking;
    expect(lines).toBe(COUNT);
    expect(sum).toBe((COUNT * (COUNT + 1)) / 2);
    expect(last).toBe(
      '[1]tcp 90s    FIN_WAIT    11.15.66.64:1024   10.1.1.1:80        192.168.0.200:16960 192.168.0.2:8080',
    );
    expect(pages).toBeGreaterThanOrEqual(COUNT / 1000);
    expect(answered).toBeGreaterThan(pages / 10);
  }, 120_000);

  it('wait while nobody reads what the tool prints', async () => {
    const child = list('-lnc');
    const end = ended(child);
    await until('the first page is asked for', () => pages > 0);
    // Had they not to wait, they would come meanwhile.
    for (let i = 0; i < 3000; i++) await other.call('info', {});
    // One in the pipe, one that waits for it, one on the way.
    expect(pages).toBeLessThanOrEqual(4);
    child.kill();
    await end;
  });

  it('are searched for the few that are wanted', async () => {
    const child = list('-lncj', '--state', 'fin_wait', '--sockpair', 'tcp:11.0.39.16:1024:10.1.1.1:80');
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    expect(await ended(child)).toBe(0);
    expect(JSON.parse(out)).toMatchObject([{ client: '11.0.39.16', remaining: 90 }]);
    expect(pages).toBe(Math.ceil(COUNT / 65536));
  });
});
