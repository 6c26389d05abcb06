/**
 * Packets. A packet is an integer, the offset of its mbuf in the packet arena; `NO_PACKET` (0) is never
 * one. `Packets` is one lcore's face of the arena and of its vectors to the native loop.
 *
 * Ownership: whoever holds a packet ends it by exactly one of `transmit`, `redirect`, `drop`, `punt` or
 * keeps it by `hold`. None of these allocates.
 */
import { Bytes } from './bytes.js';
import { DpvsError } from './errors.js';
import { DROP } from './drops.js';
import {
  ALLOC_CAP,
  DROP_CAP,
  EVENT_CAP,
  FREE_CAP,
  HINT_NONE,
  LCORE_BLOCK,
  LCORE_STATS,
  MBUF,
  MBUF_HEADROOM,
  PKT,
  PKT_F_REDIRECTED,
  PORT_CAP,
  TX_CAP,
  TX_DST_REDIRECT,
} from './layout.js';

export const NO_PACKET = 0;

/** L2 class of a received frame's destination. */
export const L2_HOST = 0;
export const L2_BROADCAST = 1;
export const L2_MULTICAST = 2;
export const L2_OTHER = 3;

const P = MBUF.priv;
const DATA_OFF = MBUF.dataOff >>> 1;
const PKT_LEN = MBUF.pktLen >>> 2;
const DATA_LEN = MBUF.dataLen >>> 1;
const PORT = MBUF.port >>> 1;
const OWNER = P + PKT.at.owner;
const L2_CLASS = P + PKT.at.l2Class;
const FLAGS = (P + PKT.at.flags) >>> 1;
const NEXT = (P + PKT.at.next) >>> 2;
const L3 = (P + PKT.at.l3) >>> 2;
const L4 = (P + PKT.at.l4) >>> 2;
const IFINDEX = (P + PKT.at.ifindex) >>> 2;
const HINT = (P + PKT.at.hint) >>> 2;
const COOKIE = (P + PKT.at.cookie) >>> 2;

export interface PacketsOptions {
  /** Memory of all mbufs. */
  arena: SharedArrayBuffer;
  /** Added to a packet's mbuf offset to find its first buffer byte (mbuf header + private area). */
  bufferOffset: number;
  /** One LCORE_BLOCK. */
  block: SharedArrayBuffer;
  /** Where this lcore's LCORE_STATS stand in the statistics segment. */
  stats: { buffer: SharedArrayBuffer; offset: number };
  lcore: number;
  /** Hands the vectors to native code: sends, frees, refills `alloc`. */
  flush: () => void;
}

export class Packets {
  /** The arena in network byte order, for the accessors of `src/wire`. */
  readonly bytes: Bytes;
  /** This lcore's counters, by `LCORE_STATS.at.x >>> 3`. */
  readonly counters: Float64Array;
  readonly lcore: number;

  private readonly u8: Uint8Array;
  private readonly u16: Uint16Array;
  private readonly u32: Uint32Array;
  private readonly i32: Int32Array;
  private readonly head: Uint32Array;
  private readonly time: Float64Array;
  private readonly portMac: Uint8Array;
  private readonly events: Uint32Array;
  private readonly moves: Uint16Array;
  private readonly excVec: Uint32Array;
  private readonly txPkt: Uint32Array;
  private readonly txDst: Uint32Array;
  private readonly freeVec: Uint32Array;
  private readonly allocVec: Uint32Array;
  /** This lcore's LCORE_BLOCK in words. */
  readonly block: Uint32Array;
  /** Added to a packet's mbuf offset to find its first buffer byte. */
  readonly bufferOffset: number;
  private readonly flushNow: () => void;

  constructor(o: PacketsOptions) {
    if (o.arena.byteLength >= 2 ** 32)
      throw new DpvsError(
        'NOTSUPP',
        `packet arena of ${o.arena.byteLength} bytes: packets are 32-bit offsets`,
        'netif_defs/pktpool_size: less than 4 GiB of buffers, about 1.8 million',
      );
    this.bytes = new Bytes(o.arena);
    this.u8 = new Uint8Array(o.arena);
    this.u16 = new Uint16Array(o.arena, 0, o.arena.byteLength >>> 1);
    this.u32 = new Uint32Array(o.arena, 0, o.arena.byteLength >>> 2);
    this.i32 = new Int32Array(o.arena, 0, o.arena.byteLength >>> 2);
    this.bufferOffset = o.bufferOffset;
    this.lcore = o.lcore;
    this.flushNow = o.flush;
    const at = LCORE_BLOCK.at;
    this.block = new Uint32Array(o.block);
    this.head = new Uint32Array(o.block, 0, at.exc >>> 2);
    this.time = new Float64Array(o.block, at.nowMs, 1);
    this.portMac = new Uint8Array(o.block, at.portMac, PORT_CAP * 8);
    this.events = new Uint32Array(o.block, at.events, EVENT_CAP);
    this.moves = new Uint16Array(o.block, at.moves, EVENT_CAP);
    this.excVec = new Uint32Array(o.block, at.exc, (at.txPkt - at.exc) >>> 2);
    this.txPkt = new Uint32Array(o.block, at.txPkt, TX_CAP);
    this.txDst = new Uint32Array(o.block, at.txDst, TX_CAP);
    this.freeVec = new Uint32Array(o.block, at.free, FREE_CAP);
    this.allocVec = new Uint32Array(o.block, at.alloc, ALLOC_CAP);
    this.counters = new Float64Array(o.stats.buffer, o.stats.offset, LCORE_STATS.size >>> 3);
  }

  /** Monotonic milliseconds as of the last poll. */
  get nowMs(): number {
    return this.time[0]!;
  }

  /** Packets that the last poll received, whoever handled them. */
  get received(): number {
    return this.head[LCORE_BLOCK.at.received >>> 2]!;
  }
  /** Connections whose state the native loop changed in the last poll. */
  get eventCount(): number {
    return this.head[LCORE_BLOCK.at.eventCount >>> 2]!;
  }
  event(i: number): number {
    return this.events[i]!;
  }
  /** Of event `i`: the state before * 16 + the state after, and MOVE_ANSWERED. */
  move(i: number): number {
    return this.moves[i]!;
  }
  /** Tells the native loop which adjacencies are in force. */
  setGeneration(value: number): void {
    this.head[LCORE_BLOCK.at.generation >>> 2] = value;
  }
  /** Lets the native loop forward what arrives on a port for this MAC address, or nothing of that port. */
  offload(port: number, mac: Uint8Array | undefined): void {
    if (port >= PORT_CAP) return;
    const at = port * 8;
    if (mac === undefined) this.portMac.fill(0, at, at + 6);
    else this.portMac.set(mac, at);
  }

  /** Entry `i` of the exception vector that poll() filled. */
  exception(i: number): number {
    return this.excVec[i]!;
  }

  // ----- where a packet's bytes are

  /** Arena offset of the first byte of data. */
  data(p: number): number {
    return p + this.bufferOffset + this.u16[(p >>> 1) + DATA_OFF]!;
  }
  /** Bytes of data. */
  len(p: number): number {
    return this.u32[(p >>> 2) + PKT_LEN]!;
  }
  /** Arena offset behind the last byte of data. */
  end(p: number): number {
    return this.data(p) + this.u32[(p >>> 2) + PKT_LEN]!;
  }

  setLen(p: number, len: number): void {
    this.u32[(p >>> 2) + PKT_LEN] = len;
    this.u16[(p >>> 1) + DATA_LEN] = len;
  }

  /** Moves the start of data forward to arena offset `to` (behind a header that was read). */
  pullTo(p: number, to: number): void {
    const from = this.data(p);
    this.u16[(p >>> 1) + DATA_OFF]! += to - from;
    this.setLen(p, this.len(p) - (to - from));
  }

  /**
   * Makes `n` bytes of room in front of the data.
   * @returns arena offset of the new first byte, or -1 when the headroom does not suffice
   */
  push(p: number, n: number): number {
    const i = (p >>> 1) + DATA_OFF;
    const off = this.u16[i]!;
    if (off < n) return -1;
    this.u16[i] = off - n;
    this.setLen(p, this.len(p) + n);
    return p + this.bufferOffset + off - n;
  }

  /** Bytes that can still be appended. */
  tailroom(p: number): number {
    const bufLen = this.u16[(p + MBUF.bufLen) >>> 1]!;
    return bufLen - this.u16[(p >>> 1) + DATA_OFF]! - this.len(p);
  }

  // ----- notes

  /** DPDK port it came in on. */
  port(p: number): number {
    return this.u16[(p >>> 1) + PORT]!;
  }
  l2Class(p: number): number {
    return this.u8[p + L2_CLASS]!;
  }
  setL2Class(p: number, v: number): void {
    this.u8[p + L2_CLASS] = v;
  }
  /** Arena offset of the network header. */
  l3(p: number): number {
    return this.u32[(p >>> 2) + L3]!;
  }
  setL3(p: number, off: number): void {
    this.u32[(p >>> 2) + L3] = off;
  }
  /** Arena offset of the transport header. */
  l4(p: number): number {
    return this.u32[(p >>> 2) + L4]!;
  }
  setL4(p: number, off: number): void {
    this.u32[(p >>> 2) + L4] = off;
  }
  /** Device it was received on. */
  ifindex(p: number): number {
    return this.u32[(p >>> 2) + IFINDEX]!;
  }
  setIfindex(p: number, v: number): void {
    this.u32[(p >>> 2) + IFINDEX] = v;
  }
  /** Flow reference found by poll(), or HINT_NONE or HINT_ABSENT. */
  hint(p: number): number {
    return this.i32[(p >>> 2) + HINT]!;
  }
  next(p: number): number {
    return this.u32[(p >>> 2) + NEXT]!;
  }
  setNext(p: number, q: number): void {
    this.u32[(p >>> 2) + NEXT] = q;
  }
  cookie(p: number): number {
    return this.u32[(p >>> 2) + COOKIE]!;
  }
  setCookie(p: number, v: number): void {
    this.u32[(p >>> 2) + COOKIE] = v;
  }
  /** Arena offset of the cookie's four bytes. */
  cookieAt(p: number): number {
    return p + P + PKT.at.cookie;
  }
  isRedirected(p: number): boolean {
    return (this.u16[(p >>> 1) + FLAGS]! & PKT_F_REDIRECTED) !== 0;
  }

  // ----- beginning and end of a packet's life

  /**
   * A blank packet for a frame of our own: `MBUF_HEADROOM` bytes of headroom, length 0, counted as generated.
   * @returns the packet, or `NO_PACKET` when the pool is empty
   */
  alloc(): number {
    let n = this.head[LCORE_BLOCK.at.allocCount >>> 2]!;
    if (n === 0) {
      this.flushNow();
      n = this.head[LCORE_BLOCK.at.allocCount >>> 2]!;
      if (n === 0) {
        this.counters[LCORE_STATS.at.allocFail >>> 3]! += 1;
        return NO_PACKET;
      }
    }
    const p = this.allocVec[n - 1]!;
    this.head[LCORE_BLOCK.at.allocCount >>> 2] = n - 1;
    this.u16[(p >>> 1) + DATA_OFF] = MBUF_HEADROOM;
    this.setLen(p, 0);
    this.u8[p + OWNER] = this.lcore + 1;
    this.u8[p + L2_CLASS] = L2_HOST;
    this.u16[(p >>> 1) + FLAGS] = 0;
    this.u32[(p >>> 2) + NEXT] = NO_PACKET;
    this.u32[(p >>> 2) + IFINDEX] = 0;
    this.i32[(p >>> 2) + HINT] = HINT_NONE;
    this.counters[LCORE_STATS.at.generated >>> 3]! += 1;
    return p;
  }

  /**
   * A copy of a received packet as it stands: its bytes and the port it came in on. Counted as generated.
   * @returns the copy, or `NO_PACKET` when there is no buffer or no room in it
   */
  clone(p: number): number {
    const copy = this.alloc();
    if (copy === NO_PACKET) return NO_PACKET;
    const len = this.len(p);
    if (len > this.tailroom(copy)) {
      this.drop(copy, DROP.SEND_FAILED);
      return NO_PACKET;
    }
    this.setLen(copy, len);
    this.bytes.copy(this.data(copy), this.data(p), len);
    this.u16[(copy >>> 1) + PORT] = this.port(p);
    return copy;
  }

  /** Sends the frame out of a DPDK port (on this lcore's queue, at the next flush). */
  transmit(p: number, port: number): void {
    this.queue(p, port);
  }

  /** Hands the frame as it was received to the lcore that owns its connection. */
  redirect(p: number, lcore: number): void {
    this.queue(p, (TX_DST_REDIRECT | lcore) >>> 0);
  }

  /** True when the vectors hold something to flush. */
  pending(): boolean {
    return (this.head[LCORE_BLOCK.at.txCount >>> 2]! | this.head[LCORE_BLOCK.at.freeCount >>> 2]!) !== 0;
  }

  /** Ends the packet and counts why. */
  drop(p: number, reason: number): void {
    this.counters[(LCORE_STATS.at.drops >>> 3) + reason]! += 1;
    let n = this.head[LCORE_BLOCK.at.freeCount >>> 2]!;
    if (n === FREE_CAP) {
      this.flushNow();
      n = 0;
    }
    this.freeVec[n] = p;
    this.head[LCORE_BLOCK.at.freeCount >>> 2] = n + 1;
  }

  /** Notes that the packet is kept (ARP queue, …); `release` before it goes on. */
  hold(_p: number): void {
    this.counters[LCORE_STATS.at.held >>> 3]! += 1;
  }
  release(_p: number): void {
    this.counters[LCORE_STATS.at.held >>> 3]! -= 1;
  }

  /** Counts an event of src/core/events.ts. */
  countEvent(event: number): void {
    this.counters[(LCORE_STATS.at.events >>> 3) + event]! += 1;
  }

  /** Counter of one drop reason. */
  dropped(reason: number): number {
    return this.counters[(LCORE_STATS.at.drops >>> 3) + reason]!;
  }

  /** True when nothing has gone missing: the identity that every test ends with. */
  balance(): number {
    const c = this.counters;
    const at = LCORE_STATS.at;
    let drops = 0;
    for (let i = 0; i < DROP_CAP; i++) drops += c[(at.drops >>> 3) + i]!;
    return (
      c[at.rxPackets >>> 3]! +
      c[at.generated >>> 3]! +
      c[at.redirIn >>> 3]! -
      (c[at.txPackets >>> 3]! + c[at.redirOut >>> 3]! + c[at.punted >>> 3]! + drops + c[at.held >>> 3]!)
    );
  }

  private queue(p: number, dst: number): void {
    let n = this.head[LCORE_BLOCK.at.txCount >>> 2]!;
    if (n === TX_CAP) {
      this.flushNow();
      n = 0;
    }
    this.txPkt[n] = p;
    this.txDst[n] = dst;
    this.head[LCORE_BLOCK.at.txCount >>> 2] = n + 1;
  }
}
