/**
 * The same network for all: nftables (DNAT to a server in turn, masquerade), haproxy (TCP mode) and dpvs over veth
 * pairs, with real TCP stacks, web servers and clients on the same CPUs. In turns, the others stopped or idle.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type ControlClient } from '../../src/control/client.js';
import { summary } from '../lib/numbers.js';
import { ROOT } from '../lib/paths.js';
import type { Run } from '../lib/results.js';
import { SERVERS, SUBNET, VethNet } from '../lib/veth.js';
import type { Context, Scenario } from './context.js';

type Path = Run['path'];

interface Balancer {
  name: string;
  host: string;
  vip: string;
  path: Path;
  /** Stops it while it isn't its turn. */
  pause?: () => void;
  resume?: () => void;
}

const PORTS = { web: 80, iperf: 5201 } as const;

function nftables(net: VethNet, host: string, vip: string): void {
  const [a, b] = SERVERS;
  const rules = join(net.dir, 'nft');
  writeFileSync(
    rules,
    `table ip lb {
  chain pre { type nat hook prerouting priority dstnat;
    ip daddr ${vip} tcp dport ${PORTS.web} dnat to numgen inc mod 2 map { 0 : ${a}, 1 : ${b} }
    ip daddr ${vip} tcp dport ${PORTS.iperf} dnat to ${a}
  }
  chain post { type nat hook postrouting priority srcnat;
    ip daddr { ${a}, ${b} } masquerade
  }
}
`,
  );
  net.sh(host, `echo 1 >/proc/sys/net/ipv4/ip_forward; nft -f ${rules}`);
}

function haproxy(net: VethNet, host: string, vip: string): void {
  const file = join(net.dir, 'haproxy.cfg');
  const [a, b] = SERVERS;
  writeFileSync(
    file,
    `global
  maxconn 8000
  nbthread 2
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen web
  bind ${vip}:${PORTS.web} backlog 16384
  balance roundrobin
  server rs1 ${a}:${PORTS.web}
  server rs2 ${b}:${PORTS.web}
listen iperf
  bind ${vip}:${PORTS.iperf}
  server rs1 ${a}:${PORTS.iperf}
`,
  );
  net.keep(host, ['haproxy', '-db', '-f', file]);
}

/** Devices by which dpvs drives a veth. Their queues hold more than a TCP window: what overflows is sent again. */
const DEVICE = {
  af_packet: 'net_af_packet0,iface=eth0,qdisc_bypass=1,framecnt=4096',
  af_xdp: 'net_af_xdp0,iface=eth0,start_queue=0,queue_count=1',
} as const;

async function dpvs(
  net: VethNet,
  host: string,
  vip: string,
  device: keyof typeof DEVICE,
  path: 'flow' | 'typescript',
): Promise<Balancer> {
  const file = join(net.dir, host);
  writeFileSync(
    `${file}.conf`,
    `global_defs {
    log_level WARNING
}
netif_defs {
    <init> pktpool_size 32767
    <init> device dpdk0 {
        <init> devargs "${DEVICE[device]}"
        rx {
            <init> descriptor_number 4096
        }
        tx {
            <init> descriptor_number 4096
        }
    }
}
worker_defs {
    <init> idle_sleep auto
    <init> worker cpu0 {
        type master
        cpu_id 0
    }
    <init> worker cpu1 {
        type slave
        cpu_id 1
        port dpdk0 {
            rx_queue_ids 0
            tx_queue_ids 0
        }
    }
}
ipvs_defs {
    conn {
        <init> conn_pool_size 262143
        flow_offload ${path === 'flow' ? 'on' : 'off'}
    }
}
`,
  );
  // The kernel must not answer for the address that dpvs has.
  net.sh(host, 'ip address flush dev eth0');
  const ipc = `${file}.ipc`;
  const child = net.keep(host, [
    join(ROOT, 'bin/dpvs'),
    '-c',
    `${file}.conf`,
    '-p',
    `${file}.pid`,
    '-x',
    ipc,
  ]);
  let client: ControlClient | undefined;
  for (let i = 0; client === undefined; i++) {
    if (i > 300 || child.exitCode !== null) throw new Error(`dpvs does not start: ${net.said}`);
    await sleep(50);
    if (existsSync(ipc)) client = await connect({ path: ipc }).catch(() => undefined);
  }
  await client.call('addr.add', { dev: 'dpdk0', addr: vip, plen: 24 });
  for (const [port, servers] of [
    [PORTS.web, SERVERS],
    [PORTS.iperf, [SERVERS[0]]],
  ] as const) {
    const svc = { proto: 'tcp', addr: vip, port } as const;
    await client.call('svc.add', { svc, scheduler: 'rr' });
    // Each instance has its own: the real servers are the same.
    const first = 200 + 4 * Number(host.at(-1));
    for (let n = first; n < first + 4; n++)
      await client.call('laddr.add', { svc, addr: `${SUBNET}.${n}`, dev: 'dpdk0' });
    for (const addr of servers) await client.call('dest.add', { svc, dest: { addr, port }, fwd: 'fullnat' });
  }
  client.close();
  return {
    name: `dpvs, ${device}`,
    host,
    vip,
    path,
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
  };
}

export const requestsPerSecond = (wrk: string): number => {
  const m = /^Requests\/sec:\s+([\d.]+)/m.exec(wrk);
  if (m === null) throw new Error(`wrk said: ${wrk}`);
  return Number(m[1]);
};

interface Metric {
  unit: string;
  baseline: 'haproxy' | 'nftables';
  target?: number;
  /** Keeps the switch off the lcore's CPU (RPS), for all contestants. */
  steered?: boolean;
  run: (net: VethNet, vip: string, seconds: number) => Promise<number>;
}

const throughput = async (net: VethNet, vip: string, s: number): Promise<number> => {
  const out = JSON.parse(await net.run('client', ['iperf3', '-c', vip, '-t', String(s), '-J'])) as {
    error?: string;
    end: { sum_received?: { bits_per_second: number } };
  };
  const received = out.end.sum_received;
  if (received === undefined) throw new Error(`iperf3 -c ${vip}: ${out.error ?? 'received nothing'}`);
  return received.bits_per_second / 1e9;
};

const METRICS: Record<string, Metric> = {
  keepalive: {
    unit: 'requests/s',
    baseline: 'haproxy',
    target: 1,
    run: async (net, vip, s) =>
      requestsPerSecond(await net.run('client', ['wrk', '-t1', '-c64', `-d${s}s`, `http://${vip}/`])),
  },
  'new connections': {
    unit: 'requests/s',
    baseline: 'haproxy',
    target: 1,
    run: async (net, vip, s) =>
      requestsPerSecond(
        await net.run('client', [
          'wrk',
          '-t1',
          '-c64',
          `-d${s}s`,
          '-H',
          'Connection: close',
          `http://${vip}/`,
        ]),
      ),
  },
  throughput: { unit: 'Gbit/s', baseline: 'nftables', target: 1, run: throughput },
  'throughput, switch on CPU 0': { unit: 'Gbit/s', baseline: 'nftables', steered: true, run: throughput },
};

/** Waits until a page comes through. */
async function answers(net: VethNet, vip: string): Promise<void> {
  for (let i = 0; ; i++) {
    try {
      await net.run('client', ['curl', '-sf', '--max-time', '2', `http://${vip}/`]);
      return;
    } catch (e) {
      if (i > 20) throw new Error(`${(e as Error).message}${net.said}`, { cause: e });
      await sleep(200);
    }
  }
}

/** For the ends of connections: what a balancer that is stopped leaves half closed would be in the way of the next round's. */
const CLOSING_MS = 300;

async function measure(c: Context): Promise<void> {
  const devices: (keyof typeof DEVICE)[] = c.quick ? ['af_xdp'] : ['af_packet', 'af_xdp'];
  const own = c.paths.flatMap((path) => devices.map((device) => ({ path, device })));
  const hosts = Object.fromEntries(own.map((_, i) => [`dpvs${i + 1}`, `${SUBNET}.${103 + i}`]));
  const net = VethNet.create({ nft: `${SUBNET}.101`, hap: `${SUBNET}.102`, ...hosts });
  const balancers: Balancer[] = [
    { name: 'nftables', host: 'nft', vip: `${SUBNET}.101`, path: '-' },
    { name: 'haproxy', host: 'hap', vip: `${SUBNET}.102`, path: '-' },
  ];
  try {
    nftables(net, 'nft', balancers[0]!.vip);
    haproxy(net, 'hap', balancers[1]!.vip);
    for (const [i, { path, device }] of own.entries()) {
      const host = `dpvs${i + 1}`;
      c.say(`starting dpvs (${path}, ${device})`);
      balancers.push(await dpvs(net, host, hosts[host]!, device, path));
    }
    for (const b of balancers) {
      b.resume?.();
      await answers(net, b.vip);
      await sleep(CLOSING_MS);
      b.pause?.();
    }
    for (const [metric, { unit, baseline, target, steered, run }] of Object.entries(METRICS)) {
      net.steer(steered === true);
      const values = new Map<Balancer, number[]>(balancers.map((b) => [b, []]));
      // Round 0 is not counted: code gets compiled, neighbours get known.
      for (let round = 0; round <= c.rounds; round++) {
        for (const b of balancers) {
          c.say(`${metric}: ${b.name}, round ${round} of ${c.rounds}`);
          b.resume?.();
          await sleep(100);
          const value = await run(net, b.vip, c.quick ? 1 : 3);
          if (round > 0) values.get(b)!.push(value);
          await sleep(CLOSING_MS);
          b.pause?.();
        }
      }
      const of = (name: string): number[] => values.get(balancers.find((b) => b.name === name)!)!;
      for (const [b, v] of values) {
        const s = summary(v);
        const ratio = summary(v.map((x, i) => x / of(baseline)[i]!));
        c.add({
          name: 'veth',
          mode: `${metric}: ${b.name}`,
          proto: 'tcp',
          flows: 0,
          lcores: 1,
          frameBytes: 0,
          path: b.path,
          mpps: 0,
          nsPerPacket: 0,
          lossPct: 0,
          perCpuSecond: 0,
          baseline,
          ratio: ratio.median,
          ratioMin: ratio.min,
          ratioMax: ratio.max,
          value: s.median,
          min: s.min,
          max: s.max,
          unit,
          ...(b.path === 'flow' && target !== undefined
            ? { target: { of: 'ratio', sign: '>=', bound: target } }
            : {}),
        });
      }
    }
  } finally {
    for (const b of balancers) b.resume?.();
    net.remove();
  }
}

export const VETH: Scenario[] = [
  { name: 'veth', what: 'against nftables and haproxy over veth pairs', slow: true, run: measure },
];
