/** What a forwarding mode is. A new one is a file in this folder and a line in `index.ts`. */
import { DIR_IN, DIR_OUT } from '../../core/layout.js';
import type { Packets } from '../../core/packet.js';
import type { Inet, Route } from '../../inet/api.js';
import { D, type Records } from '../conn/records.js';
import type { Isn } from '../isn.js';
import type { DestStats } from '../dest-stats.js';
import type { Svc } from '../service.js';
import type { SvcStats } from '../svc-stats.js';
import type { TunnelMtus } from './tunnel-mtu.js';
import type { Ways } from './ways.js';

/** What is done to TCP, all but the last by Full-NAT, from dpvs.conf. */
export interface TcpConfig {
  /** Sequence numbers of clients are re-based. */
  rebase: boolean;
  /** The timestamps option of a client's SYN stays. */
  keepTimestamps: boolean;
  /** Real servers are told the client's address by TCP option 254. */
  toa: boolean;
  /** Rounds of acknowledgements that say nothing new before a real server's are dropped (proto/tcp-storm.ts). */
  ackStorm: number;
}

export const TCP_DEFAULTS: Readonly<TcpConfig> = {
  rebase: true,
  keepTimestamps: false,
  toa: true,
  ackStorm: 10,
};

/** What sending needs. */
export interface XmitContext {
  readonly packets: Packets;
  readonly inet: Inet;
  readonly records: Records;
  readonly stats: DestStats;
  readonly svcStats: SvcStats;
  /** Count the hop: TTL - 1, and "time exceeded" when it ends here. */
  readonly xmitTtl: boolean;
  readonly tunnelMtus: TunnelMtus;
  readonly tcp: TcpConfig;
  readonly isn: Isn;
  readonly ways: Ways;
  /** What `foresee` of nexthop.ts has found last. */
  readonly lastRouter: { route: Route | undefined; generation: number; adj: number; mtu: number };
  /** How UDP tells the client's address: by an IPv4 option, else by a header of its own; in so many datagrams, 0 = not. */
  readonly uoaOption: boolean;
  readonly uoaMaxTrail: number;
  /** Identification of the last tunnel datagram that was cut into fragments. */
  outerId: number;
  /** True when a list lets nothing through in direction `d` of connection `c`. */
  isCut(c: number, d: number): boolean;
}

export interface Xmit {
  /** As commands write it. */
  readonly name: 'nat' | 'tunnel' | 'dr' | 'fullnat' | 'snat';
  /** Number in connection records, the original's. */
  readonly fwd: number;
  /** Connections leave from a local address and port of the service (SNAT: of the real server). */
  readonly local: boolean;
  /** Direction of the packet that opens a connection. What comes to a local address and port goes the other way. */
  readonly opens: typeof DIR_IN | typeof DIR_OUT;
  /** State table of packets from the client: TABLE_IN, or TABLE_IN_ONLY where answers go another way. */
  readonly tableIn: number;
  /**
   * Addresses or ports of packets change, both ways. Else packets of the client leave as they came (perhaps inside another
   * datagram), so the real server has the service's port, and answers that pass by are routed like anything else.
   */
  readonly rewrites: boolean;
  /** Kind of TCP option that packets of the client must not carry to the real server: it is taken out. */
  readonly refusedOption?: number;
  /**
   * Writes the match and the rewrite of both directions of a new connection. A mode that isn't `local` gets the client
   * as local address; with SNAT, who opens the connection is the client and its peer both the virtual and the real
   * server. Addresses are IPv4 in host order.
   */
  setup(
    r: Records,
    c: number,
    proto: number,
    caddr: number,
    cport: number,
    vaddr: number,
    vport: number,
    laddr: number,
    lport: number,
    daddr: number,
    dport: number,
  ): void;
  /** Connection `c` of a service has been made for datagram `p`, which is sent next. */
  opened?(x: XmitContext, p: number, c: number, svc: Svc): void;
  /** Forwards a packet of connection `c`, direction `d` (IN where the mode doesn't rewrite). Takes ownership; allocates nothing. */
  send(x: XmitContext, p: number, c: number, d: number): void;
}

/**
 * `Xmit.setup` of modes that don't rewrite: the client's direction goes by FLOW_ACTION `action` to `daddr`. Nothing is done with
 * answers (no action).
 */
export function setupOneWay(
  r: Records,
  c: number,
  action: number,
  proto: number,
  caddr: number,
  cport: number,
  vaddr: number,
  vport: number,
  daddr: number,
): void {
  const inward = r.dir(c, DIR_IN);
  const b = r.bytes;
  r.setMatch(inward, proto, caddr, cport, vaddr, vport);
  b.setU32(inward + D.newSaddr, caddr);
  b.setU32(inward + D.newDaddr, daddr);
  b.setU16(inward + D.newSport, cport);
  b.setU16(inward + D.newDport, vport);
  r.u16[(inward + D.actions) >>> 1] = action;
  const outward = r.dir(c, DIR_OUT);
  r.setMatch(outward, proto, vaddr, vport, caddr, cport);
  // Lists ask who gets an answer.
  b.setU32(outward + D.newDaddr, caddr);
}
