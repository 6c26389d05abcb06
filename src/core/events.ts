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
