/** What a way to tell real servers the client's address is. A new one is a file in this folder and a line in `index.ts`. */
import type { XmitContext } from '../xmit/xmit.js';

/**
 * A connection has one way or none, chosen when it opens. While FLOW_ACTION.CLIENT_ADDR is set in its client's direction, every
 * packet of that direction takes the way through the stack and `carry` sees it; the way takes the bit away when nothing is
 * left to be told. The same holds for the real server's direction and `answer`, if the way sets the bit there.
 */
export interface Way {
  /** In connection records (Records.clientAddr, low byte), for good: records outlive the code that wrote them. Not 0. */
  readonly number: number;
  /** It sees first fragments, too (`carry`). */
  readonly fragments?: true;
  /** Bytes that it adds to a segment: the real server's MSS is lowered by them. */
  readonly overhead: number;
  /**
   * Packet `p` of the client, whole (no fragment), as it was sent: neither addresses nor numbers are translated yet, a forged address is
   * out. Puts in what is to be told, where a datagram of `mtu` bytes has room for it. Keeps ownership with the caller,
   * allocates nothing.
   * @returns false when it has dropped the packet
   */
  carry(x: XmitContext, p: number, c: number, mtu: number): boolean;
  /** Connection `c` has just got this way. */
  begin?(x: XmitContext, c: number): void;
  /** Segment `p` of the client has SYN; ahead of `carry`, and also when nothing is left to be told. */
  opening?(x: XmitContext, p: number, c: number): void;
  /** The same for packet `p` of the real server. */
  answer?(x: XmitContext, p: number, c: number): void;
  /**
   * While the bit is set in the real server's direction: by how much the sequence number `seq` of a segment that has left to it is
   * ahead of the client's, the shift of the connection apart.
   */
  ahead?(x: XmitContext, c: number, seq: number): number;
}
