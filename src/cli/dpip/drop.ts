/** `dpip drop`: why packets ended other than by being sent. */
import type { DropEntry } from '../../control/results.js';
import { verb, type DpipObject } from './command.js';

export const drop: DpipObject = {
  name: 'drop',
  doc: 'packets by the reason why they were dropped',
  verbs: [
    verb({
      name: 'show',
      doc: 'lists the reasons that occurred; -v all of them, and every lcore',
      grammar: { words: {} },
      show: async (_, { client, options, print }) => {
        const all = await client.call('drop.list', {});
        const list = options.verbose ? all : all.filter((d) => d.count > 0);
        print(list, (drops) => formatDrops(drops, options.verbose));
      },
    }),
  ],
};

/** `COUNT NAME text (hint)`, most frequent first; lcores are summed unless `perLcore`. */
export function formatDrops(drops: readonly DropEntry[], perLcore: boolean): string {
  const rows = perLcore ? [...drops] : sumOverLcores(drops);
  if (rows.length === 0) return 'nothing dropped\n';
  rows.sort((a, b) => b.count - a.count || a.name.localeCompare(b.name) || a.lcore - b.lcore);
  const count = Math.max(...rows.map((d) => String(d.count).length));
  const name = Math.max(...rows.map((d) => d.name.length));
  return rows
    .map((d) => {
      const lcore = perLcore ? `[${String(d.lcore).padStart(2, '0')}] ` : '';
      return `${lcore}${String(d.count).padStart(count)} ${d.name.padEnd(name)}  ${d.text} (${d.hint})\n`;
    })
    .join('');
}

function sumOverLcores(drops: readonly DropEntry[]): DropEntry[] {
  const sums = new Map<string, DropEntry>();
  for (const d of drops) {
    const sum = sums.get(d.name);
    if (sum) sum.count += d.count;
    else sums.set(d.name, { ...d });
  }
  return [...sums.values()];
}
