/**
 * Records every frame that dpvs sends and has tshark judge it: wrong checksum (IPv4, TCP, UDP, ICMP), wrong length, truncated or
 * malformed. tcpdump listens on the side of the switch, so it sees what really left the port.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Kept, succeed, until } from './process.js';
import type { Topology } from './topology.js';

export interface Verdict {
  frames: number;
  /** One line for each bad frame: number, what is wrong, summary. */
  bad: string[];
}

export interface JudgeOptions {
  /**
   * Judge transport checksums too. Off where dpvs forwards segments that arrive damaged: it must hand the damage on for the
   * receiver to see.
   */
  transport?: boolean;
}

const PREFERENCES = [
  'ip.check_checksum:TRUE',
  'tcp.check_checksum:TRUE',
  'udp.check_checksum:TRUE',
  'sctp.checksum:CRC32C',
  'ip.defragment:TRUE', // checksums of datagrams that leave in fragments are judged too
  'tcp.desegment_tcp_streams:FALSE',
  'tcp.analyze_sequence_numbers:FALSE',
  'tcp.try_heuristic_first:FALSE',
  'udp.process_info:FALSE',
];
/** What lies above the transport is not ours: without this, tshark guesses protocols from port numbers and finds them broken. */
const PAYLOAD_IS_DATA = ['tcp.port==0-65535,data', 'udp.port==0-65535,data'];

/** `#1` is the outermost header: an ICMP error quotes the beginning of another datagram, which is cut short by design. */
const BAD_NETWORK = [
  '_ws.short',
  '(_ws.malformed and not icmp and not tcp and not udp)',
  'ip.checksum.status == "Bad"',
  'icmp.checksum.status == "Bad"',
  '(ip and frame.len > 60 and not (ip.len#1 + 14 == frame.len))',
  '(ip and frame.len <= 60 and ip.len#1 + 14 > frame.len)',
  '(ip.proto#1 == 4 and ip.flags.mf#1 == 0 and ip.frag_offset#1 == 0 and not (ip.len#2 + ip.hdr_len#1 == ip.len#1))',
  '(ip and ip.ttl#1 == 0)', // RFC 1122 section 3.2.1.7
  '(arp and not (arp.hw.size == 6 and arp.proto.size == 4))',
];
const BAD_TRANSPORT = [
  '(_ws.malformed and not icmp and (tcp or udp))',
  // Linux writes 0xffff for 0 into TCP too (skb_checksum_help); DR and tunnel hand it on.
  // tshark takes what an ICMP error quotes of a segment for all of it: one that is cut short it cannot judge.
  '(tcp.checksum.status == "Bad" and tcp.checksum != 0xffff and not (icmp and ip.len#2 + 28 > ip.len#1))',
  'udp.checksum.status == "Bad"',
  'sctp.checksum.status == "Bad"',
  '(udp and not icmp and not ip.fragment and ip.proto#1 != 4 and not (udp.length + ip.hdr_len#1 == ip.len#1))',
  '(udp and not icmp and not ip.fragment and ip.proto#1 == 4 and not (udp.length + ip.hdr_len#2 == ip.len#2))',
];

const FIELDS = [
  'frame.number',
  'frame.len',
  'ip.len',
  'ip.ttl',
  'ip.checksum.status',
  'tcp.checksum.status',
  'udp.checksum.status',
  'icmp.checksum.status',
  '_ws.col.Protocol',
  '_ws.col.Info',
];
const HEADING =
  '(frame|length|IP length|TTL|IP/TCP/UDP/ICMP checksum: 0 bad, 1 good, 2 not judged, 3 none|what)';

const any = (conditions: readonly string[]): string => conditions.join(' or ');

/** tshark on a pcap file, `-` for standard input. */
const tshark = (pcap: string, ...what: string[]): string[] => [
  'tshark',
  '-n',
  '-r',
  pcap,
  ...PREFERENCES.flatMap((p) => ['-o', p]),
  ...PAYLOAD_IS_DATA.flatMap((d) => ['-d', d]),
  ...what,
];

/** Counts all frames and the bad ones. Less than half of the work that it is to make something to show of every frame. */
const counting = (pcap: string): string[] =>
  tshark(pcap, '-q', '-z', `io,stat,0,,${any(BAD_NETWORK)},${any(BAD_TRANSPORT)}`);

interface Counts {
  frames: number;
  network: number;
  transport: number;
}

/** What `counting` has printed: frames and bytes of each column. */
function countsOf(out: string): Counts {
  const row = /<>[^|]*\|\s*(\d+) \|\s*\d+ \|\s*(\d+) \|\s*\d+ \|\s*(\d+) \|/.exec(out);
  const [frames = 0, network = 0, transport = 0] = row?.slice(1).map(Number) ?? [];
  return { frames, network, transport };
}

/** Prints a line for each bad frame. */
const listing = (pcap: string, conditions: readonly string[]): string[] =>
  tshark(
    pcap,
    '-Y',
    any(conditions),
    '-T',
    'fields',
    '-E',
    'separator=|',
    ...FIELDS.flatMap((f) => ['-e', f]),
  );

/** @returns one line for each bad frame of a file of which this was counted */
async function badFrames(pcap: string, counts: Counts, options: JudgeOptions): Promise<string[]> {
  const judged = options.transport !== false;
  if (counts.network === 0 && (counts.transport === 0 || !judged)) return [];
  const conditions = [...BAD_NETWORK, ...(judged ? BAD_TRANSPORT : [])];
  const out = await succeed(listing(pcap, conditions), { timeoutMs: 120_000 });
  const lines = out.split('\n').filter((line) => /^\d/.test(line));
  if (lines.length === 0)
    throw new Error(`tshark counted bad frames and shows none: ${JSON.stringify(counts)}`);
  return lines.map((line) => `${line}   ${HEADING}`);
}

/** Judges a pcap file. @returns one line for each bad frame */
export async function judgeFile(pcap: string, options: JudgeOptions = {}): Promise<string[]> {
  const counts = countsOf(await succeed(counting(pcap), { timeoutMs: 120_000 }));
  if (counts.frames === 0) throw new Error(`tshark finds no frame in ${pcap}`);
  return badFrames(pcap, counts, options);
}

/** Judges file `$1` while process `$2` writes it, with what the CPUs have to spare. One process, so that it can be ended. */
const ALONGSIDE = 'exec nice -n 19 "${@:3}" < <(exec tail -c +1 -s 0.1 -f --pid="$2" "$1" 2>/dev/null)';

export class Recorder {
  private constructor(
    private readonly tcpdump: Kept,
    private readonly judging: Kept,
    private readonly file: string,
  ) {}

  /** Records the frames that carry `mac` as source, from now on. */
  static async start(t: Topology, mac: string, name = 'sent', iface = t.switchIf): Promise<Recorder> {
    const file = join(t.dir, `${name}.pcap`);
    const options = ['-i', iface, '-n', '-p', '-Z', 'root', '-B', '131072', '-s', '0', '-w', file];
    const tcpdump = t.keep('lb', ['tcpdump', ...options, 'ether', 'src', mac]);
    await until('tcpdump listens', () => {
      if (!tcpdump.running) throw new Error(tcpdump.stderr);
      return tcpdump.stderr.includes('listening on');
    });
    const judge = ['bash', '-c', ALONGSIDE, 'bash', file, String(tcpdump.process.pid), ...counting('-')];
    return new Recorder(tcpdump, t.keep('lb', judge), file);
  }

  /** Ends the recording and judges it. @throws Error when frames were not recorded (the machine was too slow) */
  async judge(options: JudgeOptions = {}): Promise<Verdict> {
    await this.tcpdump.stop('SIGINT', 20_000);
    const { stderr } = this.tcpdump;
    const number = (what: string): number =>
      Number(new RegExp(`(\\d+) packets? ${what}`).exec(stderr)?.[1] ?? NaN);
    const frames = number('captured');
    const lost = number('dropped by kernel');
    if (!(frames >= 0) || lost > 0) throw new Error(`tcpdump missed frames: ${stderr}`);
    const judged = await this.judging.ended;
    const counts = countsOf(judged.stdout);
    if (judged.code !== 0 || counts.frames !== frames)
      throw new Error(
        `tshark read ${counts.frames} of ${frames} frames, exit code ${judged.code}: ${judged.stderr}`,
      );
    const bad = await badFrames(this.file, counts, options);
    rmSync(this.file);
    return { frames, bad };
  }
}

/** Writes frames into a pcap file (nanoseconds are of no interest here). */
export function pcapOf(frames: readonly Uint8Array[]): Uint8Array {
  const head = Buffer.alloc(24);
  head.writeUInt32LE(0xa1b2c3d4, 0);
  head.writeUInt16LE(2, 4);
  head.writeUInt16LE(4, 6);
  head.writeUInt32LE(65535, 16);
  head.writeUInt32LE(1, 20); // Ethernet
  const records = frames.flatMap((frame, i) => {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(i, 0);
    record.writeUInt32LE(frame.length, 8);
    record.writeUInt32LE(frame.length, 12);
    return [record, Buffer.from(frame)];
  });
  return Buffer.concat([head, ...records]);
}
