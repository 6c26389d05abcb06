/**
 * The short way of an established packet: what the stack does with nearly all of them, in one piece. A packet of a connection
 * whose tuple poll() has found, with nothing unusual about it, that moves the connection to no other state and goes to a
 * neighbour known since the last change of routes and addresses. Everything else takes the way through `netif` and `inet`,
 * and nothing has been changed then.
 *
 * It is what `native/src/engine.cc` does to the same packets: the same conditions, the same effects, driven by the same
 * tables (`FlowRules`). The way through the stack is what both are measured against (test/native/differential.test.ts).
 *
 * Written for the compiler: one closure made once, so that typed arrays and their addresses are constants; header words
 * loaded once, in the byte order of the machine, tested and compared as they are; every offset forced to 32 bits, since a
 * number that might be larger is computed as a double. Measured, everything included: a packet through the stack 284 ns, this way 108.
 */
import {
  ADJ,
  ADJ_F_READY,
  CONN4,
  DEST_F_EXCEPTION,
  DIR4,
  DIR_OUT,
  FLOW_ACTION,
  MBUF,
  PKT,
  PORT_CAP,
} from '../core/layout.js';
import type { FlowRules } from '../core/native.js';
import type { InetStack } from '../inet/inet.js';
import type { Netif } from '../netif/netif.js';
import * as ethernet from '../wire/ethernet.js';
import * as ipv4 from '../wire/ipv4.js';
import * as tcp from '../wire/tcp.js';
import { find } from '../wire/tcp-options.js';
import * as udp from '../wire/udp.js';
import { flowRules, NONE } from './flow-rules.js';
import type { Ipvs } from './ipvs.js';
import { PROTO_BY_NUMBER } from './proto/index.js';
import { TABLE_IN, TABLE_OUT } from './proto/table.js';
import { shiftNumbers } from './xmit/seq.js';

/** Lets the packets that a stack receives take the short way. */
export function takeShortWay(netif: Netif, inet: InetStack, ipvs: Ipvs): void {
  netif.shortcut = shortWay(netif, inet, ipvs, flowRules(0, ipvs.x.xmitTtl, undefined, ipvs.x.tcp.ackStorm));
}

// Words of an mbuf.
const DATA_OFF = MBUF.dataOff >>> 1;
const PKT_LEN = MBUF.pktLen >>> 2;
const PORT = MBUF.port >>> 1;
const HINT = (MBUF.priv + PKT.at.hint) >>> 2;

// Words of a direction, in 32 bits unless said.
const D = DIR4.at;
const SADDR = D.saddr >>> 2;
const DADDR = D.daddr >>> 2;
const PORTS = D.sport >>> 2;
/** Protocol, state (8 bits each) and actions (16) side by side. */
const KEY = D.proto >>> 2;
const NEW_SADDR = D.newSaddr >>> 2;
const NEW_DADDR = D.newDaddr >>> 2;
const NEW_PORTS = D.newSport >>> 2;
/** IP delta in the low half, L4 delta in the high one. */
const DELTAS = D.ipDelta >>> 2;
/** Adjacency in the low half, MTU in the high one. */
const ADJACENCY = D.adj >>> 2;
const ADJ_GEN = D.adjGen >>> 2;
const LAST_SEEN = D.lastSeenMs >>> 2;
/** Destination in the low half, then forwarding mode and address family (8 bits each). */
const DEST = D.dest >>> 2;

const CONN_WORDS = CONN4.size >>> 2;
const DIR_WORDS = (CONN4.at.out - CONN4.at.in) >>> 2;

// Words of an adjacency.
const ADJ_WORDS = ADJ.size >>> 2;
/** Flags in the low half, port in the high one. */
const ADJ_FLAGS = ADJ.at.flags >>> 2;
/** MTU in the low half, VLAN in the high one. */
const ADJ_VLAN = ADJ.at.mtu >>> 2;
/** Destination and source MAC address side by side, three words. */
const ADJ_MACS = ADJ.at.dmac >>> 2;
const ADJ_USED = ADJ.at.usedMs >>> 2;

const SEQ_DELTA = D.seqDelta >>> 2;

/** Bits of the key. */
const SEQ = FLOW_ACTION.SEQ << 16;
const ACK = FLOW_ACTION.ACK << 16;
/** The key without its state and what is done to numbers. */
const KEY_MASK = 0xffff00ff & ~(SEQ | ACK);
const REWRITE = (FLOW_ACTION.REWRITE_SRC | FLOW_ACTION.REWRITE_DST) << 16;
const MAC_ONLY = FLOW_ACTION.MAC_ONLY << 16;
const ENCAP_IPIP = FLOW_ACTION.ENCAP_IPIP << 16;

const L3 = ethernet.HEADER_LEN;
const L4 = L3 + ipv4.HEADER_LEN;
/** Ethertype, and version with header length, as they stand in memory. */
const ETHER_IPV4 = 0x0008;
const VER_IHL = 0x45;
/** MF and the offset, in the word of identification and fragment field. */
const FRAGMENT = 0xff3f0000 | 0;
const TCP_CHECKSUM = 16;
const UDP_CHECKSUM = 6;
/** No options but timestamps: NOP, NOP, kind 8, length 10, as they stand in memory (RFC 7323, appendix A). */
const TIMESTAMPS = 0x0a080101;
const TIMESTAMPS_LEN = 12;
/** TTL - 1 in a checksum delta: the word of TTL and protocol falls by 0x100. */
const TTL_DELTA = 0xfeff;

const STATES = 16;
const MODES = 8;
const FLAGS = 256;
/** In place of the table of a mode that is not for us: one in which nothing is quiet. */
const NO_TABLE = 3;

/**
 * By state table, TCP flags and state: 1 when such a packet leaves the connection as it is.
 * Index `(table * FLAGS + flags) * STATES + state`.
 */
function quiet(rules: FlowRules, number: number): Uint8Array {
  const out = new Uint8Array((NO_TABLE + 1) * FLAGS * STATES);
  const proto = rules.protos.find((x) => x.number === number);
  if (proto === undefined || proto.states > STATES) return out;
  for (let table = 0; table < NO_TABLE; table++)
    for (let flags = 0; flags < FLAGS; flags++)
      for (let state = 0; state < proto.states; state++) {
        const event = proto.eventOf[flags]!;
        const row = (table * proto.events + event) * proto.states;
        const moves = event !== NONE && proto.next[row + state] !== state;
        // What is slow from the client is so from anybody here: SYNs have options that may have to change.
        if (!moves && proto.slow[TABLE_IN * FLAGS + flags] === 0)
          out[(table * FLAGS + flags) * STATES + state] = 1;
      }
  return out;
}

const swap16 = (v: number): number => ((v & 0xff) << 8) | ((v >>> 8) & 0xff);
const swap32 = (v: number): number =>
  (((v & 0xff) << 24) | ((v & 0xff00) << 8) | ((v >>> 8) & 0xff00) | (v >>> 24)) >>> 0;
const fold = (v: number): number => {
  v = (v & 0xffff) + (v >>> 16);
  return ((v & 0xffff) + (v >>> 16)) & 0xffff;
};

/**
 * @returns takes a received frame and returns true when it has sent it; false: it is untouched
 */
function shortWay(netif: Netif, inet: InetStack, ipvs: Ipvs, rules: FlowRules): (p: number) => boolean {
  const { packets, stats, guard } = ipvs;
  const { records } = ipvs.table;
  const { portMacs } = netif;
  const { xmitTtl, ackStorm } = rules;
  const { bufferOffset } = packets;
  const generation = inet.generationCell;
  const arena = packets.bytes.buffer;
  const frames = new DataView(arena);
  const pkt16 = new Uint16Array(arena, 0, arena.byteLength >>> 1);
  const pkt32 = new Int32Array(arena, 0, arena.byteLength >>> 2);
  const rec32 = new Int32Array(records.buffer);
  const adj32 = new Int32Array(inet.adjacencies);
  const bytes = packets.bytes;
  const quietTcp = quiet(rules, ipv4.PROTO_TCP);
  const quietUdp = quiet(rules, ipv4.PROTO_UDP);
  const tcpProto = PROTO_BY_NUMBER[ipv4.PROTO_TCP]!;
  /** By direction and forwarding mode; NO_TABLE where a mode is not for us. */
  const tables = new Uint8Array(2 * MODES).fill(TABLE_OUT);
  /** By direction and forwarding mode; see FlowRules. */
  const refusedOption = new Uint8Array(2 * MODES);
  refusedOption.set(rules.refusedOption);
  rules.tableIn.forEach((table, fwd) => (tables[fwd] = Math.min(table, NO_TABLE)));

  /**
   * What `send` of xmit/tunnel.ts does: an IPv4 header in front of the datagram at `inner`. There is room.
   * @param dir byte offset of the direction
   * @returns where the frame begins now
   */
  const encapsulate = (p: number, inner: number, dir: number, total: number): number => {
    const start = packets.push(p, ipv4.HEADER_LEN);
    const saddr = records.bytes.u32(dir + D.newSaddr);
    const daddr = records.bytes.u32(dir + D.newDaddr);
    const df = ipv4.frag(bytes, inner) & ipv4.DF;
    ipv4.emit(
      bytes,
      inner - ipv4.HEADER_LEN,
      ipv4.tos(bytes, inner),
      total + ipv4.HEADER_LEN,
      ipv4.id(bytes, inner),
      df,
      ipv4.ttl(bytes, inner),
      ipv4.PROTO_IPIP,
      saddr,
      daddr,
    );
    ethernet.setEtherType(bytes, start, ethernet.TYPE_IPV4);
    return start;
  };

  return (p) => {
    const ref = pkt32[(p >>> 2) + HINT]!;
    const port = pkt16[(p >>> 1) + PORT]!;
    const len = pkt32[(p >>> 2) + PKT_LEN]!;
    const l2 = (p + bufferOffset + pkt16[(p >>> 1) + DATA_OFF]!) >>> 0;
    if (len < L4 + udp.HEADER_LEN || port >= PORT_CAP) return false;

    // For us? A port that takes nothing has a MAC address of zeros here, which nobody sends to.
    const mac = portMacs[2 * port]!;
    if (frames.getInt32(l2, true) !== mac || frames.getUint16(l2 + 4, true) !== portMacs[2 * port + 1]!)
      return false;
    if (mac === 0 || frames.getUint16(l2 + 12, true) !== ETHER_IPV4) return false;

    // IPv4, whole, without options, no fragment, checksum right.
    const lengths = frames.getInt32(l2 + L3, true);
    const fragment = frames.getInt32(l2 + (L3 + 4), true);
    const hop = frames.getInt32(l2 + (L3 + 8), true);
    const saddr = frames.getInt32(l2 + (L3 + 12), true);
    const daddr = frames.getInt32(l2 + (L3 + 16), true);
    const total = ((lengths >>> 8) & 0xff00) | (lengths >>> 24);
    if ((lengths & 0xff) !== VER_IHL || (fragment & FRAGMENT) !== 0 || total > len - L3) return false;
    const sum =
      (lengths & 0xffff) +
      (lengths >>> 16) +
      (fragment & 0xffff) +
      (fragment >>> 16) +
      (hop & 0xffff) +
      ((hop >>> 16) + (saddr & 0xffff) + (saddr >>> 16) + (daddr & 0xffff) + (daddr >>> 16));
    if (fold(sum) !== 0xffff) return false;
    const ttl = hop & 0xff;
    if (ttl <= (xmitTtl ? 1 : 0)) return false;

    // Of the connection that was found, and that it may be forwarded by: a released record has no actions.
    const dir = (ref >>> 1) * CONN_WORDS + (ref & 1) * DIR_WORDS;
    if (
      rec32[dir + SADDR] !== saddr ||
      rec32[dir + DADDR] !== daddr ||
      rec32[dir + PORTS] !== frames.getInt32(l2 + L4, true)
    )
      return false;
    const key = rec32[dir + KEY]!;
    const proto = key & 0xff;
    const isTcp = proto === ipv4.PROTO_TCP;
    if ((!isTcp && proto !== ipv4.PROTO_UDP) || proto !== ((hop >>> 8) & 0xff)) return false;
    const action = (key & KEY_MASK) ^ proto;
    const rewrites = action === REWRITE;
    if (!rewrites) {
      if ((action !== MAC_ONLY && action !== ENCAP_IPIP) || (key & (SEQ | ACK)) !== 0) return false;
      if (action === ENCAP_IPIP && pkt16[(p >>> 1) + DATA_OFF]! < ipv4.HEADER_LEN) return false;
    }
    const mode = rec32[dir + DEST]!;
    const way = (ref & 1) * MODES + ((mode >>> 16) & (MODES - 1));
    const table = tables[way]!;
    const at = (table << 12) | ((key >>> 8) & (STATES - 1));
    const room = total - ipv4.HEADER_LEN;
    let plain = true;
    if (isTcp) {
      const word = frames.getInt32(l2 + (L4 + 12), true);
      const header = (word & 0xf0) >>> 2;
      if (header < tcp.HEADER_LEN || header > room) return false;
      if (quietTcp[at | ((word & 0xff00) >>> 4)] !== 1) return false;
      plain =
        header === tcp.HEADER_LEN ||
        (header === tcp.HEADER_LEN + TIMESTAMPS_LEN &&
          frames.getInt32(l2 + (L4 + tcp.HEADER_LEN), true) === TIMESTAMPS);
      if (!plain && refusedOption[way] !== 0 && find(bytes, l2 + L4, refusedOption[way]!) >= 0) return false;
    } else {
      const length = swap16(frames.getUint16(l2 + (L4 + 4), true));
      if (length < udp.HEADER_LEN || length > room || quietUdp[at] !== 1) return false;
    }
    const towards = rec32[dir + ADJACENCY]!;
    const adj = (towards & 0xffff) * ADJ_WORDS;
    if (rec32[dir + ADJ_GEN]! >>> 0 !== generation[0] || total > towards >>> 16) return false;
    const flags = adj32[adj + ADJ_FLAGS]!;
    if ((flags & ADJ_F_READY) === 0 || adj32[adj + ADJ_VLAN]! >>> 16 !== 0) return false;

    const dest = mode & 0xffff;
    if ((stats.flags(dest) & DEST_F_EXCEPTION) !== 0) return false;

    if (guard.wouldRefuse(ref >>> 1, ref & 1, swap32(saddr))) return false;
    const now = packets.nowMs;
    if (isTcp && (ref & 1) === DIR_OUT) {
      if (tcpProto.isStorm!(records, ref >>> 1, bytes, l2 + L4, room, now, ackStorm)) return false;
      tcpProto.observe!(records, ref >>> 1, bytes, l2 + L4, room, now);
    }

    // From here on it is ours.
    rec32[dir + LAST_SEEN] = now;
    adj32[adj + ADJ_USED] = now;
    records.count(ref >>> 1, ref & 1, total);
    stats.packet(dest, ref & 1, total);

    if (!rewrites) {
      if (xmitTtl) ipv4.decrementTtl(bytes, l2 + L3);
      packets.setLen(p, total + L3);
      const start = action === ENCAP_IPIP ? encapsulate(p, l2 + L3, dir << 2, total) : l2;
      frames.setInt32(start, adj32[adj + ADJ_MACS]!, true);
      frames.setInt32(start + 4, adj32[adj + ADJ_MACS + 1]!, true);
      frames.setInt32(start + 8, adj32[adj + ADJ_MACS + 2]!, true);
      packets.transmit(p, flags >>> 16);
      return true;
    }
    frames.setInt32(l2, adj32[adj + ADJ_MACS]!, true);
    frames.setInt32(l2 + 4, adj32[adj + ADJ_MACS + 1]!, true);
    frames.setInt32(l2 + 8, adj32[adj + ADJ_MACS + 2]!, true);
    const deltas = rec32[dir + DELTAS]!;
    const left = xmitTtl ? ttl - 1 : ttl;
    const ip = (deltas & 0xffff) + (xmitTtl ? TTL_DELTA : 0);
    const ipSum = ~fold((~swap16(hop >>> 16) & 0xffff) + ip);
    frames.setInt32(l2 + (L3 + 8), (swap16(ipSum) << 16) | (hop & 0xff00) | left, true);
    frames.setInt32(l2 + (L3 + 12), rec32[dir + NEW_SADDR]!, true);
    frames.setInt32(l2 + (L3 + 16), rec32[dir + NEW_DADDR]!, true);
    frames.setInt32(l2 + L4, rec32[dir + NEW_PORTS]!, true);
    const l4Sum = l2 + L4 + (isTcp ? TCP_CHECKSUM : UDP_CHECKSUM);
    const old = frames.getUint16(l4Sum);
    const fresh = ~fold((~old & 0xffff) + (deltas >>> 16)) & 0xffff;
    // RFC 768: 0 says "none" and stays so, a computed 0 is sent as 0xffff.
    if (isTcp) frames.setUint16(l4Sum, fresh);
    else if (old !== 0) frames.setUint16(l4Sum, fresh === 0 ? 0xffff : fresh);
    if ((key & (SEQ | ACK)) !== 0) {
      const own = rec32[dir + SEQ_DELTA]!;
      const other = (ref & 1) === DIR_OUT ? dir - DIR_WORDS : dir + DIR_WORDS;
      const seqBy = (key & SEQ) === 0 ? 0 : own;
      const ackBy = (key & ACK) === 0 ? 0 : (key & SEQ) === 0 ? own : -rec32[other + SEQ_DELTA]! | 0;
      shiftNumbers(bytes, l2 + L4, seqBy, ackBy, plain);
    }
    // Without Ethernet padding.
    if (len !== total + L3) packets.setLen(p, total + L3);
    packets.transmit(p, flags >>> 16);
    return true;
  };
}
