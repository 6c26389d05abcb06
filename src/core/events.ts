/**
 * What happens besides packets that are forwarded or dropped, counted by lcore: the original's extended statistics. The
 * position of an entry is its number in the statistics segment, so entries are only ever appended.
 *
 * Count one by `packets.countEvent(EVENT.X)`, with `svc` by `eventFor` of src/ipvs/counts.ts, in C++ by `lc.stats->events[EVENT_X] += 1`
 * and `count_svc_event`; `dpip estats show` and `ipvsadm -L --events` list them.
 */
export interface EventKind {
  readonly text: string;
  /** Counted by service as well (src/core/svc-counts.ts). */
  readonly svc?: true;
  /** Told in the log, with limits (src/master/alarms.ts). */
  readonly alarm?: true;
}

const TABLE = {
  CONN_REUSED: { text: 'client opened a closing connection anew' },
  CONN_QUIESCENT: { text: 'connection ended because its real server is removed or at weight 0' },
  SRC_FORGOTTEN: { text: 'source with connections replaced in the table of sources: it counts from 0 again' },
  SYNPROXY_ANSWERED: { text: 'syn-proxy: SYN answered with a cookie', svc: true },
  SYNPROXY_OPENED: { text: 'syn-proxy: client showed a cookie, its real server was asked', svc: true },
  SYNPROXY_JOINED: { text: 'syn-proxy: real server answered, both ends joined', svc: true },
  SYNPROXY_RETRIED: { text: 'syn-proxy: SYN sent to a real server again' },
  SYNPROXY_REFUSED: { text: 'syn-proxy: real server refused with a reset', svc: true },
  SYNPROXY_REUSED: { text: 'syn-proxy: client replaced its connection by a new cookie' },
  SYNPROXY_RESET: { text: 'syn-proxy: reset sent for an ACK without a valid cookie', svc: true },
  FLOOD_BEGUN: { text: 'connection table nearly full: flood mode' },
  FLOOD_EXPIRED: { text: 'half-open, one-way or closed connection ended early by flood mode' },
  FLOOD_EVICTED: { text: 'half-open, one-way or closed connection ended to make room for a new one' },
  FLOOD_HASHED: {
    text: 'packet forwarded without a connection, to a real server by hash: connection table full',
    svc: true,
    alarm: true,
  },
  FLOOD_RESUMED: { text: 'connection opened whose packets had been forwarded by hash', svc: true },
  TOA_INSERTED: { text: "client's address put into a segment (TOA)", svc: true },
  TOA_NO_ROOM: { text: "segment without the client's address (TOA): no room for it", svc: true },
  TOA_FORGED: { text: 'address option (TOA) of a client taken out', svc: true },
  UOA_INSERTED: { text: "client's address put into or in front of a datagram (UOA)", svc: true },
  PROXY_INSERTED: { text: 'PROXY header put in front, again with what a client sends again', svc: true },
  PROXY_FOREIGN: { text: 'PROXY header brought by a client: replaced, or passed on if insecure', svc: true },
} as const satisfies Record<string, EventKind>;

export type EventName = keyof typeof TABLE;

/** `EVENT.CONN_REUSED` is the number of an event. */
export const EVENT = Object.fromEntries(Object.keys(TABLE).map((k, i) => [k, i])) as Readonly<
  Record<EventName, number>
>;

/** Events by number. */
export const EVENT_KINDS: readonly (EventKind & { name: string })[] = Object.entries(TABLE).map(
  ([name, kind]) => ({ name, ...kind }),
);
