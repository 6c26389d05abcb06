/** `dpip estats`: extended statistics, what happened besides packets that were forwarded or dropped. */
import type { EventEntry } from '../../control/results.js';
import { verb, type DpipObject } from './command.js';

export const estats: DpipObject = {
  name: 'estats',
  doc: 'extended statistics: events of connections and defences',
  verbs: [
    verb({
      name: 'show',
      doc: 'lists the events that occurred; -v all of them, and every lcore',
      grammar: { words: {} },
      show: async (_, { client, options, print }) => {
        const all = await client.call('event.list', {});
        const list = options.verbose ? all : all.filter((e) => e.count > 0);
        print(list, (events) => formatEvents(events, options.verbose));
      },
    }),
  ],
};

/** `COUNT NAME text` in the order of the table; lcores are summed unless `perLcore`. */
export function formatEvents(events: readonly EventEntry[], perLcore: boolean): string {
  const rows = perLcore ? events : sumOverLcores(events);
  if (rows.length === 0) return 'nothing happened\n';
  const count = Math.max(...rows.map((e) => String(e.count).length));
  const name = Math.max(...rows.map((e) => e.name.length));
  return rows
    .map((e) => {
      const lcore = perLcore ? `[${String(e.lcore).padStart(2, '0')}] ` : '';
      return `${lcore}${String(e.count).padStart(count)} ${e.name.padEnd(name)}  ${e.text}\n`;
    })
    .join('');
}

function sumOverLcores(events: readonly EventEntry[]): EventEntry[] {
  const sums = new Map<string, EventEntry>();
  for (const e of events) {
    const sum = sums.get(e.name);
    if (sum) sum.count += e.count;
    else sums.set(e.name, { ...e });
  }
  return [...sums.values()];
}
