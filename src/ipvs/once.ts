/**
 * One-packet scheduling (`ipvsadm -o`, UDP): every packet of a client is scheduled anew, as a connection of its own that no
 * other packet of the client finds. Answers find it and are translated, so that it also serves with Full-NAT and NAT; it
 * lives for the timeout of the state `last` after the latest of them.
 */
import { DIR_IN, DIR_OUT } from '../core/layout.js';
import { D, type Records } from './conn/records.js';

/**
 * Makes a direction of connection `c` match a tuple that no packet has and no other direction: from 0.x.x.x, the number of the
 * connection. For listings the client and the virtual end stand in what answers leave with.
 */
export function hide(r: Records, c: number, d: typeof DIR_IN | typeof DIR_OUT): void {
  const at = r.dir(c, d);
  if (d === DIR_IN) {
    const out = r.dir(c, DIR_OUT);
    const b = r.bytes;
    b.setU32(out + D.newDaddr, b.u32(at + D.saddr));
    b.setU16(out + D.newDport, b.u16(at + D.sport));
    b.setU32(out + D.newSaddr, b.u32(at + D.daddr));
    b.setU16(out + D.newSport, b.u16(at + D.dport));
  }
  r.setMatch(at, r.proto(c), c, 0, d, 0);
  // Should a packet like this come all the same, it is for TypeScript, where it is a martian.
  r.u16[(at + D.actions) >>> 1] = 0;
}
