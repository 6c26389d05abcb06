import { describe, expect, it } from 'vitest';
import { type Run, reached } from '../../../bench/lib/results.js';
import { between, cells, count, markdownTable } from '../../../bench/lib/table.js';

const run = (o: Partial<Run> = {}): Run => ({
  name: 'udp-1k',
  mode: 'fullnat',
  proto: 'udp',
  flows: 1000,
  lcores: 1,
  frameBytes: 64,
  path: 'flow',
  mpps: 20,
  nsPerPacket: 50,
  lossPct: 0,
  baseline: 'testpmd 5tswap',
  ratio: 0.5,
  ratioMin: 0.4,
  ratioMax: 0.6,
  min: 18,
  max: 22,
  perCpuSecond: 20e6,
  ...o,
});

describe('reached', () => {
  it('compares a share that must be at least something', () => {
    expect(reached(run({ target: { of: 'ratio', sign: '>=', bound: 0.5 } }))).toBe(true);
    expect(reached(run({ target: { of: 'ratio', sign: '>=', bound: 0.51 } }))).toBe(false);
  });
  it('compares a value that must be at most something', () => {
    expect(reached(run({ value: 1.2, target: { of: 'value', sign: '<=', bound: 1 } }))).toBe(false);
    expect(reached(run({ value: 0.9, target: { of: 'value', sign: '<=', bound: 1 } }))).toBe(true);
  });
  it('says nothing without a target or without the figure', () => {
    expect(reached(run())).toBeUndefined();
    expect(reached(run({ ratio: null, target: { of: 'ratio', sign: '>=', bound: 1 } }))).toBeUndefined();
  });
});

describe('table', () => {
  it('shows median, spread, share and target of a packet rate', () => {
    expect(cells(run({ target: { of: 'ratio', sign: '>=', bound: 0.6 } }))).toEqual([
      'udp-1k',
      'fullnat',
      'flow',
      '1 k',
      '20.0 (18.0–22.0)',
      '50.0',
      '0',
      '0.500 (0.400–0.600)',
      '-',
      '>= 0.6 missed',
    ]);
  });
  it('shows the spread of a value beside the value', () => {
    const r = run({
      ratio: null,
      value: 481234,
      unit: 'conns/s',
      min: 4e5,
      max: 5e5,
      lossPct: 0.5,
      flows: 0,
    });
    expect(cells(r).slice(3)).toEqual([
      '-',
      '20.0',
      '50.0',
      '0.500',
      '-',
      '481,234 conns/s (400,000–500,000)',
      '-',
    ]);
  });
  it('leaves out what was not measured', () => {
    const r = run({ mpps: 0, nsPerPacket: 0, ratio: null, value: 6, unit: '%', min: 0, max: 0, path: '-' });
    expect(cells(r).slice(2)).toEqual(['-', '1 k', '-', '-', '-', '-', '6.00 %', '-']);
  });
  it('is one line a run in Markdown, of as many cells as its head', () => {
    const lines = markdownTable([run(), run()]).split('\n');
    expect(lines).toHaveLength(4);
    expect(new Set(lines.map((l) => l.split('|').length))).toEqual(new Set([12]));
  });
});

describe('count', () => {
  it.each([
    [1000, '1 k'],
    [64_000, '64 k'],
    [1_000_000, '1 M'],
    [1234, '1234'],
  ])('%d as %s', (n, text) => {
    expect(count(n)).toBe(text);
  });
});

describe('between', () => {
  const page = 'a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n';
  it('replaces what stands between the markers and nothing else', () => {
    expect(between(page, 'x', 'new')).toBe('a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb\n');
  });
  it('gives the same when done twice', () => {
    expect(between(between(page, 'x', 'new'), 'x', 'new')).toBe(between(page, 'x', 'new'));
  });
  it('refuses a page without them', () => {
    expect(() => between('a', 'x', 'new')).toThrow('x: begin');
  });
});
