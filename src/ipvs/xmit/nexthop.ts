/**
 * Where a direction of a connection goes: the adjacency is kept in the record, so that an established packet looks up
 * neither route nor neighbour. It is found anew when routes, addresses or devices have changed.
 */
import { DROP } from '../../core/drops.js';
import { FLOW_ACTION } from '../../core/layout.js';
import type { Route } from '../../inet/api.js';
import * as icmp from '../../wire/icmp.js';
import * as ipv4 from '../../wire/ipv4.js';
import { D, type Records } from '../conn/records.js';
import type { XmitContext } from './xmit.js';

/** Bytes that IP in IP puts in front of a datagram. */
export const TUNNEL_OVERHEAD = ipv4.HEADER_LEN;

/**
 * The adjacency for datagram `p`, checked against its TTL and the MTU there.
 * @param dir byte offset of the direction in the records
 * @returns 0 when the packet could not go on: it has been dropped, its sender told where that is due
 */
export function nextHop(x: XmitContext, p: number, dir: number): number {
  const { packets, records: r } = x;
  const b = packets.bytes;
  const l3 = packets.l3(p);
  // Also a switch that does not count hops must not send on what has none left (RFC 791 section 3.2).
  if (ipv4.ttl(b, l3) <= (x.xmitTtl ? 1 : 0)) {
    x.inet.icmpError(p, icmp.TIME_EXCEEDED, icmp.TTL_EXCEEDED, 0);
    packets.drop(p, DROP.IP_TTL);
    return 0;
  }
  let adj = r.u16[(dir + D.adj) >>> 1]!;
  if (adj === 0 || r.u32[(dir + D.adjGen) >>> 2] !== x.inet.generation >>> 0) {
    adj = resolve(x, p, dir);
    if (adj === 0) return 0;
  }
  const mtu = r.mtu(dir);
  if (ipv4.totalLen(b, l3) > mtu && ipv4.dontFragment(b, l3)) {
    // RFC 1191 section 4: the sender learns the MTU from it.
    x.inet.icmpError(p, icmp.DEST_UNREACH, icmp.FRAG_NEEDED, mtu);
    packets.drop(p, DROP.IP_TOO_BIG);
    return 0;
  }
  return adj;
}

/**
 * Finds the adjacency of a direction that no packet has gone in yet, so that the native loop can take its first one. Only routers, and
 * neighbours that are in use: who opens a connection makes no entry in the neighbour table.
 */
export function foresee(x: XmitContext, dir: number): void {
  const { inet, records: r, ways, lastRouter } = x;
  const { generation } = inet;
  const to = r.bytes.u32(dir + D.newDaddr);
  const known = ways.find(to, generation);
  if (known !== 0) {
    note(r, dir, known, generation, ways.mtu);
    return;
  }
  const route = inet.lookup(to);
  if (route === undefined || route.local || route.via === 0) return;
  if (route !== lastRouter.route || generation !== lastRouter.generation) {
    lastRouter.adj = inet.adjacency(route.ifindex, route.via);
    lastRouter.mtu = mtuOf(route, inet.adjMtu(lastRouter.adj));
    lastRouter.route = route;
    lastRouter.generation = generation;
  }
  if (lastRouter.adj !== 0) note(r, dir, lastRouter.adj, generation, lastRouter.mtu);
}

/** The adjacency towards `addr`, whose MTU is in `x.ways.mtu` then; 0 when there is none. */
export function wayTo(x: XmitContext, addr: number): number {
  const { inet, ways } = x;
  const known = ways.find(addr, inet.generation);
  if (known !== 0) return known;
  const route = inet.lookup(addr);
  if (route === undefined || route.local) return 0;
  const adj = inet.adjacency(route.ifindex, route.via === 0 ? addr : route.via);
  if (adj === 0) return 0;
  const mtu = mtuOf(route, inet.adjMtu(adj));
  if (route.via === 0) ways.remember(addr, inet.generation, adj, mtu);
  ways.mtu = mtu;
  return adj;
}

/** The MTU by a route towards an adjacency of its. */
export const mtuBy = (x: XmitContext, route: Route, adj: number): number => mtuOf(route, x.inet.adjMtu(adj));

const mtuOf = (route: Route, linkMtu: number): number =>
  route.mtu !== 0 && route.mtu < linkMtu ? route.mtu : linkMtu;

/** Sends a datagram to `adj`, in fragments when it is larger than `mtu` (DF has been looked at). Takes ownership. */
export function deliver(x: XmitContext, p: number, mtu: number, adj: number): void {
  if (x.packets.len(p) <= mtu) x.inet.xmit(p, adj);
  else x.inet.xmitFragments(p, adj, mtu);
}

function resolve(x: XmitContext, p: number, dir: number): number {
  const { inet, packets, records: r } = x;
  const to = r.bytes.u32(dir + D.newDaddr);
  const actions = r.u16[(dir + D.actions) >>> 1]!;
  const plain = actions !== FLOW_ACTION.ENCAP_IPIP;
  if (plain) {
    const known = x.ways.find(to, inet.generation);
    if (known !== 0) {
      note(r, dir, known, inet.generation, x.ways.mtu);
      return known;
    }
  }
  const route = inet.lookup(to);
  // A real server (or client) on one of our own addresses can't be reached through a device.
  if (route === undefined || route.local) {
    packets.drop(p, DROP.IP_NO_ROUTE);
    return 0;
  }
  // A router would send a datagram that still carries the virtual address back to us.
  if (actions === FLOW_ACTION.MAC_ONLY && route.via !== 0) {
    packets.drop(p, DROP.DEST_NOT_ON_LINK);
    return 0;
  }
  const adj = inet.adjacency(route.ifindex, route.via === 0 ? to : route.via);
  if (adj === 0) {
    packets.drop(p, DROP.NEIGH_TABLE_FULL);
    return 0;
  }
  let mtu = mtuOf(route, inet.adjMtu(adj));
  if (plain) {
    if (route.via === 0) x.ways.remember(to, inet.generation, adj, mtu);
  } else {
    const source = inet.sourceFor(route, to);
    if (source === 0) {
      packets.drop(p, DROP.TUNNEL_NO_SOURCE);
      return 0;
    }
    r.bytes.setU32(dir + D.newSaddr, source);
    mtu = x.tunnelMtus.limit(to, mtu, packets.nowMs) - TUNNEL_OVERHEAD;
  }
  note(r, dir, adj, inet.generation, mtu);
  return adj;
}

function note(r: Records, dir: number, adj: number, generation: number, mtu: number): void {
  r.u16[(dir + D.adj) >>> 1] = adj;
  r.u32[(dir + D.adjGen) >>> 2] = generation;
  r.setMtu(dir, mtu);
}
