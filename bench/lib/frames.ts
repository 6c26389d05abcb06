/** Frames and captures for net_pcap. */

export interface UdpFrame {
  dmac: string;
  smac: string;
  /** Host order. */
  saddr: number;
  daddr: number;
  sport: number;
  dport: number;
  /** First four bytes of the payload (host order, as the source writes it). */
  id: number;
}

const FRAME = 64;
const ETH = 14;
const IP = 20;

/** One's complement sum of big-endian words, folded and complemented (RFC 1071). */
export function checksum(b: Buffer, initial = 0): number {
  let sum = initial;
  for (let i = 0; i < b.length; i += 2) sum += i + 1 < b.length ? b.readUInt16BE(i) : b[i]! << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

/** A 64-byte frame with right checksums; the payload is the id and zeros. */
export function udpFrame(f: UdpFrame): Buffer {
  const b = Buffer.alloc(FRAME);
  for (const [i, byte] of [...f.dmac.split(':'), ...f.smac.split(':')].entries())
    b[i] = Number.parseInt(byte, 16);
  b.writeUInt16BE(0x0800, 12);
  const udpLength = FRAME - ETH - IP;
  b[ETH] = 0x45;
  b.writeUInt16BE(FRAME - ETH, ETH + 2);
  b.writeUInt16BE(0x4000, ETH + 6);
  b[ETH + 8] = 64;
  b[ETH + 9] = 17;
  b.writeUInt32BE(f.saddr, ETH + 12);
  b.writeUInt32BE(f.daddr, ETH + 16);
  b.writeUInt16BE(checksum(b.subarray(ETH, ETH + IP)), ETH + 10);
  const udp = ETH + IP;
  b.writeUInt16BE(f.sport, udp);
  b.writeUInt16BE(f.dport, udp + 2);
  b.writeUInt16BE(udpLength, udp + 4);
  b.writeUInt32LE(f.id, udp + 8);
  const pseudo = [f.saddr >>> 16, f.saddr & 0xffff, f.daddr >>> 16, f.daddr & 0xffff, 17, udpLength].reduce(
    (a, n) => a + n,
  );
  b.writeUInt16BE(checksum(b.subarray(udp), pseudo) || 0xffff, udp + 6);
  return b;
}

/** A capture file: https://wiki.wireshark.org/Development/LibpcapFileFormat */
export function capture(frames: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(24);
  head.writeUInt32LE(0xa1b2c3d4, 0);
  head.writeUInt16LE(2, 4);
  head.writeUInt16LE(4, 6);
  head.writeUInt32LE(65535, 16);
  head.writeUInt32LE(1, 20);
  const records = frames.map((f) => {
    const r = Buffer.alloc(16);
    r.writeUInt32LE(f.length, 8);
    r.writeUInt32LE(f.length, 12);
    return Buffer.concat([r, f]);
  });
  return Buffer.concat([head, ...records]);
}
