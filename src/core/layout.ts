/**
 * Every layout that TypeScript and C++ share, declared once. `tools/gen-layout.mjs` writes
 * `native/generated/layout.h` from this file: the same structs with `static_assert`s on size and
 * offsets, so that the two sides cannot drift apart.
 *
 * Byte order is part of a field's kind: `be16`/`be32` hold network order (compared with packets
 * without a swap; read them through `Bytes`), everything else is the host's (read them through typed
 * arrays or a little-endian DataView).
 */

export type Kind = 'u8' | 'i8' | 'u16' | 'u32' | 'i32' | 'f64' | 'u64' | 'be16' | 'be32';

export const KIND_SIZE: Record<Kind, number> = {
  u8: 1,
  i8: 1,
  u16: 2,
  u32: 4,
  i32: 4,
  f64: 8,
  u64: 8,
  be16: 2,
  be32: 4,
};

/** A field: a scalar, an array of scalars, or a nested struct. */
export type Field = Kind | readonly [Kind, number] | Struct;
type Fields = Readonly<Record<string, Field>>;

export interface Struct<F extends Fields = Fields> {
  readonly name: string;
  readonly doc: string;
  readonly size: number;
  readonly align: number;
  readonly fields: F;
  /** Byte offset of each field from the start of the struct. */
  readonly at: { readonly [K in keyof F]: number };
}

const isStruct = (f: Field): f is Struct => typeof f === 'object' && 'fields' in f;
const fieldAlign = (f: Field): number =>
  isStruct(f) ? f.align : KIND_SIZE[typeof f === 'string' ? f : f[0]];
const fieldSize = (f: Field): number =>
  isStruct(f) ? f.size : typeof f === 'string' ? KIND_SIZE[f] : KIND_SIZE[f[0]] * f[1];
const roundUp = (n: number, to: number): number => Math.ceil(n / to) * to;

/**
 * Declares a struct with C's own rules (fields in order, naturally aligned).
 * @param align minimum alignment in bytes; the size is rounded up to it
 */
export function struct<const F extends Fields>(name: string, doc: string, fields: F, align = 1): Struct<F> {
  let off = 0;
  let widest = align;
  const at: Record<string, number> = {};
  for (const [key, f] of Object.entries(fields)) {
    off = roundUp(off, fieldAlign(f));
    at[key] = off;
    off += fieldSize(f);
    widest = Math.max(widest, fieldAlign(f));
  }
  return {
    name,
    doc,
    fields,
    size: roundUp(off, widest),
    align: widest,
    // An object that grew by more than 12 computed keys is a hash table in V8; parsed, its fields are constants to the
    // compiler. Offsets are read on the packet path: a forwarded packet took 340 ns before, 230 ns after.
    at: JSON.parse(JSON.stringify(at)) as Struct<F>['at'],
  };
}

// ---------------------------------------------------------------------------------------------
// Packets

/**
 * The part of `struct rte_mbuf` (DPDK 22.11) that TypeScript reads and writes. Not generated:
 * native/src/layout_check.cc asserts each offset against `offsetof(rte_mbuf, …)`.
 */
export const MBUF = {
  dataOff: 16, // u16
  refcnt: 18, // u16
  nbSegs: 20, // u16
  port: 22, // u16
  olFlags: 24, // u64, as two u32
  pktLen: 36, // u32
  dataLen: 40, // u16
  vlanTci: 42, // u16
  hash: 44, // u32 RSS hash
  bufLen: 54, // u16
  txOffload: 72, // u64: l2_len:7 l3_len:9 l4_len:8 …
  priv: 128, // our private area, PKT below
} as const;

/** Our private area in every mbuf, right behind `struct rte_mbuf`. */
export const PKT = struct(
  'PktPriv',
  'Per-packet notes of the stack, in the mbuf private area.',
  {
    /** Who owns the packet: 0 = native, n = TypeScript of lcore n-1. A dead lcore's packets are found by it. */
    owner: 'u8',
    /** L2 class of the destination: 0 host, 1 broadcast, 2 multicast, 3 other host. */
    l2Class: 'u8',
    /** Bit 0: came over a redirect ring. */
    flags: 'u16',
    /** Next packet of a hold queue (0 = none). */
    next: 'u32',
    /** Arena offset of the network header. */
    l3: 'u32',
    /** Arena offset of the transport header. */
    l4: 'u32',
    /** Index of the device it was received on (a VLAN device, not its port). */
    ifindex: 'u32',
    /** Flow reference found by poll(), or HINT_NONE or HINT_ABSENT. */
    hint: 'i32',
    /** Free for whoever holds the packet. */
    cookie: 'u32',
    spare: 'u32',
  },
  64,
);

/** Nobody has looked. */
export const HINT_NONE = -1;
/** There was no such flow when the packet was polled. */
export const HINT_ABSENT = -2;

export const PKT_F_REDIRECTED = 1;
/** In the alloc vector: not yet counted as generated (native only; alloc() zeroes the flags). */
export const PKT_F_BLANK = 2;

export const MBUF_HEADROOM = 128;
export const MBUF_DATA_ROOM = 2048;

// ---------------------------------------------------------------------------------------------
// One lcore's block of shared memory: head and vectors

export const EXC_CAP = 1024;
export const TX_CAP = 4096;
export const FREE_CAP = 4096;
export const ALLOC_CAP = 256;
export const EVENT_CAP = 512;
/** In `moves`: the real server had said something before. */
export const MOVE_ANSWERED = 256;
export const CONN_BATCH = 256;
/** Entries of LcoreBlock.reflexes, a power of two, and words of each. */
export const REFLEX_CAP = 4096;
export const REFLEX_WORDS = 4;
/** Kinds of them: no entry, a service that answers SYNs with cookies, a source that nobody may have, a service with a stock, one that had a stock. */
export const REFLEX_NONE = 0;
export const REFLEX_SYN = 1;
export const REFLEX_MARTIAN = 2;
export const REFLEX_STOCK = 3;
export const REFLEX_GONE = 4;
/** What is offered. */
export const REFLEX_F_SACK = 1;
export const REFLEX_F_TIMESTAMP = 2;
/** Services with a stock: sequence numbers are re-based, timestamps of SYNs stay, TOA tells the client's address. */
export const REFLEX_F_REBASE = 4;
export const REFLEX_F_KEEP_TIMESTAMPS = 8;
export const REFLEX_F_TOA = 16;
/** In place of a window scale (4 bits): none. */
export const SYN_NO_WSCALE = 15;
/** DPDK ports whose frames the native loop may take. */
export const PORT_CAP = 32;

/** Stocks of connections made ahead (src/ipvs/stocks.ts), and spares in each, a power of two. */
export const STOCKS = 32;
export const STOCK_SIZE = 512;

/** Prefixes with routes of their own that the native loop is told of. */
export const NEAR_CAP = 32;

export const SPARE = struct(
  'Spare',
  'A connection over TCP with Full-NAT that has all but a client.',
  {
    /** Its record. */
    conn: 'u32',
    /** Local address pool entry + 1, as in CONN4. */
    laddrSlot: 'u32',
    laddr: 'be32',
    /** Real server. */
    daddr: 'be32',
    lport: 'be16',
    dport: 'be16',
    /** Slot of the real server. */
    dest: 'u16',
    /** The way to it (DIR4.adj, mtu), 0 = not known. */
    adj: 'u16',
    mtu: 'u16',
  },
  32,
);

const SPARES = struct(
  'Spares',
  'SPARE, STOCK_SIZE of each stock; the n-th ever added stands at n modulo STOCK_SIZE.',
  { words: ['u32', (STOCKS * STOCK_SIZE * SPARE.size) >>> 2] },
  SPARE.size,
);

/** `txDst` value: a port id, or this bit | an lcore id for the redirect ring. */
export const TX_DST_REDIRECT = 0x80000000;

export const LCORE_BLOCK = struct(
  'LcoreBlock',
  'Vectors between the native loop and the TypeScript stack of one lcore. Single-threaded.',
  {
    /** Monotonic time in milliseconds, written by poll(). */
    nowMs: 'f64',
    /** Number of valid entries of each vector. */
    excCount: 'u32',
    txCount: 'u32',
    freeCount: 'u32',
    allocCount: 'u32',
    /** Set by the master to end the loop. */
    stop: 'i32',
    /** Incremented by the lcore each loop; the master's watchdog reads it. */
    heartbeat: 'u32',
    /** Generation of routes and addresses that is in force: the native loop uses adjacencies of no other. */
    generation: 'u32',
    /** Packets that the last poll received, those that the native loop forwarded included. */
    received: 'u32',
    /** Connections whose state the native loop has changed since the last poll; TypeScript sets their timeouts. */
    eventCount: 'u32',
    /**
     * By DPDK port: its MAC address as six bytes followed by two zeros. What arrives for it may be forwarded by the
     * native loop; 0 = every packet of the port goes to TypeScript.
     */
    portMac: ['u64', PORT_CAP],
    events: ['u32', EVENT_CAP],
    /** Of each event: the state before * 16 + the state after, and MOVE_ANSWERED. */
    moves: ['u16', EVENT_CAP],
    /** Packets (arena offsets of their mbufs) that native hands to TypeScript. */
    exc: ['u32', EXC_CAP],
    /** Packets to send, and where to. */
    txPkt: ['u32', TX_CAP],
    txDst: ['u32', TX_CAP],
    /** Packets to free. */
    free: ['u32', FREE_CAP],
    /** Blank packets that native prepared for generated frames, taken from the end. */
    alloc: ['u32', ALLOC_CAP],
    /** Connections that a call about several of them is about. */
    conns: ['u32', CONN_BATCH],
    /** Keys of SYN cookies, four words each, by the last two bits of their minute; those of this minute. */
    cookieKeys: ['u32', 16],
    cookieTime: 'u32',
    /** SYNs are answered here as long as this is not 0 and routes and addresses are of this generation. */
    reflexCount: 'u32',
    reflexGeneration: 'u32',
    /** See src/ipvs/synproxy/reflexes.ts. */
    reflexes: ['u32', REFLEX_CAP * REFLEX_WORDS],
    /** Key of initial sequence numbers: four words, and the one of the last step (src/core/chaskey.ts). */
    isnKey: ['u32', 5],
    /** The way to who is not in one of these prefixes: adjacency (0 = none is known) and MTU, for as long as `reflexGeneration`. */
    routerAdj: 'u32',
    routerMtu: 'u32',
    /** Address and mask in host order. */
    nearCount: 'u32',
    near: ['u32', 2 * NEAR_CAP],
    /** Of each stock: spares taken and spares added so far, modulo 2^32. */
    stockHead: ['u32', STOCKS],
    stockTail: ['u32', STOCKS],
    /** And how many it is to have. */
    stockWanted: ['u32', STOCKS],
    spares: SPARES,
  },
  64,
);

// ---------------------------------------------------------------------------------------------
// Adjacencies

export const ADJ_F_VALID = 1;
export const ADJ_F_RESOLVED = 2;
/** Resolved, its device up, and nobody to be asked: the native loop may send by it. */
export const ADJ_F_READY = 4;

export const ADJ = struct(
  'Adjacency',
  'How to reach a neighbour: written by inet/neigh, read by both paths.',
  {
    flags: 'u16',
    /** DPDK port id. */
    port: 'u16',
    mtu: 'u16',
    /** 802.1q TCI, 0 = untagged. */
    vlanTci: 'u16',
    dmac: ['u8', 6],
    smac: ['u8', 6],
    /** IPv4 next hop. */
    nexthop: 'be32',
    ifindex: 'u32',
    /** LcoreBlock.nowMs modulo 2^32 when a packet of either path went this way last. */
    usedMs: 'u32',
  },
  32,
);

export const ADJ_CAP = 65536;

// ---------------------------------------------------------------------------------------------
// Connections

/** Directions of a connection: index into its record and low bit of a flow reference. */
export const DIR_IN = 0; // from the client
export const DIR_OUT = 1; // from the real server

export const FLOW_ACTION = {
  REWRITE_SRC: 1,
  REWRITE_DST: 2,
  /** Sequence numbers are shifted by `seqDelta`. */
  SEQ: 4,
  ENCAP_IPIP: 8,
  MAC_ONLY: 16,
  /** The client's address has still to be delivered (src/ipvs/client-addr): unless by TOA, every packet is for the stack. */
  CLIENT_ADDR: 32,
  /** Acknowledgement numbers and SACK blocks are shifted: by `seqDelta`, or with SEQ by what is taken off the other direction. */
  ACK: 64,
  /** Windows are shifted by `wshift`. */
  WINDOW: 0x100,
  /** Time stamps are shifted by the connection's `tsDelta`. */
  TIMESTAMP: 0x200,
  /** For TypeScript, whatever else is to be done. */
  EXCEPTION: 0x8000,
} as const;

/**
 * One direction: how to recognise a packet and what to do with it. One cache line with all that a packet of an
 * established flow needs: the shared line is touched only when the state changes (and by answers over TCP, whose
 * sequence numbers it keeps).
 */
export const DIR4 = struct(
  'Dir4',
  'One direction of an IPv4 connection: match, rewrite, adjacency, counters.',
  {
    // match: the tuple as the packet carries it
    saddr: 'be32',
    daddr: 'be32',
    sport: 'be16',
    dport: 'be16',
    proto: 'u8',
    /** State of the protocol's table; the same in both directions. */
    state: 'u8',
    /** FLOW_ACTION bits. */
    actions: 'u16',
    // rewrite: the tuple as the packet leaves
    newSaddr: 'be32',
    newDaddr: 'be32',
    newSport: 'be16',
    newDport: 'be16',
    /** One's complement sums (RFC 1624 `~m + m'`, folded, host order) for the IP and the L4 checksum. */
    ipDelta: 'u16',
    l4Delta: 'u16',
    /** Adjacency index, or 0 when none is known yet. */
    adj: 'u16',
    /** Largest datagram, as it is received, that may go towards `adj`: the lesser of the route's and the device's. */
    mtu: 'u16',
    /** Generation of routes and addresses that `adj` was found under. */
    adjGen: 'u32',
    /** Milliseconds of the monotonic clock (LcoreBlock.nowMs modulo 2^32) of the last packet of this direction. */
    lastSeenMs: 'u32',
    /** Slot number of the destination; the same in both directions. */
    dest: 'u16',
    /** Forwarding mode; the same in both directions. 0 NAT 2 TUNNEL 3 DR 5 FULLNAT 6 SNAT (numbers of the original). */
    fwd: 'u8',
    /** Bits by which windows grow, less than 0: shrink (FLOW_ACTION.WINDOW). */
    wshift: 'i8',
    bytes: 'f64',
    packets: 'u32',
    /**
     * FLOW_ACTION.SEQ: added to the sequence numbers of this direction and taken from the acknowledgement numbers and SACK
     * blocks of the other, modulo 2^32. FLOW_ACTION.ACK without SEQ: added to the acknowledgement numbers of this direction.
     */
    seqDelta: 'u32',
  },
  64,
);

/** Low byte of `CONN4.clientAddr`: TOA, the one way that the native loop knows. */
export const WAY_TOA = 1;

/** `DIR4.fwd` of SNAT: who opens sends in DIR_OUT. */
export const FWD_SNAT = 6;

export const CONN_F_USED = 1;
/** Hashed: both directions are in the native index. */
export const CONN_F_HASHED = 2;
/** Counted as inactive (else, when used, as active). */
export const CONN_F_INACTIVE = 4;
/** Of one packet of the client: only answers find it. */
export const CONN_F_ONCE = 8;
/** Its client came with a SYN cookie. */
export const CONN_F_SYNPROXY = 0x100;
/** Syn-proxy: the real server has not answered yet. */
export const CONN_F_PENDING = 0x200;

/** A connection: its two directions and what they share. Three cache lines. */
export const CONN4 = struct(
  'Conn4',
  'An IPv4 connection; index 0 is never used.',
  {
    in: DIR4,
    out: DIR4,
    /** CONN_F bits. */
    flags: 'u16',
    lport: 'u16',
    /** Timeout of the state in milliseconds. */
    timeoutMs: 'u32',
    createdMs: 'u32',
    /** Local address pool entry that the connection holds: slot of the laddr pool + 1, 0 = none. */
    laddrSlot: 'u32',
    /** Initial sequence numbers of client and real server, as each has sent it. */
    isnIn: 'u32',
    isnOut: 'u32',
    /** Last sequence end and ack of the real server side, for RST on expiry. */
    endSeq: 'u32',
    endAck: 'u32',
    /** Controlling template + 1 (persistence), 0 = none. */
    control: 'u32',
    /** How the client's address is delivered: number of the way in its low byte, its own business above (src/ipvs/client-addr). */
    clientAddr: 'u32',
    /** Entry of `Sources` + 1 in which its client has a place, 0 = none, and the generation of that. */
    source: 'u32',
    sourceGeneration: 'u32',
    /** Syn-proxy: the entry of `Handshakes` while the real server is asked, then the client's SYN cookie. */
    proxy: 'u32',
    /** Added to the real server's time stamps and taken from their echo (FLOW_ACTION.TIMESTAMP). */
    tsDelta: 'u32',
    /**
     * A storm of acknowledgements (src/ipvs/proto/tcp-storm.ts): how often the client has done nothing but acknowledge between two
     * that are alike, the window of the real server's last segment, and, when one was like the last, the low bits of the
     * client's packets and of its bytes beyond bare acknowledgements.
     */
    sameAcks: 'u16',
    lastWindow: 'u16',
    clientPackets: 'u16',
    clientData: 'u16',
  },
  64,
);

// ---------------------------------------------------------------------------------------------
// Statistics (in the statistics segment; every counter is an f64, exact to 2^53)

export const DROP_CAP = 128;
/** Events that are counted (src/core/events.ts). */
export const EVENT_KIND_CAP = 128;
/** Reasons of drops that are counted by service (src/core/svc-counts.ts). */
export const SVC_DROP_CAP = 32;
/** Events that are counted by service (src/core/svc-counts.ts). */
export const SVC_EVENT_CAP = 24;

export const LCORE_STATS = struct(
  'LcoreStats',
  'Counters of one lcore. rx + generated + redirIn = tx + redirOut + punted + sum(drops) + held.',
  {
    loops: 'f64',
    rxBursts: 'f64',
    rxEmpty: 'f64',
    rxFull: 'f64',
    rxLowHalf: 'f64',
    rxHighHalf: 'f64',
    rxPackets: 'f64',
    rxBytes: 'f64',
    txPackets: 'f64',
    txBytes: 'f64',
    generated: 'f64',
    punted: 'f64',
    redirOut: 'f64',
    redirIn: 'f64',
    held: 'f64',
    allocFail: 'f64',
    /** Packets handled by flows (those that lists refuse among them), by TypeScript. */
    flowHits: 'f64',
    exceptions: 'f64',
    /** Time stamp counter ticks spent working and idle. */
    busyTicks: 'f64',
    idleTicks: 'f64',
    restarts: 'f64',
    conns: 'f64',
    /** 1 while the connection table is in flood mode. */
    flood: 'f64',
    spare: ['f64', 1],
    drops: ['f64', DROP_CAP],
    /** By number of src/core/events.ts. */
    events: ['f64', EVENT_KIND_CAP],
  },
  64,
);

/** DEST_STATS.flags: its connections end at their next packet. */
export const DEST_F_QUIESCENT = 1;
/** DEST_STATS.flags: its packets are not for the native loop. */
export const DEST_F_SLOW = 2;
/** DEST_STATS.flags: its connections here are counted in the limit that all lcores share. */
export const DEST_F_LIMITED = 4;
/** DEST_STATS.flags: its service has black or white lists. */
export const DEST_F_LISTED = 8;
/** Either of the two that send a packet to TypeScript. */
export const DEST_F_EXCEPTION = DEST_F_QUIESCENT | DEST_F_SLOW;

/** Counters of one destination on one lcore: one cache line. */
export const DEST_STATS = struct(
  'DestStats',
  'Counters, gauges and flags of a destination on one lcore.',
  {
    conns: 'f64',
    inPackets: 'f64',
    inBytes: 'f64',
    outPackets: 'f64',
    outBytes: 'f64',
    active: 'f64',
    inactive: 'f64',
    /** DEST_F bits; slot of the service, for its lists. */
    flags: ['u32', 2],
  },
  64,
);

/** Counters of one service on one lcore. */
export const SVC_STATS = struct(
  'SvcStats',
  'Packets dropped for a service on one lcore, by reason, and what else happened to it (src/core/svc-counts.ts).',
  { drops: ['f64', SVC_DROP_CAP], events: ['f64', SVC_EVENT_CAP] },
  64,
);

export const DEST_CAP = 65536;
/** Services, those by match included. */
export const SVC_CAP = 65536;

/** Lists of addresses: a black and a white one by slot of the service (0: of all sources), and `exempt`. */
const LISTS = 2 * SVC_CAP + 1;
const INFO_AT = 64;
/** Offsets in the table of source verdicts (src/ipvs/acl/verdicts.ts), which all lcores share. */
export const VERDICT = {
  /** Number of lists with entries, `exempt` apart. */
  lists: 0,
  /** Two words a list: lengths of its prefixes as bits (length - 1), and whether it has the prefix of length 0. */
  info: INFO_AT,
  buckets: INFO_AT + roundUp(LISTS * 8, 64),
  /** Bytes of a bucket, and its entries: list << 6 | length, then the prefix. A word counts who found it full. */
  bucket: 64,
  entries: 7,
  /** The list of addresses that the global black list spares: those of real servers. */
  exempt: LISTS - 1,
} as const;

/** Structs that the C++ header gets, dependencies first. */
export const STRUCTS: readonly Struct[] = [
  SPARE,
  SPARES,
  PKT,
  LCORE_BLOCK,
  ADJ,
  DIR4,
  CONN4,
  LCORE_STATS,
  DEST_STATS,
  SVC_STATS,
];

/** Integer constants that the C++ header gets. */
export const CONSTANTS: Readonly<Record<string, number>> = {
  MBUF_HEADROOM,
  MBUF_DATA_ROOM,
  HINT_NONE,
  HINT_ABSENT,
  PKT_F_REDIRECTED,
  PKT_F_BLANK,
  EXC_CAP,
  TX_CAP,
  FREE_CAP,
  ALLOC_CAP,
  EVENT_CAP,
  MOVE_ANSWERED,
  CONN_BATCH,
  PORT_CAP,
  TX_DST_REDIRECT,
  REFLEX_CAP,
  REFLEX_WORDS,
  REFLEX_NONE,
  REFLEX_SYN,
  REFLEX_MARTIAN,
  REFLEX_F_SACK,
  REFLEX_F_TIMESTAMP,
  REFLEX_F_REBASE,
  REFLEX_F_KEEP_TIMESTAMPS,
  REFLEX_F_TOA,
  REFLEX_STOCK,
  REFLEX_GONE,
  STOCKS,
  STOCK_SIZE,
  NEAR_CAP,
  SYN_NO_WSCALE,
  ADJ_F_VALID,
  ADJ_F_RESOLVED,
  ADJ_F_READY,
  ADJ_CAP,
  CONN_F_USED,
  CONN_F_HASHED,
  CONN_F_INACTIVE,
  DROP_CAP,
  EVENT_KIND_CAP,
  SVC_DROP_CAP,
  SVC_EVENT_CAP,
  DEST_CAP,
  SVC_CAP,
  DEST_F_EXCEPTION,
  DEST_F_LISTED,
  FWD_SNAT,
  WAY_TOA,
  VERDICT_LISTS: VERDICT.lists,
  VERDICT_INFO: VERDICT.info,
  VERDICT_BUCKETS: VERDICT.buckets,
  VERDICT_ENTRIES: VERDICT.entries,
  VERDICT_EXEMPT: VERDICT.exempt,
  DIR_IN,
  DIR_OUT,
};
