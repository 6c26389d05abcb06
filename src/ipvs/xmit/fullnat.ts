/**
 * Full-NAT: the real server sees a local address of ours as client, so that its answers come back here
 * whatever its routes are.
 *
 *   client:cport -> VIP:vport   becomes   LIP:lport -> RS:dport   and back.
 */
import { DIR_IN, DIR_OUT } from '../../core/layout.js';
import { TABLE_IN } from '../proto/table.js';
import { sendRewritten, setRewrite } from './rewrite.js';
import type { Xmit } from './xmit.js';

export const fullnat: Xmit = {
  name: 'fullnat',
  fwd: 5,
  local: true,
  opens: DIR_IN,
  tableIn: TABLE_IN,
  rewrites: true,

  setup(r, c, proto, caddr, cport, vaddr, vport, laddr, lport, daddr, dport) {
    const inward = r.dir(c, DIR_IN);
    r.setMatch(inward, proto, caddr, cport, vaddr, vport);
    setRewrite(r, inward, laddr, lport, daddr, dport);
    const outward = r.dir(c, DIR_OUT);
    r.setMatch(outward, proto, daddr, dport, laddr, lport);
    setRewrite(r, outward, vaddr, vport, caddr, cport);
  },

  send: sendRewritten,
};
