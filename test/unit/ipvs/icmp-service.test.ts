/** ICMP services: pings of a virtual address go to real servers, in every mode. */
import { describe, expect, it } from 'vitest';
import { ipip, payloadOf, ping, ramp } from '../../support/frames.js';
import { LIP, OUR_MAC, PEER_MAC, Rig } from './rig.js';

const VIP = '10.1.1.1';
const CLIENT = '10.0.0.1';
const RS = '192.168.0.2';
const sent = { smac: OUR_MAC, dmac: PEER_MAC };
const svc = { proto: 'icmp', addr: VIP, port: 0 } as const;

function serve(fwd: string, o: { lcore?: number; lcores?: number } = {}): Rig {
  const rig = new Rig(o);
  const dest = { addr: RS, port: 0 };
  rig.services.apply('svc.add', { svc, scheduler: 'rr' });
  rig.services.apply('dest.add', { svc, dest, fwd, weight: 1, maxConn: 0, minConn: 0 });
  if (fwd === 'fullnat') {
    rig.addAddress(LIP);
    rig.services.apply('laddr.add', { svc, addr: LIP, dev: 'dpdk0' });
  }
  return rig;
}

const echo = { data: ramp(56), seq: 2, id: 5, ttl: 9 };
const request = (ident: number, o: object = {}) => ping({ src: CLIENT, dst: VIP, ident, ...echo, ...o });
const answered = (ident: number) => ping({ ...sent, src: VIP, dst: CLIENT, ident, reply: true, ...echo });

describe('a ping of an ICMP service', () => {
  it('with Full-NAT has an identifier of ours at the real server', () => {
    const rig = serve('fullnat');
    expect(rig.fromClient(request(7))).toEqual([ping({ ...sent, src: LIP, dst: RS, ident: 1025, ...echo })]);
    expect(rig.fromServer(ping({ src: RS, dst: LIP, ident: 1025, reply: true, ...echo }))).toEqual([
      answered(7),
    ]);
    expect([rig.conns, rig.portsUsed, rig.imbalance]).toEqual([1, 1, 0]);
  });

  it('with NAT keeps its identifier and source', () => {
    const rig = serve('nat');
    expect(rig.fromClient(request(7))).toEqual([ping({ ...sent, src: CLIENT, dst: RS, ident: 7, ...echo })]);
    expect(rig.fromServer(ping({ src: RS, dst: CLIENT, ident: 7, reply: true, ...echo }))).toEqual([
      answered(7),
    ]);
  });

  it('with direct routing leaves as it came', () => {
    expect(serve('dr').fromClient(request(7))).toEqual([request(7, sent)]);
  });

  it('with a tunnel leaves inside another datagram', () => {
    const [frame] = serve('tunnel').fromClient(request(7));
    const outer = ipip({ ...sent, src: '192.168.0.1', dst: RS }, request(7));
    expect(payloadOf(frame!).slice(20)).toEqual(payloadOf(outer).slice(20));
  });

  it('of another type is left to the stack, a reply to nobody too', () => {
    const rig = serve('nat');
    rig.fromClient(ping({ src: CLIENT, dst: VIP, reply: true, ident: 7 }));
    expect([rig.accepted, rig.conns]).toEqual([1, 0]);
  });

  it('with NAT on two lcores belongs to the same one both ways', () => {
    for (let ident = 1; ident <= 16; ident++) {
      const [one, two] = [1, 2].map((lcore) => serve('nat', { lcore, lcores: 2 })) as [Rig, Rig];
      const direct = one.fromClient(request(ident));
      const owner = direct.length === 1 ? one : two;
      const other = owner === one ? two : one;
      if (owner === two) {
        two.native.injectRedirected(0, one.native.redirected(2)[0]!);
        expect(two.run().server).toHaveLength(1);
      }
      other.fromServer(ping({ src: RS, dst: CLIENT, ident, reply: true, ...echo }));
      const [passed] = other.native.redirected(owner === one ? 1 : 2);
      owner.native.injectRedirected(1, passed!);
      expect(owner.run().client).toEqual([answered(ident)]);
    }
  });
});
