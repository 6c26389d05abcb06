/**
 * Opens TCP connections one after the other and holds them: node tcp-hold.mjs HOST PORT COUNT [INTERVAL_MS]
 * With an interval, every connection fetches `/` over and over (HTTP keep-alive), waiting that long in between, and notes the
 * longest time without an answer. Prints { open } when all are open, { ended: PORT } when one ends; when standard input ends, prints
 * { answers, maxGapMs, errors, ports } and ends.
 */
import { connect } from 'node:net';

const [host, port, count, interval] = process.argv.slice(2);
const REQUEST = `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
const result = { answers: 0, maxGapMs: 0, errors: [], ports: {} };
const sockets = [];
let ending = false;

const open = () =>
  new Promise((resolve, reject) => {
    let own;
    const socket = connect(Number(port), host, () => {
      own = socket.localPort;
      socket.setNoDelay(true);
      sockets.push(socket);
      if (interval) talk(socket);
      resolve();
    });
    socket.on('error', (error) => {
      if (!ending) result.errors.push(error.code ?? error.message);
      reject(error);
    });
    socket.on('close', () => {
      if (ending) return;
      result.errors.push('closed');
      console.log(JSON.stringify({ ended: own }));
    });
  });

function talk(socket) {
  const own = { answers: 0, maxGapMs: 0 };
  result.ports[socket.localPort] = own;
  let asked = 0;
  const ask = () => {
    if (ending) return;
    asked = Date.now();
    socket.write(REQUEST);
  };
  socket.on('data', () => {
    const gap = Date.now() - asked;
    own.answers += 1;
    own.maxGapMs = Math.max(own.maxGapMs, gap);
    result.answers += 1;
    result.maxGapMs = Math.max(result.maxGapMs, gap);
    setTimeout(ask, Number(interval));
  });
  ask();
}

for (let i = 0; i < Number(count); i++) await open();
console.log(JSON.stringify({ open: sockets.length }));
process.stdin.on('end', () => {
  ending = true;
  console.log(JSON.stringify(result));
  for (const socket of sockets) socket.destroy();
});
process.stdin.resume();
