/**
 * The scene for forwarding modes that leave the client's address alone: real servers (nginx on 80, UDP echo on 7) that are ready for
 * every mode, beside dpvs or on a second arm of it, and a recorder of what dpvs sends on each.
 */
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AGENT, type HttpLoad, SHORT_TIMEOUTS, type UdpSizes, udpSizes } from './balanced.js';
import { Daemon } from './daemon.js';
import { type JudgeOptions, Recorder, type Verdict } from './judge.js';
import { until } from './process.js';
import { startNginx } from './servers/nginx.js';
import { ADDRESS, FAR, SECOND_IF, Topology } from './topology.js';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const UDP_ECHO = here('servers/udp-echo.mjs');
const IPIP_END = here('agents/ipip-end.py');
const SERVERS = ['rs1', 'rs2'] as const;
type Server = (typeof SERVERS)[number];

export type Flag = '-m' | '-g' | '-i' | '-b';
export const FILE_BYTES = 20 * 1024 * 1024;

export interface ArmsOptions {
  arms: 1 | 2;
  lcores: 1 | 2;
  /** Count hops, so that traceroute shows us. */
  hops?: boolean;
  /** Items of `ipvs_defs/tcp/synproxy`. */
  synproxy?: string;
  /** False where there is too much to be recorded and judged. */
  judged?: boolean;
  /** Lines for `ipvs_defs { … }` in place of the short timeouts. */
  ipvs?: string;
}

export class Arms {
  fileSha = '';
  private recorders: Recorder[] = [];

  private constructor(
    readonly t: Topology,
    readonly daemon: Daemon,
    readonly o: ArmsOptions,
  ) {}

  static async start(o: ArmsOptions): Promise<Arms> {
    const t = Topology.create('tap', o.lcores);
    try {
      const root = t.dir;
      const file = randomBytes(FILE_BYTES);
      writeFileSync(join(root, 'file'), file);
      for (const host of SERVERS) await startServer(t, host, root);
      if (o.arms === 2) t.secondArm();
      for (const host of SERVERS) await startEcho(t, host, o.arms === 1 ? ADDRESS[host] : FAR[host]);
      const daemon = await Daemon.start(t, {
        lcores: o.lcores,
        arms: o.arms,
        ipvs:
          (o.ipvs ?? SHORT_TIMEOUTS) +
          (o.hops ? '\nconn {\n xmit_ttl\n}' : '') +
          (o.synproxy ? `\ntcp {\n synproxy {\n${o.synproxy}\n}\n}` : ''),
        sections: 'ipv4_defs {\n    forwarding on\n}',
      });
      const a = new Arms(t, daemon, o);
      a.fileSha = createHash('sha256').update(file).digest('hex');
      await a.addresses();
      if (o.judged !== false) await a.record();
      return a;
    } catch (error) {
      await t.remove();
      throw error;
    }
  }

  address(server: Server): string {
    return this.o.arms === 1 ? ADDRESS[server] : FAR[server];
  }

  /** Makes HTTP on :80 and UDP echo on :7 anew, with these real servers in these modes, by turns. */
  async serve(servers: { [S in Server]?: Flag }): Promise<void> {
    const { vip } = ADDRESS;
    for (const server of SERVERS) this.prepare(server, servers[server]);
    await this.daemon.rules(
      '-C',
      ...this.service(`-t ${vip}:80`, 80, servers),
      ...this.service(`-u ${vip}:7`, 7, servers),
    );
  }

  /** Rules of a service of these real servers, by turns. */
  service(svc: string, port: number, servers: { [S in Server]?: Flag }): string[] {
    const dev = this.o.arms === 1 ? 'dpdk0' : SECOND_IF;
    const dests = SERVERS.filter((s) => servers[s] !== undefined);
    return [
      `-A ${svc} -s rr`,
      ...dests.map((s) => `-a ${svc} -r ${this.address(s)}:${port} ${servers[s]!}`),
      ...(Object.values(servers).includes('-b') ? [`-P ${svc} -z ${this.lip} -F ${dev}`] : []),
    ];
  }

  get lip(): string {
    return this.o.arms === 1 ? ADDRESS.lip : '10.0.0.200';
  }

  async http(count: number, concurrency: number): Promise<HttpLoad> {
    const args = [AGENT.httpLoad, `http://${ADDRESS.vip}/`, String(count), String(concurrency)];
    return JSON.parse(await this.t.succeed('client', ['node', ...args])) as HttpLoad;
  }

  /** The client's address as a real server logs it. */
  async seenFrom(): Promise<string> {
    const page = await this.t.succeed('client', ['curl', '-sf', '--max-time', '5', `http://${ADDRESS.vip}/`]);
    return /: ([\d.]+):/.exec(page)![1]!;
  }

  /** Downloads the file. @returns its SHA-256 */
  async download(): Promise<string> {
    const fetch = `curl -sf --max-time 50 http://${ADDRESS.vip}/file | sha256sum`;
    return (await this.t.succeed('client', ['sh', '-c', fetch])).split(' ')[0]!;
  }

  udpSizes(from: number, to: number): Promise<UdpSizes> {
    return udpSizes(this.t, from, to);
  }

  async judge(options?: JudgeOptions): Promise<Verdict[]> {
    const { recorders } = this;
    this.recorders = [];
    return Promise.all(recorders.map((r) => r.judge(options)));
  }

  async remove(): Promise<void> {
    await this.t.remove();
  }

  private async record(): Promise<void> {
    const links = await this.daemon.call('link.list', {});
    for (const [i, iface] of ['dpdk0', SECOND_IF].slice(0, this.o.arms).entries()) {
      const { mac } = links.find((l) => l.name === iface)!;
      this.recorders.push(await Recorder.start(this.t, mac, `sent${i}`, iface));
    }
  }

  private async addresses(): Promise<void> {
    const d = this.daemon;
    await d.call('addr.add', { dev: 'dpdk0', addr: ADDRESS.vip, plen: 24 });
    await d.call('addr.add', { dev: 'dpdk0', addr: ADDRESS.lip });
    if (this.o.arms === 1) return;
    await d.call('addr.add', { dev: SECOND_IF, addr: FAR.ours, plen: 24 });
    await d.call('route.add', { dst: '10.0.1.0', plen: 24, via: FAR.router, dev: SECOND_IF });
  }

  /**
   * The real server has the virtual address where it answers from it, and then only. (With it, it would not believe ARP requests from
   * there.) With one arm the client is a neighbour of the real server: in NAT mode alone its answers must take the
   * way through dpvs. With two, all do.
   */
  private prepare(server: Server, mode: Flag | undefined): void {
    const { vip, client, lip } = ADDRESS;
    this.t.sh(
      server,
      `ip address ${mode === '-g' || mode === '-i' ? 'replace' : 'del'} ${vip}/32 dev lo 2>/dev/null; true`,
    );
    if (this.o.arms === 1)
      this.t.sh(
        server,
        `ip route ${mode === '-m' ? 'replace' : 'del'} ${client}/32 via ${lip} 2>/dev/null; true`,
      );
  }
}

/** A real server that says nothing of the virtual address by ARP, and takes datagrams out of tunnels. */
async function startServer(t: Topology, host: Server, root: string): Promise<void> {
  t.sh(
    host,
    'for v in all default eth0; do cd /proc/sys/net/ipv4/conf/$v; echo 0 >rp_filter; echo 1 >arp_ignore; echo 2 >arp_announce; done',
  );
  t.sh(
    host,
    'echo 0 >/proc/sys/net/ipv4/conf/eth0/accept_redirects; echo 0 >/proc/sys/net/ipv4/conf/all/accept_redirects',
  );
  t.sh(host, `ip address add ${ADDRESS.vip}/32 dev lo`);
  await startNginx(t, host, root);
  const end = t.keep(host, ['python3', IPIP_END]);
  await until('the end of the tunnel is there', () => {
    if (!end.running) throw new Error(end.stderr);
    return end.stdout.includes('ready');
  });
}

/** Whoever answers from the address that was asked must be bound to it: UDP servers that are bound to none answer from another. */
async function startEcho(t: Topology, host: Server, own: string): Promise<void> {
  for (const addr of [own, ADDRESS.vip]) {
    const echo = t.keep(host, ['node', UDP_ECHO, '7', addr]);
    await until('the echo server listens', () => {
      if (!echo.running) throw new Error(echo.stderr);
      return echo.stdout.includes('ready');
    });
  }
}
