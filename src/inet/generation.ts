/**
 * A number that changes whenever something changes that a cached forwarding decision rests on: a route, an address, a
 * device, a neighbour's index. Whoever caches an adjacency stores the generation with it.
 */
export class Generation {
  /**
   * The number, a u32 and never 0, so that 0 never matches. Starts anywhere: connection records outlive the thread of an
   * lcore, and its successor's numbers must not mean anything to them.
   */
  readonly cell = Uint32Array.of(1 + Math.floor(Math.random() * 0x7fffffff));

  get value(): number {
    return this.cell[0]!;
  }

  bump(): void {
    this.cell[0] = this.value === 0xffffffff ? 1 : this.value + 1;
  }
}
