/**
 * What hosts say to us in the golden captures, all of it in one go. The answers that a host could only give to a
 * frame of ours (its acknowledgement numbers, our local port) are written down here: nothing that we choose depends
 * on chance.
 */
import type { Command } from '../../src/control/schema.js';
import {
  arp,
  BROADCAST_MAC,
  ethernet,
  icmp,
  ipv4,
  payloadOf,
  ping,
  ramp,
  tcp,
  udp,
} from '../support/frames.js';
import type { TcpOptions, UdpOptions } from '../support/frames.js';
import { macOf } from '../support/lab.js';
import type { SceneOptions } from './scene.js';

export interface Conversation extends SceneOptions {
  name: string;
  /** Frames by port, in the order in which they arrive. */
  in: readonly (readonly Uint8Array[])[];
}

const CLIENT_IP = '192.168.100.3';
const RS_IP = '192.168.100.2';
const VIP_IP = '192.168.100.100';
const LIP_IP = '192.168.100.200';
const CLIENT_MAC = '02:00:00:00:00:03';
const RS_MAC = '02:00:00:00:00:02';

const addr = (a: string, plen: number, dev: string): Command => ({
  op: 'addr.add',
  dev,
  addr: a,
  plen,
  scope: 'global',
  validLft: 0,
  sapool: false,
});
const serve = (proto: 'tcp' | 'udp', port: number): Command[] => {
  const svc = { proto, addr: VIP_IP, port };
  const dest = { addr: RS_IP, port };
  return [
    { op: 'svc.add', svc, scheduler: 'wlc', connTimeout: 0 },
    { op: 'dest.add', svc, dest, fwd: 'fullnat', weight: 1, maxConn: 0, minConn: 0 },
    { op: 'laddr.add', svc, addr: LIP_IP, dev: 'dpdk0' },
  ];
};

const toUs = { smac: CLIENT_MAC, dmac: macOf(0) };
const rsToUs = { smac: RS_MAC, dmac: macOf(0) };
const client = (o: Partial<TcpOptions> & { flags: string }): Uint8Array =>
  tcp({ ...toUs, src: `${CLIENT_IP}:45678`, dst: `${VIP_IP}:80`, df: true, ...o });
const server = (o: Partial<TcpOptions> & { flags: string }): Uint8Array =>
  tcp({ ...rsToUs, src: `${RS_IP}:80`, dst: `${LIP_IP}:1025`, df: true, ...o });
const asks = (o: Partial<UdpOptions>): Uint8Array =>
  udp({ ...toUs, src: `${CLIENT_IP}:5353`, dst: `${VIP_IP}:7`, ...o });
const echoes = (o: Partial<UdpOptions>): Uint8Array =>
  udp({ ...rsToUs, src: `${RS_IP}:7`, dst: `${LIP_IP}:1025`, ...o });

const SYN_OPTIONS = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
const GET = 'GET / HTTP/1.1\r\nHost: 192.168.100.100\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 1495\r\n\r\nYour ip:port : 192.168.100.200:1025';

/** The README's scene: a client that knows nothing of us pings the VIP, fetches a page and asks a UDP echo server. */
const README: Conversation = {
  name: 'readme',
  setup: [addr(VIP_IP, 24, 'dpdk0'), ...serve('tcp', 80), ...serve('udp', 7)],
  in: [
    [
      arp({ op: 'request', sha: CLIENT_MAC, spa: CLIENT_IP, tpa: VIP_IP, padTo: 60 }),
      ping({ ...toUs, src: CLIENT_IP, dst: VIP_IP, df: true, id: 1, data: ramp(56) }),
      ping({ ...toUs, src: CLIENT_IP, dst: VIP_IP, id: 2, seq: 2, data: ramp(1472) }),
      ping({ ...toUs, src: CLIENT_IP, dst: VIP_IP, id: 3, seq: 3, data: '' }),
      // A page. The real server is asked for first, the SYN waits.
      client({ flags: 'S', seq: 0xfffffff0, id: 10, tcpOptions: SYN_OPTIONS }),
      arp({ op: 'reply', sha: RS_MAC, spa: RS_IP, tha: macOf(0), tpa: VIP_IP, padTo: 60 }),
      server({ flags: 'SA', seq: 5000, ack: 0xfffffff1, tcpOptions: SYN_OPTIONS }),
      client({ flags: 'A', seq: 0xfffffff1, ack: 5001, id: 11 }),
      client({ flags: 'PA', seq: 0xfffffff1, ack: 5001, id: 12, data: GET }),
      client({ flags: 'PA', seq: 0xfffffff1, ack: 5001, id: 13, data: GET }),
      server({ flags: 'A', seq: 5001, ack: 0x1a, id: 1 }),
      server({ flags: 'PA', seq: 5001, ack: 0x1a, id: 2, data: OK }),
      server({ flags: 'A', seq: 5077, ack: 0x1a, id: 3, data: ramp(1460) }),
      client({ flags: 'A', seq: 0x1a, ack: 6537, id: 14 }),
      client({ flags: 'FA', seq: 0x1a, ack: 6537, id: 15 }),
      server({ flags: 'FA', seq: 6537, ack: 0x1b, id: 4 }),
      client({ flags: 'A', seq: 0x1b, ack: 6538, id: 16 }),
      // A second one that is cut off, a third to a port that nobody serves, one that has long expired.
      client({ flags: 'S', seq: 1, src: `${CLIENT_IP}:45679` }),
      server({ flags: 'SA', seq: 7, ack: 2, dst: `${LIP_IP}:1026` }),
      client({ flags: 'R', seq: 2, window: 0, src: `${CLIENT_IP}:45679` }),
      client({ flags: 'S', seq: 1, dst: `${VIP_IP}:81` }),
      client({ flags: 'A', seq: 1, ack: 1, src: `${CLIENT_IP}:45000` }),
      // UDP: of several sizes, without a checksum, refused.
      asks({ data: '' }),
      echoes({ data: '' }),
      asks({ data: ramp(17) }),
      echoes({ data: ramp(17) }),
      asks({ data: ramp(1472), noChecksum: true }),
      echoes({ data: ramp(1472), noChecksum: true }),
      icmp({
        ...rsToUs,
        src: RS_IP,
        dst: LIP_IP,
        type: 3,
        code: 3,
        data: payloadOf(udp({ src: `${LIP_IP}:1025`, dst: `${RS_IP}:7`, data: ramp(17) })),
      }),
      asks({ dst: `${VIP_IP}:9`, data: 'discard' }),
      // What else is heard on a link.
      arp({ op: 'request', sha: RS_MAC, spa: RS_IP, tpa: CLIENT_IP, padTo: 60 }),
      arp({ op: 'request', sha: RS_MAC, spa: '0.0.0.0', tpa: LIP_IP, padTo: 60 }),
      ethernet({ smac: CLIENT_MAC, dmac: '33:33:00:00:00:02', type: 0x86dd, payload: ramp(56) }),
      ethernet({ smac: CLIENT_MAC, dmac: '01:80:c2:00:00:0e', type: 0x88cc, payload: ramp(46) }),
      udp({
        smac: CLIENT_MAC,
        dmac: BROADCAST_MAC,
        src: '0.0.0.0:68',
        dst: '255.255.255.255:67',
        data: ramp(240),
      }),
      // Damaged and cut short: no port pads what a file holds.
      client({ flags: 'S', badChecksum: true }),
      client({ flags: 'S' }).slice(0, 40),
      ramp(13),
      ping({ ...toUs, src: CLIENT_IP, dst: VIP_IP, data: ramp(3) }).slice(0, 44),
    ],
  ],
};

const ROUTER_IN = { smac: CLIENT_MAC, dmac: macOf(0) };
const FAR_MAC = '02:00:00:00:00:09';
const trace = (ttl: number): Uint8Array =>
  udp({
    ...ROUTER_IN,
    src: `${CLIENT_IP}:33000`,
    dst: `10.0.0.9:${33434 + ttl}`,
    ttl,
    id: ttl,
    data: ramp(32),
  });
const far = { smac: FAR_MAC, dmac: macOf(1) };

/** Between two links, the far one with a smaller MTU. */
const ROUTER: Conversation = {
  name: 'router',
  ports: [{}, { mtu: 1400 }],
  config: { forwarding: true },
  setup: [addr('192.168.100.1', 24, 'dpdk0'), addr('10.0.0.1', 24, 'dpdk1')],
  in: [
    [
      arp({ op: 'request', sha: CLIENT_MAC, spa: CLIENT_IP, tpa: '192.168.100.1', padTo: 60 }),
      trace(1),
      trace(2),
      trace(3),
      ping({ ...ROUTER_IN, src: CLIENT_IP, dst: '10.0.0.9', id: 20, data: ramp(1472) }),
      ping({ ...ROUTER_IN, src: CLIENT_IP, dst: '10.0.0.9', id: 21, df: true, data: ramp(1472) }),
      ping({ ...ROUTER_IN, src: CLIENT_IP, dst: '10.0.0.9', id: 22, options: [7, 7, 4, 0, 0, 0, 0] }),
      ping({ ...ROUTER_IN, src: CLIENT_IP, dst: '10.0.0.9', id: 23, options: [131, 7, 4, 10, 0, 0, 9] }),
      ping({ ...ROUTER_IN, src: CLIENT_IP, dst: '8.8.8.8', id: 24 }),
      ipv4({
        ...ROUTER_IN,
        src: CLIENT_IP,
        dst: '10.0.0.9',
        id: 25,
        proto: 17,
        offset: 1480,
        payload: ramp(20),
      }),
      ipv4({ ...ROUTER_IN, src: CLIENT_IP, dst: '10.0.0.1', id: 26, proto: 132, payload: ramp(40) }),
    ],
    [
      arp({ op: 'reply', sha: FAR_MAC, spa: '10.0.0.9', tha: macOf(1), tpa: '10.0.0.1', padTo: 60 }),
      icmp({ ...far, src: '10.0.0.9', dst: CLIENT_IP, type: 3, code: 3, data: payloadOf(trace(2)) }),
      ping({ ...far, src: '10.0.0.9', dst: CLIENT_IP, reply: true, data: ramp(1372), df: true }),
      ping({ ...far, src: '10.0.0.9', dst: CLIENT_IP, reply: true, ttl: 1 }),
    ],
  ],
};

export const CONVERSATIONS: readonly Conversation[] = [README, ROUTER];
