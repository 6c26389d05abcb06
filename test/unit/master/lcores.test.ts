/** The master's side of lcores that die: who is told what, and when. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Command } from '../../../src/control/schema.js';
import { LCORE_BLOCK, LCORE_STATS } from '../../../src/core/layout.js';
import type { Native } from '../../../src/core/native.js';
import { Mesh, type ToLcore, type ToMaster } from '../../../src/lcore/mesh.js';
import type { LcoreTask } from '../../../src/lcore/task.js';
import { Lcores } from '../../../src/master/lcores.js';
import type { Log } from '../../../src/master/log.js';

interface Life {
  task: LcoreTask;
  die(why: string): void;
  end(): void;
}

/** Every life of every lcore, in order of birth. */
const lives = vi.hoisted((): Life[] => []);

vi.mock('piscina', () => ({
  Piscina: class {
    on(): void {}
    async run(task: LcoreTask, { signal }: { signal: AbortSignal }): Promise<void> {
      return new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Error('aborted')));
        lives.push({ task, die: (why) => reject(new Error(why)), end: resolve });
      });
    }
    async destroy(): Promise<void> {}
  },
}));

const log = new Proxy({}, { get: () => () => undefined }) as Log;
const command = { op: 'svc.flush' } as Command;
let state: Command[];
let mesh: Mesh;
let lcores: Lcores;
/** Calls of lcoreReclaim that throw from now on. */
let busy: number;
/** Wakes, each with what had been posted by then. */
let woken: [lcore: number, unread: boolean][];

/** Lets everything happen that needs no time: promises and doorbells. */
const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
};
const tell = async (m: ToMaster): Promise<void> => {
  mesh.ring(1, 0).sendJson(m);
  // The master looks now and then.
  await vi.advanceTimersByTimeAsync(20);
  await settle();
};
const told = (): ToLcore[] => {
  const all: ToLcore[] = [];
  for (let m; (m = mesh.ring(0, 1).receiveJson<ToLcore>()) !== undefined;) all.push(m);
  return all;
};
const isDone = async (p: Promise<unknown>): Promise<boolean> => {
  let done = false;
  void p.then(() => (done = true));
  await settle();
  return done;
};

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date'] });
  lives.length = busy = 0;
  state = [];
  woken = [];
  mesh = Mesh.create(2);
  const native = {
    lcoreReclaim: () => {
      if (busy-- > 0) throw new Error('lcore 1 does not leave its burst');
      return 0;
    },
    lcoreWake: (id: number) => void woken.push([id, !mesh.ring(0, id).isEmpty]),
  } as unknown as Native;
  const task = {
    id: 1,
    block: new SharedArrayBuffer(LCORE_BLOCK.size),
    stats: { buffer: new SharedArrayBuffer(LCORE_STATS.size), offset: 0 },
  } as unknown as LcoreTask;
  lcores = new Lcores({ native, log, mesh, tasks: [task], snapshot: () => [...state] });
  const started = lcores.start();
  await tell({ t: 'ready' });
  await started;
});
afterEach(async () => {
  const stopped = lcores.stop();
  lives.at(-1)?.end();
  await stopped;
  vi.useRealTimers();
});

/** Ends the present life. */
async function die(): Promise<void> {
  lives.at(-1)!.die('test');
  await settle();
}

/** A command as the controller issues it: into the master's state, then to the lcores. */
function issue(): Promise<void> {
  state.push(command);
  return lcores.apply(command);
}

test('a command is answered when the lcore has applied it', async () => {
  const done = issue();
  expect(woken).toEqual([[1, true]]);
  const [message] = told();
  expect(message).toMatchObject({ t: 'command', command });
  expect(await isDone(done)).toBe(false);
  await tell({ t: 'ack', seq: (message as { seq: number }).seq });
  expect(await isDone(done)).toBe(true);
});

test('a command that an lcore took to its grave is in the snapshot of its next life', async () => {
  const done = issue();
  await die();
  expect(await isDone(done)).toBe(true);
  expect(lives).toHaveLength(2);
  expect(lives[1]!.task).toMatchObject({ snapshot: [command], rebuild: true });
  expect(told()).toEqual([]);
});

test('a command issued while an lcore waits for its next life is answered at once and applied once', async () => {
  await die();
  await die(); // the second time it waits a little
  expect(lives).toHaveLength(2);
  expect(await isDone(issue())).toBe(true);
  await vi.advanceTimersByTimeAsync(100);
  expect(lives).toHaveLength(3);
  expect(lives[2]!.task.snapshot).toEqual([command]);
  expect(told()).toEqual([]);
});

test('an lcore that waits for its next life has no lists', async () => {
  await die();
  await die();
  expect(await lcores.query(1, 'neigh')).toBeUndefined();
});

test('an lcore whose thread is still inside the driver is replaced when it has left it', async () => {
  busy = 2;
  await die();
  expect(lives).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1000);
  expect(lives).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1000);
  expect(lives).toHaveLength(2);
});

test('the end of the daemon does not wait for the next life of an lcore', async () => {
  await die();
  await die();
  expect(await isDone(lcores.stop())).toBe(true);
});

test('a list is put together from its parts', async () => {
  const list = lcores.query(1, 'neigh');
  const [first] = told() as { seq: number; from: number }[];
  expect(first!.from).toBe(0);
  await tell({ t: 'reply', seq: first!.seq, page: { lines: [1, 2], next: 7 } });
  const [second] = told() as { seq: number; from: number }[];
  expect(second!.from).toBe(7);
  await tell({ t: 'reply', seq: second!.seq, page: { lines: [3], next: 0 } });
  expect(await list).toEqual([1, 2, 3]);
});
