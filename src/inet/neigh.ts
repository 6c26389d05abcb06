/**
 * Neighbours of one lcore, in the states of the original (reference A.12), written as adjacencies that both
 * packet paths read. A neighbour's index is its adjacency's index; 0 is none.
 *
 *   NONE       known by name only; goes after 2 s
 *   SEND       asked by broadcast, 3 times in 3 s; packets wait in its queue
 *   REACHABLE  confirmed within the timeout (60 s)
 *   PROBE      not confirmed for that long, its MAC still serves; the first use asks again; 30 s
 *   DELAY      asked again, its MAC still serves; 3 s
 *
 * A neighbour in use is asked as soon as it turns to PROBE, so traffic never waits for an answer that comes. "In
 * use" is: packets went to it lately, or its index was handed out under the present generation (flows hold it). The
 * native loop notes its use as we do (`usedMs`), and sends only by neighbours that need no question (`ADJ_F_READY`): in PROBE the first packet comes here
 * and asks.
 */
import { Bytes } from '../core/bytes.js';
import { DROP } from '../core/drops.js';
import { IntMap } from '../core/intmap.js';
import { ADJ, ADJ_CAP, ADJ_F_READY, ADJ_F_RESOLVED, ADJ_F_VALID } from '../core/layout.js';
import { NO_PACKET } from '../core/packet.js';
import type { Packets } from '../core/packet.js';
import { Wheel } from '../core/wheel.js';
import type { Device } from '../netif/device.js';
import type { Netif } from '../netif/netif.js';
import * as ethernet from '../wire/ethernet.js';
import { formatIpv4 } from '../wire/ipv4.js';
import { requestArp } from './arp.js';
import type { Generation } from './generation.js';

const FREE = 0;
const NONE = 1;
const SEND = 2;
const REACHABLE = 3;
const PROBE = 4;
const DELAY = 5;
const STATE_NAMES = ['', 'NONE', 'SEND', 'REACHABLE', 'PROBE', 'DELAY'] as const;

const NONE_MS = 2000;
const PROBE_MS = 30_000;
const RETRY_MS = 1000;
/** Requests in SEND and in DELAY, one each RETRY_MS. */
const TRIES = 3;
/** The same fact is told to the other lcores at most this often. */
const TELL_MS = 50;

const FLAGS = ADJ.at.flags >>> 1;
const PORT = ADJ.at.port >>> 1;
const MTU = ADJ.at.mtu >>> 1;
const IFINDEX = ADJ.at.ifindex >>> 2;
const USED = ADJ.at.usedMs >>> 2;

export interface NeighOptions {
  packets: Packets;
  netif: Netif;
  /** ADJ_CAP x ADJ.size. */
  adjacencies: SharedArrayBuffer;
  generation: Generation;
  reachableMs: number;
  /** Packets that may wait for one neighbour. */
  queueLimit: number;
  /** Packets that may wait for all neighbours together: or whoever makes us ask for many addresses takes every buffer. */
  totalLimit: number;
  /** Address to ask from, 0 = none. */
  sourceFor: (ifindex: number, addr: number) => number;
  /** A packet that was received and could not be delivered; it stays with the caller. */
  unreachable: (p: number) => void;
}

/** One line of a listing. */
export interface NeighLine {
  addr: string;
  /** Absent while unresolved. */
  mac?: string;
  state: string;
  dev: string;
  static: boolean;
}

/** Told what this lcore has learnt itself. */
export type LearnListener = (ifindex: number, addr: number, mac: string) => void;

export class NeighTable {
  private readonly packets: Packets;
  private readonly netif: Netif;
  private readonly o: NeighOptions;
  private readonly wheel: Wheel;
  private readonly index: IntMap;
  private readonly listeners: LearnListener[] = [];

  // The adjacency table, in both byte orders.
  private readonly adj: Bytes;
  private readonly adj16: Uint16Array;
  private readonly adj32: Uint32Array;

  // By index.
  private readonly state = new Uint8Array(ADJ_CAP);
  private readonly fixed = new Uint8Array(ADJ_CAP);
  private readonly tries = new Uint8Array(ADJ_CAP);
  private readonly addr = new Uint32Array(ADJ_CAP);
  private readonly head = new Uint32Array(ADJ_CAP);
  private readonly tail = new Uint32Array(ADJ_CAP);
  private readonly waiting = new Uint32Array(ADJ_CAP);
  private readonly handedOut = new Uint32Array(ADJ_CAP);
  private readonly toldAt = new Float64Array(ADJ_CAP);
  private readonly free = new Uint32Array(ADJ_CAP);
  private freeCount = 0;
  private totalWaiting = 0;
  /** Indices from here on were never used. */
  private top = 1;
  private started = false;

  constructor(o: NeighOptions) {
    this.o = o;
    this.packets = o.packets;
    this.netif = o.netif;
    this.index = new IntMap(ADJ_CAP);
    this.adj = new Bytes(o.adjacencies);
    this.adj16 = new Uint16Array(o.adjacencies);
    this.adj32 = new Uint32Array(o.adjacencies);
    // A table that a former lcore left behind.
    this.adj.raw.fill(0);
    this.wheel = new Wheel(ADJ_CAP, (i) => this.expire(i));
    o.netif.devices.onChange((dev) => this.deviceChanged(dev));
  }

  /** Called with everything that this lcore learns itself, so that the others can be told. */
  onLearn(listener: LearnListener): void {
    this.listeners.push(listener);
  }

  /** Timers. */
  tick(nowMs: number): void {
    if (this.started) this.wheel.advance(nowMs);
  }

  // ----- packet path

  /** Index of a neighbour, made when new; 0 = table full or no such device. */
  adjacency(ifindex: number, addr: number): number {
    let i = this.index.get(addr, ifindex);
    if (i < 0) {
      i = this.create(ifindex, addr);
      if (i === 0) return 0;
    }
    this.handedOut[i] = this.o.generation.value;
    this.use(i);
    return i;
  }

  mtu(i: number): number {
    return this.adj16[this.at16(i) + MTU]!;
  }

  /** Sends a datagram to the neighbour, or lets it wait. Takes ownership. */
  xmit(p: number, i: number): void {
    const state = this.state[i]!;
    this.use(i);
    if ((this.adj16[this.at16(i) + FLAGS]! & ADJ_F_RESOLVED) !== 0) {
      if (state === PROBE) this.askAgain(i);
      this.send(p, i);
      return;
    }
    if (state === FREE) {
      this.packets.drop(p, DROP.NEIGH_UNRESOLVED);
      return;
    }
    if (this.waiting[i]! >= this.o.queueLimit || this.totalWaiting >= this.o.totalLimit)
      this.packets.drop(p, DROP.NEIGH_QUEUE_FULL);
    else this.enqueue(p, i);
    if (state === NONE) this.ask(i);
  }

  // ----- what others tell us

  /**
   * A neighbour's MAC as ARP has it.
   * @param create make an entry when there is none
   */
  update(ifindex: number, addr: number, hi: number, lo: number, create: boolean): void {
    let i = this.index.get(addr, ifindex);
    if (i < 0 && create) i = this.create(ifindex, addr);
    if (i <= 0 || this.fixed[i] === 1) return;
    const news = this.state[i] !== REACHABLE || !this.hasMac(i, hi, lo);
    this.confirm(i, hi, lo);
    const now = this.packets.nowMs;
    if (!news && now - this.toldAt[i]! < TELL_MS) return;
    this.toldAt[i] = now;
    for (let l = 0; l < this.listeners.length; l++) {
      this.listeners[l]!(ifindex, addr, ethernet.formatMac(this.adj.raw, this.macAt(i)));
    }
  }

  /** What another lcore has learnt; not told any further. */
  learn(ifindex: number, addr: number, mac: string): void {
    const known = this.index.get(addr, ifindex);
    const i = known < 0 ? this.create(ifindex, addr) : known;
    if (i === 0 || this.fixed[i] === 1) return;
    const b = new Bytes(ethernet.parseMac(mac).buffer);
    this.confirm(i, ethernet.macHi(b, 0), ethernet.macLo(b, 0));
  }

  /** A static entry; replaces what was learnt. */
  addStatic(ifindex: number, addr: number, mac: string): void {
    const known = this.index.get(addr, ifindex);
    const i = known < 0 ? this.create(ifindex, addr) : known;
    if (i === 0) return;
    const b = new Bytes(ethernet.parseMac(mac).buffer);
    this.fixed[i] = 1;
    this.confirm(i, ethernet.macHi(b, 0), ethernet.macLo(b, 0));
    this.wheel.cancel(i);
  }

  /** Forgets a neighbour, static or learnt. */
  forget(ifindex: number, addr: number): void {
    const i = this.index.get(addr, ifindex);
    if (i > 0) this.remove(i);
  }

  /** Forgets the neighbours of a device, or (0) all. */
  flush(ifindex: number): void {
    for (let i = 1; i < this.top; i++) {
      if (this.state[i] !== FREE && (ifindex === 0 || this.ifindexOf(i) === ifindex)) this.remove(i);
    }
  }

  list(): NeighLine[] {
    return this.page(0, Infinity).lines;
  }

  /** Up to `limit` lines from `from` on (0 = the beginning); `next` is where to go on, 0 = that was all. */
  page(from: number, limit: number): { lines: NeighLine[]; next: number } {
    const lines: NeighLine[] = [];
    let i = Math.max(from, 1);
    for (; i < this.top && lines.length < limit; i++) {
      if (this.state[i] === FREE) continue;
      const resolved = (this.adj16[this.at16(i) + FLAGS]! & ADJ_F_RESOLVED) !== 0;
      lines.push({
        addr: formatIpv4(this.addr[i]!),
        ...(resolved ? { mac: ethernet.formatMac(this.adj.raw, this.macAt(i)) } : {}),
        state: STATE_NAMES[this.state[i]!]!,
        dev: this.netif.devices.nameOf(this.ifindexOf(i)),
        static: this.fixed[i] === 1,
      });
    }
    return { lines, next: i < this.top ? i : 0 };
  }

  // ----- states

  private create(ifindex: number, addr: number): number {
    const dev = this.netif.devices.byIndex(ifindex);
    if (dev === undefined) return 0;
    let i: number;
    if (this.freeCount > 0) i = this.free[--this.freeCount]!;
    else if (this.top < ADJ_CAP) i = this.top++;
    else return 0;
    if (!this.started) {
      // The clock may stand at weeks of uptime, beyond the wheel's horizon from 0.
      this.wheel.start(this.packets.nowMs);
      this.started = true;
    }
    this.index.set(addr, ifindex, i);
    this.addr[i] = addr;
    this.fixed[i] = 0;
    this.head[i] = NO_PACKET;
    this.waiting[i] = 0;
    this.handedOut[i] = 0;
    // Modulo 2^32: so long ago that it does not count.
    this.adj32[this.at32(i) + USED] = this.packets.nowMs - this.o.reachableMs;
    this.toldAt[i] = Number.NEGATIVE_INFINITY;
    const a = i * ADJ.size;
    this.adj.setU32(a + ADJ.at.nexthop, addr);
    this.adj32[(a >>> 2) + IFINDEX] = ifindex;
    this.writeDevice(i, dev);
    this.adj16[(a >>> 1) + FLAGS] = ADJ_F_VALID;
    this.enter(i, NONE, NONE_MS);
    return i;
  }

  private remove(i: number): void {
    this.wheel.cancel(i);
    this.dropWaiting(i);
    this.index.delete(this.addr[i]!, this.ifindexOf(i));
    this.state[i] = FREE;
    this.adj16[this.at16(i) + FLAGS] = 0;
    this.free[this.freeCount++] = i;
    // Somebody may hold the index and has to ask anew before it means another neighbour.
    if (this.handedOut[i] === this.o.generation.value) this.o.generation.bump();
  }

  private enter(i: number, state: number, timeoutMs: number): void {
    this.state[i] = state;
    this.wheel.schedule(i, this.packets.nowMs + timeoutMs);
    this.setReady(i);
  }

  private expire(i: number): void {
    switch (this.state[i]!) {
      case NONE:
        this.remove(i);
        break;
      case SEND:
        if (this.tries[i]! < TRIES) this.request(i, SEND);
        else this.lose(i);
        break;
      case REACHABLE:
        this.enter(i, PROBE, PROBE_MS);
        if (this.isUsed(i)) this.askAgain(i);
        break;
      case DELAY:
        if (this.tries[i]! < TRIES) this.request(i, DELAY);
        else this.lose(i);
        break;
      case PROBE:
        this.lose(i);
        break;
    }
  }

  /** NONE -> SEND. */
  private ask(i: number): void {
    this.tries[i] = 0;
    this.request(i, SEND);
  }

  /** PROBE -> DELAY. */
  private askAgain(i: number): void {
    this.tries[i] = 0;
    this.request(i, DELAY);
  }

  private request(i: number, state: number): void {
    // The first question of DELAY goes to the MAC that we know and disturbs nobody else (RFC 1122 section 2.3.2.1).
    const unicast = state === DELAY && this.tries[i] === 0;
    this.tries[i]! += 1;
    this.enter(i, state, RETRY_MS);
    const ifindex = this.ifindexOf(i);
    const dev = this.netif.devices.byIndex(ifindex)!;
    if (!dev.up) return;
    const addr = this.addr[i]!;
    const mac = this.macAt(i);
    const hi = unicast ? ethernet.macHi(this.adj, mac) : 0xffffffff;
    const lo = unicast ? ethernet.macLo(this.adj, mac) : 0xffff;
    requestArp(this.netif, dev, hi, lo, this.o.sourceFor(ifindex, addr), addr);
  }

  /** Any state -> REACHABLE. */
  private confirm(i: number, hi: number, lo: number): void {
    ethernet.setMac(this.adj, this.macAt(i), hi, lo);
    this.adj16[this.at16(i) + FLAGS]! |= ADJ_F_RESOLVED;
    this.enter(i, REACHABLE, this.o.reachableMs);
    let p = this.head[i]!;
    this.head[i] = NO_PACKET;
    this.totalWaiting -= this.waiting[i]!;
    this.waiting[i] = 0;
    while (p !== NO_PACKET) {
      const next = this.packets.next(p);
      this.packets.release(p);
      this.send(p, i);
      p = next;
    }
  }

  /** -> NONE: it does not answer. */
  private lose(i: number): void {
    this.adj16[this.at16(i) + FLAGS] = ADJ_F_VALID;
    this.enter(i, NONE, NONE_MS);
    this.dropWaiting(i);
  }

  private isUsed(i: number): boolean {
    return (
      this.handedOut[i] === this.o.generation.value ||
      (this.packets.nowMs - this.adj32[this.at32(i) + USED]!) >>> 0 < this.o.reachableMs
    );
  }

  private use(i: number): void {
    this.adj32[this.at32(i) + USED] = this.packets.nowMs;
  }

  /** Tells the native loop whether it may send by this neighbour without us. */
  private setReady(i: number): void {
    const at = this.at16(i) + FLAGS;
    const flags = this.adj16[at]!;
    const dev = this.netif.devices.byIndex(this.ifindexOf(i));
    const ready = (flags & ADJ_F_RESOLVED) !== 0 && this.state[i] !== PROBE && dev !== undefined && dev.up;
    this.adj16[at] = ready ? flags | ADJ_F_READY : flags & ~ADJ_F_READY;
  }

  // ----- packets

  private send(p: number, i: number): void {
    const off = this.packets.push(p, ethernet.HEADER_LEN);
    if (off < 0) {
      this.packets.drop(p, DROP.SEND_FAILED);
      return;
    }
    const b = this.packets.bytes;
    const mac = this.macAt(i);
    // Destination and source stand side by side in both places.
    b.setU32(off, this.adj.u32(mac));
    b.setU32(off + 4, this.adj.u32(mac + 4));
    b.setU32(off + 8, this.adj.u32(mac + 8));
    ethernet.setEtherType(b, off, ethernet.TYPE_IPV4);
    this.netif.transmit(p, this.netif.devices.byIndex(this.ifindexOf(i))!);
  }

  private enqueue(p: number, i: number): void {
    this.packets.hold(p);
    this.packets.setNext(p, NO_PACKET);
    if (this.waiting[i] === 0) this.head[i] = p;
    else this.packets.setNext(this.tail[i]!, p);
    this.tail[i] = p;
    this.waiting[i]! += 1;
    this.totalWaiting += 1;
  }

  private dropWaiting(i: number): void {
    let p = this.head[i]!;
    this.head[i] = NO_PACKET;
    this.totalWaiting -= this.waiting[i]!;
    this.waiting[i] = 0;
    while (p !== NO_PACKET) {
      const next = this.packets.next(p);
      this.packets.release(p);
      // RFC 1122 section 2.3.2.2 and RFC 1812 section 5.2.7.1: the sender of what we forward is told.
      if (this.packets.ifindex(p) !== 0) this.o.unreachable(p);
      this.packets.drop(p, DROP.NEIGH_UNRESOLVED);
      p = next;
    }
  }

  // ----- adjacency entries

  private at16(i: number): number {
    return (i * ADJ.size) >>> 1;
  }
  private at32(i: number): number {
    return (i * ADJ.size) >>> 2;
  }
  private macAt(i: number): number {
    return i * ADJ.size + ADJ.at.dmac;
  }
  private ifindexOf(i: number): number {
    return this.adj32[this.at32(i) + IFINDEX]!;
  }
  private hasMac(i: number, hi: number, lo: number): boolean {
    const mac = this.macAt(i);
    return ethernet.macHi(this.adj, mac) === hi && ethernet.macLo(this.adj, mac) === lo;
  }

  private writeDevice(i: number, dev: Device): void {
    const a = i * ADJ.size;
    this.adj16[(a >>> 1) + PORT] = dev.portId;
    this.adj16[(a >>> 1) + MTU] = dev.mtu;
    ethernet.setMac(this.adj, a + ADJ.at.smac, dev.macHi, dev.macLo);
  }

  private deviceChanged(dev: Device): void {
    for (let i = 1; i < this.top; i++) {
      if (this.state[i] === FREE || this.ifindexOf(i) !== dev.ifindex) continue;
      this.writeDevice(i, dev);
      this.setReady(i);
    }
  }
}
