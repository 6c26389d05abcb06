import { describe, expect, it } from 'vitest';
import { L2_BROADCAST, L2_HOST, L2_MULTICAST, L2_OTHER } from '../../../src/core/packet.js';
import { Devices } from '../../../src/netif/device.js';
import { ethernet } from '../../support/frames.js';
import { Lab, macOf } from '../../support/lab.js';

const TYPE = 0x88b5; // local experimental

/** A lab that notes what a handler of `TYPE` sees, and sends the payload back as a frame. */
function listening(ports = 2): { lab: Lab; seen: unknown[] } {
  const lab = new Lab({ ports, judge: false });
  const seen: unknown[] = [];
  lab.netif.handle(TYPE, (p, dev) => {
    const { packets } = lab;
    const payload = Buffer.from(packets.bytes.raw.slice(packets.data(p), packets.end(p))).toString();
    seen.push({ dev: dev.name, l2: packets.l2Class(p), ifindex: packets.ifindex(p), payload });
    lab.netif.restoreHeader(p);
    lab.netif.transmit(p, dev);
  });
  return { lab, seen };
}

const frame = (dmac: string, type = TYPE): Uint8Array =>
  ethernet({ dmac, type, payload: Buffer.from('payload') });

describe('a received frame', () => {
  it.each([
    ['our MAC', 1, macOf(1), L2_HOST],
    ['the MAC of our other port', 1, macOf(0), L2_OTHER],
    ['everybody', 0, 'ff:ff:ff:ff:ff:ff', L2_BROADCAST],
    ['a group', 0, '01:00:5e:00:00:01', L2_MULTICAST],
    ['a MAC that differs in its last byte', 0, '02:00:00:00:01:7f', L2_OTHER],
    ['a MAC that differs in its first byte', 0, '06:00:00:00:01:00', L2_OTHER],
  ])('for %s is classified and reaches the handler of its type', (_, port, dmac, l2) => {
    const { lab, seen } = listening();
    lab.inject(port, frame(dmac));
    lab.run();
    expect(seen).toEqual([{ dev: `dpdk${port}`, l2, ifindex: port + 1, payload: 'payload' }]);
    expect(lab.take(port)).toEqual([frame(dmac)]);
    lab.expectBalanced();
  });

  it.each([
    ['shorter than its header', 0, frame(macOf(0)).slice(0, 13), { ETH_SHORT: 1 }],
    ['of an unknown type', 0, frame(macOf(0), 0x88b6), { ETH_UNKNOWN_TYPE: 1 }],
    ['with an 802.3 length for a type', 0, frame(macOf(0), 46), { ETH_UNKNOWN_TYPE: 1 }],
    ['on a port without a device', 7, frame(macOf(0)), { PORT_DOWN: 1 }],
  ])('%s is dropped with its reason', (_, port, bytes, drops) => {
    const { lab, seen } = listening();
    lab.inject(port, bytes);
    lab.run();
    expect(seen).toEqual([]);
    expect(lab.drops()).toEqual(drops);
    lab.expectBalanced();
  });

  it('is dropped while its device is down, and passes when it is up again', () => {
    const { lab, seen } = listening();
    lab.command('link.set', { dev: 'dpdk0', up: false });
    lab.inject(0, frame(macOf(0)));
    lab.run();
    expect(lab.drops()).toEqual({ PORT_DOWN: 1 });
    lab.command('link.set', { dev: 'dpdk0', up: true });
    lab.inject(0, frame(macOf(0)));
    lab.run();
    expect(seen).toHaveLength(1);
    lab.expectBalanced();
  });
});

describe('devices', () => {
  const make = (): Devices => {
    const devices = new Devices();
    devices.add({ name: 'dpdk0', portId: 0, mac: 'A0:36:9F:9D:61:F4', mtu: 1500 });
    devices.add({ name: 'dpdk1', portId: 3, mac: macOf(1), mtu: 9000, up: false, promisc: true });
    return devices;
  };

  it('are found by name, index and port', () => {
    const d = make();
    expect(d.require('dpdk1').ifindex).toBe(2);
    expect(d.byIndex(1)?.name).toBe('dpdk0');
    expect(d.byPort(3)?.name).toBe('dpdk1');
    expect([d.byIndex(0), d.byIndex(3), d.byPort(1), d.byPort(99)]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  it.each([
    ['an unknown device', { dev: 'eth9' }, 'NODEV', "no device 'eth9'"],
    ['an MTU below 68', { dev: 'dpdk0', mtu: 67 }, 'INVAL', 'mtu 67'],
    ['an MTU above 9000', { dev: 'dpdk0', mtu: 9001 }, 'INVAL', 'mtu 9001'],
    ['a group MAC', { dev: 'dpdk0', addr: '01:00:00:00:00:01' }, 'INVAL', '01:00:00:00:00:01'],
    ['a zero MAC', { dev: 'dpdk0', addr: '00:00:00:00:00:00' }, 'INVAL', '00:00:00:00:00:00'],
  ])('refuse %s and change nothing', (_, params, code, text) => {
    const d = make();
    const before = d.snapshot();
    expect(() => d.set({ up: false, ...params })).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(text) }),
    );
    expect(d.snapshot()).toEqual(before);
  });

  it('refuse a second device of a name or on a port', () => {
    const d = make();
    expect(() => d.add({ name: 'dpdk0', portId: 9, mac: macOf(2), mtu: 1500 })).toThrow(
      expect.objectContaining({ code: 'EXIST' }),
    );
    expect(() => d.add({ name: 'x', portId: 3, mac: macOf(2), mtu: 1500 })).toThrow(
      expect.objectContaining({ code: 'EXIST' }),
    );
  });

  it('change what is given and tell it', () => {
    const d = make();
    const told: string[] = [];
    d.onChange((dev) => told.push(`${dev.name} ${dev.mtu} ${dev.mac} ${dev.up}`));
    d.set({ dev: 'dpdk0', mtu: 1400, addr: '02:00:00:00:00:09' });
    expect(told).toEqual(['dpdk0 1400 02:00:00:00:00:09 true']);
  });

  it('come back by their snapshot', () => {
    const d = make();
    d.set({ dev: 'dpdk0', mtu: 1400, allmulticast: true, addr: '02:00:00:00:00:09' });
    const copy = make();
    for (const { op, ...params } of d.snapshot()) copy.handlers[op](params);
    expect(copy.snapshot()).toEqual(d.snapshot());
    expect(copy.require('dpdk0').macHi).toBe(0x02000000);
    expect(copy.require('dpdk0').macLo).toBe(9);
  });
});
