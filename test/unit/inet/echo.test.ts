import { describe, expect, it } from 'vitest';
import { decode, ping, ramp } from '../../support/frames.js';
import { Lab, macOf } from '../../support/lab.js';

const PEER = '02:00:00:00:00:aa';
const VIP = '192.168.100.100';

const lab = (): Lab => new Lab({ addrs: [`${VIP}/24`], neighs: [`192.168.100.3 ${PEER}`] });

describe('ping of one of our addresses', () => {
  it('is answered byte for byte', () => {
    const l = lab();
    l.inject(
      0,
      ping({
        src: '192.168.100.3',
        dst: VIP,
        ttl: 17,
        tos: 0x10,
        id: 77,
        ident: 5,
        seq: 9,
        data: 'hello',
        smac: PEER,
        padTo: 60,
      }),
    );
    l.run();
    const [frame, ...more] = l.take(0);
    const { id } = decode(frame!).ip!;
    expect(more).toEqual([]);
    expect(frame).toEqual(
      ping({
        reply: true,
        src: VIP,
        dst: '192.168.100.3',
        ttl: 64,
        tos: 0x10,
        id,
        ident: 5,
        seq: 9,
        data: 'hello',
        smac: macOf(0),
        dmac: PEER,
      }),
    );
    expect(l.drops()).toEqual({});
    l.expectBalanced();
  });

  it('is answered with the TTL of the configuration, whatever TTL it came with', () => {
    const l = new Lab({
      addrs: [`${VIP}/24`],
      neighs: [`192.168.100.3 ${PEER}`],
      config: { defaultTtl: 99 },
    });
    for (const ttl of [0, 1, 255]) l.inject(0, ping({ src: '192.168.100.3', dst: VIP, ttl, smac: PEER }));
    l.run();
    expect(l.take(0).map((f) => decode(f).ip!.ttl)).toEqual([99, 99, 99]);
    l.expectBalanced();
  });

  it('is answered for every size up to the MTU', () => {
    const l = lab();
    for (let n = 0; n <= 1472; n++) {
      l.inject(0, ping({ src: '192.168.100.3', dst: VIP, data: ramp(n), smac: PEER }));
      l.run();
      const [frame] = l.take(0);
      const { type, rest, data } = decode(frame!).icmp!;
      // Comparing large arrays with toEqual would take most of the test's time.
      expect([type, rest, data.length, Buffer.compare(data, ramp(n))]).toEqual([0, 0x10001, n, 0]);
    }
    l.expectBalanced();
  });
});
