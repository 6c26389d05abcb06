/**
 * A number that changes whenever something changes that a cached forwarding decision rests on: a route, an address, a
 * device, a neighbour's index. Whoever caches an adjacency stores the generation with it.
 */
export class Generation {
  /** From 1, so that 0 never matches. Fits a u32. */
  value = 1;

  bump(): void {
    this.value = this.value === 0xffffffff ? 1 : this.value + 1;
  }
}
