/** A UDP flood from random sources to port 9 of the virtual address, and real servers that never answer it. */
import { fileURLToPath } from 'node:url';
import { until } from './process.js';
import { ADDRESS, type Topology } from './topology.js';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const FLOOD = here('agents/udpflood.py');
const SINK = here('servers/udp-sink.py');

/** Connections that have ended go soon; what nobody has answered stays, so that only the flood's own pressure ends it. */
export const FLOODED_IPVS = `
    tcp {
        timeout {
            fin_wait 2
            time_wait 2
            close 2
            close_wait 2
            last_ack 2
        }
    }
    conn {
        flood_idle 600
    }`;

export async function startSinks(t: Topology): Promise<void> {
  for (const host of ['rs1', 'rs2'] as const) {
    const sink = t.keep(host, ['python3', SINK]);
    await until('the sink listens', () => sink.stdout.includes('ready'));
  }
}

/** @param mac of the load balancer @returns how many were sent; the virtual cable loses some of them */
export async function wave(t: Topology, mac: string, count: number, seed: number): Promise<number> {
  const args = ['eth0', mac, ADDRESS.vip, '9', String(count), String(seed)];
  return (JSON.parse(await t.succeed('client', ['python3', FLOOD, ...args])) as { sent: number }).sent;
}
