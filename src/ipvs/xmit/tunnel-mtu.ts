/** What routers have said about the MTU of the way to the real servers behind a tunnel, RFC 2003 section 5.1, RFC 1191. */
import { IntMap } from '../../core/intmap.js';

/** RFC 1191 section 6.3: a larger MTU may be tried again after 10 minutes. */
const LIFE_S = 600;
/** Less is believed to be forged, as Linux does (ip_rt_min_pmtu). */
const LEAST = 552;
const MTU = 0;
const UNTIL = 1;

export class TunnelMtus {
  /** (address, MTU or UNTIL) -> bytes or seconds of the clock. It grows by one entry for a real server. */
  private readonly known = new IntMap();

  /** Datagrams of more than `mtu` bytes, outer header included, do not reach `addr`. */
  learn(addr: number, mtu: number, nowMs: number): void {
    // A late or forged report must not raise what is known (RFC 1191 section 3).
    if (this.limit(addr, mtu, nowMs) < mtu) return;
    this.known.set(addr, MTU, Math.max(mtu, LEAST));
    this.known.set(addr, UNTIL, Math.floor(nowMs / 1000) + LIFE_S);
  }

  /** The lesser of `mtu` and what has been learnt of the way to `addr`. */
  limit(addr: number, mtu: number, nowMs: number): number {
    if (this.known.get(addr, UNTIL) * 1000 <= nowMs) return mtu;
    return Math.min(mtu, this.known.get(addr, MTU));
  }
}
