import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { drained } from '../../../src/cli/io.js';

test('a long output waits for its reader and leaves no listeners behind', async () => {
  const stream = new PassThrough({ highWaterMark: 1 });
  const before = stream.listenerCount('close');
  for (let i = 0; i < 20; i++) {
    stream.write('xx');
    let read = false;
    setImmediate(() => {
      read = true;
      stream.read();
    });
    await drained(stream);
    expect(read).toBe(true);
  }
  expect(stream.listenerCount('close')).toBe(before);
  expect(stream.listenerCount('drain')).toBe(0);
});

test('a reader that is gone is not waited for', async () => {
  const stream = new PassThrough({ highWaterMark: 1 });
  stream.write('xx');
  const waiting = drained(stream);
  stream.destroy();
  await waiting;
  await drained(stream);
});
