/**
 * SNAT: hosts inside reach the internet from an address of ours. The connection is opened from inside, so its first packet
 * goes OUT; what the original calls the real server is the address that it leaves from.
 *
 *   inside:iport -> remote:rport   becomes   WAN:wport -> remote:rport   and back.
 */
import { DIR_IN, DIR_OUT } from '../../core/layout.js';
import { TABLE_IN } from '../proto/table.js';
import { sendRewritten, setRewrite } from './rewrite.js';
import type { Xmit } from './xmit.js';

export const snat: Xmit = {
  name: 'snat',
  fwd: 6,
  local: true,
  opens: DIR_OUT,
  tableIn: TABLE_IN,
  rewrites: true,

  setup(r, c, proto, inside, iport, remote, rport, wan, wport) {
    const outward = r.dir(c, DIR_OUT);
    r.setMatch(outward, proto, inside, iport, remote, rport);
    setRewrite(r, outward, wan, wport, remote, rport);
    const inward = r.dir(c, DIR_IN);
    r.setMatch(inward, proto, remote, rport, wan, wport);
    setRewrite(r, inward, remote, rport, inside, iport);
  },

  send: sendRewritten,
};
