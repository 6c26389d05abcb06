/**
 * Every command and query of the control plane, declared once. The socket server validates with these
 * schemas, the TypeScript types follow from them, `docs/commands.md` lists them. Tools import
 * only the types (loading zod costs 190 ms).
 *
 * A *command* changes state: the master validates it, applies it to its replica, posts it to every
 * lcore in order. A *query* only reads. Addresses and MACs travel as text.
 */
import { isIP } from 'node:net';
import * as z from 'zod';
import { MATCH_PROTOS } from '../core/match.js';

const u16 = z.int().min(0).max(65535);
const u32 = z.int().min(0).max(0xffffffff);
const dev = z.string().min(1).max(32).describe('device name, such as dpdk0');
const ipv4 = z
  .string()
  .refine((s) => isIP(s) === 4, { error: (i) => `'${String(i.input)}' is not an IPv4 address` })
  .describe('IPv4 address');
const mac = z
  .string()
  .regex(/^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$/, {
    error: (i) => `'${String(i.input)}' is not a MAC address (aa:bb:cc:dd:ee:ff)`,
  })
  .describe('MAC address');
const plen = z.int().min(0).max(32).describe('prefix length');
const seconds = z.int().min(0).max(31535999);
const scope = z.enum(['host', 'kni_host', 'link', 'global']);

const matchRange = z.strictObject({
  from: ipv4.default('0.0.0.0'),
  to: ipv4.default('255.255.255.255'),
  fromPort: u16.default(0),
  toPort: u16.default(65535),
});
const svcMatch = z
  .strictObject({
    src: matchRange.optional(),
    dst: matchRange.optional(),
    iif: dev.optional(),
    oif: dev.optional(),
  })
  .describe('in place of address and port: what the service covers');

/** Which service: the key that lookups use. */
export const svcKey = z.strictObject({
  proto: z.enum(MATCH_PROTOS),
  addr: ipv4.describe('virtual address').default('0.0.0.0'),
  port: u16.describe('virtual port; 0 for ICMP').default(0),
  match: svcMatch.optional(),
});

/** Names of schedulers and their flags are checked against the registry when the command is applied. */
const schedOptions = {
  scheduler: z.string().max(16).describe('one of the registered schedulers').default('wlc'),
  schedFlags: z.array(z.string().max(16)).max(8).optional().describe('flags of the scheduler'),
  hashTarget: z.enum(['sip', 'qid']).optional().describe('what conhash hashes; default sip'),
};

export const PROXY_PROTOCOLS = ['disable', 'v1', 'v2', 'v1-insecure', 'v2-insecure'] as const;
const times = z.int().min(1).max(65535);
const waits = z.int().min(1).max(86400);
/** How real servers of a service are found dead. */
const destCheck = z
  .strictObject({
    passive: z
      .strictObject({
        downRetry: times.describe('failed connections within downWait that take a real server out'),
        downWait: waits.describe('seconds'),
        restore: z
          .strictObject({
            upConfirm: times.describe('good connections that halve the next time out'),
            min: waits.describe('seconds that a real server is out at first'),
            max: waits.describe('seconds that it is out at most'),
          })
          .refine((r) => r.min <= r.max, { error: 'min is above max' })
          .optional()
          .describe('when it comes back; absent: never by itself'),
      })
      .nullable()
      .describe('by what becomes of connections; null: not'),
    external: z
      .array(z.enum(['tcp', 'udp', 'sctp', 'ping']))
      .max(4)
      .describe('what a health-check daemon is asked to do'),
  })
  .describe('health checks of the real servers');
export type DestCheck = z.output<typeof destCheck>;

/**
 * What a service can be given besides, with defaults; commands, snapshots and `svc.list` all carry these. A new option
 * is a line here, one in SVC_DEFAULTS (src/ipvs/options.ts) and one in SERVICE_FIELDS (src/cli/ipvsadm/fields.ts).
 */
const svcOptions = {
  connTimeout: seconds.describe('seconds for established connections, 0 = by state').default(0),
  persistent: z
    .int()
    .min(0)
    .max(31 * 86400)
    .describe('seconds for which a client keeps its real server, 0 = not persistent')
    .default(0),
  netmask: ipv4.describe('clients that are equal under it count as one').default('255.255.255.255'),
  onePacket: z.boolean().describe('schedule every packet anew (UDP)').default(false),
  synproxy: z
    .boolean()
    .describe('answer SYNs with cookies, ask the real server when the client has shown one (TCP)')
    .default(false),
  expireQuiescent: z
    .boolean()
    .describe(
      'connections of a real server that is removed, inhibited or at weight 0 end at their next packet',
    )
    .default(false),
  proxyProtocol: z
    .enum(PROXY_PROTOCOLS)
    .describe(
      "how real servers of Full-NAT learn the client's address in its data; insecure: a client may send it itself",
    )
    .default('disable'),
  bps: z.int().min(0).max(1e12).describe('bits a second of each direction, 0 = no limit').default(0),
  limitProportion: z
    .int()
    .min(0)
    .max(100)
    .describe('percent of new connections that are let in')
    .default(100),
  srcRate: z
    .int()
    .min(0)
    .max(1e6)
    .describe('connections that a source may open a second, 0 = no limit')
    .default(0),
  srcBurst: z
    .int()
    .min(0)
    .max(1e6)
    .describe('connections that a source may open at once, 0 = as many as in a second')
    .default(0),
  srcConns: z
    .int()
    .min(0)
    .max(1e6)
    .describe('connections that a source may have at a time, 0 = no limit; counts those opened under a limit')
    .default(0),
  srcPlen: plen.describe('prefix length: sources that are equal under it count as one').default(32),
  destCheck: destCheck.default({ passive: null, external: [] }),
};
export type SvcOptions = z.output<z.ZodObject<typeof svcOptions>>;

export const destKey = z.strictObject({ addr: ipv4, port: u16 });

const fwd = z.enum(['nat', 'tunnel', 'dr', 'fullnat', 'snat']).describe('forwarding mode').default('dr');

/** What a real server can be given; see {@link svcOptions}: DEST_DEFAULTS, SERVER_FIELDS. */
const destOptions = {
  weight: u16.describe('0 = no new connections').default(1),
  maxConn: u32.describe('upper connection threshold, 0 = none').default(0),
  minConn: u32
    .describe('a full real server gets no more connections until it has fewer than these, 0 = than maxConn')
    .default(0),
  inhibited: z
    .boolean()
    .describe('taken for dead by a health check: no new connections, the weight is kept')
    .default(false),
  checkInhibited: z
    .boolean()
    .describe('the same by the passive check of the service (destCheck), which takes it back by itself')
    .default(false),
};
export type DestOptions = z.output<z.ZodObject<typeof destOptions>>;

type Edit<T> = T extends z.ZodDefault<infer U> ? z.ZodOptional<U> : T;

/** The same parameters for an edit: what is left out stays as it is. */
const edits = <S extends Record<string, z.ZodDefault | z.ZodOptional>>(
  shape: S,
): { [K in keyof S]: Edit<S[K]> } =>
  Object.fromEntries(
    Object.entries(shape).map(([k, v]) => [k, v instanceof z.ZodDefault ? z.optional(v.unwrap()) : v]),
  ) as { [K in keyof S]: Edit<S[K]> };

/** Entries of a black or white list. */
const acl = {
  svc: svcKey.optional().describe('left out: the lists for all sources'),
  list: z.enum(['black', 'white']),
  entries: z.array(z.string().max(40)).max(50_000),
  load: z
    .string()
    .max(64)
    .optional()
    .describe('name of a command that comes in several parts, which take effect together'),
  more: z.boolean().default(false).describe('another part follows'),
};

/** Commands by name: their parameters. */
export const COMMANDS = {
  'link.set': z
    .strictObject({
      dev,
      up: z.boolean(),
      promisc: z.boolean(),
      allmulticast: z.boolean(),
      mtu: z.int().min(68).max(9000),
      addr: mac,
      forward2kni: z.boolean(),
    })
    .partial({ up: true, promisc: true, allmulticast: true, mtu: true, addr: true, forward2kni: true }),

  'addr.add': z.strictObject({
    dev,
    addr: ipv4,
    plen: plen.default(32),
    broadcast: ipv4.optional(),
    scope: scope.default('global'),
    validLft: u32.default(0).describe('seconds, 0 = forever'),
    sapool: z.boolean().default(false).describe('give the address a pool of local ports'),
  }),
  'addr.set': z.strictObject({
    dev,
    addr: ipv4,
    plen: plen.optional(),
    broadcast: ipv4.optional(),
    scope: scope.optional(),
    validLft: u32.optional(),
    sapool: z.boolean().optional(),
  }),
  'addr.del': z.strictObject({ dev, addr: ipv4, plen: plen.optional() }),
  'addr.flush': z.strictObject({ dev }),

  'route.add': z.strictObject({
    dst: ipv4.describe('destination, 0.0.0.0 with plen 0 for the default route'),
    plen,
    via: ipv4.optional(),
    dev: dev.optional().describe('taken from the gateway when left out'),
    src: ipv4.optional(),
    mtu: z.int().min(0).max(9000).default(0),
    metric: u32.default(0),
    tos: z.int().min(0).max(255).default(0),
    scope: scope.optional(),
    local: z.boolean().default(false),
  }),
  'route.set': z.strictObject({
    dst: ipv4,
    plen,
    via: ipv4.optional(),
    dev: dev.optional(),
    src: ipv4.optional(),
    mtu: z.int().min(0).max(9000).optional(),
    metric: u32.optional(),
    tos: z.int().min(0).max(255).optional(),
    scope: scope.optional(),
  }),
  'route.del': z.strictObject({
    dst: ipv4,
    plen,
    via: ipv4.optional(),
    dev: dev.optional(),
    local: z.boolean().default(false),
  }),
  'route.flush': z.strictObject({ dev }),

  'neigh.add': z.strictObject({ dev, addr: ipv4, lladdr: mac }),
  'neigh.del': z.strictObject({ dev, addr: ipv4 }),
  'neigh.flush': z.strictObject({ dev: dev.optional() }),

  'svc.add': z.strictObject({ svc: svcKey, ...schedOptions, ...svcOptions }),
  'svc.edit': z.strictObject({ svc: svcKey, ...edits({ ...schedOptions, ...svcOptions }) }),
  'svc.del': z.strictObject({ svc: svcKey }),
  'svc.flush': z.strictObject({}),
  'svc.zero': z
    .strictObject({ svc: svcKey.optional() })
    .describe('zero the counters of one service or of all'),

  'dest.add': z.strictObject({ svc: svcKey, dest: destKey, fwd, ...destOptions }),
  'dest.edit': z.strictObject({ svc: svcKey, dest: destKey, ...edits({ fwd, ...destOptions }) }),
  'dest.del': z.strictObject({ svc: svcKey, dest: destKey }),

  'laddr.add': z
    .strictObject({ svc: svcKey, addr: ipv4, dev })
    .describe('adds the address (/32, with sapool) to the device when needed, then to the service'),
  'laddr.del': z.strictObject({ svc: svcKey, addr: ipv4, dev }),

  'acl.add': z
    .strictObject(acl)
    .describe('wholly or not at all; entries are `10.0.0.1`, `10.0.0.0/8` or `10.0.0.1-10.0.0.9`'),
  'acl.del': z.strictObject(acl),
  'acl.flush': z
    .strictObject({ svc: svcKey.optional(), list: acl.list.optional() })
    .describe('empties one list, or both'),

  'timeout.set': z
    .strictObject({
      tcp: seconds.describe('of ESTABLISHED'),
      tcpFin: seconds.describe('of FIN_WAIT'),
      udp: seconds.describe('of answered connections'),
    })
    .describe(
      'timeouts of states entered from now on, in seconds instead of the configured ones; 0 = as it is',
    ),
} as const satisfies Record<string, z.ZodType>;

export type CommandName = keyof typeof COMMANDS;
/** Parameters as the master has them after validation (defaults filled in). */
export type CommandParams<N extends CommandName> = z.output<(typeof COMMANDS)[N]>;
/** Parameters as a client may send them. */
export type CommandInput<N extends CommandName> = z.input<(typeof COMMANDS)[N]>;
/** A validated command as it is replicated: `{ op, ...params }`. */
export type Command = { [N in CommandName]: { op: N } & Replicated<CommandParams<N>> }[CommandName];
/** Options of services and real servers may be left out: replicas know the defaults. */
type Replicated<P> = Omit<P, keyof SvcOptions | keyof DestOptions> &
  Partial<Pick<P, keyof P & (keyof SvcOptions | keyof DestOptions)>>;

const lcore = z.int().min(1).max(1024).describe('of this data lcore only');

/** Queries by name: their parameters. Results are typed in `results.ts`. */
export const QUERIES = {
  info: z.strictObject({}),
  'link.list': z.strictObject({ dev: dev.optional(), verbose: z.boolean().default(false) }),
  'lcore.list': z.strictObject({}),
  'addr.list': z.strictObject({ dev: dev.optional(), perLcore: z.boolean().default(false) }),
  'route.list': z.strictObject({}),
  'neigh.list': z.strictObject({ dev: dev.optional() }),
  'svc.list': z.strictObject({ svc: svcKey.optional(), lcore: lcore.optional() }),
  'laddr.list': z.strictObject({ svc: svcKey.optional(), lcore: lcore.optional() }),
  'conn.list': z
    .strictObject({
      svc: svcKey.optional(),
      lcore: lcore.optional(),
      states: z.array(z.string().max(32)).min(1).max(32).optional().describe('names of states'),
      sockpair: z
        .strictObject({ proto: svcKey.shape.proto, saddr: ipv4, sport: u16, daddr: ipv4, dport: u16 })
        .optional()
        .describe('packets of one direction'),
      cursor: z.string().optional().describe('opaque; from the previous page'),
      limit: z.int().min(1).max(10000).default(1000),
    })
    .describe('one page of the connection table; it may be empty and have a cursor'),
  'template.list': z
    .strictObject({
      svc: svcKey.optional(),
      cursor: z.string().optional().describe('opaque; from the previous page'),
      limit: z.int().min(1).max(10000).default(1000),
    })
    .describe(
      'one page of the clients that have a real server by persistence; it may be empty and have a cursor',
    ),
  'acl.list': z
    .strictObject({
      svc: svcKey.optional(),
      list: acl.list.optional(),
      cursor: z.string().optional().describe('opaque; from the previous page'),
      limit: z.int().min(1).max(10000).default(1000),
    })
    .describe('one page of the entries of black and white lists; it may be empty and have a cursor'),
  'drop.list': z.strictObject({}),
  'event.list': z.strictObject({}).describe('events by lcore: the extended statistics'),
  'timeout.get': z.strictObject({}),
  'sched.list': z.strictObject({}),
} as const satisfies Record<string, z.ZodType>;

/**
 * Several commands in one message, in order: the first that is refused ends it, those before it are in force. The answer is
 * `{ done, error? }`.
 */
export const BATCH = {
  batch: z
    .strictObject({
      commands: z
        .array(z.strictObject({ method: z.string(), params: z.unknown() }))
        .max(1000)
        .describe('requests without the frame of JSON-RPC: { method, params }'),
    })
    .describe(
      'several commands in order; the first that is refused ends it. Answers { done, error? }: how many are in force, and why no more',
    ),
} as const satisfies Record<string, z.ZodType>;

export type QueryName = keyof typeof QUERIES;
export type QueryParams<N extends QueryName> = z.output<(typeof QUERIES)[N]>;
export type QueryInput<N extends QueryName> = z.input<(typeof QUERIES)[N]>;
