/**
 * Passive health checks, what an lcore has to do with them: it notices connections that a real server refused or never
 * answered, and those that it took, counts them by real server and tells the master now and then. The master decides
 * (src/master/dest-checks.ts).
 *
 * Noticing is a few array accesses, and only where a connection changes its state or expires. An lcore sends at most ten
 * messages a second of bounded size, whatever happens to its connections.
 */
import { DEST_CAP } from '../core/layout.js';
import { PROTO_TCP, PROTO_UDP } from '../wire/ipv4.js';
import type { Records } from './conn/records.js';
import { TABLE_IN_ONLY } from './proto/table.js';
import { TCP } from './proto/tcp.js';
import { UDP } from './proto/udp.js';
import type { Dest, Services } from './service.js';
import { XMIT_BY_FWD } from './xmit/index.js';

/** What has been noticed of one real server since it was last told. */
export interface Notice {
  slot: number;
  /** Whose slot it was. */
  addr: number;
  port: number;
  downs: number;
  ups: number;
}

/** Between messages with failures, and between others. */
const DOWN_INTERVAL_MS = 100;
const UP_INTERVAL_MS = 1000;
/** Real servers in one message; the others come with the next. */
const MESSAGE_CAP = 64;

export class DestNotices {
  /** Where the notices go; without a receiver they are forgotten. */
  send: ((notices: Notice[]) => void) | undefined;
  /** By slot: 1 while its real server is checked by its connections. */
  private readonly watched = new Uint8Array(DEST_CAP);
  private watching = 0;
  private readonly downs = new Uint32Array(DEST_CAP);
  private readonly ups = new Uint32Array(DEST_CAP);
  /** When each was last known to have taken a connection. */
  private readonly upMs = new Float64Array(DEST_CAP).fill(-Infinity);
  private nowMs = 0;
  /** Slots with something to tell, each once; the first `count` are valid. */
  private readonly pending = new Uint16Array(DEST_CAP);
  private readonly isPending = new Uint8Array(DEST_CAP);
  private count = 0;
  private downPending = false;
  private sentMs = -Infinity;

  constructor(
    private readonly records: Records,
    private readonly services: Services,
  ) {}

  /** A real server is there, or something about it or its service has changed. */
  rule(dest: Dest): void {
    const { svc, xmit, slot } = dest;
    // One-sided modes see a client's acknowledgement of what a TCP server has said, but nothing of UDP.
    const seen =
      xmit.name !== 'snat' && (svc.proto === PROTO_TCP || (svc.proto === PROTO_UDP && xmit.rewrites));
    this.watch(slot, svc.destCheck.passive !== null && seen && !dest.removed ? 1 : 0);
  }

  /** Nobody holds the slot any more. */
  forget(slot: number): void {
    this.watch(slot, 0);
    this.downs[slot] = this.ups[slot] = 0;
    this.upMs[slot] = -Infinity;
  }

  private watch(slot: number, value: number): void {
    this.watching += value - this.watched[slot]!;
    this.watched[slot] = value;
  }

  // ----- packet path

  /** Connection `c` has gone from one state to another. @param answered what `Records.isAnswered` said then */
  moved(c: number, from: number, to: number, answered: boolean): void {
    if (this.watching === 0) return;
    if (this.records.proto(c) === PROTO_TCP) {
      if (to === TCP.ESTABLISHED) this.serverUp(c);
      else if (to === TCP.CLOSE && !answered && isOpening(from)) this.serverDown(c);
    } else if (from === UDP.ONEWAY && to === UDP.NORMAL) {
      this.serverUp(c);
    }
  }

  /** The time of connection `c` is up, by itself. */
  expired(c: number, nowMs: number): void {
    if (this.watching === 0) return;
    const r = this.records;
    // The index may refuse a connection that has just been made.
    if ((nowMs - r.lastSeenMs(c)) >>> 0 < r.timeoutMs(c)) return;
    const state = r.state(c);
    if (r.proto(c) === PROTO_TCP ? !r.isAnswered(c) && isOpening(state) : state === UDP.ONEWAY) {
      // Whether it was answered can't be seen in one-sided modes. That somebody was, meanwhile, can: any SYN flood leaves handshakes.
      const opened = nowMs - ((nowMs - r.createdMs(c)) >>> 0);
      const isOneSided = XMIT_BY_FWD[r.fwd(c)]!.tableIn === TABLE_IN_ONLY;
      if (!isOneSided || this.upMs[r.dest(c)]! <= opened) this.serverDown(c);
    }
  }

  /** The real server of connection `c` has taken it (a SYN proxy: its SYN-ACK came). */
  serverUp(c: number): void {
    const slot = this.records.dest(c);
    if (this.watched[slot] === 0) return;
    this.note(slot);
    this.ups[slot]!++;
    this.upMs[slot] = this.nowMs;
  }

  /** The real server of connection `c` has refused it or does not answer (a SYN proxy: its RST came, or nothing). */
  serverDown(c: number): void {
    const slot = this.records.dest(c);
    if (this.watched[slot] === 0) return;
    this.note(slot);
    this.downs[slot]!++;
    this.downPending = true;
  }

  private note(slot: number): void {
    if (this.isPending[slot] !== 0) return;
    this.isPending[slot] = 1;
    this.pending[this.count++] = slot;
  }

  // ----- now and then

  /** Sends what is due. */
  tick(nowMs: number): void {
    this.nowMs = nowMs;
    if (this.count === 0 || nowMs - this.sentMs < (this.downPending ? DOWN_INTERVAL_MS : UP_INTERVAL_MS))
      return;
    this.sentMs = nowMs;
    const notices: Notice[] = [];
    while (this.count > 0 && notices.length < MESSAGE_CAP) {
      const slot = this.pending[--this.count]!;
      const dest = this.services.destAt(slot);
      const [downs, ups] = [this.downs[slot]!, this.ups[slot]!];
      this.downs[slot] = this.ups[slot] = this.isPending[slot] = 0;
      if (dest !== undefined && !dest.removed && downs + ups > 0)
        notices.push({ slot, addr: dest.addr, port: dest.port, downs, ups });
    }
    if (this.count === 0) this.downPending = false;
    if (notices.length > 0) this.send?.(notices);
  }
}

/**
 * True in the states of a connection that is opening. Where its real server has said nothing yet, its end says something about it.
 * A client that goes away in the middle of the handshake (any SYN flood does) says nothing about a server that has answered.
 */
const isOpening = (state: number): boolean => state === TCP.SYN_RECV || state === TCP.SYN_SENT;
