/**
 * A number that changes whenever something changes that a cached forwarding decision rests on: a route, an address, a
 * device, a neighbour's index. Whoever caches an adjacency stores the generation with it.
 */
export class Generation {
  /**
   * Never 0, so that 0 never matches; fits a u32. Starts anywhere: connection records outlive the thread of an lcore, and its
   * successor's numbers must not mean anything to them.
   */
  value = 1 + Math.floor(Math.random() * 0x7fffffff);

  bump(): void {
    this.value = this.value === 0xffffffff ? 1 : this.value + 1;
  }
}
