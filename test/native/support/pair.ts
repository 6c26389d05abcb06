/**
 * Two lcores that are given the same frames, commands and times and must agree: one may take a short path, that of the native
 * flow engine or of src/ipvs/established.ts, the other one goes by nothing but the stack.
 */
import assert from 'node:assert/strict';
import { afterAll, beforeAll, vi } from 'vitest';
import type { Command } from '../../../src/control/schema.js';
import { DpvsError } from '../../../src/core/errors.js';
import { Injector, Side, type SideOptions } from './side.js';
import { native, pool, startEal, startPort } from './rig.js';

const PORTS_OF_SIDE = 2;

/** The ports of the Pairs of a test file, there while its tests run. Hash seeds, generations, IP identification: all sides begin alike. */
export function pairPorts(): readonly number[] {
  const ports: number[] = [];
  beforeAll(() => {
    startEal();
    pool();
    for (let i = 0; i < 4; i++) ports.push(startPort(`net_ring${i}`, 2));
    vi.spyOn(Math, 'random').mockReturnValue(0.5);
  });
  afterAll(() => {
    vi.restoreAllMocks();
    for (const p of native.ports()) native.devDetach(p);
  });
  return ports;
}

export class Pair {
  readonly tested: Side;
  readonly plain: Side;
  private readonly sides: readonly Side[];
  private readonly injector: Injector;

  /** @param ports four: two of each side */
  constructor(ports: readonly number[], o: Omit<SideOptions, 'id' | 'ports'>) {
    this.tested = new Side({ ...o, id: 1, ports: ports.slice(0, PORTS_OF_SIDE) });
    this.plain = new Side({ ...o, id: 2, ports: ports.slice(PORTS_OF_SIDE), path: 'stack' });
    this.sides = [this.tested, this.plain];
    this.injector = new Injector(3, ports);
  }

  /** Applies a command to both; they take it or refuse it alike. @returns 'taken', or the code of the error */
  apply(command: Command): string {
    const answers = this.sides.map((s) => {
      try {
        s.apply(command);
        return 'taken';
      } catch (e) {
        if (!(e instanceof DpvsError)) throw e;
        return e.code;
      }
    });
    agree(JSON.stringify(command), answers[0], answers[1]);
    return answers[0]!;
  }

  /** A frame for the next `turn`. */
  send(device: number, frame: Uint8Array, length = frame.length, redirected = false): void {
    for (const s of this.sides) this.injector.send(s, device, frame, length, redirected);
  }

  /**
   * Both work off what was sent.
   * @param where for messages
   * @param unordered source addresses whose frames to one client are of many connections
   * @param answering source addresses that answer SYNs with cookies and refuse what has none, which no connection is needed for
   * @returns the frames that left each device, equal on both sides but for the order of different tuples
   */
  turn(
    nowMs: number,
    where: string,
    unordered: ReadonlySet<number> = new Set(),
    answering: ReadonlySet<number> = new Set(),
  ): Buffer[][] {
    const sorted = (frames: readonly Buffer[]): string[] => inOrder(frames, unordered, answering);
    this.injector.flush();
    for (const s of this.sides) while (s.turn(nowMs) > 0);
    const out = this.injector.take();
    return Array.from({ length: PORTS_OF_SIDE }, (_, d) => {
      const [x, y] = [out.get(this.tested.ports[d]!) ?? [], out.get(this.plain.ports[d]!) ?? []];
      agree(`${where}, dpdk${d}`, sorted(x), sorted(y));
      return y;
    });
  }

  /** Both lcores die between two bursts, and live again. */
  restart(): void {
    for (const s of this.sides) s.restart();
  }

  /** TCP connections get a sequence translation. */
  translate(): void {
    for (const s of this.sides) s.translate();
  }

  /** Counters, gauges, neighbours and connection records. */
  compare(where: string): void {
    const { tested, plain } = this;
    agree(where, tested.counters(), plain.counters());
    const [x, y] = [tested.records(), plain.records()];
    agree(where, [...x.keys()].sort(), [...y.keys()].sort());
    for (const [k, v] of x) agree(`${where}, connection ${k}`, v, y.get(k));
    agree(where, [tested.packets.balance(), plain.stat('flowHits'), plain.reflexes], [0, 0, 0]);
  }

  /** Both lcores end, with what they hold. */
  close(): void {
    for (const s of this.sides) s.close();
    this.injector.close();
  }
}

const ARP = 0x0806;
const IPIP = 4;
const TCP = 6;
const SYN_ACK = 0x12;
const RST = 4;
const ETH = 14;
const IPV4 = 20;

/** Addresses and ports of a frame, those of the inner datagram of a tunnel; of ARP the address that is asked for. */
function tupleOf(frame: Buffer): [number, number] {
  if (frame.readUInt16BE(12) === ARP) return [-1, frame.readUInt32BE(38)];
  const l3 = frame[23] === IPIP ? ETH + IPV4 : ETH;
  const end = (addr: number, port: number): number =>
    frame.readUInt32BE(l3 + addr) * 65536 + frame.readUInt16BE(l3 + port);
  // A later fragment has no ports, so the native loop doesn't know whose it is: whole packets may overtake it.
  if ((frame.readUInt16BE(l3 + 6) & 0x1fff) !== 0)
    return [
      -2 - frame.readUInt32BE(l3 + 12) * 65536 - frame.readUInt16BE(l3 + 4),
      frame.readUInt32BE(l3 + 16),
    ];
  return [end(12, 20), end(16, 22)];
}

/** True for a SYN-ACK, and a reset that answers an ACK without a connection. */
function isAnswer(frame: Buffer): boolean {
  const flags = frame[47]! & 0x17;
  return frame[23] === TCP && (flags === SYN_ACK || (flags === RST && frame.readUInt32BE(42) === 0));
}

/**
 * Frames as hex by tuple, in their order within one; those from `unordered` addresses, and answers of `answering` ones, by
 * their bytes.
 */
function inOrder(
  frames: readonly Buffer[],
  unordered: ReadonlySet<number>,
  answering: ReadonlySet<number>,
): string[] {
  return frames
    .map((frame, at) => {
      const saddr = frame.readUInt32BE(26);
      const answer = answering.has(saddr) && isAnswer(frame);
      const [src, dst] = tupleOf(frame);
      return {
        hex: frame.toString('hex'),
        src,
        dst: answer ? dst + 0.5 : dst,
        at: answer || unordered.has(saddr) ? 0 : at,
      };
    })
    .sort((a, b) => a.src - b.src || a.dst - b.dst || a.at - b.at || (a.hex < b.hex ? -1 : 1))
    .map(({ hex }) => hex);
}

/** @throws Error that says where, and how what the tested side has differs */
function agree(where: string, tested: unknown, plain: unknown): void {
  try {
    assert.deepEqual(tested, plain);
  } catch (e) {
    throw new Error(`${where}: ${(e as Error).message}`, { cause: e });
  }
}
