/**
 * Fetches a URL many times, each time over a connection of its own: node http-load.mjs URL COUNT CONCURRENCY [FIRST_PORT]
 * With FIRST_PORT each has a local port that no other has (the kernel uses a port again as soon as its connection has ended).
 * Prints { ok, failed, errors, servers }: how many answers, and how many by the first line of the body. (With node:http it
 * would take more of the CPU than what is tested.)
 */
import { connect } from 'node:net';

const [target, count, concurrency, firstPort] = process.argv.slice(2);
const url = new URL(target);
const REQUEST = `GET ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\nConnection: close\r\n\r\n`;
const ANSWER = /^HTTP\/1\.1 (\d+) [^]*?\r\nContent-Length: (\d+)\r\n[^]*?\r\n\r\n([^]*)$/;
const result = { ok: 0, failed: 0, errors: {}, servers: {} };

/** @throws Error when it is not a whole answer with status 200 */
function body(answer) {
  const [, status, length, text] = ANSWER.exec(answer) ?? [];
  if (status === undefined) throw new Error('no answer');
  if (status !== '200') throw new Error(`status ${status}`);
  if (text.length !== Number(length)) throw new Error(`${text.length} of ${length} bytes`);
  return text;
}

const fetchOne = (i) =>
  new Promise((resolve, reject) => {
    const socket = connect({
      host: url.hostname,
      port: Number(url.port || 80),
      localPort: firstPort && Number(firstPort) + i,
    });
    let answer = '';
    socket.setEncoding('latin1').setTimeout(10_000, () => socket.destroy(new Error('timeout')));
    socket.on('connect', () => socket.write(REQUEST));
    socket.on('data', (text) => (answer += text));
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
  }).then(body);

let left = Number(count);
async function worker() {
  while (left > 0)
    try {
      const [name] = (await fetchOne(--left)).split('\n');
      result.ok += 1;
      result.servers[name] = (result.servers[name] ?? 0) + 1;
    } catch (error) {
      const why = error.code ?? error.message;
      result.failed += 1;
      result.errors[why] = (result.errors[why] ?? 0) + 1;
    }
}
await Promise.all(Array.from({ length: Math.min(Number(concurrency), Number(count)) }, worker));
console.log(JSON.stringify(result));
