/**
 * TOA: the client's address and port as a TCP option (kind 254) in front of all others. It goes with every segment of the
 * client that may be the first one which the real server's program gets to see: those that acknowledge its SYN and nothing
 * more, up to the first byte that one end has sent and the other acknowledged: from then on there is a connection, which the
 * option has come with. The SYN itself goes without: SYNs are answered before anybody is known to be there.
 *
 * The native loop does the same (native/src/toa.h), unless other options have to make way.
 */
import { EVENT } from '../../core/events.js';
import { DIR_IN, FLOW_ACTION, WAY_TOA } from '../../core/layout.js';
import { addDelta, applyDelta, delta16, update16 } from '../../wire/checksum.js';
import * as ipv4 from '../../wire/ipv4.js';
import * as tcp from '../../wire/tcp.js';
import { KEEP_ALL, KEEP_TIMESTAMP, List, OPT_TOA, sumOf } from '../../wire/tcp-options.js';
import { D, type Records } from '../conn/records.js';
import { eventFor } from '../counts.js';
import { ackDelta, seqDelta } from '../xmit/seq.js';
import type { XmitContext } from '../xmit/xmit.js';
import type { Way } from './way.js';

const LEN = 8;
const options = new List();

export const toa: Way = {
  number: WAY_TOA,
  overhead: LEN,

  carry(x, p, c, mtu) {
    const r = x.records;
    const b = x.packets.bytes;
    const l4 = x.packets.l4(p);
    if ((tcp.flags(b, l4) & (tcp.SYN | tcp.RST | tcp.ACK)) !== tcp.ACK) return true;
    // Nothing has come from the real server yet.
    if (!r.isAnswered(c)) return true;
    const ack = (tcp.ack(b, l4) + ackDelta(r, c, DIR_IN)) >>> 0;
    const beyond = (ack - r.isnOut(c) - 1) | 0;
    if (beyond === 0) {
      insert(x, p, c, mtu);
      // An upload may never be answered by data.
      const acknowledged = (r.endAck(c) - r.isnIn(c) - seqDelta(r, c, DIR_IN) - 1) | 0;
      if (acknowledged > 0) end(r, c);
    } else if (beyond > 0 && ((r.endSeq(c) - ack) | 0) >= 0) {
      // It has data of the real server. An acknowledgement of what was never sent ends nothing: a client could hide by it.
      end(r, c);
    }
    return true;
  },
};

/** What comes goes without, and natively. */
function end(r: Records, c: number): void {
  r.u16[(r.dir(c, DIR_IN) + D.actions) >>> 1]! &= ~FLOW_ACTION.CLIENT_ADDR;
}

/** Puts the option in, other options out as far as they are in the way; without room for it the segment stays as it is. */
function insert(x: XmitContext, p: number, c: number, mtu: number): void {
  const { packets, records: r } = x;
  const b = packets.bytes;
  const l4 = packets.l4(p);
  const dir = r.dir(c, DIR_IN);
  for (let keep = KEEP_ALL; keep <= KEEP_TIMESTAMP; keep++) {
    options.clear();
    options.add(OPT_TOA);
    options.add(LEN);
    options.addU16(r.bytes.u16(dir + D.sport));
    options.addU32(r.bytes.u32(dir + D.saddr));
    if (!options.copy(b, l4, keep)) continue;
    const grows = tcp.HEADER_LEN + options.length - tcp.headerLen(b, l4);
    if (ipv4.totalLen(b, packets.l3(p)) + grows > mtu) continue;
    if (!replaceOptions(x, p, grows)) continue;
    eventFor(x, c, EVENT.TOA_INSERTED);
    return;
  }
  eventFor(x, c, EVENT.TOA_NO_ROOM);
}

/** Gives the segment the options in `options`, `grows` bytes more than it has. @returns false when the packet has no room */
function replaceOptions(x: XmitContext, p: number, grows: number): boolean {
  const { packets } = x;
  const b = packets.bytes;
  const l3 = packets.l3(p);
  const l4 = packets.l4(p);
  const before = sumOf(b, l4);
  const len = ipv4.dataLen(b, l3);
  if (grows < 0) packets.pullTo(p, l3 - grows);
  else if (packets.push(p, grows) < 0) return false;
  // Headers are shorter than data: they move.
  b.copy(l3 - grows, l3, l4 - l3 + tcp.HEADER_LEN);
  const [new3, new4] = [l3 - grows, l4 - grows];
  packets.setL3(p, new3);
  packets.setL4(p, new4);
  const total = ipv4.totalLen(b, new3);
  ipv4.setTotalLen(b, new3, total + grows);
  ipv4.setChecksum(b, new3, update16(ipv4.checksum(b, new3), total, total + grows));
  // The pseudo header has the length, too.
  const delta = addDelta(options.writeTo(b, new4, before), delta16(len, len + grows));
  tcp.setChecksum(b, new4, applyDelta(tcp.checksum(b, new4), delta));
  return true;
}
