/**
 * What syn-proxy has told the ends of a connection of each other before it knew: another window scale (RFC 7323 section 2) and
 * another clock (section 3) than the other end's. Windows and time stamps of every segment are changed by the difference.
 */
import type { Bytes } from '../../core/bytes.js';
import { DIR_OUT, FLOW_ACTION } from '../../core/layout.js';
import { addDelta, applyDelta, delta16, delta32 } from '../../wire/checksum.js';
import * as tcp from '../../wire/tcp.js';
import { find, OPT_TIMESTAMP } from '../../wire/tcp-options.js';
import { D, type Records } from '../conn/records.js';

const MAX_WINDOW = 0xffff;
/** TSval and TSecr in the option. */
const TSVAL = 2;
const TSECR = 6;
const TIMESTAMP_LEN = 10;

/** Changes a whole, checked segment of direction `d` as its FLOW_ACTION bits say; its checksum follows. */
export function joinOptions(r: Records, c: number, d: number, actions: number, b: Bytes, l4: number): void {
  let delta = 0;
  const by = (r.u8[r.dir(c, d) + D.wshift]! << 24) >> 24;
  // The window of a SYN is never scaled.
  if (by !== 0 && (tcp.flags(b, l4) & tcp.SYN) === 0) {
    const from = tcp.window(b, l4);
    const to = by > 0 ? Math.min(from << by, MAX_WINDOW) : from >>> -by;
    tcp.setWindow(b, l4, to);
    delta = delta16(from, to);
  }
  if ((actions & FLOW_ACTION.TIMESTAMP) !== 0) {
    const at = find(b, l4, OPT_TIMESTAMP);
    if (at >= 0 && b.u8(at + 1) === TIMESTAMP_LEN)
      delta = addDelta(
        delta,
        d === DIR_OUT ? shift(b, l4, at + TSVAL, r.tsDelta(c)) : shift(b, l4, at + TSECR, -r.tsDelta(c)),
      );
  }
  if (delta !== 0) tcp.setChecksum(b, l4, applyDelta(tcp.checksum(b, l4), delta));
}

/** Adds to a 32-bit number. @returns what that adds to the checksum */
function shift(b: Bytes, l4: number, at: number, by: number): number {
  const from = b.u32(at);
  const to = (from + by) >>> 0;
  b.setU32(at, to);
  const delta = delta32(from, to);
  return ((at - l4) & 1) === 0 ? delta : ((delta << 8) | (delta >>> 8)) & 0xffff;
}
