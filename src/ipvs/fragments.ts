/**
 * Fragments of datagrams of connections, RFC 791 section 2.3. Only the first one has the ports, hence the others wait for it;
 * what was decided for it holds for them: the connection that it belongs to, the lcore that it went to, or nothing. Datagrams
 * are not put together: each fragment goes on by itself, as it came.
 *
 * The NIC sees no ports either and gives fragments of a datagram to any lcore, so they meet on one that is computed from
 * what all of them carry. When the connection lives on another lcore, they go there from it, the first one ahead of the
 * others: it never waits for anything there.
 *
 * Where we put another source in their place, identifications of different senders meet at the receiver, which would mix their
 * fragments: such datagrams get an identification of ours (RFC 6864 section 5.3.1).
 */
import { DROP } from '../core/drops.js';
import { NO_PACKET, type Packets } from '../core/packet.js';
import { ACCEPT, STOLEN } from '../inet/api.js';
import { type FragmentLimits, FragmentTable, NONE } from '../inet/fragments.js';
import type { Bytes } from '../core/bytes.js';
import * as ipv4 from '../wire/ipv4.js';
import type { Proto } from './proto/table.js';
import type { Steering } from './steering.js';

type Verdict = typeof ACCEPT | typeof STOLEN;

// What is known of a datagram.
/** Its first fragment has not come. */
const WAITS = 0;
/** Belongs to a flow: connection * 2 + direction. */
const FLOW = 1;
/** Went to an lcore. */
const LCORE = 2;
/** None of ours: accepted. */
const PASSED = 3;
/** Its first fragment was dropped. */
const LOST = 4;

/** Nobody has taken the first fragment. */
export const NO_FLOW = -1;

/** What the tracker needs of the load balancer. */
export interface FragmentHost {
  readonly packets: Packets;
  /** The datagram may belong to a connection, or is for us. */
  concerns(l3: number): boolean;
  /** Arena offset of what a first fragment has for ports, 0 = nothing. */
  portsAt(p: number, proto: Proto): number;
  /** What a datagram gets, of which the first fragment is here. Takes ownership unless it returns ACCEPT. */
  whole(p: number, proto: Proto, l3: number, ports: number): Verdict;
  readonly steering: Steering;
  /** What `whole` has done: the flow that it sent the packet by, or NO_FLOW. */
  taken: number;
  /** Identification for the datagram that `whole` gets, should its source change. */
  fragmentId: number;
  /**
   * Sends a later fragment by flow `ref`.
   * @param id as `fragmentId`
   * @returns false when there is no such flow with these ports any more
   */
  later(p: number, ref: number, ports: number, id: number): boolean;
  /** An lcore that has the flow of a packet, 0 = none. */
  ownerOf(l3: number, ports: number): number;
  /** Lets the stack go on with a packet that was kept. Takes ownership. */
  proceed(p: number): void;
}

export interface FragmentsOptions {
  limits: FragmentLimits;
  lcore: number;
  lcores: number;
}

export class Fragments {
  readonly table: FragmentTable;
  private readonly packets: Packets;
  private readonly lcore: number;
  private readonly lcores: number;
  /** Last identification of ours; each lcore has its own, as local addresses are shared. */
  private lastId: number;
  /** By slot: what is known, the flow or lcore, the ports of the flow side by side, the identification of ours. */
  private readonly known: Uint8Array;
  private readonly target: Uint32Array;
  private readonly ports: Uint32Array;
  private readonly ids: Uint16Array;

  constructor(
    private readonly host: FragmentHost,
    o: FragmentsOptions,
  ) {
    this.packets = host.packets;
    this.lcore = o.lcore;
    this.lcores = o.lcores;
    this.table = new FragmentTable({ packets: host.packets, limits: o.limits });
    this.known = new Uint8Array(o.limits.fragmentEntries);
    this.target = new Uint32Array(o.limits.fragmentEntries);
    this.ports = new Uint32Array(o.limits.fragmentEntries);
    this.ids = new Uint16Array(o.limits.fragmentEntries);
    this.lastId = o.lcore - 1 + o.lcores * Math.floor((Math.random() * 65536) / o.lcores);
  }

  /**
   * A fragment that was sent to us. Takes ownership unless it returns ACCEPT.
   * @param proto undefined for a protocol without ports
   */
  receive(p: number, proto: Proto | undefined, l3: number): Verdict {
    const { packets, host, table } = this;
    const b = packets.bytes;
    if (!host.concerns(l3)) return ACCEPT;
    const meeting = this.lcores === 1 ? this.lcore : meetingOf(b, l3, this.lcores);
    if (meeting !== this.lcore && !packets.isRedirected(p)) {
      host.steering.pass(p, meeting);
      return STOLEN;
    }
    if (proto === undefined) return ACCEPT;
    const offset = ipv4.fragOffset(b, l3);
    // RFC 1858, RFC 3128: nothing may be written over a header that has been judged, and none may come in pieces.
    if (offset === 0 ? ipv4.dataLen(b, l3) < proto.headerLen : offset < proto.headerLen)
      return this.drop(p, DROP.IP_FRAGMENT);
    let s = table.find(b, l3);
    if (s === NONE) {
      // The lcore of the connection gets the first fragment before any other.
      if (offset !== 0 && meeting !== this.lcore) return this.drop(p, DROP.IP_FRAG_LOST);
      s = table.open(b, l3);
      this.known[s] = WAITS;
    }
    if (offset === 0) return this.first(p, s, proto, l3, meeting === this.lcore);
    if (this.known[s] === WAITS) {
      table.keep(s, p, table.lastOf(s));
      return STOLEN;
    }
    if (this.known[s] === PASSED) return ACCEPT;
    this.follow(p, s);
    return STOLEN;
  }

  tick(nowMs: number): void {
    this.table.tick(nowMs);
  }

  /** The first fragment decides. Should the identification come again, the new one counts. */
  private first(p: number, s: number, proto: Proto, l3: number, meet: boolean): Verdict {
    const { host, packets } = this;
    const at = host.portsAt(p, proto);
    const ports = at === 0 ? 0 : packets.bytes.u32(at);
    // A repeated one must not take its datagram apart.
    if (this.known[s] !== FLOW || this.ports[s] !== ports) this.ids[s] = this.nextId();
    this.ports[s] = ports;
    host.taken = NO_FLOW;
    host.steering.passedTo = meet && at !== 0 && this.lcores > 1 ? host.ownerOf(l3, at) : 0;
    let verdict: Verdict = at === 0 ? ACCEPT : STOLEN;
    if (host.steering.passedTo !== 0) host.steering.pass(p, host.steering.passedTo);
    else if (at !== 0) {
      host.fragmentId = this.ids[s]!;
      host.steering.mayPassAgain = meet;
      verdict = host.whole(p, proto, l3, at);
      host.steering.mayPassAgain = false;
    }
    if (verdict === ACCEPT) this.known[s] = PASSED;
    else if (host.steering.passedTo !== 0) this.known[s] = LCORE;
    else this.known[s] = host.taken === NO_FLOW ? LOST : FLOW;
    this.target[s] = host.steering.passedTo !== 0 ? host.steering.passedTo : host.taken;
    for (let q = this.table.takeAll(s); q !== NO_PACKET;) {
      const next = packets.next(q);
      if (this.known[s] === PASSED) host.proceed(q);
      else this.follow(q, s);
      q = next;
    }
    return verdict;
  }

  /** A later fragment goes where the first one went. Takes ownership. */
  private follow(p: number, s: number): void {
    const { host } = this;
    if (this.known[s] === LCORE) host.steering.pass(p, this.target[s]!);
    else if (this.known[s] === LOST || !host.later(p, this.target[s]!, this.ports[s]!, this.ids[s]!))
      this.packets.drop(p, DROP.IP_FRAG_LOST);
  }

  private nextId(): number {
    this.lastId += this.lcores;
    if (this.lastId > 0xffff) this.lastId = this.lcore - 1;
    return this.lastId;
  }

  private drop(p: number, reason: number): typeof STOLEN {
    this.packets.drop(p, reason);
    return STOLEN;
  }
}

/** The lcore, 1 to `lcores`, on which the fragments of a datagram meet. */
export function meetingOf(b: Bytes, l3: number, lcores: number): number {
  let h = Math.imul(ipv4.src(b, l3), 0xcc9e2d51) ^ ipv4.dst(b, l3);
  h = Math.imul(h ^ (h >>> 15), 0x85ebca6b) ^ ((ipv4.id(b, l3) << 8) | ipv4.proto(b, l3));
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (((h ^ (h >>> 16)) >>> 0) % lcores) + 1;
}
