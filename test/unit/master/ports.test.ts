/** What ports are asked of the native side. */
import { describe, expect, it } from 'vitest';
import type { PlannedDevice, RssType } from '../../../src/config/types.js';
import type { Native, PortConfig } from '../../../src/core/native.js';
import type { Log } from '../../../src/master/log.js';
import { Ports } from '../../../src/master/ports.js';

const log = { info: () => undefined, debug: () => undefined, warn: () => undefined } as unknown as Log;

/** Starts one port and tells how it was configured. */
function configured(queues: number, rss: RssType[]): PortConfig {
  let seen: PortConfig | undefined;
  const native = {
    ports: () => [0],
    portConfigure: (_port: number, c: PortConfig) => {
      seen = c;
      return { missing: [] };
    },
    portStart: () => undefined,
    portInfo: () => ({ mac: '02:00:00:00:00:01', mtu: 1500, promiscuous: false, allmulticast: false }),
  } as unknown as Native;
  const device = {
    name: 'dpdk0',
    port: 0,
    deviceName: 'net_x0',
    mtu: 1500,
    promisc: false,
    allmulticast: false,
    rx: { queues, descriptors: 256, rss },
    tx: { queues, descriptors: 256, mbufFastFree: false },
  } as unknown as PlannedDevice;
  new Ports(native, log, { devices: [device], lcores: [] }).start();
  return seen!;
}

describe('ports', () => {
  it('are asked for RSS by the names of DPDK', () => {
    expect(configured(2, ['ip', 'tcp', 'udp', 'sctp', 'ether', 'port', 'tunnel']).rss).toEqual([
      'IP',
      'TCP',
      'UDP',
      'SCTP',
      'ETH',
      'PORT',
      'TUNNEL',
    ]);
  });

  it('with one queue are asked for no RSS', () => {
    expect(configured(1, ['ip']).rss).toEqual([]);
  });
});
