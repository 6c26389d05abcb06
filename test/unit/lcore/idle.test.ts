import { expect, test } from 'vitest';
import { Idle } from '../../../src/lcore/idle.js';

const run = (mode: 'off' | 'auto' | number, script: (idle: Idle) => void): number[] => {
  const slept: number[] = [];
  script(new Idle(mode, (us) => slept.push(us)));
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
  expect(slept.slice(0, 64).every((us) => us === 50)).toBe(true);
  let silence = 0;
  for (const us of slept) {
    expect(us).toBe(Math.min(Math.max(50, Math.trunc(silence / 64)), 4000));
    silence += us;
  }
  expect(slept.at(-1)).toBe(4000);
});

test('a packet makes auto poll again at full speed', () => {
  const slept = run('auto', (idle) => {
    idleTimes(199 + 600)(idle);
    idle.busy();
    idleTimes(200)(idle);
  });
  expect(slept.slice(-2)).toEqual([4000, 50]);
});

test('a number is the pause in microseconds', () => {
  expect(run(250, idleTimes(201))).toEqual([250, 250]);
});
