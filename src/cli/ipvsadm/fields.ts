/**
 * What services and real servers can be given, one entry an option: it parses the option, writes it for `--save` and
 * shows it in listings; help, reference page and the check of what goes with what follow from the same entry. Listings
 * and saved lines have the order of the tables.
 */
import { isIP } from 'node:net';
import type { Input } from '../../control/client.js';
import type { DestEntry, SvcEntry } from '../../control/results.js';
import { SCHEDULERS } from '../../ipvs/sched/index.js';
import { UsageError } from '../errors.js';
import type { OptionSpec } from '../options.js';
import { formatDestCheck, parseDestCheck, showDestCheck } from './dest-check.js';
import { EXIT_USAGE } from './exit.js';

/** Values of a line by option name; a switch has ''. */
export type Given = ReadonlyMap<string, string>;

/**
 * @typeParam P parameters of the command
 * @typeParam E what a listing knows of a service or real server
 */
export interface Field<P, E> extends OptionSpec {
  /** Options of a group say the same kind of thing and exclude each other. */
  group?: string;
  /** @throws UsageError on a bad value, exit code 2 */
  parse(text: string, given: Given): P;
  /** Words that give an equal one this option; '' when it is as if the option had never been given. */
  save(entry: E): string;
  /** What stands in the flags column of the default list; '' or absent: nothing. */
  show?(entry: E): string;
}

type SvcParams = Omit<Input<'svc.edit'>, 'svc'>;
type DestParams = Omit<Input<'dest.edit'>, 'svc' | 'dest'>;

export type ServiceField = Field<SvcParams, SvcEntry>;
export type ServerField = Field<DestParams, DestEntry>;

const PROXY_NAMES = [
  'disable',
  'v1',
  'v2',
  'v1-insecure',
  'v2-insecure',
] as const satisfies readonly SvcEntry['proxyProtocol'][];
const NO_MASK = '255.255.255.255';

const fail = (message: string): UsageError => new UsageError(message, EXIT_USAGE);

/** True for ones followed by zeros. */
const isNetmask = (text: string): boolean =>
  /^1*0*$/.test(
    text
      .split('.')
      .map((part) => Number(part).toString(2).padStart(8, '0'))
      .join(''),
  );

/** A year. */
export const MAX_SECONDS = 31535999;
export const badTimeout = (text: string): string =>
  `invalid timeout value '${text}': 0 to ${MAX_SECONDS} seconds`;

/** A decimal number up to `max`, or undefined. */
export function digits(text: string, max: number): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) <= max ? Number(text) : undefined;
}

/** Keys of `E` whose values are of type `T`. */
type KeysOf<E, T> = { [K in keyof E]-?: E[K] extends T ? K : never }[keyof E];

interface Common<K> {
  name: string;
  chars?: string;
  doc: string;
  /** Name of the parameter, the same in listings. */
  key: K;
  /** Word in the flags column, in front of the value if there is one; absent: not shown. */
  shown?: string;
}

/** An option with a number; `none` is the value that stands for "not given". */
function numeric<P, E>(
  f: Common<KeysOf<E, number>> & {
    value: string;
    max: number;
    none: number;
    /** Saved also when it is `none`. */
    always?: true;
    /** Value when none is given. */
    assumed?: string;
    bad?: (text: string) => string;
  },
): Field<P, E> {
  const {
    key,
    max,
    none,
    always,
    shown,
    bad = (text) => `illegal ${f.name} specified: ${text}`,
    ...spec
  } = f;
  const value = (e: E): number => e[key] as number;
  const word = f.chars === undefined ? `--${f.name}` : `-${f.chars[0]}`;
  return {
    ...spec,
    parse(text) {
      const n = digits(text, max);
      if (n === undefined) throw fail(bad(text));
      return { [key]: n } as P;
    },
    save: (e) => (value(e) === none && always !== true ? '' : `${word} ${value(e)}`),
    show: (e) => (value(e) === none || shown === undefined ? '' : `${shown} ${value(e)}`),
  };
}

/** An option without a value: on when it is there, off with `--no-NAME` (an edit leaves what is not named). */
export function flag<P, E>({ key, shown, ...spec }: Common<KeysOf<E, boolean>>): [Field<P, E>, Field<P, E>] {
  const on: Field<P, E> = {
    ...spec,
    parse: () => ({ [key]: true }) as P,
    save: (e) => (e[key] === true ? `--${spec.name}` : ''),
    show: (e) => (e[key] === true && shown !== undefined ? shown : ''),
  };
  const off: Field<P, E> = {
    name: `no-${spec.name}`,
    group: spec.name,
    doc: `turn ${spec.name} off`,
    parse: () => ({ [key]: false }) as P,
    save: () => '',
  };
  return [on, off];
}

/** As the schema has it. */
const MAX_SOURCE = 1e6;

/** `10M` */
export const megabits = (bps: number): string => `${bps / 1e6}M`;

const idle = (spec: OptionSpec): Field<object, unknown> => ({ ...spec, parse: () => ({}), save: () => '' });
/** Of the original, and not supported yet. */
const later = (spec: OptionSpec): Field<object, unknown> => idle({ ...spec, later: true });
/** Of the original or of LVS, and deliberately not supported. */
const refused = (spec: OptionSpec, why: string): Field<object, unknown> => idle({ ...spec, refused: why });

const ONLY_IPIP = 'tunnels are IPIP';

/** Behind the scheduler in the order of the table, as the original prints them. */
export const SERVICE_FIELDS: readonly ServiceField[] = [
  {
    name: 'scheduler',
    chars: 's',
    value: 'NAME',
    doc: `scheduler of the service: ${SCHEDULERS.map((x) => x.name).join(', ')}; wlc when left out`,
    parse: (scheduler) => ({ scheduler }),
    save: (s) => `-s ${s.scheduler}`,
    show: (s) => s.scheduler,
  },
  {
    name: 'sched-flags',
    chars: 'b',
    value: 'FLAG,…',
    doc: `flags of the scheduler (${SCHEDULERS.flatMap((x) => x.flags ?? []).join(', ')}), or none`,
    parse: (text) => ({ schedFlags: text === 'none' ? [] : text.split(',') }),
    save: (s) => (s.schedFlags.length === 0 ? '' : `--sched-flags ${s.schedFlags.join(',')}`),
    show: (s) => s.schedFlags.join(','),
  },
  {
    name: 'hash-target',
    value: 'sip|qid',
    doc: 'what conhash hashes: the source address (the default) or the QUIC connection id (not yet)',
    parse(text) {
      if (text !== 'sip' && text !== 'qid') throw fail(`invalid hash target '${text}': sip or qid`);
      return { hashTarget: text };
    },
    save: (s) => (s.hashTarget === undefined ? '' : `--hash-target ${s.hashTarget}`),
    show: (s) => s.hashTarget ?? '',
  },
  numeric({
    name: 'persistent',
    chars: 'p',
    key: 'persistent',
    value: 'SEC',
    assumed: '360',
    doc: 'a client keeps its real server so long, 0 = not persistent',
    max: 31 * 86400,
    none: 0,
    shown: 'persistent',
  }),
  {
    name: 'netmask',
    chars: 'M',
    value: 'MASK',
    doc: 'clients of a network count as one for persistence',
    parse(text) {
      if (isIP(text) !== 4) throw fail(`invalid netmask specified: ${text}`);
      if (!isNetmask(text)) throw fail(`invalid netmask specified: ${text} (ones, then zeros)`);
      return { netmask: text };
    },
    save: (s) => (s.netmask === NO_MASK ? '' : `-M ${s.netmask}`),
    show: (s) => (s.netmask === NO_MASK || s.persistent === 0 ? '' : `mask ${s.netmask}`),
  },
  ...flag<SvcParams, SvcEntry>({
    name: 'ops',
    chars: 'o',
    key: 'onePacket',
    doc: 'schedule every packet anew (UDP)',
    shown: 'ops',
  }),
  {
    name: 'synproxy',
    chars: 'j',
    value: 'enable|disable',
    doc: 'answer SYNs with cookies, ask the real server when the client is known to be there (TCP)',
    parse(text) {
      if (text !== 'enable' && text !== 'disable')
        throw fail(`invalid synproxy '${text}': enable or disable`);
      return { synproxy: text === 'enable' };
    },
    save: (s) => (s.synproxy ? '-j enable' : ''),
    show: (s) => (s.synproxy ? 'synproxy' : ''),
  },
  numeric({
    name: 'conn-timeout',
    key: 'connTimeout',
    value: 'SEC',
    doc: 'timeout of established connections, 0 = by state',
    max: MAX_SECONDS,
    none: 0,
    bad: badTimeout,
    shown: 'conn-timeout',
  }),
  {
    name: 'proxy-protocol',
    value: 'VERSION',
    doc: `tell real servers the client's address: ${PROXY_NAMES.join('|')} (Full-NAT)`,
    parse(text) {
      const proxyProtocol = PROXY_NAMES.find((name) => name === text);
      if (proxyProtocol === undefined)
        throw fail(`illegal proxy protocol specified: ${text}, not one of ${PROXY_NAMES.join(', ')}`);
      return { proxyProtocol };
    },
    save: (s) => (s.proxyProtocol === 'disable' ? '' : `--proxy-protocol ${s.proxyProtocol}`),
    show: (s) => (s.proxyProtocol === 'disable' ? '' : `pp${s.proxyProtocol}`),
  },
  ...flag<SvcParams, SvcEntry>({
    name: 'expire-quiescent',
    key: 'expireQuiescent',
    doc: 'end connections of real servers that are removed or at weight 0',
    shown: 'expire-quiescent',
  }),
  later({ name: 'quic', doc: 'QUIC service' }),
  {
    name: 'dest-check',
    value: 'CONF',
    doc:
      'health checks: disable; default or passive ones by RETRY,CONFIRM,Ns,MIN-MAXs or RETRY,Ns (never back by itself); ' +
      'and tcp, udp, sctp, ping of a daemon, separated by commas',
    parse: (text) => ({ destCheck: parseDestCheck(text) }),
    save: (s) => {
      const text = formatDestCheck(s.destCheck);
      return text === '' ? '' : `--dest-check ${text}`;
    },
    show: (s) => showDestCheck(s.destCheck),
  },
  {
    name: 'bps',
    value: 'N[K|M|G]',
    doc: 'bandwidth of each direction in bits a second, 0 = no limit',
    parse(text) {
      const [, number, unit = ''] = /^(\d{1,13})([KMG]?)$/i.exec(text) ?? [];
      const bps = Number(number) * 1000 ** ' KMG'.indexOf(unit.toUpperCase() || ' ');
      if (!(bps <= 1e12)) throw fail(`illegal bps specified: ${text}`);
      return { bps };
    },
    save: (s) => (s.bps === 0 ? '' : `--bps ${s.bps}`),
    show: (s) => (s.bps === 0 ? '' : `bps ${megabits(s.bps)}`),
  },
  numeric({
    name: 'limit-proportion',
    key: 'limitProportion',
    value: 'N',
    doc: 'percent of new connections that are let in; 100 when left out',
    max: 100,
    none: 100,
    shown: 'limit-proportion',
  }),
  {
    name: 'src-rate',
    value: 'N[/s]',
    doc: 'connections that a source may open a second, 0 = no limit',
    parse(text) {
      const srcRate = digits(/^(\d+)(\/s(ec(ond)?)?)?$/.exec(text)?.[1] ?? '', MAX_SOURCE);
      if (srcRate === undefined) throw fail(`illegal src-rate specified: ${text}`);
      return { srcRate };
    },
    save: (s) => (s.srcRate === 0 ? '' : `--src-rate ${s.srcRate}/s`),
    show: (s) => (s.srcRate === 0 ? '' : `src-rate ${s.srcRate}/s`),
  },
  numeric({
    name: 'src-burst',
    key: 'srcBurst',
    value: 'N',
    doc: 'connections that a source may open at once; as many as in a second when left out or 0',
    max: MAX_SOURCE,
    none: 0,
    shown: 'src-burst',
  }),
  numeric({
    name: 'src-conns',
    key: 'srcConns',
    value: 'N',
    doc: 'connections that a source may have at a time, 0 = no limit',
    max: MAX_SOURCE,
    none: 0,
    shown: 'src-conns',
  }),
  numeric({
    name: 'src-mask',
    key: 'srcPlen',
    value: 'PLEN',
    doc: 'sources of a network with this prefix length count as one; 32 when left out',
    max: 32,
    none: 32,
    shown: 'src-mask',
  }),
  refused({ name: 'pe', value: 'NAME', doc: 'persistence engine' }, 'there are no persistence engines'),
];

export const FORWARD = 'forwarding-method';

const forward = (name: string, char: string, fwd: DestEntry['fwd'], doc: string): ServerField => ({
  name,
  chars: char,
  group: FORWARD,
  doc,
  parse: () => ({ fwd }),
  save: (d) => (d.fwd === fwd ? `-${char}` : ''),
});

const [inhibited, notInhibited] = flag<DestParams, DestEntry>({
  name: 'inhibited',
  key: 'inhibited',
  doc: 'taken for dead: no new connections, the weight is kept',
});
const INHIBITED: ServerField[] = [
  inhibited,
  {
    ...notInhibited,
    doc: 'not taken for dead any more, neither by you nor by its passive check',
    parse: () => ({ inhibited: false, checkInhibited: false }),
  },
];

export const SERVER_FIELDS: readonly ServerField[] = [
  forward('gatewaying', 'g', 'dr', 'direct routing (the default)'),
  forward('ipip', 'i', 'tunnel', 'tunnel'),
  forward('masquerading', 'm', 'nat', 'NAT'),
  forward('fullnat', 'b', 'fullnat', 'Full-NAT'),
  forward('snat', 'J', 'snat', 'SNAT'),
  {
    name: 'tun-type',
    value: 'ipip',
    doc: 'accepted: tunnels are IPIP',
    parse(text) {
      if (text === 'ipip') return {};
      throw fail(`tunnel type '${text}' is not supported: ${ONLY_IPIP}`);
    },
    save: () => '',
  },
  refused({ name: 'tun-port', value: 'PORT', doc: 'port of a GUE tunnel' }, ONLY_IPIP),
  refused({ name: 'tun-nocsum', doc: 'GUE or GRE without checksum' }, ONLY_IPIP),
  refused({ name: 'tun-csum', doc: 'GUE or GRE with checksum' }, ONLY_IPIP),
  refused({ name: 'tun-remcsum', doc: 'GUE with remote checksum' }, ONLY_IPIP),
  numeric({
    name: 'weight',
    chars: 'w',
    key: 'weight',
    value: 'N',
    doc: '0 to 65535, 0 = no new connections; 1 when left out',
    max: 65535,
    none: 1,
    always: true,
  }),
  numeric({
    name: 'u-threshold',
    chars: 'x',
    key: 'maxConn',
    value: 'N',
    doc: 'upper limit of connections, 0 = none',
    max: 0xffffffff,
    none: 0,
  }),
  numeric({
    name: 'l-threshold',
    chars: 'y',
    key: 'minConn',
    value: 'N',
    doc: 'lower limit of connections',
    max: 0xffffffff,
    none: 0,
  }),
  ...INHIBITED,
];

/** The parameters that the options of a line stand for. @throws UsageError */
export function parametersOf<P extends object>(fields: readonly Field<P, never>[], given: Given): P {
  const out = {} as P;
  for (const f of fields) {
    const text = given.get(f.name);
    if (text !== undefined) Object.assign(out, f.parse(text, given));
  }
  return out;
}

/** ` -s rr --conn-timeout 60` */
export const savedFields = <E>(fields: readonly Field<object, E>[], entry: E): string =>
  joined(fields.map((f) => f.save(entry)));

/** ` rr conn-timeout 60` */
export const shownFields = <E>(fields: readonly Field<object, E>[], entry: E): string =>
  joined(fields.map((f) => f.show?.(entry) ?? ''));

const joined = (words: string[]): string => words.map((w) => (w === '' ? '' : ` ${w}`)).join('');
