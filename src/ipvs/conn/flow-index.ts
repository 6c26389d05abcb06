/** The native index of one lcore's connections, by the tuples that the records carry. */
import { CONN_BATCH, LCORE_BLOCK } from '../../core/layout.js';
import type { Native } from '../../core/native.js';

export interface FlowIndex {
  /** @returns 0, -1 a direction's tuple is already there (nothing was inserted), -2 no room */
  insert(conn: number): number;
  /** @returns 0, or -1 when it was not there */
  remove(conn: number): number;
  /** The connections that calls about several are about, CONN_BATCH at most. */
  readonly batch: Uint32Array;
  /** @returns how many of the first `n` are refused; they stand in front then */
  insertMany(n: number): number;
  /** @returns how many of the first `n` were there */
  removeMany(n: number): number;
  /** Gets the records of the first `n` into the caches, and what their removal needs. */
  prefetch(n: number): void;
  /**
   * Finds by the headers at arena offsets `l3` and `l4`.
   * @param inverse look for the opposite tuple: for headers quoted in ICMP errors
   * @returns connection * 2 + direction, or -1
   */
  find(l3: number, l4: number, inverse: boolean): number;
  /**
   * The same in the indexes of the other lcores, while they go on changing: a hint, the lcore itself has to look.
   * @returns id of an lcore that has the flow, or 0
   */
  owner(l3: number, l4: number, inverse: boolean): number;
  count(): number;
  /** Re-makes the index from the records flagged HASHED. @returns how many */
  rebuild(): number;
}

type FlowCalls = Pick<
  Native,
  | 'flowInsert'
  | 'flowRemove'
  | 'flowInsertMany'
  | 'flowRemoveMany'
  | 'flowPrefetch'
  | 'flowFind'
  | 'flowOwner'
  | 'flowCount'
  | 'flowRebuild'
>;

/** The index of lcore `id`, whose LCORE_BLOCK is `block`. */
export function flowIndex(native: FlowCalls, id: number, block: SharedArrayBuffer): FlowIndex {
  return {
    batch: new Uint32Array(block, LCORE_BLOCK.at.conns, CONN_BATCH),
    insert: (conn) => native.flowInsert(id, conn),
    remove: (conn) => native.flowRemove(id, conn),
    insertMany: (n) => native.flowInsertMany(id, n),
    removeMany: (n) => native.flowRemoveMany(id, n),
    prefetch: (n) => void native.flowPrefetch(id, n),
    find: (l3, l4, inverse) => native.flowFind(id, l3, l4, inverse),
    owner: (l3, l4, inverse) => native.flowOwner(id, l3, l4, inverse),
    count: () => native.flowCount(id),
    rebuild: () => native.flowRebuild(id),
  };
}
