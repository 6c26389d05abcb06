/**
 * Reassembly of datagrams for our own addresses, RFC 791 section 3.2 with the rules of RFC 1122 section 3.3.2. Fragments wait
 * in their own buffers, sorted; nothing is copied before all are there. As RFC 5722 demands for IPv6, overlapping fragments
 * end the whole datagram, those still to come included; a repeated fragment is left out (RFC 8200 section 4.5).
 */
import { DROP } from '../core/drops.js';
import { NO_PACKET, type Packets } from '../core/packet.js';
import * as ipv4 from '../wire/ipv4.js';
import { dropChain, type FragmentLimits, FragmentTable, NONE } from './fragments.js';

/** Largest datagram without its header: a longer one cannot say its length ("ping of death"). */
const MAX_DATA = 65535 - ipv4.HEADER_LEN;

export interface ReassemblyOptions {
  packets: Packets;
  limits: FragmentLimits;
  /** Called with the first fragment of a datagram whose time is up; leaves it to the caller. */
  onTimeout: (first: number) => void;
}

export class Reassembly {
  readonly table: FragmentTable;
  private readonly packets: Packets;
  /** By slot: bytes that are here, bytes of the whole (0 = the last fragment has not come). */
  private readonly here: Uint32Array;
  private readonly whole: Uint32Array;
  /** By slot: 1 = overlapping fragments have been seen. */
  private readonly refused: Uint8Array;

  constructor(o: ReassemblyOptions) {
    const { packets } = o;
    this.packets = packets;
    this.table = new FragmentTable({
      packets,
      limits: o.limits,
      onTimeout: (s) => {
        const p = this.table.firstOf(s);
        if (p !== NO_PACKET && ipv4.fragOffset(packets.bytes, packets.l3(p)) === 0) o.onTimeout(p);
      },
    });
    this.here = new Uint32Array(o.limits.fragmentEntries);
    this.whole = new Uint32Array(o.limits.fragmentEntries);
    this.refused = new Uint8Array(o.limits.fragmentEntries);
  }

  /**
   * Takes a fragment with a valid header. Takes ownership.
   * @returns NO_PACKET, or, when it was the last one missing, all fragments in order, linked by `Packets.next`
   */
  add(p: number): number {
    const { packets, table } = this;
    const b = packets.bytes;
    const l3 = packets.l3(p);
    const from = ipv4.fragOffset(b, l3);
    const len = ipv4.dataLen(b, l3);
    const to = from + len;
    const more = ipv4.moreFragments(b, l3);
    if (len === 0 || to > MAX_DATA || (more && (len & 7) !== 0)) return this.drop(p, DROP.IP_FRAGMENT);
    let s = table.find(b, l3);
    if (s === NONE) {
      s = table.open(b, l3);
      this.here[s] = this.whole[s] = this.refused[s] = 0;
    }
    if (this.refused[s] === 1) return this.drop(p, DROP.IP_FRAG_OVERLAP);

    // In order as a rule: look from the end first.
    let after = table.lastOf(s);
    if (after !== NO_PACKET && this.from(after) >= from) {
      after = NO_PACKET;
      for (let q = table.firstOf(s); this.from(q) < from; q = packets.next(q)) after = q;
    }
    const next = after === NO_PACKET ? table.firstOf(s) : packets.next(after);
    const end = this.whole[s]!;
    if (next !== NO_PACKET && this.from(next) === from && this.to(next) === to && this.more(next) === more)
      return this.drop(p, DROP.IP_FRAG_DUPLICATE);
    const overlaps =
      (after !== NO_PACKET && this.to(after) > from) ||
      (next !== NO_PACKET && this.from(next) < to) ||
      // The last fragment says where the datagram ends.
      (more ? end !== 0 && to >= end : end !== 0 || next !== NO_PACKET);
    if (overlaps) {
      this.refused[s] = 1;
      table.dropAll(s, DROP.IP_FRAG_OVERLAP);
      return this.drop(p, DROP.IP_FRAG_OVERLAP);
    }
    if (!table.keep(s, p, after)) return NO_PACKET;
    this.here[s]! += len;
    if (!more) this.whole[s] = to;
    if (this.here[s] !== this.whole[s]) return NO_PACKET;
    const first = table.takeAll(s);
    table.close(s);
    return first;
  }

  /**
   * Joins a whole datagram into the buffer of its first fragment. Takes ownership when it returns true.
   * @param first as `add` returned it
   * @returns false when it doesn't fit
   */
  join(first: number): boolean {
    const { packets } = this;
    const b = packets.bytes;
    const l3 = packets.l3(first);
    let rest = 0;
    for (let p = packets.next(first); p !== NO_PACKET; p = packets.next(p))
      rest += ipv4.dataLen(b, packets.l3(p));
    if (rest > packets.tailroom(first)) return false;
    let at = packets.end(first);
    for (let p = packets.next(first); p !== NO_PACKET; p = packets.next(p)) {
      const len = ipv4.dataLen(b, packets.l3(p));
      b.copy(at, packets.l4(p), len);
      at += len;
    }
    dropChain(packets, packets.next(first), DROP.IP_FRAG_JOINED);
    packets.setNext(first, NO_PACKET);
    packets.setLen(first, at - l3);
    ipv4.setTotalLen(b, l3, at - l3);
    ipv4.setFrag(b, l3, 0);
    ipv4.fillChecksum(b, l3);
    return true;
  }

  private from(p: number): number {
    return ipv4.fragOffset(this.packets.bytes, this.packets.l3(p));
  }
  private to(p: number): number {
    return this.from(p) + ipv4.dataLen(this.packets.bytes, this.packets.l3(p));
  }
  private more(p: number): boolean {
    return ipv4.moreFragments(this.packets.bytes, this.packets.l3(p));
  }

  private drop(p: number, reason: number): typeof NO_PACKET {
    this.packets.drop(p, reason);
    return NO_PACKET;
  }
}
