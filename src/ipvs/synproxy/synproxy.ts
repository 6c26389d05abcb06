/**
 * Syn-proxy (RFC 4987 section 3.8): the real server hears of a client when that has shown a cookie.
 *
 * 1. A SYN to a service with syn-proxy is answered by a cookie (answer.ts). Nothing is remembered.
 * 2. An ACK with a cookie of ours opens a connection; the SYN that the client had sent is made again for its real server.
 *    What the client sends meanwhile is kept.
 * 3. The real server's SYN-ACK: its numbers are not those that the client was told. What they differ by is written into the
 *    connection, so that from here on they are shifted like those of any other, by the native loop too; what was kept follows.
 *
 * An end of the connection is never shown a segment that the other has not sent, but for SYN and ACKs of the handshake and resets.
 */
import { DROP } from '../../core/drops.js';
import { EVENT } from '../../core/events.js';
import {
  CONN_F_HASHED,
  CONN_F_PENDING,
  CONN_F_SYNPROXY,
  DIR_IN,
  DIR_OUT,
  FLOW_ACTION,
} from '../../core/layout.js';
import { NO_PACKET, type Packets } from '../../core/packet.js';
import { TokenBucket } from '../../inet/token-bucket.js';
import * as ethernet from '../../wire/ethernet.js';
import * as ipv4 from '../../wire/ipv4.js';
import * as tcp from '../../wire/tcp.js';
import type { ConnTable } from '../conn/table.js';
import { dropFor, eventFor } from '../counts.js';
import type { Proto } from '../proto/table.js';
import { TCP, tcp as tcpProto } from '../proto/tcp.js';
import type { Services, Svc } from '../service.js';
import type { Stocks } from '../stocks.js';
import { seqDelta, setSeqDelta } from '../xmit/seq.js';
import type { XmitContext } from '../xmit/xmit.js';
import { Answer } from './answer.js';
import type { SynproxyConfig } from './config.js';
import { Cookies, dataOf, mssOf, NO_WSCALE, sackOf, timestampOf, wscaleOf } from './cookie.js';
import { isDead } from './dead.js';
import { Doubts } from './doubts.js';
import { Handshakes } from './handshakes.js';
import { NONE, Offer, offerLen, writeOffer } from './offer.js';
import { Reflexes } from './reflexes.js';
import { refuse } from './refuse.js';
import { makeSegment, segment, sendPlain, sendSegment, sendStamped } from './segment.js';

/** What syn-proxy needs of the load balancer. */
export interface SynproxyHost {
  readonly packets: Packets;
  readonly services: Services;
  readonly table: ConnTable;
  readonly x: XmitContext;
  /** @returns a new connection, or 0: the packet has been dropped then */
  open(p: number, svc: Svc, caddr: number, cport: number, vaddr: number, vport: number): number;
  /** Drops a packet that opens a connection where the service takes no more. Takes ownership when it returns false. */
  letsIn(p: number, svc: Svc, l3: number): boolean;
  forward(p: number, c: number, d: number, proto: Proto, l3: number, l4: number): void;
  enter(c: number, proto: Proto, state: number): void;
  /** Timeout of a state of TCP from now on. */
  restart(c: number, proto: number, state: number): void;
  expire(c: number): void;
  count(c: number, d: number, bytes: number): void;
  /** Drops a packet of a service. */
  dropFor(p: number, svc: Svc | undefined, reason: number): void;
  /** Counts an event of a service. */
  eventFor(svc: Svc, event: number): void;
}

/** RSTs to who sends what shows no cookie, each second; as many to who goes on with it. A flood of such ACKs takes the first only. */
const RESETS_PER_SECOND = 500;
const OPENING = tcp.SYN | tcp.ACK | tcp.RST | tcp.FIN;

export class Synproxy {
  readonly cookies: Cookies;
  readonly answer: Answer;
  readonly handshakes: Handshakes;
  private readonly reflexes: Reflexes;
  private readonly offer = new Offer();
  private readonly doubts = new Doubts();
  private readonly prompt = new TokenBucket(RESETS_PER_SECOND, RESETS_PER_SECOND);
  private readonly resets = new TokenBucket(RESETS_PER_SECOND, RESETS_PER_SECOND);
  /** By state: 1 where a cookie may replace the connection. */
  private readonly reusable = new Uint8Array(tcpProto.states.length);

  constructor(
    private readonly host: SynproxyHost,
    private readonly config: SynproxyConfig,
    secret: Uint32Array,
    stocks: Stocks,
  ) {
    const { packets } = host;
    this.cookies = new Cookies(secret, packets.nowMs, () => this.reflexes.setKeys());
    this.answer = new Answer(packets, this.cookies, config);
    this.handshakes = new Handshakes(packets, config.maxAckSaved, config.packetsHeld);
    this.reflexes = new Reflexes(
      packets.block,
      host.services,
      host.x.inet,
      this.cookies,
      this.answer,
      config,
      stocks,
    );
    this.reflexes.setKeys();
    const { close, timeWait, finWait, closeWait, lastAck } = config.connReuse;
    this.reusable[TCP.CLOSE] = Number(close);
    this.reusable[TCP.TIME_WAIT] = Number(timeWait);
    this.reusable[TCP.FIN_WAIT] = Number(finWait);
    this.reusable[TCP.CLOSE_WAIT] = Number(closeWait);
    this.reusable[TCP.LAST_ACK] = Number(lastAck);
  }

  tick(nowMs: number): void {
    this.cookies.tick(nowMs);
    this.reflexes.tick();
  }

  // ----- packets

  /** A whole SYN to a service with syn-proxy. Takes ownership. */
  syn(p: number, svc: Svc, l3: number, l4: number): void {
    if (!this.isSound(p, svc, l3, l4)) return;
    if (isDead(svc)) this.host.dropFor(p, svc, DROP.SYNPROXY_NO_DEST);
    else {
      this.host.eventFor(svc, EVENT.SYNPROXY_ANSWERED);
      this.answer.send(p, l3, l4);
    }
  }

  /** Another whole packet without a connection to a service with syn-proxy. Takes ownership. */
  stray(p: number, svc: Svc, l3: number, l4: number): void {
    const { host, config } = this;
    const { packets } = host;
    const b = packets.bytes;
    const flags = tcp.flags(b, l4);
    if ((flags & (tcp.SYN | tcp.ACK | tcp.RST)) !== tcp.ACK) {
      host.dropFor(p, svc, DROP.CONN_NO_SYN);
      return;
    }
    if (!this.isSound(p, svc, l3, l4)) return;
    const caddr = ipv4.src(b, l3);
    const vaddr = ipv4.dst(b, l3);
    const isn = (tcp.seq(b, l4) - 1) >>> 0;
    const cookie = (tcp.ack(b, l4) - 1) >>> 0;
    const data = this.cookies.check(caddr, vaddr, b.u32(l4), isn, cookie);
    if (data < 0) {
      if (this.mayRefuse(caddr, b.u32(l4), cookie)) {
        host.eventFor(svc, EVENT.SYNPROXY_RESET);
        refuse(host.x, p);
      }
      host.dropFor(p, svc, DROP.SYNPROXY_BAD_ACK);
      return;
    }
    if (config.deferRsSyn && !carries(packets, p, l4)) {
      host.dropFor(p, svc, DROP.SYNPROXY_NULL_ACK);
      return;
    }
    if (!host.letsIn(p, svc, l3)) return;
    const e = this.handshakes.open();
    if (e === 0) {
      host.dropFor(p, svc, DROP.SYNPROXY_FULL);
      return;
    }
    const c = host.open(p, svc, caddr, tcp.srcPort(b, l4), vaddr, tcp.dstPort(b, l4));
    if (c === 0) {
      this.handshakes.close(e);
      return;
    }
    // The mode has taken the number of this packet for the first.
    host.table.records.setIsnIn(c, isn);
    this.begin(p, c, e, isn, cookie, data, l3, l4);
  }

  /**
   * A whole packet of a connection. Takes ownership when it returns true; else it is a packet like any other.
   * @param d its direction
   */
  handles(p: number, c: number, d: number, l3: number, l4: number): boolean {
    const { host } = this;
    const { packets } = host;
    const r = host.table.records;
    const flags = r.flags(c);
    if ((flags & CONN_F_SYNPROXY) === 0) return false;
    const pending = (flags & CONN_F_PENDING) !== 0;
    if (d === DIR_IN && (pending || this.reusable[r.state(c)] === 1)) {
      const svc = host.services.destAt(r.dest(c))?.svc;
      const kind = tcp.flags(packets.bytes, l4) & OPENING;
      if (kind === tcp.SYN && svc?.synproxy === true) {
        this.syn(p, svc, l3, l4);
        return true;
      }
      if (svc?.synproxy === true && this.isOther(p, c, l3, l4)) {
        packets.countEvent(EVENT.SYNPROXY_REUSED);
        // The client has forgotten its first attempt: a reset of that one is none of its business.
        if (pending) this.dropKept(c, r.proxy(c));
        host.expire(c);
        this.stray(p, svc, l3, l4);
        return true;
      }
    }
    if (!pending) return false;
    if (d === DIR_IN) this.fromClient(p, c, l3, l4);
    else this.fromServer(p, c, l3, l4);
    return true;
  }

  /** True for a service whose clients open connections by cookie: a SYN over one of theirs does not. */
  isProxied(c: number): boolean {
    const { host } = this;
    const r = host.table.records;
    if ((r.flags(c) & CONN_F_SYNPROXY) === 0) return false;
    return host.services.destAt(r.dest(c))?.svc.synproxy === true;
  }

  // ----- connections

  /** The time of a connection is up. @returns true when its real server has been asked again */
  asksAgain(c: number): boolean {
    const { host, handshakes } = this;
    const r = host.table.records;
    const wanted = CONN_F_PENDING | CONN_F_HASHED;
    if ((r.flags(c) & wanted) !== wanted || host.x.isCut(c, DIR_OUT)) return false;
    const e = r.proxy(c);
    if (handshakes.tries[e]! >= this.config.rsSynMaxRetry) return false;
    handshakes.tries[e]! += 1;
    host.packets.countEvent(EVENT.SYNPROXY_RETRIED);
    r.setLastSeenMs(c, DIR_IN, host.packets.nowMs);
    host.restart(c, ipv4.PROTO_TCP, TCP.SYN_SENT);
    this.sendSyn(c, e);
    return true;
  }

  /** A connection ends: so does its handshake, and the client is told. */
  ended(c: number): void {
    const r = this.host.table.records;
    if ((r.flags(c) & CONN_F_PENDING) === 0) return;
    const e = r.proxy(c);
    segment.flags = tcp.RST | tcp.ACK;
    segment.seq = (this.handshakes.cookie[e]! + 1) >>> 0;
    segment.ack = this.acknowledged(c, e);
    segment.window = 0;
    if (!this.host.x.isCut(c, DIR_OUT)) sendPlain(this.host.x, c, DIR_OUT);
    this.dropKept(c, e);
  }

  /** Another state: where a cookie may replace the connection, the client's packets are for TypeScript. */
  entered(c: number, state: number): void {
    const r = this.host.table.records;
    if ((r.flags(c) & CONN_F_SYNPROXY) !== 0)
      r.setAction(c, DIR_IN, FLOW_ACTION.EXCEPTION, this.reusable[state] === 1);
  }

  // ----- step 2

  /** Asks the real server of a new connection. Takes ownership of the client's packet. */
  private begin(
    p: number,
    c: number,
    e: number,
    isn: number,
    cookie: number,
    data: number,
    l3: number,
    l4: number,
  ): void {
    const { host, handshakes: h } = this;
    const r = host.table.records;
    eventFor(host.x, c, EVENT.SYNPROXY_OPENED);
    h.isn[e] = isn;
    h.cookie[e] = cookie;
    h.data[e] = data;
    r.setProxy(c, e);
    r.setFlags(c, r.flags(c) | CONN_F_SYNPROXY | CONN_F_PENDING);
    host.enter(c, tcpProto, TCP.SYN_SENT);
    r.setAction(c, DIR_IN, FLOW_ACTION.EXCEPTION, true);
    r.setAction(c, DIR_OUT, FLOW_ACTION.EXCEPTION, true);
    this.note(p, e, l4);
    this.sendSyn(c, e);
    this.keep(p, c, e, l3, l4);
  }

  /** What the client says of itself. */
  private note(p: number, e: number, l4: number): void {
    const { handshakes: h, offer } = this;
    const { packets } = this.host;
    const b = packets.bytes;
    h.window[e] = tcp.window(b, l4);
    if (!timestampOf(h.data[e]!)) return;
    offer.read(b, l4);
    if (!offer.timestamp) return;
    h.tsval[e] = offer.tsval;
    h.tsecr[e] = offer.tsecr;
  }

  /** Keeps what takes place in the sequence of the client; a bare ACK can be made again. Takes ownership. */
  private keep(p: number, c: number, e: number, l3: number, l4: number): void {
    const { host } = this;
    const { packets } = host;
    if (carries(packets, p, l4)) {
      this.handshakes.keep(e, p);
      return;
    }
    host.count(c, DIR_IN, ipv4.totalLen(packets.bytes, l3));
    packets.drop(p, DROP.SYNPROXY_ACK);
  }

  /** The client's SYN again, as the cookie tells of it. */
  private sendSyn(c: number, e: number): void {
    const { host, handshakes: h } = this;
    const { packets } = host;
    const data = h.data[e]!;
    const wscale = wscaleOf(data) === NO_WSCALE ? NONE : wscaleOf(data);
    const sack = sackOf(data);
    const timestamp = timestampOf(data);
    segment.flags = tcp.SYN;
    segment.seq = h.isn[e]!;
    segment.ack = 0;
    // The window of a SYN is never scaled (RFC 7323 section 2.2).
    segment.window = wscale === NONE ? h.window[e]! : Math.min(h.window[e]! << wscale, 0xffff);
    const p = makeSegment(host.x, c, DIR_IN, offerLen(wscale, sack, timestamp));
    if (p === NO_PACKET) return;
    const at = packets.l4(p) + tcp.HEADER_LEN;
    writeOffer(packets.bytes, at, mssOf(data), wscale, sack, timestamp, h.tsval[e]!, 0);
    sendSegment(host.x, p, c, DIR_IN);
  }

  private fromClient(p: number, c: number, l3: number, l4: number): void {
    const { host, handshakes: h } = this;
    const { packets } = host;
    const b = packets.bytes;
    const e = host.table.records.proxy(c);
    const flags = tcp.flags(b, l4);
    const ahead = (tcp.seq(b, l4) - h.isn[e]! - 1) | 0;
    const ours = ahead >= 0 && ahead <= 0xffff;
    if ((flags & tcp.RST) !== 0 && ours) {
      this.dropKept(c, e);
      host.forward(p, c, DIR_IN, tcpProto, l3, l4);
      return;
    }
    const acks =
      (flags & (tcp.SYN | tcp.RST | tcp.ACK)) === tcp.ACK && tcp.ack(b, l4) === (h.cookie[e]! + 1) >>> 0;
    // One before the first: a keep-alive or window probe (RFC 9293 section 3.8.4).
    if (!acks || !(ours || ahead === -1)) {
      packets.drop(p, DROP.SYNPROXY_STRAY);
      return;
    }
    if (!this.isSound(p, undefined, l3, l4)) return;
    this.note(p, e, l4);
    if (ahead < 0) packets.drop(p, DROP.SYNPROXY_ACK);
    else this.keep(p, c, e, l3, l4);
  }

  // ----- step 3

  private fromServer(p: number, c: number, l3: number, l4: number): void {
    const { host, handshakes: h } = this;
    const { packets } = host;
    const b = packets.bytes;
    const r = host.table.records;
    const e = r.proxy(c);
    const flags = tcp.flags(b, l4);
    const acks = (flags & tcp.ACK) !== 0;
    // RFC 9293 section 3.10.7.3: in SYN-SENT.
    if (acks && tcp.ack(b, l4) !== this.acknowledged(c, e)) {
      if ((flags & tcp.RST) === 0) {
        segment.flags = tcp.RST;
        segment.seq = (tcp.ack(b, l4) - seqDelta(r, c, DIR_IN)) >>> 0;
        segment.ack = segment.window = 0;
        sendPlain(host.x, c, DIR_IN);
      }
      dropFor(host.x, p, c, DROP.SYNPROXY_STRAY);
      return;
    }
    if (acks && (flags & tcp.RST) !== 0) {
      eventFor(host.x, c, EVENT.SYNPROXY_REFUSED);
      // To the client it is the next that it expects.
      setSeqDelta(r, c, DIR_OUT, (h.cookie[e]! + 1 - tcp.seq(b, l4)) | 0);
      this.dropKept(c, e);
      host.forward(p, c, DIR_OUT, tcpProto, l3, l4);
      host.enter(c, tcpProto, TCP.CLOSE);
      return;
    }
    if ((flags & OPENING) !== (tcp.SYN | tcp.ACK)) {
      dropFor(host.x, p, c, DROP.SYNPROXY_STRAY);
      return;
    }
    if (!this.isSound(p, undefined, l3, l4)) return;
    this.complete(p, c, e, l3, l4);
  }

  /** The real server has answered: the two ends are joined. Takes ownership of its SYN-ACK. */
  private complete(p: number, c: number, e: number, l3: number, l4: number): void {
    const { host, handshakes: h, config } = this;
    const { packets } = host;
    const b = packets.bytes;
    const r = host.table.records;
    const isn = tcp.seq(b, l4);
    const window = tcp.window(b, l4);
    host.count(c, DIR_OUT, ipv4.totalLen(b, l3));
    tcpProto.observe!(r, c, b, l4, packets.end(p) - l4, packets.nowMs);
    r.setLastSeenMs(c, DIR_OUT, packets.nowMs);
    setSeqDelta(r, c, DIR_OUT, (h.cookie[e]! - isn) | 0);
    const scale = this.joinOptions(b, c, e, l4);
    packets.drop(p, DROP.SYNPROXY_SYNACK);
    eventFor(host.x, c, EVENT.SYNPROXY_JOINED);

    r.setFlags(c, r.flags(c) & ~CONN_F_PENDING);
    r.setProxy(c, h.cookie[e]!);
    r.setAction(c, DIR_OUT, FLOW_ACTION.EXCEPTION, false);
    host.enter(c, tcpProto, TCP.ESTABLISHED);
    segment.flags = tcp.ACK;
    const stamped = timestampOf(h.data[e]!) && this.offer.timestamp;
    if (config.closeClientWindow && !config.deferRsSyn) {
      segment.seq = (isn + 1) >>> 0;
      segment.ack = this.acknowledged(c, e);
      segment.window = window >>> scale;
      if (stamped) sendStamped(host.x, c, DIR_OUT, this.offer.tsval, h.tsval[e]!);
      else sendPlain(host.x, c, DIR_OUT);
    }
    let q = h.take(e);
    if (q === NO_PACKET) {
      segment.seq = (h.isn[e]! + 1) >>> 0;
      segment.ack = (h.cookie[e]! + 1) >>> 0;
      segment.window = h.window[e]!;
      if (stamped) sendStamped(host.x, c, DIR_IN, h.tsval[e]!, h.tsecr[e]!);
      else sendPlain(host.x, c, DIR_IN);
    }
    for (; q !== NO_PACKET; q = h.take(e)) host.forward(q, c, DIR_IN, tcpProto, packets.l3(q), packets.l4(q));
    h.close(e);
  }

  /**
   * What the ends were told of each other's windows and clocks and what is true: the difference goes into the connection.
   * @returns the scale of the real server's windows
   */
  private joinOptions(b: Parameters<Offer['read']>[0], c: number, e: number, l4: number): number {
    const { host, handshakes: h, offer, config } = this;
    const r = host.table.records;
    const data = h.data[e]!;
    offer.read(b, l4);
    const wscale = wscaleOf(data);
    const scales = wscale !== NO_WSCALE && offer.wscale !== NONE;
    if (wscale !== NO_WSCALE) {
      // A real server that scales nothing takes the client's windows as they stand.
      r.setWshift(c, DIR_IN, scales ? 0 : wscale);
      r.setWshift(c, DIR_OUT, (scales ? offer.wscale : 0) - config.wscale);
    }
    if (timestampOf(data) && offer.timestamp) {
      r.setTsDelta(c, (h.tsecr[e]! - offer.tsval) | 0);
      r.setAction(c, DIR_IN, FLOW_ACTION.TIMESTAMP, true);
      r.setAction(c, DIR_OUT, FLOW_ACTION.TIMESTAMP, true);
    }
    return scales ? offer.wscale : 0;
  }

  /** What the real server acknowledges of a client that has sent nothing but a SYN, as it counts. */
  private acknowledged(c: number, e: number): number {
    return (this.handshakes.isn[e]! + 1 + seqDelta(this.host.table.records, c, DIR_IN)) >>> 0;
  }

  /** The handshake is over, in vain. */
  private dropKept(c: number, e: number): void {
    const { host, handshakes: h } = this;
    const { packets } = host;
    const r = host.table.records;
    for (let q = h.take(e); q !== NO_PACKET; q = h.take(e)) packets.drop(q, DROP.SYNPROXY_UNANSWERED);
    r.setFlags(c, r.flags(c) & ~CONN_F_PENDING);
    r.setProxy(c, h.cookie[e]!);
    h.close(e);
  }

  // -----

  /**
   * True when who sends an ACK without a valid cookie is to be reset: at once when no cookie of ours can be what it acknowledges,
   * else when it has gone on for some time.
   */
  private mayRefuse(caddr: number, ports: number, cookie: number): boolean {
    const now = this.host.packets.nowMs;
    if (!this.answer.canSay(dataOf(cookie))) return this.prompt.take(now);
    return this.doubts.isOld(caddr, ports, cookie, now) && this.resets.take(now);
  }

  /** True for an ACK with a cookie, of another connection attempt than the one that `c` is of. */
  private isOther(p: number, c: number, l3: number, l4: number): boolean {
    const { host } = this;
    const { packets } = host;
    const b = packets.bytes;
    const r = host.table.records;
    if ((tcp.flags(b, l4) & (tcp.SYN | tcp.ACK | tcp.RST)) !== tcp.ACK) return false;
    const cookie = (tcp.ack(b, l4) - 1) >>> 0;
    const pending = (r.flags(c) & CONN_F_PENDING) !== 0;
    if (cookie === (pending ? this.handshakes.cookie[r.proxy(c)]! : r.proxy(c))) return false;
    const isn = (tcp.seq(b, l4) - 1) >>> 0;
    return this.cookies.check(ipv4.src(b, l3), ipv4.dst(b, l3), b.u32(l4), isn, cookie) >= 0;
  }

  /** Drops what we must not act upon (for `svc`). Takes ownership when it returns false. */
  private isSound(p: number, svc: Svc | undefined, l3: number, l4: number): boolean {
    const { host } = this;
    const { packets } = host;
    const b = packets.bytes;
    if (ipv4.isFragment(b, l3)) host.dropFor(p, svc, DROP.SYNPROXY_FRAGMENT);
    // What we have made ourselves has no frame around it.
    else if (packets.ifindex(p) === 0 || ethernet.isGroup(b, ethernet.src(l3 - ethernet.HEADER_LEN)))
      host.dropFor(p, svc, DROP.SYNPROXY_STRAY);
    else if (!tcp.checksumValid(b, l4, packets.end(p) - l4, ipv4.src(b, l3), ipv4.dst(b, l3)))
      host.dropFor(p, svc, DROP.SYNPROXY_BAD_SUM);
    else return true;
    return false;
  }
}

/** True for a segment with data or FIN. */
const carries = (packets: Packets, p: number, l4: number): boolean =>
  tcp.segmentLen(packets.bytes, l4, packets.end(p) - l4) > 0;
