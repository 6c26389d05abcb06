/**
 * Features of services, byte for byte on both paths (see fixtures.ts): persistence, one-packet scheduling, bandwidth, limits, all
 * ports, expire-quiescent, passive checks. By NAT, where every frame tells which real server was chosen; client, real servers and
 * we on one link.
 */
import { type Command, type CommandInput, type CommandName, COMMANDS } from '../../src/control/schema.js';
import { ramp, tcp, udp } from '../support/frames.js';
import type { TcpOptions, UdpOptions } from '../support/frames.js';
import { macOf } from '../support/lab.js';
import type { Fixture, Step } from './fixtures.js';

type SvcOptions = Omit<CommandInput<'svc.add'>, 'svc'>;
type DestOptions = Omit<CommandInput<'dest.add'>, 'svc' | 'dest' | 'fwd'>;
type Any = Partial<TcpOptions & UdpOptions>;

const VIP_IP = '192.168.100.100';
const MAC = {
  '192.168.100.3': '02:00:00:00:00:03',
  '192.168.100.5': '02:00:00:00:00:05',
  '192.168.100.2': '02:00:00:00:00:02',
  '192.168.100.4': '02:00:00:00:00:04',
} as const;
type Host = keyof typeof MAC;
export const CLIENT = '192.168.100.3';
export const OTHER = '192.168.100.5';
/** Real servers, in the order in which a scheduler takes turns. */
const RS = ['192.168.100.2', '192.168.100.4'] as const;

export const command = <N extends CommandName>(op: N, params: CommandInput<N>): Command =>
  ({ op, ...COMMANDS[op].parse(params) }) as Command;

/** A service with two real servers, and the frames that pass it. */
export class Scenery {
  private readonly port: number;
  private readonly rsPort: number;
  readonly svc: { proto: 'tcp' | 'udp'; addr: string; port: number };

  constructor(
    private readonly proto: 'tcp' | 'udp',
    private readonly options: Partial<SvcOptions> = {},
    private readonly destOptions: DestOptions = {},
    port = 80,
  ) {
    this.port = port;
    this.rsPort = port === 0 ? 0 : 8080;
    this.svc = { proto, addr: VIP_IP, port };
  }

  fixture(what: string, steps: Step[], o: Partial<Fixture>): Fixture {
    const setup = [
      command('addr.add', { dev: 'dpdk0', addr: VIP_IP, plen: 24 }),
      ...Object.entries(MAC).map(([addr, lladdr]) => command('neigh.add', { dev: 'dpdk0', addr, lladdr })),
      command('svc.add', { svc: this.svc, scheduler: 'rr', ...this.options }),
      ...RS.map((addr) =>
        command('dest.add', {
          svc: this.svc,
          dest: { addr, port: this.rsPort },
          fwd: 'nat',
          ...this.destOptions,
        }),
      ),
    ];
    return { setup, what: `${this.proto.toUpperCase()} ${what}`, steps, ...o };
  }

  edit(rs: 0 | 1, o: Omit<CommandInput<'dest.edit'>, 'svc' | 'dest'>): Command {
    return command('dest.edit', { svc: this.svc, dest: { addr: RS[rs], port: this.rsPort }, ...o });
  }

  private frame(smac: string, dmac: string, src: string, dst: string, o: Any): Uint8Array {
    return (this.proto === 'tcp' ? tcp : udp)({ ...o, smac, dmac, src, dst });
  }

  /** From the client's port `from` (to port `to` where the service has all of them). @param rs who gets it; -1 = nobody */
  in(client: Host, from: number, rs: 0 | 1 | -1, o: Any, to = this.port): Step {
    const src = `${client}:${from}`;
    const sent = this.frame(MAC[client], macOf(0), src, `${VIP_IP}:${to}`, o);
    const step = { in: [{ port: 0, frame: sent }] };
    if (rs < 0) return { ...step, out: [] };
    const dst = RS[rs as 0 | 1];
    const passed = this.frame(macOf(0), MAC[dst], src, `${dst}:${this.rsPort || to}`, o);
    return { ...step, out: [{ port: 0, frame: passed }] };
  }

  back(client: Host, to: number, rs: 0 | 1, o: Any, from = this.port): Step {
    const src = RS[rs];
    const dst = `${client}:${to}`;
    return {
      in: [{ port: 0, frame: this.frame(MAC[src], macOf(0), `${src}:${this.rsPort || from}`, dst, o) }],
      out: [{ port: 0, frame: this.frame(macOf(0), MAC[client], `${VIP_IP}:${from}`, dst, o) }],
    };
  }

  /** A handshake and some data both ways: the native loop takes it over. */
  open(client: Host, port: number, rs: 0 | 1, to = this.port): Step[] {
    return [
      this.in(client, port, rs, { flags: 'S', seq: 1000 }, to),
      this.back(client, port, rs, { flags: 'SA', seq: 9000, ack: 1001 }, to),
      this.in(client, port, rs, { flags: 'A', seq: 1001, ack: 9001 }, to),
      this.in(client, port, rs, { flags: 'PA', seq: 1001, ack: 9001, data: 'question' }, to),
      this.back(client, port, rs, { flags: 'PA', seq: 9001, ack: 1009, data: 'answer' }, to),
    ];
  }

  /** The server resets it: it is gone some seconds later. */
  reset(client: Host, port: number, rs: 0 | 1): Step {
    return this.back(client, port, rs, { flags: 'R', seq: 9007 });
  }

  refused(client: Host, port: number): Step {
    return this.in(client, port, -1, { flags: 'S', seq: 1 });
  }
}

/** What both ends are told of a connection that ends here; see scene.ts for the window and the TTL of our own datagrams. */
export const RESET = (seq: number, ack: number): Any => ({ flags: 'RA', seq, ack, window: 0, df: true });
const wait = (ms: number): Step => ({ wait: ms, out: [] });
const then = (c: Command): Step => ({ command: c, out: [] });

const turns = new Scenery('tcp');
const persistent = new Scenery('tcp', { persistent: 20 });
const masked = new Scenery('tcp', { persistent: 20, netmask: '255.255.255.0' });
const once = new Scenery('udp', { onePacket: true });
const slow = new Scenery('udp', { bps: 8000 });
const limited = new Scenery('tcp', {}, { maxConn: 1 });
const hysteresis = new Scenery('tcp', {}, { maxConn: 2, minConn: 1 });
const allPorts = new Scenery('tcp', { persistent: 300 }, {}, 0);
const quiescent = new Scenery('tcp', { expireQuiescent: true });
const quiescentUdp = new Scenery('udp', { expireQuiescent: true });
const PASSIVE = { downRetry: 1, downWait: 3, restore: { upConfirm: 1, min: 5, max: 3600 } };
const checked = new Scenery('tcp', { destCheck: { passive: PASSIVE, external: [] } });

export const FEATURES: Fixture[] = [
  turns.fixture(
    'without persistence takes turns, also for one client',
    [...turns.open(CLIENT, 1, 0), ...turns.open(CLIENT, 2, 1), ...turns.open(CLIENT, 3, 0)],
    { open: 3 },
  ),
  persistent.fixture(
    'persistence: a client keeps its real server, another one gets the next',
    [
      ...persistent.open(CLIENT, 1, 0),
      ...persistent.open(CLIENT, 2, 0),
      ...persistent.open(OTHER, 3, 1),
      ...persistent.open(CLIENT, 4, 0),
      ...persistent.open(OTHER, 5, 1),
    ],
    { open: 5 },
  ),
  persistent.fixture(
    'persistence lasts for its time beyond the last connection, and no longer',
    [
      ...persistent.open(CLIENT, 1, 0),
      persistent.reset(CLIENT, 1, 0),
      wait(20_000),
      ...persistent.open(CLIENT, 2, 0),
      persistent.reset(CLIENT, 2, 0),
      wait(30_000),
      ...persistent.open(CLIENT, 3, 1),
    ],
    { open: 1 },
  ),
  masked.fixture(
    'persistence with a netmask: the clients of a network keep one real server',
    [...masked.open(CLIENT, 1, 0), ...masked.open(OTHER, 2, 0), ...masked.open(CLIENT, 3, 0)],
    { open: 3 },
  ),
  persistent.fixture(
    'persistence: a real server that is taken for dead loses its clients, their connections go on',
    [
      ...persistent.open(CLIENT, 1, 0),
      then(persistent.edit(0, { inhibited: true })),
      ...persistent.open(CLIENT, 2, 1),
      persistent.in(CLIENT, 1, 0, { flags: 'PA', seq: 1009, ack: 9007, data: 'more' }),
    ],
    { open: 2 },
  ),
  once.fixture(
    'one-packet scheduling: each datagram of one client goes to the next real server, answers of both come from the service',
    [
      once.in(CLIENT, 1, 0, { data: 'a' }),
      once.back(CLIENT, 1, 0, { data: 'A' }),
      once.in(CLIENT, 1, 1, { data: 'b' }),
      once.back(CLIENT, 1, 1, { data: 'B' }),
      once.in(CLIENT, 1, 0, { data: 'c' }),
      once.back(CLIENT, 1, 0, { data: 'C' }),
      wait(5000),
    ],
    {},
  ),
  slow.fixture(
    'bandwidth: 1000 bytes a second pass, what is over is dropped, each direction for itself',
    [
      slow.in(CLIENT, 1, 0, { data: ramp(472) }),
      slow.in(CLIENT, 1, -1, { data: ramp(472) }),
      slow.back(CLIENT, 1, 0, { data: ramp(472) }),
      wait(1000),
      slow.in(CLIENT, 1, 0, { data: ramp(472) }),
      slow.in(CLIENT, 1, -1, { data: ramp(472) }),
    ],
    { open: 1, drops: { SVC_RATE: 2 } },
  ),
  limited.fixture(
    'upper limit: a real server that is full gets no more, the last place is one place',
    [
      ...limited.open(CLIENT, 1, 0),
      ...limited.open(CLIENT, 2, 1),
      limited.refused(OTHER, 3),
      limited.in(CLIENT, 1, 0, { flags: 'PA', seq: 1009, ack: 9007, data: 'more' }),
      limited.reset(CLIENT, 2, 1),
      wait(4000),
      ...limited.open(OTHER, 3, 1),
      limited.refused(OTHER, 4),
    ],
    { open: 2, drops: { SVC_OVERLOAD: 2 } },
  ),
  hysteresis.fixture(
    'lower limit: a real server that was full gets more when it has fewer than that',
    [
      ...[1, 2, 3, 4].flatMap((port) => hysteresis.open(CLIENT, port, port % 2 === 1 ? 0 : 1)),
      hysteresis.refused(CLIENT, 5),
      hysteresis.reset(CLIENT, 1, 0),
      wait(4000),
      hysteresis.refused(CLIENT, 5),
      hysteresis.reset(CLIENT, 3, 0),
      wait(4000),
      ...hysteresis.open(CLIENT, 6, 0),
      ...hysteresis.open(CLIENT, 7, 0),
      hysteresis.refused(CLIENT, 8),
    ],
    { open: 4, drops: { SVC_OVERLOAD: 3 } },
  ),
  allPorts.fixture(
    'all ports: one real server for all of a client, each connection at its port',
    [
      ...allPorts.open(CLIENT, 1, 0, 80),
      ...allPorts.open(CLIENT, 2, 0, 443),
      ...allPorts.open(OTHER, 1, 1, 8081),
    ],
    { open: 3 },
  ),
  quiescent.fixture(
    'expire-quiescent: the next packet to a drained real server ends the connection, both ends are told',
    [
      ...quiescent.open(CLIENT, 1, 0),
      ...quiescent.open(CLIENT, 2, 1),
      then(quiescent.edit(0, { weight: 0 })),
      {
        in: quiescent.in(CLIENT, 1, 0, { flags: 'PA', seq: 1009, ack: 9007, data: 'more' }).in!,
        out: [
          ...quiescent.back(CLIENT, 1, 0, RESET(9007, 1009)).out,
          ...quiescent.in(CLIENT, 1, 0, RESET(1009, 9007)).out,
        ],
      },
      quiescent.in(CLIENT, 2, 1, { flags: 'PA', seq: 1009, ack: 9007, data: 'more' }),
      ...quiescent.open(CLIENT, 3, 1),
    ],
    { open: 2, drops: { CONN_DEST_GONE: 1 } },
  ),
  quiescentUdp.fixture(
    'expire-quiescent: the datagram after that one gets another real server',
    [
      quiescentUdp.in(CLIENT, 1, 0, { data: 'a' }),
      quiescentUdp.back(CLIENT, 1, 0, { data: 'A' }),
      quiescentUdp.in(CLIENT, 1, 0, { data: 'b' }),
      then(quiescentUdp.edit(0, { weight: 0 })),
      quiescentUdp.in(CLIENT, 1, -1, { data: 'c' }),
      quiescentUdp.in(CLIENT, 1, 1, { data: 'd' }),
    ],
    { open: 1, drops: { CONN_DEST_GONE: 1 } },
  ),
  checked.fixture(
    'passive check: a real server that is out gets no new connections, keeps the old ones, and is back with its turn',
    [
      ...checked.open(CLIENT, 1, 0),
      then(checked.edit(0, { checkInhibited: true })),
      ...checked.open(CLIENT, 2, 1),
      ...checked.open(CLIENT, 3, 1),
      checked.in(CLIENT, 1, 0, { flags: 'PA', seq: 1009, ack: 9007, data: 'more' }),
      checked.back(CLIENT, 1, 0, { flags: 'PA', seq: 9007, ack: 1013, data: 'more' }),
      then(checked.edit(0, { inhibited: true, checkInhibited: false })),
      ...checked.open(CLIENT, 4, 1),
      then(checked.edit(0, { inhibited: false })),
      ...checked.open(CLIENT, 5, 0),
    ],
    { open: 5 },
  ),
];
