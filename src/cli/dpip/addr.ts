/** `dpip addr`: addresses of devices. */
import type { Addr } from '../../control/results.js';
import { UsageError } from '../errors.js';
import { flag, type Slot } from '../grammar.js';
import { compact, device, integer, ipv4, oneOf, prefix } from '../values.js';
import { request, verb, type DpipObject } from './command.js';

const NO_DEVICE = 'no device specified.';
const subject = {
  value: 'ADDR[/PLEN]',
  parse: prefix,
  doc: 'the address; PLEN 32 when left out',
  required: 'no address specified.',
};
const dev = { value: 'DEV', parse: device, doc: 'the device', required: NO_DEVICE };

const lifetime = (text: string): number => {
  if (text === 'forever') return 0;
  try {
    return integer(0, 0xffffffff)(text);
  } catch {
    throw new UsageError(`'${text}' is neither forever nor a number of seconds`);
  }
};

const attributes = {
  broadcast: { value: 'ADDR', parse: ipv4, doc: 'broadcast address' },
  dev,
  valid_lft: { value: 'LFT', parse: lifetime, doc: 'how long the address lives: forever or SECONDS' },
  prefered_lft: {
    value: 'LFT',
    parse: lifetime,
    aliases: ['preferred_lft'],
    doc: 'accepted, without effect: addresses are preferred as long as they live',
  } satisfies Slot<number>,
  scope: { value: 'SCOPE', parse: oneOf('host', 'link', 'global'), doc: 'host, link or global' },
  sapool: flag('give the address a pool of local ports (a local address of Full-NAT)'),
};

export const addr: DpipObject = {
  name: 'addr',
  doc: 'addresses of devices',
  verbs: [
    verb({
      name: 'add',
      doc: 'adds an address and the routes that follow from it',
      grammar: { subject, words: attributes },
      request: ({ subject, values }) =>
        request(
          'addr.add',
          compact({
            dev: values.dev!,
            addr: subject!.addr,
            plen: subject!.plen,
            broadcast: values.broadcast,
            scope: values.scope,
            validLft: values.valid_lft,
            sapool: values.sapool,
          }),
        ),
    }),
    verb({
      name: 'show',
      doc: 'lists addresses; -s adds the port pools, -v shows every lcore',
      grammar: { words: { dev: { value: 'DEV', parse: device, doc: 'of this device only' } } },
      show: async ({ values }, { client, options, print }) => {
        const list = await client.call('addr.list', compact({ dev: values.dev, perLcore: options.verbose }));
        print(list, (addrs) => addrs.map((a) => formatAddr(a, options)).join(''));
      },
    }),
    verb({
      name: 'del',
      doc: 'removes an address',
      grammar: { subject, words: { dev } },
      request: ({ subject, values }) =>
        request('addr.del', compact({ dev: values.dev!, addr: subject!.addr, plen: subject!.plen })),
    }),
    verb({
      name: 'set',
      doc: 'changes attributes of an address',
      grammar: { subject, words: attributes },
      request: ({ subject, values }) =>
        request(
          'addr.set',
          compact({
            dev: values.dev!,
            addr: subject!.addr,
            plen: subject!.plen,
            broadcast: values.broadcast,
            scope: values.scope,
            validLft: values.valid_lft,
            sapool: values.sapool,
          }),
        ),
    }),
    verb({
      name: 'flush',
      doc: 'removes all addresses of a device',
      grammar: { words: { dev } },
      request: ({ values }) => request('addr.flush', { dev: values.dev! }),
    }),
  ],
};

/** Two lines: the address, then its broadcast address, lifetime and port pool. */
export function formatAddr(a: Addr, { stats, verbose }: { stats: boolean; verbose: boolean }): string {
  const lcore = a.lcore === undefined ? '' : `[${String(a.lcore).padStart(2, '0')}] `;
  const broadcast = a.broadcast === undefined ? '' : `broadcast ${a.broadcast}`;
  const lft = a.validLft === 0 ? 'forever' : `${a.validLft}sec`;
  const pool =
    a.sapool && (stats || verbose) ? ` sa_used ${a.saUsed} sa_free ${a.saFree} sa_miss ${a.saMiss}` : '';
  return (
    `${lcore}${a.family} ${a.addr}/${a.plen} scope ${a.scope} ${a.dev}\n` +
    `    ${broadcast} valid_lft ${lft} preferred_lft ${lft}${pool}\n`
  );
}
