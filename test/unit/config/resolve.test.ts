/** File and machine together: which port is which device, who polls what from where. */
import { describe, expect, test } from 'vitest';
import { ConfigError, type Facts, type PortFact } from '../../../src/config/config.js';
import { resolve, type Resolved } from '../../../src/config/resolve.js';
import { brief, load } from './support.js';

const nic = (deviceName: string, maxRxQueues = 16, maxTxQueues = 16): PortFact => ({
  deviceName,
  maxRxQueues,
  maxTxQueues,
});
const named = (name: string, deviceName: string, maxRxQueues = 16, maxTxQueues = 16): PortFact => ({
  name,
  ...nic(deviceName, maxRxQueues, maxTxQueues),
});
const NIC0 = nic('0000:06:00.0');
const NIC1 = nic('0000:06:00.1');

function plan(text: string, ports: PortFact[], allowedCpus: number[] = [0, 1, 2, 3]): Resolved {
  const { config, origins } = load(text);
  return resolve(config, { allowedCpus, ports }, origins);
}

function refused(text: string, ports: PortFact[], allowedCpus: number[] = [0, 1, 2, 3]): string[] {
  try {
    plan(text, ports, allowedCpus);
  } catch (e) {
    if (e instanceof ConfigError) return brief(e.diagnostics);
    throw e;
  }
  throw new Error('was not refused');
}

const workers = (n: number, body: (i: number) => string = () => ''): string =>
  `worker_defs {\n${Array.from({ length: n }, (_, i) => `worker cpu${i + 1} { cpu_id ${i + 1}\n${body(i)}\n}`).join('\n')}\n}\n`;
const device = (body: string, name = 'dpdk0'): string => `netif_defs { device ${name} {\n${body}\n} }\n`;

describe('without a file', () => {
  test('every port is used, named in order, by one lcore on the last allowed CPU', () => {
    const { plan: p, warnings } = plan('', [NIC0, NIC1], [5, 2, 7, 3]);
    expect(warnings).toEqual([]);
    expect(p.lcores).toEqual([
      {
        id: 1,
        name: 'cpu7',
        cpu: 7,
        ports: [
          { device: 'dpdk0', rxQueues: [0], txQueue: 0 },
          { device: 'dpdk1', rxQueues: [0], txQueue: 0 },
        ],
      },
    ]);
    expect(
      p.devices.map((d) => [d.port, d.name, d.deviceName, d.implicit, d.rx.queues, d.tx.queues, d.mtu]),
    ).toEqual([
      [0, 'dpdk0', '0000:06:00.0', true, 1, 1, 1500],
      [1, 'dpdk1', '0000:06:00.1', true, 1, 1, 1500],
    ]);
  });

  test('no ports at all is a plan too', () => {
    expect(plan('', []).plan).toEqual({ lcores: [{ id: 1, name: 'cpu3', cpu: 3, ports: [] }], devices: [] });
  });

  test('a process without CPUs is refused', () => {
    expect(refused('', [NIC0], [])).toEqual(['this process may run on no CPU at all']);
  });

  test('a master alone is like no worker', () => {
    const { plan: p } = plan('worker_defs { worker m { type master\n cpu_id 0 } }', [NIC0]);
    expect(p.lcores).toMatchObject([{ id: 1, cpu: 3 }]);
  });
});

describe('ports and devices', () => {
  const names = (text: string, ports: PortFact[]): string[] =>
    plan(text, ports).plan.devices.map((d) => `${d.deviceName}=${d.name}`);

  test('a port made from devargs is its device, wherever it stands', () => {
    const text = `netif_defs { device lan { devargs "net_tap1,iface=b"\n mtu 1400 }\n device wan { devargs net_tap0 } }`;
    const { devices } = plan(text, [named('wan', 'net_tap0'), named('lan', 'net_tap1')]).plan;
    expect(devices).toMatchObject([
      { name: 'wan', port: 0, mtu: 1500, implicit: false },
      { name: 'lan', port: 1, mtu: 1400, devargs: 'net_tap1,iface=b', implicit: false },
    ]);
  });

  test('dpdkN is the N-th port that DPDK finds by itself, whatever the order in the file', () => {
    expect(names('netif_defs { device dpdk1 { }\n device dpdk0 { } }', [NIC0, NIC1])).toEqual([
      '0000:06:00.0=dpdk0',
      '0000:06:00.1=dpdk1',
    ]);
    const { devices } = plan(device('mtu 9000', 'dpdk1'), [NIC0, NIC1]).plan;
    expect(devices.map((d) => [d.name, d.mtu, d.implicit])).toEqual([
      ['dpdk0', 1500, true],
      ['dpdk1', 9000, false],
    ]);
  });

  test('ports made from devargs do not count for dpdkN', () => {
    expect(
      names('netif_defs { device tap { devargs net_tap0 }\n device dpdk0 { } }', [
        named('tap', 'net_tap0'),
        NIC0,
      ]),
    ).toEqual(['net_tap0=tap', '0000:06:00.0=dpdk0']);
  });

  test('devices of other names get the ports that are left, in order', () => {
    expect(names('netif_defs { device wan { }\n device dpdk0 { } }', [NIC0, NIC1])).toEqual([
      '0000:06:00.0=dpdk0',
      '0000:06:00.1=wan',
    ]);
  });

  test('a port that the file does not know never takes a name of the file', () => {
    const text = 'netif_defs { device dpdk0 { devargs net_tap0 } }';
    expect(names(text, [NIC0, named('dpdk0', 'net_tap0')])).toEqual(['0000:06:00.0=dpdk1', 'net_tap0=dpdk0']);
  });

  test('a device without a port is refused where it stands', () => {
    expect(refused('netif_defs {\n device dpdk0 { }\n device dpdk1 { }\n}', [NIC0])).toEqual([
      "3:9 there is no port for device 'dpdk1': DPDK found 0000:06:00.0",
    ]);
    expect(refused('netif_defs {\n device dpdk0 { }\n}', [])).toEqual([
      "2:9 there is no port for device 'dpdk0': DPDK found none",
    ]);
    expect(refused('netif_defs {\n device t { devargs net_tap0 }\n}', [NIC0])).toEqual([
      "2:9 device 't' was not made from its devargs 'net_tap0'",
    ]);
  });

  test('a bonding is refused: not supported yet', () => {
    expect(refused('netif_defs { device dpdk0 { }\n bonding b { mode 0\n slave dpdk0 } }', [NIC0])).toEqual([
      "2:10 bonding 'b' cannot be made: bonding is not supported yet",
    ]);
  });
});

describe('workers that list no ports', () => {
  test('get one receive and one transmit queue each on every port', () => {
    const { lcores, devices } = plan(workers(2), [NIC0, NIC1]).plan;
    expect(lcores.map((l) => [l.id, l.name, l.cpu])).toEqual([
      [1, 'cpu1', 1],
      [2, 'cpu2', 2],
    ]);
    for (const [i, l] of lcores.entries()) {
      expect(l.ports).toEqual([
        { device: 'dpdk0', rxQueues: [i], txQueue: i },
        { device: 'dpdk1', rxQueues: [i], txQueue: i },
      ]);
    }
    expect(devices.map((d) => [d.rx.queues, d.tx.queues])).toEqual([
      [2, 2],
      [2, 2],
    ]);
  });

  test('share fewer receive queues when the device has fewer', () => {
    const { lcores, devices } = plan(workers(2), [nic('net_x', 1, 2)]).plan;
    expect(lcores.map((l) => l.ports)).toEqual([
      [{ device: 'dpdk0', rxQueues: [0], txQueue: 0 }],
      [{ device: 'dpdk0', rxQueues: [], txQueue: 1 }],
    ]);
    expect(devices[0]).toMatchObject({ rx: { queues: 1 }, tx: { queues: 2 } });
  });

  test('are dealt out the receive queues that queue_number asks for', () => {
    const { lcores } = plan(device('rx { queue_number 5 }') + workers(2), [NIC0]).plan;
    expect(lcores.map((l) => l.ports[0]!.rxQueues)).toEqual([
      [0, 2, 4],
      [1, 3],
    ]);
  });

  test.each(['net_af_packet0', 'net_af_xdp0', 'net_pcap0', 'net_memif0'])(
    'poll every queue of %s, which receives on all of them',
    (name) => {
      expect(plan('', [nic(name, 3, 3)]).plan.lcores[0]!.ports[0]!.rxQueues).toEqual([0, 1, 2]);
      expect(plan(workers(2), [nic(name, 3, 3)]).plan.lcores.map((l) => l.ports[0]!.rxQueues)).toEqual([
        [0, 2],
        [1],
      ]);
      const fewer = plan(device('rx { queue_number 1 }'), [nic(name, 3, 3)]);
      expect(fewer.plan.devices[0]!.rx.queues).toBe(1);
      expect(brief(fewer.warnings, 'warning')).toEqual([
        `1:21 ${name} receives on 3 queues, of which 1 are polled: packets on the others are lost`,
      ]);
    },
  );

  test('are refused by a device with fewer transmit queues than workers', () => {
    expect(refused(device('') + workers(3), [nic('net_x', 4, 2)])).toEqual([
      "1:21 port 'dpdk0' (net_x) has 2 transmit queues, but there are 3 workers",
    ]);
  });

  test('are refused by a queue_number that they or the device contradict', () => {
    expect(
      refused(device('rx { queue_number 9 }\ntx { queue_number 1 }') + workers(2), [nic('net_x', 4, 4)]),
    ).toEqual([
      "2:19 port 'dpdk0' has queue_number 9, but net_x has only 4 receive queues",
      "3:19 port 'dpdk0' has queue_number 1 for transmission, but there are 2 workers",
    ]);
  });
});

describe('workers that list their queues', () => {
  const listed = (rx: string[], tx: string[]): string =>
    device('') + workers(rx.length, (i) => `port dpdk0 {\nrx_queue_ids ${rx[i]}\ntx_queue_ids ${tx[i]}\n}`);

  test('get these', () => {
    const { lcores, devices } = plan(listed(['1 2', '0'], ['1', '0 2']), [NIC0]).plan;
    expect(lcores.map((l) => l.ports)).toEqual([
      [{ device: 'dpdk0', rxQueues: [1, 2], txQueue: 1 }],
      [{ device: 'dpdk0', rxQueues: [0], txQueue: 0 }],
    ]);
    expect(devices[0]).toMatchObject({ rx: { queues: 3 }, tx: { queues: 2 } });
  });

  test('share by themselves the ports that none of them lists', () => {
    const { lcores } = plan(listed(['0', '1'], ['0', '1']), [NIC0, NIC1]).plan;
    expect(lcores.map((l) => l.ports.map((p) => p.device))).toEqual([
      ['dpdk0', 'dpdk1'],
      ['dpdk0', 'dpdk1'],
    ]);
  });

  test('are refused where a queue is beyond the device', () => {
    expect(refused(listed(['0', '1'], ['0', '1']), [nic('net_x', 1, 2)])).toEqual([
      "13:14 receive queue 1 of port 'dpdk0' does not exist: net_x has 1",
    ]);
    expect(refused(listed(['0', '1'], ['0', '1']), [nic('net_x', 2, 1)])).toEqual([
      "14:14 transmit queue 1 of port 'dpdk0' does not exist: net_x has 1",
    ]);
  });

  test('leave out the kni worker, whose receive queues must be the last', () => {
    const kni = (fwd: string, own: string): string =>
      `${device('')}worker_defs {
worker cpu1 { cpu_id 1\n port dpdk0 { rx_queue_ids ${fwd}\n tx_queue_ids 0 } }
worker k { cpu_id 2\n type kni\n port dpdk0 { rx_queue_ids ${own}\n tx_queue_ids 1 } }
}`;
    const { lcores, devices } = plan(kni('0', '1'), [NIC0]).plan;
    expect(lcores.map((l) => l.name)).toEqual(['cpu1']);
    expect(devices[0]).toMatchObject({ rx: { queues: 1 }, tx: { queues: 1 } });
    expect(refused(kni('1', '0'), [NIC0])).toEqual([
      "1:21 port 'dpdk0' would have receive queues that no forwarding worker polls",
    ]);
  });
});

describe('CPUs', () => {
  test('a worker on a CPU that is not allowed is refused, with the list of those that are', () => {
    const { config, origins } = load(workers(3));
    const facts: Facts = { allowedCpus: [0, 1, 2, 4, 6, 7], ports: [NIC0] };
    try {
      resolve(config, facts, origins);
      expect.unreachable();
    } catch (e) {
      const [first, ...more] = (e as ConfigError).diagnostics;
      expect(more).toEqual([]);
      expect(brief([first!])).toEqual([
        "8:22 worker 'cpu3' is to run on CPU 3, which this process may not use",
      ]);
      expect(first!.hint).toContain('allowed are 0-2, 4, 6-7');
    }
  });

  test('the CPU of a master does not matter: it is not pinned', () => {
    const text = 'worker_defs { worker m { type master\n cpu_id 99 }\n worker w { cpu_id 1 } }';
    expect(plan(text, [NIC0]).plan.lcores).toMatchObject([{ id: 1, name: 'w', cpu: 1 }]);
  });

  test('all reasons are listed at once', () => {
    expect(
      refused(
        `netif_defs {\n device dpdk0 { }\n device dpdk1 { }\n}\n${workers(2)}`,
        [nic('net_x', 1, 1)],
        [0],
      ),
    ).toEqual([
      "2:9 port 'dpdk0' (net_x) has 1 transmit queues, but there are 2 workers",
      "3:9 there is no port for device 'dpdk1': DPDK found net_x",
      "6:22 worker 'cpu1' is to run on CPU 1, which this process may not use",
      "9:22 worker 'cpu2' is to run on CPU 2, which this process may not use",
    ]);
  });
});

test('a packet pool that full queues would empty is a warning', () => {
  const text = 'netif_defs { pktpool_size 1023 }';
  expect(brief(plan(text, [NIC0]).warnings, 'warning')).toEqual([
    '1:27 pktpool_size 1023 is below the 1024 packets that the queues and caches can hold',
  ]);
  expect(plan('netif_defs { pktpool_size 2047 }', [NIC0]).warnings).toEqual([]);
});

test('without origins the errors have no places, and are the same', () => {
  const { config } = load(workers(1));
  expect(() => resolve(config, { allowedCpus: [0], ports: [] })).toThrow(/worker 'cpu1' is to run on CPU 1/);
});

test('the configuration itself is left as it was', () => {
  const { config, origins } = load(device('rx { queue_number 2 }') + workers(1));
  const before = structuredClone(config);
  resolve(config, { allowedCpus: [1], ports: [NIC0] }, origins);
  expect(config).toEqual(before);
});
