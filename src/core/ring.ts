/**
 * A message ring between two threads: one producer, one consumer, in a region of shared memory that the
 * caller provides. Commands travel from the master to an lcore, events back, each over its own ring.
 *
 * Region: `head` (read cursor, written by the consumer) and `tail` (write cursor, written by the producer), each on
 * its own cache line, then `capacity` bytes of records. Cursors run freely modulo 2^32, so that full and empty
 * differ. A record is a 32-bit length and its bytes, padded to 4. A record that reaches the end of the
 * region goes on at its start: its length word never straddles (all is 4-byte aligned), so no wrap marker is
 * needed and a record may be as large as the ring.
 *
 * Only `head` and `tail` are accessed with Atomics: a store to `tail` publishes the bytes in front of it.
 *
 * Measured (Node 20, shared 2-core VM): isEmpty 15 ns; push and pop of 64 bytes together 160 to 320 ns; a command
 * of 60 bytes of JSON, sent and received, 2 to 3 us.
 */
import { DpvsError } from './errors.js';

const CACHE_LINE = 64;
/** Word indices of the cursors from the start of the region. */
const HEAD = 0;
const TAIL = CACHE_LINE >>> 2;
const DATA = 2 * CACHE_LINE;
const LENGTH_WORD = 4;
const MIN_CAPACITY = 64;
const MAX_CAPACITY = 2 ** 30;

const pad4 = (n: number): number => (n + 3) & ~3;

export class Ring {
  /** Bytes of records, length words included. */
  readonly capacity: number;

  private readonly words: Int32Array;
  private readonly data: Buffer;

  /** Bytes of shared memory that a ring of this capacity takes; regions may lie back to back. */
  static bytesFor(capacity: number): number {
    if (
      !Number.isInteger(capacity) ||
      capacity < MIN_CAPACITY ||
      capacity > MAX_CAPACITY ||
      (capacity & (capacity - 1)) !== 0
    )
      throw new DpvsError(
        'INVAL',
        `ring capacity ${capacity} is not a power of two from ${MIN_CAPACITY} to 2^30`,
      );
    return DATA + capacity;
  }

  /**
   * Both sides construct their own `Ring` over the same, initially zeroed, region.
   * @param byteOffset start of the region, a multiple of 4 (of 64 to keep the cursors on their own cache lines)
   */
  constructor(buffer: SharedArrayBuffer, byteOffset: number, capacity: number) {
    const bytes = Ring.bytesFor(capacity);
    if (!Number.isInteger(byteOffset) || byteOffset < 0 || byteOffset % 4 !== 0)
      throw new DpvsError('INVAL', `ring offset ${byteOffset} is not a multiple of 4`);
    if (byteOffset + bytes > buffer.byteLength)
      throw new DpvsError(
        'INVAL',
        `ring of ${bytes} bytes at ${byteOffset} exceeds its buffer of ${buffer.byteLength} bytes`,
      );
    this.capacity = capacity;
    this.words = new Int32Array(buffer, byteOffset, bytes >>> 2);
    this.data = Buffer.from(buffer, byteOffset + DATA, capacity);
  }

  /** Consumer: true when there is nothing to pop. Cheap: meant for every turn of a loop. */
  get isEmpty(): boolean {
    // The consumer's own cursor needs no Atomics (8 ns each).
    return Atomics.load(this.words, TAIL) === this.words[HEAD];
  }

  /** Bytes in use, length words and padding included. */
  get used(): number {
    return (Atomics.load(this.words, TAIL) - Atomics.load(this.words, HEAD)) >>> 0;
  }

  /**
   * Producer: appends a record.
   * @returns false when there is no room at present
   * @throws DpvsError NOROOM when the record is larger than the ring, IO when the cursors have been overwritten
   */
  push(bytes: Uint8Array): boolean {
    const len = bytes.length;
    if (!this.hasRoom(len)) return false;
    const start = this.begin(len);
    const first = this.capacity - start;
    if (len <= first) {
      this.data.set(bytes, start);
    } else {
      this.data.set(bytes.subarray(0, first), start);
      this.data.set(bytes.subarray(first), 0);
    }
    this.publish(len);
    return true;
  }

  /**
   * Consumer: takes the oldest record.
   * @returns a copy of its bytes, or undefined when the ring is empty
   * @throws DpvsError IO when the region has been overwritten; nothing is consumed, so every later call throws
   * too, until {@link reset}
   */
  pop(): Uint8Array | undefined {
    const len = this.oldest();
    if (len < 0) return undefined;
    const start = this.recordStart();
    const first = this.capacity - start;
    const out = new Uint8Array(len);
    if (len <= first) {
      out.set(this.data.subarray(start, start + len));
    } else {
      out.set(this.data.subarray(start));
      out.set(this.data.subarray(0, len - first), first);
    }
    this.release(len);
    return out;
  }

  /**
   * Producer: {@link push} of a value as JSON, written in place: buffers would be garbage of an lcore, and of a slow kind.
   * Throws INVAL for what JSON cannot express (undefined, a function).
   */
  sendJson(value: unknown): boolean {
    const text = JSON.stringify(value) as string | undefined;
    if (text === undefined) throw new DpvsError('INVAL', `${typeof value} cannot be sent as JSON`);
    const len = Buffer.byteLength(text);
    if (!this.hasRoom(len)) return false;
    const start = this.begin(len);
    if (len > this.capacity - start) return this.push(Buffer.from(text));
    this.data.write(text, start, len);
    this.publish(len);
    return true;
  }

  /** Consumer: {@link pop} of a value sent with {@link sendJson}, read in place. Throws IO when the bytes are no JSON. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller says what the other side sends
  receiveJson<T>(): T | undefined {
    const len = this.oldest();
    if (len < 0) return undefined;
    const start = this.recordStart();
    let text: string;
    if (len <= this.capacity - start) {
      text = this.data.toString('utf8', start, start + len);
      this.release(len);
    } else {
      text = Buffer.from(this.pop()!).toString();
    }
    try {
      return JSON.parse(text) as T;
    } catch (e) {
      throw new DpvsError('IO', `ring message is no JSON: ${(e as Error).message}`);
    }
  }

  /** Empties the ring, whatever state it is in. Only while neither side uses it (an lcore that is being restarted). */
  reset(): void {
    Atomics.store(this.words, HEAD, 0);
    Atomics.store(this.words, TAIL, 0);
  }

  /** Producer: true when a record of `len` bytes fits now. @throws DpvsError as push */
  private hasRoom(len: number): boolean {
    const need = LENGTH_WORD + pad4(len);
    if (need > this.capacity)
      throw new DpvsError(
        'NOROOM',
        `message of ${len} bytes can never fit a ring of ${this.capacity} bytes`,
        'split the message or make the ring larger',
      );
    const used = this.distance(Atomics.load(this.words, HEAD), Atomics.load(this.words, TAIL));
    return need <= this.capacity - used;
  }

  /** Producer: writes the length of the next record. @returns where in `data` its bytes begin */
  private begin(len: number): number {
    const tail = Atomics.load(this.words, TAIL);
    const mask = this.capacity - 1;
    this.words[(DATA + (tail & mask)) >>> 2] = len;
    return (tail + LENGTH_WORD) & mask;
  }

  /** Producer: hands over the record that `begin` began. */
  private publish(len: number): void {
    Atomics.store(this.words, TAIL, (Atomics.load(this.words, TAIL) + LENGTH_WORD + pad4(len)) | 0);
  }

  /** Consumer: bytes of the oldest record, -1 = none. @throws DpvsError IO */
  private oldest(): number {
    const head = Atomics.load(this.words, HEAD);
    const used = this.distance(head, Atomics.load(this.words, TAIL));
    if (used === 0) return -1;
    const len = this.words[(DATA + (head & (this.capacity - 1))) >>> 2]! >>> 0;
    // Not pad4(len) here: it would overflow for a length near 2^32.
    if (len > used - LENGTH_WORD) throw this.corrupted(`length ${len} with ${used} bytes in use`);
    return len;
  }

  /** Consumer: where in `data` the oldest record's bytes begin. */
  private recordStart(): number {
    return (Atomics.load(this.words, HEAD) + LENGTH_WORD) & (this.capacity - 1);
  }

  /** Consumer: gives back the room of the oldest record. */
  private release(len: number): void {
    Atomics.store(this.words, HEAD, (Atomics.load(this.words, HEAD) + LENGTH_WORD + pad4(len)) | 0);
  }

  /** Bytes between the cursors; throws where these cannot be right. */
  private distance(head: number, tail: number): number {
    const used = (tail - head) >>> 0;
    if (used > this.capacity || ((used | head) & 3) !== 0)
      throw this.corrupted(`cursors at ${head >>> 0} and ${tail >>> 0}`);
    return used;
  }

  private corrupted(what: string): DpvsError {
    return new DpvsError('IO', `ring is corrupted: ${what}, capacity ${this.capacity}`);
  }
}
