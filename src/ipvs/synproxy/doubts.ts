/**
 * Who sends an ACK without a cookie of ours, and since when. It may be a client whose first segment is late or lost: a cookie
 * stands for one sequence number, and what comes behind it cannot be checked. Such a client sends its first segment again. One of a
 * connection that has expired goes on as before; it is refused when it has had the time.
 *
 * A small table, by hash: under a flood of ACKs it remembers little, so that fewer are refused.
 */
const SLOTS = 4096;
/** A client whose handshake took two tries waits 3 s (RFC 6298 section 5.7). */
export const GRACE_MS = 3500;

export class Doubts {
  private readonly keys = new Uint32Array(SLOTS);
  private readonly since = new Float64Array(SLOTS);

  /**
   * @param ports source and destination side by side
   * @returns true when the same has come for some time
   */
  isOld(caddr: number, ports: number, ack: number, nowMs: number): boolean {
    let h = Math.imul(caddr ^ Math.imul(ports, 0x9e3779b1), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 15) ^ ack, 0xc2b2ae35);
    const key = (h ^ (h >>> 16)) >>> 0;
    const slot = key % SLOTS;
    if (this.keys[slot] === key) return nowMs - this.since[slot]! >= GRACE_MS;
    this.keys[slot] = key;
    this.since[slot] = nowMs;
    return false;
  }
}
