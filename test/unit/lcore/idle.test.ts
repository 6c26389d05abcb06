import { expect, test } from 'vitest';
import { Idle } from '../../../src/lcore/idle.js';

const run = (mode: 'off' | 'auto' | number, script: (idle: Idle) => void): number[] => {
  const slept: number[] = [];
  script(new Idle(mode, (ms) => slept.push(ms)));
  return slept;
};
const idleTimes = (n: number) => (idle: Idle) => {
  for (let i = 0; i < n; i++) idle.idle();
};

test('off never sleeps', () => {
  expect(run('off', idleTimes(10_000))).toEqual([]);
});

test('auto polls a while, then sleeps longer and longer, up to a millisecond', () => {
  expect(run('auto', idleTimes(199))).toEqual([]);
  expect(run('auto', idleTimes(207))).toEqual([0.05, 0.1, 0.2, 0.4, 0.8, 1, 1, 1]);
});

test('after a second of silence auto sleeps two milliseconds', () => {
  const slept = run('auto', idleTimes(1300));
  expect(slept.slice(5, 1000).every((ms) => ms === 1)).toBe(true);
  expect(slept.slice(1002).every((ms) => ms === 2)).toBe(true);
});

test('a packet makes auto poll again at full speed', () => {
  const slept = run('auto', (idle) => {
    idleTimes(205)(idle);
    idle.busy();
    idleTimes(200)(idle);
  });
  expect(slept).toEqual([0.05, 0.1, 0.2, 0.4, 0.8, 1, 0.05]);
});

test('a number is the pause in microseconds', () => {
  expect(run(250, idleTimes(201))).toEqual([0.25, 0.25]);
});
