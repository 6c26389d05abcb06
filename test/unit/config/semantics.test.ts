/** Rules over the whole configuration. */
import { describe, expect, test } from 'vitest';
import { brief, diagnose, load } from './support.js';

const worker = (name: string, body: string): string => `worker ${name} { ${body.replaceAll(';', '\n')} }`;

/** The devices stand in a block of their own, so that the workers' lines count from 1. */
const DEVICES = '\nnetif_defs { device dpdk0 { }\n device dpdk1 { }\n }';
const errorsOf = (text: string): string[] => brief(diagnose(text + DEVICES));
const port = (name: string, rx: string, tx: string): string =>
  `port ${name} {${rx === '' ? '' : ` rx_queue_ids ${rx}`};${tx === '' ? '' : ` tx_queue_ids ${tx}`};}`;

describe('workers', () => {
  test('have names of their own', () => {
    expect(errorsOf('worker_defs {\n worker a { cpu_id 1 }\n worker a { cpu_id 2 }\n}')).toEqual([
      "3:9 worker 'a' is defined twice",
    ]);
  });

  test('have CPUs of their own, the master included', () => {
    const text =
      'worker_defs {\n worker a { cpu_id 1\n type master }\n worker b { cpu_id 1 }\n worker c { cpu_id 1 }\n}';
    expect(errorsOf(text)).toEqual([
      "4:20 worker 'b' has the cpu_id 1 of worker 'a' at test.conf:2:20",
      "5:20 worker 'c' has the cpu_id 1 of worker 'a' at test.conf:2:20",
    ]);
  });

  test.each(['master', 'kni'])('at most one is of type %s', (type) => {
    const text = `worker_defs {\n worker a { cpu_id 1\n type ${type} }\n worker b { cpu_id 2\n type ${type} }\n}`;
    expect(errorsOf(text)).toEqual([`5:7 worker 'b' is a second ${type}, after 'a' at test.conf:3:7`]);
  });

  test('name ports that exist', () => {
    const text = `worker_defs {\n${worker('a', `cpu_id 1;${port('dpkd1', '0', '0')}`)}\n}`;
    const [first] = diagnose(text + DEVICES);
    expect(brief([first!])).toEqual(["3:6 worker 'a' names the port 'dpkd1', which is no device"]);
    expect(first!.hint).toBe("did you mean 'dpdk1'? devices are dpdk0, dpdk1");
  });

  test('name ports that exist, and are told when there are none', () => {
    const [first] = diagnose(`worker_defs {\n${worker('a', `cpu_id 1;${port('dpdk0', '0', '0')}`)}\n}`);
    expect(first!.hint).toContain("add 'device dpdk0 { }' to netif_defs");
  });

  test('list a port once', () => {
    const text = `worker_defs {\n${worker('a', `cpu_id 1;${port('dpdk0', '0', '0')};${port('dpdk0', '1', '1')}`)}\n}`;
    expect(errorsOf(text)).toEqual(["6:6 port 'dpdk0' is defined twice"]);
  });

  test('list no slave of a bonding', () => {
    const text =
      `worker_defs {\n${worker('a', `cpu_id 1;${port('dpdk0', '0', '0')}`)}\n}` +
      '\nnetif_defs { bonding bond0 { mode 0\n slave dpdk0 }\n }';
    const [first] = diagnose(text + DEVICES).filter((d) => d.severity === 'error');
    expect(brief([first!])).toEqual(["3:6 'dpdk0' is a slave of bonding 'bond0'"]);
    expect(first!.hint).toBe("name 'bond0' instead");
  });
});

describe('queues', () => {
  const two = (a: string, b: string): string =>
    `worker_defs {\n${worker('a', `cpu_id 1;${a}`)}\n${worker('b', `cpu_id 2;${b}`)}\n}`;

  test('of a right plan give neither errors nor warnings', () => {
    const text = two(
      `${port('dpdk0', '0 2', '0')};${port('dpdk1', '', '1')}`,
      `${port('dpdk0', '1', '1')};${port('dpdk1', '0', '0')}`,
    );
    expect(diagnose(text + DEVICES)).toEqual([]);
    expect(load(text + DEVICES).config.workers[0]!.ports[0]).toMatchObject({
      rxQueueIds: [0, 2],
      txQueueIds: [0],
    });
  });

  test('belong to one worker', () => {
    expect(errorsOf(two(port('dpdk0', '0 1', '0'), port('dpdk0', '1', '0')))).toEqual([
      "7:27 receive queue 1 of port 'dpdk0' belongs to worker 'a' already at test.conf:3:29",
      "8:15 transmit queue 0 of port 'dpdk0' belongs to worker 'a' already at test.conf:4:15",
    ]);
  });

  test('count from 0 without gaps', () => {
    expect(errorsOf(two(port('dpdk0', '1', '0'), port('dpdk0', '3', '2')))).toEqual([
      "3:27 receive queue 1 of port 'dpdk0' is used, but not receive queue 0",
      "7:27 receive queue 3 of port 'dpdk0' is used, but not receive queue 2",
      "8:15 transmit queue 2 of port 'dpdk0' is used, but not transmit queue 1",
    ]);
  });

  test('a port that one worker lists is listed by all', () => {
    const [first, ...more] = diagnose(two(port('dpdk0', '0', '0'), '') + DEVICES);
    expect(more).toEqual([]);
    expect(brief([first!])).toEqual(["6:8 worker 'b' does not list port 'dpdk0', which worker 'a' lists"]);
  });

  test('every worker has a transmit queue on every port that it lists', () => {
    expect(errorsOf(two(port('dpdk0', '0', '0'), port('dpdk0', '1', '')))).toEqual([
      "7:6 worker 'b' has no transmit queue on port 'dpdk0'",
    ]);
  });

  test('some worker receives from every port that is listed', () => {
    expect(errorsOf(two(port('dpdk0', '', '0'), port('dpdk0', '', '1')))).toEqual([
      "3:6 no worker polls a receive queue of port 'dpdk0'",
    ]);
  });

  test('no worker lists a port: that is left to the machine', () => {
    expect(diagnose(two('', '') + DEVICES)).toEqual([]);
  });

  test('lie below queue_number', () => {
    const text = `${two(port('dpdk0', '0', '0'), port('dpdk0', '1', '1'))}\nnetif_defs { device dpdk0 { rx { queue_number 1 } } }`;
    expect(brief(diagnose(text))).toEqual([
      "7:27 receive queue 1 of port 'dpdk0' is beyond its queue_number 1 at test.conf:11:47",
    ]);
  });

  test('beyond what workers use are a warning', () => {
    const text = `${two(port('dpdk0', '0', '0'), port('dpdk0', '1', '1'))}\nnetif_defs { device dpdk0 { tx { queue_number 8 } } }`;
    expect(brief(load(text).warnings, 'warning')).toEqual([
      '11:47 8 transmit queues, but workers use 2: the port gets 2',
    ]);
  });

  test('a second transmit queue of a worker is a warning', () => {
    const { warnings } = load(two(port('dpdk0', '0', '0 2'), port('dpdk0', '1', '1')) + DEVICES);
    expect(brief(warnings, 'warning')).toEqual(['4:17 transmit queue 2 is not used: a worker needs one']);
  });

  test('the ports of a master are ignored, with a warning', () => {
    const { warnings } = load(
      `worker_defs {\n${worker('m', `cpu_id 0;type master;${port('dpdk0', '0', '0')}`)}\n}${DEVICES}`,
    );
    expect(brief(warnings, 'warning')).toEqual([
      "4:6 the master polls no queues: the ports of 'm' are ignored",
    ]);
  });

  test('a kni worker may have transmit queues only, and is said to do nothing yet', () => {
    const text = `worker_defs {\n${worker('a', `cpu_id 1;${port('dpdk0', '0', '0')}`)}\n${worker('k', `cpu_id 2;type kni;${port('dpdk0', '', '1')}`)}\n}`;
    expect(brief(load(text + DEVICES).warnings, 'warning')).toEqual([
      "7:6 the kni worker 'k' is known, but does nothing yet",
    ]);
  });

  test('a value that is wrong by itself is not reported a second time by the rules', () => {
    expect(errorsOf(two(port('dpdk0', 'x', '0'), port('dpdk0', '1', '1')))).toEqual([
      "3:27 'x' is not a number",
    ]);
  });
});

describe('devices and bondings', () => {
  test('a device is defined once', () => {
    expect(brief(diagnose('netif_defs {\n device a { }\n device a { }\n}'))).toEqual([
      "3:9 device 'a' is defined twice",
    ]);
  });

  test('two devices do not have the same devargs name', () => {
    const text =
      'netif_defs {\n device a { devargs "net_tap0,iface=x" }\n device b { devargs "net_tap0,iface=y" }\n}';
    expect(brief(diagnose(text))).toEqual([
      "3:21 device 'b' has the same devargs name as device 'a' at test.conf:2:21",
    ]);
  });

  test.each([
    ['mode 0\n slave dpdk0\n slave dpdk7', "3:8 bonding 'b' has the slave 'dpdk7', which is no device"],
    ['mode 0\n slave dpdk0\n slave dpdk0', "3:8 'dpdk0' is listed twice"],
    ['mode 0\n slave dpdk0\n primary dpdk1', "3:10 the primary 'dpdk1' is no slave of bonding 'b'"],
    ['slave dpdk0', "1:22 this bonding has no 'mode'"],
    ['mode 0', "1:22 this bonding has no 'slave'"],
    ['mode 7\n slave dpdk0', "1:31 7 is out of range, in 'mode'"],
  ])('bonding b { %s }', (body, error) => {
    expect(errorsOf(`netif_defs { bonding b { ${body} } }`)).toEqual([error]);
  });

  test('a device is a slave of one bonding, and its name is its own', () => {
    const text =
      'netif_defs {\n bonding a { mode 0\n slave dpdk0 }\n bonding b { mode 0\n slave dpdk0 }\n bonding dpdk1 { mode 0\n slave dpdk1 }\n}';
    expect(errorsOf(text)).toEqual([
      "5:8 device 'dpdk0' is a slave of bonding 'a' already",
      "6:10 'dpdk1' is the name of a device too",
    ]);
  });

  test('dedicated_queues outside mode 4 is a warning', () => {
    const { warnings } = load(
      `netif_defs { bonding b { mode 0\n slave dpdk0\n options dedicated_queues=off } }${DEVICES}`,
    );
    expect(brief(warnings, 'warning')).toEqual([
      '1:22 bonding b is known, but has no effect yet',
      '3:10 dedicated_queues has a meaning in mode 4 only',
    ]);
  });
});
