/** How a service or real server is named on a line: addresses, ports, and which option stands for which kind of service. */
import { isIP } from 'node:net';
import type { Input } from '../../control/client.js';
import type { SvcKey } from '../../control/results.js';
import type { DpvsError } from '../../core/errors.js';
import { formatMatch, listMatch, MATCH_PROTOS, parseMatch } from '../../core/match.js';
import { notYet, UsageError } from '../errors.js';
import type { OptionSpec } from '../options.js';
import { EXIT_USAGE } from './exit.js';
import { digits, type Given } from './fields.js';

export const SERVICE = 'service-address';

const fail = (message: string): UsageError => new UsageError(message, EXIT_USAGE);

/** An option that names a service; all of them exclude each other. */
export interface KeyOption extends OptionSpec {
  group: typeof SERVICE;
  /** @throws UsageError on a bad value, exit code 2 */
  parse(text: string): SvcKey;
  /** The value that {@link parse} reads, or undefined when it names another kind of service. */
  format(svc: SvcKey): string | undefined;
  /** First column of the list. */
  title(svc: SvcKey): string;
}

const byPort = (name: string, chars: string, proto: SvcKey['proto'], doc: string): KeyOption => ({
  name,
  ...(chars === '' ? {} : { chars }),
  value: 'HOST:PORT',
  group: SERVICE,
  doc,
  parse: (text) => {
    const { addr, port = 0 } = endpoint(text, 'virtual');
    return { proto, addr, port };
  },
  format: (svc) => (svc.match === undefined && svc.proto === proto ? `${svc.addr}:${svc.port}` : undefined),
  title: (svc) => `${proto.toUpperCase().padEnd(4)} ${svc.addr}:${svc.port}`,
});

const icmpService: KeyOption = {
  name: 'icmp-service',
  chars: 'q',
  value: 'HOST',
  group: SERVICE,
  doc: 'an ICMP service: pings of an address',
  parse: (text) => {
    const { addr, port = 0 } = endpoint(text, 'virtual');
    if (port !== 0) throw fail(`illegal virtual server address specified: ${text}`);
    return { proto: 'icmp', addr, port };
  },
  format: (svc) => (svc.match === undefined && svc.proto === 'icmp' ? svc.addr : undefined),
  title: (svc) => `ICMP ${svc.addr}:${svc.port}`,
};

const matchService: KeyOption = {
  name: 'match',
  chars: 'H',
  value: 'MATCH',
  group: SERVICE,
  doc: 'packets by proto=tcp|udp|icmp|sctp,src-range=IP[-IP][:PORT[-PORT]],dst-range=…,iif=DEV,oif=DEV',
  parse: (text) => {
    try {
      return { addr: '0.0.0.0', port: 0, ...parseMatch(text) };
    } catch (error) {
      const { message, hint } = error as DpvsError;
      throw fail(`${message}\n  ${hint}`);
    }
  },
  format: (svc) => (svc.match === undefined ? undefined : formatMatch(svc.proto, svc.match)),
  title: (svc) => `MATCH ${listMatch(svc.proto, svc.match!)}`,
};

const idle = (spec: OptionSpec): KeyOption => ({
  ...spec,
  group: SERVICE,
  parse: () => ({ proto: 'tcp', addr: '', port: 0 }),
  format: () => undefined,
  title: () => '',
});
/** Of the original, and not supported yet. */
const later = (spec: OptionSpec): KeyOption => idle({ ...spec, later: true });

export const SERVICE_KEYS: readonly KeyOption[] = [
  byPort('tcp-service', 't', 'tcp', 'a TCP service'),
  byPort('udp-service', 'u', 'udp', 'a UDP service'),
  byPort('sctp-service', '', 'sctp', 'an SCTP service'),
  icmpService,
  later({ name: 'icmpv6-service', chars: '1', doc: 'an ICMPv6 service' }),
  idle({
    name: 'fwmark-service',
    chars: 'f',
    value: 'N',
    doc: 'a service by firewall mark',
    refused: 'nothing marks packets here; name addresses and ports (-t, -u, -H)',
  }),
  matchService,
];

/** The service that a line names. @throws UsageError */
export function serviceOf(given: Given): SvcKey | undefined {
  const key = SERVICE_KEYS.find((k) => given.has(k.name));
  return key?.parse(given.get(key.name)!);
}

/** `-t 10.0.0.1:80`: the words that name a service. */
export function serviceWords(svc: SvcKey): string {
  const key = keyOption(svc);
  return `${key.chars === undefined ? `--${key.name}` : `-${key.chars[0]}`} ${key.format(svc)!}`;
}

/** `TCP  10.0.0.1:80`: how lists name it. */
export const serviceTitle = (svc: SvcKey): string => keyOption(svc).title(svc);

const keyOption = (svc: SvcKey): KeyOption => SERVICE_KEYS.find((k) => k.format(svc) !== undefined)!;

/**
 * `PROTO:ADDR:PORT:ADDR:PORT`: from, to.
 * @throws UsageError
 */
export function sockpairOf(text: string): NonNullable<Input<'conn.list'>['sockpair']> {
  const [proto, saddr = '', sport = '', daddr = '', dport = '', ...more] = text.split(':');
  const ports = [digits(sport, 65535), digits(dport, 65535)] as const;
  if (
    more.length > 0 ||
    isIP(saddr) !== 4 ||
    isIP(daddr) !== 4 ||
    ports.includes(undefined) ||
    !isProto(proto)
  ) {
    throw fail(`illegal sockpair specified: ${text} (PROTO:ADDR:PORT:ADDR:PORT)`);
  }
  return { proto, saddr, sport: ports[0]!, daddr, dport: ports[1]! };
}

const isProto = (text: string | undefined): text is SvcKey['proto'] =>
  (MATCH_PROTOS as readonly (string | undefined)[]).includes(text);

/** `HOST[:PORT]`. @throws UsageError 'illegal … specified' */
export function endpoint(text: string, what: string): { addr: string; port?: number } {
  const names = /[a-z]/i.test(text) ? ' (names are not resolved: ipvsadm -Sn saves numbers)' : '';
  const bad = fail(`illegal ${what} server address[:port] specified: ${text}${names}`);
  if (text.startsWith('[') || isIP(text) === 6) throw notYet(`IPv6 (${text})`, EXIT_USAGE);
  const [, addr, port] = /^([^:]*)(?::([^:]*))?$/.exec(text) ?? [];
  if (addr === undefined || isIP(addr) !== 4) throw bad;
  if (port === undefined) return { addr };
  const number = digits(port, 65535);
  if (number === undefined) throw bad;
  return { addr, port: number };
}
