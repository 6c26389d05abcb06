/** UDP as the load balancer sees it: every packet is the same event, an answer makes a connection normal. */
import type { Bytes } from '../../core/bytes.js';
import { PROTO_UDP } from '../../wire/ipv4.js';
import * as wire from '../../wire/udp.js';
import { compile, ofOneShape, type Proto } from './table.js';

/** States by number. */
export const UDP = { NONE: 0, ONEWAY: 1, NORMAL: 2, LAST: 3, ONEWAY_OUT: 4 } as const;

const CHECKSUM = 6;

export const udp: Proto = {
  number: PROTO_UDP,
  name: 'udp',
  hasPorts: true,
  native: true,
  states: ofOneShape([
    { key: 'none', name: 'UDP_NONE', timeout: 2, fleeting: true, connTimeout: true },
    { key: 'oneway', name: 'UDP_ONEWAY', timeout: 300, fleeting: true, connTimeout: true },
    { key: 'normal', name: 'UDP_NORM', timeout: 300, connTimeout: true, set: 'udp' },
    { key: 'last', name: 'UDP_LAST', timeout: 2, fleeting: true, connTimeout: true },
    // As `oneway`, of a connection that is opened from inside (SNAT).
    { key: 'oneway', name: 'UDP_ONEWAY', timeout: 300, fleeting: true, connTimeout: true },
  ]),
  onceState: UDP.LAST,
  lastingState: UDP.ONEWAY,
  events: ['packet'],
  next: compile(
    ['NO', 'ON', 'NM', 'LA', 'OO'],
    [
      /* from the client */ 'ON ON NM LA NM',
      /* from the real server */ 'OO NM NM LA OO',
      /* from the client, answers go another way */ 'ON ON NM LA NM',
    ],
  ),
  headerLen: wire.HEADER_LEN,
  checksumOff: CHECKSUM,
  pseudoHeader: true,
  optionalChecksum: true,

  /** The length field may be less than what the datagram holds: the rest is padding (RFC 768). */
  check(b: Bytes, l4: number, end: number, more: boolean): boolean {
    const len = end - l4;
    return more ? len >= wire.HEADER_LEN && wire.length(b, l4) > len : wire.check(b, l4, len);
  },

  event(): number {
    return 0;
  },

  opens(): boolean {
    return true;
  },
};
