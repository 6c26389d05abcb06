/** iperf3 on both ends: how many bytes arrived. */
import { until } from '../process.js';
import type { Host, Topology } from '../topology.js';

export async function startIperf3(t: Topology, host: Host): Promise<void> {
  const child = t.keep(host, ['iperf3', '-s', '--forceflush']);
  await until('iperf3 listens', () => {
    if (!child.running) throw new Error(child.stderr);
    return child.stdout.includes('listening');
  });
}

/** Three times what the buffers of both ends hold (tcp_wmem 4 MB, tcp_rmem 6 MB): when all is sent, more than half has arrived. */
export const IPERF3_BYTES = 30_000_000;

/**
 * Sends so many bytes over one connection from the client, or to it. @returns how many were sent, and how many of them the other side
 * had received when the sender had sent the last (iperf3 does not wait for the rest)
 */
export async function iperf3(
  t: Topology,
  addr: string,
  bytes: number,
  toClient: boolean,
): Promise<{ sent: number; received: number }> {
  const args = ['-c', addr, '-n', String(bytes), '-J', ...(toClient ? ['-R'] : [])];
  const out = await t.succeed('client', ['iperf3', ...args], { timeoutMs: 25_000 });
  const { end } = JSON.parse(out) as { end: Record<'sum_sent' | 'sum_received', { bytes: number }> };
  return { sent: end.sum_sent.bytes, received: end.sum_received.bytes };
}
