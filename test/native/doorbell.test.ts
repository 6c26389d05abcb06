/** An idle lcore sleeps, and is woken by whoever has work for it. */
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  build,
  codeOf,
  ended,
  frame,
  lcoreConfig,
  leaveNothing,
  makeLcore,
  native,
  newFlag,
  pool,
  spawn,
  startEal,
  type TestLcore,
  until,
} from './support/rig.js';

/** Longer than a test may last. */
const FOR_EVER = 90_000_000;
const SLEEPER = 2;
/** What fits into its redirect ring. */
const POSTS = 250;
/** Elements of the flag. */
const LOOKS = 0;
const STOP = 1;

let lc: TestLcore;

beforeAll(() => {
  startEal();
  pool();
});
beforeEach(() => {
  lc = makeLcore(lcoreConfig(1, []));
});
afterEach(() => {
  native.lcoreUnbind(1);
  native.lcoreDestroy(1);
  leaveNothing();
});

test.each([
  ['lcoreWake', () => native.lcoreWake(SLEEPER)],
  [
    'a packet that is redirected to it',
    () => {
      lc.packets.redirect(build(lc, frame(60)), SLEEPER);
      native.flush(1);
    },
  ],
])('a sleeper is woken by %s every time, asleep or about to be, and by nothing else', async (_, post) => {
  makeLcore(lcoreConfig(SLEEPER, []), false);
  const flag = newFlag();
  const worker = spawn(
    `native.lcoreBind(2);
     for (;;) {
       Atomics.add(flag, ${LOOKS}, 1);
       if (Atomics.load(flag, ${STOP})) break;
       native.lcoreSleep(2, ${FOR_EVER});
     }
     native.lcoreUnbind(2);`,
    {},
    flag,
  );
  const exit = ended(worker);
  await until(flag, LOOKS, (v) => v === 1);
  // Half of the posts come as soon as it has looked, perhaps before it sleeps; the others after a turn of the event loop.
  for (let i = 0; i < POSTS; i++) {
    const before = Atomics.load(flag, LOOKS);
    post();
    const spins = i % 2 === 0 ? 1e6 : 0;
    for (let n = 0; n < spins && Atomics.load(flag, LOOKS) === before; n++);
    await until(flag, LOOKS, (v) => v > before);
  }
  // A bell that rings between its last look and the system call ends that, and may wake it once more.
  expect(flag[LOOKS]).toBeLessThanOrEqual(1 + 2 * POSTS);
  Atomics.store(flag, STOP, 1);
  native.lcoreWake(SLEEPER);
  expect(await exit).toBe(0);
  native.lcoreDestroy(SLEEPER);
});

test('a bell that rang before the sleep makes it return at once', () => {
  native.lcoreWake(1);
  native.lcoreSleep(1, FOR_EVER);
  native.lcoreWake(1);
  native.lcoreWake(1);
  native.lcoreSleep(1, FOR_EVER);
});

test('a sleep that nobody ends is over after its time', () => {
  native.lcoreSleep(1, 1000);
  native.lcoreSleep(1, 1);
  native.lcoreSleep(1, 0);
});

test('to wake an lcore that was destroyed is no error, one that never was is NO_LCORE', () => {
  makeLcore(lcoreConfig(SLEEPER, []), false);
  native.lcoreDestroy(SLEEPER);
  native.lcoreWake(SLEEPER);
  for (const id of [7, 127, 128, 4_000_000_000, -1])
    expect(codeOf(() => native.lcoreWake(id))).toBe('NO_LCORE');
  for (const bad of ['1', undefined, {}, null]) {
    expect(codeOf(() => native.lcoreWake(bad as number))).toBe('BAD_ARG');
    expect(codeOf(() => native.lcoreSleep(1, bad as number))).toBe('BAD_ARG');
  }
});
