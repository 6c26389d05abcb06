/**
 * Full-NAT: the real server sees a local address of ours as client, so that its answers come back here
 * whatever its routes are.
 *
 *   client:cport -> VIP:vport   becomes   LIP:lport -> RS:dport   and back.
 */
import { DIR_IN, DIR_OUT } from '../../core/layout.js';
import { PROTO_BY_NUMBER } from '../proto/index.js';
import { TABLE_IN } from '../proto/table.js';
import { deliver, nextHop } from './nexthop.js';
import { rewrite, setRewrite } from './rewrite.js';
import type { Xmit } from './xmit.js';

export const fullnat: Xmit = {
  name: 'fullnat',
  fwd: 5,
  local: true,
  tableIn: TABLE_IN,

  setup(r, c, proto, caddr, cport, vaddr, vport, laddr, lport, daddr, dport) {
    const inward = r.dir(c, DIR_IN);
    r.setMatch(inward, proto, caddr, cport, vaddr, vport);
    setRewrite(r, inward, laddr, lport, daddr, dport);
    const outward = r.dir(c, DIR_OUT);
    r.setMatch(outward, proto, daddr, dport, laddr, lport);
    setRewrite(r, outward, vaddr, vport, caddr, cport);
  },

  send(x, p, c, d) {
    const r = x.records;
    const dir = r.dir(c, d);
    const adj = nextHop(x, p, dir);
    if (adj === 0) return;
    const { packets } = x;
    rewrite(r, dir, PROTO_BY_NUMBER[r.proto(c)]!, packets.bytes, packets.l3(p), packets.l4(p), x.xmitTtl);
    deliver(x, p, dir, adj);
  },
};
