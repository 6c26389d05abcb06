/**
 * A transfer that does not end: node drip.mjs serve PORT, which sends 4 KB to every client each 10 ms, and
 * node drip.mjs drain HOST PORT [FROM], which checks every byte and prints how many it has, a number a line.
 */
import { connect, createServer } from 'node:net';

const CYCLE = 251 * 256;
const BYTES = Buffer.from(Uint8Array.from({ length: CYCLE }, (_, i) => (i % 251) ^ (i >>> 8)));
const PIECE = 4096;

const [what, ...args] = process.argv.slice(2);
if (what === 'serve') {
  createServer((socket) => {
    let at = 0;
    let full = false;
    socket.on('drain', () => (full = false));
    socket.on('error', () => socket.destroy());
    const timer = setInterval(() => {
      if (full) return;
      const piece = BYTES.subarray(at, Math.min(at + PIECE, CYCLE));
      at = (at + piece.length) % CYCLE;
      full = !socket.write(piece);
    }, 10);
    socket.on('close', () => clearInterval(timer));
  }).listen(Number(args[0]), () => console.log('ready'));
} else {
  const [host, port, localAddress] = args;
  let got = 0;
  const socket = connect({ host, port: Number(port), localAddress });
  socket.on('data', (data) => {
    for (let i = 0; i < data.length; i++) {
      if (data[i] === BYTES[(got + i) % CYCLE]) continue;
      console.error(`byte ${got + i} is ${data[i]}`);
      process.exit(1);
    }
    got += data.length;
    console.log(got);
  });
  socket.on('close', () => process.exit(2));
}
