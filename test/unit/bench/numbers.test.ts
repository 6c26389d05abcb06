import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cellTop, percentile, ratios, short, summary } from '../../../bench/lib/numbers.js';

/** The source's own cell of a value (bench/native/source.c, note_latency). */
function cellOf(d: number): number {
  if (d < 32) return d;
  const octave = Math.floor(Math.log2(d));
  return (octave - 4) * 32 + (Math.floor(d / 2 ** (octave - 5)) & 31);
}

describe('summary', () => {
  it('takes the middle of an odd number of values, whatever their order', () => {
    expect(summary([5, 1, 9])).toEqual({ median: 5, min: 1, max: 9 });
  });
  it('takes the mean of the two middle ones of an even number', () => {
    expect(summary([4, 1, 2, 100])).toEqual({ median: 3, min: 1, max: 100 });
  });
  it('leaves its argument as it was', () => {
    const values = [3, 1, 2];
    summary(values);
    expect(values).toEqual([3, 1, 2]);
  });
  it('refuses nothing at all', () => {
    expect(() => summary([])).toThrow('no values');
  });
});

describe('ratios', () => {
  it('divides round by round, so that a slow round of both is no slow ratio', () => {
    expect(ratios([10, 1, 20], [20, 2, 40])).toEqual({ median: 0.5, min: 0.5, max: 0.5 });
  });
  it('refuses rounds that have no partner', () => {
    expect(() => ratios([1, 2], [1])).toThrow('side by side');
  });
});

describe('latency histogram', () => {
  it('puts every value below the top of its cell and above the top of the one before, within 1/32', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 40 }), (ticks) => {
        const cell = cellOf(ticks);
        expect(ticks).toBeLessThanOrEqual(cellTop(cell));
        if (cell > 0) expect(ticks).toBeGreaterThan(cellTop(cell - 1));
        expect(cellTop(cell)).toBeLessThanOrEqual(Math.max(ticks, ticks * (1 + 1 / 32)));
      }),
    );
  });
  it('finds the cell that a share of all values does not exceed', () => {
    const cells = Array.from({ length: 64 }, () => 0);
    cells[3] = 98;
    cells[7] = 1;
    cells[20] = 1;
    expect(percentile(cells, 0.5)).toBe(3);
    expect(percentile(cells, 0.98)).toBe(3);
    expect(percentile(cells, 0.99)).toBe(7);
    expect(percentile(cells, 0.9999)).toBe(20);
  });
  it('is 0 when nothing was counted', () => {
    expect(percentile([0, 0], 0.5)).toBe(0);
  });
});

describe('short', () => {
  it.each([
    [0, '0'],
    [0.01234, '0.0123'],
    [1.2345, '1.23'],
    [12.345, '12.3'],
    [123.45, '123'],
    [12345.6, '12346'],
  ])('%d as %s', (n, text) => {
    expect(short(n)).toBe(text);
  });
});
