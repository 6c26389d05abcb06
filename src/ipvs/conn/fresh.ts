/**
 * Tuples that may have been inserted since the last poll: a packet that poll() found no flow for may belong to a connection
 * that an earlier packet of the same poll has made. Says "perhaps" too often, never too seldom.
 */
import type { Bytes } from '../../core/bytes.js';

const BITS = 12;
/** Where an IPv4 header has its addresses. */
const SRC = 12;
const DST = 16;

export class Fresh {
  /** Turn in which a tuple of this hash was inserted last. */
  private readonly marks = new Uint32Array(1 << BITS);
  private turn = 1;

  /** Forgets all. */
  next(): void {
    this.turn = (this.turn + 1) >>> 0;
    if (this.turn !== 0) return;
    this.marks.fill(0);
    this.turn = 1;
  }

  add(saddr: number, daddr: number, ports: number): void {
    this.marks[slot(saddr, daddr, ports)] = this.turn;
  }

  /** @param ports arena offset of the two ports */
  has(b: Bytes, l3: number, ports: number): boolean {
    return this.marks[slot(b.u32(l3 + SRC), b.u32(l3 + DST), b.u32(ports))] === this.turn;
  }
}

function slot(saddr: number, daddr: number, ports: number): number {
  const h = Math.imul(saddr ^ Math.imul(ports, 0x9e3779b1), 0x85ebca6b) ^ Math.imul(daddr, 0xc2b2ae35);
  return Math.imul(h ^ (h >>> 15), 0x27d4eb2f) >>> (32 - BITS);
}
