/**
 * Readable frames for tests: builders with right lengths and checksums, a decoder, and `checkFrame`, a strict judge
 * that shares no code with `src/wire`.
 *
 * `tcp({ src: '10.0.0.1:1000', dst: '10.0.0.2:80', flags: 'S' })` is a whole Ethernet frame.
 */

export type Mac = string;

export interface EthOptions {
  /** Source and destination MAC. */
  smac?: Mac;
  dmac?: Mac;
}

export interface Ipv4Options extends EthOptions {
  /** Addresses, for TCP and UDP with `:port`. */
  src: string;
  dst: string;
  ttl?: number;
  tos?: number;
  id?: number;
  df?: boolean;
  mf?: boolean;
  /** Fragment offset in bytes. */
  offset?: number;
  /** IPv4 options, padded here to a multiple of 4. */
  options?: Uint8Array | number[];
  /** Wrong values on purpose. */
  badChecksum?: boolean;
  totalLen?: number;
  version?: number;
  ihl?: number;
  /** Pad the frame with zeros to this length (Ethernet's minimum is 60). */
  padTo?: number;
}

export interface TcpOptions extends Ipv4Options {
  flags?: string;
  seq?: number;
  ack?: number;
  window?: number;
  tcpOptions?: Uint8Array | number[];
  data?: Uint8Array | string;
  badL4Checksum?: boolean;
}

export interface UdpOptions extends Ipv4Options {
  data?: Uint8Array | string;
  /** Send without a checksum. */
  noChecksum?: boolean;
  badL4Checksum?: boolean;
  udpLen?: number;
}

export interface SctpOptions extends Ipv4Options {
  /** Verification tag. */
  tag?: number;
  /** By type and value; their lengths are right unless given. */
  chunks?: readonly { type: number; flags?: number; value?: Uint8Array | string; len?: number }[];
  badL4Checksum?: boolean;
  /** 0 in place of the checksum (RFC 9653). */
  noChecksum?: boolean;
}

export interface IcmpOptions extends Ipv4Options {
  type: number;
  code?: number;
  /** Second word of the header. */
  rest?: number;
  data?: Uint8Array | string;
  badL4Checksum?: boolean;
}

export interface ArpOptions extends EthOptions {
  op: 'request' | 'reply' | number;
  /** Sender and target: hardware and protocol addresses. */
  sha: Mac;
  spa: string;
  tha?: Mac;
  tpa: string;
  padTo?: number;
}

export const BROADCAST_MAC = 'ff:ff:ff:ff:ff:ff';
export const ZERO_MAC = '00:00:00:00:00:00';
const DEFAULT_SMAC = '02:00:00:00:00:aa';
const DEFAULT_DMAC = '02:00:00:00:01:00';

const FLAG_BITS: Record<string, number> = { F: 1, S: 2, R: 4, P: 8, A: 16, U: 32, E: 64, C: 128 };

// ----- builders

export function ethernet(o: EthOptions & { type: number; payload: Uint8Array; padTo?: number }): Uint8Array {
  const frame = concat([mac(o.dmac ?? DEFAULT_DMAC), mac(o.smac ?? DEFAULT_SMAC), u16(o.type), o.payload]);
  if (o.padTo === undefined || frame.length >= o.padTo) return frame;
  return concat([frame, new Uint8Array(o.padTo - frame.length)]);
}

export function arp(o: ArpOptions): Uint8Array {
  const op = o.op === 'request' ? 1 : o.op === 'reply' ? 2 : o.op;
  const payload = concat([
    u16(1),
    u16(0x0800),
    new Uint8Array([6, 4]),
    u16(op),
    mac(o.sha),
    ip(o.spa),
    mac(o.tha ?? ZERO_MAC),
    ip(o.tpa),
  ]);
  return ethernet({
    smac: o.smac ?? o.sha,
    dmac: o.dmac ?? (op === 1 ? BROADCAST_MAC : (o.tha ?? BROADCAST_MAC)),
    type: 0x0806,
    payload,
    ...(o.padTo === undefined ? {} : { padTo: o.padTo }),
  });
}

/** A frame with any IPv4 payload. */
export function ipv4(o: Ipv4Options & { proto: number; payload: Uint8Array }): Uint8Array {
  return ethernet({ ...o, type: 0x0800, payload: datagram(o) });
}

/** An IPv4 datagram without a frame around it, for quoting in ICMP errors. */
export function datagram(o: Ipv4Options & { proto: number; payload: Uint8Array }): Uint8Array {
  const options = pad4(o.options ?? []);
  const hlen = 20 + options.length;
  const fragField = (o.df ? 0x4000 : 0) | (o.mf ? 0x2000 : 0) | ((o.offset ?? 0) >>> 3);
  const header = concat([
    new Uint8Array([((o.version ?? 4) << 4) | (o.ihl ?? hlen / 4), o.tos ?? 0]),
    u16(o.totalLen ?? hlen + o.payload.length),
    u16(o.id ?? 0),
    u16(fragField),
    new Uint8Array([o.ttl ?? 64, o.proto]),
    u16(0),
    ip(host(o.src)),
    ip(host(o.dst)),
    options,
  ]);
  put16(header, 10, rfc1071(header) ^ (o.badChecksum ? 0x5555 : 0));
  return concat([header, o.payload]);
}

export function tcp(o: TcpOptions): Uint8Array {
  return ipv4({ ...o, proto: 6, payload: tcpSegment(o) });
}

export function udp(o: UdpOptions): Uint8Array {
  return ipv4({ ...o, proto: 17, payload: udpDatagram(o) });
}

export function sctp(o: SctpOptions): Uint8Array {
  return ipv4({ ...o, proto: 132, payload: sctpPacket(o) });
}

export function icmp(o: IcmpOptions): Uint8Array {
  return ipv4({ ...o, proto: 1, payload: icmpMessage(o) });
}

/** The frame of a tunnel: the datagram of `inner` in another one with its TOS, identification, DF and TTL. */
export function ipip(
  o: EthOptions & { src: string; dst: string; id?: number },
  inner: Uint8Array,
): Uint8Array {
  const { tos, id, df, ttl } = decode(inner).ip!;
  return ipv4({ tos, id, df, ttl, ...o, proto: 4, payload: payloadOf(inner) });
}

/** An echo request or reply. */
export function ping(
  o: Ipv4Options & { reply?: boolean; ident?: number; seq?: number; data?: Uint8Array | string },
): Uint8Array {
  return icmp({
    ...o,
    type: o.reply ? 0 : 8,
    rest: (((o.ident ?? 1) << 16) | (o.seq ?? 1)) >>> 0,
    data: o.data ?? 'ping',
  });
}

export function tcpSegment(o: TcpOptions): Uint8Array {
  const options = pad4(o.tcpOptions ?? [], 1);
  const bits = [...(o.flags ?? 'A')].reduce((acc, c) => acc | (FLAG_BITS[c] ?? bad(`TCP flag ${c}`)), 0);
  const segment = concat([
    u16(port(o.src)),
    u16(port(o.dst)),
    u32(o.seq ?? 0),
    u32(o.ack ?? 0),
    new Uint8Array([((20 + options.length) / 4) << 4, bits]),
    u16(o.window ?? 65535),
    u16(0),
    u16(0),
    options,
    bytes(o.data ?? ''),
  ]);
  put16(segment, 16, l4sum(o, 6, segment) ^ (o.badL4Checksum ? 0x5555 : 0));
  return segment;
}

export function udpDatagram(o: UdpOptions): Uint8Array {
  const data = bytes(o.data ?? '');
  const message = concat([
    u16(port(o.src)),
    u16(port(o.dst)),
    u16(o.udpLen ?? 8 + data.length),
    u16(0),
    data,
  ]);
  if (!o.noChecksum) put16(message, 6, (l4sum(o, 17, message) || 0xffff) ^ (o.badL4Checksum ? 0x5555 : 0));
  return message;
}

export function sctpPacket(o: SctpOptions): Uint8Array {
  const chunks = (o.chunks ?? []).map(({ type, flags = 0, value = '', len }) => {
    const v = bytes(value);
    return pad4(concat([new Uint8Array([type, flags]), u16(len ?? 4 + v.length), v]));
  });
  const packet = concat([u16(port(o.src)), u16(port(o.dst)), u32(o.tag ?? 0), u32(0), ...chunks]);
  const sum = (crc32c(packet) ^ (o.badL4Checksum ? 0x5555 : 0)) >>> 0;
  if (!o.noChecksum) viewOf(packet).setUint32(8, sum, true);
  return packet;
}

export function icmpMessage(o: Omit<IcmpOptions, 'src' | 'dst'>): Uint8Array {
  const message = concat([
    new Uint8Array([o.type, o.code ?? 0]),
    u16(0),
    u32(o.rest ?? 0),
    bytes(o.data ?? ''),
  ]);
  put16(message, 2, rfc1071(message) ^ (o.badL4Checksum ? 0x5555 : 0));
  return message;
}

/**
 * A frame as its datagram leaves when it is cut into fragments, all but the last with `size` bytes of data each, or with
 * those of a list of sizes (the rest is the last).
 */
export function fragmentsOf(frame: Uint8Array, size: number | readonly number[]): Uint8Array[] {
  const hlen = (frame[14]! & 15) * 4;
  const data = frame.slice(14 + hlen, 14 + viewOf(frame).getUint16(16));
  const out: Uint8Array[] = [];
  for (let at = 0, i = 0; at < data.length; i++) {
    const n = typeof size === 'number' ? size : (size[i] ?? data.length);
    const piece = concat([frame.slice(0, 14 + hlen), data.subarray(at, at + n)]);
    put16(piece, 16, hlen + Math.min(n, data.length - at));
    put16(piece, 20, (at >>> 3) | (at + n < data.length ? 0x2000 : 0));
    put16(piece, 24, 0);
    put16(piece, 24, rfc1071(piece.subarray(14, 14 + hlen)));
    out.push(piece);
    at += n;
  }
  return out;
}

/**
 * The frame of the datagram that fragments make, in any order, repeated or not.
 * @throws Error when one is missing, two overlap, or their headers don't go together
 */
export function joined(fragments: readonly Uint8Array[]): Uint8Array {
  const parts = fragments.map((f) => ({ f, ip: decode(f).ip! })).sort((a, b) => a.ip.offset - b.ip.offset);
  const first = parts[0] ?? bad('no fragments');
  const data: Uint8Array[] = [];
  let at = 0;
  let before = first;
  for (const p of parts) {
    const same = ['src', 'dst', 'id', 'proto'] as const;
    if (same.some((k) => p.ip[k] !== first.ip[k])) bad('fragments of different datagrams');
    if (p !== first && p.ip.offset === before.ip.offset && Buffer.from(p.f).equals(before.f)) continue;
    if (p.ip.offset !== at) bad(`fragment at ${p.ip.offset}, not at ${at}`);
    data.push(p.ip.payload);
    at += p.ip.payload.length;
    before = p;
  }
  if (before.ip.mf) bad('no last fragment');
  const hlen = (first.f[14]! & 15) * 4;
  const whole = concat([first.f.slice(0, 14 + hlen), ...data]);
  put16(whole, 16, hlen + at);
  put16(whole, 20, 0);
  put16(whole, 24, 0);
  put16(whole, 24, rfc1071(whole.subarray(14, 14 + hlen)));
  return whole;
}

/** `n` bytes 0, 1, 2, … */
export const ramp = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => i & 255);

/** What stands behind the Ethernet header. */
export const payloadOf = (frame: Uint8Array): Uint8Array => frame.slice(14);

// ----- decoder

export interface Decoded {
  dmac: Mac;
  smac: Mac;
  type: number;
  arp?: { op: number; sha: Mac; spa: string; tha: Mac; tpa: string };
  ip?: {
    tos: number;
    totalLen: number;
    id: number;
    df: boolean;
    mf: boolean;
    offset: number;
    ttl: number;
    proto: number;
    src: string;
    dst: string;
    options: number[];
    payload: Uint8Array;
  };
  tcp?: {
    sport: number;
    dport: number;
    seq: number;
    ack: number;
    flags: string;
    window: number;
    options: number[];
    data: Uint8Array;
  };
  udp?: { sport: number; dport: number; checksum: number; data: Uint8Array };
  icmp?: { type: number; code: number; rest: number; data: Uint8Array };
  sctp?: { sport: number; dport: number; tag: number; checksum: number; types: number[] };
}

/** Takes a frame apart. Lengths that don't fit throw. */
export function decode(frame: Uint8Array): Decoded {
  const v = viewOf(frame);
  if (frame.length < 14) bad('frame shorter than its Ethernet header');
  const d: Decoded = { dmac: macText(frame, 0), smac: macText(frame, 6), type: v.getUint16(12) };
  if (d.type === 0x0806) {
    if (frame.length < 42) bad('short ARP message');
    d.arp = {
      op: v.getUint16(20),
      sha: macText(frame, 22),
      spa: ipText(frame, 28),
      tha: macText(frame, 32),
      tpa: ipText(frame, 38),
    };
  }
  if (d.type === 0x0800) decodeIpv4(d, frame.subarray(14));
  return d;
}

function decodeIpv4(d: Decoded, b: Uint8Array): void {
  const v = viewOf(b);
  if (b.length < 20) bad('short IPv4 header');
  const hlen = (b[0]! & 15) * 4;
  const total = v.getUint16(2);
  if (hlen < 20 || total < hlen || total > b.length)
    bad(`IPv4 lengths: header ${hlen}, total ${total}, frame ${b.length}`);
  const frag = v.getUint16(6);
  const payload = b.slice(hlen, total);
  d.ip = {
    tos: b[1]!,
    totalLen: total,
    id: v.getUint16(4),
    df: (frag & 0x4000) !== 0,
    mf: (frag & 0x2000) !== 0,
    offset: (frag & 0x1fff) * 8,
    ttl: b[8]!,
    proto: b[9]!,
    src: ipText(b, 12),
    dst: ipText(b, 16),
    options: [...b.subarray(20, hlen)],
    payload,
  };
  if (d.ip.offset > 0 || d.ip.mf) return;
  const p = viewOf(payload);
  if (d.ip.proto === 6) {
    if (payload.length < 20) bad('short TCP header');
    const off = (payload[12]! >>> 4) * 4;
    if (off < 20 || off > payload.length) bad(`TCP header length ${off} of ${payload.length}`);
    d.tcp = {
      sport: p.getUint16(0),
      dport: p.getUint16(2),
      seq: p.getUint32(4),
      ack: p.getUint32(8),
      flags: Object.keys(FLAG_BITS)
        .filter((f) => (payload[13]! & FLAG_BITS[f]!) !== 0)
        .join(''),
      window: p.getUint16(14),
      options: [...payload.subarray(20, off)],
      data: payload.slice(off),
    };
  } else if (d.ip.proto === 17) {
    if (payload.length < 8 || p.getUint16(4) !== payload.length) bad('UDP length');
    d.udp = {
      sport: p.getUint16(0),
      dport: p.getUint16(2),
      checksum: p.getUint16(6),
      data: payload.slice(8),
    };
  } else if (d.ip.proto === 132) {
    if (payload.length < 12) bad('short SCTP header');
    const types: number[] = [];
    for (let at = 12; at + 4 <= payload.length; at += (Math.max(p.getUint16(at + 2), 4) + 3) & ~3)
      types.push(payload[at]!);
    d.sctp = {
      sport: p.getUint16(0),
      dport: p.getUint16(2),
      tag: p.getUint32(4),
      checksum: p.getUint32(8, true),
      types,
    };
  } else if (d.ip.proto === 1) {
    if (payload.length < 8) bad('short ICMP header');
    d.icmp = { type: payload[0]!, code: payload[1]!, rest: p.getUint32(4), data: payload.slice(8) };
  }
}

/** One line for people: `tcp 10.0.0.1:1000 > 10.0.0.2:80 S seq 1 ack 0 len 0`. */
export function summary(frame: Uint8Array): string {
  const d = decode(frame);
  if (d.arp) {
    const what =
      d.arp.op === 1 ? `who-has ${d.arp.tpa} tell ${d.arp.spa}` : `${d.arp.spa} is-at ${d.arp.sha}`;
    return `arp ${what}`;
  }
  const { ip: i } = d;
  if (i === undefined) return `ethertype 0x${d.type.toString(16)}`;
  if (d.tcp) {
    const t = d.tcp;
    return `tcp ${i.src}:${t.sport} > ${i.dst}:${t.dport} ${t.flags} seq ${t.seq} ack ${t.ack} len ${t.data.length}`;
  }
  if (d.udp) return `udp ${i.src}:${d.udp.sport} > ${i.dst}:${d.udp.dport} len ${d.udp.data.length}`;
  if (d.sctp) {
    const s = d.sctp;
    return `sctp ${i.src}:${s.sport} > ${i.dst}:${s.dport} chunks ${s.types.join(',')} len ${i.payload.length}`;
  }
  if (d.icmp)
    return `icmp ${i.src} > ${i.dst} type ${d.icmp.type} code ${d.icmp.code} len ${d.icmp.data.length}`;
  return `ip ${i.src} > ${i.dst} proto ${i.proto} offset ${i.offset}${i.mf ? '+' : ''} len ${i.payload.length}`;
}

// ----- the judge

/**
 * Throws unless every length and checksum of the frame is right, down to the datagram that an ICMP error quotes.
 * Bytes behind the datagram are only allowed as Ethernet padding (frame of at most 60 bytes, zeros).
 */
export function checkFrame(frame: Uint8Array): void {
  const d = decode(frame);
  if ((frame[6]! & 1) !== 0) bad('source MAC is a group address');
  if (d.smac === ZERO_MAC || d.dmac === ZERO_MAC) bad('zero MAC address');
  if (d.type === 0x0806) {
    const v = viewOf(frame);
    if (v.getUint16(14) !== 1 || v.getUint16(16) !== 0x0800 || frame[18] !== 6 || frame[19] !== 4)
      bad('ARP fixed fields');
    if (d.arp!.op !== 1 && d.arp!.op !== 2) bad(`ARP operation ${d.arp!.op}`);
    checkPadding(frame, 42);
  } else if (d.type === 0x0800) {
    checkPadding(frame, 14 + d.ip!.totalLen);
    checkDatagram(frame.subarray(14), d);
  } else bad(`ethertype 0x${d.type.toString(16)}`);
}

function checkPadding(frame: Uint8Array, used: number): void {
  if (frame.length > used && frame.length > 60) bad(`${frame.length - used} bytes behind the datagram`);
  if (frame.subarray(used).some((v) => v !== 0)) bad('Ethernet padding is not zero');
}

function checkDatagram(b: Uint8Array, d: Decoded): void {
  const i = d.ip!;
  if (b[0]! >>> 4 !== 4) bad(`IP version ${b[0]! >>> 4}`);
  if (rfc1071(b.subarray(0, (b[0]! & 15) * 4)) !== 0) bad('IPv4 header checksum');
  if ((b[6]! & 0x80) !== 0) bad('reserved IPv4 flag');
  if (i.ttl === 0) bad('TTL 0');
  if (i.mf && i.payload.length % 8 !== 0) bad('fragment length is not a multiple of 8');
  if (i.offset + i.payload.length > 65515) bad('fragment beyond 64 KiB');
  if (d.tcp && l4sum({ src: i.src, dst: i.dst }, 6, i.payload) !== 0) bad('TCP checksum');
  if (d.udp && d.udp.checksum !== 0 && l4sum({ src: i.src, dst: i.dst }, 17, i.payload) !== 0)
    bad('UDP checksum');
  if (d.sctp && d.sctp.checksum !== 0) {
    const packet = Uint8Array.from(i.payload);
    packet.fill(0, 8, 12);
    if (crc32c(packet) !== d.sctp.checksum) bad('SCTP checksum');
  }
  if (i.proto === 4 && !i.mf && i.offset === 0) checkFrame(ethernet({ type: 0x0800, payload: i.payload }));
  if (!d.icmp) return;
  if (rfc1071(i.payload) !== 0) bad('ICMP checksum');
  if ([3, 4, 5, 11, 12].includes(d.icmp.type)) {
    const quoted = d.icmp.data;
    if (quoted.length < 28 && quoted.length < viewOf(quoted).getUint16(2))
      bad('ICMP error quotes too little');
    if (i.totalLen > 576) bad('ICMP error over 576 bytes');
    if (rfc1071(quoted.subarray(0, (quoted[0]! & 15) * 4)) !== 0)
      bad('header checksum of the quoted datagram');
  }
}

// ----- small parts

/** The plainest RFC 1071 checksum there is, on purpose not the one of `src/wire`. */
export function rfc1071(b: Uint8Array): number {
  let acc = 0;
  b.forEach((v, i) => {
    acc += i % 2 === 0 ? v * 256 : v;
  });
  while (acc > 0xffff) acc = (acc % 0x10000) + Math.floor(acc / 0x10000);
  return 0xffff - acc;
}

/** CRC32c bit by bit (RFC 9260 appendix A). */
export function crc32c(b: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of b) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

function l4sum(o: { src: string; dst: string }, proto: number, segment: Uint8Array): number {
  return rfc1071(concat([ip(host(o.src)), ip(host(o.dst)), u16(proto), u16(segment.length), segment]));
}

function bad(why: string): never {
  throw new Error(`bad frame: ${why}`);
}

const host = (text: string): string => text.split(':')[0]!;
const port = (text: string): number => Number(text.split(':')[1] ?? bad(`${text} has no port`));
const viewOf = (b: Uint8Array): DataView => new DataView(b.buffer, b.byteOffset, b.byteLength);
const u16 = (v: number): Uint8Array => new Uint8Array([(v >>> 8) & 255, v & 255]);
const u32 = (v: number): Uint8Array => new Uint8Array([v >>> 24, (v >>> 16) & 255, (v >>> 8) & 255, v & 255]);
const put16 = (b: Uint8Array, at: number, v: number): void => b.set(u16(v), at);
const mac = (text: Mac): Uint8Array => Uint8Array.from(text.split(':'), (x) => Number.parseInt(x, 16));
const ip = (text: string): Uint8Array => Uint8Array.from(text.split('.'), Number);
const macText = (b: Uint8Array, at: number): Mac =>
  Buffer.from(b.slice(at, at + 6))
    .toString('hex')
    .match(/../g)!
    .join(':');
const ipText = (b: Uint8Array, at: number): string => b.slice(at, at + 4).join('.');
const bytes = (data: Uint8Array | string): Uint8Array =>
  typeof data === 'string' ? new TextEncoder().encode(data) : data;
const concat = (parts: Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));
const pad4 = (options: Uint8Array | number[], fill = 0): Uint8Array => {
  const b = Uint8Array.from(options);
  return concat([b, new Uint8Array((4 - (b.length % 4)) % 4).fill(fill)]);
};
