/**
 * The ways to neighbours that new connections have taken lately: route lookup, neighbour and MTU in one probe. Each holds for
 * one generation of routes and addresses. Only what is on link: there are as many real servers as there are, but clients
 * behind a router would put each other out.
 */
const ENTRIES = 1024;

export class Ways {
  /** MTU towards what `find` has just found. */
  mtu = 0;
  private readonly addrs = new Uint32Array(ENTRIES);
  private readonly generations = new Uint32Array(ENTRIES);
  private readonly adjs = new Uint16Array(ENTRIES);
  private readonly mtus = new Uint16Array(ENTRIES);

  /** @returns the adjacency towards `addr`, 0 = not remembered */
  find(addr: number, generation: number): number {
    const i = slot(addr);
    if (this.addrs[i] !== addr || this.generations[i] !== generation) return 0;
    this.mtu = this.mtus[i]!;
    return this.adjs[i]!;
  }

  remember(addr: number, generation: number, adj: number, mtu: number): void {
    const i = slot(addr);
    this.addrs[i] = addr;
    this.generations[i] = generation;
    this.adjs[i] = adj;
    this.mtus[i] = mtu;
  }
}

const slot = (addr: number): number => (addr ^ (addr >>> 10)) & (ENTRIES - 1);
