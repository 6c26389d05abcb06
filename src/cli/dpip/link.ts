/** `dpip link`: devices and the CPUs that serve them. */
import type { Lcore, Link } from '../../control/results.js';
import { DpvsError } from '../../core/errors.js';
import type { StatsReader } from '../../core/stats.js';
import { UsageError } from '../errors.js';
import { flag } from '../grammar.js';
import { compact, device, integer, mac, onOff, oneOf } from '../values.js';
import { request, verb, type Context, type DpipObject } from './command.js';
import {
  formatDetail,
  formatGrid,
  formatLcores,
  formatLink,
  formatVelocity,
  linkBuffers,
  linkCounters,
  perSecond,
} from './link-format.js';

const CLEAR_SCREEN = '\x1b[H\x1b[2J';

export const link: DpipObject = {
  name: 'link',
  doc: 'devices, and CPUs',
  verbs: [
    verb({
      name: 'show',
      doc:
        'lists devices or CPUs; -s counters, -s -i SEC -c N what happens per second, -v driver, steering, queues, ' +
        'extended statistics',
      grammar: {
        subject: { value: 'DEV|cpu|cpuN', parse: device, doc: 'one device, all CPUs or one CPU' },
        words: { status: flag('state of a bonding device (not supported yet)') },
      },
      show: async ({ subject, values }, context) => {
        if (values.status) throw new UsageError('bonding is not supported yet');
        if (subject !== undefined && /^cpu\d*$/.test(subject)) await showCpus(subject, context);
        else await showLinks(subject, context);
      },
    }),
    verb({
      name: 'set',
      doc: 'changes a device',
      grammar: {
        subject: { value: 'DEV', parse: device, doc: 'the device', required: 'no device specified.' },
        words: {
          promisc: { value: 'on|off', parse: onOff, doc: 'receive frames for other hosts' },
          allmulticast: { value: 'on|off', parse: onOff, doc: 'receive all multicast frames' },
          forward2kni: { value: 'on|off', parse: onOff, doc: 'copy every received frame to the kernel' },
          link: { value: 'up|down', parse: oneOf('up', 'down'), doc: 'administrative state' },
          addr: { value: 'MAC', parse: mac, doc: 'MAC address' },
          mtu: { value: 'N', parse: integer(68, 9000), doc: 'largest packet in bytes' },
        },
        later: [
          'tc-egress',
          'tc-ingress',
          'lldp',
          'bond-mode',
          'bond-slave',
          'bond-primary',
          'bond-xmit-policy',
          'bond-monitor-interval',
          'bond-link-up-prop',
          'bond-link-down-prop',
        ],
        unknown: (word) => `invalid parameter name '${word}'`,
      },
      request: ({ subject, values }) => {
        const { link: state, ...rest } = values;
        if (Object.keys(values).length === 0) throw new UsageError('nothing to set');
        return request(
          'link.set',
          compact({ dev: subject!, ...rest, up: state === undefined ? undefined : state === 'up' }),
        );
      },
    }),
  ],
};

async function showLinks(dev: string | undefined, context: Context): Promise<void> {
  const { client, options } = context;
  const query = (): Promise<Link[]> => client.call('link.list', compact({ dev, verbose: options.verbose }));
  if (options.interval === undefined) {
    context.print(await query(), (links) =>
      links
        .map(
          (l) =>
            formatLink(l) +
            (options.stats ? formatGrid(linkCounters(l), 20) + formatGrid(linkBuffers(l), 20) : '') +
            formatDetail(l),
        )
        .join(''),
    );
    return;
  }
  await sample(context, query, (before, after, seconds) => {
    const old = new Map(before.map((l) => [l.name, l]));
    return after.map((l) => formatLink(l) + formatVelocity(old.get(l.name) ?? l, l, seconds)).join('');
  });
}

async function showCpus(subject: string, context: Context): Promise<void> {
  const { client, options } = context;
  const [lcores, drops] = await Promise.all([client.call('lcore.list', {}), client.call('drop.list', {})]);
  const chosen = subject === 'cpu' ? lcores : lcores.filter((l) => `cpu${l.cpu}` === subject);
  if (chosen.length === 0) {
    throw new DpvsError('NODEV', `no lcore runs on ${subject}`, 'dpip link show cpu lists them');
  }
  if (options.interval === undefined) {
    for (const l of chosen) {
      l.stats['dropped'] = drops
        .filter((d) => d.lcore === l.id && !d.done)
        .reduce((sum, d) => sum + d.count, 0);
    }
    context.print(chosen, (list) => formatLcores(list, options.stats));
    return;
  }
  // The counters come from shared memory: the daemon is not asked again.
  const { statsFile } = await client.call('info', {});
  const segment = context.io.segment(statsFile);
  const done = new Set(drops.filter((d) => d.done).map((d) => d.name));
  const live = async (): Promise<Lcore[]> =>
    chosen.map((l) => ({ ...l, stats: { ...segment.lcore(l.id), dropped: dropped(segment, l.id, done) } }));
  await sample(context, live, (before, after, seconds) => {
    const velocity = after.map((l) => {
      const old = before.find((b) => b.id === l.id)?.stats ?? {};
      const stats = Object.entries(l.stats).map(([k, v]) => [k, perSecond(old[k] ?? 0, v, seconds)] as const);
      return { ...l, stats: Object.fromEntries(stats) };
    });
    return formatLcores(velocity, true);
  });
}

/** Drops of an lcore; packets whose work was done (`done`: names of those reasons) are none. */
function dropped(segment: StatsReader, lcore: number, done: ReadonlySet<string>): number {
  const names = segment.dropNames;
  return segment.drops(lcore).reduce((sum, n, i) => sum + (done.has(names[i]!) ? 0 : n), 0);
}

/** Shows every `-i` seconds what changed, `-c` times or for ever. With -j: two samples and the seconds between. */
async function sample<T>(
  { io, options, print }: Context,
  query: () => Promise<T>,
  text: (before: T, after: T, seconds: number) => string,
): Promise<void> {
  let before = await query();
  let then = io.now();
  for (let n = 0; options.count === undefined || n < options.count; n++) {
    await io.sleep(options.interval! * 1000);
    const after = await query();
    const now = io.now();
    const seconds = Math.max((now - then) / 1000, 0.001);
    const old = before;
    print(
      { seconds, before, after },
      () => (options.color && io.tty ? CLEAR_SCREEN : '') + text(old, after, seconds),
    );
    before = after;
    then = now;
  }
}
