import { expect, test } from 'vitest';
import { Ways } from '../../../../src/ipvs/xmit/ways.js';

const SERVER = 0xc0a80002;

test('a remembered way has its adjacency and MTU', () => {
  const ways = new Ways();
  ways.remember(SERVER, 7, 3, 1400);
  expect(ways.find(SERVER, 7)).toBe(3);
  expect(ways.mtu).toBe(1400);
});

test('a way of an older generation of routes is not found', () => {
  const ways = new Ways();
  ways.remember(SERVER, 7, 3, 1400);
  expect(ways.find(SERVER, 8)).toBe(0);
});

test('an empty table finds nothing, not even address 0', () => {
  expect(new Ways().find(0, 1)).toBe(0);
});

test('every address is found as itself or not at all', () => {
  const ways = new Ways();
  for (let i = 0; i < 5000; i++) ways.remember(SERVER + i * 3, 1, (i % 60_000) + 1, 1500);
  let found = 0;
  for (let i = 0; i < 5000; i++) {
    const adj = ways.find(SERVER + i * 3, 1);
    if (adj === 0) continue;
    found++;
    expect(adj).toBe((i % 60_000) + 1);
  }
  expect(found).toBeGreaterThan(500);
  expect(ways.find(SERVER + 1, 1)).toBe(0);
});
