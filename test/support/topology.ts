/**
 * The network of the README of 2017, in network namespaces: a client and real servers on one switch, and the port of dpvs
 * on the same switch.
 *
 *     client .3 ──┐
 *     rs1    .2 ──┤ bridge br0 ── dpdk0 (dpvs)
 *     rs2    .4 ──┘
 *
 * The bridge and dpvs live in the namespace `lb`. With `tap`, dpvs makes the interface when it starts and `plugTap`
 * connects it; otherwise it is one end of a veth pair. Names carry the pid of the test run, so that
 * tools/test-ground.mjs finds what a killed run left behind.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PREFIX, removeNamespace } from '../../tools/test-ground.mjs';
import { Kept, run, type RunOptions, type Outcome, succeed, succeedSync, until } from './process.js';

export type Device = 'tap' | 'af_packet' | 'af_xdp';
export type Host = 'lb' | 'client' | 'rs1' | 'rs2' | 'router';

export const ADDRESS = {
  client: '192.168.100.3',
  rs1: '192.168.100.2',
  rs2: '192.168.100.4',
  vip: '192.168.100.100',
  lip: '192.168.100.200',
} as const;

/** Addresses of the second arm: real server 1 beside dpvs, real server 2 behind a router with a link of a smaller MTU. */
export const FAR = {
  ours: '10.0.0.1',
  rs1: '10.0.0.2',
  router: '10.0.0.254',
  routerInside: '10.0.1.254',
  rs2: '10.0.1.2',
  mtu: 1400,
} as const;

const HOSTS = ['client', 'rs1', 'rs2'] as const;
/** The interface that dpvs drives, and the one of its second arm. */
export const PORT_IF = 'dpdk0';
export const SECOND_IF = 'dpdk1';
/** Where frames of dpvs come out on the side of the switch. */
const SWITCH_IF: Record<Device, string> = { tap: PORT_IF, af_packet: 'swdpdk0', af_xdp: 'swdpdk0' };

const FAULTS = fileURLToPath(new URL('agents/faults.py', import.meta.url));

export interface Faults {
  loss: number;
  reorder: number;
  duplicate: number;
  corrupt: number;
}

let count = 0;
const alive = new Set<Topology>();
process.once('exit', () => {
  for (const t of alive) t.removeSync();
});

export class Topology {
  /** Folder for files of this topology; removed with it. */
  readonly dir: string;
  readonly id: string;
  private readonly children: Kept[] = [];

  private constructor(
    readonly device: Device,
    readonly queues: number,
  ) {
    this.id = `${PREFIX}${process.pid}-${++count}`;
    this.dir = mkdtempSync(join(tmpdir(), `${this.id}-`));
    alive.add(this);
  }

  /** @throws Error when the machine refuses something (not root, kernel feature missing); nothing is left behind */
  static create(device: Device, queues = 1): Topology {
    const t = new Topology(device, queues);
    try {
      t.build();
      return t;
    } catch (error) {
      t.removeSync();
      throw error;
    }
  }

  ns(host: Host): string {
    return `${this.id}-${host}`;
  }

  /** `ip netns exec` in front of a command. */
  in(host: Host, command: readonly string[]): string[] {
    return ['ip', 'netns', 'exec', this.ns(host), ...command];
  }

  run(host: Host, command: readonly string[], options?: RunOptions): Promise<Outcome> {
    return run(this.in(host, command), options);
  }

  succeed(host: Host, command: readonly string[], options?: RunOptions): Promise<string> {
    return succeed(this.in(host, command), options);
  }

  /** A line of shell, blocking. */
  sh(host: Host, line: string): void {
    succeedSync(this.in(host, ['sh', '-c', line]));
  }

  /**
   * Pings with all requests at once, and waits 10 s for the answers: ping takes for lost what comes later than one interval after
   * its last request, so that a short one (`-i 0.05`) reports loss where the machine only stood still for a moment.
   * @returns what ping sums up: `5 packets transmitted, 5 received, 0% packet loss`, with duplicates and errors where there are
   */
  async ping(host: Host, addr: string, count: number, ...options: string[]): Promise<string> {
    const n = String(count);
    // -S: as much as is allowed, or else ping sends a dozen, finds its socket full and waits for the next interval.
    const ping = ['ping', '-n', '-c', n, '-l', n, '-i', '10', '-S', '1000000', ...options, addr];
    const { stdout, stderr } = await this.run(host, ping);
    return /^\d+ packets transmitted.* loss/m.exec(stdout)?.[0] ?? stdout + stderr;
  }

  /** Starts a program that runs until the topology is removed (or it is stopped). */
  keep(host: Host, command: readonly string[], options?: RunOptions): Kept {
    const child = new Kept(this.in(host, command), options);
    this.children.push(child);
    return child;
  }

  /** Interface on which every frame from and to dpvs is seen. */
  get switchIf(): string {
    return SWITCH_IF[this.device];
  }

  /** Names of the network interfaces of a host. */
  interfaces(host: Host): string[] {
    const out = succeedSync(['ip', '-j', '-n', this.ns(host), 'link', 'show']);
    return (JSON.parse(out) as { ifname: string }[]).map((i) => i.ifname);
  }

  /** Connects the tap of a daemon that has just started to the switch. Nothing to do for other devices. */
  async plugTap(name = PORT_IF, bridge = 'br0'): Promise<void> {
    if (this.device !== 'tap') return;
    await until('dpvs makes its tap', () => this.interfaces('lb').includes(name));
    // The driver takes its MAC from the interface. With the same MAC on the kernel's side, the bridge would take
    // frames for dpvs as its own: so the kernel's side gets another.
    this.ip('lb', [
      `link set ${name} address 02:00:00:00:00:f${bridge === 'br0' ? 'e' : 'd'}`,
      `link set ${name} master ${bridge}`,
      `link set ${name} up`,
    ]);
  }

  /**
   * Moves the real servers to a second switch, with dpvs as their gateway:
   *
   *     dpdk1 ── bridge br1 ──┬── rs1 (10.0.0.2)
   *                           └── router ── MTU 1400 ── rs2 (10.0.1.2)
   */
  secondArm(): void {
    succeedSync(['ip', 'netns', 'add', this.ns('router')]);
    succeedSync(this.in('router', ['sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward']));
    this.ip('lb', [
      'link add br1 type bridge stp_state 0 forward_delay 0 mcast_snooping 0',
      'link set br1 up',
      'link set swrs1 master br1',
      `link add swrouter type veth peer name eth0 netns ${this.ns('router')}`,
      'link set swrouter master br1 up',
    ]);
    this.ip('rs1', [
      'address flush dev eth0',
      `address add ${FAR.rs1}/24 dev eth0`,
      `route add default via ${FAR.ours}`,
    ]);
    this.ip('router', [
      'link set lo up',
      `address add ${FAR.router}/24 dev eth0`,
      'link set eth0 up',
      `route add default via ${FAR.ours}`,
      `link add eth1 mtu ${FAR.mtu} type veth peer name eth1 mtu ${FAR.mtu} netns ${this.ns('rs2')}`,
      `address add ${FAR.routerInside}/24 dev eth1`,
      'link set eth1 up',
    ]);
    this.ip('rs2', [
      'link set eth0 down',
      `address add ${FAR.rs2}/24 dev eth1`,
      'link set eth1 up',
      `route add default via ${FAR.routerInside}`,
    ]);
    for (const [host, name] of [
      ['router', 'eth0'],
      ['router', 'eth1'],
      ['rs2', 'eth1'],
    ] as const)
      this.offloadsOff(host, name);
  }

  /**
   * Cuts the client's cable and mends it with one that loses, reorders, duplicates and corrupts frames, in both directions.
   * @param percent of frames, each
   */
  async faultyCable(seed: number, percent: Faults): Promise<Kept> {
    this.ip('lb', [
      'link set swclient nomaster',
      'link add faultin type veth peer name faultout',
      'link set faultin up',
      'link set faultout master br0 up',
    ]);
    const { loss, reorder, duplicate, corrupt } = percent;
    const faults = [seed, loss, reorder, duplicate, corrupt].map(String);
    const cable = this.keep('lb', ['python3', FAULTS, 'swclient', 'faultin', ...faults]);
    await until('the cable is there', () => {
      if (!cable.running) throw new Error(cable.stderr);
      return cable.stdout.includes('ready');
    });
    return cable;
  }

  /** MAC of a host's interface. */
  mac(host: 'client' | 'rs1' | 'rs2'): string {
    const out = succeedSync(['ip', '-j', '-n', this.ns(host), 'link', 'show', 'eth0']);
    return (JSON.parse(out) as { address: string }[])[0]!.address;
  }

  /** Ends every process in it and removes it. */
  async remove(): Promise<void> {
    await Promise.all(this.children.map((c) => c.stop('SIGTERM', 3000).catch(() => {})));
    this.removeSync();
  }

  removeSync(): void {
    for (const name of readdirSync('/run/netns', { encoding: 'utf8' })) {
      if (name.startsWith(`${this.id}-`)) removeNamespace(name);
    }
    rmSync(this.dir, { recursive: true, force: true });
    alive.delete(this);
  }

  private ip(host: Host, lines: string[]): void {
    succeedSync(['ip', '-n', this.ns(host), '-batch', '-'], `${lines.join('\n')}\n`);
  }

  private build(): void {
    for (const host of ['lb', ...HOSTS] as const) {
      succeedSync(['ip', 'netns', 'add', this.ns(host)]);
      const set =
        'for v in all default; do echo 1 >/proc/sys/net/ipv6/conf/$v/disable_ipv6; done 2>/dev/null; true';
      succeedSync(this.in(host, ['sh', '-c', set]));
      this.ip(host, ['link set lo up']);
    }
    const noFilter = 'for f in /proc/sys/net/bridge/bridge-nf-call-*; do echo 0 >$f; done 2>/dev/null; true';
    succeedSync(this.in('lb', ['sh', '-c', noFilter]));
    this.ip('lb', [
      'link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0',
      'link set br0 up',
    ]);
    for (const host of HOSTS) {
      this.ip('lb', [
        `link add sw${host} type veth peer name eth0 netns ${this.ns(host)}`,
        `link set sw${host} master br0 up`,
      ]);
      this.ip(host, [`address add ${ADDRESS[host]}/24 dev eth0`, 'link set eth0 up']);
      this.offloadsOff(host, 'eth0');
    }
    if (this.device !== 'tap') {
      const queues = `numtxqueues ${this.queues} numrxqueues ${this.queues}`;
      this.ip('lb', [
        `link add ${PORT_IF} ${queues} type veth peer name ${this.switchIf} ${queues}`,
        `link set ${PORT_IF} up`,
        `link set ${this.switchIf} master br0 up`,
      ]);
      this.offloadsOff('lb', PORT_IF);
      this.offloadsOff('lb', this.switchIf);
    }
  }

  /** Without this, kernel peers put partial checksums and oversized segments on a veth. */
  private offloadsOff(host: Host, name: string): void {
    succeedSync(
      this.in(host, [
        'ethtool',
        '-K',
        name,
        'rx',
        'off',
        'tx',
        'off',
        'tso',
        'off',
        'gso',
        'off',
        'gro',
        'off',
      ]),
    );
  }
}
