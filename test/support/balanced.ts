/**
 * The whole scene, ready to use: topology, daemon, real servers (nginx on 80, UDP echo on 7), services on the VIP, and a
 * recorder of every frame that dpvs sends. Services are made with the tools, as a user would.
 */
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Lcore, Link } from '../../src/control/results.js';
import { Daemon, type DaemonOptions } from './daemon.js';
import { Recorder } from './judge.js';
import { type Kept, until } from './process.js';
import { startNginx } from './servers/nginx.js';
import { ADDRESS, type Device, Topology } from './topology.js';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
export const AGENT = {
  httpLoad: here('agents/http-load.mjs'),
  udpSizes: here('agents/udp-sizes.mjs'),
  tcpHold: here('agents/tcp-hold.mjs'),
  mutate: here('agents/mutate.py'),
  sctp: here('agents/sctp.py'),
};
export const UDP_ECHO = here('servers/udp-echo.mjs');

export const BIG_BYTES = 100 * 1024 * 1024;

export interface HttpLoad {
  ok: number;
  failed: number;
  errors: Record<string, number>;
  servers: Record<string, number>;
}

/** Short life for connections that have ended, so that a test sees them go. */
export const SHORT_TIMEOUTS = `
    tcp {
        timeout {
            syn_sent 3
            syn_recv 3
            fin_wait 2
            time_wait 2
            close 2
            close_wait 2
            last_ack 2
        }
    }
    udp {
        timeout {
            oneway 3
            normal 3
        }
    }`;

/** Values of `rx + generated + redirIn - (tx + redirOut + punted + drops + held)`, summed over the data lcores. */
export async function imbalance(
  d: Daemon,
): Promise<{ difference: number; held: number; terms: Record<string, number> }> {
  const workers = (await d.call('lcore.list', {})).filter((l) => l.role === 'worker');
  const drops = (await d.call('drop.list', {})).reduce((sum, r) => sum + r.count, 0);
  const sum = (name: string): number =>
    workers.reduce((s: number, l: Lcore) => {
      const v = l.stats[name];
      if (v === undefined) throw new Error(`lcore.list has no counter '${name}'`);
      return s + v;
    }, 0);
  const terms: Record<string, number> = { drops };
  for (const name of ['rxPackets', 'generated', 'redirIn', 'txPackets', 'redirOut', 'punted', 'held']) {
    terms[name] = sum(name);
  }
  const t = terms as Record<string, number> & { held: number };
  const difference =
    t['rxPackets']! +
    t['generated']! +
    t['redirIn']! -
    (t['txPackets']! + t['redirOut']! + t['punted']! + drops + t.held);
  return { difference, held: t.held, terms };
}

/** Waits until every packet is accounted for: with traffic in flight, counters are read at different moments. */
export async function settled(d: Daemon): Promise<Record<string, number>> {
  let seen = {};
  return until(
    'every packet is accounted for',
    async () => {
      const { difference, terms } = await imbalance(d);
      seen = { difference, ...terms };
      return difference === 0 ? terms : undefined;
    },
    10_000,
  ).catch((error: Error) => {
    throw new Error(`${error.message}: ${JSON.stringify(seen)}`);
  });
}

export interface UdpSizes {
  answered: number;
  wrong: number;
  unanswered: number[];
}

/** Sends a datagram of each size to the echo service, and waits for it to come back. */
export async function udpSizes(t: Topology, from: number, to: number): Promise<UdpSizes> {
  const args = [AGENT.udpSizes, ADDRESS.vip, '7', String(from), String(to)];
  return JSON.parse(await t.succeed('client', ['node', ...args])) as UdpSizes;
}

export interface HoldResult {
  answers: number;
  maxGapMs: number;
  errors: string[];
  /** By the client's port. */
  ports: Record<string, { answers: number; maxGapMs: number }>;
}

/** Connections that a client holds open. */
export class Held {
  constructor(private readonly child: Kept) {}

  /** Local ports of those that have ended by themselves, sorted. */
  get endedPorts(): number[] {
    const ends = [...this.child.stdout.matchAll(/"ended":(\d+)\}/g)];
    return ends.map((m) => Number(m[1])).sort((x, y) => x - y);
  }

  /** Closes them. @returns what happened on them */
  async end(): Promise<HoldResult> {
    this.child.process.stdin!.end();
    const { stdout, stderr } = await this.child.ended;
    const last = stdout.trim().split('\n').at(-1)!;
    if (!last.includes('"errors"')) throw new Error(`tcp-hold ended early: ${stdout}${stderr}`);
    return JSON.parse(last) as HoldResult;
  }
}

export class Balanced {
  readonly nginx: Partial<Record<'rs1' | 'rs2', Kept>> = {};
  private recorder: Recorder | undefined;

  private constructor(
    readonly t: Topology,
    readonly daemon: Daemon,
    readonly link: Link,
  ) {}

  static async start(device: Device, options: DaemonOptions = {}): Promise<Balanced> {
    const t = Topology.create(device, options.lcores ?? 1);
    try {
      const daemon = await Daemon.start(t, options);
      const [link] = await daemon.call('link.list', { dev: 'dpdk0' });
      const b = new Balanced(t, daemon, link!);
      await b.servers();
      await b.record();
      await b.services();
      return b;
    } catch (error) {
      await t.remove();
      throw error;
    }
  }

  /** Starts (again) to record what dpvs sends. */
  async record(): Promise<void> {
    this.recorder = await Recorder.start(this.t, this.link.mac);
  }

  /** Has the servers offer a file of BIG_BYTES as /big. @returns its SHA-256 */
  offerBig(): string {
    const big = randomBytes(BIG_BYTES);
    writeFileSync(join(this.t.dir, 'big'), big);
    return createHash('sha256').update(big).digest('hex');
  }

  /** Ends the recording and has it judged. */
  judge(options?: Parameters<Recorder['judge']>[0]): ReturnType<Recorder['judge']> {
    if (!this.recorder) throw new Error('nothing is being recorded');
    const recorder = this.recorder;
    this.recorder = undefined;
    return recorder.judge(options);
  }

  /**
   * `count` fetches from the client, `concurrency` at a time, each over a connection of its own.
   * @param firstPort with it, no two use the same local port
   */
  async http(count: number, concurrency: number, firstPort?: number): Promise<HttpLoad> {
    const args = [AGENT.httpLoad, `http://${ADDRESS.vip}/`, String(count), String(concurrency)];
    if (firstPort !== undefined) args.push(String(firstPort));
    return JSON.parse(await this.t.succeed('client', ['node', ...args])) as HttpLoad;
  }

  udpSizes(from: number, to: number): Promise<UdpSizes> {
    return udpSizes(this.t, from, to);
  }

  /**
   * Opens connections from the client, one after the other, and holds them.
   * @param everyMs with it, each fetches a page over and over, with that pause in between
   */
  async hold(port: number, count: number, everyMs?: number): Promise<Held> {
    const args = [AGENT.tcpHold, ADDRESS.vip, String(port), String(count)];
    if (everyMs !== undefined) args.push(String(everyMs));
    const child = this.t.keep('client', ['node', ...args]);
    await until(`${count} connections are open`, () => {
      if (!child.running) throw new Error(child.stderr);
      return child.stdout.includes('"open"');
    });
    return new Held(child);
  }

  /** Established connections of a service by real server: `{ '192.168.100.2': 10 }`. */
  async activeByServer(proto: 'tcp' | 'udp', port: number): Promise<Record<string, number>> {
    const [svc] = await this.daemon.call('svc.list', { svc: { proto, addr: ADDRESS.vip, port } });
    return Object.fromEntries(svc!.dests.map((d) => [d.addr, d.active]));
  }

  async remove(): Promise<void> {
    await this.t.remove();
  }

  private async servers(): Promise<void> {
    const root = this.t.dir;
    for (const host of ['rs1', 'rs2'] as const) {
      this.nginx[host] = await startNginx(this.t, host, root);
      const echo = this.t.keep(host, ['node', UDP_ECHO, '7']);
      await until('the echo server listens', () => echo.stdout.includes('ready'));
    }
  }

  /** HTTP by turns on :80, by weighted least connections on :81 (1 to 3), UDP echo on :7. */
  private async services(): Promise<void> {
    const d = this.daemon;
    const { vip, lip, rs1, rs2 } = ADDRESS;
    await d.ok('dpip', 'addr', 'add', `${vip}/24`, 'dev', 'dpdk0');
    const rules = (svc: string, scheduler: string, weight: number, port: number): string[] => [
      `-A ${svc} -s ${scheduler}`,
      `-a ${svc} -r ${rs1}:${port} -b`,
      `-a ${svc} -r ${rs2}:${port} -b -w ${weight}`,
      `--add-laddr -z ${lip} ${svc} -F dpdk0`,
    ];
    await d.rules(
      ...rules(`-t ${vip}:80`, 'rr', 1, 80),
      ...rules(`-t ${vip}:81`, 'wlc', 3, 80),
      ...rules(`-u ${vip}:7`, 'rr', 1, 7),
    );
  }
}
