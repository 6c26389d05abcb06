/**
 * The answer to a SYN: the packet itself, turned round into a SYN-ACK with a cookie. Nothing is remembered. The native loop
 * does the same with SYNs that no flow covers (`native/src/syn_answer.h`), to the byte.
 */
import type { Packets } from '../../core/packet.js';
import * as ethernet from '../../wire/ethernet.js';
import * as ipv4 from '../../wire/ipv4.js';
import * as tcp from '../../wire/tcp.js';
import type { SynproxyConfig } from './config.js';
import { type Cookies, NO_WSCALE, packData, sackOf, timestampOf, wscaleOf } from './cookie.js';
import { NONE, Offer, offerLen, writeOffer } from './offer.js';

/** A whole SYN, for services that ask for it, is turned into our answer; what arrived is gone. */
export class Answer {
  /** What we offer every client; its own offer decides besides. */
  readonly window: number;
  private readonly offer = new Offer();

  constructor(
    private readonly packets: Packets,
    private readonly cookies: Cookies,
    private readonly config: SynproxyConfig,
  ) {
    // What is kept of a client that sends at once.
    const room = Math.min(config.maxAckSaved * config.mss, 0xffff);
    this.window = config.closeClientWindow && !config.deferRsSyn ? 0 : room;
  }

  /** False for data of cookies that `send` never makes. */
  canSay(data: number): boolean {
    const { config } = this;
    return (
      (config.wscale > 0 || wscaleOf(data) === NO_WSCALE) &&
      (config.sack || !sackOf(data)) &&
      (config.timestamp || !timestampOf(data))
    );
  }

  /** @param p a SYN whose checksum is right; it leaves where it came from. Takes ownership */
  send(p: number, l3: number, l4: number): void {
    const { packets, offer, config, cookies } = this;
    const b = packets.bytes;
    const caddr = ipv4.src(b, l3);
    const vaddr = ipv4.dst(b, l3);
    const ports = b.u32(l4);
    const isn = tcp.seq(b, l4);
    offer.read(b, l4);
    const mss = Math.min(offer.mss, config.mss);
    const wscale = config.wscale > 0 && offer.wscale !== NONE ? config.wscale : NONE;
    const sack = config.sack && offer.sack;
    const timestamp = config.timestamp && offer.timestamp;
    const data = packData(offer.mss, wscale === NONE ? NO_WSCALE : offer.wscale, sack, timestamp);
    const cookie = cookies.make(caddr, vaddr, ports, isn, data);

    // An answer has no IP options: it begins where the datagram did, and may be shorter or longer.
    const to = l3 + ipv4.HEADER_LEN;
    const header = tcp.HEADER_LEN + offerLen(wscale, sack, timestamp);
    packets.setLen(p, ipv4.HEADER_LEN + header);
    ipv4.emit(b, l3, 0, ipv4.HEADER_LEN + header, 0, ipv4.DF, config.ttl, ipv4.PROTO_TCP, vaddr, caddr);
    tcp.emit(b, to, ports & 0xffff, ports >>> 16, cookie, (isn + 1) >>> 0, tcp.SYN | tcp.ACK, this.window);
    tcp.setHeaderLen(b, to, header);
    const now = Math.floor(packets.nowMs) >>> 0;
    writeOffer(b, to + tcp.HEADER_LEN, mss, wscale, sack, timestamp, now, offer.tsval);
    tcp.fillChecksum(b, to, header, vaddr, caddr);
    this.turn(p);
  }

  /** Sends a datagram back to the station that it came from. */
  private turn(p: number): void {
    const { packets } = this;
    const l2 = packets.push(p, ethernet.HEADER_LEN);
    ethernet.swap(packets.bytes, l2);
    packets.transmit(p, packets.port(p));
  }
}
