/**
 * Full-NAT: the real server sees a local address of ours as client, so that its answers come back here
 * whatever its routes are.
 *
 *   client:cport -> VIP:vport   becomes   LIP:lport -> RS:dport   and back.
 *
 * Many clients become one, so what was theirs alone has to be made ours: sequence numbers of TCP begin where we say (a new
 * connection of the same local port would else begin anywhere, and be taken for old), timestamps go (the clocks of many
 * clients, RFC 7323 section 5.8), and the real server is told who the client is (src/ipvs/client-addr).
 */
import { EVENT } from '../../core/events.js';
import { CONN_F_SYNPROXY, DIR_IN, DIR_OUT, FLOW_ACTION } from '../../core/layout.js';
import { addDelta, applyDelta } from '../../wire/checksum.js';
import * as ipv4 from '../../wire/ipv4.js';
import * as tcp from '../../wire/tcp.js';
import { blankAll, lowerMss, OPT_TIMESTAMP, OPT_TOA } from '../../wire/tcp-options.js';
import { begin, wayOf } from '../client-addr/index.js';
import { D } from '../conn/records.js';
import { eventFor } from '../counts.js';
import { TABLE_IN } from '../proto/table.js';
import { nextHop } from './nexthop.js';
import { finish, setRewrite } from './rewrite.js';
import { setSeqDelta } from './seq.js';
import type { Xmit, XmitContext } from './xmit.js';

/** No MSS is lowered below this. */
const LEAST_MSS = 64;

export const fullnat: Xmit = {
  name: 'fullnat',
  fwd: 5,
  local: true,
  opens: DIR_IN,
  tableIn: TABLE_IN,
  rewrites: true,
  // Real servers believe it.
  refusedOption: OPT_TOA,

  setup(r, c, proto, caddr, cport, vaddr, vport, laddr, lport, daddr, dport) {
    const inward = r.dir(c, DIR_IN);
    r.setMatch(inward, proto, caddr, cport, vaddr, vport);
    setRewrite(r, inward, laddr, lport, daddr, dport);
    const outward = r.dir(c, DIR_OUT);
    r.setMatch(outward, proto, daddr, dport, laddr, lport);
    setRewrite(r, outward, vaddr, vport, caddr, cport);
  },

  opened(x, p, c, svc) {
    if (svc.proto === ipv4.PROTO_TCP) rebase(x, c, tcp.seq(x.packets.bytes, x.packets.l4(p)));
    begin(x, c, svc);
  },

  send(x, p, c, d) {
    const { packets, records: r } = x;
    const dir = r.dir(c, d);
    const adj = nextHop(x, p, dir);
    if (adj === 0) return;
    const l3 = packets.l3(p);
    const frag = ipv4.frag(packets.bytes, l3);
    if (r.proto(c) === ipv4.PROTO_TCP && (frag & ipv4.OFFSET_MASK) === 0) {
      if (d === DIR_IN) fromClient(x, p, c, packets.l4(p));
      else fromServer(x, c, packets.l4(p));
    }
    if (
      (r.u16[(dir + D.actions) >>> 1]! & FLOW_ACTION.CLIENT_ADDR) !== 0 &&
      (frag & ipv4.OFFSET_MASK) === 0
    ) {
      const way = wayOf(x, c);
      const sees = way !== undefined && (way.fragments === true || (frag & ipv4.MF) === 0);
      if (sees && d === DIR_OUT) way.answer?.(x, p, c);
      else if (sees && !way.carry(x, p, c, r.mtu(dir))) return;
    }
    finish(x, p, c, d, adj);
  },
};

/** Gives a connection whose client begins at `isn` an initial sequence number of ours. */
function rebase(x: XmitContext, c: number, isn: number): void {
  const r = x.records;
  r.setIsnIn(c, isn);
  if (!x.tcp.rebase) return;
  const f = r.bytes;
  const dir = r.dir(c, DIR_IN);
  const ports = f.u32(dir + D.newSport);
  const ours = x.isn.of(f.u32(dir + D.newSaddr), f.u32(dir + D.newDaddr), ports, x.packets.nowMs);
  setSeqDelta(r, c, DIR_IN, ours - isn);
}

/** Takes out what a real server must not get from a client. */
function fromClient(x: XmitContext, p: number, c: number, l4: number): void {
  const b = x.packets.bytes;
  if ((tcp.flags(b, l4) & tcp.SYN) !== 0) wayOf(x, c)?.opening?.(x, p, c);
  if (tcp.headerLen(b, l4) === tcp.HEADER_LEN) return;
  let delta = blankAll(b, l4, OPT_TOA);
  if (delta !== 0) eventFor(x, c, EVENT.TOA_FORGED);
  // With syn-proxy the client's timestamps have been agreed upon.
  const proxied = (x.records.flags(c) & CONN_F_SYNPROXY) !== 0;
  if (!x.tcp.keepTimestamps && !proxied && (tcp.flags(b, l4) & tcp.SYN) !== 0)
    delta = addDelta(delta, blankAll(b, l4, OPT_TIMESTAMP));
  if (delta !== 0) tcp.setChecksum(b, l4, applyDelta(tcp.checksum(b, l4), delta));
}

/** Leaves room in the client's segments for what is put in. */
function fromServer(x: XmitContext, c: number, l4: number): void {
  const b = x.packets.bytes;
  if ((tcp.flags(b, l4) & (tcp.SYN | tcp.ACK)) !== (tcp.SYN | tcp.ACK)) return;
  const way = wayOf(x, c);
  if (way === undefined) return;
  const delta = lowerMss(b, l4, way.overhead, LEAST_MSS);
  if (delta !== 0) tcp.setChecksum(b, l4, applyDelta(tcp.checksum(b, l4), delta));
}
