/** Full-NAT of TCP as real servers see it: re-based numbers, the client's address, options that must not pass. */
import { beforeEach, describe, expect, it } from 'vitest';
import { DIR_IN, FLOW_ACTION } from '../../../src/core/layout.js';
import { D } from '../../../src/ipvs/conn/records.js';
import { Isn } from '../../../src/ipvs/isn.js';
import { sharedMemory } from '../../../src/ipvs/shared.js';
import { parseIpv4 } from '../../../src/wire/ipv4.js';
import { decode, icmp, ramp, tcp, type TcpOptions } from '../../support/frames.js';
import { UNTOUCHED } from '../../support/untouched.js';
import { CLIENT, LIP, OUR_MAC, PEER_MAC, Rig, type RigOptions, RS, VIP } from './rig.js';

const LOCAL = `${LIP}:1025`;
const ON = { rebase: true, keepTimestamps: false, toa: true, ackStorm: 10 };
/** 10.0.0.1:40000 as the option has it. */
const TOA = [254, 8, 40000 >>> 8, 40000 & 255, 10, 0, 0, 1];
const MSS = (mss: number): number[] => [2, 4, mss >>> 8, mss & 255];
const TIMESTAMP = [8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
const be = (v: number): number[] => [v >>> 24, (v >>> 16) & 255, (v >>> 8) & 255, v & 255];
const sack = (...edges: number[]): number[] => [5, 2 + edges.length * 4, ...edges.flatMap(be)];

const ISN = 0xfffffff0;
const SERVER_ISN = 0x7ffffffe;

let rig: Rig;
let delta: number;

const up = (n: number): number => (n + delta) >>> 0;
const toServer = (o: Partial<TcpOptions>): Uint8Array =>
  tcp({ smac: OUR_MAC, dmac: PEER_MAC, src: LOCAL, dst: RS, ...o, seq: up(o.seq!) });
const toClient = (o: Partial<TcpOptions>): Uint8Array =>
  tcp({ smac: OUR_MAC, dmac: PEER_MAC, src: VIP, dst: CLIENT, ...o });
const client = (o: Partial<TcpOptions>): Uint8Array[] => rig.fromClient(tcp({ src: CLIENT, dst: VIP, ...o }));
const server = (o: Partial<TcpOptions>): Uint8Array[] => rig.fromServer(tcp({ src: RS, dst: LOCAL, ...o }));

/** Client's SYN and server's answer; afterwards `delta` is known. */
function opened(o: RigOptions = {}): void {
  rig = new Rig({ ...o, config: { tcp: ON, ...o.config } });
  rig.serve();
  const [syn] = client({ flags: 'S', seq: ISN });
  delta = (decode(syn!).tcp!.seq - ISN) >>> 0;
  server({ flags: 'SA', seq: SERVER_ISN, ack: up(ISN + 1) });
}
const actions = (): number => {
  const r = rig.ipvs.table.records;
  return r.u16[(r.dir(1, DIR_IN) + D.actions) >>> 1]!;
};
const isAsked = (): boolean => (actions() & FLOW_ACTION.CLIENT_ADDR) !== 0;

describe('sequence numbers', () => {
  it('begin at a keyed hash of the ends plus a clock (RFC 6528)', () => {
    const shared = sharedMemory(1);
    opened({ shared });
    const isn = new Isn(new Uint32Array(shared.secret));
    const ours = isn.of(parseIpv4(LIP), parseIpv4('192.168.0.2'), (1025 << 16) | 8080, rig.packets.nowMs);
    expect(up(ISN)).toBe(ours);
    const other = isn.of(parseIpv4(LIP), parseIpv4('192.168.0.2'), (1026 << 16) | 8080, rig.packets.nowMs);
    expect(other).not.toBe(ours);
    expect(isn.of(1, 2, 3, 1001)).toBe((isn.of(1, 2, 3, 1000) + 15625) >>> 0);
  });

  it('are another secret in another instance', () => {
    const [a, b] = [0, 1].map(() => new Isn(new Uint32Array(sharedMemory(1).secret)).of(1, 2, 3, 0));
    expect(a).not.toBe(b);
  });

  it('are shifted for the whole life of the connection, answers and SACK blocks back, across 2^32', () => {
    opened();
    expect(client({ flags: 'A', seq: ISN + 1, ack: SERVER_ISN + 5 })).toEqual([
      toServer({ flags: 'A', seq: ISN + 1, ack: SERVER_ISN + 5 }),
    ]);
    expect(client({ flags: 'PA', seq: 5, ack: SERVER_ISN + 5, data: 'x' })).toEqual([
      toServer({ flags: 'PA', seq: 5, ack: SERVER_ISN + 5, data: 'x' }),
    ]);
    const answer = { flags: 'A', seq: SERVER_ISN + 5, window: 77 };
    for (const nops of [[1, 1], [1, 1, 1], []]) {
      const options = (by: number): number[] => [
        ...nops,
        ...sack((ISN + 3 + by) >>> 0, (5 + by) >>> 0),
        ...[1, 1, 1, 1].slice(0, (4 - ((nops.length + 10) % 4)) % 4),
      ];
      expect(server({ ...answer, ack: up(ISN + 1), tcpOptions: options(delta) })).toEqual([
        toClient({ ...answer, ack: (ISN + 1) >>> 0, tcpOptions: options(0) }),
      ]);
    }
    expect(rig.imbalance).toBe(0);
  });

  it('of a SYN that comes again are the same', () => {
    opened();
    expect(client({ flags: 'S', seq: ISN })).toEqual([toServer({ flags: 'S', seq: ISN })]);
  });

  it('of a SYN that comes late, over its own closing connection, open nothing', () => {
    opened();
    server({ flags: 'RA', seq: SERVER_ISN + 1, ack: up(ISN + 1) });
    expect(client({ flags: 'S', seq: ISN })).toEqual([]);
    expect(rig.drops).toEqual({ TCP_OLD_SYN: 1 });
    expect(rig.conns).toBe(1);
  });

  it('of a SYN that comes again after the client refused the answer of an older connection are the same', () => {
    rig = new Rig({ config: { tcp: ON } });
    rig.serve();
    const [syn] = client({ flags: 'S', seq: ISN });
    delta = (decode(syn!).tcp!.seq - ISN) >>> 0;
    const stale = decode(server({ flags: 'A', seq: 77, ack: 4711 })[0]!).tcp!.ack;
    expect(client({ flags: 'R', seq: stale })).toEqual([toServer({ flags: 'R', seq: stale })]);
    expect(decode(toServer({ flags: 'R', seq: stale })).tcp!.seq).toBe(4711);
    expect(client({ flags: 'S', seq: ISN })).toEqual([syn]);
    expect(server({ flags: 'SA', seq: SERVER_ISN, ack: up(ISN + 1) })).toHaveLength(1);
    expect(rig.drops).toEqual({});
  });

  it('of a client that opens anew over a closing connection begin afresh', () => {
    opened();
    server({ flags: 'RA', seq: SERVER_ISN + 1, ack: up(ISN + 1) });
    const [syn] = client({ flags: 'S', seq: ISN + 100 });
    const d = decode(syn!);
    expect(d.tcp!.sport).toBe(1026);
    expect(d.tcp!.seq).not.toBe(up(ISN + 100));
  });

  it('in resets of an expired connection are those that each end believes', () => {
    opened();
    client({ flags: 'PA', seq: ISN + 1, ack: SERVER_ISN + 1, data: 'hello' });
    server({ flags: 'PA', seq: SERVER_ISN + 1, ack: up(ISN + 6), data: 'world' });
    const { client: toC, server: toS } = rig.advance(91_000, 1000);
    expect(toC.map((f) => decode(f).tcp)).toMatchObject([
      { flags: 'RA', seq: SERVER_ISN + 6, ack: (ISN + 6) >>> 0 },
    ]);
    expect(toS.map((f) => decode(f).tcp)).toMatchObject([
      { flags: 'RA', seq: up(ISN + 6), ack: SERVER_ISN + 6 },
    ]);
  });

  it('that an ICMP error quotes are given back', () => {
    opened();
    const quoted = toServer({ flags: 'A', seq: 5, ack: SERVER_ISN + 5, data: ramp(30) }).slice(14);
    for (const len of [28, 40, quoted.length]) {
      const data = quoted.slice(0, len);
      const [error] = rig.fromServer(
        icmp({ src: '192.168.0.2', dst: LIP, type: 3, code: 4, rest: 1400, data }),
      );
      const inner = decode(error!).icmp!.data;
      expect(Buffer.from(inner).toString('hex')).toBe(
        Buffer.from(
          tcp({ src: CLIENT, dst: VIP, flags: 'A', seq: 5, ack: SERVER_ISN + 5, data: ramp(30) }).slice(
            14,
            14 + len,
          ),
        ).toString('hex'),
      );
    }
  });
});

describe('options of the handshake', () => {
  beforeEach(() => opened());

  it("timestamps of the client's SYN become padding, everything else stays", () => {
    const options = (t: number[]): number[] => [...MSS(1460), 4, 2, ...t, 1, 3, 3, 7];
    expect(client({ flags: 'S', seq: ISN, tcpOptions: options(TIMESTAMP) })).toEqual([
      toServer({ flags: 'S', seq: ISN, tcpOptions: options(Array<number>(10).fill(1)) }),
    ]);
    const odd = (t: number[]): number[] => [1, ...t, 1];
    expect(client({ flags: 'S', seq: ISN, tcpOptions: odd(TIMESTAMP) })).toEqual([
      toServer({ flags: 'S', seq: ISN, tcpOptions: odd(Array<number>(10).fill(1)) }),
    ]);
  });

  it('timestamps stay when so configured', () => {
    opened({ config: { tcp: { ...ON, keepTimestamps: true } } });
    const tcpOptions = [1, 1, ...TIMESTAMP];
    expect(client({ flags: 'S', seq: ISN, tcpOptions })).toEqual([
      toServer({ flags: 'S', seq: ISN, tcpOptions }),
    ]);
  });

  it("the real server's MSS is lowered by what is put in", () => {
    const synAck = { flags: 'SA', seq: SERVER_ISN };
    const layouts = [
      (mss: number): number[] => MSS(mss),
      (mss: number): number[] => [1, ...MSS(mss), 3, 3, 7],
    ];
    for (const layout of layouts)
      expect(server({ ...synAck, ack: up(ISN + 1), tcpOptions: layout(1460) })).toEqual([
        toClient({ ...synAck, ack: (ISN + 1) >>> 0, tcpOptions: layout(1452) }),
      ]);
    // One that leaves hardly anything, and none.
    for (const tcpOptions of [MSS(70), []])
      expect(server({ ...synAck, ack: up(ISN + 1), tcpOptions })).toEqual([
        toClient({ ...synAck, ack: (ISN + 1) >>> 0, tcpOptions }),
      ]);
  });

  it('none of it happens when it is off', () => {
    opened({ config: { tcp: UNTOUCHED } });
    expect(delta).toBe(0);
    expect(server({ flags: 'SA', seq: 1, ack: ISN + 1, tcpOptions: MSS(1460) })).toEqual([
      toClient({ flags: 'SA', seq: 1, ack: ISN + 1, tcpOptions: MSS(1460) }),
    ]);
    expect(client({ flags: 'A', seq: ISN + 1, ack: 2 })).toEqual([
      toServer({ flags: 'A', seq: ISN + 1, ack: 2 }),
    ]);
  });
});

describe("the client's address", () => {
  const first = { flags: 'A', seq: ISN + 1, ack: SERVER_ISN + 1 };

  beforeEach(() => opened());

  it('goes with every segment up to the first byte of the real server that was acknowledged', () => {
    const timestamps = [1, 1, ...TIMESTAMP];
    expect(client({ ...first, tcpOptions: timestamps })).toEqual([
      toServer({ ...first, tcpOptions: [...TOA, ...timestamps] }),
    ]);
    for (let i = 0; i < 5; i++)
      expect(client({ ...first, flags: 'PA', data: ramp(11 + i) })).toEqual([
        toServer({ ...first, flags: 'PA', data: ramp(11 + i), tcpOptions: TOA }),
      ]);
    server({ flags: 'PA', seq: SERVER_ISN + 1, ack: up(ISN + 1), data: 'answer' });
    // It was sent, but the client has not seen it.
    expect(client({ ...first, flags: 'FA', seq: 5 })).toEqual([
      toServer({ ...first, flags: 'FA', seq: 5, tcpOptions: TOA }),
    ]);
    expect(isAsked()).toBe(true);
    const seen = { flags: 'A', seq: 6, ack: SERVER_ISN + 2 };
    expect(client(seen)).toEqual([toServer(seen)]);
    expect(isAsked()).toBe(false);
    // A late one from before.
    expect(client(first)).toEqual([toServer(first)]);
    expect(rig.imbalance).toBe(0);
  });

  it('of an upload goes with every segment up to the first byte of the client that was acknowledged', () => {
    const data = { ...first, data: ramp(1000) };
    expect(client(data)).toEqual([toServer({ ...data, tcpOptions: TOA })]);
    // Not yet: this says that the SYN has come.
    server({ flags: 'A', seq: SERVER_ISN + 1, ack: up(ISN + 1) });
    expect(client(data)).toEqual([toServer({ ...data, tcpOptions: TOA })]);
    expect(isAsked()).toBe(true);
    server({ flags: 'A', seq: SERVER_ISN + 1, ack: up(ISN + 2) });
    expect(client(data)).toEqual([toServer({ ...data, tcpOptions: TOA })]);
    expect(isAsked()).toBe(false);
    expect(client(data)).toEqual([toServer(data)]);
    expect(rig.imbalance).toBe(0);
  });

  it('does not go with SYN or RST, nor before the real server has answered', () => {
    expect(client({ flags: 'RA', seq: ISN + 1, ack: SERVER_ISN + 1 })).toEqual([
      toServer({ flags: 'RA', seq: ISN + 1, ack: SERVER_ISN + 1 }),
    ]);
    rig = new Rig({ config: { tcp: ON } });
    rig.serve();
    const [syn] = client({ flags: 'S', seq: ISN });
    delta = (decode(syn!).tcp!.seq - ISN) >>> 0;
    expect(client({ flags: 'A', seq: ISN + 1, ack: 1 })).toEqual([
      toServer({ flags: 'A', seq: ISN + 1, ack: 1 }),
    ]);
    expect(isAsked()).toBe(true);
  });

  it('cannot be kept back by acknowledging what was never sent', () => {
    const never = { flags: 'A', seq: ISN + 1, ack: SERVER_ISN + 1000 };
    expect(client(never)).toEqual([toServer(never)]);
    expect(client(first)).toEqual([toServer({ ...first, tcpOptions: TOA })]);
  });

  it('of a forger never arrives: not on a SYN, a segment of the handshake, or later, wherever it stands', () => {
    const forged = [254, 8, 1, 2, 3, 4, 5, 6];
    const gone = Array<number>(8).fill(1);
    const layouts = (o: number[]): number[][] => [o, [1, ...o, 1, 1, 1], [...MSS(9), ...o], [...o, ...o]];
    layouts(forged).forEach((tcpOptions, i) => {
      const clean = layouts(gone)[i]!;
      expect(client({ flags: 'S', seq: ISN, tcpOptions })).toEqual([
        toServer({ flags: 'S', seq: ISN, tcpOptions: clean }),
      ]);
      expect(client({ ...first, tcpOptions })).toEqual([
        toServer({ ...first, tcpOptions: [...TOA, ...clean] }),
      ]);
    });
    // As IPv6 has it, of 20 bytes.
    const long = [254, 20, ...ramp(18)];
    expect(client({ ...first, tcpOptions: long })).toEqual([
      toServer({ ...first, tcpOptions: [...TOA, ...Array<number>(20).fill(1)] }),
    ]);
    const later = { flags: 'A', seq: ISN + 1, ack: SERVER_ISN + 2 };
    server({ flags: 'PA', seq: SERVER_ISN + 1, ack: up(ISN + 1), data: 'answer' });
    client(later);
    expect(isAsked()).toBe(false);
    expect(client({ ...later, tcpOptions: forged })).toEqual([toServer({ ...later, tcpOptions: gone })]);
    expect(rig.svcEvents()).toEqual({ TOA_INSERTED: 5, TOA_FORGED: 10 });
  });

  it('pushes padding, then SACK blocks, then everything but timestamps out of a full header', () => {
    const blocks = sack(1, 2, 3, 4, 5, 6); // 26
    const cases: [number[], number[]][] = [
      // 32 bytes fit as they are.
      [
        [1, 1, ...TIMESTAMP, 1, 1, ...sack(1, 2, 3, 4)],
        [1, 1, ...TIMESTAMP, 1, 1, ...sack(1, 2, 3, 4)],
      ],
      // Padding alone was in the way.
      [
        [...Array<number>(18).fill(1), ...TIMESTAMP, ...sack(1, 2)],
        [...TIMESTAMP, ...sack(1, 2)],
      ],
      [
        [1, 1, ...TIMESTAMP, 1, 1, ...blocks],
        [...TIMESTAMP, 1, 1],
      ],
      // Multipath TCP lives by its option.
      [
        [...TIMESTAMP, 30, 20, ...ramp(18), ...sack(1, 2)],
        [...TIMESTAMP, 30, 20, ...ramp(18), 1, 1],
      ],
      [
        [...TIMESTAMP, 30, 30, ...ramp(28)],
        [...TIMESTAMP, 1, 1],
      ],
      [[99, 40, ...ramp(38)], []],
    ];
    for (const [had, left] of cases)
      expect(client({ ...first, data: 'abc', tcpOptions: had })).toEqual([
        toServer({ ...first, data: 'abc', tcpOptions: [...TOA, ...left] }),
      ]);
  });

  it('gives way where the datagram would be larger than the MTU: options first, then itself', () => {
    const ts = [1, 1, ...TIMESTAMP];
    const big = (bytes: number): TcpOptions => ({
      src: CLIENT,
      dst: VIP,
      ...first,
      df: true,
      data: ramp(bytes),
    });
    expect(client({ ...big(1452), src: CLIENT })).toEqual([
      toServer({ ...first, df: true, data: ramp(1452), tcpOptions: TOA }),
    ]);
    expect(client(big(1453))).toEqual([toServer({ ...first, df: true, data: ramp(1453) })]);
    // Twelve bytes of timestamps make room for nothing: they stay.
    expect(client({ ...big(1448), tcpOptions: ts })).toEqual([
      toServer({ ...first, df: true, data: ramp(1448), tcpOptions: ts }),
    ]);
    // SACK blocks do.
    expect(client({ ...big(1440), tcpOptions: [...sack(1, 2), 1, 1] })).toEqual([
      toServer({ ...first, df: true, data: ramp(1440), tcpOptions: [...TOA, ...sack(1, 2), 1, 1] }),
    ]);
    expect(client({ ...big(1448), tcpOptions: [...sack(1, 2), 1, 1] })).toEqual([
      toServer({ ...first, df: true, data: ramp(1448), tcpOptions: TOA }),
    ]);
    expect(rig.inet.errors).toEqual([]);
    expect(rig.imbalance).toBe(0);
    expect(rig.svcEvents()).toEqual({ TOA_INSERTED: 3, TOA_NO_ROOM: 2 });
  });

  it('is not told of other modes, whose servers see the client', () => {
    rig = new Rig({ config: { tcp: ON } });
    rig.serve('tcp', { fwd: 'nat' });
    const forged = [254, 8, 1, 2, 3, 4, 5, 6];
    const at = { smac: OUR_MAC, dmac: PEER_MAC, src: CLIENT, dst: RS };
    expect(client({ flags: 'S', seq: 7, tcpOptions: forged })).toEqual([
      tcp({ ...at, flags: 'S', seq: 7, tcpOptions: forged }),
    ]);
  });
});
