/** The text of one configuration file, and where in it things stand. */
import type { Place } from './diagnostics.js';

export class SourceFile {
  /** Offset of the first character of each line. */
  private readonly lineStarts: number[] = [0];

  /**
   * @param name as it stands in messages
   * @param dir folder that its includes are relative to
   */
  constructor(
    readonly name: string,
    readonly dir: string,
    readonly text: string,
  ) {
    for (let i = text.indexOf('\n'); i !== -1; i = text.indexOf('\n', i + 1)) this.lineStarts.push(i + 1);
  }

  /** @param offset of the first character, 0 up to the length of the text */
  place(offset: number, length: number): Place {
    let low = 0;
    let high = this.lineStarts.length - 1;
    while (low < high) {
      const mid = (low + high + 1) >> 1;
      if (this.lineStarts[mid]! <= offset) low = mid;
      else high = mid - 1;
    }
    const start = this.lineStarts[low]!;
    const source = this.text
      .slice(start, this.lineStarts[low + 1] ?? this.text.length)
      .replace(/\r?\n?$/, '');
    return {
      file: this.name,
      line: low + 1,
      column: offset - start + 1,
      length: Math.max(1, length),
      source,
    };
  }
}
