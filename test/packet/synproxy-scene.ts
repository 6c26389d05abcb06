/** What the fixtures of syn-proxy share: the scene, and the two ends of a conversation as frames. */
import type { Command } from '../../src/control/schema.js';
import { sharedMemory, SECRET_COOKIE } from '../../src/ipvs/shared.js';
import { Cookies, packData } from '../../src/ipvs/synproxy/cookie.js';
import type { SynproxyConfig } from '../../src/ipvs/synproxy/config.js';
import { parseIpv4 } from '../../src/wire/ipv4.js';
import { tcp, type TcpOptions } from '../support/frames.js';
import { macOf } from '../support/lab.js';
import { openSecret } from '../support/untouched.js';
import { EPOCH_MS } from './dpdk-lab.js';
import type { Fixture, Step } from './fixtures.js';

export const CLIENT_IP = '192.168.100.3';
export const RS_IP = '192.168.100.2';
export const VIP_IP = '192.168.100.100';
export const LIP_IP = '192.168.100.200';
const CLIENT_MAC = '02:00:00:00:00:03';
const RS_MAC = '02:00:00:00:00:02';

export type Mode = 'fullnat' | 'nat';
export const MODES: readonly Mode[] = ['fullnat', 'nat'];
export type Segment = Partial<TcpOptions> & { flags: string };

/** Both ends pass 2^32 within the first bytes. */
export const ISN = 0xfffffff8;
export const SERVER_ISN = 0xffffff00;
export const plus = (a: number, b: number): number => (a + b) >>> 0;
export const be32 = (v: number): number[] => [v >>> 24, (v >>> 16) & 255, (v >>> 8) & 255, v & 255];

/** Our clock of milliseconds, `ms` after the beginning. */
export const clock = (ms = 0): number[] => be32((EPOCH_MS + ms) >>> 0);
/** Time stamps in front of which two bytes of padding stand. */
export const stamps = (tsval: number | number[], tsecr: number | number[]): number[] => [
  1,
  1,
  8,
  10,
  ...(typeof tsval === 'number' ? be32(tsval) : tsval),
  ...(typeof tsecr === 'number' ? be32(tsecr) : tsecr),
];
export const sack = (...edges: number[]): number[] => [1, 1, 5, 2 + edges.length * 4, ...edges.flatMap(be32)];

export const SVC = { proto: 'tcp', addr: VIP_IP, port: 80 } as const;
export const DEST = { addr: RS_IP, port: 80 };

export const setup = (mode: Mode): Command[] => [
  { op: 'addr.add', dev: 'dpdk0', addr: VIP_IP, plen: 24, scope: 'global', validLft: 0, sapool: false },
  { op: 'neigh.add', dev: 'dpdk0', addr: CLIENT_IP, lladdr: CLIENT_MAC },
  { op: 'neigh.add', dev: 'dpdk0', addr: RS_IP, lladdr: RS_MAC },
  { op: 'svc.add', svc: SVC, scheduler: 'rr', synproxy: true },
  { op: 'dest.add', svc: SVC, dest: DEST, fwd: mode, weight: 1, maxConn: 0, minConn: 0 },
  { op: 'laddr.add', svc: SVC, addr: LIP_IP, dev: 'dpdk0' },
];

export const fixture = (
  mode: Mode,
  what: string,
  synproxy: Partial<SynproxyConfig>,
  steps: Step[],
  o: Partial<Fixture> = {},
): Fixture => ({ what: `syn-proxy ${mode}: ${what}`, setup: setup(mode), config: { synproxy }, steps, ...o });

export const step = (input: Uint8Array, ...output: Uint8Array[]): Step => ({
  in: [{ port: 0, frame: input }],
  out: output.map((frame) => ({ port: 0, frame })),
});
/** Time passes. */
export const wait = (ms: number, ...output: Uint8Array[]): Step => ({
  wait: ms,
  out: output.map((frame) => ({ port: 0, frame })),
});
export const command = (c: object): Step => ({ command: c as Command, out: [] });

/** What the first handshake says, and what becomes of it in the second one. */
export interface Terms {
  /** Options of the client's SYN, of our answer, of our SYN, of the real server's answer (by default as ours). */
  offer: number[];
  answer: number[];
  syn: number[];
  serverOffer?: number[];
  /** Options of the ACK that shows the cookie. */
  stamp?: number[];
  /** Options of our ACK to the real server. */
  confirmed?: number[];
  /** See `packData`. */
  data: number;
  /** Window of the client from then on, of our SYN, of our answer. */
  window?: number;
  synWindow?: number;
  ourWindow?: number;
}

/** All options that we may answer, and one that we know nothing of. */
export const OFFER = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7, 34, 2, 1, 1];
/** As we answer it by default. */
export const PLAIN: Terms = {
  offer: OFFER,
  answer: [2, 4, 5, 172, 4, 2, 1, 1],
  syn: [2, 4, 5, 180, 4, 2, 1, 1],
  data: packData(1460, 15, true, false),
};
/** With `wscale: 4, timestamp: true`. */
export const RICH: Terms = {
  offer: OFFER,
  answer: [2, 4, 5, 172, 4, 2, 8, 10, ...clock(), 0, 0, 0, 9, 1, 3, 3, 4],
  stamp: stamps(10, clock()),
  syn: [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 10, 0, 0, 0, 0, 1, 3, 3, 7],
  serverOffer: [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 10, 1, 3, 3, 6],
  confirmed: stamps(10, 0),
  data: packData(1460, 7, true, true),
  synWindow: 64_000,
};

const secret = new Uint32Array(openSecret(sharedMemory(1)).secret).subarray(SECRET_COOKIE);

/** One conversation: frames of its two ends, and of ours to them. Numbers are those of the sender that we stand for. */
export class Talk {
  readonly cookie: number;
  readonly isn: number;
  /** What the real server has in place of `isn`. */
  private readonly farIsn: number;
  private readonly client_: string;
  private readonly local: string;

  /**
   * @param o.atMs when the SYN comes, after the beginning
   * @param o.local our port towards the real server
   * @param o.farIsn the client's first number as the real server knows it
   */
  constructor(
    mode: Mode,
    readonly terms: Terms = PLAIN,
    o: { isn?: number; port?: number; local?: number; atMs?: number; farIsn?: number } = {},
  ) {
    const { port = 40000 } = o;
    this.isn = o.isn ?? ISN;
    this.farIsn = o.farIsn ?? this.isn;
    this.client_ = `${CLIENT_IP}:${port}`;
    this.local = mode === 'fullnat' ? `${LIP_IP}:${o.local ?? 1025}` : this.client_;
    this.cookie = new Cookies(secret, EPOCH_MS + (o.atMs ?? 0)).make(
      parseIpv4(CLIENT_IP),
      parseIpv4(VIP_IP),
      port * 65536 + SVC.port,
      this.isn,
      terms.data,
    );
  }
  /** The first bytes of the client and of ours towards it. */
  get seq(): number {
    return plus(this.isn, 1);
  }
  get ack(): number {
    return plus(this.cookie, 1);
  }
  /** The client's first byte as the real server knows it, and the real server's own. */
  get farSeq(): number {
    return plus(this.farIsn, 1);
  }
  get farAck(): number {
    return plus(SERVER_ISN, 1);
  }
  client(o: Segment): Uint8Array {
    return tcp({ smac: CLIENT_MAC, dmac: macOf(0), src: this.client_, dst: `${VIP_IP}:80`, ...o });
  }
  server(o: Segment): Uint8Array {
    return tcp({ smac: RS_MAC, dmac: macOf(0), src: `${RS_IP}:80`, dst: this.local, ...o });
  }
  toServer(o: Segment): Uint8Array {
    return tcp({ smac: macOf(0), dmac: RS_MAC, src: this.local, dst: `${RS_IP}:80`, ...o });
  }
  toClient(o: Segment): Uint8Array {
    return tcp({ smac: macOf(0), dmac: CLIENT_MAC, src: `${VIP_IP}:80`, dst: this.client_, ...o });
  }

  syn(o: Partial<TcpOptions> = {}): Uint8Array {
    return this.client({ flags: 'S', seq: this.isn, tcpOptions: this.terms.offer, ...o });
  }
  /** Our answer to the client's SYN. */
  answer(o: Partial<TcpOptions> = {}): Uint8Array {
    const { cookie, seq, terms } = this;
    const { ourWindow: window = 4356, answer: tcpOptions } = terms;
    return this.toClient({ flags: 'SA', seq: cookie, ack: seq, ttl: 63, df: true, window, tcpOptions, ...o });
  }
  /** What the client says next: with data or without. */
  shows(o: Partial<TcpOptions> = {}): Uint8Array {
    const { seq, ack, terms } = this;
    return this.client({
      flags: o.data === undefined ? 'A' : 'PA',
      seq,
      ack,
      window: terms.window ?? 500,
      tcpOptions: terms.stamp ?? [],
      ...o,
    });
  }
  /** Our SYN. */
  asks(o: Partial<TcpOptions> = {}): Uint8Array {
    const { terms, farIsn: seq } = this;
    const window = terms.synWindow ?? terms.window ?? 500;
    return this.toServer({ flags: 'S', seq, df: true, window, tcpOptions: terms.syn, ...o });
  }
  /** The real server's answer. */
  accepts(o: Partial<TcpOptions> = {}): Uint8Array {
    const tcpOptions = this.terms.serverOffer ?? this.terms.syn;
    return this.server({ flags: 'SA', seq: SERVER_ISN, ack: this.farSeq, tcpOptions, ...o });
  }
  /** Our ACK to it. */
  confirms(o: Partial<TcpOptions> = {}): Uint8Array {
    const { farSeq: seq, farAck: ack, terms } = this;
    const { window = 500, confirmed: tcpOptions = [] } = terms;
    return this.toServer({ flags: 'A', seq, ack, df: true, window, tcpOptions, ...o });
  }

  opening(): Step {
    return step(this.syn(), this.answer());
  }
  showing(): Step {
    return step(this.shows(), this.asks());
  }
  joining(): Step {
    return step(this.accepts(), this.confirms());
  }
  /** Both handshakes. */
  joined(): Step[] {
    return [this.opening(), this.showing(), this.joining()];
  }

  /** A segment of the client with bytes from `at` on that acknowledges `got`; what the real server sees differs by `seen`. */
  up(at: number, got: number, o: Segment, seen: Partial<TcpOptions> = {}): Step {
    return step(
      this.client({ seq: plus(this.seq, at), ack: plus(this.ack, got), ...o }),
      this.toServer({ seq: plus(this.farSeq, at), ack: plus(this.farAck, got), ...o, ...seen }),
    );
  }
  /** The same of the real server. */
  down(at: number, got: number, o: Segment, seen: Partial<TcpOptions> = {}): Step {
    return step(
      this.server({ seq: plus(this.farAck, at), ack: plus(this.farSeq, got), ...o }),
      this.toClient({ seq: plus(this.ack, at), ack: plus(this.seq, got), ...o, ...seen }),
    );
  }
}

/** What the packets of both handshakes, the ACK bare, are dropped as: they have done what they were for. */
export const HANDSHAKE = { SYNPROXY_ACK: 1, SYNPROXY_SYNACK: 1 };
/** What a joined connection has counted. */
export const JOINED = { SYNPROXY_ANSWERED: 1, SYNPROXY_OPENED: 1, SYNPROXY_JOINED: 1 };
