/**
 * Connections made ahead. The first segment of a connection over TCP with Full-NAT finds everything chosen that does not depend on
 * its client: real server, local address and port, record and way. So the native loop opens connections itself
 * (`native/src/open_flow.h`): it takes the next spare of the service's stock, and tells of the connection as of any other that has
 * changed its state. What it does not open goes to TypeScript, which takes its spares from the same stock, so that the order in
 * which real servers and ports are given out is that of the packets.
 *
 * A service has a stock while clients come, if whom they get does not depend on them or on what other connections do (schedulers
 * that go round), and if nobody has to be asked whether they may (limits, persistence, syn-proxy, bandwidth). A stock is given back when
 * anything changes that it was made for: service, real servers, routes, addresses.
 */
import { Bytes } from '../core/bytes.js';
import {
  LCORE_BLOCK,
  NEAR_CAP,
  REFLEX_F_KEEP_TIMESTAMPS,
  REFLEX_F_REBASE,
  REFLEX_F_TOA,
  SPARE,
  STOCK_SIZE,
  STOCKS,
  SVC_CAP,
} from '../core/layout.js';
import { mask, PROTO_TCP } from '../wire/ipv4.js';
import type { Chooser } from './chooser.js';
import type { ConnTable } from './conn/table.js';
import type { LocalAddrs } from './laddr.js';
import type { Dest, Services, Svc } from './service.js';
import { limitsSources } from './sources.js';
import { fullnat } from './xmit/fullnat.js';
import { mtuBy, wayTo } from './xmit/nexthop.js';
import type { XmitContext } from './xmit/xmit.js';

const HEAD = LCORE_BLOCK.at.stockHead >>> 2;
const TAIL = LCORE_BLOCK.at.stockTail >>> 2;
const ROUTER_ADJ = LCORE_BLOCK.at.routerAdj >>> 2;
const ROUTER_MTU = LCORE_BLOCK.at.routerMtu >>> 2;
const NEAR_COUNT = LCORE_BLOCK.at.nearCount >>> 2;
const NEAR = LCORE_BLOCK.at.near >>> 2;
const WANTED = LCORE_BLOCK.at.stockWanted >>> 2;
const SPARES = LCORE_BLOCK.at.spares;
const AT = SPARE.at;
/** Spares that a stock begins with; it doubles when more than half of them go in one poll. */
const FEWEST = 8;
/** A stock that nobody has taken from for so long is given back. */
const IDLE_MS = 1000;
const RETRY_MS = 1000;
/** Records that have to be free, beside a quarter of the table: who comes in one poll must not find them in stocks. */
const FREE_RECORDS = 2048;

/** `of`: not asked yet, and no. */
const UNKNOWN = 0;
const NONE = -1;
export const NO_STOCK = -1;
/** There is no spare. */
export const NO_SPARE = -1;

/** A service with a stock, for the native loop. */
export interface Opening {
  readonly svc: Svc;
  readonly stock: number;
}

export class Stocks {
  /** Told when a service has got a stock or lost it (NO_STOCK). */
  changed: (svc: Svc, stock: number) => void = () => undefined;
  /** REFLEX_F bits of all. */
  readonly flags: number;
  /** By slot of the service: number of its stock + 1. */
  private readonly of = new Int8Array(SVC_CAP);
  /** By stock. */
  private readonly owners: (Svc | undefined)[] = Array.from({ length: STOCKS }, () => undefined);
  private readonly seenHead = new Uint32Array(STOCKS);
  private readonly usedMs = new Float64Array(STOCKS);
  /** Nothing is made before: there was no real server, or no port. */
  private readonly retryMs = new Float64Array(STOCKS);
  private live = 0;
  /** Spares that TypeScript has taken since the last tick; the native loop takes the others. */
  private readonly taken = new Uint32Array(STOCKS);
  /** A service that a client has come to, and that may have a stock. */
  private asking: Svc | undefined;
  private generation = -1;
  private readonly words: Uint32Array;
  private readonly bytes: Bytes;

  constructor(
    private readonly x: XmitContext,
    private readonly services: Services,
    private readonly table: ConnTable,
    private readonly chooser: Chooser,
    private readonly laddrs: LocalAddrs,
  ) {
    const { block } = x.packets;
    this.words = block;
    this.bytes = new Bytes(block.buffer, block.byteOffset);
    // What an earlier life of this lcore held is free again.
    for (const at of [HEAD, TAIL, WANTED]) block.fill(0, at, at + STOCKS);
    block.set(x.isn.words, LCORE_BLOCK.at.isnKey >>> 2);
    const { rebase, keepTimestamps, toa } = x.tcp;
    this.flags =
      (rebase ? REFLEX_F_REBASE : 0) |
      (keepTimestamps ? REFLEX_F_KEEP_TIMESTAMPS : 0) |
      (toa ? REFLEX_F_TOA : 0);
    const close = (dest: Dest): void => {
      this.forget(dest.svc);
      // Packets for it may be another lcore's from now on.
      if (dest.xmit !== fullnat && services.isVip(dest.addr)) this.closeAll();
    };
    services.listen({
      svcAdded: (svc) => {
        // A port that was taken may be the service's now.
        if (svc.match === undefined && laddrs.has(svc.addr)) this.closeAll();
      },
      svcChanged: (svc) => this.forget(svc),
      laddrsChanged: (svc) => this.forget(svc),
      destAdded: close,
      destChanged: close,
      destRemoved: close,
    });
  }

  /** Services with stocks. */
  get openings(): Opening[] {
    return this.owners.flatMap((svc, stock) => (svc === undefined ? [] : [{ svc, stock }]));
  }

  /** The next spare of a service (its byte offset in the block) or NO_SPARE. It is the caller's. */
  take(svc: Svc): number {
    const k = this.of[svc.slot]! - 1;
    if (k < 0) {
      if (k === UNKNOWN - 1) this.asking = svc;
      return NO_SPARE;
    }
    if (this.generation !== this.x.inet.generation) return NO_SPARE;
    const head = this.words[HEAD + k]!;
    if (head === this.words[TAIL + k]!) return NO_SPARE;
    this.words[HEAD + k] = head + 1;
    this.taken[k]!++;
    return this.spareAt(k, head);
  }

  // Of a spare.
  conn(at: number): number {
    return this.words[(at + AT.conn) >>> 2]!;
  }
  laddr(at: number): number {
    return this.bytes.u32(at + AT.laddr);
  }
  lport(at: number): number {
    return this.bytes.u16(at + AT.lport);
  }
  laddrSlot(at: number): number {
    return this.words[(at + AT.laddrSlot) >>> 2]! - 1;
  }
  dest(at: number): Dest {
    return this.services.destAt(this.words[(at + AT.dest) >>> 2]! & 0xffff)!;
  }

  /** Fills up what was taken; call it once for every poll, behind its packets. */
  tick(nowMs: number): void {
    if (this.live === 0 && this.asking === undefined) return;
    const { table } = this;
    for (let k = 0; k < STOCKS; k++) {
      if (this.owners[k] === undefined) continue;
      const n = this.settle(k);
      if (n === 0) continue;
      this.usedMs[k] = nowMs;
      if (n * 2 > this.words[WANTED + k]! && this.words[WANTED + k]! < STOCK_SIZE)
        this.words[WANTED + k]! *= 2;
    }
    const asking = this.asking;
    this.asking = undefined;
    if (table.free < FREE_RECORDS || table.free * 4 < table.records.capacity) {
      this.closeAll();
      return;
    }
    if (this.generation !== this.x.inet.generation) {
      this.closeAll();
      this.generation = this.x.inet.generation;
      this.tellRouter();
    }
    for (let k = 0; k < STOCKS; k++) {
      const svc = this.owners[k];
      if (svc === undefined) continue;
      if (nowMs - this.usedMs[k]! > IDLE_MS) this.close(k);
      else this.fill(k, svc, nowMs);
    }
    if (asking !== undefined) this.open(asking, nowMs);
  }

  /** So that the answers to who comes by the default router need not wait for TypeScript either: as `foresee` of nexthop.ts. */
  private tellRouter(): void {
    const { words, x } = this;
    words[ROUTER_ADJ] = 0;
    const otherwise = x.inet.otherwise();
    if (otherwise === undefined) return;
    const { route, others } = otherwise;
    if (route.via === 0 || route.local || others.length > NEAR_CAP) return;
    words[NEAR_COUNT] = others.length;
    others.forEach(({ dst, plen }, i) => words.set([dst, mask(plen)], NEAR + 2 * i));
    const adj = x.inet.adjacency(route.ifindex, route.via);
    words[ROUTER_ADJ] = adj;
    words[ROUTER_MTU] = mtuBy(x, route, adj);
  }

  /** Ports of a slot of local addresses that spares hold. */
  held(slot: number): number {
    let n = 0;
    for (let k = 0; k < STOCKS; k++)
      for (let i = this.words[HEAD + k]!; i !== this.words[TAIL + k]!; i = (i + 1) >>> 0)
        if (this.laddrSlot(this.spareAt(k, i)) === slot) n++;
    return n;
  }

  /** An address is not to be used any more: nor is what was made with it. */
  closeAll(): void {
    for (let k = 0; k < STOCKS; k++) if (this.owners[k] !== undefined) this.close(k);
  }

  private open(svc: Svc, nowMs: number): void {
    if (!this.services.holds(svc)) return;
    const k = isForAll(svc) && !this.isNatEnd(svc) ? this.owners.indexOf(undefined) : NONE - 1;
    if (k < 0) {
      // All taken: the next client asks again.
      if (k === NONE - 1) this.of[svc.slot] = NONE;
      return;
    }
    this.owners[k] = svc;
    this.of[svc.slot] = k + 1;
    this.live++;
    this.words[WANTED + k] = FEWEST;
    this.usedMs[k] = nowMs;
    this.seenHead[k] = this.words[HEAD + k]!;
    this.retryMs[k] = nowMs;
    this.fill(k, svc, nowMs);
    this.changed(svc, k);
  }

  private isNatEnd(svc: Svc): boolean {
    return this.services.ends.isNat(svc.proto, svc.addr, svc.port);
  }

  private forget(svc: Svc): void {
    const k = this.of[svc.slot]! - 1;
    if (k >= 0) this.close(k);
    this.of[svc.slot] = UNKNOWN;
  }

  private close(k: number): void {
    const { words } = this;
    const svc = this.owners[k]!;
    this.settle(k);
    for (; words[HEAD + k]! !== words[TAIL + k]!; words[HEAD + k]!++) {
      const at = this.spareAt(k, words[HEAD + k]!);
      const { bytes } = this;
      this.laddrs.giveBack(
        this.laddrSlot(at),
        bytes.u32(at + AT.daddr),
        bytes.u16(at + AT.dport),
        this.lport(at),
      );
      this.table.unreserve(this.conn(at));
    }
    this.owners[k] = undefined;
    this.of[svc.slot] = UNKNOWN;
    this.live--;
    words[WANTED + k] = 0;
    this.changed(svc, NO_STOCK);
  }

  /** Takes note of what the native loop has taken. @returns how many have been taken since the last time */
  private settle(k: number): number {
    const n = (this.words[HEAD + k]! - this.seenHead[k]!) >>> 0;
    this.table.born(n - this.taken[k]!);
    this.seenHead[k] = this.words[HEAD + k]!;
    this.taken[k] = 0;
    return n;
  }

  private fill(k: number, svc: Svc, nowMs: number): void {
    const { words } = this;
    if (nowMs < this.retryMs[k]!) return;
    while ((words[TAIL + k]! - words[HEAD + k]!) >>> 0 < this.words[WANTED + k]!) {
      if (!this.make(svc, this.spareAt(k, words[TAIL + k]!))) {
        this.retryMs[k] = nowMs + RETRY_MS;
        // No poll ends early for it (`hungry` of native/src/lcore.h).
        words[WANTED + k] = FEWEST;
        return;
      }
      words[TAIL + k]!++;
    }
  }

  /** Writes a spare. @returns false when there can be none */
  private make(svc: Svc, at: number): boolean {
    const { table, laddrs, words, bytes, x } = this;
    const dest = this.chooser.choose(svc, 0, 0, svc.addr);
    if (dest === undefined) return false;
    const lport = laddrs.take(dest);
    if (lport === 0) return false;
    const c = table.reserve();
    const adj = wayTo(x, dest.addr);
    words[(at + AT.conn) >>> 2] = c;
    words[(at + AT.laddrSlot) >>> 2] = laddrs.slot + 1;
    bytes.setU32(at + AT.laddr, laddrs.laddr);
    bytes.setU32(at + AT.daddr, dest.addr);
    bytes.setU16(at + AT.lport, lport);
    bytes.setU16(at + AT.dport, dest.port);
    // The machine's own order, as C++ reads it.
    words[(at + AT.dest) >>> 2] = dest.slot | (adj << 16);
    words[(at + AT.mtu) >>> 2] = adj === 0 ? 0 : x.ways.mtu;
    return true;
  }

  private spareAt(k: number, n: number): number {
    return SPARES + (k * STOCK_SIZE + (n % STOCK_SIZE)) * SPARE.size;
  }
}

/** True when all clients of the service are treated alike, and without being asked anything. */
function isForAll(svc: Svc): boolean {
  return (
    svc.proto === PROTO_TCP &&
    svc.match === undefined &&
    svc.port !== 0 &&
    svc.scheduler.goesRound === true &&
    svc.persistent === 0 &&
    !svc.onePacket &&
    !svc.synproxy &&
    svc.bps === 0 &&
    svc.limitProportion >= 100 &&
    !limitsSources(svc) &&
    svc.proxyProtocol === 'disable' &&
    svc.dests.every((d) => d.xmit === fullnat && d.maxConn === 0 && d.port !== 0)
  );
}
