/**
 * Why a packet ended other than by being sent: one enumerated table. The position of an entry is its
 * number in the statistics segment, so entries are only ever appended.
 *
 * `done` marks packets that ended because their work was done (an ARP reply that was learnt from); all others
 * are drops in the usual sense.
 */
export interface DropReason {
  readonly text: string;
  readonly hint: string;
  readonly done?: true;
  /** Counted by service as well (src/core/svc-counts.ts). */
  readonly svc?: true;
  /** Told in the log, with limits (src/master/alarms.ts). */
  readonly alarm?: true;
}

const TABLE = {
  ARP_DONE: { text: 'ARP message processed', hint: 'normal', done: true },
  ICMP_DONE: { text: 'ICMP message processed', hint: 'normal', done: true },
  LCORE_RESTART: {
    text: 'held by an lcore that was restarted',
    hint: 'see the log for why the lcore failed',
  },
  TX_FULL: {
    text: 'transmit queue full',
    hint: 'the port is slower than the traffic; more queues or a larger tx descriptor_number',
  },
  TX_NO_QUEUE: {
    text: 'lcore has no transmit queue on the port',
    hint: 'give every worker a tx queue on every port',
  },
  PORT_DOWN: { text: 'port is down', hint: 'dpip link set DEV link up' },
  REDIRECT_FULL: { text: 'redirect ring full', hint: 'the owning lcore is overloaded' },
  REDIRECT_LOOP: {
    text: 'redirected packet not known to its owner either',
    hint: 'a reply for a connection that has expired',
  },
  NO_MBUF: { text: 'no packet buffer', hint: 'raise netif_defs/pktpool_size', alarm: true },
  SEGMENTED: {
    text: 'packet in several buffers',
    hint: 'frames over 2 kB are not supported; lower the MTU of the sender',
  },
  ETH_SHORT: { text: 'frame shorter than an Ethernet header', hint: 'broken sender' },
  ETH_UNKNOWN_TYPE: { text: 'unknown ethertype', hint: 'no handler and no kernel path for it' },
  ETH_OTHER_HOST: { text: 'frame for another host', hint: 'normal in promiscuous mode' },
  ARP_BAD: { text: 'malformed ARP message', hint: 'broken or hostile sender' },
  ARP_NOT_OURS: { text: 'ARP request for an address that is not ours', hint: 'normal', done: true },
  NEIGH_UNRESOLVED: { text: 'neighbour did not answer', hint: 'is the next hop up? dpip neigh show' },
  NEIGH_QUEUE_FULL: { text: 'too many packets wait for a neighbour', hint: 'neigh_defs/unres_queue_length' },
  NEIGH_TABLE_FULL: { text: 'neighbour table full', hint: 'too many next hops on link; use a gateway route' },
  IP_BAD_HEADER: { text: 'malformed IPv4 header', hint: 'broken or hostile sender' },
  IP_BAD_CHECKSUM: { text: 'wrong IPv4 header checksum', hint: 'broken sender or link' },
  IP_BAD_ADDR: { text: 'martian source or destination address', hint: 'broken or hostile sender' },
  IP_BAD_OPTION: { text: 'malformed or refused IPv4 option', hint: 'source routing is refused' },
  IP_FRAGMENT: {
    text: 'malformed IPv4 fragment',
    hint: 'broken or hostile sender: beyond 64 KiB, not a multiple of 8 bytes, or inside a transport header',
  },
  IP_TTL: { text: 'TTL exceeded', hint: 'routing loop or traceroute' },
  IP_TOO_BIG: { text: 'larger than the MTU and DF set', hint: 'normal with path-MTU discovery' },
  IP_NO_ROUTE: { text: 'no route to the destination', hint: 'dpip route show' },
  IP_NO_FORWARD: { text: 'not for us and forwarding is off', hint: 'ipv4_defs/forwarding on' },
  IP_NO_PROTO: {
    text: 'no handler for the protocol',
    hint: 'normal for ports and protocols that nobody serves',
  },
  ICMP_BAD: { text: 'malformed ICMP message', hint: 'broken or hostile sender' },
  ICMP_IGNORED: { text: 'ICMP message not handled', hint: 'normal', done: true },
  ICMP_RATE: { text: 'ICMP error suppressed by the rate limit', hint: 'normal under attack' },
  L4_BAD_HEADER: { text: 'malformed transport header', hint: 'broken or hostile sender', svc: true },
  SVC_NO_DEST: {
    text: 'service has no usable real server',
    hint: 'ipvsadm -ln: weights and health of the real servers',
    svc: true,
  },
  SVC_NO_LADDR: {
    text: 'no local address or port free',
    hint: 'ipvsadm --add-laddr; with SNAT: dpip addr add ADDR dev DEV sapool',
    svc: true,
    alarm: true,
  },
  SVC_OVERLOAD: {
    text: 'real server at its connection limit',
    hint: 'ipvsadm -e … -x',
    svc: true,
    alarm: true,
  },
  CONN_FULL: { text: 'connection table full', hint: 'ipvs_defs/conn/conn_pool_size', svc: true, alarm: true },
  CONN_NO_SYN: {
    text: 'no connection and not a SYN',
    hint: 'a packet of a connection that has expired',
    svc: true,
  },
  CONN_DEST_GONE: {
    text: 'real server of the connection was removed',
    hint: 'normal after ipvsadm -d',
    svc: true,
  },
  ICMP_NO_CONN: { text: 'ICMP message without a connection', hint: 'normal after a connection has expired' },
  SEND_FAILED: { text: 'packet could not be built', hint: 'report this' },
  IP_NOT_JOINED: {
    text: 'multicast or directed broadcast that nobody here takes',
    hint: 'normal',
    done: true,
  },
  CONN_CLASH: {
    text: 'answers could not be told from those of another connection',
    hint: 'NAT: one client port to two services that share a real server',
    svc: true,
  },
  DEST_NOT_ON_LINK: {
    text: 'real server of direct routing is behind a gateway',
    hint: 'ipvsadm -g needs the real server on a network of ours; -i (tunnel) does not',
  },
  TUNNEL_NO_SOURCE: {
    text: 'no address of ours to send a tunnel packet from',
    hint: 'dpip addr add on the device towards the real server, or src in its route',
  },
  SVC_RATE: { text: 'service over its bandwidth', hint: 'ipvsadm -E … --bps', svc: true, alarm: true },
  SVC_PROPORTION: {
    text: 'not among the new connections that are let in',
    hint: 'ipvsadm -E … --limit-proportion',
    svc: true,
  },
  IP_FRAG_TIMEOUT: {
    text: 'fragments whose others did not come in time',
    hint: 'loss on the way, or ipv4_defs/fragment/ttl is too short',
  },
  IP_FRAG_FULL: {
    text: 'too many fragments wait',
    hint: 'an attack, or ipv4_defs/fragment/max_entries is too small',
    alarm: true,
  },
  IP_FRAG_OVERLAP: {
    text: 'overlapping fragments',
    hint: 'hostile sender, or identifications reused too fast',
  },
  IP_FRAG_LOST: {
    text: 'fragment of a datagram that was not forwarded',
    hint: 'why is counted with its first fragment',
  },
  IP_FRAG_DUPLICATE: { text: 'fragment that was here already', hint: 'duplicated on the way' },
  IP_FRAG_JOINED: { text: 'fragment joined to its datagram', hint: 'normal', done: true },
  PERSIST_BUSY: {
    text: 'another lcore was entering a client of a persistent service',
    hint: 'its thread did not run meanwhile: too few CPUs for the lcores?',
    svc: true,
    alarm: true,
  },
  SCTP_FRAGMENT: {
    text: 'SCTP in IP fragments where its ports change',
    hint: 'let SCTP do path-MTU discovery, or use ipvsadm -g or -i',
  },
  DEFENCE_TCP_DROP: {
    text: 'TCP to a virtual address, of no connection and no service',
    hint: 'scans, or late packets; ipvs_defs/tcp/defence_tcp_drop',
    alarm: true,
  },
  DEFENCE_UDP_DROP: {
    text: 'UDP to a virtual address on a port without service',
    hint: 'scans; ipvs_defs/udp/defence_udp_drop',
    alarm: true,
  },
  SRC_RATE: {
    text: 'source opens connections too fast',
    hint: 'ipvsadm -E … --src-rate --src-burst',
    svc: true,
  },
  SRC_CONNS: {
    text: 'source has as many connections as it may',
    hint: 'ipvsadm -E … --src-conns',
    svc: true,
  },
  SRC_BUSY: {
    text: 'another lcore was entering a source of a service with limits',
    hint: 'its thread did not run meanwhile: too few CPUs for the lcores?',
    svc: true,
    alarm: true,
  },
  TCP_OLD_SYN: {
    text: 'SYN of a closing connection that came again',
    hint: 'duplicated or late on the way: the connection has begun with it and is about to end',
    svc: true,
  },
  UOA_REFUSED: {
    text: "ICMP error: a real server knows no datagrams with the client's address (UOA)",
    hint: 'run tools/uoa-receiver there, or ipvs_defs/udp/uoa_max_trail 0',
  },
  PROXY_EARLY: {
    text: 'data ahead of the first byte of a connection with PROXY protocol',
    hint: 'normal after loss; the client sends it again',
    svc: true,
  },
  PROXY_DAMAGED: {
    text: 'wrong checksum in a segment that a PROXY header belongs to',
    hint: 'broken sender or link; the client sends it again',
    svc: true,
  },
  PROXY_HEADER: {
    text: 'PROXY header of a client, in a place where it cannot be replaced',
    hint: 'a forged one, or another proxy in front: then --proxy-protocol v2-insecure',
    svc: true,
    alarm: true,
  },
  SYNPROXY_NO_DEST: {
    text: 'SYN to a syn-proxy service without a usable real server',
    hint: 'ipvsadm -ln: weights and health of the real servers',
    svc: true,
  },
  SYNPROXY_BAD_SUM: {
    text: 'wrong TCP checksum in the handshake with syn-proxy',
    hint: 'broken sender or link; on veth and virtio: turn checksum offload of the sender off',
    svc: true,
  },
  SYNPROXY_FRAGMENT: {
    text: 'handshake with syn-proxy in fragments',
    hint: 'hostile sender',
    svc: true,
  },
  SYNPROXY_BAD_ACK: {
    text: 'ACK to a syn-proxy service with a wrong SYN cookie',
    hint: "an attack, a segment ahead of a client's first, or of a connection that has expired: who goes on for 3.5 s gets a RST",
    svc: true,
    alarm: true,
  },
  SYNPROXY_NULL_ACK: {
    text: 'ACK without data, the real server is asked when there is some (defer_rs_syn)',
    hint: 'normal',
    done: true,
    svc: true,
  },
  SYNPROXY_ACK: { text: 'ACK of a client whose real server is being asked', hint: 'normal', done: true },
  SYNPROXY_SYNACK: { text: 'SYN-ACK of a real server to syn-proxy', hint: 'normal', done: true },
  SYNPROXY_STRAY: {
    text: 'does not belong to the handshake with syn-proxy that goes on',
    hint: 'a packet of an earlier connection, or a hostile sender',
    svc: true,
  },
  SYNPROXY_FULL: {
    text: 'too many packets or handshakes wait for real servers',
    hint: 'ipvs_defs/tcp/synproxy/max_ack_saved; are the real servers slow to answer? netif_defs/pktpool_size',
    svc: true,
    alarm: true,
  },
  SYNPROXY_UNANSWERED: {
    text: 'kept for a real server that has refused the connection or did not answer',
    hint: 'is the real server up?',
  },
  ACK_STORM: {
    text: 'acknowledgement of a storm: client and real server answer each other with nothing new',
    hint: 'both ends disagree about their numbers; ipvs_defs/tcp/synproxy/ack_storm_thresh',
    svc: true,
    alarm: true,
  },
  ACL_BLACKLIST: { text: 'on a black list', hint: 'ipvsadm -B lists them', svc: true, alarm: true },
  ACL_WHITELIST: {
    text: 'not on the white list of the service',
    hint: 'ipvsadm -W lists them',
    svc: true,
    alarm: true,
  },
} as const satisfies Record<string, DropReason>;

export type DropName = keyof typeof TABLE;

/** `DROP.ARP_BAD` is the number of a reason. */
export const DROP = Object.fromEntries(Object.keys(TABLE).map((k, i) => [k, i])) as Readonly<
  Record<DropName, number>
>;

/** Reasons by number. */
export const DROP_REASONS: readonly (DropReason & { name: string })[] = Object.entries(TABLE).map(
  ([name, reason]) => ({ name, ...reason }),
);
