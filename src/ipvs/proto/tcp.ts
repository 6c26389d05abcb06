/**
 * TCP as the load balancer sees it: a state machine over the flags of both directions (after the one of
 * Linux IPVS), not a TCP endpoint.
 */
import type { Bytes } from '../../core/bytes.js';
import { PROTO_TCP } from '../../wire/ipv4.js';
import * as wire from '../../wire/tcp.js';
import type { Records } from '../conn/records.js';
import type { XmitContext } from '../xmit/xmit.js';
import { compile, NO_EVENT, ofOneShape, type Proto, TABLE_OUT } from './table.js';
import { resetBoth } from './tcp-reset.js';
import { isStorm, observeStorm } from './tcp-storm.js';

/** States by number. */
export const TCP = {
  NONE: 0,
  ESTABLISHED: 1,
  SYN_SENT: 2,
  SYN_RECV: 3,
  FIN_WAIT: 4,
  TIME_WAIT: 5,
  CLOSE: 6,
  CLOSE_WAIT: 7,
  LAST_ACK: 8,
  LISTEN: 9,
  SYNACK: 10,
} as const;

export const TCP_EVENT = { SYN: 0, FIN: 1, ACK: 2, RST: 3 } as const;

const { ACK, FIN, RST, SYN } = wire;
const CHECKSUM = 16;

const ABBR = ['NO', 'ES', 'SS', 'SR', 'FW', 'TW', 'CL', 'CW', 'LA', 'LI', 'SA'];

// oxfmt-ignore: a table
const ROWS = [
  //     NO ES SS SR FW TW CL CW LA LI SA
  /* from the client */
  /*syn*/ 'SR ES ES SR SR SR SR SR SR SR SR',
  /*fin*/ 'CL CW SS TW TW TW CL CW LA LI TW',
  /*ack*/ 'CL ES SS ES FW TW CL CW CL LI ES',
  /*rst*/ 'CL CL CL SR CL CL CL CL LA LI SR',
  /* from the real server */
  /*syn*/ 'SS ES SS SR SS SS SS SS SS LI SR',
  /*fin*/ 'TW FW SS TW FW TW CL TW LA LI TW',
  /*ack*/ 'ES ES SS ES FW TW CL CW LA ES ES',
  /*rst*/ 'CL CL SS CL CL TW CL CL CL CL CL',
  /* from the client, answers go another way */
  /*syn*/ 'SR ES ES SR SR SR SR SR SR SR SR',
  /*fin*/ 'CL FW SS TW FW TW CL CW LA LI TW',
  /*ack*/ 'CL ES SS ES FW TW CL CW CL LI ES',
  /*rst*/ 'CL CL CL SR CL CL CL CL LA LI CL',
];

export const tcp: Proto = {
  number: PROTO_TCP,
  name: 'tcp',
  hasPorts: true,
  native: true,
  states: ofOneShape([
    { key: 'none', name: 'TCP_NONE', timeout: 2, fleeting: true },
    { key: 'established', name: 'TCP_EST', timeout: 90, active: true, connTimeout: true, set: 'tcp' },
    { key: 'synSent', name: 'SYN_SENT', timeout: 3 },
    { key: 'synRecv', name: 'SYN_RECV', timeout: 30, fleeting: true },
    { key: 'finWait', name: 'FIN_WAIT', timeout: 7, closing: true, set: 'tcpFin' },
    { key: 'timeWait', name: 'TIME_WAIT', timeout: 7, closing: true, fleeting: true },
    { key: 'close', name: 'TCP_CLOSE', timeout: 3, closing: true, fleeting: true },
    { key: 'closeWait', name: 'CLOSE_WAIT', timeout: 7, closing: true },
    { key: 'lastAck', name: 'LAST_ACK', timeout: 7, closing: true },
    { key: 'listen', name: 'LISTEN', timeout: 120 },
    { key: 'synack', name: 'SYNACK', timeout: 30, fleeting: true },
  ]),
  lastingState: TCP.ESTABLISHED,
  resumeEvent: TCP_EVENT.ACK,
  // Whoever goes on has one more packet to send before nobody may end it: forged ones are not worth more than a SYN.
  resumeState: TCP.SYN_RECV,
  events: ['syn', 'fin', 'ack', 'rst'],
  next: compile(ABBR, ROWS),
  headerLen: wire.HEADER_LEN,
  checksumOff: CHECKSUM,
  pseudoHeader: true,
  optionalChecksum: false,

  check(b: Bytes, l4: number, end: number): boolean {
    return wire.check(b, l4, end - l4);
  },

  /** One event a packet, by priority RST, SYN, FIN, ACK. */
  event(b: Bytes, l4: number): number {
    const flags = wire.flags(b, l4);
    if ((flags & RST) !== 0) return TCP_EVENT.RST;
    if ((flags & SYN) !== 0) return TCP_EVENT.SYN;
    if ((flags & FIN) !== 0) return TCP_EVENT.FIN;
    if ((flags & ACK) !== 0) return TCP_EVENT.ACK;
    return NO_EVENT;
  },

  /** Only a pure SYN is given a real server. */
  opens(b: Bytes, l4: number): boolean {
    return (wire.flags(b, l4) & (SYN | ACK | RST | FIN)) === SYN;
  },

  /** Options of a client's SYN are for TypeScript, and whether it opens a connection. */
  slow(b: Bytes, l4: number, table: number): boolean {
    const flags = wire.flags(b, l4);
    return (flags & SYN) !== 0 && (table !== TABLE_OUT || (flags & ACK) === 0);
  },

  /**
   * Known of Full-NAT connections only (0 = not known). A client that opens anew has another initial sequence number (RFC 9293
   * section 3.4.1).
   */
  isRepeated(r: Records, c: number, b: Bytes, l4: number): boolean {
    return r.isnIn(c) !== 0 && r.isnIn(c) === wire.seq(b, l4);
  },

  /** How far the real server has come, both ways: what a reset must carry to be believed (RFC 5961 section 3.2). */
  observe(r: Records, c: number, b: Bytes, l4: number, len: number, nowMs: number): void {
    const flags = wire.flags(b, l4);
    observeStorm(r, c, b, l4, len, nowMs);
    if ((flags & RST) !== 0) return;
    const seq = (wire.seq(b, l4) + wire.segmentLen(b, l4, len)) >>> 0;
    const ack = (flags & ACK) !== 0 ? wire.ack(b, l4) : 0;
    const first = (flags & SYN) !== 0;
    if (first) r.setIsnOut(c, wire.seq(b, l4));
    // Old segments come again: never go back.
    if (first || ((seq - r.endSeq(c)) | 0) > 0) r.setEndSeq(c, seq);
    if (first || ((flags & ACK) !== 0 && ((ack - r.endAck(c)) | 0) > 0)) r.setEndAck(c, ack);
  },

  isStorm,

  /** Neither end knows that we have forgotten an established connection: tell them. */
  expired(x: XmitContext, c: number): void {
    if (x.records.state(c) === TCP.ESTABLISHED) resetBoth(x, c);
  },
};
