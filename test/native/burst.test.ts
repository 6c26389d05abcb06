/** Frames through poll and flush, byte for byte, with every counter. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { DROP } from '../../src/core/drops.js';
import { EXC_CAP, LCORE_BLOCK, LCORE_STATS, MBUF, PKT, PKT_F_REDIRECTED } from '../../src/core/layout.js';
import { L2_HOST } from '../../src/core/packet.js';
import type { TestLcore } from './support/rig.js';
import {
  build,
  bytesOf,
  codeOf,
  done,
  frame,
  lcoreConfig,
  leaveNothing,
  makeLcore,
  messageOf,
  native,
  poll,
  pool,
  startEal,
  startPort,
} from './support/rig.js';

let lcores: TestLcore[] = [];

beforeAll(() => {
  startEal();
  pool();
});

/** After each test nothing is missing: the identity holds and every buffer is back. */
afterEach(() => {
  const balances = lcores.map((lc) => lc.packets.balance());
  for (const lc of lcores) {
    native.lcoreUnbind(lc.id);
    native.lcoreDestroy(lc.id);
  }
  lcores = [];
  leaveNothing();
  assert.deepEqual(
    balances.filter((b) => b !== 0),
    [],
  );
});

function lcore(id: number, ports: number[], queue = 0): TestLcore {
  const lc = makeLcore(lcoreConfig(id, ports, queue));
  lcores.push(lc);
  return lc;
}

const padded = (bytes: Uint8Array): Uint8Array => {
  const out = new Uint8Array(Math.max(60, bytes.length));
  out.set(bytes);
  return out;
};

describe('a loop of one port (net_ring)', () => {
  test('frames of every length come back with the same bytes, short ones padded with zeros to 60', () => {
    const port = startPort('net_ring0');
    const lc = lcore(1, [port]);
    let bytes = 0;
    for (const len of [14, 15, 42, 59, 60, 61, 64, 1499, 1514, 2047, 2048]) {
      const sent = frame(len, len);
      lc.packets.transmit(build(lc, sent), port);
      expect(native.flush(1)).toBe(1);
      const [p, ...more] = poll(lc);
      expect(more).toEqual([]);
      expect(bytesOf(lc, p!)).toEqual(padded(sent));
      expect(lc.packets.port(p!)).toBe(port);
      bytes += Math.max(60, len);
      done(lc, [p!]);
    }
    expect(lc.stat('txPackets')).toBe(11);
    expect(lc.stat('txBytes')).toBe(bytes);
    expect(lc.stat('rxPackets')).toBe(11);
    expect(lc.stat('rxBytes')).toBe(bytes);
    expect(lc.stat('exceptions')).toBe(11);
    expect(lc.stat('generated')).toBe(11);
    expect(lc.drops('ARP_DONE')).toBe(11);
  });

  test('padding does not leak what the buffer held before', () => {
    const port = startPort('net_ring0');
    const lc = lcore(1, [port]);
    const p = build(lc, new Uint8Array(200).fill(0xee));
    lc.packets.setLen(p, 20);
    lc.packets.transmit(p, port);
    native.flush(1);
    const [q] = poll(lc);
    expect(bytesOf(lc, q!).subarray(20)).toEqual(new Uint8Array(40));
    done(lc, [q!]);
  });

  test('a received packet carries its owner, no hint and clean notes', () => {
    const port = startPort('net_ring0');
    const lc = lcore(3, [port]);
    const p = build(lc, frame(100));
    lc.packets.setIfindex(p, 77);
    lc.packets.setCookie(p, 5);
    lc.packets.setNext(p, 1234);
    lc.packets.transmit(p, port);
    native.flush(3);
    const [q] = poll(lc);
    const { raw } = lc.packets.bytes;
    expect(q).toBe(p); // net_ring passes the very mbuf on
    expect(raw[q! + MBUF.priv + PKT.at.owner]).toBe(4);
    expect(lc.packets.hint(q!)).toBe(-1);
    expect(lc.packets.next(q!)).toBe(0);
    expect(lc.packets.ifindex(q!)).toBe(0);
    expect(lc.packets.cookie(q!)).toBe(0);
    expect(lc.packets.isRedirected(q!)).toBe(false);
    expect(lc.packets.l2Class(q!)).toBe(L2_HOST);
    done(lc, [q!]);
  });

  test('headers pushed in front and pulled off go into the frame', () => {
    const port = startPort('net_ring0');
    const lc = lcore(1, [port]);
    const p = build(lc, frame(100));
    const at = lc.packets.push(p, 14);
    lc.packets.bytes.raw.fill(0xab, at, at + 14);
    lc.packets.transmit(p, port);
    native.flush(1);
    const [q] = poll(lc);
    expect(bytesOf(lc, q!)).toEqual(Uint8Array.from([...Array<number>(14).fill(0xab), ...frame(100)]));
    lc.packets.pullTo(q!, lc.packets.data(q!) + 14);
    lc.packets.transmit(q!, port);
    native.flush(1);
    const [r] = poll(lc);
    expect(bytesOf(lc, r!)).toEqual(frame(100));
    done(lc, [r!]);
  });

  test('the order of frames of each port survives the grouping by port', () => {
    const a = startPort('net_ring0');
    const b = startPort('net_ring1');
    const lc = lcore(1, [a, b]);
    const sent = { [a]: [] as number[], [b]: [] as number[] };
    for (let i = 0; i < 300; i++) {
      const port = i % 3 === 0 ? a : b;
      const p = build(lc, new Uint8Array(60));
      lc.packets.bytes.view.setUint32(lc.packets.data(p) + 20, i);
      lc.packets.transmit(p, port);
      sent[port]!.push(i);
    }
    native.flush(1);
    const got = { [a]: [] as number[], [b]: [] as number[] };
    for (let round = 0; round < 20; round++) {
      const ps = poll(lc, 64);
      for (const p of ps)
        got[lc.packets.port(p)]!.push(lc.packets.bytes.view.getUint32(lc.packets.data(p) + 20));
      done(lc, ps);
    }
    expect(got).toEqual(sent);
  });

  test('the budget is kept, also where it is no multiple of the burst, and nothing is lost by it', () => {
    const port = startPort('net_ring0');
    const lc = lcore(1, [port]);
    for (let i = 0; i < 500; i++) lc.packets.transmit(build(lc, frame(60, i)), port);
    native.flush(1);
    let got = 0;
    for (const budget of [1, 7, 32, 33, 100]) {
      const ps = poll(lc, budget);
      expect(ps.length).toBe(budget);
      got += ps.length;
      done(lc, ps);
    }
    for (;;) {
      const ps = poll(lc, 64);
      if (ps.length === 0) break;
      got += ps.length;
      done(lc, ps);
    }
    expect(got).toBe(500);
  });

  test('a budget of 0 sets the clock and receives nothing', () => {
    const lc = lcore(1, [startPort('net_null0,size=64')]);
    expect(native.poll(1, 0)).toBe(0);
    expect(lc.packets.nowMs).toBeGreaterThan(0);
    expect(lc.packets.counters[LCORE_STATS.at.rxPackets >>> 3]).toBe(0);
  });

  test.each([4_000_000_000, -1])('a budget of %d stays inside the exception vector', (budget) => {
    const port = startPort('net_null0,size=64');
    const lc = lcore(1, [port]);
    const n = native.poll(1, budget);
    expect(n).toBeGreaterThan(0);
    expect(n).toBeLessThanOrEqual(EXC_CAP);
    done(
      lc,
      Array.from({ length: n }, (_, i) => lc.packets.exception(i)),
    );
  });

  test('queues take turns: of two that never run dry, both are served', () => {
    const a = startPort('net_null0,size=64');
    const b = startPort('net_null1,size=64');
    const lc = lcore(1, [a, b]);
    const got = { [a]: 0, [b]: 0 };
    for (let i = 0; i < 100; i++) {
      const ps = poll(lc, 32);
      for (const p of ps) got[lc.packets.port(p)]!++;
      done(lc, ps);
    }
    expect(got).toEqual({ [a]: 1600, [b]: 1600 });
  });

  test('bursts are counted by how full they are', () => {
    const port = startPort('net_ring0');
    const lc = lcore(1, [port]);
    const burst = (n: number): void => {
      for (let i = 0; i < n; i++) lc.packets.transmit(build(lc, frame(60)), port);
      native.flush(1);
      done(lc, poll(lc, 32));
    };
    for (const n of [1, 16, 17, 31, 32, 32]) burst(n);
    poll(lc);
    expect(lc.stat('rxLowHalf')).toBe(2);
    expect(lc.stat('rxHighHalf')).toBe(2);
    expect(lc.stat('rxFull')).toBe(2);
    expect(lc.stat('rxEmpty')).toBe(1);
    expect(lc.stat('rxBursts')).toBe(7);
    expect(lc.stat('loops')).toBe(7);
  });

  test('ticks go to busy or idle by whether there was work', () => {
    const port = startPort('net_ring0');
    const lc = lcore(1, [port]);
    poll(lc);
    poll(lc);
    expect(lc.stat('busyTicks')).toBe(0);
    const idle = lc.stat('idleTicks');
    expect(idle).toBeGreaterThan(0);
    lc.packets.transmit(build(lc, frame(60)), port);
    native.flush(1); // work since the last poll
    const ps = poll(lc);
    expect(lc.stat('idleTicks')).toBe(idle);
    expect(lc.stat('busyTicks')).toBeGreaterThan(0);
    done(lc, ps);
  });

  test('packets in several buffers end at once, counted', () => {
    const port = startPort('net_ring0');
    const lc = lcore(1, [port]);
    const p = build(lc, frame(60));
    lc.packets.bytes.view.setUint16(p + MBUF.nbSegs, 2, true);
    lc.packets.transmit(p, port);
    native.flush(1);
    expect(poll(lc)).toEqual([]);
    expect(lc.drops('SEGMENTED')).toBe(1);
    expect(lc.stat('rxPackets')).toBe(1);
    expect(lc.stat('exceptions')).toBe(0);
  });

  test('the clock is CLOCK_MONOTONIC in whole milliseconds and never goes back', () => {
    const lc = lcore(1, []);
    const monotonic = (): number => Number(process.hrtime.bigint() / 1_000_000n);
    let last = 0;
    const until = monotonic() + 30;
    for (;;) {
      const before = monotonic();
      native.poll(1, 1);
      const now = lc.packets.nowMs;
      const after = monotonic();
      expect(Number.isInteger(now)).toBe(true);
      expect(now).toBeGreaterThanOrEqual(last);
      expect(now).toBeGreaterThanOrEqual(before - 1);
      expect(now).toBeLessThanOrEqual(after + 1);
      last = now;
      if (after >= until) break;
    }
  });
});

describe('what cannot be sent is counted and freed', () => {
  test('no transmit queue on the port, or no such port: TX_NO_QUEUE', () => {
    const a = startPort('net_ring0');
    const b = startPort('net_ring1');
    const lc = lcore(1, [a]);
    for (const port of [b, 31, 32, 0x7fffffff]) lc.packets.transmit(build(lc, frame(60)), port);
    expect(native.flush(1)).toBe(0);
    expect(lc.drops('TX_NO_QUEUE')).toBe(4);
  });

  test('a stopped, closed or detached port: PORT_DOWN', () => {
    const port = startPort('net_ring0');
    const lc = lcore(1, [port]);
    native.portStop(port);
    lc.packets.transmit(build(lc, frame(60)), port);
    native.flush(1);
    native.portClose(port);
    lc.packets.transmit(build(lc, frame(60)), port);
    native.flush(1);
    expect(lc.drops('PORT_DOWN')).toBe(2);
    expect(native.poll(1, 32)).toBe(0);
  });

  test('the port came back with fewer queues: TX_NO_QUEUE, and its missing queue is not polled', () => {
    const port = startPort('net_ring0', 2);
    const lc = lcore(1, [port], 1);
    lc.packets.transmit(build(lc, frame(60)), port);
    expect(native.flush(1)).toBe(1);
    done(lc, poll(lc));
    native.devDetach(port);
    expect(startPort('net_ring0', 1)).toBe(port);
    lc.packets.transmit(build(lc, frame(60)), port);
    expect(native.flush(1)).toBe(0);
    expect(lc.drops('TX_NO_QUEUE')).toBe(1);
    expect(native.poll(1, 32)).toBe(0);
  });

  test('a full transmit queue: TX_FULL for the rest, in order for what fitted', () => {
    const port = startPort('net_ring0');
    const lc = lcore(1, [port]);
    for (let i = 0; i < 3000; i++) lc.packets.transmit(build(lc, frame(60, i)), port);
    native.flush(1);
    const sent = lc.stat('txPackets');
    expect(sent).toBeGreaterThan(0);
    expect(sent).toBeLessThan(3000);
    expect(lc.drops('TX_FULL')).toBe(3000 - sent);
    expect(lc.stat('txBytes')).toBe(sent * 60);
    for (let seed = 0; ;) {
      const ps = poll(lc, 256);
      if (ps.length === 0) break;
      for (const p of ps) expect(bytesOf(lc, p)).toEqual(frame(60, seed++));
      done(lc, ps);
    }
  });

  test('a frame without a whole Ethernet header, or with lengths that cannot be: SEND_FAILED', () => {
    const port = startPort('net_ring0');
    const lc = lcore(1, [port]);
    lc.packets.transmit(build(lc, new Uint8Array(0)), port);
    lc.packets.transmit(build(lc, frame(13)), port);
    const long = build(lc, frame(60));
    lc.packets.setLen(long, 2049);
    lc.packets.transmit(long, port);
    const torn = build(lc, frame(60));
    lc.packets.bytes.view.setUint32(torn + MBUF.pktLen, 61, true);
    lc.packets.transmit(torn, port);
    expect(native.flush(1)).toBe(0);
    expect(lc.drops('SEND_FAILED')).toBe(4);
  });
});

describe('mistakes of the stack', () => {
  test('a packet dropped twice, or sent and dropped, is BAD_ARG; the pool is not corrupted', () => {
    const port = startPort('net_ring0');
    const lc = lcore(1, [port]);
    const p = build(lc, frame(60));
    lc.packets.drop(p, DROP.ARP_DONE);
    lc.packets.drop(p, DROP.ARP_DONE);
    expect(codeOf(() => native.flush(1))).toBe('BAD_ARG');
    const q = build(lc, frame(60));
    lc.packets.transmit(q, port);
    lc.packets.drop(q, DROP.ARP_DONE);
    expect(messageOf(() => native.flush(1))).toContain(`free vector: ${q} is not a packet that lcore 1 owns`);
    lc.packets.counters[(LCORE_STATS.at.drops >>> 3) + DROP.ARP_DONE]! -= 2; // the test's own double counting
    done(lc, poll(lc));
    expect(native.flush(1)).toBe(0);
  });

  test('numbers that are no packets are BAD_ARG, and the good packets among them go out', () => {
    const port = startPort('net_ring0');
    const lc = lcore(1, [port]);
    const size = pool().arena.byteLength;
    const good = build(lc, frame(60));
    for (const bad of [0, 1, 63, 128, size, size + 64, 0xffffffc0, good + 64]) lc.packets.transmit(bad, port);
    lc.packets.transmit(good, port);
    expect(messageOf(() => native.flush(1))).toContain('(8 such entries)');
    const ps = poll(lc);
    expect(ps).toEqual([good]);
    done(lc, ps);
  });

  test("another lcore's packet is BAD_ARG and stays that one's", () => {
    const port = startPort('net_ring0');
    const one = lcore(1, [port]);
    const two = lcore(2, [port]);
    const p = build(one, frame(60));
    two.packets.transmit(p, port);
    expect(codeOf(() => native.flush(2))).toBe('BAD_ARG');
    one.packets.transmit(p, port);
    expect(native.flush(1)).toBe(1);
    done(one, poll(one));
  });

  test('a blank packet out of the alloc vector that nobody took is not sent', () => {
    const port = startPort('net_ring0');
    const lc = lcore(1, [port]);
    poll(lc);
    const blank = new Uint32Array(lc.config.block)[LCORE_BLOCK.at.alloc >>> 2]!;
    expect(blank).toBeGreaterThan(0);
    lc.packets.transmit(blank, port);
    expect(codeOf(() => native.flush(1))).toBe('BAD_ARG');
  });
});

describe('blank packets', () => {
  test('thousands in a row: the vector is refilled, every one distinct, headroom and length right', () => {
    const lc = lcore(1, []);
    const seen = new Set<number>();
    for (let i = 0; i < 4000; i++) {
      const p = lc.packets.alloc();
      expect(p).not.toBe(0);
      expect(lc.packets.len(p)).toBe(0);
      expect(lc.packets.tailroom(p)).toBe(2048);
      seen.add(p);
    }
    expect(seen.size).toBe(4000);
    done(lc, [...seen]);
  });

  test('an empty pool gives none, counted, and recovers', () => {
    const lc = lcore(1, []);
    const all: number[] = [];
    for (let p = lc.packets.alloc(); p !== 0; p = lc.packets.alloc()) all.push(p);
    expect(lc.stat('allocFail')).toBe(1);
    expect(all.length).toBeGreaterThan(8000);
    for (let i = 0; i < all.length; i += 4000) done(lc, all.slice(i, i + 4000));
    const p = lc.packets.alloc();
    expect(p).not.toBe(0);
    done(lc, [p]);
  });
});

describe('redirect between lcores', () => {
  test('a frame arrives as it was, marked', () => {
    const port = startPort('net_ring0');
    const a = lcore(1, [port]);
    const b = lcore(2, []);
    a.packets.transmit(build(a, frame(200, 9)), port);
    native.flush(1);
    const [p] = poll(a);
    a.packets.redirect(p!, 2);
    expect(native.flush(1)).toBe(0);
    const [q] = poll(b);
    expect(q).toBe(p);
    expect(bytesOf(b, q!)).toEqual(frame(200, 9));
    expect(b.packets.isRedirected(q!)).toBe(true);
    expect(b.packets.bytes.raw[q! + MBUF.priv + PKT.at.flags]).toBe(PKT_F_REDIRECTED);
    expect(b.packets.port(q!)).toBe(port);
    expect(a.stat('redirOut')).toBe(1);
    expect(b.stat('redirIn')).toBe(1);
    expect(b.stat('rxPackets')).toBe(0);
    expect(b.stat('exceptions')).toBe(1);
    done(b, [q!]);
  });

  test('a full ring: REDIRECT_FULL for the rest; a target that is not there: all', () => {
    const a = lcore(1, []);
    const b = lcore(2, []);
    for (let i = 0; i < 600; i++) a.packets.redirect(build(a, frame(60, i)), 2);
    native.flush(1);
    expect(a.stat('redirOut')).toBe(255); // a ring of 256 holds 255
    expect(a.drops('REDIRECT_FULL')).toBe(345);
    a.packets.redirect(build(a, frame(60)), 9);
    a.packets.redirect(build(a, frame(60)), 0x7fffffff);
    native.flush(1);
    expect(a.drops('REDIRECT_FULL')).toBe(347);
    let got = 0;
    for (;;) {
      const ps = poll(b, 64);
      if (ps.length === 0) break;
      for (const p of ps) expect(bytesOf(b, p)).toEqual(frame(60, got++));
      done(b, ps);
    }
    expect(got).toBe(255);
  });

  test('a flood on the ring does not starve the ports', () => {
    const port = startPort('net_null0,size=64');
    const a = lcore(1, []);
    const b = lcore(2, [port]);
    for (let i = 0; i < 200; i++) a.packets.redirect(build(a, frame(60, i)), 2);
    native.flush(1);
    const ps = poll(b, 64);
    expect(ps.filter((p) => b.packets.isRedirected(p)).length).toBe(32);
    expect(ps.length).toBe(64);
    done(b, ps);
    for (let i = 0; i < 10; i++) done(b, poll(b, 64));
    expect(b.stat('redirIn')).toBe(200);
  });

  test('what waits in the ring of an lcore that is destroyed is freed', () => {
    const a = lcore(1, []);
    const b = makeLcore(lcoreConfig(2, []), false);
    for (let i = 0; i < 50; i++) a.packets.redirect(build(a, frame(60, i)), 2);
    native.flush(1);
    native.lcoreDestroy(b.id);
    expect(a.stat('redirOut')).toBe(50);
  });
});

describe('capture files (net_pcap)', () => {
  const LINKTYPE_ETHERNET = 1;

  /** A little-endian microsecond capture file. */
  function pcap(frames: Uint8Array[]): Buffer {
    const head = Buffer.alloc(24);
    head.writeUInt32LE(0xa1b2c3d4, 0);
    head.writeUInt16LE(2, 4);
    head.writeUInt16LE(4, 6);
    head.writeUInt32LE(65535, 16);
    head.writeUInt32LE(LINKTYPE_ETHERNET, 20);
    const parts: Buffer[] = [head];
    for (const f of frames) {
      const h = Buffer.alloc(16);
      h.writeUInt32LE(f.length, 8);
      h.writeUInt32LE(f.length, 12);
      parts.push(h, Buffer.from(f));
    }
    return Buffer.concat(parts);
  }

  function framesOf(file: Buffer): Uint8Array[] {
    const out: Uint8Array[] = [];
    for (let i = 24; i < file.length;) {
      const len = file.readUInt32LE(i + 8);
      out.push(Uint8Array.from(file.subarray(i + 16, i + 16 + len)));
      i += 16 + len;
    }
    return out;
  }

  test('what the file has is received, what is sent is in the file, byte for byte', () => {
    const dir = mkdtempSync(join(tmpdir(), 'dpvs-native-'));
    try {
      const frames = [60, 61, 590, 1514, 2000].map((len, i) => frame(len, i));
      writeFileSync(join(dir, 'in.pcap'), pcap(frames));
      const port = startPort(`net_pcap0,rx_pcap=${dir}/in.pcap,tx_pcap=${dir}/out.pcap`);
      const lc = lcore(1, [port]);
      const ps = poll(lc);
      expect(ps.map((p) => bytesOf(lc, p))).toEqual(frames);
      for (const p of ps) {
        lc.packets.bytes.setU8(lc.packets.data(p), 0x5a);
        lc.packets.transmit(p, port);
      }
      lc.packets.transmit(build(lc, frame(20)), port);
      expect(native.flush(1)).toBe(6);
      expect(native.portStats(port)).toMatchObject({ ipackets: 5, opackets: 6 });
      native.portClose(port); // writes the file out
      for (const f of frames) f[0] = 0x5a;
      expect(framesOf(readFileSync(join(dir, 'out.pcap')))).toEqual([...frames, padded(frame(20))]);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  test('a frame larger than a buffer comes in several and is dropped, the next is received', () => {
    const dir = mkdtempSync(join(tmpdir(), 'dpvs-native-'));
    try {
      writeFileSync(join(dir, 'in.pcap'), pcap([frame(5000), frame(64)]));
      const port = startPort(`net_pcap0,rx_pcap=${dir}/in.pcap,tx_pcap=${dir}/out.pcap`);
      const lc = lcore(1, [port]);
      const ps = poll(lc);
      expect(ps.map((p) => bytesOf(lc, p))).toEqual([frame(64)]);
      expect(lc.drops('SEGMENTED')).toBe(1);
      done(lc, ps);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
