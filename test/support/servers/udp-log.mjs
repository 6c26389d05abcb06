/** UDP echo server that also prints what it gets, one line each: node udp-log.mjs PORT. `PEER HEX`; `ready` when it listens. */
import { createSocket } from 'node:dgram';

const socket = createSocket({ type: 'udp4' });
socket.on('message', (data, peer) => {
  console.log(`${peer.address}:${peer.port} ${data.toString('hex')}`);
  socket.send(data, peer.port, peer.address);
});
socket.bind(Number(process.argv[2]), () => console.log('ready'));
