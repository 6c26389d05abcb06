/**
 * Asks for TCP connections all at once, from one address, and holds those that it gets: node tcp-burst.mjs HOST PORT COUNT LOCAL
 * Prints a line { open: N } whenever one more is open. Ends when standard input ends.
 */
import { connect } from 'node:net';

const [host, port, count, localAddress] = process.argv.slice(2);
let open = 0;
const sockets = Array.from({ length: Number(count) }, () => {
  const socket = connect({ host, port: Number(port), localAddress });
  socket.on('connect', () => console.log(JSON.stringify({ open: ++open })));
  socket.on('error', (error) => console.error(error.code));
  return socket;
});
process.stdin.on('end', () => sockets.forEach((socket) => socket.destroy()));
process.stdin.resume();
