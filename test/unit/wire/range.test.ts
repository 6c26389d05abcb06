import fc from 'fast-check';
import { expect, test } from 'vitest';
import { badRange, formatRange, prefixLength, RangeReader, splitRange } from '../../../src/wire/range.js';

const reader = new RangeReader();
const addr = fc.integer({ min: 0, max: 0xffffffff });

test.each([
  ['10.0.0.1', 0x0a000001, 0x0a000001, false],
  ['10.0.0.0/8', 0x0a000000, 0x0affffff, false],
  ['0.0.0.0/0', 0, 0xffffffff, false],
  ['255.255.255.255/32', 0xffffffff, 0xffffffff, false],
  ['128.0.0.0/1', 0x80000000, 0xffffffff, false],
  ['10.0.0.1-10.0.1.2', 0x0a000001, 0x0a000102, true],
])('%s is read as it is meant', (text, from, to, dash) => {
  expect(reader.read(text)).toBe(-1);
  expect([reader.from, reader.to, reader.dash]).toEqual([from, to, dash]);
});

test.each([
  ['', 0],
  ['x', 0],
  ['10.0.0', 6],
  ['10.0.0.', 7],
  ['10.0.0.256', 7],
  ['10.0.0.01', 7],
  ['10.0.0.1 ', 8],
  ['10.0.0.0/33', 9],
  ['10.0.0.0/', 9],
  ['10.0.0.1/8', 0],
  ['10.0.0.2-10.0.0.1', 9],
  ['10.0.0.2-10.0.0', 15],
  ['::1', 0],
])("'%s' is refused at position %d", (text, at) => {
  expect(reader.read(text)).toBe(at);
  expect(badRange(text).message).toContain(`'${text}'`);
});

test('bits behind a prefix are refused with the prefix that was meant', () => {
  expect(badRange('10.1.2.3/8')).toMatchObject({ code: 'INVAL', hint: '10.0.0.0/8?' });
});

test('an ipset is refused by name', () => {
  expect(badRange('ipset:bad')).toMatchObject({ code: 'NOTSUPP' });
});

test('property: what is written is what was read', () => {
  fc.assert(
    fc.property(addr, addr, (x, y) => {
      const [from, to] = [Math.min(x, y), Math.max(x, y)];
      expect(reader.read(formatRange(from, to, -1))).toBe(-1);
      expect([reader.from, reader.to]).toEqual([from, to]);
    }),
  );
});

test('property: the prefixes of a range cover it, in order and without a gap, and are not more than 62', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.tuple(addr, addr),
        addr.map((a): [number, number] => [a, Math.min(a + 7, 0xffffffff)]),
      ),
      ([x, y]) => {
        const [from, to] = [Math.min(x, y), Math.max(x, y)];
        let at = from;
        let n = 0;
        splitRange(from, to, (prefix, plen) => {
          const size = 2 ** (32 - plen);
          expect(prefix).toBe(at);
          expect(prefix % size).toBe(0);
          at += size;
          n++;
        });
        expect(at).toBe(to + 1);
        expect(n).toBeLessThanOrEqual(62);
        if (n === 1) expect(prefixLength(from, to)).toBeGreaterThanOrEqual(0);
        else expect(prefixLength(from, to)).toBe(-1);
      },
    ),
  );
  const whole: [number, number][] = [];
  splitRange(0, 0xffffffff, (prefix, plen) => whole.push([prefix, plen]));
  expect(whole).toEqual([[0, 0]]);
});
