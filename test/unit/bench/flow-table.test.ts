import { expect, test } from 'vitest';
import { toRuns, type Line } from '../../../bench/scenarios/flow-table.js';

const line = (table: Line['table'], round: number, ns: number): Line => ({
  table,
  op: 'find',
  flows: 1000,
  round,
  ns,
  bytes: table === 'rte_hash' ? 120 : 23,
});

test('the share is how often ours goes into the time of rte_hash of the same round', () => {
  const runs = toRuns([
    line('bucketised', 0, 10),
    line('rte_hash', 0, 20),
    line('bucketised', 1, 20),
    line('rte_hash', 1, 60),
    line('bucketised', 2, 30),
    line('rte_hash', 2, 30),
  ]);
  expect(runs.map((r) => [r.mode.includes('bucketised'), r.value, r.ratio, r.ratioMin, r.ratioMax])).toEqual([
    [true, 20, 2, 1, 3],
    [false, 30, 1, 1, 1],
  ]);
});
