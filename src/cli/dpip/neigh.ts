/** `dpip neigh`: the ARP tables, one line per entry and lcore. */
import type { NeighEntry } from '../../control/results.js';
import { compact, device, ipv4, mac } from '../values.js';
import { request, verb, type DpipObject } from './command.js';

const subject = { value: 'ADDR', parse: ipv4, doc: 'the neighbour', required: 'no address specified.' };
const dev = { value: 'DEV', parse: device, doc: 'the device', required: 'no device specified.' };
const anyDev = { dev: { value: 'DEV', parse: device, doc: 'of this device only' } };
const lladdr = { value: 'MAC', parse: mac, doc: 'its MAC address' };

export const neigh: DpipObject = {
  name: 'neigh',
  doc: 'neighbours (ARP)',
  verbs: [
    verb({
      name: 'add',
      doc: 'adds a static entry',
      grammar: { subject, words: { lladdr: { ...lladdr, required: 'no lladdr specified.' }, dev } },
      request: ({ subject, values }) =>
        request('neigh.add', { dev: values.dev!, addr: subject!, lladdr: values.lladdr! }),
    }),
    verb({
      name: 'show',
      doc: 'lists entries',
      grammar: { words: anyDev },
      show: async ({ values }, { client, print }) => {
        print(await client.call('neigh.list', compact(values)), (list) => list.map(formatNeigh).join(''));
      },
    }),
    verb({
      name: 'del',
      doc: 'removes an entry',
      grammar: { subject, words: { lladdr, dev } },
      request: ({ subject, values }) => request('neigh.del', { dev: values.dev!, addr: subject! }),
    }),
    verb({
      name: 'flush',
      doc: 'removes all entries, or those of one device',
      grammar: { words: anyDev },
      request: ({ values }) => request('neigh.flush', compact(values)),
    }),
  ],
};

/** Spelling and spacing are the original's: scripts cut these lines by column. */
export function formatNeigh(n: NeighEntry): string {
  const ip = `ip: ${n.addr.padEnd(48)} `;
  const state = `state: ${n.state.padEnd(12)}`;
  return n.mac === undefined
    ? `${ip}mac:incomplate                       ${state}   dev: ${n.dev}  core: ${n.core}  \n`
    : `${ip}mac: ${n.mac}   ${state}  dev: ${n.dev}  core: ${n.core}  ${n.static ? 'static' : ''}\n`;
}
