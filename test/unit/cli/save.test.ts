/** `ipvsadm -S | ipvsadm -R`: from the tool through schema and model and back. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SvcEntry } from '../../../src/control/results.js';
import {
  COMMANDS,
  QUERIES,
  type Command,
  type CommandName,
  type DestOptions,
  type QueryName,
  type SvcOptions,
} from '../../../src/control/schema.js';
import { sortServices } from '../../../src/cli/ipvsadm/format.js';
import { main } from '../../../src/cli/ipvsadm/main.js';
import { DpvsError } from '../../../src/core/errors.js';
import { CONN4, LCORE_BLOCK } from '../../../src/core/layout.js';
import type { AclPage } from '../../../src/control/results.js';
import { AccessLists, type AclCommand } from '../../../src/ipvs/acl/lists.js';
import { verdictBytes, Verdicts } from '../../../src/ipvs/acl/verdicts.js';
import { VerdictWriter } from '../../../src/ipvs/acl/writer.js';
import { SCHEDULERS } from '../../../src/ipvs/sched/index.js';
import { XMITS } from '../../../src/ipvs/xmit/index.js';
import { Replica } from '../../../src/lcore/replica.js';
import { Queries, type QueriesOptions } from '../../../src/master/queries.js';
import { macOf } from '../../support/lab.js';
import { run, words, type Outcome } from './support.js';

/** The control plane of a daemon: validates and applies commands, answers queries. Nothing is counted. */
class Master {
  private readonly replica = new Replica([{ name: 'dpdk0', portId: 0, mac: macOf(0), mtu: 1500 }]);
  private readonly lists = new AccessLists(
    this.replica.services,
    new VerdictWriter(new Verdicts(new SharedArrayBuffer(verdictBytes(256)))),
  );
  private readonly queries = new Queries({
    lists: this.lists,
    replica: this.replica,
    native: { dpdkVersion: () => '' },
    tasks: [
      {
        id: 1,
        config: { tcpTimeoutsMs: {}, udpTimeoutsMs: {} },
        block: new SharedArrayBuffer(LCORE_BLOCK.size),
        conns: new SharedArrayBuffer(CONN4.size * 2),
      },
    ],
    limits: { isFull: () => false },
    clients: { of: () => 0 },
    rates: {
      gauge: () => 0,
      counters: () => ({}),
      svcCounters: () => ({}),
      rates: () => ({}),
      svcRates: () => ({}),
      svcDrops: () => ({}),
      svcEvents: () => ({}),
    },
  } as unknown as QueriesOptions);

  apply(op: CommandName, params: unknown): void {
    const parsed = COMMANDS[op].parse(params);
    const command = { op, ...parsed } as Command;
    if (op.startsWith('acl.')) this.lists.apply(command as AclCommand);
    else this.replica.apply(command);
  }

  ask(name: QueryName, params: unknown): Promise<unknown> {
    return this.queries.ask(name, QUERIES[name].parse(params));
  }

  ipvsadm(line: string, stdin = ''): Promise<Outcome> {
    const commands = Object.keys(COMMANDS).map((op) => [
      op,
      (p: unknown) => this.apply(op as CommandName, p),
    ]);
    const queries = Object.keys(QUERIES).map((q) => [q, (p: unknown) => this.ask(q as QueryName, p)]);
    return run(main, words(line), { answers: Object.fromEntries([...commands, ...queries]), stdin });
  }

  /** Everything that `-S` is to keep, in an order of its own. */
  async state(): Promise<unknown[]> {
    const byText = (list: unknown): string[] => (list as unknown[]).map((e) => JSON.stringify(e)).sort();
    return [
      sortServices((await this.ask('svc.list', {})) as SvcEntry[]),
      byText(await this.ask('laddr.list', {})),
      await this.ask('timeout.get', {}),
      byText(((await this.ask('acl.list', { limit: 10_000 })) as AclPage).entries),
    ];
  }
}

const sometimes = <T extends object>(options: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record(options, { requiredKeys: [] });

const seconds = fc.integer({ min: 0, max: 31535999 });

/** Any value of any option: whoever adds an option adds its line here. */
const SVC: { [K in keyof SvcOptions]: fc.Arbitrary<SvcOptions[K]> } = {
  connTimeout: seconds,
  persistent: fc.integer({ min: 0, max: 31 * 86400 }),
  netmask: fc.constantFrom('255.255.255.255', '255.255.0.0', '0.0.0.0'),
  onePacket: fc.boolean(),
  synproxy: fc.boolean(),
  expireQuiescent: fc.boolean(),
  // Most services cannot have it.
  proxyProtocol: fc.oneof(
    { weight: 9, arbitrary: fc.constant('disable' as const) },
    { weight: 1, arbitrary: fc.constantFrom('v1', 'v2', 'v1-insecure', 'v2-insecure') },
  ),
  bps: fc.integer({ min: 0, max: 1e12 }),
  limitProportion: fc.integer({ min: 0, max: 100 }),
  srcRate: fc.constantFrom(0, 1, 1e6),
  srcBurst: fc.constantFrom(0, 7),
  srcConns: fc.constantFrom(0, 100),
  srcPlen: fc.constantFrom(32, 24, 0),
  destCheck: fc.record({
    passive: fc.constantFrom(
      null,
      { downRetry: 2, downWait: 7 },
      { downRetry: 1, downWait: 3, restore: { upConfirm: 1, min: 5, max: 3600 } },
      { downRetry: 65535, downWait: 86400, restore: { upConfirm: 3, min: 1, max: 1 } },
    ),
    external: fc.subarray<'tcp' | 'udp' | 'sctp' | 'ping'>(['tcp', 'udp', 'sctp', 'ping']),
  }),
};
const threshold = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.constantFrom(1000, 0xffffffff));
const DEST: { [K in keyof DestOptions]: fc.Arbitrary<DestOptions[K]> } = {
  weight: fc.oneof(fc.constantFrom(0, 1, 65535), fc.integer({ min: 0, max: 65535 })),
  maxConn: threshold,
  minConn: threshold,
  inhibited: fc.boolean(),
  // What the passive check has found is not saved: it will find it again.
  checkInhibited: fc.constant(false),
};

const port = fc.constantFrom(80, 65535, 0);
const range = (from: string, to = from, fromPort = 0, toPort = 65535) => ({ from, to, fromPort, toPort });
const addr = fc.constantFrom('9.0.0.1', '10.0.0.2');
const svc = fc.oneof(
  { weight: 6, arbitrary: fc.record({ proto: fc.constantFrom('tcp', 'udp'), addr, port }) },
  { weight: 1, arbitrary: fc.record({ proto: fc.constant('icmp'), addr, port: fc.constant(0) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      proto: fc.constantFrom('tcp', 'icmp'),
      match: sometimes({
        src: fc.constantFrom(range('10.0.0.0', '10.0.0.255'), range('10.0.0.7')),
        dst: fc.constantFrom(
          range('1.2.3.4', '1.2.3.9', 80, 443),
          range('0.0.0.0', '255.255.255.255', 53, 53),
        ),
        iif: fc.constant('dpdk0'),
      }),
    }),
  },
);
const dest = fc.record({ addr: fc.constantFrom('172.16.0.1', '172.16.0.2'), port });
const scheduler = fc
  .constantFrom(...SCHEDULERS)
  .chain((s) => fc.record({ scheduler: fc.constant(s.name), schedFlags: fc.subarray([...(s.flags ?? [])]) }));
const together = (...parts: fc.Arbitrary<object>[]): fc.Arbitrary<object> =>
  fc.tuple(...parts).map((p) => Object.assign({}, ...p) as object);
const op = (name: CommandName, params: fc.Arbitrary<object>): fc.Arbitrary<[CommandName, object]> =>
  params.map((p) => [name, p]);

const fwd = fc.constantFrom(...XMITS.map((x) => x.name));
const someService = fc.record({ svc });
const someDest = fc
  .record({ svc, dest, fwd })
  // without translation the packet keeps the service's port
  .map((d) =>
    d.fwd === 'dr' || d.fwd === 'tunnel'
      ? { ...d, dest: { ...d.dest, port: 'port' in d.svc ? d.svc.port : 0 } }
      : d,
  );
const commands = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: op('svc.add', together(someService, scheduler, sometimes(SVC))) },
    { weight: 1, arbitrary: op('svc.edit', together(someService, scheduler, sometimes(SVC))) },
    { weight: 1, arbitrary: op('svc.edit', together(someService, sometimes(SVC))) },
    { weight: 8, arbitrary: op('dest.add', together(someDest, sometimes(DEST))) },
    { weight: 2, arbitrary: op('dest.edit', together(someDest, sometimes(DEST))) },
    {
      weight: 3,
      arbitrary: op(
        'laddr.add',
        fc.record({ svc, addr: fc.constantFrom('10.9.9.1', '10.9.9.2'), dev: fc.constant('dpdk0') }),
      ),
    },
    { weight: 1, arbitrary: op('timeout.set', fc.record({ tcp: seconds, tcpFin: seconds, udp: seconds })) },
  ),
  { minLength: 30, maxLength: 60 },
);

describe('text saved by the ipvsadm of LVS', () => {
  /** As `ipvsadm -Sn` of LVS writes it: a service, then its real servers. */
  const SAVED = [
    '-A -t 207.175.44.110:80 -s rr',
    '-a -t 207.175.44.110:80 -r 192.168.10.1:80 -m -w 1',
    '-a -t 207.175.44.110:80 -r 192.168.10.2:8080 -m -w 65535 -x 100 -y 50',
    '-A -t 207.175.44.110:443 -s sh -b sh-fallback,sh-port',
    '-a -t 207.175.44.110:443 -r 192.168.10.1:443 -g -w 0',
    '-A -t 10.0.0.1:80 -s wlc -p 360 -M 255.255.255.0',
    '-A -t 10.0.0.1:0 -s wrr -p 600',
    '-a -t 10.0.0.1:0 -r 10.0.0.9:0 -g -w 1',
    '-A -u 207.175.44.110:53 -s mh -b mh-port',
    '-a -u 207.175.44.110:53 -r 10.2.0.1:53 -i -w 3 --tun-type ipip',
    '',
  ];

  it('restores to the same services', async () => {
    const master = new Master();
    expect(await master.ipvsadm('-R', SAVED.join('\n'))).toMatchObject({ code: 0, err: '' });
    const same = SAVED.map((l) => l.replace(' --tun-type ipip', '').replace(' -b ', ' --sched-flags '));
    expect((await master.ipvsadm('-Sn')).out.split('\n').sort()).toEqual(same.sort());
  });

  it('changes nothing when a line has what is not there, and says which and why', async () => {
    const master = new Master();
    const text = [
      '-A -f 1 -s rr',
      '-a -f 1 -r 192.168.10.1:0 -m -w 1',
      '-A -t www.example.com:http -s rr',
      '-a -t 10.0.0.1:80 -r 10.0.0.2:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum',
      '-A -t 10.0.0.1:80 -s rr',
    ].join('\n');
    const { code, err } = await master.ipvsadm('-R', text);
    expect(code).toBe(2);
    expect(err.split('\n')).toEqual([
      "line 1: '--fwmark-service' is not supported: nothing marks packets here; name addresses and ports (-t, -u, -H)",
      "line 2: '--fwmark-service' is not supported: nothing marks packets here; name addresses and ports (-t, -u, -H)",
      'line 3: illegal virtual server address[:port] specified: www.example.com:http (names are not resolved: ipvsadm -Sn saves numbers)',
      "line 4: '--tun-port' is not supported: tunnels are IPIP",
      '',
    ]);
    expect(await master.ask('svc.list', {})).toEqual([]);
  });
});

describe('save and restore', () => {
  it('any state comes back equal', { timeout: 60_000 }, async () => {
    const seen = { services: 0, dests: 0, laddrs: 0 };
    await fc.assert(
      fc.asyncProperty(commands, async (list) => {
        const before = new Master();
        for (const [name, params] of list) {
          try {
            before.apply(name, params);
          } catch (e) {
            // What the model refuses changes nothing.
            if (!(e instanceof DpvsError)) throw e;
          }
        }
        const saved = await before.ipvsadm('-Sn');
        const after = new Master();
        expect(await after.ipvsadm('-R', saved.out)).toMatchObject({ code: 0, err: '' });
        expect(await after.state()).toEqual(await before.state());
        for (const line of saved.out.split('\n')) {
          if (line.startsWith('-A')) seen.services++;
          if (line.startsWith('-a')) seen.dests++;
          if (line.startsWith('-P')) seen.laddrs++;
        }
      }),
      { numRuns: 150 },
    );
    // or else it would say little
    expect(Math.min(...Object.values(seen))).toBeGreaterThan(50);
  });
});

it('-S keeps black and white lists, of services and of all sources, however long', async () => {
  const master = new Master();
  await master.ipvsadm('-A -t 9.0.0.1:80');
  await master.ipvsadm('-U -t 9.0.0.1:80 -k 10.0.0.0/8,11.0.0.1-11.0.0.3');
  await master.ipvsadm('-O -t 9.0.0.1:80 -2 0.0.0.0/0');
  const many = Array.from({ length: 600 }, (_, i) => `12.0.${i >> 8}.${i & 255}`);
  await master.ipvsadm(`-U -k ${many.join(',')}`);
  const saved = (await master.ipvsadm('-S')).out;
  expect(saved).toContain('-U -t 9.0.0.1:80 -k 10.0.0.0/8,11.0.0.1-11.0.0.3\n');
  expect(saved).toContain('-O -t 9.0.0.1:80 -2 0.0.0.0/0\n');
  const other = new Master();
  expect((await other.ipvsadm('-R', saved)).err).toBe('');
  expect(await other.state()).toEqual(await master.state());
});
