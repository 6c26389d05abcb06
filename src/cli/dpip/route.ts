/** `dpip route`: the routing table. */
import type { RouteEntry } from '../../control/results.js';
import { flag } from '../grammar.js';
import { compact, device, integer, ipv4, oneOf, prefix, type Prefix } from '../values.js';
import { request, verb, type DpipObject } from './command.js';

const subject = {
  value: 'DEST',
  parse: (text: string): Prefix => (text === 'default' ? { addr: '0.0.0.0', plen: 0 } : prefix(text)),
  doc: 'ADDR[/PLEN] (PLEN 32 when left out) or default',
  required: 'no destination specified.',
};

const attributes = {
  via: { value: 'ADDR', parse: ipv4, doc: 'gateway' },
  dev: { value: 'DEV', parse: device, doc: 'output device; found through the gateway when left out' },
  src: { value: 'ADDR', parse: ipv4, doc: 'source address for packets of our own' },
  mtu: { value: 'N', parse: integer(0, 9000), doc: 'largest packet on this route, 0 = that of the device' },
  metric: { value: 'N', parse: integer(0, 0xffffffff), doc: 'stored and shown' },
  tos: { value: 'N', parse: integer(0, 255), doc: 'type of service' },
  scope: {
    value: 'SCOPE',
    parse: oneOf('host', 'kni_host', 'link', 'global'),
    doc: 'host, kni_host, link or global',
  },
};
const local = { local: flag('a route of the local table') };

const dst = (prefix: Prefix): { dst: string; plen: number } => ({
  dst: prefix.addr,
  plen: prefix.plen ?? 32,
});

export const route: DpipObject = {
  name: 'route',
  doc: 'the routing table',
  verbs: [
    verb({
      name: 'add',
      doc: 'adds a route',
      grammar: { subject, words: { ...attributes, ...local } },
      request: ({ subject, values }) => request('route.add', compact({ ...dst(subject!), ...values })),
    }),
    verb({
      name: 'show',
      doc: 'lists routes',
      grammar: { words: {} },
      show: async (_, { client, print }) => {
        print(await client.call('route.list', {}), (routes) => routes.map(formatRoute).join(''));
      },
    }),
    verb({
      name: 'del',
      doc: 'removes a route; what is given beyond DEST, via and dev need not match',
      grammar: { subject, words: { ...attributes, ...local } },
      request: ({ subject, values }) =>
        request(
          'route.del',
          compact({ ...dst(subject!), via: values.via, dev: values.dev, local: values.local }),
        ),
    }),
    verb({
      name: 'set',
      doc: 'changes a route',
      grammar: { subject, words: attributes },
      request: ({ subject, values }) => request('route.set', compact({ ...dst(subject!), ...values })),
    }),
    verb({
      name: 'flush',
      doc: 'removes the routes of a device',
      grammar: {
        words: { dev: { value: 'DEV', parse: device, doc: 'the device', required: 'no device specified.' } },
      },
      request: ({ values }) => request('route.flush', { dev: values.dev! }),
    }),
  ],
};

/** One line; the blank at its end is the original's place for flags. */
export function formatRoute(r: RouteEntry): string {
  return (
    `${r.family} ${r.dst}/${r.plen} via ${r.via} src ${r.src} dev ${r.dev} mtu ${r.mtu} tos ${r.tos}` +
    ` scope ${r.scope} metric ${r.metric} proto ${r.proto} \n`
  );
}
