/**
 * The control block of bench/native/source.c: a file that the plugin maps and we read and write (both see the same
 * page). Field numbers are read from source.h.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROOT } from './paths.js';

/** The numbers of every `NAME = number,` in the header. */
export function parseHeader(text: string): Map<string, number> {
  const out = new Map<string, number>();
  for (const m of text.matchAll(/\b([A-Z][A-Z0-9_]*) = (\d+)/g)) out.set(m[1]!, Number(m[2]));
  return out;
}

const NAMES = parseHeader(readFileSync(join(ROOT, 'bench/native/source.h'), 'utf8'));
const LATENCY_CELLS = 1536;
const GAP_CELLS = 32;
const GAP_RECORDS = 32768;
const GAP_FIELDS = 8;

/** A time between two polls that was longer than usual, in ms. */
export interface Gap {
  /** Its end, on the clock of the CPU. */
  at: number;
  wall: number;
  /** The part without the CPU: other threads, the hypervisor, interrupts. */
  off: number;
  /** The part in garbage collections, and of that what was without the CPU. */
  gc: number;
  gcOff: number;
  /** How often the kernel gave the CPU to somebody else, the thread waited, a page was missing. */
  preempted: number;
  waited: number;
  faults: number;
}

/** Number of a name of the header, which is checked to be there. */
export function num(name: string): number {
  const n = NAMES.get(name);
  if (n === undefined) throw new Error(`source.h has no ${name}`);
  return n;
}

export type Mode = 'IDLE' | 'WALK' | 'RUN' | 'SYN' | 'LIFE';

/** What the source counts; see source.h. */
export interface Counters {
  rx: number;
  tx: number;
  tx0: number;
  tx1: number;
  txBytes: number;
  learnt: number;
  missed: number;
  nobuf: number;
  syns: number;
  lives: number;
  started: number;
  verified: number;
  bad: number;
  foreign: number;
}

export class Source {
  private readonly fd: number;

  constructor(readonly path: string) {
    this.fd = openSync(path, 'w+', 0o600);
    ftruncateSync(this.fd, 8 * (num('F_GAP_LOG') + GAP_RECORDS * GAP_FIELDS));
  }

  get(name: string): number {
    return this.read(num(`F_${name}`), 1)[0]!;
  }

  set(name: string, value: number | bigint): void {
    const b = Buffer.alloc(8);
    b.writeBigUInt64LE(BigInt(value));
    writeSync(this.fd, b, 0, 8, num(`F_${name}`) * 8);
  }

  setAll(values: Record<string, number | bigint>): void {
    for (const [name, v] of Object.entries(values)) this.set(name, v);
  }

  mode(m: Mode): void {
    this.set('MODE', num(`MODE_${m}`));
  }

  /** Gives an order to the plugin and waits until it is done. */
  async order(name: 'ARM' | 'BUILD' | 'CLEAR' | 'DISARM' | 'STATS', timeoutMs = 20_000): Promise<void> {
    this.set('ORDER_CODE', num(`ORDER_${name}`));
    const order = this.get('ORDER') + 1;
    this.set('ORDER', order);
    for (const end = Date.now() + timeoutMs; this.get('DONE') !== order; await sleep(1)) {
      if (Date.now() > end) throw new Error(`the source did not ${name} within ${timeoutMs / 1000} s`);
    }
    const rc = this.get('RESULT');
    if (rc !== 0) throw new Error(`the source could not ${name}: errno ${rc}`);
  }

  counters(): Counters {
    const base = num('F_RX0');
    const v = this.read(base, num('F_TSC_HZ') - base);
    const at = (name: string): number => v[num(`F_${name}`) - base]!;
    return {
      rx: at('RX0') + at('RX1'),
      tx: at('TX0') + at('TX1'),
      tx0: at('TX0'),
      tx1: at('TX1'),
      txBytes: at('TX_BYTES'),
      learnt: at('LEARNT'),
      missed: at('MISSED'),
      nobuf: at('NOBUF'),
      syns: at('SYNS'),
      lives: at('LIVES'),
      started: at('STARTED'),
      verified: at('VERIFIED'),
      bad: at('BAD'),
      foreign: at('FOREIGN'),
    };
  }

  /** Why frames were found wrong, by what was wrong with them. */
  badReasons(): Record<string, number> {
    const out: Record<string, number> = {};
    for (const name of NAMES.keys()) {
      if (!name.startsWith('F_BAD_')) continue;
      const n = this.get(name.slice(2));
      if (n > 0) out[name.slice(6).toLowerCase()] = n;
    }
    return out;
  }

  /** Ticks a second. */
  get hz(): number {
    return this.get('TSC_HZ');
  }

  clearLatency(): void {
    writeSync(
      this.fd,
      Buffer.alloc(8 * (LATENCY_CELLS + 2)),
      0,
      8 * (LATENCY_CELLS + 2),
      num('F_LATENCY_COUNT') * 8,
    );
  }

  latencyCells(): number[] {
    return this.read(num('F_LATENCY_HIST'), LATENCY_CELLS);
  }

  clearGaps(): void {
    writeSync(this.fd, Buffer.alloc(8 * GAP_CELLS), 0, 8 * GAP_CELLS, num('F_GAPS') * 8);
    this.set('GAP_COUNT', 0);
  }

  /** Gaps between two polls by power of two of ticks. */
  gapCells(): number[] {
    return this.read(num('F_GAPS'), GAP_CELLS);
  }

  /** Gaps of more than 200 us since `clearGaps`, oldest first. @throws Error when there were too many to describe */
  gaps(): Gap[] {
    const count = this.get('GAP_COUNT');
    if (count > GAP_RECORDS)
      throw new Error(`${count} gaps, of which ${GAP_RECORDS} are described: the machine is too busy`);
    const v = this.read(num('F_GAP_LOG'), count * GAP_FIELDS);
    const perMs = this.hz / 1000;
    return Array.from({ length: count }, (_, i) => {
      const field = (name: string): number => v[i * GAP_FIELDS + num(`GAP_${name}`)]!;
      return {
        at: field('AT') / perMs,
        wall: field('WALL') / perMs,
        off: field('OFF') / perMs,
        gc: field('GC') / perMs,
        gcOff: field('GC_OFF') / perMs,
        preempted: field('PREEMPTED'),
        waited: field('WAITED'),
        faults: field('FAULTS'),
      };
    });
  }

  close(): void {
    closeSync(this.fd);
    rmSync(this.path, { force: true });
  }

  private read(field: number, count: number): number[] {
    const b = Buffer.alloc(8 * count);
    readSync(this.fd, b, 0, b.length, field * 8);
    return Array.from({ length: count }, (_, i) => Number(b.readBigUInt64LE(i * 8)));
  }
}
