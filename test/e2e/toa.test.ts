/** Unmodified servers of several processes learn clients' addresses from TOA, without a kernel module (tools/toa). */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SvcEntry } from '../../src/control/results.js';
import { SHORT_TIMEOUTS } from '../support/balanced.js';
import { Daemon } from '../support/daemon.js';
import { type Kept, until } from '../support/process.js';
import { ADDRESS, Topology } from '../support/topology.js';
import { tempPaths } from '../support/servers/nginx.js';

const TOA = fileURLToPath(new URL('../../tools/toa/toa', import.meta.url));
const { vip, lip, rs1, client } = ADDRESS;
const WORKERS = 4;

/** A master, workers without privileges; `reuseport`: each worker has a listening socket of its own. */
const config = (dir: string, reuseport: boolean): string => `
daemon off;
pid ${dir}/pid;
error_log ${dir}/error.log;
worker_processes ${WORKERS};
events { worker_connections 512; ${reuseport ? '' : 'accept_mutex on; accept_mutex_delay 10ms;'} }
http {
  access_log off;
  default_type text/plain;
  ${tempPaths(dir)}
  server {
    listen 80 ${reuseport ? 'reuseport' : ''};
    location / { return 200 "$pid $remote_addr:$remote_port\\n"; }
  }
}
`;

let t: Topology;
let d: Daemon;
beforeAll(async () => {
  t = Topology.create('tap', 2);
  d = await Daemon.start(t, { lcores: 2, ipvs: SHORT_TIMEOUTS });
  await d.ok('dpip', 'addr', 'add', `${vip}/24`, 'dev', 'dpdk0');
  const service = `-t ${vip}:80`;
  await d.rules(`-A ${service} -s rr`, `-a ${service} -r ${rs1}:80 -b`, `-P ${service} -z ${lip} -F dpdk0`);
});
afterAll(() => t?.remove());

let servers = 0;
async function withNginx(
  from: string | undefined,
  reuseport: boolean,
  body: () => Promise<void>,
): Promise<void> {
  const dir = join(t.dir, `nginx-${servers++}`);
  mkdirSync(dir, { recursive: true, mode: 0o777 });
  writeFileSync(join(dir, 'nginx.conf'), config(dir, reuseport));
  const trusted = from === undefined ? [] : ['env', `TOA_FROM=${from}`];
  const nginx = ['nginx', '-p', dir, '-e', join(dir, 'error.log'), '-c', join(dir, 'nginx.conf')];
  const server: Kept = t.keep('rs1', [...trusted, TOA, ...nginx]);
  try {
    await until('nginx answers', () => t.succeed('rs1', ['curl', '-sf', `http://${rs1}/`]));
    await body();
  } finally {
    await server.stop('SIGTERM');
  }
}

/** Fetches many times, eight at once. @returns what each answer says of its process and its client */
async function fetches(n = 25): Promise<{ pid: string; peer: string }[]> {
  const script = `for i in $(seq 8); do (for j in $(seq ${n}); do curl -sf --max-time 10 http://${vip}/; done) & done; wait`;
  const lines = (await t.succeed('client', ['sh', '-c', script])).trim().split('\n');
  expect(lines).toHaveLength(8 * n);
  return lines.map((line) => ({ pid: line.split(' ')[0]!, peer: line.split(' ')[1]!.split(':')[0]! }));
}
const peers = (answers: { peer: string }[]): string[] => [...new Set(answers.map((a) => a.peer))];

describe('nginx with several workers', () => {
  it.each([false, true])('sees the client in every worker (reuseport: %s)', async (reuseport) => {
    await withNginx(lip, reuseport, async () => {
      const answers = await fetches();
      expect(peers(answers)).toEqual([client]);
      expect(new Set(answers.map((a) => a.pid)).size).toBeGreaterThan(1);
    });
    const services: SvcEntry[] = await d.call('svc.list', {});
    expect(services[0]!.events['TOA_INSERTED']).toBeGreaterThanOrEqual(200);
  });

  it.each([
    ['the network of the local address', `10.0.0.0/8,${lip.replace(/\d+$/, '0')}/24`, client],
    ['nobody in particular', undefined, client],
    ['others only', '10.0.0.0/8', lip],
  ])('believes %s', async (_, from, seen) => {
    await withNginx(from, true, async () => expect(peers(await fetches(3))).toEqual([seen]));
  });

  it('does not start with a TOA_FROM that says nothing', async () => {
    const { code, stderr } = await t.run('rs1', ['env', 'TOA_FROM=nonsense', TOA, 'true']);
    expect(code).toBe(1);
    expect(stderr).toContain("toa: TOA_FROM: not an address or prefix: 'nonsense'");
  });
});
