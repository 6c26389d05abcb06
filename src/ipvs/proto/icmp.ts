/**
 * ICMP queries as the load balancer sees them: echo and timestamp (RFC 792). In place of ports, a message has its identifier
 * on the side that asks and the type of the request on the side that answers, so that request and reply are the two directions of
 * one connection.
 */
import type { Bytes } from '../../core/bytes.js';
import * as wire from '../../wire/icmp.js';
import { PROTO_ICMP } from '../../wire/ipv4.js';
import { compile, ofOneShape, type Proto } from './table.js';

/** States by number. */
export const ICMP = { NONE: 0, NORMAL: 1 } as const;

const CHECKSUM = 2;
const IDENT = 4;

/**
 * The ports of a query message of at least 8 bytes, source port in the upper half; -1 for other messages. Types are below
 * the ports that local addresses have.
 */
export function queryPorts(b: Bytes, l4: number): number {
  if (wire.code(b, l4) !== 0) return -1;
  const ident = b.u16(l4 + IDENT);
  const type = wire.type(b, l4);
  switch (type) {
    case wire.ECHO_REQUEST:
    case wire.TIMESTAMP:
      return ((ident << 16) | type) >>> 0;
    case wire.ECHO_REPLY:
      return ((wire.ECHO_REQUEST << 16) | ident) >>> 0;
    case wire.TIMESTAMP_REPLY:
      return ((wire.TIMESTAMP << 16) | ident) >>> 0;
    default:
      return -1;
  }
}

const isRequest = (type: number): boolean => type === wire.ECHO_REQUEST || type === wire.TIMESTAMP;

export const icmp: Proto = {
  number: PROTO_ICMP,
  name: 'icmp',
  hasPorts: false,
  native: false,
  states: ofOneShape([
    { key: 'none', name: 'ICMP_NONE', timeout: 2, fleeting: true, connTimeout: true },
    { key: 'normal', name: 'ICMP_NORMAL', timeout: 300, fleeting: true, connTimeout: true },
  ]),
  events: ['packet'],
  next: compile(['NO', 'NM'], ['NM NM', 'NM NM', 'NM NM']),
  headerLen: wire.HEADER_LEN,
  checksumOff: CHECKSUM,
  pseudoHeader: false,
  optionalChecksum: false,

  check(_b: Bytes, l4: number, end: number): boolean {
    return end - l4 >= wire.HEADER_LEN;
  },

  event(): number {
    return 0;
  },

  opens(b: Bytes, l4: number): boolean {
    return isRequest(wire.type(b, l4));
  },

  /** Of the two, only the identifier can have changed. */
  setPorts(b: Bytes, l4: number, sport: number, dport: number): void {
    b.setU16(l4 + IDENT, isRequest(wire.type(b, l4)) ? sport : dport);
  },
};
