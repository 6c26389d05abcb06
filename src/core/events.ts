/**
 * What happens besides packets that are forwarded or dropped, counted by lcore: the original's extended statistics. The
 * position of an entry is its number in the statistics segment, so entries are only ever appended.
 *
 * Count one by `packets.countEvent(EVENT.X)`, in C++ by `lc.stats->events[EVENT_X] += 1`; `dpip estats show` lists them.
 */
export interface EventKind {
  readonly text: string;
}

const TABLE = {
  CONN_REUSED: { text: 'client opened a closing connection anew' },
  CONN_QUIESCENT: { text: 'connection ended because its real server is removed or at weight 0' },
  SRC_FORGOTTEN: { text: 'source with connections replaced in the table of sources: it counts from 0 again' },
  SYNPROXY_ANSWERED: { text: 'syn-proxy: SYN answered with a cookie' },
  SYNPROXY_OPENED: { text: 'syn-proxy: client showed a cookie, its real server was asked' },
  SYNPROXY_JOINED: { text: 'syn-proxy: real server answered, both ends joined' },
  SYNPROXY_RETRIED: { text: 'syn-proxy: SYN sent to a real server again' },
  SYNPROXY_REFUSED: { text: 'syn-proxy: real server refused with a reset' },
  SYNPROXY_REUSED: { text: 'syn-proxy: client replaced its connection by a new cookie' },
  SYNPROXY_RESET: { text: 'syn-proxy: reset sent for an ACK without a valid cookie' },
  FLOOD_BEGUN: { text: 'connection table nearly full: flood mode' },
  FLOOD_EXPIRED: { text: 'half-open, one-way or closed connection ended early by flood mode' },
  FLOOD_EVICTED: { text: 'half-open, one-way or closed connection ended to make room for a new one' },
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
