/**
 * Syn-proxy in packets: the SYN is answered by the native loop where that runs and by TypeScript where it does not, to the same
 * byte; so is all that follows when both ends are joined.
 */
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

const CLIENT_IP = '192.168.100.3';
const RS_IP = '192.168.100.2';
const VIP_IP = '192.168.100.100';
const LIP_IP = '192.168.100.200';
const CLIENT_MAC = '02:00:00:00:00:03';
const RS_MAC = '02:00:00:00:00:02';
const CLIENT = `${CLIENT_IP}:40000`;
const VIP = `${VIP_IP}:80`;
const RS = `${RS_IP}:80`;

type Mode = 'fullnat' | 'nat';
type Segment = Partial<TcpOptions> & { flags: string };

const ISN = 0xfffffff8;
const SERVER_ISN = 0xffffff00;
const plus = (a: number, b: number): number => (a + b) >>> 0;

/** All options that we may answer, and one that we know nothing of. */
const OFFER = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7, 34, 2, 1, 1];

function cookieOf(src: string, data: number): number {
  const secret = new Uint32Array(openSecret(sharedMemory(1)).secret).subarray(SECRET_COOKIE);
  const [addr, port] = src.split(':') as [string, string];
  return new Cookies(secret, EPOCH_MS).make(
    parseIpv4(addr),
    parseIpv4(VIP_IP),
    Number(port) * 65536 + 80,
    ISN,
    data,
  );
}

const SVC = { proto: 'tcp', addr: VIP_IP, port: 80 } as const;

const setup = (mode: Mode): Command[] => {
  const svc = SVC;
  return [
    { op: 'addr.add', dev: 'dpdk0', addr: VIP_IP, plen: 24, scope: 'global', validLft: 0, sapool: false },
    { op: 'neigh.add', dev: 'dpdk0', addr: CLIENT_IP, lladdr: CLIENT_MAC },
    { op: 'neigh.add', dev: 'dpdk0', addr: RS_IP, lladdr: RS_MAC },
    { op: 'svc.add', svc, scheduler: 'rr', synproxy: true },
    { op: 'dest.add', svc, dest: { addr: RS_IP, port: 80 }, fwd: mode, weight: 1, maxConn: 0, minConn: 0 },
    { op: 'laddr.add', svc, addr: LIP_IP, dev: 'dpdk0' },
  ] as Command[];
};

/** Frames of one conversation. */
class Talk {
  readonly local: string;
  constructor(
    mode: Mode,
    readonly cookie: number,
  ) {
    this.local = mode === 'fullnat' ? `${LIP_IP}:1025` : CLIENT;
  }
  get ack(): number {
    return plus(this.cookie, 1);
  }
  client(o: Segment): Uint8Array {
    return tcp({ smac: CLIENT_MAC, dmac: macOf(0), src: CLIENT, dst: VIP, ...o });
  }
  server(o: Segment): Uint8Array {
    return tcp({ smac: RS_MAC, dmac: macOf(0), src: RS, dst: this.local, ...o });
  }
  toServer(o: Segment): Uint8Array {
    return tcp({ smac: macOf(0), dmac: RS_MAC, src: this.local, dst: RS, ...o });
  }
  toClient(o: Segment): Uint8Array {
    return tcp({ smac: macOf(0), dmac: CLIENT_MAC, src: VIP, dst: CLIENT, ...o });
  }
  synAck(o: Partial<TcpOptions> = {}): Uint8Array {
    const { cookie: seq } = this;
    return this.toClient({ flags: 'SA', seq, ack: plus(ISN, 1), ttl: 63, df: true, window: 4356, ...o });
  }
  /** SYN and our answer, ACK and our SYN, SYN-ACK and our ACK. */
  joined(o: {
    offer: number[];
    answer: number[];
    syn: number[];
    serverOffer?: number[];
    stamp?: number[];
  }): Step[] {
    const first = { seq: plus(ISN, 1), window: 500, tcpOptions: o.stamp ?? [] };
    return [
      step(this.client({ flags: 'S', seq: ISN, tcpOptions: o.offer }), this.synAck({ tcpOptions: o.answer })),
      step(
        this.client({ ...first, flags: 'A', ack: this.ack }),
        this.toServer({
          flags: 'S',
          seq: ISN,
          df: true,
          window: o.syn.includes(3) && o.syn.includes(7) ? 64000 : 500,
          tcpOptions: o.syn,
        }),
      ),
      step(
        this.server({ flags: 'SA', seq: SERVER_ISN, ack: plus(ISN, 1), tcpOptions: o.serverOffer ?? o.syn }),
        this.toServer({ flags: 'A', seq: plus(ISN, 1), ack: plus(SERVER_ISN, 1), df: true, window: 500 }),
      ),
    ];
  }
}

const step = (input: Uint8Array, ...output: Uint8Array[]): Step => ({
  in: [{ port: 0, frame: input }],
  out: output.map((frame) => ({ port: 0, frame })),
});

const HANDSHAKE = { SYNPROXY_ACK: 1, SYNPROXY_SYNACK: 1 };

function fixtures(mode: Mode): Fixture[] {
  const fixture = (
    what: string,
    synproxy: Partial<SynproxyConfig>,
    steps: Step[],
    o: Partial<Fixture> = {},
  ): Fixture => ({
    what: `syn-proxy ${mode}: ${what}`,
    setup: setup(mode),
    config: { synproxy },
    steps,
    ...o,
  });
  const plain = new Talk(mode, cookieOf(CLIENT, packData(1460, 15, true, false)));
  const rich = new Talk(mode, cookieOf(CLIENT, packData(1460, 7, true, true)));
  const bare = new Talk(mode, cookieOf(CLIENT, packData(536, 15, false, false)));
  const small = [2, 4, 5, 172, 4, 2, 1, 1];
  const now = [EPOCH_MS >>> 24, (EPOCH_MS >>> 16) & 255, (EPOCH_MS >>> 8) & 255, EPOCH_MS & 255].map(
    (v) => v & 255,
  );
  const seq = plus(ISN, 1);
  const hello = 'hello, this goes over the wrap';
  const sack = (from: number): number[] => {
    const edge = (v: number): number[] => [v >>> 24, (v >>> 16) & 255, (v >>> 8) & 255, v & 255];
    return [1, 1, 5, 10, ...edge(plus(from, 4)), ...edge(plus(from, 8))];
  };
  return [
    fixture('a SYN without options', {}, [
      step(plain.client({ flags: 'S', seq: ISN }), bare.synAck({ tcpOptions: [2, 4, 2, 24], window: 4356 })),
    ]),
    fixture(
      'a SYN that a list refuses gets no answer',
      {},
      [
        { op: 'acl.add', svc: SVC, list: 'black', entries: ['192.168.100.2/31'] },
        { op: 'acl.flush', svc: SVC },
        { op: 'acl.add', list: 'black', entries: ['192.168.0.0/16'] },
        { op: 'acl.add', list: 'white', entries: [CLIENT_IP] },
        { op: 'acl.add', svc: SVC, list: 'white', entries: [RS_IP] },
        { op: 'acl.add', svc: SVC, list: 'white', entries: [CLIENT_IP] },
      ].flatMap((command, i) => [
        { command: command as Command, out: [] },
        step(
          plain.client({ flags: 'S', seq: ISN }),
          // Refused after the first, third and fifth.
          ...(i % 2 === 0 ? [] : [bare.synAck({ tcpOptions: [2, 4, 2, 24] })]),
        ),
      ]),
      { drops: { ACL_BLACKLIST: 2, ACL_WHITELIST: 1 } },
    ),
    fixture(
      'SYNs of every kind are answered, or not',
      { mss: 1400, sack: false, ttl: 9, maxAckSaved: 63 },
      [
        step(
          plain.client({
            flags: 'S',
            seq: ISN,
            tcpOptions: OFFER,
            ttl: 1,
            tos: 4,
            id: 77,
            data: 'fast open',
          }),
          new Talk(mode, cookieOf(CLIENT, packData(1460, 15, false, false))).synAck({
            tcpOptions: [2, 4, 5, 120],
            window: 65535,
            ttl: 9,
          }),
        ),
        // ECN is not agreed upon.
        step(
          plain.client({ flags: 'SEC', seq: ISN }),
          bare.synAck({ tcpOptions: [2, 4, 2, 24], window: 65535, ttl: 9 }),
        ),
        step(plain.client({ flags: 'S', seq: ISN, badL4Checksum: true })),
        step(plain.client({ flags: 'SA', seq: ISN })),
        step(plain.client({ flags: 'SF', seq: ISN })),
        step(plain.client({ flags: 'S', seq: ISN, src: `${VIP_IP}:1` })),
        step(plain.client({ flags: 'S', seq: ISN, src: '192.168.100.255:1' })),
        step(plain.client({ flags: 'S', seq: ISN, src: '127.0.0.1:1' })),
        step(plain.client({ flags: 'S', seq: ISN, src: '224.0.0.1:1' })),
        step(plain.client({ flags: 'S', seq: ISN, smac: '03:00:00:00:00:01' })),
        step(plain.client({ flags: 'S', seq: ISN, mf: true, data: 'x'.repeat(28) })),
      ],
      {
        drops: {
          SYNPROXY_BAD_SUM: 1,
          CONN_NO_SYN: 2,
          IP_BAD_ADDR: 4,
          SYNPROXY_STRAY: 1,
          SYNPROXY_FRAGMENT: 1,
        },
      },
    ),
    fixture('malformed options end the list', {}, [
      step(
        plain.client({ flags: 'S', seq: ISN, tcpOptions: [1, 4, 2, 3, 1, 2, 4, 9] }),
        new Talk(mode, cookieOf(CLIENT, packData(536, 15, true, false))).synAck({
          tcpOptions: [2, 4, 2, 24, 4, 2, 1, 1],
        }),
      ),
    ]),
    fixture(
      'a whole connection, over the wrap of both ends',
      {},
      [
        ...plain.joined({ offer: OFFER, answer: small, syn: [2, 4, 5, 180, 4, 2, 1, 1] }),
        step(
          plain.client({ flags: 'PA', seq, ack: plain.ack, data: hello }),
          plain.toServer({ flags: 'PA', seq, ack: plus(SERVER_ISN, 1), data: hello }),
        ),
        step(
          plain.server({ flags: 'PA', seq: plus(SERVER_ISN, 1), ack: plus(seq, 30), data: 'x'.repeat(400) }),
          plain.toClient({ flags: 'PA', seq: plain.ack, ack: plus(seq, 30), data: 'x'.repeat(400) }),
        ),
        step(
          plain.client({
            flags: 'A',
            seq: plus(seq, 30),
            ack: plus(plain.ack, 400),
            tcpOptions: sack(plus(plain.ack, 400)),
          }),
          plain.toServer({
            flags: 'A',
            seq: plus(seq, 30),
            ack: plus(SERVER_ISN, 401),
            tcpOptions: sack(plus(SERVER_ISN, 401)),
          }),
        ),
        // The real server's SYN-ACK again: the client says where it is.
        step(
          plain.server({ flags: 'SA', seq: SERVER_ISN, ack: seq }),
          plain.toClient({ flags: 'SA', seq: plain.cookie, ack: seq }),
        ),
        // Both close at once.
        step(
          plain.client({ flags: 'FA', seq: plus(seq, 30), ack: plus(plain.ack, 400) }),
          plain.toServer({ flags: 'FA', seq: plus(seq, 30), ack: plus(SERVER_ISN, 401) }),
        ),
        step(
          plain.server({ flags: 'FA', seq: plus(SERVER_ISN, 401), ack: plus(seq, 30) }),
          plain.toClient({ flags: 'FA', seq: plus(plain.ack, 400), ack: plus(seq, 30) }),
        ),
        step(
          plain.client({ flags: 'A', seq: plus(seq, 31), ack: plus(plain.ack, 401) }),
          plain.toServer({ flags: 'A', seq: plus(seq, 31), ack: plus(SERVER_ISN, 402) }),
        ),
        step(
          plain.server({ flags: 'A', seq: plus(SERVER_ISN, 402), ack: plus(seq, 31) }),
          plain.toClient({ flags: 'A', seq: plus(plain.ack, 401), ack: plus(seq, 31) }),
        ),
        { wait: 10_000, out: [] },
      ],
      { drops: HANDSHAKE },
    ),
    fixture(
      'window scale and time stamps for life',
      { wscale: 4, timestamp: true },
      [
        ...rich.joined({
          offer: OFFER,
          answer: [2, 4, 5, 172, 4, 2, 8, 10, ...now, 0, 0, 0, 9, 1, 3, 3, 4],
          stamp: [1, 1, 8, 10, 0, 0, 0, 10, ...now],
          syn: [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 10, 0, 0, 0, 0, 1, 3, 3, 7],
          serverOffer: [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 10, 1, 3, 3, 6],
        }),
        step(
          rich.server({
            flags: 'A',
            seq: plus(SERVER_ISN, 1),
            ack: seq,
            window: 300,
            tcpOptions: [8, 10, 0, 0, 0, 0, 0, 0, 0, 10, 1, 1],
          }),
          rich.toClient({
            flags: 'A',
            seq: rich.ack,
            ack: seq,
            window: 1200,
            tcpOptions: [8, 10, ...now, 0, 0, 0, 10, 1, 1],
          }),
        ),
        step(
          rich.client({
            flags: 'A',
            seq,
            ack: rich.ack,
            window: 77,
            tcpOptions: [1, 8, 10, 0, 0, 0, 11, ...now, 1],
          }),
          rich.toServer({
            flags: 'A',
            seq,
            ack: plus(SERVER_ISN, 1),
            window: 77,
            tcpOptions: [1, 8, 10, 0, 0, 0, 11, 0, 0, 0, 0, 1],
          }),
        ),
      ],
      { drops: HANDSHAKE, open: 1 },
    ),
    fixture(
      'a reset of the client ends a joined connection',
      {},
      [
        ...plain.joined({ offer: OFFER, answer: small, syn: [2, 4, 5, 180, 4, 2, 1, 1] }),
        step(plain.client({ flags: 'R', seq }), plain.toServer({ flags: 'R', seq })),
        { wait: 4000, out: [] },
      ],
      { drops: HANDSHAKE },
    ),
  ];
}

export const SYNPROXY_FIXTURES: readonly Fixture[] = [...fixtures('fullnat'), ...fixtures('nat')];
