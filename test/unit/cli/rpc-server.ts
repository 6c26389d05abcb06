/** A real JSON-RPC server on a Unix socket in a folder of its own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DpvsError } from '../../../src/core/errors.js';
import { encodeMessage, FrameReader } from '../../../src/control/framing.js';

export interface RpcServer {
  path: string;
  dir: string;
  calls: { method: string; params: unknown }[];
  close(): Promise<void>;
}

interface Request {
  id: unknown;
  method: string;
  params: unknown;
}

/** `answer` gives a result, throws a DpvsError or writes to the socket itself and answers undefined. */
export async function rpcServer(answer: (request: Request, socket: Socket) => unknown): Promise<RpcServer> {
  const dir = mkdtempSync(join(tmpdir(), 'dpvs-cli-'));
  const path = join(dir, 'ipc');
  const calls: RpcServer['calls'] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    const reader = new FrameReader({
      message: (value) => {
        const { id, method, params } = value as Request;
        calls.push({ method, params });
        try {
          const result = answer({ id, method, params }, socket);
          if (result !== undefined) socket.write(encodeMessage({ jsonrpc: '2.0', id, result }));
        } catch (error) {
          const data = error instanceof DpvsError ? error.toData() : undefined;
          socket.write(
            encodeMessage({
              jsonrpc: '2.0',
              id,
              error: { code: -32000, message: (error as Error).message, data },
            }),
          );
        }
      },
      error: () => socket.destroy(),
    });
    socket.on('data', (chunk) => reader.push(chunk));
  });
  await new Promise<void>((done) => server.listen(path, done));
  return {
    path,
    dir,
    calls,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
