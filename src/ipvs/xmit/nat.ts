/**
 * NAT (masquerading): the real server sees the client. Its answers have the client as destination, so its route back must
 * lead through us.
 *
 *   client:cport -> VIP:vport   becomes   client:cport -> RS:dport   and back.
 */
import { DIR_IN, DIR_OUT } from '../../core/layout.js';
import { TABLE_IN } from '../proto/table.js';
import { sendRewritten, setRewrite } from './rewrite.js';
import type { Xmit } from './xmit.js';

export const nat: Xmit = {
  name: 'nat',
  fwd: 0,
  local: false,
  opens: DIR_IN,
  tableIn: TABLE_IN,
  rewrites: true,

  setup(r, c, proto, caddr, cport, vaddr, vport, _laddr, _lport, daddr, dport) {
    const inward = r.dir(c, DIR_IN);
    r.setMatch(inward, proto, caddr, cport, vaddr, vport);
    setRewrite(r, inward, caddr, cport, daddr, dport);
    const outward = r.dir(c, DIR_OUT);
    r.setMatch(outward, proto, daddr, dport, caddr, cport);
    setRewrite(r, outward, vaddr, vport, caddr, cport);
  },

  send: sendRewritten,
};
