/** Black and white lists, byte for byte on both paths (see fixtures.ts): established connections feel them at once. */
import type { Command, CommandInput } from '../../src/control/schema.js';
import { CLIENT, command, OTHER, RESET, Scenery } from './feature-fixtures.js';
import type { Fixture, Step } from './fixtures.js';

const tcp = new Scenery('tcp');
const udp = new Scenery('udp');

const then = (c: Command): Step => ({ command: c, out: [] });
const add = (o: CommandInput<'acl.add'>): Step => then(command('acl.add', o));
const del = (o: CommandInput<'acl.del'>): Step => then(command('acl.del', o));
/** The same step when nobody gets the frame. */
const cut = (s: Step): Step => ({ ...s, out: [] });

/** Both clients are connected: CLIENT with the first real server, OTHER with the second. */
const both = [...tcp.open(CLIENT, 1, 0), ...tcp.open(OTHER, 2, 1)];
const mine = tcp.in(CLIENT, 1, 0, { flags: 'PA', seq: 1009, ack: 9007, data: 'more' });
const toMe = tcp.back(CLIENT, 1, 0, { flags: 'PA', seq: 9007, ack: 1009, data: 'more' });
const others = tcp.in(OTHER, 2, 1, { flags: 'PA', seq: 1009, ack: 9007, data: 'more' });
const toOther = tcp.back(OTHER, 2, 1, { flags: 'PA', seq: 9007, ack: 1009, data: 'more' });

export const ACL_FIXTURES: readonly Fixture[] = [
  tcp.fixture(
    'black list of a service: an established connection is cut in both directions at once, others go on, and it heals',
    [
      ...both,
      add({ svc: tcp.svc, list: 'black', entries: [`${CLIENT}-192.168.100.4`] }),
      cut(mine),
      cut(toMe),
      others,
      toOther,
      tcp.refused(CLIENT, 3),
      del({ svc: tcp.svc, list: 'black', entries: [`${CLIENT}-192.168.100.4`] }),
      mine,
      toMe,
    ],
    { drops: { ACL_BLACKLIST: 3 }, open: 2 },
  ),
  tcp.fixture(
    'white list of a service: whoever is not on it is cut off at once',
    [
      ...both,
      add({ svc: tcp.svc, list: 'white', entries: [OTHER] }),
      cut(mine),
      cut(toMe),
      others,
      toOther,
      tcp.refused(CLIENT, 3),
    ],
    { drops: { ACL_WHITELIST: 3 }, open: 2 },
  ),
  tcp.fixture(
    'global lists: all sources but real servers, and what the longer prefix of the white list lets through',
    [
      ...both,
      add({ list: 'black', entries: ['192.168.100.0/24'] }),
      add({ list: 'white', entries: ['192.168.100.4/31'] }),
      cut(mine),
      cut(toMe),
      others,
      toOther,
      tcp.refused(CLIENT, 3),
    ],
    { drops: { ACL_BLACKLIST: 3 }, open: 2 },
  ),
  ...[tcp.svc, undefined].map((svc) =>
    tcp.fixture(
      `${svc === undefined ? 'global black list' : 'black list of a service'}: when an established connection expires, its client is not told`,
      [
        ...tcp.open(CLIENT, 1, 0),
        add({ svc, list: 'black', entries: [CLIENT] }),
        { wait: 91_000, out: tcp.in(CLIENT, 1, 0, RESET(1009, 9007)).out },
      ],
      {},
    ),
  ),
  tcp.fixture(
    'global black list: a wrong IP option of a listed source is not reported to it',
    [
      add({ list: 'black', entries: [CLIENT] }),
      tcp.in(CLIENT, 1, -1, { flags: 'S', seq: 1, options: [1, 68, 1, 0] }),
    ],
    { drops: { ACL_BLACKLIST: 1 } },
  ),
  udp.fixture(
    'black list of another service of the same address is not asked',
    [
      then(command('svc.add', { svc: tcp.svc, scheduler: 'rr' })),
      add({ svc: tcp.svc, list: 'black', entries: ['0.0.0.0/0'] }),
      udp.in(CLIENT, 1, 0, { data: 'question' }),
      udp.back(CLIENT, 1, 0, { data: 'answer' }),
      udp.in(CLIENT, 1, 0, { data: 'again' }),
      tcp.refused(CLIENT, 1),
    ],
    { drops: { ACL_BLACKLIST: 1 }, open: 1 },
  ),
];
