/** defence_tcp_drop, defence_udp_drop, stray packets, and timeouts of SNAT. */
import { describe, expect, it } from 'vitest';
import { tcp, udp } from '../../support/frames.js';
import { CLIENT, Rig, VIP } from './rig.js';

const OTHER_PORT = VIP.replace(':80', ':81');
const ELSEWHERE = '10.1.1.2:80';

describe('with defence_tcp_drop', () => {
  const rig = (): Rig => {
    const r = new Rig({ config: { defenceTcpDrop: true } });
    r.serve('tcp');
    return r;
  };
  it.each(['S', 'A', 'SA', 'R', 'F', 'PA', ''])(
    'flags "%s" to a port without service are dropped',
    (flags) => {
      const r = rig();
      expect(r.fromClient(tcp({ src: CLIENT, dst: OTHER_PORT, flags }))).toEqual([]);
      expect([r.drops, r.accepted, r.imbalance]).toEqual([{ DEFENCE_TCP_DROP: 1 }, 0, 0]);
    },
  );
  it('what is for another address, or UDP, goes on', () => {
    const r = rig();
    r.fromClient(tcp({ src: CLIENT, dst: ELSEWHERE, flags: 'S' }), udp({ src: CLIENT, dst: OTHER_PORT }));
    expect([r.drops, r.accepted]).toEqual([{ IP_NO_PROTO: 2 }, 2]);
  });
  it('services and connections are not concerned', () => {
    const r = rig();
    expect(r.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'S' }))).toHaveLength(1);
    expect(r.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'A' }))).toHaveLength(1);
  });
});

describe('with defence_udp_drop', () => {
  it('UDP to a port without service is dropped, TCP goes on', () => {
    const r = new Rig({ config: { defenceUdpDrop: true } });
    r.serve('tcp');
    r.fromClient(udp({ src: CLIENT, dst: VIP }), udp({ src: CLIENT, dst: ELSEWHERE }));
    r.fromClient(tcp({ src: CLIENT, dst: OTHER_PORT, flags: 'S' }));
    expect([r.drops, r.accepted]).toEqual([{ DEFENCE_UDP_DROP: 1, IP_NO_PROTO: 2 }, 2]);
  });
  it('UDP to a service is served', () => {
    const r = new Rig({ config: { defenceUdpDrop: true } });
    r.serve('udp');
    expect(r.fromClient(udp({ src: CLIENT, dst: VIP }))).toHaveLength(1);
  });
});

describe('without them', () => {
  it('what is for a virtual address and no service goes on to the stack', () => {
    const r = new Rig();
    r.serve('tcp');
    r.fromClient(tcp({ src: CLIENT, dst: OTHER_PORT, flags: 'S' }), udp({ src: CLIENT, dst: VIP }));
    expect([r.drops, r.accepted]).toEqual([{ IP_NO_PROTO: 2 }, 2]);
  });

  it.each(['A', 'PA', 'SA', 'R', 'F', ''])('flags "%s" to a service are never answered', (flags) => {
    const r = new Rig();
    r.serve('tcp');
    const out = r.input(0, tcp({ src: CLIENT, dst: VIP, flags, data: 'x' }));
    expect([out.client, out.server, r.generated, r.accepted]).toEqual([[], [], 0, 0]);
    expect([r.drops, r.svcDrops()]).toEqual([{ CONN_NO_SYN: 1 }, { CONN_NO_SYN: 1 }]);
  });
});
