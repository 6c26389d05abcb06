/**
 * Where the values of a configuration stand in its files. Kept beside the `Config`, so that the configuration itself
 * stays a plain value.
 */
import type { Place } from './diagnostics.js';

export class Origins {
  private readonly byObject = new Map<object, Map<string, Place[]>>();

  /** Notes that `owner[field]` was written at these words (several for a list). `field` '' is the owner's own name. */
  set(owner: object, field: string, places: Place[]): void {
    let fields = this.byObject.get(owner);
    if (fields === undefined) this.byObject.set(owner, (fields = new Map()));
    fields.set(field, places);
  }

  /** True when the file itself gives `owner[field]`. */
  has(owner: object, field: string): boolean {
    return this.byObject.get(owner)?.has(field) ?? false;
  }

  /** The word of `owner[field]` (the `index`th of a list), undefined when the file doesn't give it. */
  exactly(owner: object, field: string, index = 0): Place | undefined {
    return this.byObject.get(owner)?.get(field)?.[index];
  }

  /** The word of `owner[field]` (the `index`th of a list), else the owner's name, else undefined. */
  at(owner: object, field = '', index = 0): Place | undefined {
    const fields = this.byObject.get(owner);
    return fields?.get(field)?.[index] ?? fields?.get('')?.[0];
  }
}
