import * as fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { DROP } from '../../../src/core/drops.js';
import {
  FREE_CAP,
  LCORE_BLOCK,
  LCORE_STATS,
  MBUF,
  MBUF_DATA_ROOM,
  MBUF_HEADROOM,
  PKT,
  TX_CAP,
} from '../../../src/core/layout.js';
import { L2_HOST, NO_PACKET, Packets } from '../../../src/core/packet.js';
import { FakeNative } from '../../support/fake-native.js';

const frame = (len: number): Uint8Array => Uint8Array.from({ length: len }, (_, i) => i & 255);

let native: FakeNative;
let packets: Packets;
let flushes: number;

function setup(mbufs: number): void {
  native = new FakeNative({ lcore: 3, mbufs });
  flushes = 0;
  packets = new Packets({
    arena: native.arena,
    bufferOffset: native.bufferOffset,
    block: native.block,
    stats: { buffer: native.stats, offset: native.statsOffset },
    lcore: 3,
    flush: () => {
      flushes++;
      native.flush(3);
    },
  });
}
beforeEach(() => setup(256));

/** A packet that has just been received on `port`. */
function receive(port: number, data: Uint8Array): number {
  native.inject(port, data);
  expect(native.poll(3, 1)).toBe(1);
  return packets.exception(0);
}
/** What the packet's data is now. */
const dataOf = (p: number): Uint8Array => packets.bytes.raw.slice(packets.data(p), packets.end(p));
const counter = (name: 'generated' | 'held' | 'allocFail' | 'txPackets' | 'redirOut'): number =>
  packets.counters[LCORE_STATS.at[name] >>> 3]!;

describe('a received packet', () => {
  it('is found with its bytes, length and port', () => {
    const p = receive(7, frame(60));
    expect(p).not.toBe(NO_PACKET);
    expect(packets.port(p)).toBe(7);
    expect(packets.len(p)).toBe(60);
    expect(packets.end(p) - packets.data(p)).toBe(60);
    expect(dataOf(p)).toEqual(frame(60));
    expect(packets.hint(p)).toBe(-1);
    expect(packets.isRedirected(p)).toBe(false);
  });

  it('tells when it came over a redirect ring', () => {
    native.injectRedirected(0, frame(60));
    native.poll(3, 1);
    expect(packets.isRedirected(packets.exception(0))).toBe(true);
  });

  it('carries the time of the poll that brought it', () => {
    native.nowMs = 123_456.75;
    receive(0, frame(60));
    expect(packets.nowMs).toBe(123_456.75);
  });

  it('loses a header by pullTo and gets it back by push, bytes untouched', () => {
    const p = receive(0, frame(60));
    const l2 = packets.data(p);
    packets.pullTo(p, l2 + 14);
    expect(packets.len(p)).toBe(46);
    expect(dataOf(p)).toEqual(frame(60).subarray(14));
    expect(packets.push(p, 14)).toBe(l2);
    expect(dataOf(p)).toEqual(frame(60));
  });

  it('takes no more in front than its headroom', () => {
    const p = receive(0, frame(60));
    const start = packets.data(p);
    expect(packets.push(p, MBUF_HEADROOM + 1)).toBe(-1);
    expect([packets.data(p), packets.len(p)]).toEqual([start, 60]);
    expect(packets.push(p, MBUF_HEADROOM)).toBe(start - MBUF_HEADROOM);
    expect(packets.len(p)).toBe(60 + MBUF_HEADROOM);
    expect(packets.push(p, 1)).toBe(-1);
  });

  it('has the tailroom that its data leaves, wherever that begins', () => {
    const p = receive(0, frame(60));
    expect(packets.tailroom(p)).toBe(MBUF_DATA_ROOM - 60);
    packets.pullTo(p, packets.data(p) + 14);
    expect(packets.tailroom(p)).toBe(MBUF_DATA_ROOM - 60);
    packets.setLen(p, 20);
    expect(packets.tailroom(p)).toBe(MBUF_DATA_ROOM - 14 - 20);
  });

  it('goes out as it is, by the port that it was given to', () => {
    const p = receive(0, frame(60));
    packets.pullTo(p, packets.data(p) + 20);
    packets.transmit(p, 5);
    expect(packets.pending()).toBe(true);
    native.flush(3);
    expect(packets.pending()).toBe(false);
    expect(native.sent(5)).toEqual([frame(60).subarray(20)]);
    expect(packets.balance()).toBe(0);
  });

  it('goes to another lcore', () => {
    packets.redirect(receive(0, frame(60)), 9);
    packets.redirect(receive(0, frame(61)), 4);
    native.flush(3);
    expect(native.redirected(9)).toEqual([frame(60)]);
    expect(native.redirected(4)).toEqual([frame(61)]);
    expect(packets.balance()).toBe(0);
  });

  it('that is dropped is counted under its reason and freed', () => {
    packets.drop(receive(0, frame(60)), DROP.IP_TTL);
    native.flush(3);
    expect(packets.dropped(DROP.IP_TTL)).toBe(1);
    expect(packets.dropped(DROP.ARP_BAD)).toBe(0);
    expect(native.inUse).toBe(0);
    expect(packets.balance()).toBe(0);
  });

  it('that is held is in the balance while it is', () => {
    const p = receive(0, frame(60));
    packets.hold(p);
    expect([counter('held'), packets.balance()]).toEqual([1, 0]);
    packets.release(p);
    expect([counter('held'), packets.balance()]).toEqual([0, 1]);
    packets.drop(p, DROP.NEIGH_UNRESOLVED);
    expect(packets.balance()).toBe(0);
  });
});

describe('a packet of our own', () => {
  it('is blank whatever it was before, has headroom, and is counted as generated', () => {
    const p = packets.alloc();
    expect([packets.len(p), packets.port(p), packets.ifindex(p), packets.next(p)]).toEqual([
      0,
      0,
      0,
      NO_PACKET,
    ]);
    expect(packets.l2Class(p)).toBe(L2_HOST);
    expect(packets.hint(p)).toBe(-1);
    expect(packets.isRedirected(p)).toBe(false);
    expect(packets.data(p)).toBe(p + native.bufferOffset + MBUF_HEADROOM);
    expect(packets.tailroom(p)).toBe(MBUF_DATA_ROOM);
    expect(packets.bytes.u8(p + MBUF.priv + PKT.at.owner)).toBe(4);
    expect([counter('generated'), packets.balance()]).toEqual([1, 1]);
    packets.setLen(p, 60);
    packets.transmit(p, 0);
    native.flush(3);
    expect(native.sent(0)[0]).toHaveLength(60);
    expect(packets.balance()).toBe(0);
  });

  it('is never the same as another one, until the pool is empty; then there is none and that is counted', () => {
    setup(200);
    const all = new Set<number>();
    for (let p = packets.alloc(); p !== NO_PACKET; p = packets.alloc()) {
      expect(all.has(p)).toBe(false);
      all.add(p);
    }
    expect(all.size).toBe(200);
    expect([counter('generated'), counter('allocFail')]).toEqual([200, 1]);
    for (const p of all) packets.drop(p, DROP.SEND_FAILED);
    expect(packets.alloc()).not.toBe(NO_PACKET);
  });
});

describe('a copy of a packet', () => {
  it('has the bytes and the port of the original and lives on its own', () => {
    const p = receive(7, frame(100));
    packets.pullTo(p, packets.data(p) + 14);
    const copy = packets.clone(p);
    expect(dataOf(copy)).toEqual(frame(100).subarray(14));
    expect(packets.port(copy)).toBe(7);
    expect([counter('generated'), packets.balance()]).toEqual([1, 2]);
    packets.bytes.setU8(packets.data(copy), 0xff);
    expect(dataOf(p)).toEqual(frame(100).subarray(14));
    packets.transmit(copy, 1);
    packets.drop(p, DROP.IP_TTL);
    native.flush(3);
    expect(packets.balance()).toBe(0);
  });

  it('is not made of what does not fit a fresh buffer, and nothing is lost', () => {
    const p = receive(0, frame(MBUF_DATA_ROOM));
    packets.push(p, 14);
    expect(packets.clone(p)).toBe(NO_PACKET);
    expect(packets.dropped(DROP.SEND_FAILED)).toBe(1);
    packets.drop(p, DROP.IP_TTL);
    expect(packets.balance()).toBe(0);
  });
});

describe('the vectors', () => {
  /** As many packets as a vector holds and some more. */
  const many = (n: number, end: (p: number, i: number) => void): void => {
    setup(n + 64);
    for (let i = 0; i < n; i++) {
      const p = packets.alloc();
      packets.setLen(p, 60);
      end(p, i);
    }
  };

  it('are flushed by themselves when full of frames to send, in order, none lost', () => {
    many(TX_CAP + 10, (p, i) => {
      packets.bytes.setU32(packets.data(p), i);
      packets.transmit(p, 1);
    });
    expect(flushes).toBeGreaterThan(0);
    native.flush(3);
    const sent = native.sent(1).map((f) => new DataView(f.buffer).getUint32(0));
    expect(sent).toEqual(Array.from({ length: TX_CAP + 10 }, (_, i) => i));
    expect(packets.balance()).toBe(0);
  });

  it('are flushed by themselves when full of drops, none lost', () => {
    // Packets are taken first: taking one may flush as well.
    const taken: number[] = [];
    many(FREE_CAP + 10, (p) => taken.push(p));
    native.flush(3);
    flushes = 0;
    for (const p of taken) packets.drop(p, DROP.TX_FULL);
    expect(flushes).toBe(1);
    native.flush(3);
    expect(native.inUse).toBe(0);
    expect(packets.dropped(DROP.TX_FULL)).toBe(FREE_CAP + 10);
    expect(packets.balance()).toBe(0);
  });

  it('refuse an arena that 32-bit offsets cannot cover', () => {
    const arena = { byteLength: 2 ** 32 } as SharedArrayBuffer;
    const block = new SharedArrayBuffer(LCORE_BLOCK.size);
    const stats = { buffer: new SharedArrayBuffer(LCORE_STATS.size), offset: 0 };
    expect(() => new Packets({ arena, bufferOffset: 192, block, stats, lcore: 1, flush: () => {} })).toThrow(
      expect.objectContaining({ code: 'NOTSUPP' }),
    );
  });
});

describe('notes on a packet', () => {
  const u32 = fc.integer({ min: 0, max: 0xffffffff });

  it('keep what was written, none overwrites another or the data', () => {
    const p = receive(2, frame(100));
    const q = receive(2, frame(100));
    const untouched = packets.bytes.raw.slice(q, packets.end(q));
    const notes = [
      [u32, (v: number) => packets.setL3(p, v), () => packets.l3(p)],
      [u32, (v: number) => packets.setL4(p, v), () => packets.l4(p)],
      [u32, (v: number) => packets.setIfindex(p, v), () => packets.ifindex(p)],
      [u32, (v: number) => packets.setNext(p, v), () => packets.next(p)],
      [u32, (v: number) => packets.setCookie(p, v), () => packets.cookie(p)],
      [fc.nat(255), (v: number) => packets.setL2Class(p, v), () => packets.l2Class(p)],
    ] as const;
    const values = fc.tuple(...notes.map(([arb]) => arb));
    const order = fc.shuffledSubarray(
      notes.map((_, i) => i),
      { minLength: notes.length },
    );
    fc.assert(
      fc.property(values, order, (v, sequence) => {
        for (const i of sequence) notes[i]![1](v[i]!);
        expect(notes.map(([, , get]) => get())).toEqual(v);
        expect([packets.port(p), packets.len(p), packets.hint(p)]).toEqual([2, 100, -1]);
        expect(packets.isRedirected(p)).toBe(false);
        expect(packets.bytes.u8(p + MBUF.priv + PKT.at.owner)).toBe(4);
        expect(dataOf(p)).toEqual(frame(100));
      }),
    );
    expect(packets.bytes.raw.slice(q, packets.end(q))).toEqual(untouched);
  });

  it('the start of data moves back and forth by pullTo and push without ever leaving the buffer', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(150)), { maxLength: 30 }), (moves) => {
        setup(128);
        const p = receive(0, frame(100));
        const first = packets.data(p) - MBUF_HEADROOM;
        let off = MBUF_HEADROOM;
        let len = 100;
        for (const [back, n] of moves) {
          if (back) {
            const ok = n <= off;
            expect(packets.push(p, n)).toBe(ok ? first + off - n : -1);
            off -= ok ? n : 0;
            len += ok ? n : 0;
          } else {
            const step = Math.min(n, len);
            packets.pullTo(p, packets.data(p) + step);
            off += step;
            len -= step;
          }
          expect([packets.data(p) - first, packets.len(p)]).toEqual([off, len]);
          expect(packets.tailroom(p)).toBe(MBUF_HEADROOM + MBUF_DATA_ROOM - off - len);
        }
      }),
    );
  });
});
