/**
 * Commands and options of `ipvsadm`, as data. Help, the reference page and the check of what goes with what follow
 * from these tables.
 */
import type { OptionSpec } from '../options.js';
import { SERVICE, SERVICE_KEYS } from './endpoint.js';
import { SERVER_FIELDS, SERVICE_FIELDS } from './fields.js';

export interface IpvsOption extends OptionSpec {
  /**
   * What a group of options is called in messages and in {@link IpvsCommand}.needs: several options that say the same
   * kind of thing (`-t`, `-u`: a service) exclude each other.
   */
  group?: string;
}

export interface IpvsCommand extends OptionSpec {
  /** Options or groups that must be there. */
  needs?: string[];
  /** Options or groups that may be there besides. */
  allows?: string[];
  /** Words behind the command, all of them needed. */
  words?: string[];
}

/** What an option is called in `needs`, `allows` and messages. */
export const groupOf = (o: IpvsOption): string => o.group ?? o.name;

const SERVICE_OPTIONS = [...new Set(SERVICE_FIELDS.map(groupOf))];
const SERVER_OPTIONS = [...new Set(SERVER_FIELDS.map(groupOf))];
const NO_SYNC = 'connections are not synchronised between directors';
/** Listings of services, by the option that asks for them. */
export const FORMATS = ['stats', 'rate', 'thresholds', 'persistent-conn', 'drops', 'events'] as const;

export const COMMANDS: readonly IpvsCommand[] = [
  {
    name: 'add-service',
    chars: 'A',
    doc: 'add a virtual service',
    needs: [SERVICE],
    allows: SERVICE_OPTIONS,
  },
  {
    name: 'edit-service',
    chars: 'E',
    doc: 'change a virtual service',
    needs: [SERVICE],
    allows: SERVICE_OPTIONS,
  },
  { name: 'delete-service', chars: 'D', doc: 'delete a virtual service', needs: [SERVICE] },
  { name: 'clear', chars: 'C', doc: 'delete all virtual services' },
  { name: 'restore', chars: 'R', doc: 'apply the lines of standard input, as written by --save' },
  { name: 'save', chars: 'S', doc: 'print all rules as lines for --restore', allows: ['numeric'] },
  {
    name: 'add-server',
    chars: 'a',
    doc: 'add a real server',
    needs: [SERVICE, 'real-server'],
    allows: SERVER_OPTIONS,
  },
  {
    name: 'edit-server',
    chars: 'e',
    doc: 'change a real server',
    needs: [SERVICE, 'real-server'],
    allows: SERVER_OPTIONS,
  },
  { name: 'delete-server', chars: 'd', doc: 'delete a real server', needs: [SERVICE, 'real-server'] },
  {
    name: 'list',
    chars: 'Ll',
    doc: 'list services and real servers (the default), connections (-c) or timeouts (--timeout)',
    allows: [
      SERVICE,
      'numeric',
      'connection',
      'sockpair',
      'state',
      'timeout',
      ...FORMATS,
      'sort',
      'nosort',
      'exact',
      'cpu',
      'json',
    ],
  },
  { name: 'zero', chars: 'Z', doc: 'zero the counters of one service or of all', allows: [SERVICE] },
  {
    name: 'add-laddr',
    chars: 'P',
    doc: 'add a local address to a service and its device',
    needs: [SERVICE, 'laddr', 'ifname'],
  },
  { name: 'del-laddr', chars: 'Q', doc: 'delete a local address', needs: [SERVICE, 'laddr', 'ifname'] },
  { name: 'get-laddr', chars: 'G', doc: 'list local addresses', allows: [SERVICE, 'cpu', 'json'] },
  { name: 'help', chars: 'h', doc: 'show this help' },
  { name: 'version', chars: 'v', doc: 'show the version' },
  {
    name: 'set',
    words: ['TCP', 'TCPFIN', 'UDP'],
    doc: 'set the timeouts of established, closing and UDP connections, in seconds; 0 = as it is',
  },
  { name: 'start-daemon', value: 'STATE', doc: 'start the synchronisation daemon', refused: NO_SYNC },
  { name: 'stop-daemon', value: 'STATE', doc: 'stop the synchronisation daemon', refused: NO_SYNC },
  {
    name: 'add-blklst',
    chars: 'U',
    doc: 'add to the black list of a service, or without one to the global black list',
    allows: [SERVICE, 'blklst', 'file'],
  },
  {
    name: 'del-blklst',
    chars: 'V',
    doc: 'delete from a black list',
    allows: [SERVICE, 'blklst', 'file'],
  },
  { name: 'get-blklst', chars: 'B', doc: 'print black lists', allows: [SERVICE, 'numeric', 'json'] },
  {
    name: 'add-whtlst',
    chars: 'O',
    doc: 'add to the white list of a service, or without one to the global white list',
    allows: [SERVICE, 'whtlst', 'file'],
  },
  {
    name: 'del-whtlst',
    chars: 'Y',
    doc: 'delete from a white list',
    allows: [SERVICE, 'whtlst', 'file'],
  },
  { name: 'get-whtlst', chars: 'W', doc: 'print white lists', allows: [SERVICE, 'numeric', 'json'] },
];

export const OPTIONS: readonly IpvsOption[] = [
  ...SERVICE_KEYS,
  ...SERVICE_FIELDS,
  {
    name: 'real-server',
    chars: 'r',
    value: 'HOST[:PORT]',
    doc: "a real server; the service's port when left out",
  },
  ...SERVER_FIELDS,
  { name: 'laddr', chars: 'z', value: 'ADDR', doc: 'a local address' },
  { name: 'ifname', chars: 'F', value: 'DEV', doc: 'the device of the local address' },
  { name: 'numeric', chars: 'n', doc: 'accepted: addresses and ports are always printed as numbers' },
  { name: 'connection', chars: 'c', doc: 'list connections, with the time that remains to each' },
  { name: 'timeout', doc: 'list timeouts' },
  { name: 'stats', doc: 'list counters' },
  { name: 'rate', doc: 'list rates per second' },
  { name: 'thresholds', doc: 'list connection limits' },
  { name: 'persistent-conn', doc: 'list clients of persistent services; with -c each of them' },
  { name: 'drops', doc: 'list packets dropped for services, by reason' },
  {
    name: 'events',
    doc: 'list what else happened to services: SYN cookies, client addresses put in, packets forwarded by hash',
  },
  { name: 'sort', doc: 'sort the list (the default)' },
  { name: 'nosort', doc: 'do not sort the list' },
  { name: 'exact', chars: 'X', doc: 'print numbers in full' },
  { name: 'json', chars: 'j', doc: 'print JSON' },
  { name: 'ipv6', chars: '6', doc: 'IPv6', later: true },
  { name: 'daemon', doc: 'list the synchronisation daemon', refused: NO_SYNC },
  { name: 'mcast-interface', value: 'DEV', doc: 'of the synchronisation daemon', refused: NO_SYNC },
  { name: 'syncid', value: 'N', doc: 'of the synchronisation daemon', refused: NO_SYNC },
  {
    name: 'sockpair',
    value: 'PROTO:ADDR:PORT:ADDR:PORT',
    doc: 'with -c: packets from the first to the second, client to service or real server to local address',
  },
  { name: 'state', value: 'STATE,…', doc: 'with -c: connections in these states, such as TCP_EST' },
  {
    name: 'blklst',
    chars: 'k',
    value: 'ENTRY,…',
    doc: 'entries of a black list: ADDR, ADDR/LEN or ADDR-ADDR; with -V also all',
    repeats: true,
  },
  {
    name: 'whtlst',
    chars: '2',
    value: 'ENTRY,…',
    doc: 'entries of a white list: ADDR, ADDR/LEN or ADDR-ADDR; with -Y also all',
    repeats: true,
  },
  {
    name: 'file',
    value: 'FILE',
    doc: 'entries of a list from a file, one a line, # begins a comment; - is standard input',
  },
  { name: 'cpu', value: 'N', doc: 'of one lcore only, from 1' },
];

export const ALL: readonly OptionSpec[] = [...COMMANDS, ...OPTIONS];

/** Options and commands by name. */
export const commandOf = new Map(COMMANDS.map((c) => [c.name, c]));
export const optionOf = new Map(OPTIONS.map((o) => [o.name, o]));

/**
 * The options as a line that begins with `first` reads them. A letter may belong to two options: an option that
 * the command allows has it before one that it doesn't (`-b` is Full-NAT for `-a`, and flags of the scheduler for `-A`).
 */
export function specsFor(first = ''): readonly OptionSpec[] {
  const command = COMMANDS.find(
    (c) => `--${c.name}` === first.split('=')[0] || (/^-[^-]/.test(first) && c.chars?.includes(first[1]!)),
  );
  const own = [...(command?.needs ?? []), ...(command?.allows ?? [])];
  const fits = (o: IpvsOption): boolean => own.includes(groupOf(o));
  const options = [...OPTIONS].sort((a, b) => Number(fits(b)) - Number(fits(a)));
  if (command?.words === undefined) return [...COMMANDS, ...options];
  // What such a command is about may begin with a dash and a digit: a number that is wrong, not an option.
  return [...COMMANDS, ...options.map((o) => ({ ...o, chars: o.chars?.replace(/\d/g, '') ?? '' }))];
}
