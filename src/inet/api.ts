/**
 * What the IPv4 stack offers to the floors above it. The load balancer and the lcore are written against these
 * interfaces, so that a reader sees the whole seam on one page.
 *
 * IPv4 addresses are unsigned 32-bit numbers in host order (`192.168.100.1` = 0xC0A86401) inside the
 * stack, text on the control socket.
 */

/** What a hook says of a packet. */
export const ACCEPT = 0; // go on
export const STOLEN = 1; // the hook took ownership: it has sent, dropped or kept the packet

/**
 * Called with a packet whose IPv4 header has been validated: `l3`, `l4`, `ifindex`, `l2Class` are set, data
 * starts at the IPv4 header, and the length is that of the datagram (Ethernet padding cut off).
 */
export type Hook = (p: number) => typeof ACCEPT | typeof STOLEN;

/** Result of a route lookup. Long-lived objects: a lookup allocates nothing. */
export interface Route {
  readonly dst: number;
  readonly plen: number;
  /** Gateway, 0 = on link. */
  readonly via: number;
  /** Preferred source, 0 = choose by address. */
  readonly src: number;
  readonly ifindex: number;
  /** 0 = the device's. */
  readonly mtu: number;
  readonly metric: number;
  readonly tos: number;
  readonly scope: 'host' | 'kni_host' | 'link' | 'global';
  /** The destination is one of our own addresses. */
  readonly local: boolean;
}

export interface Inet {
  /**
   * Called for every valid datagram or fragment before routing, in order of registration. Only unicast that was sent to our
   * MAC: broadcasts and multicasts pass by.
   */
  readonly preRouting: Hook[];
  /**
   * Asked about the source of every datagram with a valid header that was sent to our MAC, first of all, and about the destination of
   * what is routed and of datagrams of our own; takes the packet when it returns true. Undefined: everybody is welcome.
   */
  refuses: ((p: number, addr: number) => boolean) | undefined;
  /**
   * True for an address of ours that other hosts have too and answer from (virtual addresses in DR and tunnel mode): datagrams from
   * it are routed. Undefined = none; datagrams from our own addresses are dropped.
   */
  sharedSource: ((addr: number) => boolean) | undefined;
  /** Handlers of datagrams for our own addresses, by IP protocol number. */
  readonly localIn: (Hook | undefined)[];

  /** Changes whenever a route, address or device changes: cached adjacencies of an older generation are stale. */
  readonly generation: number;

  /** Addresses that no datagram may come from: our own and broadcast addresses. */
  martians(): number[];
  /** The route of what no other prefix covers, if there is one, and those others, without our own and broadcast addresses. */
  otherwise(): { route: Route; others: readonly Route[] } | undefined;
  /** Longest prefix match; the local table first. */
  lookup(daddr: number): Route | undefined;
  /** The address to send from to `daddr` by this route. 0 = none. */
  sourceFor(route: Route, daddr: number): number;

  /**
   * Index of the adjacency for a next hop, made (unresolved) when new. 0 = table full.
   * Indices stay valid until the neighbour is deleted; `generation` changes then.
   */
  adjacency(ifindex: number, nexthop: number): number;
  /** Convenience: route lookup and adjacency in one. 0 = no route, local, or table full. */
  adjacencyFor(daddr: number): number;
  /** MTU towards the neighbour. */
  adjMtu(adj: number): number;

  /**
   * Sends the datagram (data starts at its IPv4 header, header complete with checksum) to the neighbour; waits in
   * its queue while it is unresolved. Takes ownership. MTU and TTL are the caller's business.
   */
  xmit(p: number, adj: number): void;
  /**
   * The same for a datagram of more than `mtu` bytes with DF clear: it goes in fragments, all or none. Takes ownership.
   */
  xmitFragments(p: number, adj: number, mtu: number): void;
  /**
   * The full output path for datagrams of our own: route, source route's MTU, adjacency. Takes ownership.
   */
  output(p: number): void;

  /** Routes a packet that a hook has kept, as if all hooks had accepted it. Takes ownership. */
  proceed(p: number): void;

  /**
   * Sends an ICMP error about datagram `p` (RFC 792, 1122 section 3.2.2, rate-limited) and leaves `p` with the
   * caller. The quoted datagram is `p` as it stands.
   * @param info rest-of-header: next-hop MTU for type 3 code 4, else 0
   */
  icmpError(p: number, type: number, code: number, info: number): void;

  /** True when `addr` is one of our own addresses on any device. */
  isLocal(addr: number): boolean;
}
