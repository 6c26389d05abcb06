/**
 * Connection records (CONN4 of src/core/layout.ts) in shared memory. A connection is its index; index 0 is no
 * connection. Accessors read and write typed arrays at fixed offsets and allocate nothing.
 */
import { Bytes } from '../../core/bytes.js';
import { CONN4, CONN_F_HASHED, CONN_F_USED, DIR4, DIR_IN, DIR_OUT, FLOW_ACTION } from '../../core/layout.js';

const SIZE = CONN4.size;
const WORDS = SIZE >>> 2;
const DOUBLES = SIZE >>> 3;
const C = CONN4.at;
/** Byte offsets inside a direction. */
export const D = DIR4.at;

const IN = C.in;
const OUT = C.out;
const TIMEOUT = C.timeoutMs >>> 2;
const CREATED = C.createdMs >>> 2;
const CONTROL = C.control >>> 2;
const LADDR = C.laddrSlot >>> 2;
const CLIENT_ADDR = C.clientAddr >>> 2;
const ISN_IN = C.isnIn >>> 2;
const ISN_OUT = C.isnOut >>> 2;
const SOURCE = C.source >>> 2;
const SOURCE_GENERATION = C.sourceGeneration >>> 2;
const SAME_ACKS = C.sameAcks >>> 1;
const LAST_WINDOW = C.lastWindow >>> 1;
const CLIENT_PACKETS = C.clientPackets >>> 1;
const CLIENT_DATA = C.clientData >>> 1;
const END_SEQ = C.endSeq >>> 2;
const END_ACK = C.endAck >>> 2;
const PROXY = C.proxy >>> 2;
const TS_DELTA = C.tsDelta >>> 2;

/** Where an IPv4 header has what a direction matches. The ports stand side by side, in both places. */
const PROTO = 9;
const SRC = 12;
const DST = 16;

export class Records {
  /** One more than the largest index. */
  readonly capacity: number;
  /** Network order: the addresses and ports of a direction, at `dir(c, d) + D.x`. */
  readonly bytes: Bytes;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly f64: Float64Array;

  constructor(readonly buffer: SharedArrayBuffer) {
    this.capacity = Math.floor(buffer.byteLength / SIZE);
    this.bytes = new Bytes(buffer);
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.f64 = new Float64Array(buffer);
  }

  /**
   * No index above this one was ever in use: who reads the table need not go further. Kept in record 0, which is no
   * connection.
   */
  get top(): number {
    return Math.min(this.u32[0]!, this.capacity - 1);
  }
  setTop(c: number): void {
    this.u32[0] = c;
  }

  /** Byte offset of a direction of a connection. */
  dir(c: number, d: number): number {
    return c * SIZE + (d === DIR_OUT ? OUT : IN);
  }

  /** Zeroes a record and marks it as used. */
  begin(c: number): void {
    const { f64 } = this;
    const end = (c + 1) * DOUBLES;
    // `fill` is a call out of compiled code: 80 ns for these three lines.
    for (let i = c * DOUBLES; i < end; i++) f64[i] = 0;
    this.setFlags(c, CONN_F_USED);
  }

  flags(c: number): number {
    return this.u16[(c * SIZE + C.flags) >>> 1]!;
  }
  setFlags(c: number, v: number): void {
    this.u16[(c * SIZE + C.flags) >>> 1] = v;
  }
  isUsed(c: number): boolean {
    return (this.flags(c) & CONN_F_USED) !== 0;
  }

  // Both directions have state, forwarding mode, destination and time: a packet touches its direction's cache line only.
  state(c: number): number {
    return this.u8[c * SIZE + IN + D.state]!;
  }
  setState(c: number, v: number): void {
    this.u8[c * SIZE + IN + D.state] = v;
    this.u8[c * SIZE + OUT + D.state] = v;
  }

  fwd(c: number): number {
    return this.u8[c * SIZE + IN + D.fwd]!;
  }
  setFwd(c: number, v: number): void {
    this.u8[c * SIZE + IN + D.fwd] = v;
    this.u8[c * SIZE + OUT + D.fwd] = v;
  }

  /** True as long as no way to the client is known. */
  isWayless(c: number): boolean {
    return this.u16[(c * SIZE + OUT + D.adj) >>> 1] === 0;
  }

  /** From now on packets of neither direction take a short way. */
  clearActions(c: number): void {
    this.u16[(c * SIZE + IN + D.actions) >>> 1] = 0;
    this.u16[(c * SIZE + OUT + D.actions) >>> 1] = 0;
  }

  /** IP protocol number. */
  proto(c: number): number {
    return this.u8[c * SIZE + IN + D.proto]!;
  }

  /** Address of the real server (SNAT: of the host inside). */
  realAddr(c: number): number {
    return this.bytes.u32(this.dir(c, DIR_IN) + D.newDaddr);
  }

  timeoutMs(c: number): number {
    return this.u32[c * WORDS + TIMEOUT]!;
  }
  setTimeoutMs(c: number, v: number): void {
    this.u32[c * WORDS + TIMEOUT] = v;
  }

  /** Milliseconds of the lcore's clock modulo 2^32 when a packet of either direction came last. */
  lastSeenMs(c: number): number {
    const seenIn = this.u32[(c * SIZE + IN + D.lastSeenMs) >>> 2]!;
    const seenOut = this.u32[(c * SIZE + OUT + D.lastSeenMs) >>> 2]!;
    return ((seenIn - seenOut) | 0) > 0 ? seenIn : seenOut;
  }
  /** The same of direction `d`. */
  seenMs(c: number, d: number): number {
    return this.u32[(this.dir(c, d) + D.lastSeenMs) >>> 2]!;
  }
  /** Notes a packet of direction `d`. */
  setLastSeenMs(c: number, d: number, nowMs: number): void {
    this.u32[(this.dir(c, d) + D.lastSeenMs) >>> 2] = nowMs;
  }
  createdMs(c: number): number {
    return this.u32[c * WORDS + CREATED]!;
  }
  setCreatedMs(c: number, nowMs: number): void {
    this.u32[c * WORDS + CREATED] = nowMs;
  }

  /** Slot of the real server. */
  dest(c: number): number {
    return this.u16[(c * SIZE + IN + D.dest) >>> 1]!;
  }
  setDest(c: number, slot: number): void {
    this.u16[(c * SIZE + IN + D.dest) >>> 1] = slot;
    this.u16[(c * SIZE + OUT + D.dest) >>> 1] = slot;
  }

  /** Entry of `Templates` that gave it its real server, -1 = none. */
  template(c: number): number {
    return this.u32[c * WORDS + CONTROL]! - 1;
  }
  setTemplate(c: number, e: number): void {
    this.u32[c * WORDS + CONTROL] = e + 1;
  }

  /** Entry of `Sources` in which its client has a place, -1 = none, and the generation of that. */
  source(c: number): number {
    return this.u32[c * WORDS + SOURCE]! - 1;
  }
  sourceGeneration(c: number): number {
    return this.u32[c * WORDS + SOURCE_GENERATION]!;
  }
  setSource(c: number, e: number, generation: number): void {
    this.u32[c * WORDS + SOURCE] = e + 1;
    this.u32[c * WORDS + SOURCE_GENERATION] = generation;
  }

  /** Slot in the pool of local addresses, -1 = holds no local port. */
  laddrSlot(c: number): number {
    return this.u32[c * WORDS + LADDR]! - 1;
  }
  setLaddrSlot(c: number, slot: number): void {
    this.u32[c * WORDS + LADDR] = slot + 1;
  }
  lport(c: number): number {
    return this.u16[(c * SIZE + C.lport) >>> 1]!;
  }
  setLport(c: number, v: number): void {
    this.u16[(c * SIZE + C.lport) >>> 1] = v;
  }

  /** See CONN4.clientAddr; 0 = it is not delivered. */
  clientAddr(c: number): number {
    return this.u32[c * WORDS + CLIENT_ADDR]!;
  }
  setClientAddr(c: number, v: number): void {
    this.u32[c * WORDS + CLIENT_ADDR] = v;
  }

  /** Initial sequence number of the client, as it has sent it. */
  isnIn(c: number): number {
    return this.u32[c * WORDS + ISN_IN]!;
  }
  setIsnIn(c: number, isn: number): void {
    this.u32[c * WORDS + ISN_IN] = isn;
  }
  /** The same of the real server; 0 before it has answered. */
  isnOut(c: number): number {
    return this.u32[c * WORDS + ISN_OUT]!;
  }
  setIsnOut(c: number, isn: number): void {
    this.u32[c * WORDS + ISN_OUT] = isn;
  }

  /** See CONN4. */
  sameAcks(c: number): number {
    return this.u16[c * 2 * WORDS + SAME_ACKS]!;
  }
  lastWindow(c: number): number {
    return this.u16[c * 2 * WORDS + LAST_WINDOW]!;
  }
  clientPackets(c: number): number {
    return this.u16[c * 2 * WORDS + CLIENT_PACKETS]!;
  }
  clientData(c: number): number {
    return this.u16[c * 2 * WORDS + CLIENT_DATA]!;
  }
  setSameAcks(c: number, n: number): void {
    this.u16[c * 2 * WORDS + SAME_ACKS] = n;
  }
  setLastWindow(c: number, window: number): void {
    this.u16[c * 2 * WORDS + LAST_WINDOW] = window;
  }
  setClientSeen(c: number, packets: number, data: number): void {
    this.u16[c * 2 * WORDS + CLIENT_PACKETS] = packets;
    this.u16[c * 2 * WORDS + CLIENT_DATA] = data;
  }
  /** The client's packets, and its bytes beyond so many packets of `bare` bytes; both modulo 2^16. */
  packetsOfClient(c: number): number {
    return this.u32[(this.dir(c, DIR_IN) + D.packets) >>> 2]! & 0xffff;
  }
  bytesBeyond(c: number, bare: number): number {
    return (
      ((this.f64[(this.dir(c, DIR_IN) + D.bytes) >>> 3]! >>> 0) - this.packetsOfClient(c) * bare) & 0xffff
    );
  }

  /** Next sequence number of the real server and the last one that it acknowledged, in the numbers that it sees. */
  endSeq(c: number): number {
    return this.u32[c * WORDS + END_SEQ]!;
  }
  endAck(c: number): number {
    return this.u32[c * WORDS + END_ACK]!;
  }
  /** True when the real server has sent a segment that was no reset. */
  isAnswered(c: number): boolean {
    return this.endSeq(c) !== 0 || this.endAck(c) !== 0;
  }
  setEndSeq(c: number, seq: number): void {
    this.u32[c * WORDS + END_SEQ] = seq;
  }
  setEndAck(c: number, ack: number): void {
    this.u32[c * WORDS + END_ACK] = ack;
  }

  tsDelta(c: number): number {
    return this.u32[c * WORDS + TS_DELTA]!;
  }
  setTsDelta(c: number, v: number): void {
    this.u32[c * WORDS + TS_DELTA] = v;
  }
  /** Windows of direction `d` grow by so many bits, FLOW_ACTION.WINDOW with it. */
  setWshift(c: number, d: number, bits: number): void {
    this.u8[this.dir(c, d) + D.wshift] = bits;
    this.setAction(c, d, FLOW_ACTION.WINDOW, bits !== 0);
  }
  /** Takes a FLOW_ACTION bit into a direction or out of it. */
  setAction(c: number, d: number, action: number, on: boolean): void {
    const at = (this.dir(c, d) + D.actions) >>> 1;
    if (on) this.u16[at]! |= action;
    else this.u16[at]! &= ~action;
  }
  /** See CONN4.proxy. */
  proxy(c: number): number {
    return this.u32[c * WORDS + PROXY]!;
  }
  setProxy(c: number, v: number): void {
    this.u32[c * WORDS + PROXY] = v;
  }

  /** Largest datagram, as received, that may go on in the direction at byte offset `dir`. */
  mtu(dir: number): number {
    return this.u16[(dir + D.mtu) >>> 1]!;
  }
  setMtu(dir: number, v: number): void {
    this.u16[(dir + D.mtu) >>> 1] = v;
  }

  /** Counts a packet of `bytes` bytes in a direction. */
  count(c: number, d: number, bytes: number): void {
    const dir = this.dir(c, d);
    this.f64[(dir + D.bytes) >>> 3]! += bytes;
    this.u32[(dir + D.packets) >>> 2]! += 1;
  }

  /** True when connection `c` can be found and packets of direction `d` look like the one with these headers. */
  isMatch(c: number, d: number, b: Bytes, l3: number, l4: number): boolean {
    return this.isTuple(c, d, b, l3, b.u32(l4));
  }

  /** The same for a header at `l3` and ports as they stand side by side. */
  isTuple(c: number, d: number, b: Bytes, l3: number, ports: number): boolean {
    const f = this.bytes;
    const dir = this.dir(c, d);
    return (
      (this.flags(c) & CONN_F_HASHED) !== 0 &&
      f.u32(dir + D.sport) === ports &&
      f.u32(dir + D.saddr) === b.u32(l3 + SRC) &&
      f.u32(dir + D.daddr) === b.u32(l3 + DST) &&
      f.u8(dir + D.proto) === b.u8(l3 + PROTO)
    );
  }

  /** Writes what a direction matches. */
  setMatch(dir: number, proto: number, saddr: number, sport: number, daddr: number, dport: number): void {
    const b = this.bytes;
    b.setU32(dir + D.saddr, saddr);
    b.setU32(dir + D.daddr, daddr);
    b.setU16(dir + D.sport, sport);
    b.setU16(dir + D.dport, dport);
    b.setU8(dir + D.proto, proto);
  }
}
