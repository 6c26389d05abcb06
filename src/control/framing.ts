/**
 * Newline-delimited JSON: the framing of the control socket, used by the server and by the tools. One message
 * is one line of UTF-8 JSON (JSON never contains a raw newline). A message has a maximum size, so that neither
 * side buffers more than that whatever the other one sends.
 */

/** Largest request that the server reads. */
export const MAX_MESSAGE_BYTES = 1 << 20;
/** Largest reply that a tool reads: listings of many thousand services are legitimate. */
export const MAX_REPLY_BYTES = 64 << 20;

const NEWLINE = 0x0a;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * What can be wrong with a received line.
 * - `too-long`: more than the maximum without a newline. The stream is lost, close the connection.
 * - `not-json`: the line is not JSON or not UTF-8. The next line may be fine.
 * - `truncated`: the stream ended in the middle of a line.
 */
export type FramingErrorKind = 'too-long' | 'not-json' | 'truncated';

export class FramingError extends Error {
  override readonly name = 'FramingError';

  constructor(
    readonly kind: FramingErrorKind,
    message: string,
  ) {
    super(message);
  }
}

/**
 * One message as the line to write.
 * @throws FramingError `too-long` when it is larger than `max` bytes
 */
export function encodeMessage(message: unknown, max: number = MAX_MESSAGE_BYTES): string {
  const line = JSON.stringify(message) + '\n';
  const size = Buffer.byteLength(line);
  if (size > max + 1)
    throw new FramingError('too-long', `message of ${size} bytes is over the maximum of ${max}`);
  return line;
}

export interface FrameHandlers {
  message(value: unknown): void;
  /** Called for each broken line; after `too-long` nothing more is delivered. */
  error(error: FramingError): void;
}

/**
 * Splits a byte stream into messages. Feed it with `push`, tell it about the end of the stream with `end`.
 * Holds at most `max` bytes. Empty lines are ignored.
 */
export class FrameReader {
  private parts: Uint8Array[] = [];
  private held = 0;
  private closed = false;

  constructor(
    private readonly handlers: FrameHandlers,
    private readonly max: number = MAX_MESSAGE_BYTES,
  ) {}

  /** Whether the reader has given up (after `too-long`, `end` or `stop`). */
  get done(): boolean {
    return this.closed;
  }

  push(chunk: Uint8Array): void {
    let start = 0;
    while (!this.closed && start < chunk.length) {
      const newline = chunk.indexOf(NEWLINE, start);
      const end = newline < 0 ? chunk.length : newline;
      if (this.held + end - start > this.max) {
        this.stop();
        this.handlers.error(new FramingError('too-long', `message longer than ${this.max} bytes`));
        return;
      }
      this.parts.push(chunk.subarray(start, end));
      this.held += end - start;
      if (newline < 0) return;
      this.deliver();
      start = newline + 1;
    }
  }

  end(): void {
    const truncated = !this.closed && this.held > 0;
    this.stop();
    if (truncated)
      this.handlers.error(new FramingError('truncated', 'connection closed in the middle of a message'));
  }

  /** Drops what is held and ignores everything that follows. */
  stop(): void {
    this.closed = true;
    this.parts = [];
    this.held = 0;
  }

  private deliver(): void {
    const bytes = this.parts.length === 1 ? this.parts[0]! : Buffer.concat(this.parts, this.held);
    this.parts = [];
    this.held = 0;
    if (bytes.length === 0 || (bytes.length === 1 && bytes[0] === 0x0d)) return;
    let value: unknown;
    try {
      value = JSON.parse(utf8.decode(bytes));
    } catch (error) {
      this.handlers.error(new FramingError('not-json', `not a JSON message: ${(error as Error).message}`));
      return;
    }
    this.handlers.message(value);
  }
}
