import { describe, expect, it } from 'vitest';
import { main } from '../../../src/cli/ipvsadm/main.js';
import { largeNumber } from '../../../src/cli/ipvsadm/format.js';
import type { ConnEntry, DestEntry, LaddrEntry, SvcEntry } from '../../../src/control/results.js';
import { DpvsError, type ErrorCode } from '../../../src/core/errors.js';
import { SVC_DEFAULTS } from '../../../src/ipvs/options.js';
import { run, words, type Answers, type Outcome } from './support.js';

const ipvsadm = (line: string, answers: Answers = {}): Promise<Outcome> =>
  run(main, words(line), { answers });

const svc = { proto: 'tcp', addr: '10.0.0.100', port: 80 } as const;
const T = '-t 10.0.0.100:80';

describe('requests', () => {
  const dest = { addr: '192.168.100.2', port: 80 };
  const R = '-r 192.168.100.2';
  const table: [line: string, method: string, params: unknown][] = [
    [`-A ${T} -s rr`, 'svc.add', { svc, scheduler: 'rr' }],
    [`-At 10.0.0.100:80 -s rr`, 'svc.add', { svc, scheduler: 'rr' }],
    [`-At10.0.0.100:80 -srr`, 'svc.add', { svc, scheduler: 'rr' }],
    [`--add-service --tcp-service=10.0.0.100:80 --scheduler=wrr`, 'svc.add', { svc, scheduler: 'wrr' }],
    [`-A ${T}`, 'svc.add', { svc }],
    [
      `-A -u 10.0.0.100:53 --conn-timeout 60`,
      'svc.add',
      { svc: { proto: 'udp', addr: '10.0.0.100', port: 53 }, connTimeout: 60 },
    ],
    [`-A ${T} -s mh -b mh-port`, 'svc.add', { svc, scheduler: 'mh', schedFlags: ['mh-port'] }],
    [
      `-E ${T} -s sh --sched-flags sh-fallback,sh-port`,
      'svc.edit',
      { svc, scheduler: 'sh', schedFlags: ['sh-fallback', 'sh-port'] },
    ],
    [`-E ${T} --sched-flags none`, 'svc.edit', { svc, schedFlags: [] }],
    [`-A ${T} -s conhash --hash-target qid`, 'svc.add', { svc, scheduler: 'conhash', hashTarget: 'qid' }],
    [`-E ${T} -s wlc`, 'svc.edit', { svc, scheduler: 'wlc' }],
    [`-A ${T} --expire-quiescent`, 'svc.add', { svc, expireQuiescent: true }],
    [`-A ${T} -j enable`, 'svc.add', { svc, synproxy: true }],
    [`-E ${T} --synproxy disable`, 'svc.edit', { svc, synproxy: false }],
    [`-E ${T} --no-expire-quiescent`, 'svc.edit', { svc, expireQuiescent: false }],
    [`-A ${T} --proxy-protocol v2-insecure`, 'svc.add', { svc, proxyProtocol: 'v2-insecure' }],
    [`-E ${T} --proxy-protocol disable`, 'svc.edit', { svc, proxyProtocol: 'disable' }],
    [`-A ${T} --bps 10M --limit-proportion 50`, 'svc.add', { svc, bps: 10_000_000, limitProportion: 50 }],
    [
      `-A ${T} -s rr -p 600 -M 255.255.255.0`,
      'svc.add',
      { svc, scheduler: 'rr', persistent: 600, netmask: '255.255.255.0' },
    ],
    [`-A ${T} -p`, 'svc.add', { svc, persistent: 360 }],
    ['-A -t 10.0.0.100 -p', 'svc.add', { svc: { ...svc, port: 0 }, persistent: 360 }],
    [
      '-a -t 10.0.0.100:0 -r 192.168.100.2 -b',
      'dest.add',
      { svc: { ...svc, port: 0 }, dest: { ...dest, port: 0 }, fwd: 'fullnat' },
    ],
    [`-E ${T} --bps 2500`, 'svc.edit', { svc, bps: 2500 }],
    [`-D ${T}`, 'svc.del', { svc }],
    ['-C', 'svc.flush', {}],
    ['-Z', 'svc.zero', {}],
    [`-Z ${T}`, 'svc.zero', { svc }],
    [`-a ${T} ${R} -b`, 'dest.add', { svc, dest, fwd: 'fullnat' }],
    [`-a ${T} ${R}`, 'dest.add', { svc, dest, fwd: 'dr' }],
    [`-a ${T} ${R}:8080 -m -w 0`, 'dest.add', { svc, dest: { ...dest, port: 8080 }, fwd: 'nat', weight: 0 }],
    [
      `-a ${T} ${R}:8080 -J -w 65535`,
      'dest.add',
      { svc, dest: { ...dest, port: 8080 }, fwd: 'snat', weight: 65535 },
    ],
    // without translation the packet keeps its port
    [`-a ${T} ${R}:8080 -g`, 'dest.add', { svc, dest, fwd: 'dr' }],
    [`-a ${T} ${R}:8080 -i`, 'dest.add', { svc, dest, fwd: 'tunnel' }],
    [`-a ${T} ${R} -i --tun-type ipip`, 'dest.add', { svc, dest, fwd: 'tunnel' }],
    [`-a ${T} ${R} -b -x 100 -y 50`, 'dest.add', { svc, dest, fwd: 'fullnat', maxConn: 100, minConn: 50 }],
    // what is not given stays as it is
    [`-e ${T} ${R}:8080 -w 5`, 'dest.edit', { svc, dest: { ...dest, port: 8080 }, weight: 5 }],
    [`-d ${T} ${R}`, 'dest.del', { svc, dest }],
    [`-e ${T} ${R} --no-inhibited`, 'dest.edit', { svc, dest, inhibited: false, checkInhibited: false }],
    [`-E ${T} --dest-check disable`, 'svc.edit', { svc, destCheck: { passive: null, external: [] } }],
    [
      `-E ${T} --dest-check default`,
      'svc.edit',
      {
        svc,
        destCheck: {
          passive: { downRetry: 1, downWait: 3, restore: { upConfirm: 1, min: 5, max: 3600 } },
          external: [],
        },
      },
    ],
    [
      `-A ${T} --dest-check 2,3,4s,6-7s,ping,tcp`,
      'svc.add',
      {
        svc,
        destCheck: {
          passive: { downRetry: 2, downWait: 4, restore: { upConfirm: 3, min: 6, max: 7 } },
          external: ['tcp', 'ping'],
        },
      },
    ],
    [
      `-A ${T} --dest-check 5,60s`,
      'svc.add',
      { svc, destCheck: { passive: { downRetry: 5, downWait: 60 }, external: [] } },
    ],
    [
      `-A ${T} --dest-check udp,sctp`,
      'svc.add',
      { svc, destCheck: { passive: null, external: ['udp', 'sctp'] } },
    ],
    ['--set 900 120 0', 'timeout.set', { tcp: 900, tcpFin: 120, udp: 0 }],
    [
      `--add-laddr -z 192.168.100.200 ${T} -F dpdk0`,
      'laddr.add',
      { svc, addr: '192.168.100.200', dev: 'dpdk0' },
    ],
    [`-P -z 192.168.100.200 ${T} -F dpdk0`, 'laddr.add', { svc, addr: '192.168.100.200', dev: 'dpdk0' }],
    [`-Q -z 192.168.100.200 ${T} -F dpdk0`, 'laddr.del', { svc, addr: '192.168.100.200', dev: 'dpdk0' }],
  ];
  it.each(table)('%s', async (line, method, params) => {
    expect(await ipvsadm(line)).toEqual({
      code: 0,
      out: '',
      err: '',
      calls: [{ method, params }],
      slept: [],
    });
  });
});

describe('wrong lines: nothing is sent', () => {
  const table: [line: string, code: number, err: string][] = [
    ['-A', 2, "You need to supply the 'service-address' option for the 'add-service' command"],
    [`-a ${T}`, 2, "You need to supply the 'real-server' option for the 'add-server' command"],
    ['-a -r 10.0.0.1', 2, "You need to supply the 'service-address' option for the 'add-server' command"],
    [`-P ${T} -F d`, 2, "You need to supply the 'laddr' option for the 'add-laddr' command"],
    [`-P ${T} -z 10.0.0.1`, 2, "You need to supply the 'ifname' option for the 'add-laddr' command"],
    [`-A ${T} -r 10.0.0.1`, 2, "Illegal 'real-server' option with the 'add-service' command"],
    [`-A ${T} -m`, 2, "Illegal 'forwarding-method' option with the 'add-service' command"],
    // a letter with two meanings: the one that the command knows
    [`-A ${T} -s conhash --hash-target dip`, 2, "invalid hash target 'dip': sip or qid"],
    ['--set 1 2', 2, "You need to supply TCP TCPFIN UDP for the 'set' command"],
    ['--set 1 2 x', 2, "invalid timeout value 'x': 0 to 31535999 seconds"],
    ['--set -1 2 3', 2, "invalid timeout value '-1': 0 to 31535999 seconds"],
    ['--set 1 -6 3', 2, "invalid timeout value '-6': 0 to 31535999 seconds"],
    ['--set 1 2 -31', 2, "invalid timeout value '-31': 0 to 31535999 seconds"],
    ['--set 1 2 3 4', 2, 'unexpected argument 4'],
    [`-a ${T} -r 10.0.0.1 -s rr`, 2, "Illegal 'scheduler' option with the 'add-server' command"],
    [`-C ${T}`, 2, "Illegal 'service-address' option with the 'clear' command"],
    ['-l -w 1', 2, "Illegal 'weight' option with the 'list' command"],
    [`-A ${T} -u 10.0.0.1:53`, 2, "multiple 'service-address' options specified"],
    [`-A ${T} ${T}`, 2, "multiple 'service-address' options specified"],
    [`-a ${T} -r 10.0.0.1 -b -m`, 2, "multiple 'forwarding-method' options specified"],
    [`-A ${T} -s rr -s wrr`, 2, "multiple 'scheduler' options specified"],
    [`-A -D ${T}`, 2, 'multiple commands specified'],
    ['-lL', 2, 'multiple commands specified'],
    [`-l --timeout ${T}`, 2, 'options conflicts in the list command'],
    ['-l --cpu 1 --rate', 2, 'options conflicts in the list command'],
    ['-l --state TCP_EST', 2, "You need to supply the 'connection' option with the 'state' option"],
    [
      '-lc --sockpair tcp:10.0.0.1:1:10.0.0.2',
      2,
      'illegal sockpair specified: tcp:10.0.0.1:1:10.0.0.2 (PROTO:ADDR:PORT:ADDR:PORT)',
    ],
    [
      '-lc --sockpair foo:10.0.0.1:1:10.0.0.2:2',
      2,
      'illegal sockpair specified: foo:10.0.0.1:1:10.0.0.2:2 (PROTO:ADDR:PORT:ADDR:PORT)',
    ],
    ['-l --cpu 0', 2, 'illegal cpu specified: 0'],
    ['-l --stats --rate', 2, 'options conflicts in the list command'],
    ['-l --stats --drops', 2, 'options conflicts in the list command'],
    ['-lc --stats', 2, 'options conflicts in the list command'],
    ['-l --timeout -c', 2, 'options conflicts in the list command'],
    ['-l --sort --nosort', 2, "The option 'nosort' conflicts with the 'sort' option in the 'list' command"],
    ['-A -t 10.0.0.100', 2, 'Zero port specified for no-match and non-persistent service'],
    ['-A -t 10.0.0.100:0', 2, 'Zero port specified for no-match and non-persistent service'],
    ['-A -t 10.0.0.100:65536', 2, 'illegal virtual server address[:port] specified: 10.0.0.100:65536'],
    ['-A -t 10.0.0.100:', 2, 'illegal virtual server address[:port] specified: 10.0.0.100:'],
    ['-A -t 10.0.0:80', 2, 'illegal virtual server address[:port] specified: 10.0.0:80'],
    [
      `-a ${T} -r fred`,
      2,
      'illegal real server address[:port] specified: fred (names are not resolved: ipvsadm -Sn saves numbers)',
    ],
    [`-a ${T} -r 10.0.0.1 -w 65536`, 2, 'illegal weight specified: 65536'],
    [`-a ${T} -r 10.0.0.1 -w -1`, 2, 'illegal weight specified: -1'],
    [`-a ${T} -r 10.0.0.1 -w many`, 2, 'illegal weight specified: many'],
    [`-a ${T} -r 10.0.0.1 -x 4294967296`, 2, 'illegal u-threshold specified: 4294967296'],
    [`-a ${T} -r 10.0.0.1 -x 1 -y 2`, 2, 'illegal l-threshold specified: 2 is over the u-threshold 1'],
    [`-A ${T} --conn-timeout 31536000`, 2, "invalid timeout value '31536000': 0 to 31535999 seconds"],
    [`-P ${T} -z here -F d`, 2, 'illegal local address specified: here'],
    ['-l fred', 2, 'unexpected argument fred'],
    ['-A -t [2001::1]:80', 2, 'IPv6 ([2001::1]:80) is not supported yet'],
    [`-P ${T} -z 2001::1 -F d`, 2, 'IPv6 (2001::1) is not supported yet'],
    ['-l -6', 2, 'IPv6 is not supported yet'],
    [`-A ${T} -p 2678401`, 2, 'illegal persistent specified: 2678401'],
    [`-A ${T} -p -M 24`, 2, 'invalid netmask specified: 24'],
    [`-A ${T} -p -M 255.0.255.0`, 2, 'invalid netmask specified: 255.0.255.0 (ones, then zeros)'],
    [`-A ${T} --bps 10T`, 2, 'illegal bps specified: 10T'],
    [
      `-A ${T} --proxy-protocol v3`,
      2,
      'illegal proxy protocol specified: v3, not one of disable, v1, v2, v1-insecure, v2-insecure',
    ],
    [`-A ${T} --limit-proportion 101`, 2, 'illegal limit-proportion specified: 101'],
    ...(
      [
        ['1,1,3s', 'RETRY,CONFIRM,Ns,MIN-MAXs or RETRY,Ns, such as 1,1,3s,5-3600s'],
        ['1,3', 'RETRY,CONFIRM,Ns,MIN-MAXs or RETRY,Ns, such as 1,1,3s,5-3600s'],
        ['0,3s', 'RETRY must be from 1 to 65535'],
        ['1,0s', 'N must be from 1 to 86400'],
        ['1,1,3s,9-5s', 'MIN is above MAX'],
        ['1,1,3s,1-86401s', 'MAX must be from 1 to 86400'],
        ['1,3s,default', 'two passive checks'],
        ['tcp,tcp', 'tcp twice'],
        ['http', "'http' is none of disable, default, tcp, udp, sctp, ping"],
        ['disable,tcp', "'disable' is none of disable, default, tcp, udp, sctp, ping"],
      ] as const
    ).map(([c, why]): [string, number, string] => [
      `-A ${T} --dest-check ${c}`,
      2,
      `invalid dest-check '${c}': ${why}`,
    ]),
    [`-A ${T} -j on`, 2, "invalid synproxy 'on': enable or disable"],
    [
      '-A -f 1',
      2,
      "'--fwmark-service' is not supported: nothing marks packets here; name addresses and ports (-t, -u, -H)",
    ],
    [
      '-A -H proto=tcp',
      2,
      "illegal match specified: proto=tcp: character 10: one of 'src-range=', 'dst-range=' and 'af=' is missing\n" +
        '  proto=tcp|udp|icmp,src-range=IP[-IP][:PORT[-PORT]],dst-range=…,iif=DEV,oif=DEV',
    ],
    ['-A -q 10.0.0.1:8', 2, 'illegal virtual server address specified: 10.0.0.1:8'],
    ['-A -1 ::1', 2, "'--icmpv6-service' is not supported yet"],
    [
      '--start-daemon master',
      2,
      "'--start-daemon' is not supported: connections are not synchronised between directors",
    ],
    ['-L --daemon', 2, "'--daemon' is not supported: connections are not synchronised between directors"],
    [`-a ${T} -r 10.0.0.1 -i --tun-type gue`, 2, "tunnel type 'gue' is not supported: tunnels are IPIP"],
    [
      `-a ${T} -r 10.0.0.1 -i --tun-type gue --tun-port 6080`,
      2,
      "'--tun-port' is not supported: tunnels are IPIP",
    ],
    [`-A ${T} --pe sip`, 2, "'--pe' is not supported: there are no persistence engines"],
  ];
  it.each(table)('%s', async (line, code, err) => {
    expect(await ipvsadm(line)).toEqual({ code, out: '', err: `${err}\n`, calls: [], slept: [] });
  });

  it.each([
    ['--fred', "unknown option '--fred'"],
    ['-l --fred', "unknown option '--fred'"],
    ['-lK', "unknown option '-K'"],
    ['-n', 'the first argument must be a command'],
    ['-nL', 'the first argument must be a command'],
    [`${T} -A`, 'the first argument must be a command'],
    ['fred', "'fred' is not a command"],
    ['-A -t', "option '--tcp-service' needs a value"],
    ['-A -t -s rr', "option '--tcp-service' needs a value"],
  ])('%s: points at the help, exit 255', async (line, err) => {
    expect(await ipvsadm(line)).toMatchObject({
      code: 255,
      err: `${err}\nTry \`ipvsadm -h' or 'ipvsadm --help' for more information.\n`,
      calls: [],
    });
  });
});

describe("the daemon's refusals: the original's text, exit code modulo 256", () => {
  const R = '-r 10.0.0.1';
  const table: [line: string, code: ErrorCode, exit: number, text: string][] = [
    [`-A ${T}`, 'EXIST', 253, 'Service already exists'],
    [`-D ${T}`, 'NOTEXIST', 252, 'No such service'],
    [`-a ${T} ${R}`, 'EXIST', 253, 'Destination already exists'],
    [`-d ${T} ${R}`, 'NOTEXIST', 252, 'No such destination'],
    [`-E ${T}`, 'INVAL', 255, 'Invalid operation.  Possibly wrong module version, address not unicast, ...'],
    [`-A ${T}`, 'NOMEM', 254, 'Memory allocation problem'],
    [`-P ${T} -z 10.0.0.1 -F d`, 'NOSERV', 239, 'No such service'],
    [`-P ${T} -z 10.0.0.1 -F d`, 'RESOURCE', 241, 'no resource'],
    [`-Z`, 'NOTSUPP', 242, 'not support'],
  ];
  it.each(table)('%s %s', async (line, code, exit, text) => {
    const refuse = (): never => {
      throw new DpvsError(code, 'the reason', 'what to do');
    };
    const all = ['svc.add', 'svc.edit', 'svc.del', 'svc.zero', 'dest.add', 'dest.del', 'laddr.add'];
    const outcome = await ipvsadm(line, Object.fromEntries(all.map((m) => [m, refuse])));
    expect(outcome).toMatchObject({ code: exit, out: '', err: `${text}\n  the reason\n  what to do\n` });
  });
});

const zeroRates = { cps: 0, inPps: 0, outPps: 0, inBps: 0, outBps: 0 };
const dest = (addr: string, more: Partial<DestEntry> = {}): DestEntry => ({
  addr,
  port: 80,
  fwd: 'fullnat',
  weight: 1,
  maxConn: 0,
  minConn: 0,
  active: 0,
  inactive: 0,
  persist: 0,
  overload: false,
  inhibited: false,
  checkInhibited: false,
  counters: { conns: 1, inPackets: 20, outPackets: 300, inBytes: 4000, outBytes: 123456789 },
  rates: { cps: 1.4, inPps: 20.5, outPps: 300, inBps: 4000, outBps: 5e9 },
  ...more,
});
const services: SvcEntry[] = [
  {
    svc: { ...svc, proto: 'udp' },
    scheduler: 'wlc',
    schedFlags: [],
    ...SVC_DEFAULTS,
    connTimeout: 60,
    counters: dest('').counters,
    rates: zeroRates,
    drops: {},
    events: {},
    dests: [],
  },
  {
    svc,
    scheduler: 'rr',
    schedFlags: [],
    ...SVC_DEFAULTS,
    counters: dest('').counters,
    rates: dest('').rates,
    drops: { SVC_NO_DEST: 3, CONN_FULL: 123456789 },
    events: { TOA_INSERTED: 7 },
    dests: [
      dest('192.168.100.10', {
        fwd: 'nat',
        weight: 65535,
        active: 3,
        inactive: 4,
        overload: true,
        inhibited: true,
        maxConn: 7,
        minConn: 2,
        persist: 5,
      }),
      dest('192.168.100.2'),
    ],
  },
  {
    svc: { ...svc, addr: '9.0.0.1', port: 8080 },
    scheduler: 'wrr',
    schedFlags: [],
    ...SVC_DEFAULTS,
    counters: dest('').counters,
    rates: zeroRates,
    drops: {},
    events: {},
    dests: [
      dest('1.2.3.4', { fwd: 'dr' }),
      dest('1.2.3.4', { port: 79, fwd: 'tunnel' }),
      dest('1.2.3.5', { fwd: 'snat' }),
    ],
  },
];
const listing = { info: { version: '0.1.0' }, 'svc.list': services };

describe('listings', () => {
  it('lists services and real servers, sorted', async () => {
    const table = [
      'IP Virtual Server version 0.1.0 (size=0)',
      'Prot LocalAddress:Port Scheduler Flags',
      '  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn',
      'TCP  9.0.0.1:8080 wrr',
      '  -> 1.2.3.4:79                   Tunnel  1      0          0         ',
      '  -> 1.2.3.4:80                   Route   1      0          0         ',
      '  -> 1.2.3.5:80                   SNAT    1      0          0         ',
      'TCP  10.0.0.100:80 rr',
      '  -> 192.168.100.2:80             FullNat 1      0          0         ',
      '  -> 192.168.100.10:80            Masq    65535  3          4          inhibited,overload',
      'UDP  10.0.0.100:80 wlc conn-timeout 60',
      '',
    ].join('\n');
    for (const line of ['', '-ln', '-Ln', '-L', '--list --numeric', '-l --sort']) {
      expect((await ipvsadm(line, listing)).out).toBe(table);
    }
  });

  it.each([
    [
      { passive: { downRetry: 1, downWait: 3, restore: { upConfirm: 1, min: 5, max: 3600 } }, external: [] },
      'internal:default',
    ],
    [
      { passive: { downRetry: 2, downWait: 4, restore: { upConfirm: 3, min: 6, max: 7 } }, external: [] },
      'internal:2,3,4s,6-7s',
    ],
    [
      { passive: { downRetry: 2, downWait: 4 }, external: ['tcp', 'ping'] },
      'internal:2,4s external:tcp,ping',
    ],
    [{ passive: null, external: ['udp'] }, 'external:udp'],
  ] as [SvcEntry['destCheck'], string][])('shows health checks: %o', async (destCheck, shown) => {
    const list = [{ ...services[0]!, destCheck }];
    const { out } = await ipvsadm('-ln', { ...listing, 'svc.list': list });
    expect(out).toContain(`UDP  10.0.0.100:80 wlc conn-timeout 60 dest-check ${shown}\n`);
  });

  it('says who takes a real server for dead', async () => {
    const dests = [
      dest('192.168.100.1', { inhibited: true }),
      dest('192.168.100.2', { checkInhibited: true }),
      dest('192.168.100.3', { checkInhibited: true, inhibited: true, overload: true }),
    ];
    const { out } = await ipvsadm('-ln', { ...listing, 'svc.list': [{ ...services[0]!, dests }] });
    expect(
      out
        .trimEnd()
        .split('\n')
        .slice(-3)
        .map((l) => l.split(' ').at(-1)),
    ).toEqual(['inhibited', 'inhibited,dest-check', 'inhibited,dest-check,overload']);
  });

  it("keeps the daemon's order with --nosort, and asks for one service", async () => {
    const { out, calls } = await ipvsadm(`-ln ${T} --nosort`, listing);
    expect(out.split('\n').filter((l) => /^(TCP|UDP)/.test(l))).toEqual([
      'UDP  10.0.0.100:80 wlc conn-timeout 60',
      'TCP  10.0.0.100:80 rr',
      'TCP  9.0.0.1:8080 wrr',
    ]);
    expect(calls).toContainEqual({ method: 'svc.list', params: { svc } });
  });

  const one = {
    info: { version: '0.1.0' },
    'svc.list': [{ ...services[1]!, dests: [services[1]!.dests[0]!] }],
  };
  const body = async (line: string): Promise<string[]> =>
    (await ipvsadm(line, one)).out.split('\n').slice(1, -1);

  it('--events: what else happened to services, without real servers', async () => {
    expect((await ipvsadm('-ln --events', listing)).out.split('\n').slice(1, -1)).toEqual([
      'Prot LocalAddress:Port               Count Event',
      'TCP  9.0.0.1:8080                        0',
      'TCP  10.0.0.100:80                       7 TOA_INSERTED',
      'UDP  10.0.0.100:80                       0',
    ]);
  });

  it('--drops: packets dropped for services by reason, without real servers', async () => {
    expect((await ipvsadm('-ln --drops', listing)).out.split('\n').slice(1, -1)).toEqual([
      'Prot LocalAddress:Port             Dropped Reason',
      'TCP  9.0.0.1:8080                        0',
      'TCP  10.0.0.100:80                 123456K CONN_FULL',
      '                                         3 SVC_NO_DEST',
      'UDP  10.0.0.100:80                       0',
    ]);
    expect((await body('-ln --drops -X'))[1]).toBe('TCP  10.0.0.100:80                123456789 CONN_FULL');
  });

  it('--stats', async () => {
    expect(await body('-ln --stats')).toEqual([
      'Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes',
      '  -> RemoteAddress:Port',
      'TCP  10.0.0.100:80                       1       20      300     4000  123456K',
      '  -> 192.168.100.10:80                   1       20      300     4000  123456K',
    ]);
    expect((await body('-Ln --stats -X'))[2]).toBe(
      'TCP  10.0.0.100:80                       1       20      300     4000 123456789',
    );
  });

  it('--rate', async () => {
    expect((await body('-ln --rate')).slice(0, 3)).toEqual([
      'Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS',
      '  -> RemoteAddress:Port',
      'TCP  10.0.0.100:80                       1       21      300     4000    5000M',
    ]);
  });

  it('--thresholds', async () => {
    expect(await body('-ln --thresholds')).toEqual([
      'Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn ',
      '  -> RemoteAddress:Port',
      'TCP  10.0.0.100:80 rr',
      '  -> 192.168.100.10:80            7          2          3          4         ',
    ]);
  });

  it('--persistent-conn', async () => {
    expect((await body('-ln --persistent-conn')).filter((_, i) => i !== 1)).toEqual([
      'Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn ',
      'TCP  10.0.0.100:80 rr',
      '  -> 192.168.100.10:80            65535     5           3          4         ',
    ]);
  });

  it.each([
    [99_999_999, ' 99999999'],
    [100_000_000, '  100000K'],
    [999_999_999, '  999999K'],
    [1_000_000_000, '    1000M'],
    [99_999_999_999, '   99999M'],
    [100_000_000_000, '     100G'],
    [100_000_000_000_000, '     100T'],
  ])('%d is shortened to %s', (value, text) => {
    expect(largeNumber(value, false)).toBe(text);
  });

  const conn: ConnEntry = {
    lcore: 1,
    proto: 'tcp',
    timeout: 90,
    remaining: 17,
    state: 'TCP_EST',
    client: '10.0.0.48',
    clientPort: 51540,
    vaddr: '192.168.88.100',
    vport: 80,
    laddr: '192.168.88.241',
    lport: 1030,
    daddr: '192.168.88.15',
    dport: 80,
  };
  const pages = {
    'conn.list': ({ cursor }: { cursor?: string }) =>
      cursor === undefined ? { conns: [conn, conn], cursor: '1:3' } : { conns: [conn] },
  };

  it('-lnc: connections of all pages, with the time that remains', async () => {
    const line =
      '[1]tcp 17s    TCP_EST     10.0.0.48:51540    192.168.88.100:80  192.168.88.241:1030 192.168.88.15:80\n';
    const { out, calls } = await ipvsadm('-lnc', pages);
    expect(out).toBe(line.repeat(3));
    expect(calls.map((c) => c.params)).toEqual([{}, { cursor: '1:3' }]);
  });

  it.each([
    ['-lnc', {}],
    [`-lnc ${T}`, { svc }],
    ['-lnc --cpu 2', { lcore: 2 }],
    ['-lnc --state TCP_EST,SYN_RECV', { states: ['TCP_EST', 'SYN_RECV'] }],
    [
      '-lnc --sockpair udp:10.0.0.1:5000:10.1.1.1:53',
      { sockpair: { proto: 'udp', saddr: '10.0.0.1', sport: 5000, daddr: '10.1.1.1', dport: 53 } },
    ],
  ])('%s asks every page for the same', async (line, params) => {
    const { calls } = await ipvsadm(line, pages);
    expect(calls.map((c) => c.params)).toEqual([params, { ...params, cursor: '1:3' }]);
  });

  it('-lnc --persistent-conn: connections, then clients of persistent services', async () => {
    const template = {
      svc,
      client: '10.0.0.0',
      daddr: '192.168.88.15',
      dport: 80,
      timeout: 360,
      remaining: 7,
    };
    const both = { ...pages, 'template.list': { templates: [template] } };
    const { out, calls } = await ipvsadm('-lnc --persistent-conn', both);
    expect(out.split('\n')[3]).toBe(
      '[0]tcp 7s     TEMPLATE    10.0.0.0:0         10.0.0.100:80      0.0.0.0:0          192.168.88.15:80',
    );
    expect(calls.at(-1)).toEqual({ method: 'template.list', params: {} });
    expect(JSON.parse((await ipvsadm('-lnc --persistent-conn --json', both)).out)).toEqual([
      conn,
      conn,
      conn,
      template,
    ]);
  });

  it('asks for one lcore', async () => {
    expect((await ipvsadm('-ln --stats --cpu 2', listing)).calls).toContainEqual({
      method: 'svc.list',
      params: { lcore: 2 },
    });
    expect((await ipvsadm('-G --cpu 2', { 'laddr.list': [] })).calls).toEqual([
      { method: 'laddr.list', params: { lcore: 2 } },
    ]);
  });

  it('-lnc ends with the error of the page that the daemon refuses', async () => {
    const refuse = ({ cursor }: { cursor?: string }): unknown => {
      if (cursor === undefined) return { conns: [conn], cursor: '1:2' };
      throw new DpvsError('INVAL', 'no more', 'what to do');
    };
    const { code, out, err } = await ipvsadm('-lnc', { 'conn.list': refuse });
    expect(code).toBe(255);
    expect(out.split('\n')).toHaveLength(2);
    expect(err).toContain('no more');
  });

  it('-lnc --json: one array, with the remaining time', async () => {
    expect(JSON.parse((await ipvsadm('-lnc --json', pages)).out)).toEqual([conn, conn, conn]);
    expect(JSON.parse((await ipvsadm('-lcj', { 'conn.list': { conns: [] } })).out)).toEqual([]);
  });

  const laddrs: LaddrEntry[] = [
    { svc, laddrs: [{ addr: '10.114.249.213', dev: 'dpdk0', conns: 4, conflicts: 0 }] },
  ];
  it('-G: local addresses', async () => {
    const { out, calls } = await ipvsadm(`-G ${T}`, { 'laddr.list': laddrs });
    expect(out).toBe(
      'VIP:VPORT            TOTAL    SNAT_IP              CONFLICTS  CONNS     \n' +
        '10.0.0.100:80        1        \n' +
        '                              10.114.249.213       0          4         \n',
    );
    expect(calls).toEqual([{ method: 'laddr.list', params: { svc } }]);
  });

  it('--json prints what the daemon answered', async () => {
    expect(JSON.parse((await ipvsadm('-ln --nosort --json', listing)).out)).toEqual(services);
    expect(JSON.parse((await ipvsadm('-G -j', { 'laddr.list': laddrs })).out)).toEqual(laddrs);
  });

  it('--timeout', async () => {
    const timeouts = { tcp: { established: 90, finWait: 7 }, udp: { normal: 300 } };
    expect((await ipvsadm('-L --timeout', { 'timeout.get': timeouts })).out).toBe(
      'Timeout (tcp tcpfin udp): 90 7 300\n',
    );
  });

  it('-h and -v', async () => {
    expect(await ipvsadm('-h')).toMatchObject({ code: 0, err: '', calls: [] });
    expect((await ipvsadm('--version')).out).toBe(
      'ipvsadm v1.27 2008/5/15 (compiled with popt and IPVS v1.2.3)\n',
    );
  });

  it('says in one line that there is no daemon, exit 2', async () => {
    const { code, out, err } = await run(main, ['-ln'], { daemon: false });
    expect({ code, out, err }).toEqual({
      code: 2,
      out: '',
      err: 'dpvs is not running (no socket at /tmp/none)\n',
    });
  });
});

describe('flags of schedulers', () => {
  const flagged: SvcEntry[] = [
    { ...services[2]!, dests: [], scheduler: 'conhash', hashTarget: 'sip' },
    { ...services[2]!, dests: [], scheduler: 'mh', schedFlags: ['mh-fallback', 'mh-port'], connTimeout: 9 },
  ];
  const answers = {
    ...listing,
    'svc.list': flagged,
    'laddr.list': [],
    'timeout.get': { set: { tcp: 0, tcpFin: 0, udp: 0 } },
  };

  it('stand behind the scheduler in listings', async () => {
    expect((await ipvsadm('-ln', answers)).out.split('\n').slice(3, 5)).toEqual([
      'TCP  9.0.0.1:8080 conhash sip',
      'TCP  9.0.0.1:8080 mh mh-fallback,mh-port conn-timeout 9',
    ]);
  });

  it('are saved', async () => {
    expect((await ipvsadm('-S', answers)).out.split('\n').slice(0, 2)).toEqual([
      '-A -t 9.0.0.1:8080 -s conhash --hash-target sip',
      '-A -t 9.0.0.1:8080 -s mh --sched-flags mh-fallback,mh-port --conn-timeout 9',
    ]);
  });
});

describe('save and restore', () => {
  const laddrs: LaddrEntry[] = [
    { svc, laddrs: [{ addr: '192.168.100.200', dev: 'dpdk0', conns: 4, conflicts: 0 }] },
  ];
  const saved = [
    '--set 900 0 30',
    '-A -t 9.0.0.1:8080 -s wrr',
    '-a -t 9.0.0.1:8080 -r 1.2.3.4:79 -i -w 1',
    '-a -t 9.0.0.1:8080 -r 1.2.3.4:80 -g -w 1',
    '-a -t 9.0.0.1:8080 -r 1.2.3.5:80 -J -w 1',
    '-A -t 10.0.0.100:80 -s rr',
    '-a -t 10.0.0.100:80 -r 192.168.100.2:80 -b -w 1',
    '-a -t 10.0.0.100:80 -r 192.168.100.10:80 -m -w 65535 -x 7 -y 2 --inhibited',
    '-P -t 10.0.0.100:80 -z 192.168.100.200 -F dpdk0',
    '-A -u 10.0.0.100:80 -s wlc --conn-timeout 60',
    '',
  ].join('\n');

  it('saves every service, real server and local address as a line', async () => {
    const set = { tcp: 900, tcpFin: 0, udp: 30 };
    const answers = { ...listing, 'laddr.list': laddrs, 'timeout.get': { tcp: {}, udp: {}, set } };
    expect((await ipvsadm('-Sn', answers)).out).toBe(saved);
  });

  it('restores what it saved', async () => {
    const { code, calls, err } = await run(main, ['-R'], { stdin: `# rules\n\n${saved}` });
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(calls).toHaveLength(10);
    expect(calls[7]).toEqual({
      method: 'dest.add',
      params: {
        svc,
        dest: { addr: '192.168.100.10', port: 80 },
        fwd: 'nat',
        weight: 65535,
        maxConn: 7,
        minConn: 2,
        inhibited: true,
      },
    });
  });

  it('applies nothing when a line is wrong, and names every wrong line', async () => {
    const stdin = `ipvsadm -A ${T}\n-A\n-L\n--fred\n`;
    expect(await run(main, ['--restore'], { stdin })).toMatchObject({
      code: 2,
      calls: [],
      err:
        "line 2: You need to supply the 'service-address' option for the 'add-service' command\n" +
        "line 3: '-L' changes nothing\n" +
        "line 4: unknown option '--fred'\n",
    });
  });

  it('stops at the line that the daemon refuses', async () => {
    const answers = {
      'svc.add': () => {
        throw new DpvsError('EXIST', 'it is there');
      },
    };
    const outcome = await run(main, ['-R'], { stdin: `-C\n-A ${T}\n-D ${T}\n`, answers });
    expect(outcome).toMatchObject({
      code: 253,
      err: 'line 2 (the lines before it are in force): Service already exists\n  it is there\n',
    });
    expect(outcome.calls.map((c) => c.method)).toEqual(['svc.flush', 'svc.add']);
  });
});

describe('services by match and ICMP services', () => {
  const range = (from: string, to: string, fromPort = 0, toPort = 65535) => ({ from, to, fromPort, toPort });
  const inside = { src: range('192.168.100.0', '192.168.100.254'), oif: 'dpdk1' };
  const counted = services[1]!;
  const icmpSvc = { proto: 'icmp', addr: '10.0.0.100', port: 0 } as const;
  const entries: SvcEntry[] = [
    { ...counted, svc: { proto: 'tcp', addr: '0.0.0.0', port: 0, match: inside }, dests: [] },
    {
      ...counted,
      svc: {
        proto: 'icmp',
        addr: '0.0.0.0',
        port: 0,
        match: { dst: range('1.0.0.0', '2.0.0.0'), iif: 'dpdk0' },
      },
      dests: [dest('5.5.5.5', { port: 0, fwd: 'snat' })],
    },
    { ...counted, svc: icmpSvc, dests: [] },
  ];
  const MATCH = 'proto=tcp,src-range=192.168.100.0-192.168.100.254,oif=dpdk1';

  it('are named by -H and -q', async () => {
    const svcH = { proto: 'tcp', addr: '0.0.0.0', port: 0, match: inside };
    expect((await ipvsadm(`-A -s rr -H ${MATCH}`)).calls).toEqual([
      { method: 'svc.add', params: { svc: svcH, scheduler: 'rr' } },
    ]);
    expect((await ipvsadm(`-a -H ${MATCH} -r 5.5.5.5:0 -J -w 100`)).calls).toEqual([
      {
        method: 'dest.add',
        params: { svc: svcH, dest: { addr: '5.5.5.5', port: 0 }, fwd: 'snat', weight: 100 },
      },
    ]);
    expect((await ipvsadm('-A -q 10.0.0.100 -s rr')).calls[0]!.params).toEqual({
      svc: icmpSvc,
      scheduler: 'rr',
    });
    expect((await ipvsadm('-a -q 10.0.0.100 -r 1.2.3.4 -m')).calls[0]!.params).toMatchObject({
      dest: { addr: '1.2.3.4', port: 0 },
    });
  });

  it('are listed last, in their own order', async () => {
    const { out } = await ipvsadm('-ln', { ...listing, 'svc.list': entries });
    expect(out.split('\n').slice(3, -1)).toEqual([
      'ICMP 10.0.0.100:0 rr',
      'MATCH tcp,from=192.168.100.0-192.168.100.254:0-0,oif=dpdk1 rr',
      'MATCH icmp,to=1.0.0.0-2.0.0.0:0-0,iif=dpdk0 rr',
      '  -> 5.5.5.5:0                    SNAT    1      0          0         ',
    ]);
    const names = (await ipvsadm('-G', { 'laddr.list': [{ svc: entries[0]!.svc, laddrs: [] }] })).out;
    expect(names).toContain('MATCH tcp,from=192.168.100.0-192.168.100.254:0-0,oif=dpdk1 0');
  });

  it('are saved as lines that restore them', async () => {
    const { out } = await ipvsadm('-S', {
      'svc.list': entries,
      'laddr.list': [],
      'timeout.get': { set: { tcp: 0, tcpFin: 0, udp: 0 } },
    });
    expect(out).toBe(
      '-A -q 10.0.0.100 -s rr\n' +
        `-A -H ${MATCH} -s rr\n` +
        '-A -H proto=icmp,dst-range=1.0.0.0-2.0.0.0,iif=dpdk0 -s rr\n' +
        '-a -H proto=icmp,dst-range=1.0.0.0-2.0.0.0,iif=dpdk0 -r 5.5.5.5:0 -J -w 1\n',
    );
    const { code, calls } = await run(main, ['-R'], { stdin: out });
    expect(code).toBe(0);
    expect(calls.slice(0, 3).map((c) => (c.params as { svc: unknown }).svc)).toEqual([
      icmpSvc,
      entries[0]!.svc,
      entries[1]!.svc,
    ]);
  });

  it('SCTP has a long option only, in commands, lists and saved lines', async () => {
    const svc = { proto: 'sctp', addr: '10.0.0.100', port: 3868 } as const;
    expect((await ipvsadm('-A --sctp-service 10.0.0.100:3868 -s rr')).calls[0]!.params).toEqual({
      svc,
      scheduler: 'rr',
    });
    const entry = { ...entries[1]!, svc };
    expect((await ipvsadm('-ln', { ...listing, 'svc.list': [entry] })).out).toContain(
      '\nSCTP 10.0.0.100:3868 rr\n',
    );
    const { out } = await ipvsadm('-S', {
      'svc.list': [entry],
      'laddr.list': [],
      'timeout.get': { set: { tcp: 0, tcpFin: 0, udp: 0 } },
    });
    expect(out.split('\n')[0]).toBe('-A --sctp-service 10.0.0.100:3868 -s rr');
    const { code, calls } = await run(main, ['-R'], { stdin: out });
    expect(code).toBe(0);
    expect((calls[0]!.params as { svc: unknown }).svc).toEqual(svc);
  });
});
