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

test('auto polls a while, then sleeps a 64th of the silence so far, at most four milliseconds', () => {
  expect(run('auto', idleTimes(199))).toEqual([]);
  const slept = run('auto', idleTimes(199 + 600));
  expect(slept.slice(0, 64).every((ms) => ms === 0.05)).toBe(true);
  let silence = 0;
  for (const ms of slept) {
    expect(ms).toBeCloseTo(Math.min(Math.max(0.05, silence / 64), 4), 6);
    silence += ms;
  }
  expect(slept.at(-1)).toBe(4);
});

test('a packet makes auto poll again at full speed', () => {
  const slept = run('auto', (idle) => {
    idleTimes(199 + 600)(idle);
    idle.busy();
    idleTimes(200)(idle);
  });
  expect(slept.slice(-2)).toEqual([4, 0.05]);
});

test('a number is the pause in microseconds', () => {
  expect(run(250, idleTimes(201))).toEqual([0.25, 0.25]);
});
