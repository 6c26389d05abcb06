/**
 * UOA: the first datagrams of a UDP client carry its address, as many of a connection as `uoa_max_trail` says, by a private
 * protocol or an IPv4 option (src/wire/opp.ts).
 *
 * Where there is no room, a datagram without data that carries it goes ahead: when the MTU would be exceeded, and for
 * datagrams that come in fragments, which would all be of another protocol.
 */
import { DIR_IN, DIR_OUT, FLOW_ACTION } from '../../core/layout.js';
import { EVENT } from '../../core/events.js';
import { NO_PACKET } from '../../core/packet.js';
import * as ipv4 from '../../wire/ipv4.js';
import * as opp from '../../wire/opp.js';
import * as udp from '../../wire/udp.js';
import { D } from '../conn/records.js';
import { eventFor } from '../counts.js';
import type { XmitContext } from '../xmit/xmit.js';
import { beside, makeRoom, sendBeside } from './room.js';
import type { Way } from './way.js';

/** Datagrams that are still to carry it: above the number of the way. */
const LEFT = 8;

export const uoa: Way = {
  number: 2,
  overhead: 0,
  fragments: true,

  begin(x, c) {
    x.records.setClientAddr(c, this.number | (x.uoaMaxTrail << LEFT));
  },

  carry(x, p, c, mtu) {
    const r = x.records;
    if (!tell(x, p, c, mtu)) return true;
    eventFor(x, c, EVENT.UOA_INSERTED);
    const left = (r.clientAddr(c) >>> LEFT) - 1;
    r.setClientAddr(c, this.number | (left << LEFT));
    if (left <= 0) r.u16[(r.dir(c, DIR_IN) + D.actions) >>> 1]! &= ~FLOW_ACTION.CLIENT_ADDR;
    return true;
  },
};

/** @returns false when the datagram goes without it */
function tell(x: XmitContext, p: number, c: number, mtu: number): boolean {
  const { packets, uoaOption } = x;
  const b = packets.bytes;
  const l3 = packets.l3(p);
  const hlen = ipv4.headerLen(b, l3);
  const more = uoaOption ? opp.OPTION_LEN : opp.HEADER_LEN;
  const fits =
    !ipv4.isFragment(b, l3) &&
    ipv4.totalLen(b, l3) + more <= mtu &&
    (!uoaOption || hlen + more <= ipv4.MAX_HEADER_LEN);
  // An option stands in front of others: behind the end of their list nobody would look for it.
  if (fits && makeRoom(x, p, uoaOption ? ipv4.HEADER_LEN : hlen, more)) {
    mark(x, packets.l3(p), c, 0);
    return true;
  }
  const q = beside(x, p, ipv4.PROTO_UDP, more + udp.HEADER_LEN);
  if (q === NO_PACKET) return false;
  const q4 = packets.l4(q) + more;
  b.copy(q4, packets.l4(p), udp.LENGTH);
  udp.setLength(b, q4, udp.HEADER_LEN);
  udp.fillChecksum(b, q4, ipv4.src(b, l3), ipv4.dst(b, l3));
  packets.setL4(q, q4);
  mark(x, packets.l3(q), c, opp.F_ALONE);
  sendBeside(x, q, c);
  return true;
}

/** Fills the gap behind the header at `l3`: of 20 bytes for the option, of any length for the private protocol. */
function mark(x: XmitContext, l3: number, c: number, flags: number): void {
  const b = x.packets.bytes;
  const f = x.records.bytes;
  const out = x.records.dir(c, DIR_OUT);
  const addr = f.u32(out + D.newDaddr);
  const port = f.u16(out + D.newDport);
  const hlen = ipv4.headerLen(b, l3);
  if (x.uoaOption) {
    opp.emitOption(b, l3 + ipv4.HEADER_LEN, addr, port);
    ipv4.setHeaderLen(b, l3, hlen + opp.OPTION_LEN);
  } else {
    opp.emit(b, l3 + hlen, flags, ipv4.PROTO_UDP, addr, port);
    ipv4.setProto(b, l3, opp.PROTO);
  }
  ipv4.fillChecksum(b, l3);
}
