/**
 * Whose flow the native loop takes a packet for (`look`, `candidate` and the front of the index, native/src/flow_table.h) against a
 * Map. Records have tuples and nothing that a packet could be forwarded by: every packet is left to TypeScript, with the flow found.
 */
import { expect, onTestFinished, test } from 'vitest';
import { Bytes } from '../../src/core/bytes.js';
import { DROP } from '../../src/core/drops.js';
import { CONN4, DIR4, HINT_ABSENT } from '../../src/core/layout.js';
import { formatIpv4 } from '../../src/wire/ipv4.js';
import { udp } from '../support/frames.js';
import { pairPorts } from './support/pair.js';
import { native } from './support/rig.js';
import { Injector, macOf, Side } from './support/side.js';
import { Rng } from './support/traffic.js';

const CLIENTS = 6000;
const BURST = 32;
/** More packets than the front of a large table is tried for. */
const ROUNDS = 2000;
const VIP = 0x0a010101;
const SERVER = 0xc0a8000a;
const LOCAL = 0xc0a800c8;
const clientAddr = (n: number): number => 0x14000000 + n;
const ports = pairPorts();

function write(records: Bytes, conn: number, client: number): void {
  const dir = (at: number, saddr: number, daddr: number, sport: number, dport: number): void => {
    records.setU32(at + DIR4.at.saddr, saddr);
    records.setU32(at + DIR4.at.daddr, daddr);
    records.setU16(at + DIR4.at.sport, sport);
    records.setU16(at + DIR4.at.dport, dport);
    records.setU8(at + DIR4.at.proto, 17);
  };
  dir(conn * CONN4.size + CONN4.at.in, clientAddr(client), VIP, 1000, 53);
  dir(conn * CONN4.size + CONN4.at.out, SERVER, LOCAL, 53, conn);
}

test.each([
  { what: 'a table too small for all', conns: 4096, alwaysFront: false, path: 'flow' },
  { what: 'the same behind a front', conns: 4096, alwaysFront: true, path: 'flow' },
  { what: 'the same without flow offload', conns: 4096, alwaysFront: true, path: 'short' },
  { what: 'a large table, with a front as soon as it pays', conns: 16384, alwaysFront: false, path: 'flow' },
] as const)(
  'flows come and go, each packet is given its own or none: $what',
  ({ conns, alwaysFront, path }) => {
    const side = new Side({
      id: 1,
      ports: ports.slice(0, 2),
      conns,
      path,
      nowMs: 1_000_000,
      ipvs: {},
      neighTimeoutMs: 60_000,
      alwaysFront,
    });
    const injector = new Injector(2, ports.slice(0, 2));
    onTestFinished(() => {
      side.close();
      injector.close();
    });
    const records = new Bytes(side.conns);
    const { packets } = side;
    const frames = Array.from({ length: CLIENTS }, (_, n) =>
      udp({ src: `${formatIpv4(clientAddr(n))}:1000`, dst: `${formatIpv4(VIP)}:53`, dmac: macOf(0) }),
    );
    const r = new Rng(7);
    const connOf = new Map<number, number>();
    const idle = Array.from({ length: conns - 1 }, (_, i) => i + 1);
    const begin = (client: number): void => {
      const conn = idle.pop();
      if (conn === undefined) return;
      write(records, conn, client);
      expect(native.flowInsert(1, conn)).toBe(0);
      connOf.set(client, conn);
    };
    for (let client = 0; client < CLIENTS; client++) begin(client);
    let known = 0;
    for (let round = 0; round < ROUNDS; round++) {
      // Most packets are of a few, who are often twice in a burst, and who come and go, too.
      const hot = round % (CLIENTS - 20);
      const anyone = (): number => (r.chance(95) ? hot + r.below(20) : r.below(CLIENTS));
      for (let i = 0; i < 4; i++) {
        const client = anyone();
        const conn = connOf.get(client);
        if (conn === undefined) {
          begin(client);
        } else if (r.chance(10)) {
          expect(native.flowRemove(1, conn)).toBe(0);
          connOf.delete(client);
          idle.push(conn);
        }
      }
      const sent = Array.from({ length: BURST }, anyone);
      for (const client of sent) injector.send(side, 0, frames[client]!, frames[client]!.length, false);
      injector.flush();
      const all = Array.from({ length: native.poll(1, BURST) }, (_, i) => packets.exception(i));
      const found = all.map((p) => packets.hint(p));
      for (const p of all) packets.drop(p, DROP.ARP_DONE);
      native.flush(1);
      expect(found).toEqual(
        sent.map((client) => (connOf.has(client) ? connOf.get(client)! * 2 : HINT_ABSENT)),
      );
      known += found.filter((ref) => ref !== HINT_ABSENT).length;
    }
    expect(known).toBeGreaterThan(ROUNDS * BURST * 0.6);
    expect(known).toBeLessThan(ROUNDS * BURST * 0.99);
  },
);
