/**
 * Services by match: which packets they cover, and how people write that (`ipvsadm -H`):
 *
 *   proto=tcp,src-range=192.168.100.0-192.168.100.254,oif=dpdk1
 *
 * Keys: `proto` (needed), `af`, `src-range`, `dst-range`, `iif`, `oif`. A range is `IP[-IP][:PORT[-PORT]]`; ports 0-0 stand
 * for all, as in the original.
 */
import { isIPv4 } from 'node:net';
import { DpvsError } from './errors.js';

export const MATCH_PROTOS = ['tcp', 'udp', 'icmp', 'sctp'] as const;
export type MatchProto = (typeof MATCH_PROTOS)[number];

/** Addresses and ports, both ends included. */
export interface MatchRange {
  from: string;
  to: string;
  fromPort: number;
  toPort: number;
}

/** What is left out matches everything. */
export interface MatchSpec {
  src?: MatchRange | undefined;
  dst?: MatchRange | undefined;
  /** Name of the device that the packet came in on. */
  iif?: string | undefined;
  /** Name of the device that the route to its destination goes out of. */
  oif?: string | undefined;
}

const LAST_PORT = 65535;
const KEYS = ['proto', 'af', 'src-range', 'dst-range', 'iif', 'oif'];

/** Longest device name that commands take. */
const DEVICE_LEN = 32;

/** @throws DpvsError INVAL with the position of what is wrong, counted from 1 */
export function parseMatch(text: string): { proto: MatchProto; match: MatchSpec } {
  const seen = new Map<string, string>();
  const match: MatchSpec = {};
  let proto: MatchProto | undefined;
  let at = 0;
  for (const part of text.split(',')) {
    const eq = part.indexOf('=');
    const key = eq < 0 ? part : part.slice(0, eq);
    if (!KEYS.includes(key)) throw wrong(text, at, `'${key}' is none of ${KEYS.join(', ')}`);
    if (eq < 0) throw wrong(text, at + part.length, `'${key}' needs '=' and a value`);
    if (seen.has(key)) throw wrong(text, at, `'${key}' is there twice`);
    const value = part.slice(eq + 1);
    const where = at + eq + 1;
    seen.set(key, value);
    switch (key) {
      case 'proto':
        proto = MATCH_PROTOS.find((p) => p === value);
        if (proto === undefined) throw wrong(text, where, `'${value}' is none of ${MATCH_PROTOS.join(', ')}`);
        break;
      case 'af':
        if (value !== 'ipv4') throw wrong(text, where, `'${value}' is not ipv4, the only one supported`);
        break;
      case 'src-range':
        match.src = parseRange(text, value, where);
        break;
      case 'dst-range':
        match.dst = parseRange(text, value, where);
        break;
      default:
        if (value === '' || value.length > DEVICE_LEN)
          throw wrong(text, where, `'${value}' is no device name`);
        match[key as 'iif' | 'oif'] = value;
    }
    at += part.length + 1;
  }
  if (proto === undefined) throw wrong(text, text.length, "'proto=' is missing");
  if (!seen.has('af') && match.src === undefined && match.dst === undefined)
    throw wrong(text, text.length, "one of 'src-range=', 'dst-range=' and 'af=' is missing");
  return { proto, match };
}

/** `IP[-IP][:PORT[-PORT]]`, which stands at `at` in `text`. */
function parseRange(text: string, range: string, at: number): MatchRange {
  const colon = range.indexOf(':');
  const addrs = colon < 0 ? range : range.slice(0, colon);
  const [from, to] = ends(text, addrs, at, (s) => (isIPv4(s) ? number(s) : -1), 'an IPv4 address');
  if (colon < 0) return { from, to, fromPort: 0, toPort: LAST_PORT };
  const port = (s: string): number => (/^\d{1,5}$/.test(s) && Number(s) <= LAST_PORT ? Number(s) : -1);
  const [first, last] = ends(text, range.slice(colon + 1), at + colon + 1, port, 'a port').map(Number) as [
    number,
    number,
  ];
  return { from, to, fromPort: first, toPort: last === 0 ? LAST_PORT : last };
}

/** `A` or `A-B` with `B` not below `A`. */
function ends(
  text: string,
  part: string,
  at: number,
  value: (s: string) => number,
  what: string,
): [string, string] {
  const dash = part.indexOf('-');
  const from = dash < 0 ? part : part.slice(0, dash);
  const to = dash < 0 ? part : part.slice(dash + 1);
  if (value(from) < 0) throw wrong(text, at, `'${from}' is not ${what}`);
  if (value(to) < 0) throw wrong(text, at + dash + 1, `'${to}' is not ${what}`);
  if (value(to) < value(from)) throw wrong(text, at + dash + 1, `'${to}' is below '${from}'`);
  return [from, to];
}

const number = (addr: string): number => addr.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0);

const wrong = (text: string, at: number, why: string): DpvsError =>
  new DpvsError(
    'INVAL',
    `illegal match specified: ${text}: character ${at + 1}: ${why}`,
    'proto=tcp|udp|icmp,src-range=IP[-IP][:PORT[-PORT]],dst-range=…,iif=DEV,oif=DEV',
  );

/** The text that `parseMatch` reads. The same match has always the same text. */
export function formatMatch(proto: string, m: MatchSpec): string {
  const ranges = [
    ...(m.src === undefined ? [] : [`src-range=${range(m.src)}`]),
    ...(m.dst === undefined ? [] : [`dst-range=${range(m.dst)}`]),
  ];
  return [`proto=${proto}`, ...(ranges.length === 0 ? ['af=ipv4'] : ranges), ...devices(m)].join(',');
}

function range({ from, to, fromPort, toPort }: MatchRange): string {
  const ports = fromPort === 0 && toPort === LAST_PORT ? '' : `:${fromPort}-${toPort}`;
  return `${from}-${to}${ports}`;
}

/** As listings show it: `tcp,from=10.0.0.0-10.0.0.255:0-0,to=…,iif=…,oif=…`. */
export function listMatch(proto: string, m: MatchSpec): string {
  const shown = ({ from, to, fromPort, toPort }: MatchRange): string =>
    `${from}-${to}:${fromPort}-${fromPort === 0 && toPort === LAST_PORT ? 0 : toPort}`;
  return [
    proto,
    ...(m.src === undefined ? [] : [`from=${shown(m.src)}`]),
    ...(m.dst === undefined ? [] : [`to=${shown(m.dst)}`]),
    ...devices(m),
  ].join(',');
}

const devices = (m: MatchSpec): string[] => [
  ...(m.iif === undefined ? [] : [`iif=${m.iif}`]),
  ...(m.oif === undefined ? [] : [`oif=${m.oif}`]),
];
