/**
 * The native boundary in plain memory: packet arena, lcore block, burst functions and connection index of one
 * lcore, with the layouts of `src/core/layout.ts` and the semantics of `src/core/native.ts`. The real stack runs on
 * it in unit tests. Misuse that C++ would turn into corruption throws here: freeing or sending a packet that native
 * code already owns, sending an empty frame.
 */
import {
  ALLOC_CAP,
  CONN4,
  CONN_F_HASHED,
  DIR4,
  EXC_CAP,
  HINT_ABSENT,
  HINT_NONE,
  LCORE_BLOCK,
  LCORE_STATS,
  MBUF,
  MBUF_DATA_ROOM,
  MBUF_HEADROOM,
  PKT,
  PKT_F_REDIRECTED,
  TX_DST_REDIRECT,
} from '../../src/core/layout.js';
import type { Native } from '../../src/core/native.js';

const BUFFER_OFFSET = MBUF.priv + PKT.size;
const BUF_LEN = MBUF_HEADROOM + MBUF_DATA_ROOM;
const STRIDE = Math.ceil((BUFFER_OFFSET + BUF_LEN) / 64) * 64;
/** Packet offset 0 means "no packet", so the arena starts with a hole. */
const FIRST = 64;
const POISON = 0xdd;

export interface FakeNativeOptions {
  lcore?: number;
  /** mbufs in the pool. */
  mbufs?: number;
  /** Connection records. */
  conns?: number;
}

export type FakeHot = Pick<
  Native,
  | 'poll'
  | 'flush'
  | 'flowInsert'
  | 'flowRemove'
  | 'flowInsertMany'
  | 'flowRemoveMany'
  | 'flowPrefetch'
  | 'flowFind'
  | 'flowOwner'
  | 'flowCount'
  | 'flowRebuild'
>;

export class FakeNative implements FakeHot {
  readonly lcore: number;
  readonly arena: SharedArrayBuffer;
  readonly bufferOffset = BUFFER_OFFSET;
  readonly block = new SharedArrayBuffer(LCORE_BLOCK.size);
  readonly stats = new SharedArrayBuffer(LCORE_STATS.size);
  readonly statsOffset = 0;
  /** CONN4 records. */
  readonly conns: SharedArrayBuffer;
  /** Virtual clock that poll() copies into the block. */
  nowMs = 1000;
  /** Other lcores of the same instance. */
  peers: readonly FakeNative[] = [];
  /** Ports that refuse to send: their frames are dropped with this reason number. */
  readonly txRefused = new Map<number, number>();

  private readonly bytes: Uint8Array;
  private readonly mbuf: DataView;
  private readonly head: Uint32Array;
  private readonly counters: Float64Array;
  private readonly idle: number[] = [];
  /** Packets that native code owns: in `idle` or in the alloc vector. */
  private readonly mine = new Set<number>();
  private readonly input: { port: number; frame: Uint8Array; redirected: boolean }[] = [];
  private readonly output = new Map<number, Uint8Array[]>();
  private readonly index = new Map<string, number>();
  /** What the alloc vector held when it was filled last. */
  private readonly offered: number[] = [];
  private readonly total: number;

  constructor(o: FakeNativeOptions = {}) {
    this.lcore = o.lcore ?? 1;
    this.total = o.mbufs ?? 2048;
    this.arena = new SharedArrayBuffer(FIRST + this.total * STRIDE);
    this.conns = new SharedArrayBuffer((o.conns ?? 1024) * CONN4.size);
    this.bytes = new Uint8Array(this.arena);
    this.mbuf = new DataView(this.arena);
    this.head = new Uint32Array(this.block);
    this.counters = new Float64Array(this.stats);
    for (let i = this.total - 1; i >= 0; i--) {
      const p = FIRST + i * STRIDE;
      this.idle.push(p);
      this.mine.add(p);
    }
    this.refill();
  }

  // ----- the test's side

  /** A frame that arrives on a port; the next poll() hands it over. */
  inject(port: number, frame: Uint8Array): void {
    this.input.push({ port, frame, redirected: false });
  }

  /** A frame that another lcore passed over the redirect ring; `port` is where it came in. */
  injectRedirected(port: number, frame: Uint8Array): void {
    this.input.push({ port, frame, redirected: true });
  }

  /** Frames sent on a port since the last call, oldest first. */
  sent(port: number): Uint8Array[] {
    const frames = this.output.get(port) ?? [];
    this.output.delete(port);
    return frames;
  }

  /** Frames passed to another lcore since the last call. */
  redirected(lcore: number): Uint8Array[] {
    return this.sent((TX_DST_REDIRECT | lcore) >>> 0);
  }

  /** Frames injected and not yet polled. */
  get pending(): number {
    return this.input.length;
  }

  /** Packets that TypeScript owns right now. */
  get inUse(): number {
    this.noteTaken();
    return this.total - this.mine.size;
  }

  /** Takes all idle packets out of the pool (so that alloc fails) until the returned function is called. */
  exhaust(): () => void {
    this.flush(this.lcore);
    const taken = [...this.idle.splice(0), ...this.offered.splice(0)];
    this.head[LCORE_BLOCK.at.allocCount >>> 2] = 0;
    return () => {
      this.idle.push(...taken);
      this.refill();
    };
  }

  // ----- the boundary

  poll(_id: number, budget: number): number {
    const at = LCORE_BLOCK.at;
    new Float64Array(this.block, at.nowMs, 1)[0] = this.nowMs;
    this.noteTaken();
    let n = 0;
    while (n < budget && n < EXC_CAP && this.input.length > 0) {
      const { port, frame, redirected } = this.input.shift()!;
      const p = this.idle.pop();
      if (p === undefined) throw new Error('fake-native: pool empty');
      this.own(p);
      const m = this.mbuf;
      m.setUint16(p + MBUF.dataOff, MBUF_HEADROOM, true);
      m.setUint16(p + MBUF.nbSegs, 1, true);
      m.setUint16(p + MBUF.port, port, true);
      m.setUint32(p + MBUF.pktLen, frame.length, true);
      m.setUint16(p + MBUF.dataLen, frame.length, true);
      m.setInt32(p + MBUF.priv + PKT.at.hint, this.hintOf(frame), true);
      m.setUint16(p + MBUF.priv + PKT.at.flags, redirected ? PKT_F_REDIRECTED : 0, true);
      this.bytes.set(frame, p + BUFFER_OFFSET + MBUF_HEADROOM);
      this.head[(at.exc >>> 2) + n] = p;
      n += 1;
      if (redirected) this.count('redirIn', 1);
      else {
        this.count('rxPackets', 1);
        this.count('rxBytes', frame.length);
      }
    }
    this.head[at.excCount >>> 2] = n;
    this.refill();
    return n;
  }

  flush(_id: number): number {
    const at = LCORE_BLOCK.at;
    let sent = 0;
    this.noteTaken();
    for (let i = 0; i < this.head[at.txCount >>> 2]!; i++) {
      const p = this.head[(at.txPkt >>> 2) + i]!;
      const dst = this.head[(at.txDst >>> 2) + i]!;
      const frame = this.frame(p);
      const refused = this.txRefused.get(dst);
      this.disown(p);
      if (refused !== undefined) {
        this.counters[(LCORE_STATS.at.drops >>> 3) + refused]! += 1;
        continue;
      }
      if (frame.length === 0) throw new Error('fake-native: empty frame sent');
      const frames = this.output.get(dst);
      if (frames === undefined) this.output.set(dst, [frame]);
      else frames.push(frame);
      if (dst >= TX_DST_REDIRECT) this.count('redirOut', 1);
      else {
        this.count('txPackets', 1);
        this.count('txBytes', frame.length);
      }
      sent += 1;
    }
    this.head[at.txCount >>> 2] = 0;
    for (let i = 0; i < this.head[at.freeCount >>> 2]!; i++) this.disown(this.head[(at.free >>> 2) + i]!);
    this.head[at.freeCount >>> 2] = 0;
    this.refill();
    return sent;
  }

  flowInsert(_id: number, conn: number): number {
    const [a, b] = [this.key(conn, 'in'), this.key(conn, 'out')];
    if (this.index.has(a) || this.index.has(b) || a === b) return -1;
    this.index.set(a, conn * 2);
    this.index.set(b, conn * 2 + 1);
    return 0;
  }

  flowRemove(_id: number, conn: number): number {
    const [a, b] = [this.key(conn, 'in'), this.key(conn, 'out')];
    if (this.index.get(a) !== conn * 2 || this.index.get(b) !== conn * 2 + 1) return -1;
    this.index.delete(a);
    this.index.delete(b);
    return 0;
  }

  private batch(n: number): number[] {
    return [...new Uint32Array(this.block, LCORE_BLOCK.at.conns, n)];
  }

  flowInsertMany(id: number, n: number): number {
    const refused = this.batch(n).filter((c) => this.flowInsert(id, c) !== 0);
    new Uint32Array(this.block, LCORE_BLOCK.at.conns, n).set(refused);
    return refused.length;
  }

  flowRemoveMany(id: number, n: number): number {
    return this.batch(n).filter((c) => this.flowRemove(id, c) === 0).length;
  }

  flowPrefetch(): number {
    return 0;
  }

  flowFind(_id: number, l3: number, l4: number, inverse: boolean): number {
    return this.index.get(this.packetKey(l3, l4, inverse)) ?? -1;
  }

  flowOwner(_id: number, l3: number, l4: number, inverse: boolean): number {
    const key = this.packetKey(l3, l4, inverse);
    return this.peers.find((peer) => peer !== this && peer.index.has(key))?.lcore ?? 0;
  }

  /** The tuple of the headers at arena offsets, as `key` writes it. */
  private packetKey(l3: number, l4: number, inverse: boolean): string {
    const hex = (off: number, len: number): string =>
      Buffer.from(this.bytes.slice(off, off + len)).toString('hex');
    const src = [hex(l3 + 12, 4), hex(l4, 2)] as const;
    const dst = [hex(l3 + 16, 4), hex(l4 + 2, 2)] as const;
    const [s, d] = inverse ? [dst, src] : [src, dst];
    return [s[0], d[0], s[1], d[1], hex(l3 + 9, 1)].join(' ');
  }

  flowCount(_id: number): number {
    return this.index.size / 2;
  }

  flowRebuild(id: number): number {
    this.index.clear();
    const records = new DataView(this.conns);
    let n = 0;
    for (let c = 1; c < this.conns.byteLength / CONN4.size; c++) {
      if ((records.getUint16(c * CONN4.size + CONN4.at.flags, true) & CONN_F_HASHED) === 0) continue;
      if (this.flowInsert(id, c) === 0) n += 1;
    }
    return n;
  }

  // ----- inside

  /** What poll() finds out about a frame: only whole TCP and UDP headers behind an IPv4 header without options are looked up. */
  private hintOf(frame: Uint8Array): number {
    const b = Buffer.from(frame);
    if (b.length < 38 || b.readUInt16BE(12) !== 0x0800 || b[14] !== 0x45) return HINT_NONE;
    if ((b.readUInt16BE(20) & 0x3fff) !== 0 || (b[23] !== 6 && b[23] !== 17)) return HINT_NONE;
    const hex = (off: number, len: number): string => b.toString('hex', off, off + len);
    return (
      this.index.get([hex(26, 4), hex(30, 4), hex(34, 2), hex(36, 2), hex(23, 1)].join(' ')) ?? HINT_ABSENT
    );
  }

  /** The tuple of one direction as the packet carries it. */
  private key(conn: number, dir: 'in' | 'out'): string {
    const record = new Uint8Array(this.conns, conn * CONN4.size + CONN4.at[dir], DIR4.size);
    const hex = (off: number, len: number): string =>
      Buffer.from(record.slice(off, off + len)).toString('hex');
    const at = DIR4.at;
    return [hex(at.saddr, 4), hex(at.daddr, 4), hex(at.sport, 2), hex(at.dport, 2), hex(at.proto, 1)].join(
      ' ',
    );
  }

  private frame(p: number): Uint8Array {
    const start = p + BUFFER_OFFSET + this.mbuf.getUint16(p + MBUF.dataOff, true);
    return Uint8Array.from(this.bytes.subarray(start, start + this.mbuf.getUint32(p + MBUF.pktLen, true)));
  }

  private own(p: number): void {
    this.mine.delete(p);
    const m = this.mbuf;
    m.setUint16(p + MBUF.bufLen, BUF_LEN, true);
    m.setUint8(p + MBUF.priv + PKT.at.owner, this.lcore + 1);
  }

  private disown(p: number): void {
    if (this.mine.has(p)) throw new Error(`fake-native: packet ${p} ended twice`);
    if ((p - FIRST) % STRIDE !== 0) throw new Error(`fake-native: ${p} is not a packet`);
    this.mine.add(p);
    this.idle.push(p);
    // Whoever still reads the packet sees garbage.
    this.bytes.fill(POISON, p + MBUF.priv, p + BUFFER_OFFSET + BUF_LEN);
  }

  /** Packets taken from the alloc vector since the last call are TypeScript's now. */
  private noteTaken(): void {
    const left = this.head[LCORE_BLOCK.at.allocCount >>> 2]!;
    for (const p of this.offered.splice(left)) this.own(p);
  }

  /** Fills the alloc vector up; its packets stay native's until they are taken. */
  private refill(): void {
    const at = LCORE_BLOCK.at;
    while (this.offered.length < Math.min(ALLOC_CAP, 64) && this.idle.length > 0) {
      const p = this.idle.pop()!;
      this.mbuf.setUint16(p + MBUF.bufLen, BUF_LEN, true);
      this.mbuf.setUint16(p + MBUF.nbSegs, 1, true);
      this.head[(at.alloc >>> 2) + this.offered.length] = p;
      this.offered.push(p);
    }
    this.head[at.allocCount >>> 2] = this.offered.length;
  }

  private count(
    name: 'rxPackets' | 'rxBytes' | 'txPackets' | 'txBytes' | 'redirIn' | 'redirOut',
    n: number,
  ): void {
    this.counters[LCORE_STATS.at[name] >>> 3]! += n;
  }
}
