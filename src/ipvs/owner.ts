/**
 * Which lcore owns a connection when its packets carry no local port of ours (for those see `ownerOf` in
 * src/core/sapool.ts): the one that a hash of the far end's address and port chooses. Both directions carry that end, as
 * source or as destination, so whoever receives a packet computes the owner and passes the packet to its ring. Nothing
 * is shared and nothing is looked up.
 *
 * NAT: the client's address and port, before scheduling and for answers. Where there are no ports, anything that
 * packets of both directions carry will do: for ICMP echo through SNAT the far address and the identifier.
 */

/** The data lcore (1 to `lcores`) that owns connections with this far end. The same on every lcore, at all times. */
export function ownerByHash(addr: number, port: number, lcores: number): number {
  let h = Math.imul(addr ^ Math.imul(port, 0x9e3779b1), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15), 0xc2b2ae35);
  h ^= h >>> 16;
  return ((h >>> 0) % lcores) + 1;
}
