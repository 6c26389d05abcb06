/** One-packet scheduling: every packet of a client goes where the scheduler says, and answers come back to the client. */
import { describe, expect, it } from 'vitest';
import { readConns } from '../../../src/ipvs/conn/read.js';
import type { SvcOptions } from '../../../src/ipvs/options.js';
import { formatIpv4 } from '../../../src/wire/ipv4.js';
import { decode, icmp, payloadOf, udp } from '../../support/frames.js';
import { CLIENT, endpoint, LIP, Rig, RS, RS2, VIP } from './rig.js';

const RSS = [RS, RS2];
const query = (data: string): Uint8Array => udp({ src: CLIENT, dst: VIP, data });
const to = (frames: Uint8Array[]): string => frames.map((f) => decode(f).ip!.dst.split('.')[3]!).join(' ');

function serving(fwd: string, o: Partial<SvcOptions> = {}): Rig {
  const rig = new Rig();
  const dests = fwd === 'dr' ? ['192.168.0.2:80', '192.168.0.3:80'] : RSS;
  rig.serve('udp', { dests, fwd, onePacket: true, ...o });
  return rig;
}

/** The datagram that an ICMP error quotes. */
const quoted = (frame: Uint8Array): Uint8Array => payloadOf(frame).subarray(28);

describe('one-packet scheduling', () => {
  it.each(['fullnat', 'nat', 'dr'])(
    'by %s gives each packet to the next in turn, and forgets it soon',
    (fwd) => {
      const rig = serving(fwd);
      const out = rig.fromClient(query('a'), query('b'), query('c'), query('d'));
      // Direct routing changes no address.
      expect(to(out)).toBe(fwd === 'dr' ? '1 1 1 1' : '2 3 2 3');
      expect([rig.conns, rig.stat('conns', 1), rig.stat('conns', 2)]).toEqual([4, 2, 2]);
      rig.advance(1900);
      expect(rig.conns).toBe(4);
      rig.advance(200);
      expect([rig.conns, rig.portsUsed, rig.native.flowCount(1), rig.stat('inactive', 1)]).toEqual([
        0, 0, 0, 0,
      ]);
      expect([rig.drops, rig.imbalance]).toEqual([{}, 0]);
    },
  );

  it('by Full-NAT: answers go back to the client', () => {
    const rig = serving('fullnat');
    const ports = rig.fromClient(query('a'), query('b')).map((f) => decode(f).udp!.sport);
    RSS.forEach((rs, i) => {
      const [back] = rig.fromServer(udp({ src: rs, dst: `${LIP}:${ports[i]!}`, data: `answer ${i}` }));
      expect(decode(back!)).toMatchObject({
        ip: { src: endpoint(VIP).addr, dst: '10.0.0.1' },
        udp: { sport: 80, dport: 40000 },
      });
    });
  });

  it('by NAT: answers go back, also those of a second packet to the same real server', () => {
    const rig = serving('nat');
    rig.fromClient(query('a'), query('b'), query('c'));
    for (const rs of [RS, RS, RS2]) {
      const [back] = rig.fromServer(udp({ src: rs, dst: CLIENT, data: 'answer' }));
      expect(decode(back!)).toMatchObject({ ip: { src: '10.1.1.1', dst: '10.0.0.1' }, udp: { sport: 80 } });
    }
    expect(rig.accepted).toBe(0);
  });

  it.each(['fullnat', 'nat'])('by %s: an error about a packet tells the client of its own packet', (fwd) => {
    const rig = serving(fwd);
    const [sent] = rig.fromClient(query('a'));
    const [error] = rig.fromServer(
      icmp({ src: RS.split(':')[0]!, dst: decode(sent!).ip!.src, type: 3, code: 3, data: payloadOf(sent!) }),
    );
    expect(decode(error!).ip).toMatchObject({ src: '10.1.1.1', dst: '10.0.0.1' });
    expect(Buffer.from(quoted(error!)).equals(payloadOf(query('a')))).toBe(true);
  });

  it('waits for answers as long as the service says', () => {
    const rig = serving('fullnat', { connTimeout: 20 });
    rig.fromClient(query('a'));
    rig.advance(19_000, 1000);
    expect(rig.fromServer(udp({ src: RS, dst: `${LIP}:1025`, data: 'late' }))).toHaveLength(1);
    rig.advance(19_000, 1000);
    expect(rig.conns).toBe(1);
    rig.advance(2000, 1000);
    expect(rig.conns).toBe(0);
  });

  it('of a persistent service stays with the real server of the client', () => {
    const rig = serving('fullnat', { persistent: 60 });
    expect(to(rig.fromClient(query('a'), query('b'), query('c')))).toBe('2 2 2');
  });

  it.each(['fullnat', 'nat', 'dr'])('by %s is listed with client and service', (fwd) => {
    const rig = serving(fwd);
    rig.fromClient(query('a'), query('b'), query('c'));
    const { conns } = readConns(rig.native.conns, 1, 10);
    expect(
      conns.map((c) => `${formatIpv4(c.caddr)}:${c.cport} ${formatIpv4(c.vaddr)}:${c.vport} ${c.state}`),
    ).toEqual(Array(3).fill('10.0.0.1:40000 10.1.1.1:80 UDP_LAST'));
    expect(conns.map((c) => c.daddr & 255)).toEqual([2, 3, 2]);
  });

  it('survives the restart of its lcore', () => {
    const old = serving('fullnat');
    const [port] = old.fromClient(query('a')).map((f) => decode(f).udp!.sport);
    const rig = new Rig({ native: old.native, destStats: old.destStats, shared: old.shared });
    for (const c of old.services.snapshot()) rig.services.apply(c.op, c);
    rig.addAddress(LIP);
    expect(rig.ipvs.rebuild()).toBe(1);
    expect(rig.fromServer(udp({ src: RS, dst: `${LIP}:${port!}`, data: 'x' }))).toHaveLength(1);
    rig.advance(2200);
    expect([rig.conns, rig.portsUsed]).toEqual([0, 0]);
  });

  it('can be turned on and off: connections that are there stay', () => {
    const rig = serving('fullnat', { onePacket: false });
    const svc = { proto: 'udp', ...endpoint(VIP) } as const;
    rig.fromClient(query('a'));
    rig.services.apply('svc.edit', { svc, onePacket: true });
    expect(to(rig.fromClient(query('b')))).toBe('2');
    const other = udp({ src: '10.0.0.9:1', dst: VIP, data: 'x' });
    expect(to(rig.fromClient(other, other))).toBe('3 2');
    rig.services.apply('svc.edit', { svc, onePacket: false });
    expect(to(rig.fromClient(other, other))).toBe('3 3');
  });

  it('is refused for TCP', () => {
    expect(() => new Rig().serve('tcp', { onePacket: true })).toThrow('UDP');
  });

  it('no packet finds the hidden direction', () => {
    const rig = serving('fullnat');
    rig.fromClient(query('a'));
    // From the number of the connection; and should it match after all, no action.
    const forged = udp({ src: '0.0.0.1:0', dst: '0.0.0.0:0', data: 'x' });
    expect(rig.ipvs.table.records.u16[(rig.ipvs.table.records.dir(1, 0) + 14) >>> 1]).toBe(0);
    rig.judging = false;
    rig.fromClient(forged);
    expect(rig.imbalance).toBe(0);
  });
});
