/** SCTP: states of an association as both sides make it, checksums that stay right or wrong, and what opens a connection. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import '../../support/seed.js';
import { Bytes } from '../../../src/core/bytes.js';
import { NO_EVENT, step } from '../../../src/ipvs/proto/table.js';
import { sctp, SCTP, SCTP_EVENT as E } from '../../../src/ipvs/proto/sctp.js';
import { crcChange } from '../../../src/wire/crc32c.js';
import { nextChunk } from '../../../src/wire/sctp.js';
import {
  crc32c,
  decode,
  fragmentsOf,
  icmp,
  ipv4,
  payloadOf,
  ramp,
  sctp as frame,
  type SctpOptions,
} from '../../support/frames.js';
import { CLIENT, LIP, Rig, RS, VIP } from './rig.js';

const T = {
  data: 0,
  init: 1,
  initAck: 2,
  sack: 3,
  heartbeat: 4,
  abort: 6,
  shutdown: 7,
  shutdownAck: 8,
  error: 9,
  cookieEcho: 10,
  cookieAck: 11,
  shutdownComplete: 14,
};
type Name = keyof typeof T;
const chunk = (name: Name): { type: number; value: Uint8Array } => ({
  type: T[name],
  value: ramp(name === 'init' || name === 'initAck' ? 16 : 12),
});
const chunks = (...names: Name[]): NonNullable<SctpOptions['chunks']> => names.map(chunk);
const packet = (o: Partial<SctpOptions>): Bytes =>
  new Bytes(Uint8Array.from(payloadOf(frame({ src: '1.1.1.1:1', dst: '2.2.2.2:2', ...o })).slice(20)).buffer);

describe('CRC32c', () => {
  it('has the test vectors of RFC 3720 appendix B.4 in the judge', () => {
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe3069283);
  });

  it('changes as a fresh computation says, for any length and ports', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 4, maxLength: 3000 }),
        fc.uint8Array({ minLength: 4, maxLength: 4 }),
        (message, ports) => {
          const other = Uint8Array.from([...ports, ...message.subarray(4)]);
          const at = (b: Uint8Array): number => new DataView(b.buffer, b.byteOffset).getUint32(0, true);
          const change = crcChange(at(message) ^ at(other), message.length);
          expect((crc32c(message) ^ change) >>> 0).toBe(crc32c(other));
        },
      ),
    );
    const long = new Uint8Array(65515).fill(7);
    const other = Uint8Array.from([9, 9, 9, 9, ...long.subarray(4)]);
    expect((crc32c(long) ^ crcChange(0x0e0e0e0e, long.length)) >>> 0).toBe(crc32c(other));
  });
});

describe('events', () => {
  it.each([
    [['init'], E.INIT],
    [['initAck'], E.INIT_ACK],
    [['cookieEcho', 'data'], E.COOKIE_ECHO],
    [['cookieEcho', 'error'], E.COOKIE_ECHO],
    [['cookieAck', 'data'], E.COOKIE_ACK],
    [['sack', 'shutdown'], E.SHUTDOWN],
    [['shutdownAck'], E.SHUTDOWN_ACK],
    [['shutdownComplete'], E.SHUTDOWN_COMPLETE],
    [['error'], E.ERROR],
    [['sack', 'abort'], E.ABORT],
    [['error', 'abort', 'shutdown'], E.ABORT],
    [['data', 'abort'], E.DATA],
    [['sack'], E.DATA],
    [['heartbeat'], E.DATA],
  ] as [Name[], number][])('%s', (names, event) => {
    const b = packet({ chunks: chunks(...names) });
    expect(sctp.event(b, 0, b.length)).toBe(event);
    expect(event).not.toBe(NO_EVENT);
  });

  it('chunks that claim any length end the walk inside the packet', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 200 }), (raw) => {
        const b = new Bytes(Uint8Array.from(raw).buffer);
        if (!sctp.check(b, 0, b.length, false)) return;
        let walked = 0;
        for (let at = 12; at > 0; at = nextChunk(b, at, b.length), walked++)
          expect(at + 4).toBeLessThanOrEqual(b.length);
        expect(walked).toBeLessThanOrEqual(b.length / 4);
        expect(sctp.event(b, 0, b.length)).toBeLessThan(sctp.events.length);
      }),
    );
  });

  it('a packet without a whole chunk header is refused', () => {
    const b = packet({ chunks: chunks('data') });
    expect(sctp.check(b, 0, 16, false)).toBe(true);
    expect(sctp.check(b, 0, 15, false)).toBe(false);
    b.setU16(14, 3);
    expect(sctp.check(b, 0, 16, false)).toBe(false);
  });

  it('only an INIT without a tag opens a connection', () => {
    expect(sctp.opens(packet({ chunks: chunks('init') }), 0)).toBe(true);
    expect(sctp.opens(packet({ tag: 5, chunks: chunks('init') }), 0)).toBe(false);
    expect(sctp.opens(packet({ chunks: [{ type: 1, value: ramp(12) }] }), 0)).toBe(false);
    for (const name of ['initAck', 'abort', 'cookieEcho', 'data'] as const)
      expect(sctp.opens(packet({ chunks: chunks(name) }), 0)).toBe(false);
  });
});

/** Who sends what: `c` the client, `s` the real server. */
type Move = ['c' | 's', keyof typeof E, keyof typeof SCTP];

describe('states', () => {
  const walk = (moves: Move[], table = 0): void => {
    let state: number = SCTP.NONE;
    for (const [who, event, to] of moves) {
      state = step(sctp, who === 'c' ? table : 1, E[event], state);
      expect(sctp.states[state]).toBe(sctp.states[SCTP[to]]);
    }
  };
  const OPENED: Move[] = [
    ['c', 'INIT', 'INIT1'],
    ['c', 'INIT', 'INIT'],
    ['s', 'INIT_ACK', 'COOKIE_SENT'],
    ['c', 'COOKIE_ECHO', 'COOKIE_REPLIED'],
    ['s', 'COOKIE_ACK', 'ESTABLISHED'],
  ];

  it.each<[string, Move[]]>([
    [
      'the client ends it',
      [
        ...OPENED,
        ['c', 'DATA', 'ESTABLISHED'],
        ['s', 'DATA', 'ESTABLISHED'],
        ['c', 'SHUTDOWN', 'SHUTDOWN_SENT'],
        ['s', 'DATA', 'SHUTDOWN_SENT'],
        ['s', 'SHUTDOWN_ACK', 'SHUTDOWN_ACK_SENT'],
        ['c', 'SHUTDOWN_COMPLETE', 'CLOSED'],
      ],
    ],
    [
      'the server ends it',
      [
        ...OPENED,
        ['s', 'SHUTDOWN', 'SHUTDOWN_RECEIVED'],
        ['c', 'DATA', 'SHUTDOWN_RECEIVED'],
        ['c', 'SHUTDOWN_ACK', 'SHUTDOWN_ACK_SENT'],
        ['s', 'SHUTDOWN_COMPLETE', 'CLOSED'],
      ],
    ],
    [
      'both end it at once',
      [
        ...OPENED,
        ['c', 'SHUTDOWN', 'SHUTDOWN_SENT'],
        ['s', 'SHUTDOWN', 'SHUTDOWN_RECEIVED'],
        ['c', 'SHUTDOWN_ACK', 'SHUTDOWN_ACK_SENT'],
        ['s', 'SHUTDOWN_ACK', 'SHUTDOWN_ACK_SENT'],
        ['c', 'SHUTDOWN_COMPLETE', 'CLOSED'],
      ],
    ],
    [
      'the server does not want it',
      [
        ['c', 'INIT', 'INIT1'],
        ['s', 'ABORT', 'REJECTED'],
        ['c', 'INIT', 'INIT1'],
      ],
    ],
    [
      'it is aborted while it stands, and opened again',
      [...OPENED, ['s', 'ABORT', 'CLOSED'], ['c', 'DATA', 'CLOSED'], ['c', 'INIT', 'INIT1']],
    ],
    [
      'answers are lost and asked for again',
      [
        ['c', 'INIT', 'INIT1'],
        ['s', 'INIT_ACK', 'COOKIE_SENT'],
        ['c', 'INIT', 'INIT'],
        ['s', 'INIT_ACK', 'COOKIE_SENT'],
        ['c', 'COOKIE_ECHO', 'COOKIE_REPLIED'],
        ['c', 'COOKIE_ECHO', 'COOKIE_REPLIED'],
        ['s', 'DATA', 'ESTABLISHED'],
      ],
    ],
    [
      'the cookie is stale: the client begins anew',
      [
        ['c', 'INIT', 'INIT1'],
        ['s', 'INIT_ACK', 'COOKIE_SENT'],
        ['c', 'COOKIE_ECHO', 'COOKIE_REPLIED'],
        ['s', 'ERROR', 'COOKIE_REPLIED'],
        ['c', 'INIT', 'INIT'],
      ],
    ],
    [
      'the server opens',
      [
        ['s', 'INIT', 'COOKIE_WAIT'],
        ['c', 'INIT_ACK', 'COOKIE'],
        ['s', 'COOKIE_ECHO', 'COOKIE_ECHOED'],
        ['c', 'COOKIE_ACK', 'ESTABLISHED'],
      ],
    ],
    [
      'a blind INIT and a restart leave it standing',
      [
        ...OPENED,
        ['c', 'INIT', 'ESTABLISHED'],
        ['s', 'INIT_ACK', 'ESTABLISHED'],
        ['c', 'COOKIE_ECHO', 'ESTABLISHED'],
        ['s', 'COOKIE_ACK', 'ESTABLISHED'],
      ],
    ],
  ])('%s', (_what, moves) => walk(moves));

  it.each<[string, Move[]]>([
    [
      'the client ends it',
      [
        ['c', 'INIT', 'INIT1'],
        ['c', 'COOKIE_ECHO', 'COOKIE_REPLIED'],
        ['c', 'DATA', 'ESTABLISHED'],
        ['c', 'SHUTDOWN', 'SHUTDOWN_SENT'],
        ['c', 'SHUTDOWN_COMPLETE', 'CLOSED'],
      ],
    ],
    [
      'the server ends it',
      [
        ['c', 'INIT', 'INIT1'],
        ['c', 'COOKIE_ECHO', 'COOKIE_REPLIED'],
        ['c', 'SHUTDOWN_ACK', 'SHUTDOWN_ACK_SENT'],
        ['c', 'ABORT', 'CLOSED'],
      ],
    ],
  ])('where answers go another way: %s', (_what, moves) => walk(moves, 2));

  it('have the order and the timeouts of the original; only one is active', () => {
    expect(sctp.states.map((s) => s.timeout)).toEqual([2, 4, 61, 61, 61, 61, 61, 61, 900, 61, 61, 61, 4, 61]);
    expect(sctp.states.filter((s) => s.active).map((s) => s.name)).toEqual(['ESTABLISHED']);
    expect(sctp.states).toHaveLength(14);
    expect(sctp.events).toHaveLength(10);
    expect(sctp.next).toHaveLength(3 * 10 * 14);
  });
});

describe('an association through Full-NAT', () => {
  const serving = (fwd = 'fullnat'): Rig => {
    const rig = new Rig();
    rig.serve('sctp', { fwd, dests: [fwd === 'fullnat' ? RS : '192.168.0.2:80'] });
    return rig;
  };
  const toVip = (o: Partial<SctpOptions>): Uint8Array => frame({ src: CLIENT, dst: VIP, ...o });
  const open = (rig: Rig): string => {
    const [first] = rig.fromClient(toVip({ chunks: chunks('init') }));
    return `${LIP}:${decode(first!).sctp!.sport}`;
  };

  it('has the right ports and checksums both ways, is counted, and expires', () => {
    const rig = serving();
    const local = open(rig);
    const back = (...names: Name[]): Uint8Array[] =>
      rig.fromServer(frame({ src: RS, dst: local, tag: 7, chunks: chunks(...names) }));
    const there = (...names: Name[]): Uint8Array[] =>
      rig.fromClient(toVip({ tag: 9, chunks: chunks(...names) }));
    expect(back('initAck').map((f) => decode(f).sctp)).toMatchObject([{ sport: 80, dport: 40000, tag: 7 }]);
    expect(there('cookieEcho', 'data').map((f) => decode(f).sctp)).toMatchObject([{ dport: 8080, tag: 9 }]);
    expect(back('cookieAck', 'sack')).toHaveLength(1);
    expect([rig.states, rig.stat('active'), rig.stat('inactive')]).toEqual([
      [`132:${SCTP.ESTABLISHED}`],
      1,
      0,
    ]);
    expect(there('sack', 'shutdown')).toHaveLength(1);
    expect(back('shutdownAck')).toHaveLength(1);
    expect(there('shutdownComplete')).toHaveLength(1);
    expect([rig.states, rig.stat('active')]).toEqual([[`132:${SCTP.CLOSED}`], 0]);
    rig.advance(61_100, 1000);
    expect([rig.conns, rig.portsUsed, rig.drops, rig.imbalance]).toEqual([0, 0, {}, 0]);
  });

  it('is not opened by anything but an INIT', () => {
    const rig = serving();
    rig.fromClient(
      toVip({ tag: 3, chunks: chunks('data') }),
      toVip({ chunks: chunks('abort') }),
      toVip({}),
      ipv4({ src: '10.0.0.1', dst: '10.1.1.1', proto: 132, payload: payloadOf(toVip({})).slice(20, 31) }),
    );
    expect(rig.drops).toEqual({ CONN_NO_SYN: 2, L4_BAD_HEADER: 2 });
    expect([rig.conns, rig.imbalance]).toEqual([0, 0]);
  });

  it('a wrong checksum stays wrong, one that is not used stays 0', () => {
    const rig = serving();
    rig.judging = false;
    open(rig);
    const wrong = toVip({ tag: 1, chunks: chunks('data'), badL4Checksum: true });
    const out = Uint8Array.from(decode(rig.fromClient(wrong)[0]!).ip!.payload);
    const carried = new DataView(out.buffer).getUint32(8, true);
    out.fill(0, 8, 12);
    expect(carried ^ crc32c(out)).toBe(0x5555);
    const none = rig.fromClient(toVip({ tag: 1, chunks: chunks('data'), noChecksum: true }));
    expect(decode(none[0]!).sctp!.checksum).toBe(0);
  });

  it.each([8, 12, 400])('an ICMP error that quotes %i bytes of it reaches the sender', (keep) => {
    const rig = serving();
    open(rig);
    const sent = toVip({ tag: 1, chunks: [{ type: 0, value: ramp(600) }] });
    const [out] = rig.fromClient(sent);
    const quoted = payloadOf(out!).slice(0, 20 + keep);
    const [back] = rig.fromServer(
      icmp({ src: '192.168.0.9', dst: LIP, type: 3, code: 4, rest: 1400, data: quoted }),
    );
    expect(decode(back!).icmp!.data).toEqual(payloadOf(sent).slice(0, 20 + keep));
  });

  it('in fragments passes where ports stay, and is dropped where they change', () => {
    const pieces = fragmentsOf(toVip({ tag: 1, chunks: [{ type: 0, value: ramp(3000) }] }), 1480);
    const rig = serving();
    open(rig);
    expect(rig.fromClient(...pieces)).toEqual([]);
    expect(rig.drops).toEqual({ SCTP_FRAGMENT: 1, IP_FRAG_LOST: 2 });
    const dr = serving('dr');
    dr.fromClient(toVip({ chunks: chunks('init') }));
    expect(dr.fromClient(...pieces.reverse())).toHaveLength(3);
    expect(dr.drops).toEqual({});
  });
});
