/** UDP echo server: node udp-echo.mjs PORT [ADDRESS]. Prints `ready` when it listens. */
import { createSocket } from 'node:dgram';

const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 20 });
socket.on('message', (data, peer) => socket.send(data, peer.port, peer.address));
socket.bind(Number(process.argv[2]), process.argv[3], () => console.log('ready'));
