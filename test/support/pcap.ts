/** Capture files, the classic format of libpcap (draft-ietf-opsawg-pcap): Ethernet frames, whole. Times are not kept. */

const MICROSECONDS = 0xa1b2c3d4;
const NANOSECONDS = 0xa1b23c4d;
const FILE_HEADER = 24;
const RECORD_HEADER = 16;
const SNAPLEN = 65535;
const ETHERNET = 1;

/** The same frames always give the same bytes: the time of the `n`th is n microseconds. */
export function writePcap(frames: readonly Uint8Array[]): Uint8Array {
  const head = Buffer.alloc(FILE_HEADER);
  head.writeUInt32LE(MICROSECONDS, 0);
  head.writeUInt16LE(2, 4); // version 2.4
  head.writeUInt16LE(4, 6);
  head.writeUInt32LE(SNAPLEN, 16);
  head.writeUInt32LE(ETHERNET, 20);
  const parts: Uint8Array[] = [head];
  frames.forEach((frame, n) => {
    const record = Buffer.alloc(RECORD_HEADER);
    record.writeUInt32LE(Math.floor(n / 1e6), 0);
    record.writeUInt32LE(n % 1e6, 4);
    record.writeUInt32LE(frame.length, 8);
    record.writeUInt32LE(frame.length, 12);
    parts.push(record, frame);
  });
  return Uint8Array.from(Buffer.concat(parts));
}

/** The frames of a file of either byte order and resolution. @throws Error when it is not one, or cut short */
export function readPcap(file: Uint8Array): Uint8Array[] {
  const v = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < FILE_HEADER) throw new Error(`pcap: ${file.length} bytes are no file header`);
  const known = (magic: number): boolean => magic === MICROSECONDS || magic === NANOSECONDS;
  const little = known(v.getUint32(0, true));
  if (!little && !known(v.getUint32(0))) throw new Error('pcap: no magic number');
  const linkType = v.getUint32(20, little) & 0xffff;
  if (linkType !== ETHERNET) throw new Error(`pcap: link type ${linkType}, not Ethernet`);
  const frames: Uint8Array[] = [];
  for (let at = FILE_HEADER; at < file.length;) {
    const start = at + RECORD_HEADER;
    if (start > file.length) throw new Error(`pcap: record ${frames.length} is cut short`);
    const [captured, original] = [v.getUint32(at + 8, little), v.getUint32(at + 12, little)];
    if (captured !== original)
      throw new Error(`pcap: frame ${frames.length} has ${captured} of ${original} bytes`);
    if (start + captured > file.length) throw new Error(`pcap: frame ${frames.length} is cut short`);
    frames.push(new Uint8Array(file.subarray(start, start + captured)));
    at = start + captured;
  }
  return frames;
}
