/** Starts the real daemon on a topology, talks to it, stops it, and looks for what it left behind. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  connect,
  type ControlClient,
  type Input,
  type Method,
  type Result,
} from '../../src/control/client.js';
import { hugepageFolders } from '../../tools/test-ground.mjs';
import { type Kept, type Outcome, run, succeed, until } from './process.js';
import { PORT_IF, SECOND_IF, type Topology } from './topology.js';

export const BIN = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'bin');

export interface DaemonOptions {
  /** Data lcores, each with one queue of the port. Default 1. */
  lcores?: 1 | 2;
  /** A second port, net_tap, on the second arm (Topology.secondArm). Default 1. */
  arms?: 1 | 2;
  /** Lines for `ipvs_defs { … }`, such as short timeouts. */
  ipvs?: string;
  /** Lines for `global_defs { … }`. */
  global?: string;
  /** Whole sections. */
  sections?: string;
  /** Behind `--`. */
  ealArgs?: string[];
  env?: NodeJS.ProcessEnv;
}

/** Devargs of the port of a topology. */
export function devargs(t: Topology): string {
  switch (t.device) {
    case 'tap':
      return `net_tap0,iface=${PORT_IF}`;
    case 'af_packet':
      return `net_af_packet0,iface=${PORT_IF},qpairs=${t.queues},qdisc_bypass=1`;
    case 'af_xdp':
      return `net_af_xdp0,iface=${PORT_IF},start_queue=0,queue_count=${t.queues}`;
  }
}

/** CPUs for 1 or 2 data lcores; the machines that run the suite have two. */
const workerCpus = (n: number): number[] => (n === 1 ? [1] : [0, 1]);

const deviceText = (port: { name: string; devargs: string }, queues: number): string => `
    device ${port.name} {
        devargs "${port.devargs}"
        rx {
            queue_number ${queues}
            descriptor_number 1024
            rss all
        }
        tx {
            queue_number ${queues}
            descriptor_number 1024
        }
        promisc_mode
    }`;

/** A dpvs.conf for a topology: one device, `lcores` workers with one queue each. */
export function configText(t: Topology, options: DaemonOptions = {}): string {
  const lcores = options.lcores ?? 1;
  const ports = [{ name: PORT_IF, devargs: devargs(t) }];
  if (options.arms === 2) ports.push({ name: SECOND_IF, devargs: `net_tap1,iface=${SECOND_IF}` });
  const workers = workerCpus(lcores).map(
    (cpu, i) => `
    worker cpu${i + 1} {
        type slave
        cpu_id ${cpu}
${ports.map((port) => `        port ${port.name} {\n            rx_queue_ids ${i}\n            tx_queue_ids ${i}\n        }`).join('\n')}
    }`,
  );
  return `! written by test/support/daemon.ts
global_defs {
    log_level INFO
    ${options.global ?? ''}
}
netif_defs {
    pktpool_size 32767
${ports.map((port) => deviceText(port, lcores)).join('\n')}
}
worker_defs {${workers.join('')}
}
ipvs_defs {
    conn {
        conn_pool_size 65536
    }
${options.ipvs ?? ''}
}
${options.sections ?? ''}`;
}

export interface Files {
  conf: string;
  pid: string;
  ipc: string;
}

/** Files of a daemon in a folder of its own. */
export function filesFor(dir: string, name = 'dpvs'): Files {
  const own = join(dir, name);
  mkdirSync(own, { recursive: true });
  return { conf: join(own, 'dpvs.conf'), pid: join(own, 'dpvs.pid'), ipc: join(own, 'dpvs.ipc') };
}

/** Names that a daemon of ours gives to what it keeps in shared folders. */
const OURS = /^(dpvs|rte)/;

/** What a daemon could leave behind outside its own folder. (Pages outlive a process only as files.) */
export function traces(): string[] {
  const list = (folder: string): string[] => {
    try {
      return readdirSync(folder).map((f) => join(folder, f));
    } catch {
      return [];
    }
  };
  const runtime = list('/var/run/dpdk').filter((f) => OURS.test(basename(f)));
  return [...hugepageFolders().flatMap(list), ...list('/dev/shm'), ...runtime];
}

/**
 * Waits until nothing of what has appeared since `before` is there any more. What a daemon leaves stays; what a test run beside
 * this one has at the moment goes.
 */
export async function nothingLeft(before: readonly string[]): Promise<void> {
  const left = (): string[] => traces().filter((f) => !before.includes(f));
  await until('nothing is left behind', () => left().length === 0, 10_000).catch((error: Error) => {
    throw new Error(`${error.message}: ${left().join(' ')}`);
  });
}

export class Daemon {
  private client: ControlClient | undefined;

  private constructor(
    readonly child: Kept,
    readonly files: Files,
  ) {}

  /** Starts dpvs with a generated configuration and waits until its socket answers. */
  static async start(t: Topology, options: DaemonOptions = {}): Promise<Daemon> {
    const files = filesFor(t.dir);
    writeFileSync(files.conf, configText(t, options));
    const d = Daemon.spawn(t, files, options);
    await d.ready();
    await t.plugTap();
    if (options.arms === 2) await t.plugTap(SECOND_IF, 'br1');
    return d;
  }

  /** Starts dpvs with the configuration that is there, without waiting. */
  static spawn(t: Topology, files: Files, options: Pick<DaemonOptions, 'ealArgs' | 'env'> = {}): Daemon {
    const eal = options.ealArgs ? ['--', ...options.ealArgs] : [];
    const command = [join(BIN, 'dpvs'), '-c', files.conf, '-p', files.pid, '-x', files.ipc, ...eal];
    return new Daemon(t.keep('lb', command, { env: options.env ?? {} }), files);
  }

  get log(): string {
    return this.child.stderr + this.child.stdout;
  }

  get pid(): number {
    return Number.parseInt(readFileSync(this.files.pid, 'utf8'), 10);
  }

  /** Waits until the control socket answers. @throws Error with the log when the daemon ends instead */
  async ready(timeoutMs = 30_000): Promise<void> {
    let ended = false;
    await until(
      'dpvs answers on its socket',
      async () => {
        if (!this.child.running) {
          ended = true;
          return true;
        }
        const client = await connect({ path: this.files.ipc, timeoutMs: 2000 });
        try {
          await client.call('info', {});
          return true;
        } finally {
          client.close();
        }
      },
      timeoutMs,
    ).catch((error: Error) => {
      throw new Error(`${error.message}\n${this.log}`);
    });
    if (ended) throw new Error(`dpvs ended instead of starting:\n${this.log}`);
  }

  /** One command or query on the control socket. */
  async call<M extends Method>(method: M, params: Input<M>): Promise<Result<M>> {
    this.client ??= await connect({ path: this.files.ipc, timeoutMs: 10_000 });
    return this.client.call(method, params);
  }

  /** Runs a tool against this daemon, as a user would: `tool('dpip', 'addr', 'show')`. */
  tool(name: 'dpip' | 'ipvsadm', ...args: string[]): Promise<Outcome> {
    return run([join(BIN, name), ...args], { env: { DPVS_IPC_FILE: this.files.ipc }, cwd: BIN });
  }

  /** The same, and it must succeed. @returns what it printed */
  async ok(name: 'dpip' | 'ipvsadm', ...args: string[]): Promise<string> {
    const o = await this.tool(name, ...args);
    if (o.code !== 0)
      throw new Error(`${name} ${args.join(' ')}: exit code ${o.code}\n${o.stderr}${o.stdout}`);
    return o.stdout;
  }

  /** Rules as lines of `ipvsadm --restore`: the tool starts once for all of them. */
  async rules(...lines: string[]): Promise<void> {
    await succeed([join(BIN, 'ipvsadm'), '-R'], {
      env: { DPVS_IPC_FILE: this.files.ipc },
      input: `${lines.join('\n')}\n`,
    });
  }

  /** CPU time used so far by all of its threads, milliseconds. */
  cpuMs(): number {
    const stat = readFileSync(`/proc/${this.pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 10; // utime + stime in ticks of 10 ms
  }

  /** Resident memory. */
  rssBytes(): number {
    const kb = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))?.[1];
    return Number(kb) * 1024;
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Outcome> {
    this.client?.close();
    this.client = undefined;
    return this.child.stop(signal, 10_000);
  }
}
