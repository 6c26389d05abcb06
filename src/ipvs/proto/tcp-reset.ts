/** RST to both ends of a TCP connection that expires while it is established. */
import { DIR_IN, DIR_OUT } from '../../core/layout.js';
import { NO_PACKET } from '../../core/packet.js';
import * as ipv4 from '../../wire/ipv4.js';
import * as wire from '../../wire/tcp.js';
import { D } from '../conn/records.js';
import { seqDelta } from '../xmit/seq.js';
import type { XmitContext } from '../xmit/xmit.js';

const LEN = ipv4.HEADER_LEN + wire.HEADER_LEN;
const TTL = 64;

/** Client and real server each get a reset that looks as if it came from the other; not whoever is on a list. */
export function resetBoth(x: XmitContext, c: number): void {
  const r = x.records;
  // Nothing was ever seen of the real server: no sequence number that the ends would accept is known.
  if (!r.isAnswered(c)) return;
  const [seq, ack] = [r.endSeq(c) + seqDelta(r, c, DIR_OUT), r.endAck(c) - seqDelta(r, c, DIR_IN)];
  if (!x.isCut(c, DIR_OUT)) send(x, r.dir(c, DIR_OUT), seq >>> 0, ack >>> 0);
  if (!x.isCut(c, DIR_IN)) send(x, r.dir(c, DIR_IN), r.endAck(c), r.endSeq(c));
}

/** A reset with the tuple that packets of a direction leave with. */
function send(x: XmitContext, dir: number, seq: number, ack: number): void {
  const { packets, records } = x;
  const p = packets.alloc();
  if (p === NO_PACKET) return;
  const l3 = packets.push(p, LEN);
  const l4 = l3 + ipv4.HEADER_LEN;
  const f = records.bytes;
  const b = packets.bytes;
  const saddr = f.u32(dir + D.newSaddr);
  const daddr = f.u32(dir + D.newDaddr);
  packets.setL3(p, l3);
  packets.setL4(p, l4);
  ipv4.emit(b, l3, 0, LEN, 0, ipv4.DF, TTL, ipv4.PROTO_TCP, saddr, daddr);
  wire.emit(b, l4, f.u16(dir + D.newSport), f.u16(dir + D.newDport), seq, ack, wire.RST | wire.ACK, 0);
  wire.fillChecksum(b, l4, wire.HEADER_LEN, saddr, daddr);
  x.inet.output(p);
}
