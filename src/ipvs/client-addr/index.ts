/** How real servers behind Full-NAT get to know their clients. */
import { DIR_IN, FLOW_ACTION } from '../../core/layout.js';
import { PROTO_TCP, PROTO_UDP } from '../../wire/ipv4.js';
import { D } from '../conn/records.js';
import type { Svc } from '../service.js';
import type { XmitContext } from '../xmit/xmit.js';
import { PROXY_TCP } from './proxy-tcp.js';
import { proxyUdpInsecure, proxyUdpSecure } from './proxy-udp.js';
import { toa } from './toa.js';
import { uoa } from './uoa.js';
import type { Way } from './way.js';

const WAYS: readonly Way[] = [toa, uoa, proxyUdpSecure, proxyUdpInsecure, ...Object.values(PROXY_TCP)];

/** By the number in connection records. */
const WAY_BY_NUMBER: readonly (Way | undefined)[] = Array.from({ length: 256 }, (_, n) =>
  WAYS.find((w) => w.number === n),
);

/** The way for new connections of a service. */
function choose(x: XmitContext, svc: Svc): Way | undefined {
  const { proto, proxyProtocol } = svc;
  if (proto === PROTO_TCP) {
    if (proxyProtocol !== 'disable') return PROXY_TCP[proxyProtocol];
    return x.tcp.toa ? toa : undefined;
  }
  if (proto !== PROTO_UDP) return undefined;
  if (proxyProtocol !== 'disable') return proxyProtocol === 'v2' ? proxyUdpSecure : proxyUdpInsecure;
  return x.uoaMaxTrail > 0 ? uoa : undefined;
}

/** Connection `c` has just been opened. */
export function begin(x: XmitContext, c: number, svc: Svc): void {
  const way = choose(x, svc);
  if (way === undefined) return;
  const r = x.records;
  r.setClientAddr(c, way.number);
  way.begin?.(x, c);
  r.u16[(r.dir(c, DIR_IN) + D.actions) >>> 1]! |= FLOW_ACTION.CLIENT_ADDR;
}

/** The way of connection `c`. */
export function wayOf(x: XmitContext, c: number): Way | undefined {
  return WAY_BY_NUMBER[x.records.clientAddr(c) & 0xff];
}
