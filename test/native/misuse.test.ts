/** Every call in wrong states and with wrong values: the documented code, and the process lives on. */
import { beforeAll, describe, expect, test } from 'vitest';
import { CONN_BATCH, LCORE_BLOCK } from '../../src/core/layout.js';
import {
  PORT_CONFIG,
  codeOf,
  ended,
  lastMessage,
  lcoreConfig,
  logLines,
  makeLcore,
  messageOf,
  native,
  newFlag,
  pool,
  spawn,
  startEal,
  startPort,
} from './support/rig.js';

beforeAll(() => startEal());

describe('EAL', () => {
  test('twice is EAL_STATE', () => {
    expect(codeOf(() => native.ealInit([], () => {}))).toBe('EAL_STATE');
  });
});

describe('memory', () => {
  test.each([
    ['count 0', { name: 'p', count: 0, cache: 0, socket: 0 }, 'BAD_ARG'],
    ['count NaN', { name: 'p', count: Number.NaN, cache: 0, socket: 0 }, 'BAD_ARG'],
    ['count 1.5', { name: 'p', count: 1.5, cache: 0, socket: 0 }, 'BAD_ARG'],
    ['more than 2 GiB', { name: 'p', count: 1 << 21, cache: 0, socket: 0 }, 'BAD_ARG'],
    ['cache above the count', { name: 'p', count: 64, cache: 64, socket: 0 }, 'BAD_ARG'],
    ['cache above the maximum', { name: 'p', count: 8192, cache: 5000, socket: 0 }, 'BAD_ARG'],
    ['no name', { name: '', count: 64, cache: 0, socket: 0 }, 'BAD_ARG'],
    ['a long name', { name: 'x'.repeat(40), count: 64, cache: 0, socket: 0 }, 'BAD_ARG'],
    ['socket -2', { name: 'p', count: 64, cache: 0, socket: -2 }, 'BAD_ARG'],
    ['a socket that is not here', { name: 'p', count: 64, cache: 0, socket: 7 }, 'NO_MEMORY'],
    ['more than there is', { name: 'p', count: 200_000, cache: 0, socket: 0 }, 'NO_MEMORY'],
  ])('mempoolCreate with %s is refused', (_, o, code) => {
    expect(codeOf(() => native.mempoolCreate(o))).toBe(code);
  });

  test('ports and lcores before the pool are PORT_STATE', () => {
    const [port] = native.devAttach('net_null7');
    expect(codeOf(() => native.portConfigure(port!, PORT_CONFIG))).toBe('PORT_STATE');
    expect(codeOf(() => native.lcoreCreate(lcoreConfig(1, [])))).toBe('PORT_STATE');
    expect(codeOf(() => native.mempoolStats())).toBe('PORT_STATE');
    native.devDetach(port!);
  });

  test('refused pools leave nothing behind: a good one succeeds, a second is BAD_ARG', () => {
    const free = native.memFree(0);
    expect(codeOf(() => native.mempoolCreate({ name: 'p', count: 200_000, cache: 0, socket: 0 }))).toBe(
      'NO_MEMORY',
    );
    expect(native.memFree(0)).toBe(free);
    expect(pool().count).toBe(8192);
    expect(codeOf(() => native.mempoolCreate({ name: 'q', count: 64, cache: 0, socket: 0 }))).toBe('BAD_ARG');
  });

  test('memzone', () => {
    expect(codeOf(() => native.memzone('', 64, 0))).toBe('BAD_ARG');
    expect(codeOf(() => native.memzone('z'.repeat(32), 64, 0))).toBe('BAD_ARG');
    expect(codeOf(() => native.memzone('z', 0, 0))).toBe('BAD_ARG');
    expect(codeOf(() => native.memzone('z', 1 << 30, 0))).toBe('NO_MEMORY');
    native.memzone('z', 100, 0);
    expect(codeOf(() => native.memzone('z', 1000, 0))).toBe('BAD_ARG');
    expect(codeOf(() => native.memFree(99))).toBe('BAD_ARG');
  });

  test('mapFile and mapAnonymous', () => {
    expect(codeOf(() => native.mapFile('/nonexistent/x', 64))).toBe('SYSCALL');
    expect(messageOf(() => native.mapFile('/nonexistent/x', 64))).toContain('/nonexistent/x: No such file');
    expect(codeOf(() => native.mapFile('/tmp', 64))).toBe('SYSCALL');
    expect(codeOf(() => native.mapFile('/dev/null', 64))).toBe('SYSCALL');
    expect(codeOf(() => native.mapFile('/tmp/x', 0))).toBe('BAD_ARG');
    expect(codeOf(() => native.mapFile('/tmp/a\0b', 10))).toBe('BAD_ARG');
    expect(codeOf(() => native.mapAnonymous(0))).toBe('BAD_ARG');
    expect(codeOf(() => native.mapAnonymous(-1))).toBe('BAD_ARG');
    expect(codeOf(() => native.mapAnonymous(Infinity))).toBe('BAD_ARG');
  });
});

describe('devices', () => {
  test.each([
    'no_such_device0',
    'net_null',
    ',',
    'net_pcap0',
    'net_pcap0,rx_pcap=/nonexistent.pcap',
    'net_pcap0,nonsense=1',
    'net_af_packet0',
    'net_af_packet0,iface=no-such-if',
    'net_ring0,nodeaction=x',
    'net_null0,size=elephant',
    'net_memif0,role=king',
    'net_virtio_user0',
    '0000:ff:1f.7',
    'zz:zz.z',
    'net_bonding0,mode=77',
    'net_tap0,iface=a-name-that-is-much-too-long-for-an-interface',
  ])('devAttach(%s) is DEV_ATTACH or a port, and leaves no half device', tryDevice);

  test('very long devargs too', () => {
    tryDevice(`net_null0,size=64,${'x'.repeat(3000)}=1`);
    tryDevice(`net_null${'1'.repeat(200)}`);
  });

  function tryDevice(devargs: string): void {
    const before = native.ports();
    let made: number[] = [];
    try {
      made = native.devAttach(devargs);
    } catch (e) {
      expect((e as { code: string }).code).toBe('DEV_ATTACH');
      expect((e as Error).message.length).toBeLessThan(1100);
    }
    for (const p of made) native.devDetach(p);
    expect(native.ports()).toEqual(before);
  }

  test('not even devargs: BAD_ARG', () => {
    for (const bad of ['', 'net_null0\0x', 'x'.repeat(5000), 3, undefined, null, {}]) {
      expect(codeOf(() => native.devAttach(bad as string))).toBe('BAD_ARG');
    }
  });

  test('the driver says why', () => {
    expect(messageOf(() => native.devAttach('net_pcap0,rx_pcap=/nonexistent.pcap'))).toContain(
      'No such file',
    );
  });

  test('a name that is taken is DEV_ATTACH and the port stays', () => {
    const [port] = native.devAttach('net_null1');
    expect(codeOf(() => native.devAttach('net_null1'))).toBe('DEV_ATTACH');
    expect(native.ports()).toContain(port);
    native.devDetach(port!);
  });

  test('attach, configure, start, stop, close, attach again: twenty times, always the same port', () => {
    for (let i = 0; i < 20; i++) {
      const port = startPort('net_ring3');
      native.portStop(port);
      native.portClose(port);
      expect(native.ports()).toEqual([]);
    }
  });
});

describe('ports', () => {
  const everyCall: Record<string, (p: number) => unknown> = {
    devDetach: (p) => native.devDetach(p),
    portInfo: (p) => native.portInfo(p),
    portConfigure: (p) => native.portConfigure(p, PORT_CONFIG),
    portStart: (p) => native.portStart(p),
    portStop: (p) => native.portStop(p),
    portClose: (p) => native.portClose(p),
    portLink: (p) => native.portLink(p),
    portSetLink: (p) => native.portSetLink(p, true),
    portSetMac: (p) => native.portSetMac(p, '02:00:00:00:00:01'),
    portSetPromiscuous: (p) => native.portSetPromiscuous(p, true),
    portSetAllmulticast: (p) => native.portSetAllmulticast(p, true),
    portSetMtu: (p) => native.portSetMtu(p, 1500),
    portStats: (p) => native.portStats(p),
    portXstats: (p) => native.portXstats(p),
    portResetStats: (p) => native.portResetStats(p),
    portRss: (p) => native.portRss(p),
    portSetReta: (p) => native.portSetReta(p, new Uint16Array(0)),
  };
  const makers: Record<string, () => number> = {
    'that never was': () => 31,
    'out of range': () => 32,
    'with a negative number': () => -1,
    'that is closed': () => {
      const p = startPort('net_ring4');
      native.portClose(p);
      return p;
    },
    'that is detached': () => {
      const p = startPort('net_ring4');
      native.devDetach(p);
      return p;
    },
  };
  for (const [what, make] of Object.entries(makers)) {
    test(`every call on a port ${what} is NO_PORT`, () => {
      const p = make();
      for (const [name, call] of Object.entries(everyCall))
        expect([name, codeOf(() => call(p))]).toEqual([name, 'NO_PORT']);
    });
  }

  test('what is no number is BAD_ARG', () => {
    for (const [name, call] of Object.entries(everyCall)) {
      for (const bad of ['0', undefined, null, {}, 0.5, Number.NaN]) {
        expect([name, codeOf(() => call(bad as number))]).toEqual([name, 'BAD_ARG']);
      }
    }
  });

  test('every read and every setter of an unconfigured port ends with a value or a typed error', () => {
    for (const devargs of [
      'net_ring5',
      'net_null5',
      'net_tap5,iface=dpvsmis0',
      'net_memif5,role=server,id=5',
    ]) {
      const [p] = native.devAttach(devargs);
      for (const [name, call] of Object.entries(everyCall)) {
        if (name === 'devDetach' || name === 'portClose' || name === 'portConfigure') continue;
        expect(codeOf(() => call(p!))).toMatch(/^(none: |DPDK$|PORT_STATE$|BAD_ARG$)/);
      }
      native.devDetach(p!);
    }
  });

  test('states: configure, start and stop in the wrong order are PORT_STATE', () => {
    const [p] = native.devAttach('net_ring4') as [number];
    expect(codeOf(() => native.portStart(p))).toBe('PORT_STATE');
    expect(codeOf(() => native.portStop(p))).toBe('PORT_STATE');
    expect(codeOf(() => native.portSetMtu(p, 1400))).toBe('PORT_STATE');
    expect(codeOf(() => native.portRss(p))).toBe('PORT_STATE');
    native.portConfigure(p, PORT_CONFIG);
    expect(codeOf(() => native.portStop(p))).toBe('PORT_STATE');
    native.portStart(p);
    expect(codeOf(() => native.portStart(p))).toBe('PORT_STATE');
    expect(codeOf(() => native.portConfigure(p, PORT_CONFIG))).toBe('PORT_STATE');
    native.portStop(p);
    native.portConfigure(p, { ...PORT_CONFIG, rxQueues: 2, txQueues: 2 });
    native.portStart(p);
    expect(native.portInfo(p)).toMatchObject({ started: true, rxQueues: 2, txQueues: 2 });
    native.portClose(p); // stops by itself
    expect(codeOf(() => native.portClose(p))).toBe('NO_PORT');
  });

  test.each([
    ['no queue at all', { rxQueues: 0, txQueues: 0 }],
    ['more queues than the device has', { rxQueues: 17 }],
    ['negative queues', { txQueues: -1 }],
    ['0 descriptors', { rxDesc: 0 }],
    ['an MTU below 68', { mtu: 60 }],
    ['an MTU above 65535', { mtu: 70_000 }],
    ['an unknown RSS type', { rss: ['NONSENSE'] }],
    ['an unknown offload', { rxOffloads: ['NONSENSE'] }],
    ['UNKNOWN as an offload', { txOffloads: ['UNKNOWN'] }],
    ['offloads that are no array', { txOffloads: 'x' as unknown as string[] }],
  ])('portConfigure with %s is BAD_ARG and the port can still be configured', (_, part) => {
    const [p] = native.devAttach('net_ring4') as [number];
    expect(codeOf(() => native.portConfigure(p, { ...PORT_CONFIG, ...part }))).toBe('BAD_ARG');
    native.portConfigure(p, PORT_CONFIG);
    native.devDetach(p);
  });

  test('what the device lacks is left out and named', () => {
    const [p] = native.devAttach('net_ring4') as [number];
    const c = {
      ...PORT_CONFIG,
      rss: ['TCP', 'IPV4'],
      rxOffloads: ['SCATTER', 'VLAN_STRIP'],
      txOffloads: ['IPV4_CKSUM'],
    };
    expect(native.portConfigure(p, c).missing).toEqual(['TCP', 'IPV4', 'VLAN_STRIP', 'IPV4_CKSUM']);
    native.devDetach(p);
  });

  test('setters refuse nonsense', () => {
    const p = startPort('net_ring4');
    for (const mac of [
      '',
      'x',
      '00:00:00:00:00:00',
      '01:00:5e:00:00:01',
      '02:00:00:00:00',
      '02:00:00:00:00:0g',
    ]) {
      expect(codeOf(() => native.portSetMac(p, mac))).toBe('BAD_ARG');
    }
    expect(codeOf(() => native.portSetMtu(p, 0))).toBe('BAD_ARG');
    expect(codeOf(() => native.portSetMtu(p, 70_000))).toBe('BAD_ARG');
    expect(codeOf(() => native.portSetLink(p, 1 as unknown as boolean))).toBe('BAD_ARG');
    expect(codeOf(() => native.portSetReta(p, [1] as unknown as Uint16Array))).toBe('BAD_ARG');
    expect(codeOf(() => native.portSetReta(p, new Uint16Array(3)))).toBe('BAD_ARG');
    native.devDetach(p);
  });

  test('what the driver cannot do is DPDK with the name of the call', () => {
    const p = startPort('net_null4');
    expect(codeOf(() => native.portSetLink(p, false))).toBe('DPDK');
    expect(messageOf(() => native.portSetLink(p, false))).toMatch(
      /rte_eth_dev_set_link_down: .*not supported/i,
    );
    native.devDetach(p);
  });
});

describe('lcores', () => {
  test('wrong descriptions are BAD_ARG and nothing is made', () => {
    const good = lcoreConfig(5, []);
    const wrong: Record<string, object> = {
      'no id': { id: undefined },
      'id too large': { id: 128 },
      'block too small': { block: new SharedArrayBuffer(LCORE_BLOCK.size - 1) },
      'block an ArrayBuffer': { block: new ArrayBuffer(LCORE_BLOCK.size) },
      'stats too small': { statsOffset: 64 },
      'negative offset': { statsOffset: -8 },
      'odd offset': { stats: new SharedArrayBuffer(8192), statsOffset: 4 },
      'no connections': { conns: new SharedArrayBuffer(0) },
      'adjacencies too small': { adjacencies: new SharedArrayBuffer(64) },
      'ring not a power of two': { redirectRing: 100 },
      'ring 0': { redirectRing: 0 },
      'queues no array': { rxQueues: 1 },
      'port out of range': { rxQueues: [{ port: 99, queue: 0 }] },
      'queue out of range': { txQueues: [{ port: 0, queue: 5000 }] },
    };
    for (const [what, part] of Object.entries(wrong)) {
      expect([what, codeOf(() => native.lcoreCreate({ ...good, ...part }))]).toEqual([what, 'BAD_ARG']);
    }
    expect(codeOf(() => native.lcoreBind(5))).toBe('NO_LCORE');
    native.lcoreCreate(good);
    expect(codeOf(() => native.lcoreCreate(good))).toBe('BAD_ARG');
    native.lcoreDestroy(5);
  });

  const byId: Record<string, (id: number) => unknown> = {
    lcoreDestroy: (id) => native.lcoreDestroy(id),
    lcoreBind: (id) => native.lcoreBind(id),
    lcoreUnbind: (id) => native.lcoreUnbind(id),
    lcoreReclaim: (id) => native.lcoreReclaim(id),
    lcoreSleep: (id) => native.lcoreSleep(id, 0),
    poll: (id) => native.poll(id, 32),
    flush: (id) => native.flush(id),
    flowInsert: (id) => native.flowInsert(id, 1),
    flowRemove: (id) => native.flowRemove(id, 1),
    flowInsertMany: (id) => native.flowInsertMany(id, 0),
    flowRemoveMany: (id) => native.flowRemoveMany(id, 0),
    flowPrefetch: (id) => native.flowPrefetch(id, 0),
    flowFind: (id) => native.flowFind(id, 64, 128, false),
    flowOwner: (id) => native.flowOwner(id, 64, 128, false),
    flowCount: (id) => native.flowCount(id),
    flowRebuild: (id) => native.flowRebuild(id),
  };

  test('every call on an lcore that is not there, or no longer, is NO_LCORE', () => {
    makeLcore(lcoreConfig(6, []), false);
    native.lcoreDestroy(6);
    for (const id of [6, 7, 127, 128, 4_000_000_000, -1]) {
      for (const [name, call] of Object.entries(byId))
        expect([name, id, codeOf(() => call(id))]).toEqual([name, id, 'NO_LCORE']);
    }
  });

  test('what is no id is BAD_ARG', () => {
    for (const [name, call] of Object.entries(byId)) {
      for (const bad of ['1', undefined, {}, null]) {
        expect([name, codeOf(() => call(bad as number))]).toEqual([name, 'BAD_ARG']);
      }
    }
  });

  test('an lcore without a thread: poll, flush and sleep are WRONG_THREAD', () => {
    makeLcore(lcoreConfig(6, []), false);
    expect(codeOf(() => native.poll(6, 32))).toBe('WRONG_THREAD');
    expect(codeOf(() => native.flush(6))).toBe('WRONG_THREAD');
    expect(codeOf(() => native.lcoreSleep(6, 0))).toBe('WRONG_THREAD');
    expect(codeOf(() => native.lcoreUnbind(6))).toBe('WRONG_THREAD');
    native.lcoreDestroy(6);
  });

  test('bound: a second bind is WRONG_THREAD, destroy and cleanup are PORT_STATE', () => {
    makeLcore(lcoreConfig(6, []));
    expect(codeOf(() => native.lcoreBind(6))).toBe('WRONG_THREAD');
    expect(codeOf(() => native.lcoreDestroy(6))).toBe('PORT_STATE');
    expect(codeOf(() => native.ealCleanup())).toBe('PORT_STATE');
    expect(native.poll(6, 32)).toBe(0);
    native.lcoreUnbind(6);
    native.lcoreDestroy(6);
  });

  test('another thread: poll, flush, sleep, unbind and flow calls are WRONG_THREAD, and the owner goes on', async () => {
    makeLcore(lcoreConfig(6, []));
    const w = spawn(
      `const codeOf = (fn) => { try { fn(); return 'none'; } catch (e) { return e.code; } };
       parentPort.postMessage([() => native.poll(6, 1), () => native.flush(6), () => native.lcoreSleep(6, 0), () => native.lcoreBind(6),
         () => native.lcoreUnbind(6), () => native.flowInsert(6, 1), () => native.flowRemove(6, 1),
         () => native.flowFind(6, 64, 128, false), () => native.flowOwner(6, 64, 128, false), () => native.flowRebuild(6)].map(codeOf));`,
      {},
      newFlag(),
    );
    const codes = await lastMessage(w);
    expect(codes).toEqual(Array(10).fill('WRONG_THREAD'));
    expect(native.poll(6, 32)).toBe(0);
    native.lcoreUnbind(6);
    native.lcoreDestroy(6);
  });

  test('queues of ports that are not there or not started are just not polled', () => {
    const c = lcoreConfig(6, [30]);
    makeLcore(c);
    expect(native.poll(6, 32)).toBe(0);
    native.lcoreUnbind(6);
    native.lcoreDestroy(6);
  });

  test('connection numbers outside the table, and headers outside the arena, are BAD_ARG', () => {
    const { config } = makeLcore(lcoreConfig(6, [], 0, 16));
    const batch = new Uint32Array(config.block, LCORE_BLOCK.at.conns, CONN_BATCH).fill(1);
    const many = ['flowInsertMany', 'flowRemoveMany', 'flowPrefetch'] as const;
    for (const f of many) expect(codeOf(() => native[f](6, CONN_BATCH + 1))).toBe('BAD_ARG');
    for (const conn of [0, 16, 17, 0xffffffff]) {
      batch[2] = conn;
      for (const f of many) expect(codeOf(() => native[f](6, 3))).toBe('BAD_ARG');
      expect(codeOf(() => native.flowInsert(6, conn))).toBe('BAD_ARG');
      expect(codeOf(() => native.flowRemove(6, conn))).toBe('BAD_ARG');
    }
    const size = pool().arena.byteLength;
    for (const [l3, l4] of [
      [size - 19, 0],
      [0, size - 3],
      [0xffffffff, 0],
      [0, 0xffffffff],
    ] as const) {
      expect(codeOf(() => native.flowFind(6, l3, l4, false))).toBe('BAD_ARG');
      expect(codeOf(() => native.flowOwner(6, l3, l4, false))).toBe('BAD_ARG');
    }
    expect(codeOf(() => native.flowFind(6, 64, 128, 1 as unknown as boolean))).toBe('BAD_ARG');
    native.lcoreUnbind(6);
    native.lcoreDestroy(6);
  });
});

describe('threads', () => {
  test('names and CPUs are checked', () => {
    expect(codeOf(() => native.threadName('sixteen-letters!'))).toBe('BAD_ARG');
    expect(codeOf(() => native.threadName(''))).toBe('BAD_ARG');
    expect(codeOf(() => native.threadPin(-1))).toBe('BAD_ARG');
    expect(codeOf(() => native.threadPin(5000))).toBe('BAD_ARG');
    expect(codeOf(() => native.threadPin(1000))).toBe('SYSCALL');
    expect(codeOf(() => native.processPin([-1]))).toBe('BAD_ARG');
    expect(codeOf(() => native.processPin(undefined as unknown as number[]))).toBe('BAD_ARG');
    expect(codeOf(() => native.processPin([]))).toBe('SYSCALL');
  });

  test("registering a thread again, or EAL's own, is no error", () => {
    native.threadRegister();
    native.threadRegister();
  });

  test('a hundred and forty threads one after the other register: none of the 128 ids leaks', async () => {
    for (let i = 0; i < 28; i++) {
      const ws = Array.from({ length: 5 }, () =>
        spawn('native.threadRegister(); native.threadRegister();', {}, newFlag()),
      );
      expect(await Promise.all(ws.map(ended))).toEqual([0, 0, 0, 0, 0]);
    }
  });

  test('a descriptor that is no socket: SYSCALL', () => {
    expect(codeOf(() => native.peerCredentials(9999))).toBe('SYSCALL');
    expect(codeOf(() => native.peerCredentials(-1))).toBe('BAD_ARG');
  });
});

describe('the end', () => {
  test('cleanup closes what is open; afterwards everything is EAL_STATE', () => {
    expect(logLines.length).toBeGreaterThan(0);
    startPort('net_ring9');
    makeLcore(lcoreConfig(9, []), false);
    native.ealCleanup();
    expect(codeOf(() => native.ealCleanup())).toBe('EAL_STATE');
    expect(codeOf(() => native.ealInit([], () => {}))).toBe('EAL_STATE');
    expect(codeOf(() => native.ports())).toBe('EAL_STATE');
    expect(codeOf(() => native.portClose(0))).toBe('EAL_STATE');
    expect(codeOf(() => native.poll(9, 1))).toBe('EAL_STATE');
    expect(codeOf(() => native.flowCount(9))).toBe('EAL_STATE');
    expect(codeOf(() => native.threadRegister())).toBe('EAL_STATE');
  });
});
