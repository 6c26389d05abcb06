import { describe, expect, it } from 'vitest';
import { Bytes } from '../../../src/core/bytes.js';
import { PROTO_BY_NUMBER, PROTOS, timeoutsInForce, timeoutTables } from '../../../src/ipvs/proto/index.js';
import { compile, NO_EVENT, step } from '../../../src/ipvs/proto/table.js';
import { tcp, TCP, TCP_EVENT } from '../../../src/ipvs/proto/tcp.js';
import { udp, UDP } from '../../../src/ipvs/proto/udp.js';
import { tcpSegment, udpDatagram } from '../../support/frames.js';

const DIRS = ['IN', 'OUT', 'IN-ONLY'];
const ABBR = ['NO', 'ES', 'SS', 'SR', 'FW', 'TW', 'CL', 'CW', 'LA', 'LI', 'SA'];

/** Copied from the reference, B.4. */
const REFERENCE = `
| IN | syn | SR | ES | ES | SR | SR | SR | SR | SR | SR | SR | SR |
| IN | fin | CL | CW | SS | TW | TW | TW | CL | CW | LA | LI | TW |
| IN | ack | CL | ES | SS | ES | FW | TW | CL | CW | CL | LI | ES |
| IN | rst | CL | CL | CL | SR | CL | CL | CL | CL | LA | LI | SR |
| OUT | syn | SS | ES | SS | SR | SS | SS | SS | SS | SS | LI | SR |
| OUT | fin | TW | FW | SS | TW | FW | TW | CL | TW | LA | LI | TW |
| OUT | ack | ES | ES | SS | ES | FW | TW | CL | CW | LA | ES | ES |
| OUT | rst | CL | CL | SS | CL | CL | TW | CL | CL | CL | CL | CL |
| IN-ONLY | syn | SR | ES | ES | SR | SR | SR | SR | SR | SR | SR | SR |
| IN-ONLY | fin | CL | FW | SS | TW | FW | TW | CL | CW | LA | LI | TW |
| IN-ONLY | ack | CL | ES | SS | ES | FW | TW | CL | CW | CL | LI | ES |
| IN-ONLY | rst | CL | CL | CL | SR | CL | CL | CL | CL | LA | LI | CL |`;

describe('TCP states', () => {
  const rows = REFERENCE.trim()
    .split('\n')
    .map((l) =>
      l
        .split('|')
        .slice(1, -1)
        .map((c) => c.trim()),
    );

  it.each(rows.map((r) => [r[0]!, r[1]!, r.slice(2)] as const))(
    '%s %s leads from each state where the reference says',
    (dir, ev, to) => {
      const event = tcp.events.indexOf(ev);
      const got = ABBR.map((_, s) => ABBR[step(tcp, DIRS.indexOf(dir), event, s)]);
      expect(got).toEqual(to);
    },
  );

  it('have the names, order and default timeouts of the original', () => {
    expect(tcp.states.map((s) => `${s.name} ${s.timeout}`)).toEqual([
      'TCP_NONE 2',
      'TCP_EST 90',
      'SYN_SENT 3',
      'SYN_RECV 30',
      'FIN_WAIT 7',
      'TIME_WAIT 7',
      'TCP_CLOSE 3',
      'CLOSE_WAIT 7',
      'LAST_ACK 7',
      'LISTEN 120',
      'SYNACK 30',
    ]);
    expect(tcp.states[TCP.SYNACK]!.name).toBe('SYNACK');
  });

  it('are active only when established', () => {
    expect(tcp.states.filter((s) => s.active).map((s) => s.name)).toEqual(['TCP_EST']);
  });
});

describe('a TCP segment', () => {
  const segment = (flags: string): Bytes => {
    const s = tcpSegment({ src: '1.1.1.1:1', dst: '2.2.2.2:2', flags });
    return new Bytes(Uint8Array.from(s).buffer);
  };

  it.each([
    ['S', TCP_EVENT.SYN],
    ['SA', TCP_EVENT.SYN],
    ['FA', TCP_EVENT.FIN],
    ['A', TCP_EVENT.ACK],
    ['PA', TCP_EVENT.ACK],
    ['R', TCP_EVENT.RST],
    ['RA', TCP_EVENT.RST],
    ['RSFA', TCP_EVENT.RST],
    ['SFA', TCP_EVENT.SYN],
    ['', NO_EVENT],
    ['P', NO_EVENT],
    ['U', NO_EVENT],
  ])('with flags %s is one event by priority', (flags, event) => {
    expect(tcp.event(segment(flags), 0, 20)).toBe(event);
  });

  it.each([
    ['S', true],
    ['SEC', true],
    ['SA', false],
    ['SF', false],
    ['SR', false],
    ['A', false],
    ['F', false],
    ['', false],
  ])('with flags %s opens a connection: %s', (flags, opens) => {
    expect(tcp.opens(segment(flags), 0)).toBe(opens);
  });

  it('is refused when its header does not fit', () => {
    const b = segment('S');
    expect(tcp.check(b, 0, 20, false)).toBe(true);
    expect(tcp.check(b, 0, 19, false)).toBe(false);
    b.setU8(12, 0x60);
    expect(tcp.check(b, 0, 20, false)).toBe(false);
    b.setU8(12, 0x40);
    expect(tcp.check(b, 0, 20, false)).toBe(false);
  });
});

describe('UDP states', () => {
  it('go from one way to normal when the real server answers, and stay', () => {
    expect(step(udp, 0, 0, UDP.NONE)).toBe(UDP.ONEWAY);
    expect(step(udp, 0, 0, UDP.ONEWAY)).toBe(UDP.ONEWAY);
    expect(step(udp, 1, 0, UDP.ONEWAY)).toBe(UDP.NORMAL);
    expect(step(udp, 0, 0, UDP.NORMAL)).toBe(UDP.NORMAL);
    expect(step(udp, 1, 0, UDP.NORMAL)).toBe(UDP.NORMAL);
    expect(step(udp, 2, 0, UDP.NONE)).toBe(UDP.ONEWAY);
  });

  it('go the same way in opposite roles when opened from inside', () => {
    expect(step(udp, 1, 0, UDP.NONE)).toBe(UDP.ONEWAY_OUT);
    expect(step(udp, 1, 0, UDP.ONEWAY_OUT)).toBe(UDP.ONEWAY_OUT);
    expect(step(udp, 0, 0, UDP.ONEWAY_OUT)).toBe(UDP.NORMAL);
  });

  it('have the names and default timeouts of the original, none of them active', () => {
    expect(udp.states.map((s) => `${s.name} ${s.timeout}`)).toEqual([
      'UDP_NONE 2',
      'UDP_ONEWAY 300',
      'UDP_NORM 300',
      'UDP_LAST 2',
      'UDP_ONEWAY 300',
    ]);
    expect(udp.states.some((s) => s.active)).toBe(false);
  });

  it('need a length that holds the header and fits the datagram', () => {
    const check = (udpLen: number, end: number, more = false): boolean => {
      const m = udpDatagram({ src: '1.1.1.1:1', dst: '2.2.2.2:2', data: 'abcd', udpLen });
      return udp.check(new Bytes(Uint8Array.from(m).buffer), 0, end, more);
    };
    expect(check(12, 12)).toBe(true);
    expect(check(8, 12)).toBe(true);
    expect(check(7, 12)).toBe(false);
    // A first fragment ends before the datagram does.
    expect(check(13, 12, true)).toBe(true);
    expect(check(12, 12, true)).toBe(false);
    expect(check(13, 7, true)).toBe(false);
    expect(check(13, 12)).toBe(false);
    expect(check(12, 7)).toBe(false);
  });
});

describe('protocols', () => {
  it('are found by IP protocol number, and only the registered ones', () => {
    expect(PROTO_BY_NUMBER[6]).toBe(tcp);
    expect(PROTO_BY_NUMBER[17]).toBe(udp);
    expect(PROTO_BY_NUMBER.filter((p) => p !== undefined)).toHaveLength(PROTOS.length);
  });

  it('take configured timeouts and keep the defaults of the others', () => {
    const tables = timeoutTables({ tcp: { established: 900_000, last: 5 } });
    expect(tables[6]![TCP.ESTABLISHED]).toBe(900_000);
    expect(tables[6]![TCP.SYN_RECV]).toBe(30_000);
    expect(tables[17]![UDP.NORMAL]).toBe(300_000);
    expect(timeoutsInForce(tcp, { tcp: { finWait: 5000 } })).toMatchObject({
      finWait: 5,
      timeWait: 7,
      established: 90,
    });
  });

  it('refuse a table that is not whole', () => {
    expect(() => compile(['A', 'B'], ['A'])).toThrow(/row 0/);
    expect(() => compile(['A', 'B'], ['A C'])).toThrow(/unknown state C/);
  });
});
