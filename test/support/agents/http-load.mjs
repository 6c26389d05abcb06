/**
 * Fetches a URL many times: node http-load.mjs URL COUNT CONCURRENCY [keepalive | FIRST_PORT]
 * Without `keepalive` every request has a connection of its own; with FIRST_PORT each also has a local port that no other has
 * (the kernel uses a port again as soon as its connection has ended).
 * Prints { ok, failed, errors, servers, peers }: how many answers, by the first line of the body, and the distinct peers that
 * the servers saw.
 */
import { Agent, get } from 'node:http';

const [url, count, concurrency, mode] = process.argv.slice(2);
// `false`: a fresh agent for each request. (One agent with a limit would reuse connections all the same.)
const agent = mode === 'keepalive' && new Agent({ keepAlive: true, maxSockets: Number(concurrency) });
const result = { ok: 0, failed: 0, errors: {}, servers: {} };
const peers = new Set();

const firstPort = Number(mode) || undefined;

const fetchOne = (i) =>
  new Promise((resolve) => {
    const fail = (why) => {
      result.failed += 1;
      result.errors[why] = (result.errors[why] ?? 0) + 1;
      resolve();
    };
    const localPort = firstPort && firstPort + i;
    const request = get(url, { agent, timeout: 10_000, localPort }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text) => (body += text));
      response.on('error', (error) => fail(error.code ?? error.message));
      response.on('end', () => {
        if (response.statusCode !== 200) return fail(`status ${response.statusCode}`);
        const [name, peer] = body.split('\n');
        result.ok += 1;
        result.servers[name] = (result.servers[name] ?? 0) + 1;
        peers.add(peer);
        resolve();
      });
    });
    request.on('timeout', () => request.destroy(new Error('timeout')));
    request.on('error', (error) => fail(error.code ?? error.message));
  });

let left = Number(count);
const worker = async () => {
  while (left > 0) await fetchOne(--left);
};
await Promise.all(Array.from({ length: Math.min(Number(concurrency), Number(count)) }, worker));
if (agent) agent.destroy();
console.log(JSON.stringify({ ...result, peers: peers.size }));
