import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { connect, ipcFile, type ControlClient } from '../../../src/control/client.js';
import { DpvsError } from '../../../src/core/errors.js';
import { rpcServer, type RpcServer } from './rpc-server.js';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function serve(answer: Parameters<typeof rpcServer>[0]): Promise<[ControlClient, RpcServer]> {
  const server = await rpcServer(answer);
  cleanups.push(() => server.close());
  const client = await connect({ path: server.path });
  cleanups.push(() => client.close());
  return [client, server];
}

describe('control client', () => {
  it('gets results, also of requests that overlap and are answered in another order', async () => {
    const waiting: (() => void)[] = [];
    const [client] = await serve(({ id, method }, socket) => {
      waiting.push(() => void socket.write(`${JSON.stringify({ jsonrpc: '2.0', id, result: [method] })}\n`));
      if (waiting.length === 2) for (const send of waiting.reverse()) send();
      return undefined;
    });
    const both = await Promise.all([client.call('sched.list', {}), client.call('route.list', {})]);
    expect(both).toEqual([['sched.list'], ['route.list']]);
  });

  it('answers a command with null', async () => {
    const [client, server] = await serve(() => null);
    await expect(client.call('addr.flush', { dev: 'dpdk0' })).resolves.toBeNull();
    expect(server.calls).toEqual([{ method: 'addr.flush', params: { dev: 'dpdk0' } }]);
  });

  it("throws the daemon's refusal with code and hint", async () => {
    const [client] = await serve(() => {
      throw new DpvsError('EXIST', 'it is there', 'look');
    });
    const error = await client.call('svc.flush', {}).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(DpvsError);
    expect((error as DpvsError).toData()).toEqual({
      code: 'EXIST',
      errno: -3,
      message: 'it is there',
      hint: 'look',
    });
  });

  it.each([
    [
      'a response without id',
      '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}\n',
      'dpvs refused the request: Parse error',
    ],
    [
      'an error without data',
      '{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"oops"}}\n',
      'dpvs refused the request: oops',
    ],
    [
      'an error with a code that we do not know',
      '{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"oops","data":{"code":"toString"}}}\n',
      'dpvs refused the request: oops',
    ],
    ['something that is not JSON', 'hello\n', 'broken answer from dpvs: not a JSON message'],
    ['something that is no object', '17\n', 'broken answer from dpvs: not an object'],
  ])('makes a clear error of %s', async (_, reply, message) => {
    const [client] = await serve((_request, socket) => void socket.write(reply));
    await expect(client.call('info', {})).rejects.toThrow(message);
  });

  it('says so when the daemon goes away during a request, and afterwards', async () => {
    const [client] = await serve((_request, socket) => void socket.destroy());
    await expect(client.call('info', {})).rejects.toMatchObject({
      kind: 'lost',
      message: 'dpvs closed the connection',
    });
    await expect(client.call('info', {})).rejects.toMatchObject({ kind: 'lost' });
  });

  it('gives up on an answer that does not come', async () => {
    const server = await rpcServer(() => undefined);
    cleanups.push(() => server.close());
    const client = await connect({ path: server.path, timeoutMs: 20 });
    cleanups.push(() => client.close());
    await expect(client.call('info', {})).rejects.toMatchObject({
      kind: 'timeout',
      message: 'dpvs did not answer within 0.02 s',
    });
  });

  it('reads answers larger than a request may be', async () => {
    const names = Array.from({ length: 200_000 }, (_, i) => `scheduler-${i}`);
    const [client] = await serve(
      ({ id }, socket) => void socket.write(`${JSON.stringify({ jsonrpc: '2.0', id, result: names })}\n`),
    );
    expect(await client.call('sched.list', {})).toHaveLength(200_000);
  });

  it('takes the socket from DPVS_IPC_FILE', () => {
    expect(ipcFile({ DPVS_IPC_FILE: '/tmp/x' })).toBe('/tmp/x');
    expect(ipcFile({})).toBe('/var/run/dpvs.ipc');
    expect(ipcFile({ DPVS_IPC_FILE: '' })).toBe('/var/run/dpvs.ipc');
  });

  describe('without a daemon', () => {
    const folder = (): string => {
      const dir = mkdtempSync(join(tmpdir(), 'dpvs-client-'));
      cleanups.push(() => rmSync(dir, { recursive: true, force: true }));
      return dir;
    };

    it('says that there is no socket', async () => {
      const path = join(folder(), 'ipc');
      await expect(connect({ path })).rejects.toMatchObject({
        kind: 'not-running',
        message: `dpvs is not running (no socket at ${path})`,
      });
    });

    it('says that nobody listens on a file that is left over', async () => {
      const path = join(folder(), 'ipc');
      writeFileSync(path, '');
      await expect(connect({ path })).rejects.toMatchObject({
        kind: 'not-running',
        message: `dpvs is not running (nobody listens at ${path})`,
      });
    });

    it('says that the path is too long instead of crashing', async () => {
      await expect(connect({ path: `/${'x'.repeat(200)}` })).rejects.toMatchObject({
        name: 'TransportError',
      });
    });
  });
});
