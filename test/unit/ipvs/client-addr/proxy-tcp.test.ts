/** PROXY protocol over TCP: what the real server gets, what the client sees of it, whatever the order, losses and tricks. */
import { deepEqual, equal } from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { DIR_IN, DIR_OUT, FLOW_ACTION } from '../../../../src/core/layout.js';
import { D } from '../../../../src/ipvs/conn/records.js';
import type { SvcOptions } from '../../../../src/ipvs/options.js';
import { decode, fragmentsOf, icmp, payloadOf, tcp, type TcpOptions } from '../../../support/frames.js';
import { CLIENT, endpoint, LIP, Rig, RS, VIP } from '../rig.js';

const LOCAL = `${LIP}:1025`;
const SERVER_ISN = 70_000;
const V1 = 'PROXY TCP4 10.0.0.1 10.1.1.1 40000 80\r\n';
const SIGNATURE = '\r\n\r\n\0\r\nQUIT\n';
const v2 = (src: number[], sport: number, tlvs = ''): string =>
  SIGNATURE +
  String.fromCharCode(0x21, 0x11, 0, 12 + tlvs.length, ...src, 10, 1, 1, 1, sport >>> 8, sport & 255, 0, 80) +
  tlvs;
const V2 = v2([10, 0, 0, 1], 40000);
const FORGED_V1 = 'PROXY TCP4 6.6.6.6 10.1.1.1 666 80\r\n';
const FORGED_V2 = v2([6, 6, 6, 6], 666);
const EVIL = { v1: FORGED_V1, v2: FORGED_V2 };

const latin = (data: Uint8Array): string => Buffer.from(data).toString('latin1');
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

interface Seen {
  /** Sequence number from the client's first one on, as the real server counts. */
  seq: number;
  ack: number;
  flags: string;
  data: string;
}

/** A connection whose handshake is done. */
class Session {
  readonly rig: Rig;
  /** What the real server takes for the client's initial number. */
  private serverIsn = 0;

  constructor(
    proxyProtocol: SvcOptions['proxyProtocol'],
    readonly isn = 1000,
    o: { rebase?: boolean; mtu?: number } = {},
  ) {
    this.rig = new Rig({ config: { tcp: { rebase: o.rebase ?? false } } });
    this.rig.serve('tcp', { proxyProtocol });
    this.rig.inet.mtu = o.mtu ?? 1500;
    this.syn();
    this.back({ flags: 'SA', seq: SERVER_ISN, ack: 0 });
    deepEqual(this.send('', 0, 'A'), [{ seq: 0, ack: SERVER_ISN + 1, flags: 'A', data: '' }]);
  }

  syn(o: Partial<TcpOptions> = {}): Uint8Array[] {
    const out = this.rig.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'S', seq: this.isn, ...o }));
    if (out.length === 1 && decode(out[0]!).tcp!.flags === 'S') this.serverIsn = decode(out[0]!).tcp!.seq;
    return out;
  }

  frame(data: string, at: number, flags = 'PA', o: Partial<TcpOptions> = {}): Uint8Array {
    const seq = (this.isn + 1 + at) >>> 0;
    return tcp({ src: CLIENT, dst: VIP, flags, seq, ack: SERVER_ISN + 1, data: bytes(data), ...o });
  }

  /** A segment of the client at position `at` of its stream. */
  send(data: string, at: number, flags = 'PA', o: Partial<TcpOptions> = {}): Seen[] {
    return this.rig.fromClient(this.frame(data, at, flags, o)).map((f) => this.seen(f));
  }

  seen(f: Uint8Array): Seen {
    const { ip, tcp: t } = decode(f);
    equal(`${ip!.src}:${t!.sport}`, LOCAL);
    return { seq: (t!.seq - this.serverIsn - 1) | 0, ack: t!.ack, flags: t!.flags, data: latin(t!.data) };
  }

  /** A segment of the real server; `ack` is a position of what it has received. @returns as the client sees it */
  back(o: Partial<TcpOptions> & { ack: number }): { ack: number; options: number[]; flags: string } {
    const ack = (this.serverIsn + 1 + o.ack) >>> 0;
    const [out] = this.rig.fromServer(
      tcp({ src: RS, dst: LOCAL, flags: 'A', seq: SERVER_ISN + 1, ...o, ack }),
    );
    const t = decode(out!).tcp!;
    return { ack: (t.ack - this.isn - 1) | 0, options: t.options, flags: t.flags };
  }

  sack(ack: number, ...edges: number[]): { ack: number; blocks: number[] } {
    const words = edges.flatMap((e) => {
      const v = (this.serverIsn + 1 + e) >>> 0;
      return [v >>> 24, (v >>> 16) & 255, (v >>> 8) & 255, v & 255];
    });
    const { ack: to, options } = this.back({ ack, tcpOptions: [1, 1, 5, 2 + words.length, ...words] });
    const view = new DataView(Uint8Array.from(options.slice(4)).buffer);
    return { ack: to, blocks: edges.map((_, i) => (view.getUint32(4 * i) - this.isn - 1) | 0) };
  }

  /** True while packets of a direction are for the stack. */
  untold(d: number): boolean {
    const { records } = this.rig.ipvs.table;
    return (records.u16[(records.dir(1, d) + D.actions) >>> 1]! & FLOW_ACTION.CLIENT_ADDR) !== 0;
  }

  end(drops: Record<string, number> = {}): void {
    deepEqual([this.rig.drops, this.rig.imbalance], [drops, 0]);
  }
}

describe.each([
  ['v1', V1],
  ['v2', V2],
] as const)('PROXY %s over TCP', (name, header) => {
  const H = header.length;

  it('stands in front of the first byte; what follows is shifted, what is acknowledged is shifted back', () => {
    for (const isn of [1000, 0xffffffff, 0xfffffff0, 0xffffffff - H, 0x7fffffff])
      for (const rebase of [false, true]) {
        const s = new Session(name, isn, { rebase });
        expect([s.untold(DIR_IN), s.untold(DIR_OUT)]).toEqual([true, false]);
        expect(s.send('hello', 0)).toEqual([
          { seq: 0, ack: SERVER_ISN + 1, flags: 'PA', data: `${header}hello` },
        ]);
        expect([s.untold(DIR_IN), s.untold(DIR_OUT)]).toEqual([true, true]);
        expect(s.send('world', 5)).toEqual([{ seq: H + 5, ack: SERVER_ISN + 1, flags: 'PA', data: 'world' }]);
        expect(s.back({ ack: H + 5 }).ack).toBe(5);
        expect([s.untold(DIR_IN), s.untold(DIR_OUT)]).toEqual([false, false]);
        expect(s.back({ ack: H + 10 }).ack).toBe(10);
        expect(s.send('!', 10)).toEqual([{ seq: H + 10, ack: SERVER_ISN + 1, flags: 'PA', data: '!' }]);
        expect(s.send('', 11, 'FA')).toEqual([{ seq: H + 11, ack: SERVER_ISN + 1, flags: 'FA', data: '' }]);
        s.end();
      }
  });

  it('is not in the way of a real server that speaks first, nor of acknowledgements and the end without data', () => {
    const s = new Session(name);
    expect(s.back({ ack: 0, data: 'banner' }).ack).toBe(0);
    expect(s.send('', 0, 'A')).toMatchObject([{ seq: 0, data: '' }]);
    expect(s.send('', 0, 'FA')).toMatchObject([{ seq: 0, data: '', flags: 'FA' }]);
    expect(s.back({ ack: 1 }).ack).toBe(1);
    s.end();
  });

  it('goes with data and FIN in one segment', () => {
    const s = new Session(name);
    expect(s.send('bye', 0, 'FPA')).toMatchObject([{ seq: 0, flags: 'FPA', data: `${header}bye` }]);
    expect(s.back({ ack: H + 4 }).ack).toBe(4);
    s.end();
  });

  it('never shows the client a number inside the header', () => {
    const s = new Session(name);
    s.send('hello', 0);
    for (let ack = 0; ack < H; ack++) expect(s.back({ ack }).ack).toBe(0);
    expect([s.untold(DIR_IN), s.untold(DIR_OUT)]).toEqual([true, true]);
    expect(s.sack(3, H + 5, H + 10)).toEqual({ ack: 0, blocks: [5, 10] });
    expect(s.sack(0, 1, H + 10)).toEqual({ ack: 0, blocks: [0, 10] });
    expect(s.back({ ack: H }).ack).toBe(0);
    expect(s.untold(DIR_OUT)).toBe(false);
    expect(s.sack(H, H + 5, H + 10)).toEqual({ ack: 0, blocks: [5, 10] });
    // Late, as before all data.
    expect(s.back({ ack: 3 }).ack).toBeLessThan(0);
  });

  it('comes again with the first segment, in whatever pieces, as a segment that goes ahead', () => {
    const s = new Session(name);
    s.send('hello', 0);
    s.send('world', 5);
    for (const [data, at] of [
      ['hello', 0],
      ['he', 0],
      ['helloworld', 0],
    ] as const)
      expect(s.send(data, at)).toMatchObject([
        { seq: 0, flags: 'PA', data: header },
        { seq: H, flags: 'PA', data },
      ]);
    expect(s.send('llo', 2)).toMatchObject([{ seq: H + 2, data: 'llo' }]);
    s.back({ ack: H + 10 });
    // Nobody misses it any more: what comes late lands where it was.
    expect(s.send('hello', 0)).toMatchObject([{ seq: H, data: 'hello' }]);
    s.end();
  });

  it('later data that comes first waits for the client to send it again', () => {
    const s = new Session(name);
    expect(s.send('world', 5)).toEqual([]);
    expect(s.send('', 5, 'FA')).toEqual([]);
    expect(s.send('', 5, 'A')).toMatchObject([{ seq: 5, data: '' }]);
    s.send('hello', 0);
    expect(s.send('world', 5)).toMatchObject([{ seq: H + 5, data: 'world' }]);
    s.end({ PROXY_EARLY: 2 });
  });

  it('RST of either side passes, with numbers that are believed', () => {
    const s = new Session(name);
    expect(s.send('', 0, 'R')).toMatchObject([{ seq: 0, flags: 'R' }]);
    const other = new Session(name);
    other.send('hello', 0);
    expect(other.send('', 5, 'R')).toMatchObject([{ seq: H + 5, flags: 'R' }]);
    const third = new Session(name);
    third.send('hello', 0);
    expect(third.back({ ack: H + 5, flags: 'RA' })).toMatchObject({ ack: 5, flags: 'RA' });
  });

  it('an ICMP error quotes the numbers of the client, whatever is under way', () => {
    for (const rebase of [false, true]) {
      const s = new Session(name, 0xfffffff0, { rebase });
      const quotedSeq = (of: Uint8Array): number => {
        const [error] = s.rig.fromServer(
          icmp({
            src: '192.168.0.2',
            dst: LIP,
            type: 3,
            code: 4,
            rest: 1400,
            data: payloadOf(of).slice(0, 28),
          }),
        );
        const inner = decode(error!).icmp!.data;
        const seq = new DataView(Uint8Array.from(inner).buffer).getUint32(24);
        return (seq - s.isn - 1) | 0;
      };
      const full = 'x'.repeat(1460);
      const [ahead, first] = s.rig.fromClient(s.frame(full, 0));
      const [second] = s.rig.fromClient(s.frame('more', 1460));
      expect([ahead, first, second].map((f) => quotedSeq(f!))).toEqual([0, 0, 1460]);
      s.back({ ack: H + 1460 });
      expect(quotedSeq(second!)).toBe(1460);
      s.end();
    }
  });

  it('headers put in, and those of clients, are counted for the service', () => {
    const s = new Session(name);
    s.send('hello', 0);
    s.send('hello', 0);
    expect(s.rig.svcEvents()).toEqual({ PROXY_INSERTED: 2 });
    const forged = new Session(name);
    forged.send(`${EVIL[name]}hello`, 0);
    forged.send('late', 100);
    expect(forged.rig.svcEvents()).toEqual({ PROXY_INSERTED: 1, PROXY_FOREIGN: 1 });
    const early = new Session(name);
    early.send('early', 5);
    expect(early.rig.svcDrops()).toEqual({ PROXY_EARLY: 1 });
  });

  it('a keepalive probe before any data passes without its byte', () => {
    const s = new Session(name);
    expect(s.send('x', -1, 'A')).toMatchObject([{ seq: -1, data: '' }]);
    expect(s.send('', -1, 'A')).toMatchObject([{ seq: -1, data: '' }]);
    s.end();
  });

  it('fills the MTU to the last byte, and goes ahead where it has no room', () => {
    const fits = 'x'.repeat(1460 - H);
    expect(new Session(name).send(fits, 0)).toMatchObject([{ seq: 0, data: header + fits }]);
    const full = `${fits}y`;
    const s = new Session(name);
    expect(s.send(full, 0)).toMatchObject([
      { seq: 0, flags: 'PA', data: header },
      { seq: H, data: full },
    ]);
    expect(s.back({ ack: H + full.length }).ack).toBe(full.length);
    s.end();
  });

  it('a header larger than a tiny MTU goes in fragments', () => {
    const s = new Session(name, 1000, { mtu: 68 });
    const timestamps = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
    const out = s.send('0123456789', 0, 'PA', { tcpOptions: timestamps });
    expect(out).toMatchObject([
      { seq: 0, data: header },
      { seq: H, data: '0123456789' },
    ]);
    expect(s.rig.inet.fragmented).toEqual(20 + 32 + H > 68 ? [68] : []);
    s.end();
  });

  it('goes ahead of urgent data', () => {
    const s = new Session(name);
    expect(s.send('hello', 0, 'UPA')).toMatchObject([
      { seq: 0, flags: 'PA', data: header },
      { seq: H, data: 'hello' },
    ]);
  });

  it('a damaged first segment decides nothing', () => {
    const s = new Session(name);
    expect(s.send('hello', 0, 'PA', { badL4Checksum: true })).toEqual([]);
    expect(s.send(`${EVIL[name]}hello`, 0)).toMatchObject([{ data: `${header}hello` }]);
    s.end({ PROXY_DAMAGED: 1 });
  });

  it('no buffer: the segment is lost, the client sends it again', () => {
    const s = new Session(name);
    const full = 'x'.repeat(1460);
    const alloc = vi.spyOn(s.rig.packets, 'alloc').mockReturnValue(0);
    expect(s.send(full, 0)).toEqual([]);
    alloc.mockRestore();
    expect(s.rig.drops).toEqual({ NO_MBUF: 1 });
    expect(s.send(full, 0)).toMatchObject([{ data: header }, { seq: H, data: full }]);
    expect(s.rig.imbalance).toBe(0);
  });

  describe('a header of the client', () => {
    it.each([
      ['v1', FORGED_V1],
      ['v2', FORGED_V2],
      ['v2 with TLVs', v2([6, 6, 6, 6], 666, '\x04\0\x03abc')],
      ['v2 of a local connection', `${SIGNATURE}\x20\0\0\0`],
      ['v1 of an unknown one', 'PROXY UNKNOWN\r\n'],
    ])('is replaced: %s', (_what, theirs) => {
      for (const data of ['', 'x', 'hello']) {
        const s = new Session(name);
        const n = theirs.length + data.length;
        expect(s.send(theirs + data, 0)).toMatchObject([{ seq: 0, data: header + data }]);
        expect(s.send('world', n)).toMatchObject([{ seq: H + data.length, data: 'world' }]);
        for (let ack = 0; ack < H; ack++) expect(s.back({ ack }).ack).toBe(0);
        // In any pieces.
        for (let cut = 1; cut < n; cut++) {
          const again = s.send((theirs + data).slice(0, cut), 0);
          expect(again.map((x) => x.data).join('')).toBe(
            header + data.slice(0, Math.max(cut - theirs.length, 0)),
          );
          const [rest] = s.send((theirs + data).slice(cut), cut);
          expect(rest).toMatchObject({
            seq: H + Math.max(cut - theirs.length, 0),
            data: data.slice(Math.max(cut - theirs.length, 0)),
          });
        }
        expect(s.back({ ack: H + data.length }).ack).toBe(n);
        expect(s.send('!', n + 5)).toMatchObject([{ seq: H + data.length + 5, data: '!' }]);
        s.end();
      }
    });

    it('of the same version is kept when insecure, and nothing is shifted', () => {
      const s = new Session(`${name}-insecure`);
      expect(s.send(`${EVIL[name]}hello`, 0)).toMatchObject([{ seq: 0, data: `${EVIL[name]}hello` }]);
      expect([s.untold(DIR_IN), s.untold(DIR_OUT)]).toEqual([false, false]);
      expect(s.back({ ack: 9 }).ack).toBe(9);
      s.end();
    });

    it('of the other version is translated when insecure', () => {
      const theirs = name === 'v1' ? FORGED_V2 : FORGED_V1;
      const s = new Session(`${name}-insecure`);
      expect(s.send(`${theirs}hello`, 0)).toMatchObject([{ seq: 0, data: `${EVIL[name]}hello` }]);
      const L = EVIL[name].length;
      expect(s.send('world', theirs.length + 5)).toMatchObject([{ seq: L + 5, data: 'world' }]);
      const again = s.send(`${theirs}hel`, 0);
      expect(again.map((x) => x.data).join('')).toBe(`${EVIL[name]}hel`);
      // In pieces it can't be translated.
      expect(s.send(theirs.slice(0, 20), 0)).toEqual([]);
      expect(s.back({ ack: L + 5 }).ack).toBe(theirs.length + 5);
      s.end({ PROXY_HEADER: 1 });
    });

    it('that is not all in the first segment is data', () => {
      for (const service of [name, `${name}-insecure`] as const)
        for (let n = 1; n < EVIL[name].length; n += 5) {
          const s = new Session(service);
          const [a, b] = [EVIL[name].slice(0, n), EVIL[name].slice(n)];
          expect(s.send(a, 0)).toMatchObject([{ seq: 0, data: header + a }]);
          expect(s.send(b, n)).toMatchObject([{ seq: H + n, data: b }]);
          // Put together it is still what it was.
          expect(s.send(a + b, 0)).toMatchObject([{ data: header }, { seq: H, data: a + b }]);
          s.end();
        }
    });
  });

  describe('forged headers', () => {
    const evil = `${EVIL[name]}GET /`;

    it('do not come in over data ahead of the first byte', () => {
      const s = new Session(name);
      expect(s.send(`x${evil}`, -1)).toEqual([]);
      expect(s.send(`xxxxx${evil}`, -5)).toEqual([]);
      expect(s.send(evil, 1)).toEqual([]);
      s.end({ PROXY_EARLY: 3 });
    });

    it('do not come in IP fragments', () => {
      const s = new Session(name);
      const out = s.rig.fromClient(...fragmentsOf(s.frame(evil, 0, 'PA', { id: 9 }), 24));
      expect(out.every((f) => decode(f).ip!.offset > 0)).toBe(true);
      expect(s.rig.drops).toEqual({ PROXY_HEADER: 1 });
    });

    it('do not come with a SYN', () => {
      const rig = new Rig();
      rig.serve('tcp', { proxyProtocol: name });
      const [out] = rig.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'S', seq: 5, data: bytes(evil) }));
      expect(decode(out!).tcp).toMatchObject({ flags: 'S', seq: 5, data: new Uint8Array() });
    });

    it('do not come by a second SYN, before or after the header: it goes as an acknowledgement', () => {
      const s = new Session(name);
      const asks = (frames: Uint8Array[]): unknown => frames.map((f) => s.seen(f));
      const old = [{ seq: -1, flags: 'A', data: '', ack: SERVER_ISN + 1 }];
      expect(asks(s.syn({ seq: 500, data: bytes(evil) }))).toEqual(old);
      expect(s.syn().map((f) => decode(f).tcp!.flags)).toEqual(['S']);
      s.send('hello', 0);
      expect(asks(s.syn())).toEqual(old);
      s.back({ ack: H + 5 });
      expect(asks(s.syn({ seq: 7 }))).toMatchObject([{ flags: 'A', data: '' }]);
      s.end();
    });
  });
});

describe('PROXY protocol over TCP', () => {
  it('translates IPv6 addresses and what says nothing', () => {
    const v6 = `${SIGNATURE}\x21\x21\0\x24${'\0'.repeat(15)}\x01${'\0'.repeat(15)}\x02\0\x50\x01\xbb`;
    const to1 = new Session('v1-insecure');
    expect(to1.send(v6, 0)).toMatchObject([
      { data: 'PROXY TCP6 0:0:0:0:0:0:0:1 0:0:0:0:0:0:0:2 80 443\r\n' },
    ]);
    const to2 = new Session('v2-insecure');
    expect(to2.send('PROXY TCP6 ::1 ::2 80 443\r\n', 0)).toMatchObject([{ data: v6 }]);
    const unknown = new Session('v2-insecure');
    expect(unknown.send('PROXY UNKNOWN\r\nx', 0)).toMatchObject([{ data: `${SIGNATURE}\x21\0\0\0x` }]);
    const local = new Session('v1-insecure');
    expect(local.send(`${SIGNATURE}\x20\0\0\0x`, 0)).toMatchObject([{ data: 'PROXY UNKNOWN\r\nx' }]);
  });

  it('is in place of TOA, and leaves the MSS alone', () => {
    const rig = new Rig({ config: { tcp: { toa: true } } });
    rig.serve('tcp', { proxyProtocol: 'v2' });
    rig.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'S', seq: 5 }));
    const mss = [2, 4, 5, 180];
    const [synAck] = rig.fromServer(
      tcp({ src: RS, dst: LOCAL, flags: 'SA', seq: 9, ack: 6, tcpOptions: mss }),
    );
    expect(decode(synAck!).tcp!.options).toEqual(mss);
    const [ack] = rig.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'A', seq: 6, ack: 10 }));
    expect(decode(ack!).tcp!.options).toEqual([]);
  });

  it('an edit of the service is for new connections', () => {
    const s = new Session('v2');
    const svc = { proto: 'tcp', ...endpoint(VIP) } as const;
    s.rig.services.apply('svc.edit', { svc, proxyProtocol: 'disable' });
    expect(s.send('hello', 0)).toMatchObject([{ data: `${V2}hello` }]);
  });

  it('survives the restart of its lcore, with the header on its way', () => {
    const s = new Session('v2');
    s.send('hello', 0);
    const next = new Rig({ native: s.rig.native, destStats: s.rig.destStats, shared: s.rig.shared });
    next.serve('tcp', { proxyProtocol: 'v2' });
    expect(next.ipvs.rebuild()).toBe(1);
    const [out] = next.fromClient(s.frame('world', 5));
    expect(s.seen(out!)).toMatchObject({ seq: 28 + 5, data: 'world' });
    const [ack] = next.fromServer(tcp({ src: RS, dst: LOCAL, seq: 70_001, ack: 1001 + 28 + 5 }));
    expect(decode(ack!).tcp!.ack).toBe(1001 + 5);
  });

  it('any exchange: the real server gets one header and the data, the client sees its own numbers', () => {
    const service = fc.constantFrom('v1', 'v2', 'v1-insecure', 'v2-insecure' as const);
    const what = fc.constantFrom('', FORGED_V1, FORGED_V2, 'PROXY ', v2([6, 6, 6, 6], 666, '\x04\0\x02ab'));
    const piece = fc.record({
      from: fc.nat(300),
      length: fc.integer({ min: 1, max: 140 }),
      ack: fc.boolean(),
      lost: fc.boolean(),
      ackLost: fc.boolean(),
    });
    fc.assert(
      fc.property(
        service,
        what,
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 1, max: 140 }),
        fc.array(piece, { maxLength: 30 }),
        fc.constantFrom(1000, 0xffffffff, 0xffffffc0, 0x7fffffc0),
        fc.constantFrom(1500, 600, 150),
        fc.boolean(),
        (proxyProtocol, own, size, firstLength, pieces, isn, mtu, rebase) => {
          const s = new Session(proxyProtocol, isn, { mtu, rebase });
          const stream =
            own + Array.from({ length: size }, (_, i) => String.fromCharCode(97 + (i % 26))).join('');
          const got: string[] = [];
          let received = 0;
          let acked = 0;
          const arrive = (frames: Seen[]): void => {
            for (const { seq, data } of frames)
              [...data].forEach((ch, i) => {
                const at = seq + i;
                // What it has acknowledged, a receiver does not look at again.
                if (at < received) return;
                expect(got[at] ?? ch, `byte ${at}`).toBe(ch);
                got[at] = ch;
              });
            while (got[received] !== undefined) received++;
          };
          const answer = (lost: boolean): void => {
            if (lost) {
              s.back({ ack: received });
              return;
            }
            const { ack } = s.back({ ack: received });
            if (ack > acked) acked = ack;
            expect(ack).toBeGreaterThanOrEqual(0);
            expect(ack).toBeLessThanOrEqual(stream.length);
          };
          const room = mtu - 40;
          const play = (from: number, length: number, lost: boolean): void => {
            const out = s.send(stream.slice(from, from + Math.min(length, room)), from);
            if (!lost) arrive(out);
          };
          // A client never sends again what was acknowledged to it, and a first segment decides.
          play(0, firstLength, pieces.length % 2 === 1);
          for (const p of pieces) {
            const from = acked + (p.from % (stream.length - acked + 1));
            if (from < stream.length) play(from, p.length, p.lost);
            if (p.ack) answer(p.ackLost);
          }
          // At last all of it, in order, from where the client is; what cannot be translated in pieces in one.
          for (let tries = 0; acked < stream.length && tries < 600; tries++) {
            play(acked, acked === 0 ? 300 : firstLength, false);
            answer(false);
          }
          expect(acked).toBe(stream.length);
          const insecure = proxyProtocol.endsWith('insecure');
          const version = proxyProtocol.slice(0, 2) as 'v1' | 'v2';
          const first = stream.slice(0, Math.min(firstLength, room));
          const isHeader = own.length > 10 && first.startsWith(own);
          const ours = version === 'v1' ? V1 : V2;
          let expected = ours + stream;
          if (isHeader) {
            const theirs = own.startsWith('PROXY') ? 'v1' : 'v2';
            const data = stream.slice(own.length);
            if (!insecure) expected = ours + data;
            else expected = theirs === version ? stream : EVIL[version] + data;
          }
          expect(got.join('')).toBe(expected);
          expect(s.rig.imbalance).toBe(0);
        },
      ),
      { numRuns: 150 },
    );
  });
});
