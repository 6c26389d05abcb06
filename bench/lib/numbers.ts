/** Statistics of a few numbers, and of the source's histograms. */

export interface Summary {
  median: number;
  min: number;
  max: number;
}

/** @throws Error when there is nothing to sum up */
export function summary(values: readonly number[]): Summary {
  if (values.length === 0) throw new Error('no values');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)! };
}

/** Medians, smallest and largest of the quotients of values that were measured side by side. */
export function ratios(values: readonly number[], baselines: readonly number[]): Summary {
  if (values.length !== baselines.length) throw new Error('not measured side by side');
  return summary(values.map((v, i) => v / baselines[i]!));
}

/** Cells of one octave in the source's latency histogram. */
const CELLS = 32;

/** Upper end, in ticks, of a cell of the source's log-linear histogram: exact below 32, then 32 cells an octave. */
export function cellTop(cell: number): number {
  if (cell < CELLS) return cell;
  const octave = Math.floor(cell / CELLS) + 4;
  const step = 2 ** (octave - 5);
  return 2 ** octave + ((cell % CELLS) + 1) * step - 1;
}

/** The value, in ticks, that a share of what was counted does not exceed; 0 when nothing was counted. */
export function percentile(cells: readonly number[], share: number): number {
  const total = cells.reduce((a, b) => a + b, 0);
  if (total === 0) return 0;
  const wanted = Math.ceil(total * share);
  let seen = 0;
  for (const [cell, n] of cells.entries()) {
    seen += n;
    if (seen >= wanted) return cellTop(cell);
  }
  return cellTop(cells.length - 1);
}

/** Three significant digits, without exponents. */
export function short(n: number): string {
  if (n === 0) return '0';
  if (!Number.isFinite(n)) return String(n);
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(n))));
  return n.toFixed(Math.min(digits, 4));
}
