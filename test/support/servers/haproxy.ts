/** haproxy as a real server on 8080: `/peer` says who asks, everything else comes from the nginx beside it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../process.js';
import type { Host, Topology } from '../topology.js';

const CONFIG = `
defaults
    mode http
    timeout client 20s
    timeout server 20s
    timeout connect 10s
frontend web
    bind :8080
    http-request return status 200 content-type text/plain lf-string "haproxy %ci:%cp\\n" if { path /peer }
    default_backend nginx
backend nginx
    server nginx 127.0.0.1:80
`;

export async function startHaproxy(t: Topology, host: Host): Promise<void> {
  const file = join(t.dir, `haproxy-${host}.cfg`);
  writeFileSync(file, CONFIG);
  const child = t.keep(host, ['haproxy', '-db', '-f', file]);
  await until('haproxy listens', async () => {
    if (!child.running) throw new Error(child.stderr);
    return (await t.run(host, ['ss', '-ltnH'])).stdout.includes(':8080');
  });
}
