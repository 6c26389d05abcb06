/**
 * Storms of acknowledgements: two ends that disagree about their numbers answer each other with acknowledgements for ever (RFC 9293
 * section 3.10.7.4: "send an ACK, drop the segment"). A real server's acknowledgement belongs to one when it says nothing but what
 * the last one said, soon after it, and the client has done nothing but acknowledge in between. Duplicates that data of the
 * client has caused are none, however many: its recovery needs them (RFC 6582 section 3.2).
 *
 * The native loop does the same (native/src/storm.h). The client's direction is read only for an acknowledgement that is like the last.
 */
import type { Bytes } from '../../core/bytes.js';
import { DIR_OUT } from '../../core/layout.js';
import * as ipv4 from '../../wire/ipv4.js';
import * as tcp from '../../wire/tcp.js';
import { isPlain } from '../../wire/tcp-options.js';
import type { Records } from '../conn/records.js';

/** Further apart they are no storm: answers to keep-alives and to probes of a closed window are alike too. */
const STORM_MS = 500;

/** A segment of the real server, `len` bytes long, that is nothing but an acknowledgement, and like the last one. */
function saysTheSame(r: Records, c: number, b: Bytes, l4: number, len: number, nowMs: number): boolean {
  return (
    tcp.flags(b, l4) === tcp.ACK &&
    tcp.headerLen(b, l4) === len &&
    tcp.ack(b, l4) === r.endAck(c) &&
    tcp.seq(b, l4) === r.endSeq(c) &&
    tcp.window(b, l4) === r.lastWindow(c) &&
    isPlain(b, l4) &&
    ((nowMs >>> 0) - r.seenMs(c, DIR_OUT)) >>> 0 < STORM_MS
  );
}

/** Notes a segment of the real server, before its time is noted. */
export function observeStorm(r: Records, c: number, b: Bytes, l4: number, len: number, nowMs: number): void {
  if (!saysTheSame(r, c, b, l4, len, nowMs)) {
    r.setSameAcks(c, 0);
    r.setLastWindow(c, tcp.window(b, l4));
    return;
  }
  const packets = r.packetsOfClient(c);
  // The client's acknowledgements have the real server's options: none or timestamps.
  const data = r.bytesBeyond(c, ipv4.HEADER_LEN + len);
  if (data !== r.clientData(c)) r.setSameAcks(c, 0);
  else if (packets !== r.clientPackets(c)) r.setSameAcks(c, r.sameAcks(c) + 1);
  r.setClientSeen(c, packets, data);
}

/** True for a segment of the real server that belongs to a storm of more than `most` rounds. */
export function isStorm(
  r: Records,
  c: number,
  b: Bytes,
  l4: number,
  len: number,
  nowMs: number,
  most: number,
): boolean {
  return (
    r.sameAcks(c) >= most &&
    saysTheSame(r, c, b, l4, len, nowMs) &&
    r.packetsOfClient(c) !== r.clientPackets(c) &&
    r.bytesBeyond(c, ipv4.HEADER_LEN + len) === r.clientData(c)
  );
}
