/**
 * A network of veth pairs on one bridge, for comparisons with what the kernel and haproxy do: a client, two web servers
 * and, each in a namespace of its own, the load balancers.
 *
 *     client .3 ──┐                ┌── nftables .101
 *     rs1    .2 ──┤  bridge (sw)   ├── haproxy  .102
 *     rs2    .4 ──┘                └── dpvs     .103
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PREFIX = `dpvsb${process.pid}`;
export const SUBNET = '192.168.100';
export const SERVERS = [`${SUBNET}.2`, `${SUBNET}.4`] as const;

const sh = (script: string): void => {
  execFileSync('bash', ['-euo', 'pipefail', '-c', script], { stdio: ['ignore', 'ignore', 'pipe'] });
};

export class VethNet {
  readonly dir = mkdtempSync(join(tmpdir(), 'dpvs-bench-veth-'));
  private readonly children: ChildProcess[] = [];
  /** The end of what the programs complained about. */
  said = '';

  /** @throws Error when the machine refuses; nothing is left behind */
  static create(balancers: Readonly<Record<string, string>>): VethNet {
    const net = new VethNet();
    try {
      net.addNamespace('sw');
      sh(`ip -n ${net.ns('sw')} link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
          ip -n ${net.ns('sw')} link set br0 up`);
      net.addHost('client', `${SUBNET}.3`);
      net.addHost('rs1', SERVERS[0]);
      net.addHost('rs2', SERVERS[1]);
      for (const [name, address] of Object.entries(balancers)) net.addHost(name, address);
      for (const [i, rs] of ['rs1', 'rs2'].entries()) net.serve(rs, i);
      return net;
    } catch (e) {
      net.remove();
      throw e;
    }
  }

  ns(host: string): string {
    return `${PREFIX}-${host}`;
  }

  /** Starts a program in a host's namespace; it ends with the network. */
  keep(host: string, command: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', this.ns(host), ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    this.children.push(child);
    // A pipe that nobody reads would stop it one day; what it says last is of use when it ends too early.
    child.stderr.on('data', (b: Buffer) => (this.said = (this.said + b.toString()).slice(-4000)));
    child.stdout.resume();
    return child;
  }

  /** Runs a program to its end. @returns what it printed */
  async run(host: string, command: readonly string[]): Promise<string> {
    const child = this.keep(host, command);
    let out = '';
    child.stdout!.on('data', (b: Buffer) => (out += b.toString()));
    child.stderr!.on('data', (b: Buffer) => (out += b.toString()));
    const code = await new Promise<number | null>((done) => child.once('close', done));
    if (code !== 0) throw new Error(`${command.join(' ')}: exit code ${code}: ${out}`);
    return out;
  }

  sh(host: string, script: string): void {
    execFileSync('ip', ['netns', 'exec', this.ns(host), 'bash', '-euo', 'pipefail', '-c', script], {
      stdio: 'pipe',
    });
  }

  /** Where the kernel works on what comes in by the switch's ports: on CPU 0 only, or where the sender runs. */
  steer(toCpu0: boolean): void {
    const mask = toCpu0 ? 1 : 0;
    this.sh('sw', `for f in /sys/class/net/sw-*/queues/rx-0/rps_cpus; do echo ${mask} >$f; done`);
  }

  remove(): void {
    for (const c of this.children) if (c.exitCode === null) c.kill('SIGTERM');
    for (const name of readdirSync('/run/netns', { encoding: 'utf8' })) {
      if (!name.startsWith(`${PREFIX}-`)) continue;
      const pids = execFileSync('ip', ['netns', 'pids', name], { encoding: 'utf8' })
        .split('\n')
        .filter(Boolean);
      for (const pid of pids) {
        try {
          process.kill(Number(pid), 'SIGKILL');
        } catch {
          // It has ended meanwhile.
        }
      }
      execFileSync('ip', ['netns', 'del', name]);
    }
    rmSync(this.dir, { recursive: true, force: true });
  }

  private addNamespace(host: string): void {
    sh(`ip netns add ${this.ns(host)}
        ip -n ${this.ns(host)} link set lo up`);
    this.sh(
      host,
      `for v in all default; do echo 1 >/proc/sys/net/ipv6/conf/$v/disable_ipv6 || true; done
      echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range
      echo 1 >/proc/sys/net/ipv4/tcp_tw_reuse
      echo 16384 >/proc/sys/net/core/somaxconn || true`,
    );
  }

  private addHost(host: string, address: string): void {
    this.addNamespace(host);
    sh(`ip -n ${this.ns('sw')} link add sw-${host} type veth peer name eth0 netns ${this.ns(host)}
        ip -n ${this.ns('sw')} link set sw-${host} master br0 up
        ip -n ${this.ns(host)} address add ${address}/24 dev eth0
        ip -n ${this.ns(host)} link set eth0 up
        for h in ${this.ns(host)}; do ip netns exec $h ethtool -K eth0 rx off tx off tso off gso off gro off; done`);
  }

  private serve(host: string, index: number): void {
    const dir = join(this.dir, host);
    mkdirSync(dir);
    const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      .map((t) => `${t}_temp_path ${dir};`)
      .join(' ');
    writeFileSync(
      join(dir, 'nginx.conf'),
      `daemon off; master_process off; pid ${dir}/pid; error_log ${dir}/error.log;
       events { worker_connections 8192; }
       http { access_log off; keepalive_requests 1000000000; ${temp}
         server { listen 80 backlog=16384; location / { return 200 "rs${index + 1}\\n"; } } }`,
    );
    this.keep(host, ['nginx', '-p', dir, '-e', join(dir, 'error.log'), '-c', join(dir, 'nginx.conf')]);
    if (index === 0) this.keep(host, ['iperf3', '-s']);
  }
}
