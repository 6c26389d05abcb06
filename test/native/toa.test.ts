/** TOA in the native loop: it takes all of a connection but its SYN, and does with it what the stack does. */
import { beforeEach, afterEach, expect, test } from 'vitest';
import { DIR_IN, FLOW_ACTION } from '../../src/core/layout.js';
import { D } from '../../src/ipvs/conn/records.js';
import { ramp, tcp, type TcpOptions } from '../support/frames.js';
import { Pair, pairPorts } from './support/pair.js';
import { macOf } from './support/side.js';

const CLIENT = '172.16.0.1:1000';
const VIP = '10.1.1.1:80';
const RS = '192.168.0.10:80';
/** Numbers of client and real server: both pass 2^32 soon. */
const C = 0xfffffff0;
const S = 0xfffffffd;
const TOA = Buffer.from([254, 8, 1000 >>> 8, 1000 & 255, 172, 16, 0, 1]);

const ports = pairPorts();
let pair: Pair;
let now = 1_000_000;
/** Sequence number that the real server was told, less the client's; its local end. */
let shift = 0;
let local = '';

beforeEach(() => {
  const addr = (dev: string, a: string, plen: number) =>
    ({ op: 'addr.add', dev, addr: a, plen, scope: 'global', validLft: 0, sapool: false }) as const;
  const svc = { proto: 'tcp', addr: '10.1.1.1', port: 80 } as const;
  const dest = { addr: '192.168.0.10', port: 80 };
  pair = new Pair(ports, {
    conns: 8,
    nowMs: now,
    neighTimeoutMs: 60_000,
    ipvs: { xmitTtl: true },
    path: 'flow',
  });
  for (const c of [
    addr('dpdk0', '10.1.0.1', 16),
    addr('dpdk0', '10.1.1.1', 32),
    addr('dpdk1', '192.168.0.1', 16),
    { op: 'neigh.add', dev: 'dpdk0', addr: '10.1.0.254', lladdr: '02:00:00:00:99:01' },
    { op: 'route.add', dst: '0.0.0.0', plen: 0, via: '10.1.0.254', mtu: 0, metric: 0, tos: 0, local: false },
    { op: 'neigh.add', dev: 'dpdk1', addr: '192.168.0.10', lladdr: '02:00:00:00:99:09' },
    { op: 'svc.add', svc, scheduler: 'rr', connTimeout: 0 },
    { op: 'dest.add', svc, dest, fwd: 'fullnat', weight: 1, maxConn: 0, minConn: 0 },
    { op: 'laddr.add', svc, addr: '192.168.0.200', dev: 'dpdk1' },
  ] as const)
    pair.apply(c);
});

afterEach(() => pair.close());

type Seg = Partial<TcpOptions> & { flags: string };

/** What comes out of device `to` for a frame, the same on both paths, and how many packets TypeScript got of it. */
function play(from: number, frame: Uint8Array): { out: Buffer | undefined; exceptions: number } {
  const before = pair.tested.stat('exceptions');
  pair.send(from, frame);
  const out = pair.turn((now += 1), `${now}`)[1 - from]![0];
  pair.compare(`${now}`);
  return { out, exceptions: pair.tested.stat('exceptions') - before };
}
const fromClient = (at: number, ack: number, seg: Seg) =>
  play(0, tcp({ dmac: macOf(0), src: CLIENT, dst: VIP, seq: (C + at) >>> 0, ack: (S + ack) >>> 0, ...seg }));
const fromServer = (at: number, ack: number, seg: Seg) =>
  play(
    1,
    tcp({
      dmac: macOf(1),
      src: RS,
      dst: local,
      seq: (S + at) >>> 0,
      ack: (C + ack + shift) >>> 0,
      ...seg,
    }),
  );
const optionsOf = (f: Buffer): Buffer => f.subarray(54, 34 + (f[46]! >>> 4) * 4);
const action = (): number => {
  const r = pair.tested.ipvs.table.records;
  return r.u16[(r.dir(1, DIR_IN) + D.actions) >>> 1]! & FLOW_ACTION.CLIENT_ADDR;
};

function open(): void {
  const { out, exceptions } = fromClient(0, 0, { flags: 'S', ack: 0 });
  expect(exceptions).toBe(1);
  shift = (out!.readUInt32BE(38) - C) | 0;
  local = `192.168.0.200:${out!.readUInt16BE(34)}`;
}

test('all but the SYN of a whole connection is native: MSS lowered, address told until data is acknowledged', () => {
  open();
  const answer = fromServer(0, 1, { flags: 'SA', tcpOptions: [1, 2, 4, 5, 180, 1, 1, 1] });
  expect(answer.exceptions).toBe(0);
  expect(optionsOf(answer.out!)).toEqual(Buffer.from([1, 2, 4, 5, 172, 1, 1, 1]));
  const told = [
    fromClient(1, 1, { flags: 'A' }),
    fromClient(1, 1, { flags: 'PA', data: ramp(11), tcpOptions: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2] }),
  ];
  expect(told.map((x) => x.exceptions)).toEqual([0, 0]);
  for (const x of told) expect(optionsOf(x.out!).subarray(0, 8)).toEqual(TOA);
  expect(fromServer(1, 12, { flags: 'PA', data: ramp(20) }).exceptions).toBe(0);
  // Of what was never sent: the address is still to be told.
  expect(fromClient(12, 22, { flags: 'A' }).exceptions).toBe(0);
  expect(action()).not.toBe(0);
  const last = fromClient(12, 21, { flags: 'FA' });
  expect([last.exceptions, optionsOf(last.out!).length, action()]).toEqual([0, 0, 0]);
});

test('an upload that is acknowledged ends it as well: with that segment, and natively', () => {
  open();
  fromServer(0, 1, { flags: 'SA' });
  fromClient(1, 1, { flags: 'PA', data: ramp(11) });
  expect(action()).not.toBe(0);
  fromServer(1, 12, { flags: 'A' });
  const more = fromClient(12, 1, { flags: 'PA', data: ramp(3) });
  expect([more.exceptions, optionsOf(more.out!), action()]).toEqual([0, TOA, 0]);
  expect(optionsOf(fromClient(15, 1, { flags: 'A' }).out!)).toHaveLength(0);
});

test('where other options have to make way, and what a client forges, is for TypeScript', () => {
  open();
  fromServer(0, 1, { flags: 'SA' });
  const nops = (n: number) => Array<number>(n).fill(1);
  const full = fromClient(1, 1, { flags: 'A', tcpOptions: nops(32), data: ramp(3) });
  expect([full.exceptions, optionsOf(full.out!).length]).toEqual([0, 40]);
  expect(fromClient(1, 1, { flags: 'A', tcpOptions: nops(36) }).exceptions).toBe(1);
  expect(fromClient(1, 1, { flags: 'A', data: ramp(1452) }).exceptions).toBe(0);
  expect(fromClient(1, 1, { flags: 'A', data: ramp(1453) }).exceptions).toBe(1);
  const forged = fromClient(1, 1, { flags: 'A', tcpOptions: [254, 8, 0, 80, 8, 8, 8, 8] });
  expect(forged.exceptions).toBe(1);
  expect(optionsOf(forged.out!)).toEqual(Buffer.concat([TOA, Buffer.from(nops(8))]));
});
