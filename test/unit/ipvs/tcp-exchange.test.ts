/**
 * Whatever is lost, doubled, held back or comes late between a client and its server, Full-NAT delivers exactly the bytes that
 * were sent, and the server's first segment with data tells the client's address: with syn-proxy as well.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { SynproxyConfig } from '../../../src/ipvs/synproxy/config.js';
import { decode, tcp } from '../../support/frames.js';
import { type Segment, TcpEnd } from '../../support/tcp-model.js';
import { CLIENT, CLIENT_PORT, Rig, RS, RS_PORT, VIP } from './rig.js';

/** A client's 0 stands for "not known" in records; a late SYN of such a one is not told from a new one. */
const ISNS = [1, 2, 0x7ffffff0, 0x80000000, 0xfffffff0, 0xffffffff];
const STEP_MS = 50;
const MOST_STEPS = 4000;

/** A cable with faults: what becomes of the next segments, by number. */
const faults = fc.array(fc.constantFrom('ok', 'ok', 'ok', 'ok', 'lost', 'twice', 'late', 'last'), {
  maxLength: 60,
});

interface Exchange {
  clientIsn: number;
  serverIsn: number;
  asks: Uint8Array;
  answers: Uint8Array;
  sack: boolean;
  timestamps: boolean;
  keepTimestamps: boolean;
  mss: number;
  up: string[];
  down: string[];
}

const isn = fc.oneof(fc.constantFrom(...ISNS), fc.integer({ min: 1, max: 0xffffffff }));
const bytes = fc.uint8Array({ maxLength: 9000 });
const exchange: fc.Arbitrary<Exchange> = fc.record({
  clientIsn: isn,
  serverIsn: isn,
  asks: bytes,
  answers: bytes,
  sack: fc.boolean(),
  timestamps: fc.boolean(),
  keepTimestamps: fc.boolean(),
  mss: fc.constantFrom(100, 536, 1460),
  up: faults,
  down: faults,
});

/** Segments on their way. */
class Cable {
  private readonly held: { at: number; s: Segment }[] = [];
  constructor(private readonly plan: string[]) {}

  put(segments: readonly Segment[], now: number): void {
    const turned: Segment[] = [];
    for (const s of segments) {
      const fate = this.plan.shift() ?? 'ok';
      if (fate === 'last') turned.push(s);
      else if (fate !== 'lost') this.held.push({ at: fate === 'late' ? now + 700 : now, s });
      if (fate === 'twice') this.held.push({ at: now + 2 * STEP_MS, s });
    }
    for (const s of turned) this.held.push({ at: now, s });
  }

  take(now: number): Segment[] {
    const out = this.held.filter((h) => h.at <= now);
    for (const h of out) this.held.splice(this.held.indexOf(h), 1);
    return out.map((h) => h.s);
  }
}

function play(e: Exchange, synproxy?: Partial<SynproxyConfig>): void {
  const { keepTimestamps } = e;
  const rig = new Rig({
    config: { tcp: { rebase: true, toa: true, keepTimestamps }, ...(synproxy && { synproxy }) },
  });
  rig.serve('tcp', { synproxy: synproxy !== undefined });
  const both = { mss: e.mss, sack: e.sack, timestamps: e.timestamps };
  const client = new TcpEnd({ isn: e.clientIsn, data: e.asks, active: true, ...both });
  const server = new TcpEnd({ isn: e.serverIsn, data: e.answers, active: false, ...both });
  const up = new Cable([...e.up]);
  const down = new Cable([...e.down]);
  const frameOf = (s: Segment, src: string, dst: string): Uint8Array =>
    tcp({ ...s, tcpOptions: s.options, src, dst, df: true });
  let local = '';
  // Syn-proxy also answers, and asks by itself.
  const deliver = (out: { client: Uint8Array[]; server: Uint8Array[] }): void => {
    for (const f of out.server) {
      const d = decode(f);
      local = `${d.ip!.src}:${d.tcp!.sport}`;
      server.receive(d.tcp!);
    }
    for (const f of out.client) client.receive(decode(f).tcp!);
  };
  for (let n = 0; n < MOST_STEPS && !(client.done && server.done); n++) {
    const now = n * STEP_MS;
    up.put(client.send(now), now);
    for (const s of up.take(now)) deliver(rig.input(CLIENT_PORT, frameOf(s, CLIENT, VIP)));
    down.put(server.send(now), now);
    for (const s of down.take(now)) deliver(rig.input(RS_PORT, frameOf(s, RS, local)));
    deliver(rig.advance(STEP_MS, STEP_MS));
  }
  expect(client.complaints).toEqual([]);
  expect(server.complaints).toEqual([]);
  expect([client.done, server.done, client.reset, server.reset]).toEqual([true, true, false, false]);
  expect(Buffer.from(server.got).equals(Buffer.from(e.asks))).toBe(true);
  expect(Buffer.from(client.got).equals(Buffer.from(e.answers))).toBe(true);
  expect(new Set(server.told)).toEqual(new Set(['40000 10.0.0.1']));
  expect(client.told).toEqual([]);
  expect(rig.imbalance).toBe(0);
}

it('delivers exactly what was sent', { timeout: 120_000 }, () => {
  fc.assert(
    fc.property(exchange, (e) => play(e)),
    { numRuns: 60 },
  );
});

/** How syn-proxy may be set up. */
const setup: fc.Arbitrary<Partial<SynproxyConfig>> = fc.record({
  mss: fc.constantFrom(536, 1452),
  sack: fc.boolean(),
  timestamp: fc.boolean(),
  wscale: fc.constantFrom(0, 7),
  deferRsSyn: fc.boolean(),
  closeClientWindow: fc.boolean(),
});

it('delivers exactly what was sent, with syn-proxy', { timeout: 120_000 }, () => {
  fc.assert(fc.property(exchange, setup, play), { numRuns: 60 });
});
