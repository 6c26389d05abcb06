/** nginx as a real server: answers `/` with its own name and the peer that it sees, `/big` with a file. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Kept, succeed, until } from '../process.js';
import { ADDRESS, type Topology } from '../topology.js';

/** All that nginx would put under /var, used or not. */
export const tempPaths = (dir: string): string =>
  ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((what) => `${what}_temp_path ${dir};`).join(' ');

const config = (name: string, dir: string, root: string): string => `
daemon off;
master_process off;
pid ${dir}/pid;
error_log ${dir}/error.log;
worker_rlimit_nofile 65536;
events { worker_connections 16384; }
http {
  access_log off;
  default_type text/plain;
  sendfile on;
  keepalive_requests 1000000;
  ${tempPaths(dir)}
  server {
    listen 80 backlog=4096;
    location = / { return 200 "${name}\\nYour ip:port : $remote_addr:$remote_port\\n"; }
    location / { root ${root}; }
  }
}
`;

/** Starts nginx on a real server; it ends with the topology. `root` holds the files that it offers. */
export async function startNginx(t: Topology, host: 'rs1' | 'rs2', root: string): Promise<Kept> {
  const dir = join(t.dir, host);
  mkdirSync(dir, { recursive: true });
  const file = join(dir, 'nginx.conf');
  writeFileSync(file, config(host, dir, root));
  const server = t.keep(host, ['nginx', '-p', dir, '-e', join(dir, 'error.log'), '-c', file]);
  await until(`nginx of ${host} answers`, () =>
    succeed(t.in(host, ['curl', '-sf', `http://${ADDRESS[host]}/`])),
  );
  return server;
}
