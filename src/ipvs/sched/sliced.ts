/**
 * A table that takes longer to build than an lcore may be away from its packets: it is built in slices between polls,
 * while the one before goes on serving. Which real server is gone or drained is asked for each connection, so
 * that an old table gives nobody to it.
 */

/** Steps of a few nanoseconds in one slice: 20 to 50 us. */
export const SLICE = 2048;

/** Yields after each slice, returns the table. */
export type Build<T> = Generator<undefined, T>;

export class Sliced<T> {
  /** The last one that was finished; undefined before the first. */
  table: T | undefined;
  private job: Build<T> | undefined;
  private next: (() => Build<T>) | undefined;

  /** Asks for a table of what is now. A build under way is finished first: constant changes must not keep it from that. */
  want(build: () => Build<T>): void {
    if (this.job === undefined) this.job = build();
    else this.next = build;
  }

  /** One slice. @returns true while there is more to do */
  step(): boolean {
    if (this.job === undefined) return false;
    const { done, value } = this.job.next();
    if (done === true) {
      this.table = value;
      this.job = this.next?.();
      this.next = undefined;
    }
    return this.job !== undefined;
  }
}
