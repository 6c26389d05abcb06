/**
 * An endpoint of TCP, small and strict: handshake, data both ways with SACK, retransmission, FIN. It complains about everything
 * that a real one would silently ignore (numbers outside of what was sent), so that a middle box cannot lose its way unnoticed.
 * It knows no clock and no chance: `send` says what it sends at a time, `receive` takes what has arrived.
 */
import type { Decoded } from './frames.js';

export type Segment = Pick<
  NonNullable<Decoded['tcp']>,
  'flags' | 'seq' | 'ack' | 'window' | 'options' | 'data'
>;

export interface EndOptions {
  isn: number;
  /** What it has to say. */
  data: Uint8Array;
  /** It opens the connection. */
  active: boolean;
  mss?: number;
  /** Sends and takes SACK blocks, timestamps, when the peer does. */
  sack?: boolean;
  timestamps?: boolean;
}

const RTO_MS = 300;
/** Segments in flight. */
const FLIGHT = 6;
const WINDOW = 60_000;
const DEFAULT_MSS = 536;
const TOA = 254;

const be = (v: number): number[] => [v >>> 24, (v >>> 16) & 255, (v >>> 8) & 255, v & 255];
const word = (o: readonly number[], at: number): number =>
  ((o[at]! << 24) | (o[at + 1]! << 16) | (o[at + 2]! << 8) | o[at + 3]!) >>> 0;

/** Options by kind. */
export function optionsOf(list: readonly number[]): Map<number, number[]> {
  const out = new Map<number, number[]>();
  for (let at = 0; at < list.length && list[at] !== 0;) {
    if (list[at] === 1) at++;
    else {
      const len = list[at + 1]!;
      if (!(len >= 2) || at + len > list.length) throw new Error(`senseless options ${list.join(' ')}`);
      out.set(list[at]!, list.slice(at, at + len));
      at += len;
    }
  }
  return out;
}

export class TcpEnd {
  /** What has arrived, in order. */
  readonly got: number[] = [];
  /** What was wrong with segments. */
  readonly complaints: string[] = [];
  /** The client that options have named, as `port address bytes`; every one that came. */
  readonly told: string[] = [];
  /** RST or nothing but good. */
  reset = false;
  /** Offsets from the initial sequence number: SYN is 0, the first byte 1. */
  private una = 0;
  private nxt = 0;
  private rcv = 0;
  private irs: number | undefined;
  private peerMss = DEFAULT_MSS;
  private sackOk = false;
  private stamps = false;
  private sentAt = -Infinity;
  private owesAck = false;
  private finSeen = -1;
  private readonly early = new Map<number, number>();

  constructor(private readonly o: EndOptions) {}

  /** All said and confirmed, all heard. */
  get done(): boolean {
    return this.una === this.o.data.length + 2 && this.isClosed;
  }
  get isOpen(): boolean {
    return this.una > 0 && this.irs !== undefined;
  }
  private get isClosed(): boolean {
    return this.finSeen >= 0 && this.rcv > this.finSeen;
  }

  send(nowMs: number): Segment[] {
    const { o } = this;
    if (this.reset || (!o.active && this.irs === undefined)) return [];
    const late = nowMs - this.sentAt >= RTO_MS;
    if (this.una === 0) {
      if (!late) return [];
      this.sentAt = nowMs;
      this.nxt = 1;
      return [this.segment(o.active ? 'S' : 'SA', 0, new Uint8Array(), this.offers())];
    }
    const out: Segment[] = [];
    const end = o.data.length + 2;
    if (late && this.nxt > this.una) this.nxt = this.una;
    const room = Math.min(this.peerMss, o.mss ?? 1460) - (this.stamps ? 12 : 0);
    while (this.nxt < end && out.length < FLIGHT && this.nxt - this.una < FLIGHT * room) {
      const data = o.data.subarray(this.nxt - 1, this.nxt - 1 + room);
      const last = this.nxt + data.length === end - 1;
      out.push(this.segment(last ? 'FA' : 'PA', this.nxt, data));
      this.nxt += data.length + (last ? 1 : 0);
      this.sentAt = nowMs;
    }
    if (out.length === 0 && this.owesAck) out.push(this.segment('A', this.nxt, new Uint8Array()));
    this.owesAck = false;
    return out;
  }

  receive(s: Segment): void {
    const options = optionsOf(s.options);
    const toa = options.get(TOA);
    if (toa !== undefined) this.told.push(`${(toa[2]! << 8) | toa[3]!} ${toa.slice(4).join('.')}`);
    if (s.flags.includes('R')) {
      this.reset = true;
      return;
    }
    if (s.flags.includes('S')) this.meet(s, options);
    if (this.irs === undefined) return;
    if (s.flags.includes('A')) this.acknowledged(s, options);
    const at = (s.seq - this.irs) | 0;
    if (at > this.rcv + WINDOW || at < this.rcv - 2 * WINDOW)
      this.complain(`sequence number ${at} at ${this.rcv}`);
    if (s.flags.includes('S')) return;
    s.data.forEach((v, i) => this.byte(at + i, v));
    if (s.flags.includes('F')) this.finSeen = at + s.data.length;
    for (let v = this.early.get(this.rcv); v !== undefined; v = this.early.get(this.rcv)) {
      this.got.push(v);
      this.early.delete(this.rcv++);
    }
    if (this.finSeen === this.rcv) this.rcv++;
    if (s.data.length > 0 || s.flags.includes('F')) this.owesAck = true;
  }

  private meet(s: Segment, options: Map<number, number[]>): void {
    if (this.irs !== undefined && this.irs !== s.seq) this.complain('another initial sequence number');
    if (this.irs === undefined) {
      this.irs = s.seq;
      this.rcv = 1;
      const mss = options.get(2);
      if (mss !== undefined) this.peerMss = (mss[2]! << 8) | mss[3]!;
      this.sackOk = this.o.sack === true && options.has(4);
      this.stamps = this.o.timestamps === true && options.has(8);
    } else if (!this.o.active && this.una === 0) this.sentAt = -Infinity;
    this.owesAck = this.o.active;
  }

  private acknowledged(s: Segment, options: Map<number, number[]>): void {
    const ack = (s.ack - this.o.isn) | 0;
    const highest = this.o.data.length + 2;
    if (ack < 0 || ack > highest) this.complain(`acknowledges ${ack} of ${highest}`);
    else if (ack > this.una) {
      this.una = ack;
      this.nxt = Math.max(this.nxt, ack);
    }
    const sack = options.get(5) ?? [];
    for (let at = 2; at + 4 <= sack.length; at += 4) {
      const edge = (word(sack, at) - this.o.isn) | 0;
      if (edge < 1 || edge > highest) this.complain(`selectively acknowledges ${edge} of ${highest}`);
    }
  }

  private byte(at: number, v: number): void {
    const known = at < this.rcv ? this.got[at - 1] : this.early.get(at);
    if (known !== undefined && known !== v) this.complain(`byte ${at} is ${v}, was ${known}`);
    if (at >= this.rcv && at > 0) this.early.set(at, v);
  }

  private segment(flags: string, at: number, data: Uint8Array, options = this.carried()): Segment {
    const ack = this.irs === undefined ? 0 : (this.irs + this.rcv) >>> 0;
    return { flags, seq: (this.o.isn + at) >>> 0, ack, window: WINDOW, options, data };
  }

  private offers(): number[] {
    const { mss = 1460, sack, timestamps, active } = this.o;
    const out = [2, 4, mss >>> 8, mss & 255];
    if (sack === true && (active || this.sackOk)) out.push(1, 1, 4, 2);
    if (timestamps === true && (active || this.stamps)) out.push(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0);
    return out;
  }

  private carried(): number[] {
    const out = this.stamps ? [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1] : [];
    const early = [...this.early.keys()].sort((a, b) => a - b);
    if (!this.sackOk || early.length === 0) return out;
    const edges: number[] = [];
    early.forEach((at, i) => {
      if (i === 0 || early[i - 1] !== at - 1) edges.push(at, at + 1);
      else edges[edges.length - 1] = at + 1;
    });
    const most = edges.slice(0, 2 * (this.stamps ? 3 : 4));
    return [...out, 1, 1, 5, 2 + most.length * 4, ...most.flatMap((e) => be((this.irs! + e) >>> 0))];
  }

  private complain(what: string): void {
    this.complaints.push(what);
  }
}
