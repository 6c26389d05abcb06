import { describe, expect, it } from 'vitest';
import { ADJ_CAP } from '../../../src/core/layout.js';
import { arp, decode, udp } from '../../support/frames.js';
import { Lab, macOf } from '../../support/lab.js';

const GW = '10.0.0.1';
const HOST = '10.0.0.9';
const HOST_MAC = '02:00:00:00:00:09';
const CLIENT = '20.0.0.2';
const CLIENT_MAC = '02:00:00:00:00:02';

/** A router: clients on dpdk1, the host on dpdk0. Its clients' MAC is known, the host's is not. */
function router(config: Record<string, number> = {}): Lab {
  return new Lab({
    ports: 2,
    addrs: [`${GW}/24`, '20.0.0.1/24 dpdk1'],
    neighs: [`${CLIENT} ${CLIENT_MAC} dpdk1`],
    config: { forwarding: true, ...config },
  });
}

const datagram = (n: number): Uint8Array =>
  udp({ src: `${CLIENT}:1`, dst: `${HOST}:2`, id: n, smac: CLIENT_MAC, dmac: macOf(1) });
const forwarded = (n: number, dmac = HOST_MAC): Uint8Array =>
  udp({ src: `${CLIENT}:1`, dst: `${HOST}:2`, id: n, ttl: 63, smac: macOf(0), dmac });
const ask = arp({ op: 'request', sha: macOf(0), spa: GW, tpa: HOST });
const askAgain = arp({ op: 'request', sha: macOf(0), spa: GW, tpa: HOST, dmac: HOST_MAC });
const reply = (mac = HOST_MAC): Uint8Array =>
  arp({ op: 'reply', sha: mac, spa: HOST, tha: macOf(0), tpa: GW });
const state = (lab: Lab): string | undefined => lab.inet.neigh.list().find((n) => n.addr === HOST)?.state;

/** What passed on dpdk0 and when (ms since the call), as the time goes by in steps of 100 ms. */
function watch(lab: Lab, ms: number): string[] {
  const seen: string[] = [];
  for (let t = 0; t <= ms; t += 100) {
    if (t > 0) lab.advance(100);
    seen.push(...lab.takeSummaries(0).map((s) => `${t} ${s}`));
  }
  return seen;
}

/** The host answers to what it is asked. */
function answering(lab: Lab, ms: number, traffic: () => void = () => {}): string[] {
  const seen: string[] = [];
  for (let t = 100; t <= ms; t += 100) {
    lab.advance(100);
    traffic();
    lab.run();
    for (const frame of lab.take(0)) {
      const d = decode(frame);
      if (d.arp?.op === 1 && d.arp.tpa === HOST) {
        seen.push(`${t} ${d.dmac === HOST_MAC ? 'unicast' : 'broadcast'}`);
        lab.inject(0, reply());
      }
    }
    lab.run();
  }
  return seen;
}

describe('a neighbour that is not resolved', () => {
  it('is asked for by broadcast while the packets wait; they leave in order when it answers', () => {
    const lab = router();
    lab.inject(1, datagram(1), datagram(2), datagram(3));
    lab.run();
    expect(lab.take(0)).toEqual([ask]);
    expect([lab.counter('held'), state(lab)]).toEqual([3, 'SEND']);
    lab.expectBalanced();
    lab.inject(0, reply());
    lab.run();
    expect(lab.take(0)).toEqual([forwarded(1), forwarded(2), forwarded(3)]);
    expect([lab.counter('held'), state(lab)]).toEqual([0, 'REACHABLE']);
    lab.inject(1, datagram(4));
    lab.run();
    expect(lab.take(0)).toEqual([forwarded(4)]);
    expect(lab.drops()).toEqual({ ARP_DONE: 1 });
    lab.expectBalanced();
  });

  it('is asked three times in three seconds, then its packets are dropped and their sender told', () => {
    const lab = router();
    lab.inject(1, datagram(1), datagram(2));
    lab.run();
    const who = 'arp who-has 10.0.0.9 tell 10.0.0.1';
    // The wheel's tick is 4 ms; the steps of this clock are 100 ms.
    expect(watch(lab, 2900)).toEqual([`0 ${who}`, `1000 ${who}`, `2000 ${who}`]);
    expect(lab.drops()).toEqual({});
    expect(watch(lab, 200)).toEqual([]);
    expect(lab.takeSummaries(1)).toEqual([
      'icmp 20.0.0.1 > 20.0.0.2 type 3 code 1 len 28',
      'icmp 20.0.0.1 > 20.0.0.2 type 3 code 1 len 28',
    ]);
    expect(lab.drops()).toEqual({ NEIGH_UNRESOLVED: 2 });
    expect(state(lab)).toBe('NONE');
    lab.expectBalanced();
    lab.advance(2100);
    expect(state(lab)).toBeUndefined();
  });

  it('that failed is asked anew for the next packet', () => {
    const lab = router();
    lab.inject(1, datagram(1));
    lab.advance(3200);
    expect(state(lab)).toBe('NONE');
    lab.take(0);
    lab.inject(1, datagram(2));
    lab.run();
    expect(lab.take(0)).toEqual([ask]);
    lab.inject(0, reply());
    lab.run();
    expect(lab.take(0)).toEqual([forwarded(2)]);
    lab.expectBalanced();
  });

  it('keeps at most unres_queue_length packets', () => {
    const lab = router({ unresQueueLength: 16 });
    for (let n = 0; n < 20; n++) lab.inject(1, datagram(n));
    lab.run();
    expect([lab.counter('held'), lab.drops()]).toEqual([16, { NEIGH_QUEUE_FULL: 4 }]);
    lab.expectBalanced();
    lab.take(0);
    lab.inject(0, reply());
    lab.run();
    expect(lab.take(0)).toEqual(Array.from({ length: 16 }, (_, n) => forwarded(n)));
    lab.expectBalanced();
  });

  it('shares a limit with all others, and is asked also when its packets cannot wait', () => {
    const lab = router({ unresTotalLength: 10 });
    const to = (host: number, n: number): Uint8Array =>
      udp({ src: `${CLIENT}:1`, dst: `10.0.0.${host}:2`, id: n, smac: CLIENT_MAC, dmac: macOf(1) });
    // Somebody sends to addresses that nobody has.
    for (let host = 100; host < 120; host++) lab.inject(1, to(host, host));
    lab.run();
    expect([lab.counter('held'), lab.drops()]).toEqual([10, { NEIGH_QUEUE_FULL: 10 }]);
    lab.take(0);
    lab.inject(1, datagram(1));
    lab.run();
    expect(lab.take(0)).toEqual([ask]);
    lab.inject(0, reply());
    lab.inject(1, datagram(2));
    lab.run();
    expect(lab.take(0)).toEqual([forwarded(2)]);
    lab.expectBalanced();
    // What waited is gone when nobody answered, and others may wait again.
    lab.advance(4000);
    lab.run();
    expect(lab.counter('held')).toBe(0);
    lab.inject(1, to(130, 1));
    lab.run();
    expect(lab.counter('held')).toBe(1);
    lab.expectBalanced();
  });

  it('drops what waits for it when it is deleted', () => {
    const lab = router();
    lab.inject(1, datagram(1));
    lab.run();
    lab.command('neigh.del', { dev: 'dpdk0', addr: HOST });
    lab.run();
    expect([state(lab), lab.drops(), lab.counter('held')]).toEqual([undefined, { NEIGH_UNRESOLVED: 1 }, 0]);
    lab.expectBalanced();
  });
});

describe('a neighbour that was reachable', () => {
  function reachable(): Lab {
    const lab = router();
    lab.inject(1, datagram(0));
    lab.run();
    lab.inject(0, reply());
    lab.run();
    lab.take(0);
    return lab;
  }

  it('and is in use is asked again by unicast each timeout, and no packet ever waits', () => {
    const lab = reachable();
    let sent = 1;
    const asked = answering(lab, 200_000, () => lab.inject(1, datagram(sent++)));
    expect(asked.every((a) => a.endsWith('unicast'))).toBe(true);
    expect(asked.map((a) => Math.round(Number(a.split(' ')[0]) / 1000))).toEqual([60, 120, 180]);
    expect(lab.counter('held')).toBe(0);
    expect(lab.drops()).toEqual({ ARP_DONE: 4 });
    lab.expectBalanced();
  });

  it('and whose index is held by flows is asked again though no packet passes here', () => {
    const lab = reachable();
    lab.inet.adjacency(1, 0x0a000009);
    expect(answering(lab, 130_000)).toEqual(['60000 unicast', '120000 unicast']);
    expect(state(lab)).toBe('REACHABLE');
  });

  it('and is used by nobody goes without being asked', () => {
    const lab = reachable();
    // Another generation: whoever held an index has to ask anew.
    lab.command('link.set', { dev: 'dpdk1', mtu: 1400 });
    // Confirmed by the host itself, last used by us a minute before that ends.
    lab.advance(30_000);
    lab.inject(0, reply());
    lab.run();
    lab.advance(60_100);
    expect([state(lab), lab.take(0)]).toEqual(['PROBE', []]);
    lab.advance(30_000);
    expect([state(lab), lab.take(0)]).toEqual(['NONE', []]);
    lab.advance(2100);
    expect(state(lab)).toBeUndefined();
    lab.expectBalanced();
  });

  it('serves on in PROBE, where the first packet asks again', () => {
    const lab = reachable();
    lab.command('link.set', { dev: 'dpdk1', mtu: 1400 });
    lab.inject(0, reply());
    lab.run();
    lab.advance(60_100);
    expect([state(lab), lab.take(0)]).toEqual(['PROBE', []]);
    lab.inject(1, datagram(7));
    lab.run();
    expect(lab.take(0)).toEqual([askAgain, forwarded(7)]);
    expect(state(lab)).toBe('DELAY');
  });

  it('and falls silent is asked by unicast, then by broadcast, serves meanwhile, then is unresolved', () => {
    const lab = reachable();
    lab.advance(59_000);
    lab.inject(1, datagram(1));
    lab.run();
    lab.take(0);
    lab.advance(1100);
    expect([state(lab), lab.take(0)]).toEqual(['DELAY', [askAgain]]);
    lab.advance(1000);
    lab.inject(1, datagram(2));
    lab.run();
    expect(lab.take(0)).toEqual([ask, forwarded(2)]);
    lab.advance(1000);
    expect(lab.take(0)).toEqual([ask]);
    lab.advance(1000);
    expect(state(lab)).toBe('NONE');
    lab.inject(1, datagram(3));
    lab.run();
    expect([state(lab), lab.take(0), lab.counter('held')]).toEqual(['SEND', [ask], 1]);
    lab.expectBalanced();
  });

  it('that moves to another MAC without telling is found by the broadcast', () => {
    const lab = reachable();
    lab.inet.adjacency(1, 0x0a000009);
    lab.advance(61_100);
    lab.take(0);
    lab.inject(0, reply(macOf(77)));
    lab.inject(1, datagram(5));
    lab.run();
    expect(lab.take(0)).toEqual([forwarded(5, macOf(77))]);
  });
});

describe('a static neighbour', () => {
  it('needs no answer, is not changed by one, and never ages', () => {
    const lab = router();
    lab.command('neigh.add', { dev: 'dpdk0', addr: HOST, lladdr: HOST_MAC });
    lab.inject(0, reply(macOf(66)));
    lab.advance(300_000, 1000);
    lab.inject(1, datagram(1));
    lab.run();
    expect(lab.take(0)).toEqual([forwarded(1)]);
    expect(lab.inet.neigh.list().filter((n) => n.addr === HOST)).toEqual([
      { addr: HOST, mac: HOST_MAC, state: 'REACHABLE', dev: 'dpdk0', static: true },
    ]);
  });

  it('lets packets go that waited for an answer', () => {
    const lab = router();
    lab.inject(1, datagram(1));
    lab.run();
    lab.take(0);
    lab.command('neigh.add', { dev: 'dpdk0', addr: HOST, lladdr: HOST_MAC });
    lab.run();
    expect(lab.take(0)).toEqual([forwarded(1)]);
    lab.expectBalanced();
  });

  it('is asked for like any other once it is deleted', () => {
    const lab = router();
    lab.command('neigh.add', { dev: 'dpdk0', addr: HOST, lladdr: HOST_MAC });
    lab.command('neigh.del', { dev: 'dpdk0', addr: HOST });
    lab.inject(1, datagram(1));
    lab.run();
    expect(lab.take(0)).toEqual([ask]);
  });
});

describe('what one lcore learns', () => {
  it('is told to the others, once in 50 ms while it stays the same', () => {
    const lab = router();
    const told: unknown[] = [];
    lab.inet.neigh.onLearn((...what) => told.push(what));
    lab.inject(0, reply(), reply());
    lab.run();
    expect(told).toEqual([[1, 0x0a000009, HOST_MAC]]);
    lab.inject(0, reply(macOf(5)));
    lab.run();
    expect(told).toHaveLength(2);
    lab.advance(100);
    lab.inject(0, reply(macOf(5)));
    lab.run();
    expect(told).toHaveLength(3);
  });

  it('resolves a neighbour that another lcore waits for, and is not told again', () => {
    const lab = router();
    const told: unknown[] = [];
    lab.inet.neigh.onLearn((...what) => told.push(what));
    lab.inject(1, datagram(1));
    lab.run();
    lab.take(0);
    lab.inet.neigh.learn(1, 0x0a000009, HOST_MAC);
    lab.run();
    expect(lab.take(0)).toEqual([forwarded(1)]);
    expect(told).toEqual([]);
    lab.expectBalanced();
  });

  it('makes an entry there too, and nothing for a device that is not there', () => {
    const lab = router();
    lab.inet.neigh.learn(1, 0x0a000009, HOST_MAC);
    lab.inet.neigh.learn(9, 0x0a000009, HOST_MAC);
    expect(lab.inet.neigh.list().filter((n) => n.addr === HOST)).toEqual([
      { addr: HOST, mac: HOST_MAC, state: 'REACHABLE', dev: 'dpdk0', static: false },
    ]);
  });
});

describe('an adjacency index', () => {
  it('stays that of its neighbour, and the generation changes when it ends', () => {
    const lab = router();
    const adj = lab.inet.adjacency(1, 0x0a000009);
    expect(lab.inet.adjacency(1, 0x0a000009)).toBe(adj);
    expect(lab.inet.adjacencyFor(0x0a000009)).toBe(adj);
    expect(lab.inet.adjacency(1, 0x0a00000a)).not.toBe(adj);
    expect(lab.inet.adjMtu(adj)).toBe(1500);
    const { generation } = lab.inet;
    lab.command('neigh.del', { dev: 'dpdk0', addr: HOST });
    expect(lab.inet.generation).not.toBe(generation);
  });

  it('follows the MTU of its device', () => {
    const lab = router();
    const adj = lab.inet.adjacency(1, 0x0a000009);
    lab.command('link.set', { dev: 'dpdk0', mtu: 1400 });
    expect(lab.inet.adjMtu(adj)).toBe(1400);
  });

  it('is 0 for our own and for broadcast addresses, without a route, and without a device', () => {
    const lab = router();
    expect([0x0a000001, 0x0a0000ff, 0x63000001].map((a) => lab.inet.adjacencyFor(a))).toEqual([0, 0, 0]);
    expect(lab.inet.adjacency(9, 0x0a000009)).toBe(0);
  });

  it('is 0 when the table is full; those that do not answer make room', () => {
    const lab = new Lab({ addrs: ['10.0.0.1/8'] });
    for (let i = 1; i < ADJ_CAP; i++) expect(lab.inet.adjacency(1, 0x0a100000 + i)).not.toBe(0);
    expect(lab.inet.adjacency(1, 0x0a000009)).toBe(0);
    expect(lab.inet.adjacency(1, 0x0a100001)).not.toBe(0);
    lab.advance(2100);
    expect(lab.inet.adjacency(1, 0x0a000009)).not.toBe(0);
    expect(lab.inet.neigh.list()).toHaveLength(1);
  });
});

describe('the table', () => {
  it('is listed in parts that together are the whole', () => {
    const lab = router();
    for (let i = 0; i < 25; i++)
      lab.command('neigh.add', { dev: 'dpdk0', addr: `10.0.0.${i + 50}`, lladdr: HOST_MAC });
    lab.run();
    const { neigh } = lab.inet;
    const parts: number[] = [];
    const lines: unknown[] = [];
    let from = 0;
    do {
      const part = neigh.page(from, 10);
      parts.push(part.lines.length);
      lines.push(...part.lines);
      from = part.next;
    } while (from !== 0);
    expect(parts).toEqual([10, 10, 6]);
    expect(lines).toEqual(neigh.list());
  });
});
