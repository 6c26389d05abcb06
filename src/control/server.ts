/**
 * The control socket: JSON-RPC 2.0, one message a line, over a Unix stream socket of mode 0660. Many clients at
 * once; a message is at most MAX_MESSAGE_BYTES; requests of one connection are answered in order.
 */
import { once } from 'node:events';
import { chmodSync, existsSync, unlinkSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import {
  createJSONRPCErrorResponse,
  createJSONRPCSuccessResponse,
  isJSONRPCRequest,
  JSONRPCErrorCode,
  type JSONRPCResponse,
} from 'json-rpc-2.0';
import { DpvsError } from '../core/errors.js';
import { encodeMessage, FrameReader, MAX_REPLY_BYTES } from './framing.js';

/** Who asks: credentials of the connected process. */
export interface Peer {
  pid: number;
  uid: number;
  gid: number;
}

export interface ControlServerOptions {
  path: string;
  /** Answers one request; a thrown DpvsError becomes the error of the response. */
  handle: (method: string, params: unknown, peer: Peer) => unknown;
  credentials: (fd: number) => Peer;
  onError: (error: unknown, method?: string) => void;
  maxClients?: number;
}

/** Requests of one connection that may wait for their answers. */
const MAX_WAITING = 64;

/** @throws DpvsError BUSY when somebody answers on the socket */
export async function refuseServed(path: string): Promise<void> {
  const probe = createConnection(path);
  const served = await once(probe, 'connect').then(
    () => true,
    () => false,
  );
  probe.destroy();
  if (served) {
    throw new DpvsError('BUSY', `another dpvs serves ${path}`, 'stop it, or use -p, -x and -c for another');
  }
}

export class ControlServer {
  private readonly clients = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly o: ControlServerOptions,
  ) {}

  /** Listens; a socket file that nobody serves any more is replaced. @throws DpvsError BUSY, SYSCALL */
  static async listen(o: ControlServerOptions): Promise<ControlServer> {
    await refuseServed(o.path);
    // Half-open: a script may close its side behind the request and then read the answer.
    const server = createServer({ allowHalfOpen: true });
    const self = new ControlServer(server, o);
    server.maxConnections = o.maxClients ?? 256;
    server.on('connection', (socket) => self.serve(socket));
    server.on('error', (e) => o.onError(e));
    if (existsSync(o.path)) unlinkSync(o.path);
    const mask = process.umask(0o117);
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(o.path, () => {
          server.off('error', reject);
          resolve();
        });
      });
    } catch (e) {
      throw new DpvsError(
        'SYSCALL',
        `cannot listen on ${o.path}: ${(e as Error).message}`,
        'choose another socket with -x',
      );
    } finally {
      process.umask(mask);
    }
    chmodSync(o.path, 0o660);
    return self;
  }

  /** Ends every connection and removes the socket file. */
  async close(): Promise<void> {
    for (const c of this.clients) c.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private serve(socket: Socket): void {
    this.clients.add(socket);
    socket.on('close', () => this.clients.delete(socket));
    socket.on('error', () => socket.destroy());
    const peer = this.peerOf(socket);
    let tail: Promise<void> = Promise.resolve();
    let waiting = 0;
    const send = async (response: JSONRPCResponse): Promise<void> => {
      if (!socket.writable || socket.write(encode(response))) return;
      // A client that doesn't read has to wait: its answers must not pile up here.
      await new Promise<void>((resolve) => {
        const go = (): void => {
          socket.off('drain', go).off('close', go);
          resolve();
        };
        socket.on('drain', go).on('close', go);
      });
    };
    const reader = new FrameReader({
      message: (m) => {
        // A client that sends faster than it is answered waits in its own socket buffer.
        if (++waiting >= MAX_WAITING) socket.pause();
        tail = tail.then(async () => {
          const response = await this.answer(m, peer);
          if (response !== undefined) await send(response);
          if (--waiting < MAX_WAITING) socket.resume();
        });
      },
      error: (e) => {
        tail = tail.then(async () => {
          await send(createJSONRPCErrorResponse(null, JSONRPCErrorCode.ParseError, e.message));
          if (e.kind !== 'not-json') socket.destroySoon();
        });
      },
    });
    socket.on('data', (chunk: Buffer) => reader.push(chunk));
    socket.on('end', () => {
      reader.end();
      tail = tail.then(() => socket.destroySoon());
    });
  }

  private peerOf(socket: Socket): Peer {
    const fd = (socket as unknown as { _handle?: { fd: number } })._handle?.fd ?? -1;
    try {
      return this.o.credentials(fd);
    } catch {
      return { pid: 0, uid: 65534, gid: 65534 };
    }
  }

  private async answer(message: unknown, peer: Peer): Promise<JSONRPCResponse | undefined> {
    if (typeof message !== 'object' || message === null || !isJSONRPCRequest(message)) {
      return createJSONRPCErrorResponse(null, JSONRPCErrorCode.InvalidRequest, 'not a JSON-RPC 2.0 request');
    }
    const id = message.id ?? null;
    try {
      const result = await this.o.handle(message.method, message.params ?? {}, peer);
      return message.id === undefined ? undefined : createJSONRPCSuccessResponse(id, result ?? null);
    } catch (e) {
      if (e instanceof DpvsError) return createJSONRPCErrorResponse(id, e.errno, e.message, e.toData());
      this.o.onError(e, message.method);
      return createJSONRPCErrorResponse(
        id,
        JSONRPCErrorCode.InternalError,
        'internal error, see the log of dpvs',
      );
    }
  }
}

/** The line of a response; one over the limit becomes an error that says so. */
function encode(response: JSONRPCResponse): string {
  try {
    return encodeMessage(response, MAX_REPLY_BYTES);
  } catch (e) {
    const error = new DpvsError(
      'NOROOM',
      (e as Error).message,
      'ask for a part: one service, one device, a page',
    );
    return encodeMessage(createJSONRPCErrorResponse(response.id, error.errno, error.message, error.toData()));
  }
}
