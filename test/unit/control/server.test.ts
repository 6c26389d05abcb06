import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MAX_MESSAGE_BYTES, MAX_REPLY_BYTES } from '../../../src/control/framing.js';
import { ControlServer } from '../../../src/control/server.js';
import { DpvsError } from '../../../src/core/errors.js';

let dir: string;
let path: string;
let server: ControlServer;
let internal: unknown[];

let bigAnswers = 0;
const handle = async (method: string, params: unknown): Promise<unknown> => {
  if (method === 'echo') return params;
  if (method === 'later') return new Promise((resolve) => setImmediate(() => setImmediate(resolve, params)));
  if (method === 'big') return (bigAnswers++, 'x'.repeat(params as number));
  if (method === 'refuse') throw new DpvsError('EXIST', 'there already', 'look');
  throw new Error('a bug');
};

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'dpvs-server-'));
  path = join(dir, 'ipc');
  internal = [];
  bigAnswers = 0;
  server = await ControlServer.listen({
    path,
    handle,
    credentials: () => ({ pid: 1, uid: 0, gid: 0 }),
    onError: (e) => internal.push(e),
  });
});
afterEach(async () => {
  await server.close();
  rmSync(dir, { recursive: true });
});

interface Answer {
  id: number | null;
  result?: unknown;
  error?: { message: string };
}

/** Sends bytes, and collects answers until `n` lines or the end of the connection. */
async function talk(bytes: string | Buffer, n: number): Promise<Answer[]> {
  const socket: Socket = createConnection(path);
  let text = '';
  return new Promise((resolve, reject) => {
    const lines = (): Answer[] =>
      text
        .split('\n')
        .filter(Boolean)
        .map((l) => JSON.parse(l) as Answer);
    socket.on('data', (d) => {
      text += d.toString();
      if (text.split('\n').length > n) socket.end();
    });
    socket.on('close', () => resolve(lines()));
    socket.on('error', reject);
    socket.write(bytes);
  });
}
const request = (id: number, method: string, params?: unknown): string =>
  `${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`;

test('the socket can be used by owner and group only', () => {
  expect(statSync(path).mode & 0o777).toBe(0o660);
});

test('requests of one connection are answered in order', async () => {
  const all = Array.from({ length: 500 }, (_, i) => request(i, 'echo', { i })).join('');
  const answers = await talk(all, 500);
  expect(answers.map((a) => a.result)).toEqual(Array.from({ length: 500 }, (_, i) => ({ i })));
});

test('a refusal carries code, message and hint', async () => {
  const [answer] = await talk(request(7, 'refuse'), 1);
  expect(answer).toEqual({
    jsonrpc: '2.0',
    id: 7,
    error: {
      code: -3,
      message: 'there already',
      data: { code: 'EXIST', errno: -3, message: 'there already', hint: 'look' },
    },
  });
  expect(internal).toEqual([]);
});

test('a bug of ours is logged and not shown', async () => {
  const [answer] = await talk(request(1, 'bug'), 1);
  expect(answer?.error?.message).not.toContain('a bug');
  expect(String(internal[0])).toContain('a bug');
});

test.each([
  ['not JSON', 'hello\n'],
  ['not a request', '{"a":1}\n'],
  ['null', 'null\n'],
  ['a batch', '[]\n'],
  ['method that is no text', '{"jsonrpc":"2.0","id":1,"method":5}\n'],
])('%s is answered by an error, and the connection goes on', async (_, bytes) => {
  const answers = await talk(bytes + request(2, 'echo', 'still here'), 2);
  expect(answers[0]?.error?.message).not.toBe('');
  expect(answers[1]).toMatchObject({ id: 2, result: 'still here' });
});

test('a message over the limit ends its connection, others go on', async () => {
  const answers = await talk(Buffer.alloc(MAX_MESSAGE_BYTES + 100, 'x'), 2);
  expect(answers).toHaveLength(1);
  expect(answers[0]?.error?.message).toContain('longer than');
  expect(await talk(request(1, 'echo', 1), 1)).toMatchObject([{ result: 1 }]);
});

test('a hundred clients at once', async () => {
  const all = await Promise.all(Array.from({ length: 100 }, (_, i) => talk(request(i, 'echo', i), 1)));
  expect(all.map((a) => a[0]?.result)).toEqual(Array.from({ length: 100 }, (_, i) => i));
});

test('a socket file that nobody serves is replaced, and removed at the end', async () => {
  const stale = join(dir, 'stale');
  writeFileSync(stale, '');
  const second = await ControlServer.listen({
    path: stale,
    handle,
    credentials: () => ({ pid: 1, uid: 0, gid: 0 }),
    onError: () => undefined,
  });
  expect(statSync(stale).isSocket()).toBe(true);
  await second.close();
  expect(existsSync(stale)).toBe(false);
});

test('a folder that does not exist is an error that names it', async () => {
  await expect(
    ControlServer.listen({
      path: join(dir, 'no', 'ipc'),
      handle,
      credentials: () => ({ pid: 1, uid: 0, gid: 0 }),
      onError: () => undefined,
    }),
  ).rejects.toThrow(join(dir, 'no', 'ipc'));
});

test('a client that has said all it wants (half-closed) still gets its answers', async () => {
  const socket = createConnection({ path, allowHalfOpen: true });
  socket.end(request(1, 'later', 'a') + request(2, 'echo', 'b'));
  let text = '';
  for await (const d of socket) text += String(d);
  const answers = text.split('\n').filter(Boolean);
  expect(answers.map((l) => (JSON.parse(l) as Answer).result)).toEqual(['a', 'b']);
});

test('answers are not piled up for a client that does not read', async () => {
  const n = 50;
  const slow = createConnection(path);
  slow.pause();
  slow.write(Array.from({ length: n }, (_, i) => request(i, 'big', 1 << 20)).join(''));
  for (let i = 0; i < 50; i++) await talk(request(i, 'later', i), 1);
  expect(bigAnswers).toBeGreaterThan(0);
  expect(bigAnswers).toBeLessThan(10);
  let bytes = 0;
  for await (const d of slow) {
    bytes += (d as Buffer).length;
    if (bytes > n << 20) break;
  }
  expect(bigAnswers).toBe(n);
});

test('an answer over the limit is an error, and the connection goes on', async () => {
  const answers = await talk(request(1, 'big', MAX_REPLY_BYTES) + request(2, 'echo', 'still here'), 2);
  expect(answers[0]?.error?.message).toContain(String(MAX_REPLY_BYTES));
  expect(answers[1]).toMatchObject({ id: 2, result: 'still here' });
});

test('a socket that another daemon serves is left to it', async () => {
  const again = ControlServer.listen({
    path,
    handle,
    credentials: () => ({ pid: 1, uid: 0, gid: 0 }),
    onError: () => undefined,
  });
  await expect(again).rejects.toMatchObject({
    code: 'BUSY',
    message: expect.stringContaining(path) as string,
  });
  expect(await talk(request(1, 'echo', 1), 1)).toMatchObject([{ result: 1 }]);
});
