/**
 * Direct routing: the real server has the virtual address too (on its loopback, silent in ARP) and answers the client itself.
 * Packets leave as they came, to the MAC of the real server, which must be on a link of ours.
 */
import { DIR_IN, FLOW_ACTION } from '../../core/layout.js';
import * as ipv4 from '../../wire/ipv4.js';
import { TABLE_IN_ONLY } from '../proto/table.js';
import { deliver, nextHop } from './nexthop.js';
import { setupOneWay, type Xmit } from './xmit.js';

export const dr: Xmit = {
  name: 'dr',
  fwd: 3,
  local: false,
  opens: DIR_IN,
  tableIn: TABLE_IN_ONLY,
  rewrites: false,

  setup(r, c, proto, caddr, cport, vaddr, vport, _laddr, _lport, daddr) {
    setupOneWay(r, c, FLOW_ACTION.MAC_ONLY, proto, caddr, cport, vaddr, vport, daddr);
  },

  send(x, p, c, d) {
    const { packets, records: r } = x;
    const dir = r.dir(c, d);
    const adj = nextHop(x, p, dir);
    if (adj === 0) return;
    if (x.xmitTtl) ipv4.decrementTtl(packets.bytes, packets.l3(p));
    deliver(x, p, r.mtu(dir), adj);
  },
};
