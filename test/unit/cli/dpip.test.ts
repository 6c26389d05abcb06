import { describe, expect, it } from 'vitest';
import { main } from '../../../src/cli/dpip/main.js';
import { formatLink } from '../../../src/cli/dpip/link-format.js';
import type { Addr, DropEntry, Lcore, Link, NeighEntry, RouteEntry } from '../../../src/control/results.js';
import { DpvsError } from '../../../src/core/errors.js';
import { LCORE_STATS } from '../../../src/core/layout.js';
import { segmentLayout, StatsReader, StatsSegment } from '../../../src/core/stats.js';
import { run, words, type Answers, type Outcome } from './support.js';

const dpip = (line: string, answers: Answers = {}): Promise<Outcome> => run(main, words(line), { answers });

const dpdk0: Link = {
  index: 1,
  name: 'dpdk0',
  kind: 'port',
  socket: 0,
  mtu: 1500,
  rxQueues: 8,
  txQueues: 8,
  up: true,
  speed: 10000,
  fullDuplex: true,
  autoneg: false,
  promisc: false,
  allmulticast: false,
  forward2kni: false,
  mac: 'a0:36:9f:9d:61:f4',
  rxIpCsum: true,
  txIpCsum: true,
  txTcpCsum: true,
  txUdpCsum: true,
  txFastFree: false,
  stats: {
    ipackets: 100,
    opackets: 90,
    ibytes: 6400,
    obytes: 5400,
    ierrors: 1,
    oerrors: 2,
    imissed: 3,
    rxNombuf: 4,
  },
  mbufAvail: 65000,
  mbufInUse: 535,
};

describe('requests', () => {
  const table: [line: string, method: string, params: unknown][] = [
    [
      'addr add 192.168.100.100/24 dev dpdk0',
      'addr.add',
      { dev: 'dpdk0', addr: '192.168.100.100', plen: 24 },
    ],
    ['addr add 10.0.0.1 dev dpdk0', 'addr.add', { dev: 'dpdk0', addr: '10.0.0.1' }],
    ['addr add dev dpdk0 10.0.0.1', 'addr.add', { dev: 'dpdk0', addr: '10.0.0.1' }],
    [
      'addr add 10.0.0.1/32 broadcast 10.0.0.255 dev d valid_lft 60 prefered_lft 30 scope link sapool',
      'addr.add',
      {
        dev: 'd',
        addr: '10.0.0.1',
        plen: 32,
        broadcast: '10.0.0.255',
        validLft: 60,
        scope: 'link',
        sapool: true,
      },
    ],
    [
      'addr add 10.0.0.1 dev d valid_lft forever preferred_lft forever',
      'addr.add',
      { dev: 'd', addr: '10.0.0.1', validLft: 0 },
    ],
    ['addr change 10.0.0.1 dev d scope host', 'addr.set', { dev: 'd', addr: '10.0.0.1', scope: 'host' }],
    ['addr del 10.0.0.1/24 dev d', 'addr.del', { dev: 'd', addr: '10.0.0.1', plen: 24 }],
    ['addr delete 10.0.0.1 dev d', 'addr.del', { dev: 'd', addr: '10.0.0.1' }],
    ['addr flush dev d', 'addr.flush', { dev: 'd' }],
    ['-4 addr add 10.0.0.1 dev d', 'addr.add', { dev: 'd', addr: '10.0.0.1' }],
    ['addr -f inet add 10.0.0.1 -F dev d', 'addr.add', { dev: 'd', addr: '10.0.0.1' }],
    ['a a 10.0.0.1 dev d', 'addr.add', { dev: 'd', addr: '10.0.0.1' }],
    [
      'route add default via 10.0.0.254 src 10.0.0.254',
      'route.add',
      { dst: '0.0.0.0', plen: 0, via: '10.0.0.254', src: '10.0.0.254' },
    ],
    [
      'route add 10.1.0.0/16 via 10.0.0.2 dev d src 10.0.0.1 mtu 1400 metric 5 tos 8 scope global local',
      'route.add',
      {
        dst: '10.1.0.0',
        plen: 16,
        via: '10.0.0.2',
        dev: 'd',
        src: '10.0.0.1',
        mtu: 1400,
        metric: 5,
        tos: 8,
        scope: 'global',
        local: true,
      },
    ],
    ['route set 10.1.0.0/16 mtu 0', 'route.set', { dst: '10.1.0.0', plen: 16, mtu: 0 }],
    ['route del 10.1.0.1 dev d scope link', 'route.del', { dst: '10.1.0.1', plen: 32, dev: 'd' }],
    ['route flush dev d', 'route.flush', { dev: 'd' }],
    [
      'neigh add 10.0.0.2 lladdr 02:00:00:00:00:01 dev d',
      'neigh.add',
      { dev: 'd', addr: '10.0.0.2', lladdr: '02:00:00:00:00:01' },
    ],
    ['neigh del 10.0.0.2 lladdr 02:00:00:00:00:01 dev d', 'neigh.del', { dev: 'd', addr: '10.0.0.2' }],
    ['neigh flush', 'neigh.flush', {}],
    ['link set d promisc on', 'link.set', { dev: 'd', promisc: true }],
    ['link set d link down mtu 9000', 'link.set', { dev: 'd', up: false, mtu: 9000 }],
    [
      'link set d addr 02:00:00:00:00:01 allmulticast off forward2kni on',
      'link.set',
      { dev: 'd', addr: '02:00:00:00:00:01', allmulticast: false, forward2kni: true },
    ],
  ];
  it.each(table)('%s', async (line, method, params) => {
    expect(await dpip(line)).toEqual({ code: 0, out: '', err: '', calls: [{ method, params }], slept: [] });
  });

  it('answers a successful command in JSON when asked to', async () => {
    expect((await dpip('addr flush dev d -j')).out).toBe('{"ok":true}\n');
  });
});

describe('errors: one line on standard error, exit 1, nothing sent', () => {
  const table: [line: string, err: string][] = [
    ['addr add 10.0.0.1', 'no device specified.'],
    ['addr flush', 'no device specified.'],
    ['addr add dev d', 'no address specified.'],
    ['addr add 10.0.0 dev d', "'10.0.0' is not an IPv4 address"],
    ['addr add 10.0.0.1/33 dev d', "'33' is not a prefix length (0 to 32) in '10.0.0.1/33'"],
    ['addr add 10.0.0.1/ dev d', "'' is not a prefix length (0 to 32) in '10.0.0.1/'"],
    ['addr add 10.0.0.1 dev', "'dev' needs a value (DEV)"],
    ['addr add 10.0.0.1 dev d dev e', "duplicate 'dev'"],
    ['addr add 10.0.0.1 10.0.0.2 dev d', "unexpected word '10.0.0.2'"],
    ['addr add 10.0.0.1 dev d scope here', "scope: 'here' is none of host, link, global"],
    [
      'addr add 10.0.0.1 dev d valid_lft soon',
      "valid_lft: 'soon' is neither forever nor a number of seconds",
    ],
    ['addr add 2001:db8::1 dev d', 'IPv6 (2001:db8::1) is not supported yet'],
    ['-6 addr show', 'IPv6 is not supported yet'],
    ['addr -6 show', 'IPv6 is not supported yet'],
    ['-f inet6 route show', 'IPv6 is not supported yet'],
    ['-f ipx route show', "family: 'ipx' is none of inet, inet6"],
    ['-s', "invalid object, use `-h' for help."],
    ['fred show', "invalid object, use `-h' for help."],
    ['addr fred', 'invalid command fred'],
    ['vlan show', "object 'vlan' is not supported yet"],
    ['eal-mem show', "object 'eal-mem' is not supported yet"],
    ['link add bond0 bond-slave dpdk0', "'link add' is not supported yet"],
    ['addr replace x', "'addr replace' is not supported yet"],
    ['link set d', 'nothing to set'],
    ['link set d fred on', "invalid parameter name 'fred'"],
    ['link set d lldp on', "'lldp' is not supported yet"],
    ['link set d promisc maybe', "promisc: 'maybe' is none of on, off"],
    ['link set d mtu 20', "mtu: '20' is not a number from 68 to 9000"],
    ['link show bond0 status', 'bonding is not supported yet'],
    ['neigh add 10.0.0.2 lladdr 1:2 dev d', "lladdr: '1:2' is not a MAC address (aa:bb:cc:dd:ee:ff)"],
    ['neigh add 10.0.0.2 dev d', 'no lladdr specified.'],
    ['route add', 'no destination specified.'],
    ['link show -i fast', "interval: 'fast' is not a number from 1 to 1000000"],
    ['link show --fred', "unknown option '--fred', use `-h' for help."],
    ['link show -i', "option '--interval' needs a value, use `-h' for help."],
  ];
  it.each(table)('%s', async (line, err) => {
    expect(await dpip(line)).toEqual({ code: 1, out: '', err: `dpip: ${err}\n`, calls: [], slept: [] });
  });

  it("prints the daemon's refusal with the original's words and the hint", async () => {
    const refuse = (error: DpvsError): Answers => ({
      'link.set': () => {
        throw error;
      },
    });
    const one = await dpip(
      'link set d mtu 9000',
      refuse(new DpvsError('NODEV', "there is no 'd'", 'dpip link show')),
    );
    expect(one).toMatchObject({
      code: 1,
      out: '',
      err: "dpip: no such device: there is no 'd'\n      dpip link show\n",
    });
    const two = await dpip('link set d mtu 9000 -j', refuse(new DpvsError('EXIST', 'd already exists')));
    expect(two.err).toBe('dpip: d already exists\n');
    expect(JSON.parse(two.out)).toEqual({ error: { code: 'EXIST', errno: -3, message: 'd already exists' } });
    const three = await dpip('addr add -j');
    expect(three.code).toBe(1);
    expect(JSON.parse(three.out)).toEqual({
      error: { code: 'INVAL', errno: -1, message: 'no address specified.' },
    });
  });

  it('says in one line that there is no daemon, exit 2', async () => {
    const { code, out, err } = await run(main, ['link', 'show'], { daemon: false });
    expect({ code, out, err }).toEqual({
      code: 2,
      out: '',
      err: 'dpvs is not running (no socket at /tmp/none)\n',
    });
  });
});

describe('help', () => {
  it('is usage on standard error without arguments, exit 0', async () => {
    const { code, out, err } = await run(main, []);
    expect({ code, out }).toEqual({ code: 0, out: '' });
    expect(err).toContain('dpip [OPTIONS] OBJECT { COMMAND | help }');
  });
  it.each(['-h', '--help', 'help', 'addr help', 'addr -h', 'route show -h'])(
    '%s: standard output, exit 0',
    async (line) => {
      const { code, out, err } = await dpip(line);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(out).toMatch(/^Usage:\n/);
    },
  );
  it('is that of the object when the command is missing, exit 1', async () => {
    const { code, out, err } = await dpip('neigh');
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toContain('dpip neigh add ADDR lladdr MAC dev DEV\n');
  });
  it('knows the version', async () => {
    expect((await dpip('-V')).out).toBe('dpip-1.2.3\n');
  });
});

describe('link show', () => {
  it('has the shape of the README of 2017', async () => {
    expect((await dpip('link show', { 'link.list': [dpdk0] })).out).toBe(
      '1: dpdk0: socket 0 mtu 1500 rx-queue 8 tx-queue 8\n' +
        '    UP 10000 Mbps full-duplex fixed-nego promisc-off\n' +
        '    addr A0:36:9F:9D:61:F4 OF_RX_IP_CSUM OF_TX_IP_CSUM OF_TX_TCP_CSUM OF_TX_UDP_CSUM\n',
    );
  });

  it('shows the flags that are set', () => {
    const other = {
      ...dpdk0,
      up: false,
      fullDuplex: false,
      autoneg: true,
      promisc: true,
      allmulticast: true,
      forward2kni: true,
      txFastFree: true,
      rxIpCsum: false,
    };
    expect(formatLink(other).split('\n').slice(1)).toEqual([
      '    DOWN 10000 Mbps half-duplex auto-nego promisc allmulticast foward2kni',
      '    addr A0:36:9F:9D:61:F4 OF_TX_IP_CSUM OF_TX_TCP_CSUM OF_TX_UDP_CSUM OF_TX_FAST_FREE',
      '',
    ]);
  });

  it('asks for one device, and verbosely', async () => {
    expect((await dpip('link show dpdk0 -v', { 'link.list': [] })).calls).toEqual([
      { method: 'link.list', params: { dev: 'dpdk0', verbose: true } },
    ]);
  });

  it('adds counters with -s', async () => {
    expect((await dpip('-s link show', { 'link.list': [dpdk0] })).out.split('\n').slice(3)).toEqual([
      '    ipackets            opackets            ibytes              obytes',
      '    100                 90                  6400                5400',
      '    ierrors             oerrors             imissed             rx_nombuf',
      '    1                   2                   3                   4',
      '    mbuf-avail          mbuf-inuse',
      '    65000               535',
      '',
    ]);
  });

  it('shows what happens per second with -i, -c times', async () => {
    let n = 0;
    const growing = (): Link[] => {
      const by = n++;
      return [
        {
          ...dpdk0,
          stats: {
            ...dpdk0.stats,
            ipackets: 100 + 20 * by,
            ibytes: 6400 + 2000 * by,
            imissed: by < 2 ? 3 : 1,
          },
        },
      ];
    };
    const { out, slept, calls } = await dpip('link show dpdk0 -s -i 2 -c 2', { 'link.list': growing });
    expect(slept).toEqual([2000, 2000]);
    expect(calls).toHaveLength(3);
    const lines = out.split('\n');
    expect(lines).toHaveLength(15);
    expect(lines.slice(3, 7)).toEqual([
      '    ipackets/pps    opackets/pps    ibytes/Bps      obytes/Bps',
      '    10              0               1000            0',
      '    ierrors/pps     oerrors/pps     imissed/pps     rx_nombuf/pps',
      '    0               0               0               0',
    ]);
    // a counter that started again counts from zero: 1 in 2 s, rounded
    expect(lines[13]).toBe('    0               0               1               0');
  });

  it('adds driver, steering, queues and extended statistics with -v', async () => {
    const detail: Link['detail'] = {
      devargs: 'net_tap0',
      driver: 'net_tap',
      steering: 'rss-prediction',
      info: { if_index: 7, max_rx_queues: 16, max_tx_queues: 16, reta_size: 0, hash_key_size: 40 },
      xstats: { rx_good_packets: 5, tx_good_packets: 6 },
      queues: [{ lcore: 'lcore-1', rx: [0, 1], tx: [] }],
      mcast: ['01:00:5e:00:00:01'],
    };
    expect(
      (await dpip('link show -v', { 'link.list': [{ ...dpdk0, detail }] })).out.split('\n').slice(3),
    ).toEqual([
      '    driver net_tap devargs net_tap0 steering rss-prediction',
      '    if_index 7                  max_rx_queues 16            max_tx_queues 16            reta_size 0',
      '    hash_key_size 40',
      '    Queue Configuration:',
      '        lcore-1: rx 0,1 tx none',
      '    HW mcast list:',
      '        link 01:00:5e:00:00:01',
      '    xstats:',
      '        0     rx_good_packets: 5',
      '        1     tx_good_packets: 6',
      '',
    ]);
  });

  const lcores: Lcore[] = [
    { id: 0, role: 'master', cpu: 0, socket: 0, state: 'running', queues: [], stats: {} },
    {
      id: 1,
      role: 'worker',
      cpu: 3,
      socket: 0,
      state: 'stuck',
      queues: [{ dev: 'dpdk0', rx: [0], tx: [0] }],
      stats: {
        loops: 1,
        rxBursts: 2,
        rxEmpty: 3,
        rxFull: 4,
        rxLowHalf: 5,
        rxHighHalf: 6,
        rxPackets: 7,
        rxBytes: 8,
        txPackets: 9,
        txBytes: 10,
      },
    },
  ];
  const drops: DropEntry[] = [
    { lcore: 1, name: 'IP_TTL', text: 'TTL exceeded', hint: 'traceroute', count: 3 },
    { lcore: 1, name: 'IP_NO_ROUTE', text: 'no route', hint: 'dpip route show', count: 11 },
    { lcore: 1, name: 'ARP_DONE', text: 'processed', hint: 'normal', count: 50, done: true },
    { lcore: 2, name: 'IP_TTL', text: 'TTL exceeded', hint: 'traceroute', count: 9 },
    { lcore: 2, name: 'TX_FULL', text: 'full', hint: 'slow', count: 0 },
  ];
  const cpus = { 'lcore.list': lcores, 'drop.list': drops };

  it('shows CPUs in sections', async () => {
    expect((await dpip('link show cpu', cpus)).out).toBe(
      '<< Controll Plane >>\n0: cpu0: socket 0\n    queues none\n' +
        '<< Data Plane >>\n1: cpu3: socket 0 stuck\n    queues dpdk0:rx0 dpdk0:tx0\n',
    );
  });

  it('shows counters of one CPU with -s; packets whose work was done are no drops', async () => {
    expect((await dpip('link show cpu3 -s', cpus)).out.split('\n').slice(3, 9)).toEqual([
      '    lcore_loop          pktburst            zpktburst           fpktburst',
      '    1                   2                   3                   4',
      '    z2hpktburst         h2fpktburst         dropped',
      '    5                   6                   14',
      '    ipackets            ibytes              opackets            obytes',
      '    7                   8                   9                   10',
    ]);
  });

  it('shows with -i what changes in the statistics segment, without asking the daemon again', async () => {
    const buffer = new SharedArrayBuffer(segmentLayout({ lcores: 1 }).bytes);
    const counters = StatsSegment.create(buffer, { lcores: 1 }).lcoreStats(1);
    const at = LCORE_STATS.at;
    const segment = new StatsReader(buffer);
    // Each second 100 loops, 7 packets and 2 drops; 5 packets are done with.
    const drops = (name: string): number => (at.drops >>> 3) + segment.dropNames.indexOf(name);
    const lcore = segment.lcore.bind(segment);
    segment.lcore = (i) => {
      counters[at.loops >>> 3]! += 100;
      counters[at.rxPackets >>> 3]! += 7;
      counters[drops('IP_TTL')]! += 2;
      counters[drops('ARP_DONE')]! += 5;
      return lcore(i);
    };
    const answers = { ...cpus, info: { statsFile: '/tmp/x.stats' } };
    const { out, calls, slept } = await run(main, words('link show cpu3 -s -i 1 -c 2'), { answers, segment });
    const rows = out.split('\n').map((l) => l.trim().split(/\s+/));
    const column = (heading: string): string[] =>
      rows.flatMap((r, i) => (r.includes(heading) ? [rows[i + 1]![r.indexOf(heading)]!] : []));
    expect(column('lcore_loop')).toEqual(['100', '100']);
    expect(column('ipackets')).toEqual(['7', '7']);
    expect(column('dropped')).toEqual(['2', '2']);
    expect(slept).toEqual([1000, 1000]);
    expect(calls.map((c) => c.method).sort()).toEqual(['drop.list', 'info', 'lcore.list']);
  });

  it('refuses a CPU without an lcore', async () => {
    expect(await dpip('link show cpu9', cpus)).toMatchObject({ code: 1, out: '' });
  });

  it('drop show sums over the lcores, most frequent first, nonzero only', async () => {
    expect((await dpip('drop show', cpus)).out).toBe(
      '50 ARP_DONE     processed (normal)\n' +
        '12 IP_TTL       TTL exceeded (traceroute)\n' +
        '11 IP_NO_ROUTE  no route (dpip route show)\n',
    );
    expect((await dpip('drop show -v', cpus)).out.split('\n')).toContain(
      '[02]  9 IP_TTL       TTL exceeded (traceroute)',
    );
    expect((await dpip('drop show', { 'drop.list': [] })).out).toBe('nothing dropped\n');
  });

  it('estats show sums over the lcores what occurred; -v tells every lcore and everything', async () => {
    const event = (lcore: number, name: string, count: number) => ({
      lcore,
      name,
      text: `of ${name}`,
      count,
    });
    const answers = {
      'event.list': [event(1, 'A', 2), event(1, 'LONGER', 3), event(2, 'A', 9), event(2, 'NEVER', 0)],
    };
    expect((await dpip('estats show', answers)).out).toBe('11 A       of A\n 3 LONGER  of LONGER\n');
    expect((await dpip('estats show -v', answers)).out.split('\n')).toEqual([
      '[01] 2 A       of A',
      '[01] 3 LONGER  of LONGER',
      '[02] 9 A       of A',
      '[02] 0 NEVER   of NEVER',
      '',
    ]);
    expect((await dpip('estats show', { 'event.list': [] })).out).toBe('nothing happened\n');
  });
});

describe('other listings', () => {
  const addr: Addr = {
    family: 'inet',
    addr: '10.0.0.100',
    plen: 32,
    scope: 'global',
    dev: 'dpdk1',
    validLft: 0,
    sapool: true,
    saUsed: 1,
    saFree: 2,
    saMiss: 3,
  };
  it('addr show: two lines per address; the port pool with -s', async () => {
    const answers = {
      'addr.list': [addr, { ...addr, sapool: false, broadcast: '10.0.0.255', validLft: 90 }],
    };
    const plain =
      'inet 10.0.0.100/32 scope global dpdk1\n     valid_lft forever preferred_lft forever\n' +
      'inet 10.0.0.100/32 scope global dpdk1\n    broadcast 10.0.0.255 valid_lft 90sec preferred_lft 90sec\n';
    const { out, calls } = await dpip('addr show dev dpdk1', answers);
    expect(out).toBe(plain);
    expect(calls).toEqual([{ method: 'addr.list', params: { dev: 'dpdk1', perLcore: false } }]);
    expect((await dpip('addr sh -s', answers)).out).toBe(
      plain.replace('forever\n', 'forever sa_used 1 sa_free 2 sa_miss 3\n'),
    );
  });

  it('addr show -v: every lcore', async () => {
    const { out, calls } = await dpip('addr list -v', { 'addr.list': [{ ...addr, lcore: 2 }] });
    expect(out).toBe(
      '[02] inet 10.0.0.100/32 scope global dpdk1\n     valid_lft forever preferred_lft forever sa_used 1 sa_free 2 sa_miss 3\n',
    );
    expect(calls[0]!.params).toEqual({ perLcore: true });
  });

  it('route show', async () => {
    const route: RouteEntry = {
      family: 'inet',
      dst: '0.0.0.0',
      plen: 0,
      via: '10.0.0.254',
      src: '0.0.0.0',
      dev: 'dpdk0',
      mtu: 1500,
      tos: 0,
      scope: 'global',
      metric: 0,
      proto: 'auto',
    };
    expect((await dpip('route show', { 'route.list': [route] })).out).toBe(
      'inet 0.0.0.0/0 via 10.0.0.254 src 0.0.0.0 dev dpdk0 mtu 1500 tos 0 scope global metric 0 proto auto \n',
    );
  });

  it('neigh show', async () => {
    const entry: NeighEntry = {
      addr: '10.0.0.2',
      mac: '02:00:00:00:00:01',
      state: 'REACHABLE',
      dev: 'dpdk0',
      core: 1,
      static: true,
    };
    const { mac: _, ...unresolved } = { ...entry, state: 'SEND', static: false };
    expect((await dpip('neigh show', { 'neigh.list': [entry, unresolved] })).out).toBe(
      `ip: ${'10.0.0.2'.padEnd(48)} mac: 02:00:00:00:00:01   state: REACHABLE     dev: dpdk0  core: 1  static\n` +
        `ip: ${'10.0.0.2'.padEnd(48)} mac:incomplate                       state: SEND           dev: dpdk0  core: 1  \n`,
    );
  });

  it('prints what the daemon answered as JSON with -j, before or after the command', async () => {
    for (const line of ['-j addr show', 'addr show --json', 'addr show -sj']) {
      expect(JSON.parse((await dpip(line, { 'addr.list': [addr] })).out)).toEqual([addr]);
    }
  });
});
