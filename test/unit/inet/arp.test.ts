import { describe, expect, it } from 'vitest';
import { arp, BROADCAST_MAC, decode, udp, ZERO_MAC } from '../../support/frames.js';
import type { ArpOptions } from '../../support/frames.js';
import { Lab, macOf } from '../../support/lab.js';

const VIP = '192.168.100.100';
const PEER = '192.168.100.3';
const PEER_MAC = '02:00:00:00:00:03';
const request = (o: Partial<ArpOptions> = {}): Uint8Array =>
  arp({ op: 'request', sha: PEER_MAC, spa: PEER, tpa: VIP, ...o });
const answer = arp({ op: 'reply', sha: macOf(0), spa: VIP, tha: PEER_MAC, tpa: PEER });

/** dpdk0 has the VIP, dpdk1 another subnet. */
const make = (o: ConstructorParameters<typeof Lab>[0] = {}): Lab =>
  new Lab({ ports: 2, addrs: [`${VIP}/24`, '10.0.0.1/24 dpdk1'], ...o });
const known = (lab: Lab): string[] =>
  lab.inet.neigh.list().map((n) => `${n.addr} ${n.mac ?? '?'} ${n.state} ${n.dev}`);
const LEARNT = [`${PEER} ${PEER_MAC} REACHABLE dpdk0`];

describe('an ARP message', () => {
  const cases: [
    string,
    Uint8Array,
    { sent?: Uint8Array[]; known?: string[]; drops?: Record<string, number> },
  ][] = [
    ['asking for our address is answered and learnt from', request(), { sent: [answer], known: LEARNT }],
    [
      "padded to Ethernet's minimum is answered without the padding",
      request({ padTo: 60 }),
      { sent: [answer], known: LEARNT },
    ],
    ['asking by unicast is answered', request({ dmac: macOf(0) }), { sent: [answer], known: LEARNT }],
    [
      'probing for our address (RFC 5227) is answered and teaches nothing',
      request({ spa: '0.0.0.0' }),
      { sent: [arp({ op: 'reply', sha: macOf(0), spa: VIP, tha: PEER_MAC, tpa: '0.0.0.0' })] },
    ],
    [
      'from outside of the subnet is answered and teaches nothing',
      request({ spa: '9.9.9.9' }),
      { sent: [arp({ op: 'reply', sha: macOf(0), spa: VIP, tha: PEER_MAC, tpa: '9.9.9.9' })] },
    ],
    [
      'asking for somebody else is left alone',
      request({ tpa: '192.168.100.4' }),
      { drops: { ARP_NOT_OURS: 1 } },
    ],
    [
      'asking for the address of our other device is left alone',
      request({ tpa: '10.0.0.1' }),
      { drops: { ARP_NOT_OURS: 1 } },
    ],
    ['announcing a stranger teaches nothing', request({ tpa: PEER }), { drops: { ARP_DONE: 1 } }],
    [
      'replying to us teaches',
      arp({ op: 'reply', sha: PEER_MAC, spa: PEER, tha: macOf(0), tpa: VIP }),
      { known: LEARNT, drops: { ARP_DONE: 1 } },
    ],
    [
      'replying to somebody else teaches nothing',
      arp({
        op: 'reply',
        sha: PEER_MAC,
        spa: PEER,
        tha: macOf(9),
        tpa: '192.168.100.9',
        dmac: BROADCAST_MAC,
      }),
      { drops: { ARP_DONE: 1 } },
    ],
    ['of our own is ignored', request({ sha: macOf(0), spa: VIP }), { drops: { ARP_DONE: 1 } }],
    ['for another host is dropped', request({ dmac: macOf(9) }), { drops: { ETH_OTHER_HOST: 1 } }],
    ['that is too short is dropped', request().slice(0, 41), { drops: { ARP_BAD: 1 } }],
    ['with an unknown operation is dropped', request({ op: 3 }), { drops: { ARP_BAD: 1 } }],
    [
      'with a group MAC for sender is dropped',
      request({ sha: '01:00:00:00:00:01', smac: PEER_MAC }),
      { drops: { ARP_BAD: 1 } },
    ],
    [
      'with a zero MAC for sender is dropped',
      request({ sha: ZERO_MAC, smac: PEER_MAC }),
      { drops: { ARP_BAD: 1 } },
    ],
    ['from a broadcast address is dropped', request({ spa: '255.255.255.255' }), { drops: { ARP_BAD: 1 } }],
    ['from a multicast address is dropped', request({ spa: '224.0.0.1' }), { drops: { ARP_BAD: 1 } }],
    ['from a loopback address is dropped', request({ spa: '127.0.0.1' }), { drops: { ARP_BAD: 1 } }],
    ['asking for a multicast address is dropped', request({ tpa: '224.0.0.1' }), { drops: { ARP_BAD: 1 } }],
    ['asking for 0.0.0.0 is dropped', request({ tpa: '0.0.0.0' }), { drops: { ARP_BAD: 1 } }],
    [
      'replying from 0.0.0.0 is dropped',
      arp({ op: 'reply', sha: PEER_MAC, spa: '0.0.0.0', tha: macOf(0), tpa: VIP }),
      { drops: { ARP_BAD: 1 } },
    ],
  ];

  it.each(cases)('%s', (_, frame, expected) => {
    const lab = make();
    lab.inject(0, frame);
    lab.run();
    expect(lab.take(0)).toEqual(expected.sent ?? []);
    expect(known(lab)).toEqual(expected.known ?? []);
    expect(lab.drops()).toEqual(expected.drops ?? {});
    lab.expectBalanced();
  });

  it.each([
    ['a hardware type other than Ethernet', 15],
    ['a protocol other than IPv4', 16],
    ['a hardware length other than 6', 18],
    ['a protocol length other than 4', 19],
  ])('with %s is dropped', (_, at) => {
    const lab = make();
    const frame = request();
    frame[at]! += 1;
    lab.inject(0, frame);
    lab.run();
    expect([lab.take(0), known(lab), lab.drops()]).toEqual([[], [], { ARP_BAD: 1 }]);
    lab.expectBalanced();
  });

  it('that announces a new MAC of a known neighbour changes it at once', () => {
    const lab = make();
    lab.meet(0, PEER, PEER_MAC, VIP);
    lab.inject(0, request({ sha: macOf(7), tpa: PEER }));
    lab.run();
    expect(known(lab)).toEqual([`${PEER} ${macOf(7)} REACHABLE dpdk0`]);
  });
});

describe('an address that somebody else uses too', () => {
  const rival = request({ sha: macOf(8), spa: VIP, tpa: VIP });

  it('is defended by an announcement and told, once in 10 s', () => {
    const lab = make();
    const told: unknown[] = [];
    lab.inet.arp.onConflict((...what) => told.push(what));
    lab.inject(0, rival, rival);
    lab.advance(9900);
    lab.inject(0, rival);
    lab.run();
    const defence = arp({ op: 'request', sha: macOf(0), spa: VIP, tpa: VIP });
    expect(lab.take(0)).toEqual([defence]);
    expect(told).toEqual([[1, 0xc0a86464, macOf(8)]]);
    lab.advance(200);
    lab.inject(0, rival);
    lab.run();
    expect(lab.take(0)).toEqual([defence]);
    expect(known(lab)).toEqual([]);
    lab.expectBalanced();
  });
});

describe('an announcement', () => {
  const gratuitous = (port: number, addr: string, mac = macOf(port)): Uint8Array =>
    arp({ op: 'request', sha: mac, spa: addr, tpa: addr });

  it('is sent when an address is added, by the lcore that is told to', () => {
    expect(make({ announce: true }).take(0)).toEqual([gratuitous(0, VIP)]);
    expect(make({ announce: false }).take(0)).toEqual([]);
  });

  it('is sent when the device comes up or changes its MAC, not when its MTU changes', () => {
    const lab = make({ announce: true });
    lab.take(0);
    lab.command('link.set', { dev: 'dpdk0', up: false });
    lab.command('link.set', { dev: 'dpdk0', mtu: 1400 });
    lab.run();
    expect(lab.take(0)).toEqual([]);
    lab.command('link.set', { dev: 'dpdk0', up: true });
    lab.run();
    expect(lab.take(0)).toEqual([gratuitous(0, VIP)]);
    lab.command('link.set', { dev: 'dpdk0', addr: macOf(5) });
    lab.run();
    expect(lab.take(0)).toEqual([gratuitous(0, VIP, macOf(5))]);
    lab.expectBalanced();
  });

  it('is sent on demand', () => {
    const lab = make();
    lab.inet.announce(2, 0x0a000001);
    lab.run();
    expect(lab.take(1)).toEqual([gratuitous(1, '10.0.0.1')]);
  });
});

it('a frame to a neighbour carries the MAC that the device has now', () => {
  const lab = make({ config: { forwarding: true } });
  lab.meet(0, PEER, PEER_MAC, VIP);
  lab.command('link.set', { dev: 'dpdk0', addr: macOf(5) });
  lab.inject(1, udp({ src: '10.0.0.9:1', dst: `${PEER}:2`, dmac: macOf(1) }));
  lab.run();
  const [frame] = lab.take(0);
  expect([decode(frame!).smac, decode(frame!).dmac]).toEqual([macOf(5), PEER_MAC]);
});
