/**
 * Unmodified servers that take the PROXY protocol: nginx on 8081 and haproxy on 8082 of a real server. Both answer with the
 * address and port that it says, and log it.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../process.js';
import type { Topology } from '../topology.js';
import { tempPaths } from './nginx.js';

const nginx = (dir: string, root: string): string => `
daemon off;
master_process off;
pid ${dir}/pid;
error_log ${dir}/error.log;
events { worker_connections 1024; }
http {
  log_format peer '$proxy_protocol_addr:$proxy_protocol_port $request';
  access_log ${dir}/access.log peer;
  default_type text/plain;
  ${tempPaths(dir)}
  client_max_body_size 100m;
  server {
    listen 8081 proxy_protocol;
    location = / { return 200 "nginx $proxy_protocol_addr:$proxy_protocol_port\\n"; }
    location / { root ${root}; }
  }
}
`;

const haproxy = `
global
    log stdout format raw local0
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 10s
    log global
    log-format "%ci:%cp %r"
frontend web
    bind :8082 accept-proxy
    http-request return status 200 content-type text/plain lf-string "haproxy %ci:%cp\\n"
`;

/** Starts both on a real server. `root` holds the files that nginx offers. @returns what they have logged */
export async function startProxied(t: Topology, host: 'rs1' | 'rs2', root: string): Promise<() => string> {
  const dir = join(t.dir, `${host}-proxied`);
  mkdirSync(dir);
  const file = join(dir, 'nginx.conf');
  writeFileSync(file, nginx(dir, root));
  t.keep(host, ['nginx', '-p', dir, '-e', join(dir, 'error.log'), '-c', file]);
  const conf = join(dir, 'haproxy.cfg');
  writeFileSync(conf, haproxy);
  const child = t.keep(host, ['haproxy', '-db', '-f', conf]);
  const listening = async (): Promise<boolean> => {
    const { stdout } = await t.run(host, ['ss', '-ltnH']);
    return stdout.includes(':8081') && stdout.includes(':8082');
  };
  await until('nginx and haproxy listen', async () => (await listening()) || undefined);
  return () => child.stdout;
}
