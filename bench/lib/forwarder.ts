/**
 * The programs that are measured: dpvs as it is delivered, and dpdk-testpmd. Both have two net_null ports whose burst
 * functions the source takes over, one data lcore on CPU 1 and everything else on CPU 0. A forwarder that isn't
 * being measured is stopped (SIGSTOP), so that several can be measured in turns.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type ControlClient, TransportError } from '../../src/control/client.js';
import { NET, networkFields, range } from './network.js';
import { ROOT } from './paths.js';
import { plugin } from './plugin.js';
import { type Counters, num, Source } from './source.js';
import { pinOthers, schedule, type Schedule, threadNamed } from './threads.js';

export const DATA_CPU = 1;
export const CONTROL_CPU = 0;

/** A running program with the source inside. */
export abstract class Forwarder {
  protected child!: ChildProcess;
  protected tid = 0;
  protected output = '';
  readonly source: Source;
  readonly dir: string;
  private stopped = false;
  /** Programs that feed it; they stop, go on and end with it. */
  private readonly companions: ChildProcess[] = [];

  protected constructor(readonly name: string) {
    this.dir = mkdtempSync(join(tmpdir(), 'dpvs-bench-'));
    this.source = new Source(join(this.dir, 'source'));
    running.add(this);
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** The end of what it has printed. */
  get log(): string {
    return this.output;
  }

  /** CPU time of the data lcore's thread so far. */
  schedule(): Schedule {
    return schedule(this.pid, this.tid);
  }

  /** Packets are counted by the devices and not by the source. */
  protected deviceStats = false;

  async counters(): Promise<Counters> {
    if (this.deviceStats) await this.source.order('STATS');
    return this.source.counters();
  }

  pause(): void {
    if (this.stopped) return;
    for (const c of [this.child, ...this.companions]) c.kill('SIGSTOP');
    this.stopped = true;
  }

  resume(): void {
    if (!this.stopped) return;
    for (const c of [this.child, ...this.companions]) c.kill('SIGCONT');
    this.stopped = false;
  }

  /** Starts a program that feeds it. */
  feedBy(file: string, args: readonly string[]): void {
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    for (const s of [child.stdout, child.stderr]) s.on('data', (b: Buffer) => this.keep(b));
    this.companions.push(child);
  }

  private keep(b: Buffer): void {
    this.output = (this.output + b.toString()).slice(-4_000_000);
  }

  async end(): Promise<void> {
    this.resume();
    for (const c of this.companions) c.kill('SIGKILL');
    if (this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null) {
      const gone = new Promise<void>((done) => this.child.once('exit', () => done()));
      this.child.kill('SIGTERM');
      const forced = setTimeout(() => this.child.kill('SIGKILL'), 10_000);
      await gone;
      clearTimeout(forced);
    }
    this.source.close();
    rmSync(this.dir, { recursive: true, force: true });
    running.delete(this);
  }

  protected spawn(file: string, args: string[]): void {
    this.child = spawn(file, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, BENCH_SOURCE: this.source.path },
    });
    for (const s of [this.child.stdout!, this.child.stderr!]) s.on('data', (b: Buffer) => this.keep(b));
  }

  /** Waits until `ready` holds. @throws Error with the program's output when it ends or takes too long */
  protected async until(
    what: string,
    ready: () => boolean | Promise<boolean>,
    timeoutMs = 30_000,
  ): Promise<void> {
    for (const end = Date.now() + timeoutMs; !(await ready()); await sleep(20)) {
      if (this.child.exitCode !== null) throw new Error(`${this.name} ended: ${this.output}`);
      if (Date.now() > end) throw new Error(`${this.name}: waited in vain for ${what}\n${this.output}`);
    }
  }
}

const running = new Set<Forwarder>();

/** Ends what is still running; for the way out after an error or a signal. */
export async function endAll(): Promise<void> {
  await Promise.all([...running].map((f) => f.end()));
}

export type Devices = readonly [string, string];
const SOURCE: Devices = ['net_null0,size=64', 'net_null1,size=64'];
const POOL = 32767;

export interface DpvsOptions {
  flowOffload: boolean;
  /** Connections that must fit. */
  connections?: number;
  /** Lines for `ipvs_defs { tcp { timeout { … } } }`. */
  tcpTimeouts?: Record<string, number>;
  idleSleep?: 'off' | 'auto';
  /** Devices in place of the source's two sides; their own counters count then. */
  devargs?: Devices;
  /** Packet buffers. */
  pool?: number;
}

/** Half as many again: in a table that is nearly full (`flood_high`), one-way connections would be ended. */
const poolSize = (n: number): number => 2 ** Math.max(17, Math.ceil(Math.log2(1.5 * n))) - 1;

export function dpvsConf(o: DpvsOptions): string {
  const timeouts = Object.entries(o.tcpTimeouts ?? {}).map(([state, s]) => `            ${state} ${s}`);
  const device = (name: string, devargs: string): string => `
    <init> device ${name} {
        <init> devargs "${devargs}"
        rx { <init> queue_number 1 <init> descriptor_number 1024 }
        tx { <init> queue_number 1 <init> descriptor_number 1024 }
    }`;
  return `! written by bench/lib/forwarder.ts
global_defs {
    log_level WARNING
}
netif_defs {
    <init> pktpool_size ${o.pool ?? POOL}
${device('dpdk0', (o.devargs ?? SOURCE)[0])}
${device('dpdk1', (o.devargs ?? SOURCE)[1])}
}
worker_defs {
    <init> idle_sleep ${o.idleSleep ?? 'off'}
    <init> worker cpu0 {
        type master
        cpu_id ${CONTROL_CPU}
    }
    <init> worker cpu1 {
        type slave
        cpu_id ${DATA_CPU}
        port dpdk0 { rx_queue_ids 0 tx_queue_ids 0 }
        port dpdk1 { rx_queue_ids 0 tx_queue_ids 0 }
    }
}
ipvs_defs {
    conn {
        <init> conn_pool_size ${poolSize(o.connections ?? 1)}
        flow_offload ${o.flowOffload ? 'on' : 'off'}
    }
    tcp {
        timeout {
${timeouts.join('\n')}
        }
    }
}
`
    .split('\n')
    .flatMap((line) => oneAnEntry(line))
    .join('\n');
}

/** The configuration language takes one entry a line: `rx { a 1 b 2 }` is written out. */
function oneAnEntry(line: string): string[] {
  const m = /^(\s*)(.*\S) \{ (.*) \}$/.exec(line);
  if (m === null) return [line];
  const entries = m[3]!.match(/(<init> )?\S+ \S+/g) ?? [];
  return [`${m[1]}${m[2]} {`, ...entries.map((e) => `${m[1]}    ${e}`), `${m[1]}}`];
}

/** Forwarding modes, as commands and the `mode` of results call them. */
export type Fwd = 'fullnat' | 'nat' | 'dr' | 'tunnel' | 'snat';

export class Dpvs extends Forwarder {
  client!: ControlClient;
  macs: readonly [string, string] = ['', ''];
  readonly path: 'flow' | 'typescript';
  readonly ipc = join(this.dir, 'dpvs.ipc');

  private constructor(private readonly o: DpvsOptions) {
    super('dpvs');
    this.path = o.flowOffload ? 'flow' : 'typescript';
  }

  static async start(o: DpvsOptions): Promise<Dpvs> {
    const d = new Dpvs(o);
    const conf = join(d.dir, 'dpvs.conf');
    writeFileSync(conf, dpvsConf(o));
    const args = ['-c', conf, '-p', join(d.dir, 'dpvs.pid'), '-x', d.ipc, '--', '-d', plugin()];
    d.spawn(process.execPath, [join(ROOT, 'bin/dpvs'), ...args]);
    await d.until('the control socket', async () => {
      if (!existsSync(d.ipc)) return false;
      const client = await connect({ path: d.ipc, timeoutMs: 60_000 }).catch((e: unknown) => {
        // The file is there a moment before somebody listens.
        if (e instanceof TransportError && e.kind === 'not-running') return undefined;
        throw e;
      });
      if (client === undefined) return false;
      d.client = client;
      return true;
    });
    d.tid = threadNamed(d.pid, /^lcore-1$/).tid;
    pinOthers(d.pid, d.tid, CONTROL_CPU);
    const links = await d.client.call('link.list', {});
    const mac = (name: string): string => links.find((l) => l.name === name)!.mac;
    d.source.setAll(networkFields([mac('dpdk0'), mac('dpdk1')]));
    d.source.setAll({ PROTO: 17, FRAME: 64, RING: 1024, SIDES: 3, ARM_SIDES: 3 });
    d.deviceStats = o.devargs !== undefined;
    if (!d.deviceStats) await d.source.order('ARM');
    d.macs = [mac('dpdk0'), mac('dpdk1')];
    await d.network();
    return d;
  }

  /** Addresses, routes and neighbours; no service yet. */
  private async network(): Promise<void> {
    const { client } = this;
    await client.call('addr.add', { dev: 'dpdk0', addr: NET.vip, plen: 24 });
    await client.call('addr.add', { dev: 'dpdk1', addr: NET.own, plen: 16 });
    await client.call('neigh.add', { dev: 'dpdk0', addr: NET.router, lladdr: NET.routerMac });
    await client.call('route.add', { dst: '0.0.0.0', plen: 0, via: NET.router, dev: 'dpdk0' });
    for (const addr of range(NET.rs, NET.rsCount)) {
      await client.call('neigh.add', { dev: 'dpdk1', addr, lladdr: NET.rsMac });
    }
  }

  /** A service with every real server and, for Full-NAT, every local address. */
  async service(
    proto: 'tcp' | 'udp',
    port: number = NET.vport,
    fwd: Exclude<Fwd, 'snat'> = 'fullnat',
  ): Promise<void> {
    const { client } = this;
    this.source.set('FWD', num(`FWD_${fwd.toUpperCase()}`));
    // Direct routing and tunnels deliver to the virtual port.
    const rsPort = fwd === 'fullnat' || fwd === 'nat' ? NET.rsPort : port;
    const svc = { proto, addr: NET.vip, port };
    await client.call('svc.add', { svc, scheduler: 'rr' });
    for (const addr of fwd === 'fullnat' ? range(NET.lip, NET.lipCount) : [])
      await client.call('laddr.add', { svc, addr, dev: 'dpdk1' });
    for (const addr of range(NET.rs, NET.rsCount)) {
      await client.call('dest.add', { svc, dest: { addr, port: rsPort }, fwd });
    }
  }

  /** Gives whoever sends from dpdk0 one of the local addresses. */
  async snat(proto: 'tcp' | 'udp'): Promise<void> {
    const { client } = this;
    this.source.set('FWD', num('FWD_SNAT'));
    const svc = { proto, match: { iif: 'dpdk0', oif: 'dpdk1' } };
    await client.call('svc.add', { svc, scheduler: 'rr' });
    for (const addr of range(NET.lip, NET.lipCount)) {
      await client.call('addr.add', { dev: 'dpdk1', addr, plen: 32, sapool: true });
      await client.call('dest.add', { svc, dest: { addr, port: 0 }, fwd: 'snat' });
    }
  }

  async removeService(proto: 'tcp' | 'udp', port: number = NET.vport): Promise<void> {
    await this.client.call('svc.del', { svc: { proto, addr: NET.vip, port } });
  }

  /** Packets dropped so far, by reason. */
  async drops(): Promise<Record<string, number>> {
    const out: Record<string, number> = {};
    for (const d of await this.client.call('drop.list', {})) {
      if (d.count > 0) out[d.name] = (out[d.name] ?? 0) + d.count;
    }
    return out;
  }

  override async end(): Promise<void> {
    this.resume();
    this.client?.close();
    await super.end();
  }
}

export type PmdMode = 'io' | '5tswap';

export class Testpmd extends Forwarder {
  private constructor(readonly mode: PmdMode) {
    super(`testpmd ${mode}`);
  }

  static async start(mode: PmdMode, devargs?: Devices, pool = POOL): Promise<Testpmd> {
    const t = new Testpmd(mode);
    const eal = [
      '-l',
      `${CONTROL_CPU},${DATA_CPU}`,
      '--in-memory',
      '--iova-mode=va',
      '--no-pci',
      '--no-telemetry',
    ];
    eal.push('-d', plugin(), ...(devargs ?? SOURCE).flatMap((v) => ['--vdev', v]));
    if (!hugepagesFree())
      eal.splice(2, 1, '--no-huge', '-m', '256', '--no-shconf', `--file-prefix=bench-${process.pid}-${mode}`);
    // The same burst and rings as dpvs; without -i it forwards until its standard input ends.
    const own = [
      `--forward-mode=${mode}`,
      '--nb-cores=1',
      `--total-num-mbufs=${pool}`,
      '--rxd=1024',
      '--txd=1024',
      '--burst=32',
    ];
    t.spawn('stdbuf', [
      '-oL',
      'dpdk-testpmd',
      ...eal,
      '--',
      ...own,
      '--auto-start',
      '--no-lsc-interrupt',
      '--no-flush-rx',
    ]);
    await t.until('forwarding', () => /Press enter to exit/i.test(t.output));
    t.tid = threadNamed(t.pid, /^(lcore|rte)-worker-1$/).tid;
    pinOthers(t.pid, t.tid, CONTROL_CPU);
    t.source.setAll(networkFields(['02:00:00:00:00:01', '02:00:00:00:00:02']));
    t.source.setAll({ PROTO: 17, FRAME: 64, RING: 1024, SIDES: 3, SYNTHETIC: 1, ARM_SIDES: 3 });
    t.deviceStats = devargs !== undefined;
    if (!t.deviceStats) await t.source.order('ARM');
    return t;
  }
}

/** True when 256 MiB of hugepages are free. */
function hugepagesFree(): boolean {
  const info = readFileSync('/proc/meminfo', 'utf8');
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(info)?.[1] ?? 0);
  return field('HugePages_Free') * field('Hugepagesize') >= 256 * 1024;
}
