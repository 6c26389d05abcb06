/**
 * Commands and options of `ipvsadm`, as data. Help, the reference page and the check of what goes with what follow
 * from these tables.
 */
import type { OptionSpec } from '../options.js';

/**
 * What a group of options is called in messages and in {@link Command}.needs: several options that say the same
 * kind of thing (`-t`, `-u`: a service) exclude each other.
 */
export interface IpvsOption extends OptionSpec {
  group?: 'service-address' | 'forwarding-method';
}

export interface IpvsCommand extends OptionSpec {
  /** Options or groups that must be there. */
  needs?: string[];
  /** Options or groups that may be there besides. */
  allows?: string[];
}

const SERVICE = 'service-address';
const FORWARD = 'forwarding-method';
const SERVICE_OPTIONS = ['scheduler', 'conn-timeout'];
const SERVER_OPTIONS = [FORWARD, 'weight', 'u-threshold', 'l-threshold'];
const FORMATS = ['stats', 'rate', 'thresholds', 'persistent-conn'];

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
    allows: [SERVICE, 'numeric', 'connection', 'timeout', ...FORMATS, 'sort', 'nosort', 'exact', 'json'],
  },
  { name: 'zero', chars: 'Z', doc: 'zero the counters of one service or of all', allows: [SERVICE] },
  {
    name: 'add-laddr',
    chars: 'P',
    doc: 'add a local address to a service and its device',
    needs: [SERVICE, 'laddr', 'ifname'],
  },
  { name: 'del-laddr', chars: 'Q', doc: 'delete a local address', needs: [SERVICE, 'laddr', 'ifname'] },
  { name: 'get-laddr', chars: 'G', doc: 'list local addresses', allows: [SERVICE, 'json'] },
  { name: 'help', chars: 'h', doc: 'show this help' },
  { name: 'version', chars: 'v', doc: 'show the version' },
  { name: 'set', doc: 'set timeouts TCP TCPFIN UDP', later: true },
  { name: 'start-daemon', value: 'STATE', doc: 'start the synchronisation daemon', later: true },
  { name: 'stop-daemon', value: 'STATE', doc: 'stop the synchronisation daemon', later: true },
  { name: 'add-blklst', chars: 'U', doc: 'add a blacklist entry', later: true },
  { name: 'del-blklst', chars: 'V', doc: 'delete a blacklist entry', later: true },
  { name: 'get-blklst', chars: 'B', doc: 'list blacklists', later: true },
  { name: 'add-whtlst', chars: 'O', doc: 'add a whitelist entry', later: true },
  { name: 'del-whtlst', chars: 'Y', doc: 'delete a whitelist entry', later: true },
  { name: 'get-whtlst', chars: 'W', doc: 'list whitelists', later: true },
];

export const OPTIONS: readonly IpvsOption[] = [
  { name: 'tcp-service', chars: 't', value: 'HOST:PORT', group: SERVICE, doc: 'a TCP service' },
  { name: 'udp-service', chars: 'u', value: 'HOST:PORT', group: SERVICE, doc: 'a UDP service' },
  { name: 'scheduler', chars: 's', value: 'NAME', doc: 'scheduler of the service; wlc when left out' },
  { name: 'conn-timeout', value: 'SEC', doc: 'timeout of established connections, 0 = by state' },
  {
    name: 'real-server',
    chars: 'r',
    value: 'HOST[:PORT]',
    doc: "a real server; the service's port when left out",
  },
  { name: 'gatewaying', chars: 'g', group: FORWARD, doc: 'direct routing (the default)' },
  { name: 'ipip', chars: 'i', group: FORWARD, doc: 'tunnel' },
  { name: 'masquerading', chars: 'm', group: FORWARD, doc: 'NAT' },
  { name: 'fullnat', chars: 'b', group: FORWARD, doc: 'Full-NAT' },
  { name: 'snat', chars: 'J', group: FORWARD, doc: 'SNAT' },
  { name: 'weight', chars: 'w', value: 'N', doc: '0 to 65535, 0 = no new connections; 1 when left out' },
  { name: 'u-threshold', chars: 'x', value: 'N', doc: 'upper limit of connections, 0 = none' },
  { name: 'l-threshold', chars: 'y', value: 'N', doc: 'lower limit of connections' },
  { name: 'laddr', chars: 'z', value: 'ADDR', doc: 'a local address' },
  { name: 'ifname', chars: 'F', value: 'DEV', doc: 'the device of the local address' },
  { name: 'numeric', chars: 'n', doc: 'accepted: addresses and ports are always printed as numbers' },
  { name: 'connection', chars: 'c', doc: 'list connections' },
  { name: 'timeout', doc: 'list timeouts' },
  { name: 'stats', doc: 'list counters' },
  { name: 'rate', doc: 'list rates per second' },
  { name: 'thresholds', doc: 'list connection limits' },
  { name: 'persistent-conn', doc: 'list persistent connections' },
  { name: 'sort', doc: 'sort the list (the default)' },
  { name: 'nosort', doc: 'do not sort the list' },
  { name: 'exact', chars: 'X', doc: 'print numbers in full' },
  { name: 'json', doc: 'print JSON' },
  { name: 'sctp-service', value: 'HOST:PORT', group: SERVICE, doc: 'an SCTP service', later: true },
  { name: 'icmp-service', chars: 'q', value: 'HOST', group: SERVICE, doc: 'an ICMP service', later: true },
  { name: 'icmpv6-service', chars: '1', group: SERVICE, doc: 'an ICMPv6 service', later: true },
  {
    name: 'fwmark-service',
    chars: 'f',
    value: 'N',
    group: SERVICE,
    doc: 'a service by firewall mark',
    later: true,
  },
  { name: 'match', chars: 'H', value: 'MATCH', group: SERVICE, doc: 'a service by match', later: true },
  { name: 'persistent', chars: 'p', doc: 'persistence timeout', later: true },
  { name: 'netmask', chars: 'M', value: 'MASK', doc: 'granularity of persistence', later: true },
  { name: 'ops', chars: 'o', doc: 'one-packet scheduling', later: true },
  { name: 'synproxy', chars: 'j', value: 'enable|disable', doc: 'SYN proxy', later: true },
  { name: 'ipv6', chars: '6', doc: 'IPv6', later: true },
  { name: 'daemon', doc: 'list the synchronisation daemon', later: true },
  { name: 'mcast-interface', value: 'DEV', doc: 'of the synchronisation daemon', later: true },
  { name: 'syncid', value: 'N', doc: 'of the synchronisation daemon', later: true },
  { name: 'sockpair', value: 'PAIR', doc: 'list one connection', later: true },
  { name: 'blklst', chars: 'k', value: 'ADDR', doc: 'blacklist entry', later: true },
  { name: 'whtlst', chars: '2', doc: 'whitelist entry', later: true },
  { name: 'hash-target', value: 'sip|qid', doc: 'what conhash hashes', later: true },
  { name: 'cpu', value: 'N', doc: 'of one lcore', later: true },
  { name: 'expire-quiescent', doc: 'end connections of removed servers', later: true },
  { name: 'quic', doc: 'QUIC service', later: true },
  { name: 'dest-check', value: 'CONF', doc: 'passive health check', later: true },
  { name: 'proxy-protocol', value: 'VERSION', doc: 'proxy protocol', later: true },
  { name: 'pe', value: 'NAME', doc: 'persistence engine', later: true },
];

export const ALL: readonly OptionSpec[] = [...COMMANDS, ...OPTIONS];

/** Options and commands by name. */
export const commandOf = new Map(COMMANDS.map((c) => [c.name, c]));
export const optionOf = new Map(OPTIONS.map((o) => [o.name, o]));
