/** Listings, in the columns of the original: scripts read them. */
import type {
  ConnEntry,
  DestEntry,
  LaddrEntry,
  QueryResults,
  SvcEntry,
  SvcKey,
  TemplateEntry,
} from '../../control/results.js';
import type { Format } from './action.js';
import { serviceTitle } from './endpoint.js';
import { megabits, SERVICE_FIELDS, shownFields } from './fields.js';

const FORWARD_NAMES: Record<DestEntry['fwd'], string> = {
  nat: 'Masq',
  tunnel: 'Tunnel',
  dr: 'Route',
  fullnat: 'FullNat',
  snat: 'SNAT',
};

/** Left and right aligned columns, as printf's %-Ns and %Ns. */
const left = (value: string | number, width: number): string => String(value).padEnd(width);
const right = (value: string | number, width: number): string => String(value).padStart(width);

const TITLE = 'Prot LocalAddress:Port';
const REMOTE = '  -> RemoteAddress:Port';

const wide = (names: string[]): string => left(TITLE, 33) + names.map((n) => ` ${right(n, 8)}`).join('');

const HEADINGS: Record<Format, string> = {
  default: `${TITLE} Scheduler Flags\n${REMOTE}           Forward Weight ActiveConn InActConn`,
  stats: `${wide(['Conns', 'InPkts', 'OutPkts', 'InBytes', 'OutBytes'])}\n${REMOTE}`,
  rate: `${wide(['CPS', 'InPPS', 'OutPPS', 'InBPS', 'OutBPS'])}\n${REMOTE}`,
  thresholds: `${left(TITLE, 33)} ${left('Uthreshold', 10)} ${left('Lthreshold', 10)} ${left('ActiveConn', 10)} ${left('InActConn', 10)}\n${REMOTE}`,
  drops: `${left(TITLE, 33)} ${right('Dropped', 8)} Reason`,
  events: `${left(TITLE, 33)} ${right('Count', 8)} Event`,
  'persistent-conn': `${left(TITLE, 33)} ${left('Weight', 9)} ${left('PersistConn', 11)} ${left('ActiveConn', 10)} ${left('InActConn', 10)}\n${REMOTE}`,
};

/** The table of services and real servers. */
export function formatServices(
  version: string,
  services: readonly SvcEntry[],
  format: Format,
  exact: boolean,
): string {
  const lines = [`IP Virtual Server version ${version} (size=0)`, HEADINGS[format]];
  for (const s of services) {
    lines.push(serviceLine(s, format, exact));
    if (format === 'drops' || format === 'events') continue;
    for (const d of s.dests) lines.push(destLine(d, format, exact));
  }
  return lines.join('\n') + '\n';
}

function serviceLine(s: SvcEntry, format: Format, exact: boolean): string {
  const name = serviceTitle(s.svc);
  if (format === 'drops' || format === 'events') return countLines(name, s[format], exact);
  if (format === 'rate' && s.bps > 0)
    return left(`${name} bps ${megabits(s.bps)}`, 33) + numbers(s, format, exact);
  if (format === 'stats' || format === 'rate') return left(name, 33) + numbers(s, format, exact);
  return name + shownFields(SERVICE_FIELDS, s);
}

/** One line for each reason or event, most frequent first; the service stands in the first. */
function countLines(name: string, counts: Record<string, number>, exact: boolean): string {
  const rows = Object.entries(counts).sort(([a, n], [b, m]) => m - n || a.localeCompare(b));
  if (rows.length === 0) return left(name, 33) + largeNumber(0, exact);
  return rows
    .map(([what, n], i) => `${left(i === 0 ? name : '', 33)}${largeNumber(n, exact)} ${what}`)
    .join('\n');
}

function destLine(d: DestEntry, format: Exclude<Format, 'drops' | 'events'>, exact: boolean): string {
  const name = `  -> ${left(`${d.addr}:${d.port}`, 28)}`;
  const conns = `${left(d.active, 10)} ${left(d.inactive, 10)}`;
  switch (format) {
    case 'stats':
    case 'rate':
      return name + numbers(d, format, exact);
    case 'thresholds':
      return `${name} ${left(d.maxConn, 10)} ${left(d.minConn, 10)} ${conns}`;
    case 'persistent-conn':
      return `${name} ${left(d.weight, 9)} ${left(d.persist, 11)} ${conns}`;
    case 'default': {
      const flags = [...inhibition(d), ...(d.overload ? ['overload'] : [])].join(',');
      const line = `${name} ${left(FORWARD_NAMES[d.fwd], 7)} ${left(d.weight, 6)} ${conns}`;
      return flags === '' ? line : `${line} ${flags}`;
    }
  }
}

/** Who takes it for dead besides an operator or a health-check daemon, if anybody does. */
const inhibition = (d: DestEntry): string[] => [
  ...(d.inhibited || d.checkInhibited ? ['inhibited'] : []),
  ...(d.checkInhibited ? ['dest-check'] : []),
];

function numbers(
  { counters: c, rates: r }: SvcEntry | DestEntry,
  format: 'stats' | 'rate',
  exact: boolean,
): string {
  const values =
    format === 'stats'
      ? [c.conns, c.inPackets, c.outPackets, c.inBytes, c.outBytes]
      : [r.cps, r.inPps, r.outPps, r.inBps, r.outBps];
  return values.map((v) => largeNumber(Math.round(v), exact)).join('');
}

/** [up to, divisor, letter]: numbers are shortened so that they fit 8 digits. */
const SCALE: readonly (readonly [limit: number, divisor: number, letter: string])[] = [
  [1e9, 1e3, 'K'],
  [1e11, 1e6, 'M'],
  [1e14, 1e9, 'G'],
  [Infinity, 1e12, 'T'],
];

/** Nine columns; in full and at least one blank in front with `exact`. */
export function largeNumber(value: number, exact: boolean): string {
  if (exact) return right(value, Math.max(9, String(value).length + 1));
  if (value < 1e8) return right(value, 9);
  const [, divisor, letter] = SCALE.find(([limit]) => value < limit)!;
  return right(Math.floor(value / divisor), 8) + letter;
}

const byAddress = (text: string): number =>
  text.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0);

type Endpoint = { addr: string; port: number };
const order = (a: Endpoint, b: Endpoint): number => byAddress(a.addr) - byAddress(b.addr) || a.port - b.port;

/** By protocol, address, port; then services by match as they are, since the first that covers a packet has it. */
export const bySvc = <T extends { svc: SvcKey }>(entries: readonly T[]): T[] => [
  ...entries
    .filter((e) => e.svc.match === undefined)
    .sort((a, b) => a.svc.proto.localeCompare(b.svc.proto) || order(a.svc, b.svc)),
  ...entries.filter((e) => e.svc.match !== undefined),
];

/** Services as {@link bySvc}, their real servers by address and port. */
export const sortServices = (services: readonly SvcEntry[]): SvcEntry[] =>
  bySvc(services).map((s) => ({ ...s, dests: [...s.dests].sort(order) }));

/** `[lcore]proto remaining-time state client service local real-server` */
export function formatConnection(c: ConnEntry): string {
  return (
    `[${c.lcore}]${left(c.proto, 3)} ${left(`${c.remaining}s`, 6)} ${left(c.state, 11)} ` +
    `${left(`${c.client}:${c.clientPort}`, 18)} ${left(`${c.vaddr}:${c.vport}`, 18)} ` +
    `${left(`${c.laddr}:${c.lport}`, 18)} ${c.daddr}:${c.dport}\n`
  );
}

/** A client of a persistent service, in the columns of connections; any port, any lcore, no local end. */
export function formatTemplate(t: TemplateEntry): string {
  const { proto, addr, port } = t.svc;
  return formatConnection({
    lcore: 0,
    proto,
    timeout: t.timeout,
    remaining: t.remaining,
    state: 'TEMPLATE',
    client: t.client,
    clientPort: 0,
    vaddr: addr,
    vport: port,
    laddr: '0.0.0.0',
    lport: 0,
    daddr: t.daddr,
    dport: t.dport,
  });
}

export function formatLaddrs(entries: readonly LaddrEntry[]): string {
  const row = (...cells: [string, string, string, string | number, string | number]): string =>
    cells.map((c, i) => left(c, [20, 8, 20, 10, 10][i]!)).join(' ');
  const lines = [row('VIP:VPORT', 'TOTAL', 'SNAT_IP', 'CONFLICTS', 'CONNS')];
  for (const { svc, laddrs } of bySvc(entries)) {
    const name = svc.match === undefined ? `${svc.addr}:${svc.port}` : serviceTitle(svc);
    lines.push(`${left(name, 20)} ${left(laddrs.length, 8)} `);
    for (const l of laddrs) lines.push(row('', '', l.addr, l.conflicts, l.conns));
  }
  return lines.join('\n') + '\n';
}

/** `field` of the TCP and UDP tables, in seconds; the three that the original knows. */
export function formatTimeouts({ tcp, udp }: QueryResults['timeout.get']): string {
  const of = (table: Record<string, number>, ...names: string[]): number =>
    names.map((n) => table[n]).find((v) => v !== undefined) ?? 0;
  const established = of(tcp, 'established', 'ESTABLISHED');
  const finWait = of(tcp, 'finWait', 'fin_wait', 'FIN_WAIT');
  return `Timeout (tcp tcpfin udp): ${established} ${finWait} ${of(udp, 'normal', 'NORMAL')}\n`;
}
