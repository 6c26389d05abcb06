/**
 * SCTP as the load balancer sees it: where an association stands by the control chunks of both directions (RFC 9260 section 4),
 * not an SCTP endpoint. States, events and timeouts have the names and values of the original; the tables follow from
 * the state diagram of the RFC as somebody in the middle sees it:
 *
 *   client INIT, server INIT ACK, client COOKIE ECHO, server COOKIE ACK: the association stands.
 *   SHUTDOWN, SHUTDOWN ACK from the other side, SHUTDOWN COMPLETE: it ends. ABORT ends it at once.
 *
 * The same with the roles exchanged when the server opens towards a client that is known.
 */
import type { Bytes } from '../../core/bytes.js';
import { PROTO_SCTP } from '../../wire/ipv4.js';
import * as wire from '../../wire/sctp.js';
import { compile, ofOneShape, type Proto } from './table.js';

/** States by number. */
export const SCTP = {
  NONE: 0,
  /** Client: one INIT, several. */
  INIT1: 1,
  INIT: 2,
  /** Server: INIT ACK. */
  COOKIE_SENT: 3,
  /** Client: COOKIE ECHO. */
  COOKIE_REPLIED: 4,
  /** The server opens: its INIT, the client's INIT ACK, its COOKIE ECHO. */
  COOKIE_WAIT: 5,
  COOKIE: 6,
  COOKIE_ECHOED: 7,
  ESTABLISHED: 8,
  /** SHUTDOWN of the client, of the server, SHUTDOWN ACK. */
  SHUTDOWN_SENT: 9,
  SHUTDOWN_RECEIVED: 10,
  SHUTDOWN_ACK_SENT: 11,
  /** Aborted before it stood. */
  REJECTED: 12,
  CLOSED: 13,
} as const;

/** By number; `DATA` is everything that says nothing else (SACK, HEARTBEAT, …). */
const EVENTS = [
  'data',
  'init',
  'initAck',
  'cookieEcho',
  'cookieAck',
  'shutdown',
  'shutdownAck',
  'shutdownComplete',
  'error',
  'abort',
] as const;

export const SCTP_EVENT = {
  DATA: 0,
  INIT: 1,
  INIT_ACK: 2,
  COOKIE_ECHO: 3,
  COOKIE_ACK: 4,
  SHUTDOWN: 5,
  SHUTDOWN_ACK: 6,
  SHUTDOWN_COMPLETE: 7,
  ERROR: 8,
  ABORT: 9,
} as const;

/** Event by chunk type. */
const EVENT_OF = new Uint8Array(256);
EVENT_OF[wire.INIT] = SCTP_EVENT.INIT;
EVENT_OF[wire.INIT_ACK] = SCTP_EVENT.INIT_ACK;
EVENT_OF[wire.ABORT] = SCTP_EVENT.ABORT;
EVENT_OF[wire.SHUTDOWN] = SCTP_EVENT.SHUTDOWN;
EVENT_OF[wire.SHUTDOWN_ACK] = SCTP_EVENT.SHUTDOWN_ACK;
EVENT_OF[wire.ERROR] = SCTP_EVENT.ERROR;
EVENT_OF[wire.COOKIE_ECHO] = SCTP_EVENT.COOKIE_ECHO;
EVENT_OF[wire.COOKIE_ACK] = SCTP_EVENT.COOKIE_ACK;
EVENT_OF[wire.SHUTDOWN_COMPLETE] = SCTP_EVENT.SHUTDOWN_COMPLETE;

const ABBR = ['NO', 'I1', 'IN', 'CS', 'CR', 'CW', 'CO', 'CE', 'ES', 'SS', 'SR', 'SA', 'RJ', 'CL'];

// An INIT or a cookie changes nothing while the association stands (RFC 9260 section 5.2): a blind INIT must not shorten
// its life, and who has restarted goes on in the same association.
// oxfmt-ignore: a table
const ROWS = [
  //                  NO I1 IN CS CR CW CO CE ES SS SR SA RJ CL
  /* from the client */
  /*data*/ 'NO I1 IN CS CR CW CO ES ES SS SR SA RJ CL',
  /*init*/ 'I1 IN IN IN IN IN IN IN ES SS SR SA I1 I1',
  /*initAck*/ 'NO I1 IN CS CR CO CO CE ES SS SR SA RJ CL',
  /*cookieEcho*/ 'NO CR CR CR CR CW CO CE ES SS SR SA RJ CL',
  /*cookieAck*/ 'NO I1 IN CS CR CW CO ES ES SS SR SA RJ CL',
  /*shutdown*/ 'NO I1 IN CS CR CW CO SS SS SS SS SA RJ CL',
  /*shutdownAck*/ 'NO I1 IN CS CR CW CO CE ES SA SA SA RJ CL',
  /*shutdownCompl*/ 'NO I1 IN CS CR CW CO CE ES SS SR CL RJ CL',
  /*error*/ 'NO I1 IN CS CR CW CO CE ES SS SR SA RJ CL',
  /*abort*/ 'RJ RJ RJ RJ RJ RJ RJ RJ CL CL CL CL RJ CL',
  /* from the real server */
  /*data*/ 'NO I1 IN CS ES CW CO CE ES SS SR SA RJ CL',
  /*init*/ 'CW I1 IN CS CR CW CW CW ES SS SR SA CW CW',
  /*initAck*/ 'NO CS CS CS CR CW CO CE ES SS SR SA RJ CL',
  /*cookieEcho*/ 'NO I1 IN CS CR CW CE CE ES SS SR SA RJ CL',
  /*cookieAck*/ 'NO I1 IN CS ES CW CO CE ES SS SR SA RJ CL',
  /*shutdown*/ 'NO I1 IN CS SR CW CO CE SR SR SR SA RJ CL',
  /*shutdownAck*/ 'NO I1 IN CS CR CW CO CE ES SA SA SA RJ CL',
  /*shutdownCompl*/ 'NO I1 IN CS CR CW CO CE ES SS SR CL RJ CL',
  /*error*/ 'NO I1 IN CS CR CW CO CE ES SS SR SA RJ CL',
  /*abort*/ 'RJ RJ RJ RJ RJ RJ RJ RJ CL CL CL CL RJ CL',
  /* from the client, answers go another way */
  /*data*/ 'NO I1 IN CS ES CW ES ES ES SS SR SA RJ CL',
  /*init*/ 'I1 IN IN IN IN IN IN IN ES SS SR SA I1 I1',
  /*initAck*/ 'CO CO CO CO CO CO CO CO ES SS SR SA RJ CL',
  /*cookieEcho*/ 'CR CR CR CR CR CR CR CR ES SS SR SA RJ CL',
  /*cookieAck*/ 'ES ES ES ES ES ES ES ES ES SS SR SA RJ CL',
  /*shutdown*/ 'NO I1 IN CS SS CW SS SS SS SS SS SA RJ CL',
  /*shutdownAck*/ 'NO I1 IN CS SA CW SA SA SA SA SA SA RJ CL',
  /*shutdownCompl*/ 'NO I1 IN CS CR CW CO CE ES CL CL CL RJ CL',
  /*error*/ 'NO I1 IN CS CR CW CO CE ES SS SR SA RJ CL',
  /*abort*/ 'RJ RJ RJ RJ RJ RJ RJ RJ CL CL CL CL RJ CL',
];

export const sctp: Proto = {
  number: PROTO_SCTP,
  name: 'sctp',
  hasPorts: true,
  native: false,
  states: ofOneShape([
    { key: 'none', name: 'NONE', timeout: 2, fleeting: true },
    { key: 'init1', name: 'INIT1', timeout: 4, fleeting: true },
    { key: 'init', name: 'INIT', timeout: 61, fleeting: true },
    { key: 'cookieSent', name: 'C-SENT', timeout: 61, fleeting: true },
    { key: 'cookieReplied', name: 'C-REPLIED', timeout: 61, fleeting: true },
    { key: 'cookieWait', name: 'C-WAIT', timeout: 61, fleeting: true },
    { key: 'cookie', name: 'COOKIE', timeout: 61, fleeting: true },
    { key: 'cookieEchoed', name: 'C-ECHOED', timeout: 61, fleeting: true },
    { key: 'established', name: 'ESTABLISHED', timeout: 900, active: true, connTimeout: true },
    { key: 'shutdownSent', name: 'S-SENT', timeout: 61 },
    { key: 'shutdownReceived', name: 'S-RECEIVED', timeout: 61 },
    { key: 'shutdownAckSent', name: 'S-ACK-SENT', timeout: 61 },
    { key: 'rejected', name: 'REJECTED', timeout: 4, fleeting: true, closing: true },
    { key: 'closed', name: 'CLOSED', timeout: 61, fleeting: true, closing: true },
  ]),
  events: EVENTS,
  next: compile(ABBR, ROWS),
  headerLen: wire.HEADER_LEN + wire.CHUNK_HEADER_LEN,
  checksumOff: 8,
  pseudoHeader: false,
  optionalChecksum: false,

  check(b: Bytes, l4: number, end: number): boolean {
    return wire.check(b, l4, end - l4);
  },

  /**
   * One event a packet: ABORT, else COOKIE ECHO, else the last of the others. Control chunks stand before data (RFC 9260
   * section 6.10).
   */
  event(b: Bytes, l4: number, end: number): number {
    let event: number = SCTP_EVENT.DATA;
    for (let at = l4 + wire.HEADER_LEN; at > 0; at = wire.nextChunk(b, at, end)) {
      const type = wire.chunkType(b, at);
      if (type === wire.DATA) break;
      const next = EVENT_OF[type]!;
      if (next === SCTP_EVENT.ABORT) return next;
      if (next !== SCTP_EVENT.DATA && event !== SCTP_EVENT.COOKIE_ECHO) event = next;
    }
    return event;
  },

  /** An INIT is alone in its packet and has no verification tag (RFC 9260 sections 6.10 and 8.5.1). */
  opens(b: Bytes, l4: number): boolean {
    const at = l4 + wire.HEADER_LEN;
    return (
      wire.chunkType(b, at) === wire.INIT && wire.chunkLen(b, at) >= wire.INIT_LEN && wire.tag(b, l4) === 0
    );
  },

  rewrite(b, l4, len, end, sport, dport) {
    wire.changePorts(b, l4, len, end, sport, dport);
  },
};
