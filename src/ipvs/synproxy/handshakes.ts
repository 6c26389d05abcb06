/**
 * Handshakes with real servers that are going on, for clients that have shown a cookie: what the cookie said, and what the client
 * has sent meanwhile. Bounded; an lcore that dies forgets them, since a client that sends again brings its cookie again.
 */
import type { Bytes } from '../../core/bytes.js';
import { DROP } from '../../core/drops.js';
import { NO_PACKET, type Packets } from '../../core/packet.js';
import * as tcp from '../../wire/tcp.js';

/** At once, of one lcore. */
const HANDSHAKES = 65536;

export class Handshakes {
  /** By entry: the client's first sequence number, ours towards it. */
  readonly isn = new Uint32Array(HANDSHAKES);
  readonly cookie = new Uint32Array(HANDSHAKES);
  /** Time stamps of the client's last packet: its own, and what it knows of us. */
  readonly tsval = new Uint32Array(HANDSHAKES);
  readonly tsecr = new Uint32Array(HANDSHAKES);
  /** See `packData`. */
  readonly data = new Uint16Array(HANDSHAKES);
  /** As the client's last packet had it. */
  readonly window = new Uint16Array(HANDSHAKES);
  /** SYNs that have been sent again. */
  readonly tries = new Uint8Array(HANDSHAKES);
  /** Chain of packets that are kept, oldest first. */
  private readonly first = new Uint32Array(HANDSHAKES);
  private readonly last = new Uint32Array(HANDSHAKES);
  private readonly kept = new Uint8Array(HANDSHAKES);
  /** Entries given back, then those never used. */
  private readonly free = new Uint32Array(HANDSHAKES);
  private freeCount = 0;
  private next = 1;
  /** Packets kept of all. */
  private held = 0;

  /**
   * @param perHandshake packets kept at most
   * @param total of all together
   */
  constructor(
    private readonly packets: Packets,
    private readonly perHandshake: number,
    private readonly total: number,
  ) {}

  /** @returns an entry, or 0 when there is none */
  open(): number {
    const e = this.freeCount > 0 ? this.free[--this.freeCount]! : this.next < HANDSHAKES ? this.next++ : 0;
    this.first[e] = this.last[e] = NO_PACKET;
    this.kept[e] = this.tries[e] = 0;
    return e;
  }

  /** Gives an entry back, whose packets have been taken. */
  close(e: number): void {
    this.free[this.freeCount++] = e;
  }

  /** Keeps a packet of the client unless the same is there already. Takes ownership. */
  keep(e: number, p: number): void {
    const { packets } = this;
    const b = packets.bytes;
    const seq = tcp.seq(b, packets.l4(p));
    for (let q = this.first[e]!; q !== NO_PACKET; q = packets.next(q)) {
      if (!isSame(b, packets, p, q, seq)) continue;
      packets.drop(p, DROP.SYNPROXY_ACK);
      return;
    }
    if (this.kept[e]! >= this.perHandshake || this.held >= this.total) {
      packets.drop(p, DROP.SYNPROXY_FULL);
      return;
    }
    packets.hold(p);
    packets.setNext(p, NO_PACKET);
    if (this.first[e] === NO_PACKET) this.first[e] = p;
    else packets.setNext(this.last[e]!, p);
    this.last[e] = p;
    this.kept[e]! += 1;
    this.held++;
  }

  /** The oldest packet that is kept, which is the caller's now, or NO_PACKET. */
  take(e: number): number {
    const { packets } = this;
    const p = this.first[e]!;
    if (p === NO_PACKET) return p;
    this.first[e] = packets.next(p);
    packets.setNext(p, NO_PACKET);
    packets.release(p);
    this.held--;
    return p;
  }
}

const isSame = (b: Bytes, packets: Packets, p: number, q: number, seq: number): boolean =>
  tcp.seq(b, packets.l4(q)) === seq &&
  packets.end(q) - packets.l4(q) === packets.end(p) - packets.l4(p) &&
  tcp.flags(b, packets.l4(q)) === tcp.flags(b, packets.l4(p));
