/**
 * Tunnel: the client's datagram goes to the real server inside another one (IP in IP, RFC 2003). The real server takes it out,
 * has the virtual address too and answers the client itself; it may be anywhere that routes lead.
 *
 * The outer header takes TOS, identification, DF and TTL of the inner one, so path-MTU discovery and hop counts
 * go through. What routers say about the outer datagram comes to us: see tunnel-errors.ts.
 */
import { DROP } from '../../core/drops.js';
import { DIR_IN, FLOW_ACTION } from '../../core/layout.js';
import * as ipv4 from '../../wire/ipv4.js';
import { D } from '../conn/records.js';
import { TABLE_IN_ONLY } from '../proto/table.js';
import { deliver, nextHop, TUNNEL_OVERHEAD } from './nexthop.js';
import { setupOneWay, type Xmit } from './xmit.js';

export const tunnel: Xmit = {
  name: 'tunnel',
  fwd: 2,
  local: false,
  opens: DIR_IN,
  tableIn: TABLE_IN_ONLY,
  rewrites: false,

  /** The outer source is known with the route: nexthop.ts writes it as newSaddr. */
  setup(r, c, proto, caddr, cport, vaddr, vport, _laddr, _lport, daddr) {
    setupOneWay(r, c, FLOW_ACTION.ENCAP_IPIP, proto, caddr, cport, vaddr, vport, daddr);
  },

  send(x, p, c, d) {
    const { packets, records: r } = x;
    const dir = r.dir(c, d);
    const adj = nextHop(x, p, dir);
    if (adj === 0) return;
    const b = packets.bytes;
    const inner = packets.l3(p);
    const total = ipv4.totalLen(b, inner);
    const mtu = r.mtu(dir);
    if (x.xmitTtl) ipv4.decrementTtl(b, inner);
    // Two clients may use one identification: what we cut into fragments gets a number of our own.
    const id = total > mtu ? (x.outerId = (x.outerId + 1) & 0xffff) : ipv4.id(b, inner);
    const df = ipv4.frag(b, inner) & ipv4.DF;
    const outer = packets.push(p, TUNNEL_OVERHEAD);
    if (outer < 0) {
      packets.drop(p, DROP.SEND_FAILED);
      return;
    }
    const saddr = r.bytes.u32(dir + D.newSaddr);
    const daddr = r.bytes.u32(dir + D.newDaddr);
    const [tos, ttl] = [ipv4.tos(b, inner), ipv4.ttl(b, inner)];
    ipv4.emit(b, outer, tos, total + TUNNEL_OVERHEAD, id, df, ttl, ipv4.PROTO_IPIP, saddr, daddr);
    packets.setL3(p, outer);
    packets.setL4(p, inner);
    deliver(x, p, mtu + TUNNEL_OVERHEAD, adj);
  },
};
