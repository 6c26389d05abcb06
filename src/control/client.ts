/**
 * Client of the control socket: what `dpip`, `ipvsadm` and other local programs use. JSON-RPC 2.0
 * (https://www.jsonrpc.org/specification) over newline-delimited JSON; methods are the commands and queries
 * of `schema.ts`, of which only the types are imported here.
 */
import { connect as connectSocket, type Socket } from 'node:net';
import { JSONRPCClient, JSONRPCErrorException } from 'json-rpc-2.0';
import { DpvsError, ERRORS, type ErrorCode } from '../core/errors.js';
import { encodeMessage, FrameReader, MAX_REPLY_BYTES } from './framing.js';
import type { CommandInput, CommandName, QueryInput, QueryName } from './schema.js';
import type { BatchResult, QueryResults } from './results.js';

export const DEFAULT_IPC_FILE = '/var/run/dpvs.ipc';
export const DEFAULT_TIMEOUT_MS = 30_000;

/** The control socket that tools use: `$DPVS_IPC_FILE` picks one of several instances. */
export function ipcFile(env: NodeJS.ProcessEnv = process.env): string {
  return env['DPVS_IPC_FILE'] || DEFAULT_IPC_FILE;
}

export type Method = CommandName | QueryName | 'batch';
export type Input<M extends Method> = M extends CommandName
  ? CommandInput<M>
  : M extends QueryName
    ? QueryInput<M>
    : { commands: { method: CommandName; params: object }[] };
/** Queries answer as typed in `results.ts`; commands answer null. */
export type Result<M extends Method> = M extends QueryName
  ? QueryResults[M]
  : M extends 'batch'
    ? BatchResult
    : null;

/**
 * The daemon could not be asked: it doesn't run, refuses us, hangs or went away. Not an answer of the daemon
 * (that is a {@link DpvsError}).
 */
export class TransportError extends Error {
  override readonly name = 'TransportError';

  constructor(
    readonly kind: 'not-running' | 'denied' | 'timeout' | 'lost' | 'protocol',
    message: string,
  ) {
    super(message);
  }
}

export interface ControlClient {
  /**
   * Sends one request and waits for its answer. Requests may overlap.
   * @throws DpvsError the daemon's refusal
   * @throws TransportError no answer
   */
  call<M extends Method>(method: M, params: Input<M>): Promise<Result<M>>;
  close(): void;
}

export interface ClientOptions {
  /** Path of the Unix socket; default {@link ipcFile}. */
  path?: string;
  /** For the connection and for each answer. */
  timeoutMs?: number;
}

/**
 * Connects to the daemon.
 * @throws TransportError `not-running`, `denied` or `timeout`
 */
export async function connect(options: ClientOptions = {}): Promise<ControlClient> {
  const path = options.path ?? ipcFile();
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  return new SocketClient(await open(path, timeoutMs), timeoutMs);
}

function open(path: string, timeoutMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket({ path });
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new TransportError('timeout', `dpvs does not accept connections at ${path}`));
    }, timeoutMs);
    socket.once('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      reject(connectError(error, path));
    });
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.removeAllListeners('error');
      resolve(socket);
    });
  });
}

function connectError(error: NodeJS.ErrnoException, path: string): TransportError {
  switch (error.code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new TransportError('not-running', `dpvs is not running (no socket at ${path})`);
    case 'ECONNREFUSED':
    case 'ENOTSOCK':
      return new TransportError('not-running', `dpvs is not running (nobody listens at ${path})`);
    case 'EACCES':
    case 'EPERM':
      return new TransportError('denied', `no permission for ${path}: be root or in the group of the socket`);
    default:
      return new TransportError('lost', `cannot connect to dpvs at ${path}: ${error.message}`);
  }
}

class SocketClient implements ControlClient {
  private readonly rpc: JSONRPCClient;
  /** Why the connection ended, once it has. */
  private failure: TransportError | undefined;
  private readonly pending = new Set<(error: TransportError) => void>();

  constructor(
    private readonly socket: Socket,
    private readonly timeoutMs: number,
  ) {
    this.rpc = new JSONRPCClient((payload) => {
      socket.write(encodeMessage(payload));
    });
    const reader = new FrameReader(
      {
        message: (value) => this.receive(value),
        error: (error) =>
          this.fail(new TransportError('protocol', `broken answer from dpvs: ${error.message}`)),
      },
      MAX_REPLY_BYTES,
    );
    socket.on('data', (chunk: Buffer) => reader.push(chunk));
    socket.on('error', (error) =>
      this.fail(new TransportError('lost', `connection to dpvs lost: ${error.message}`)),
    );
    socket.on('close', () => {
      reader.end();
      this.fail(new TransportError('lost', 'dpvs closed the connection'));
    });
  }

  async call<M extends Method>(method: M, params: Input<M>): Promise<Result<M>> {
    if (this.failure) throw this.failure;
    let abort!: (error: TransportError) => void;
    const aborted = new Promise<never>((_, reject) => {
      abort = reject;
    });
    this.pending.add(abort);
    const timer = setTimeout(
      () => abort(new TransportError('timeout', `dpvs did not answer within ${this.timeoutMs / 1000} s`)),
      this.timeoutMs,
    );
    try {
      return await Promise.race([aborted, this.rpc.request(method, params as object) as Promise<Result<M>>]);
    } catch (error) {
      throw toError(error);
    } finally {
      clearTimeout(timer);
      this.pending.delete(abort);
    }
  }

  close(): void {
    this.failure ??= new TransportError('lost', 'connection closed');
    this.socket.end();
    this.socket.unref();
  }

  private receive(value: unknown): void {
    const response = value as { id?: unknown; error?: { message?: unknown } } | null;
    // an error without id: the server could not read the request at all
    if (typeof response === 'object' && response !== null && response.id === null && response.error) {
      this.fail(
        new TransportError('protocol', `dpvs refused the request: ${String(response.error.message)}`),
      );
      return;
    }
    if (typeof response === 'object' && response !== null) this.rpc.receive(value as never);
    else this.fail(new TransportError('protocol', 'broken answer from dpvs: not an object'));
  }

  private fail(error: TransportError): void {
    if (this.failure) return;
    this.failure = error;
    for (const abort of this.pending) abort(error);
    this.socket.destroy();
  }
}

/** The daemon's refusals carry {@link ErrorData}; anything else that the RPC layer reports is about the protocol. */
function toError(error: unknown): Error {
  if (!(error instanceof JSONRPCErrorException)) return error as Error;
  const { data } = error as { data?: unknown };
  if (typeof data === 'object' && data !== null) {
    const { code, message, hint } = data as { code?: unknown; message?: unknown; hint?: unknown };
    if (typeof code === 'string' && Object.hasOwn(ERRORS, code)) {
      return new DpvsError(
        code as ErrorCode,
        typeof message === 'string' ? message : error.message,
        typeof hint === 'string' ? hint : undefined,
      );
    }
  }
  return new TransportError('protocol', `dpvs refused the request: ${error.message}`);
}
