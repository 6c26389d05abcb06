/**
 * Sends one datagram of every size to an echo server and checks the answers byte by byte:
 * node udp-sizes.mjs HOST PORT FROM TO
 * UDP may lose: what isn't answered within half a second is sent again, 8 times at most.
 * Prints { answered, wrong, resent, unanswered }.
 */
import { createSocket } from 'node:dgram';

const [host, port, from, to] = process.argv.slice(2);
const WINDOW = 16;
const TRIES = 8;
const AGAIN_MS = 500;

const payload = (size) => Buffer.from(Uint8Array.from({ length: size }, (_, i) => (i * 7 + size) & 0xff));
const result = { answered: 0, wrong: 0, resent: 0, unanswered: [] };
const waiting = new Map(); // size -> { timer, tries }
let next = Number(from);

const socket = createSocket('udp4');
socket.on('message', (data) => {
  const entry = waiting.get(data.length);
  if (!entry) return; // the answer to a datagram that was sent twice
  clearTimeout(entry.timer);
  waiting.delete(data.length);
  if (data.equals(payload(data.length))) result.answered += 1;
  else result.wrong += 1;
  fill();
});

function send(size, tries) {
  const timer = setTimeout(() => {
    if (tries === TRIES) {
      waiting.delete(size);
      result.unanswered.push(size);
      fill();
    } else {
      result.resent += 1;
      send(size, tries + 1);
    }
  }, AGAIN_MS);
  waiting.set(size, { timer, tries });
  socket.send(payload(size));
}

function fill() {
  while (waiting.size < WINDOW && next <= Number(to)) send(next++, 1);
  if (waiting.size === 0) {
    console.log(JSON.stringify(result));
    socket.close();
  }
}

socket.connect(Number(port), host, fill);
