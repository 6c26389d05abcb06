/** Results as a table: for the terminal, and as Markdown for docs/performance.md. */
import Table from 'cli-table3';
import { short } from './numbers.js';
import { reached, type Run } from './results.js';

const HEAD = ['scenario', 'what', 'path', 'flows', 'Mpps', 'ns/packet', 'loss %', 'share', 'value', 'target'];

export function count(n: number): string {
  if (n >= 1e6 && n % 1e6 === 0) return `${n / 1e6} M`;
  if (n >= 1e3 && n % 1e3 === 0) return `${n / 1e3} k`;
  return String(n);
}

/** Grouped digits for big numbers, three significant ones for small. */
const figure = (n: number): string => (n >= 1000 ? Math.round(n).toLocaleString('en') : short(n));

const span = (median: string, min: number, max: number): string => `${median} (${short(min)}–${short(max)})`;

/** The cells of a run, in the order of the head. */
export function cells(r: Run): string[] {
  const packets = r.mpps > 0;
  const share =
    r.ratio === null
      ? '-'
      : `${r.ratio.toFixed(3)}${r.ratioMin === undefined ? '' : ` (${r.ratioMin.toFixed(3)}–${r.ratioMax!.toFixed(3)})`}`;
  const ok = reached(r);
  const target =
    r.target === undefined
      ? '-'
      : `${r.target.sign} ${r.target.of === 'ratio' ? r.target.bound : figure(r.target.bound)} ${ok === undefined ? '' : ok ? 'reached' : 'missed'}`.trim();
  const value =
    r.value === undefined
      ? '-'
      : `${figure(r.value)} ${r.unit ?? ''}${r.max > r.min ? ` (${figure(r.min)}–${figure(r.max)})` : ''}`.trim();
  return [
    r.name,
    r.mode,
    r.path,
    r.flows === 0 ? '-' : count(r.flows),
    packets ? (r.max > 0 && r.value === undefined ? span(short(r.mpps), r.min, r.max) : short(r.mpps)) : '-',
    r.nsPerPacket > 0 ? short(r.nsPerPacket) : '-',
    packets ? (r.lossPct < 0.001 ? '0' : short(r.lossPct)) : '-',
    share,
    value,
    target,
  ];
}

export function terminalTable(runs: readonly Run[]): string {
  const table = new Table({ head: HEAD, style: { head: [], border: [], compact: true } });
  for (const r of runs) table.push(cells(r));
  return table.toString();
}

export function markdownTable(runs: readonly Run[]): string {
  const line = (row: readonly string[]): string => `| ${row.join(' | ')} |`;
  return [line(HEAD), line(HEAD.map(() => '---')), ...runs.map((r) => line(cells(r)))].join('\n');
}

/** Replaces what stands between two markers. @throws Error when they are not there */
export function between(text: string, marker: string, content: string): string {
  const begin = `<!-- ${marker}: begin -->`;
  const end = `<!-- ${marker}: end -->`;
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) throw new Error(`no '${begin}' before '${end}'`);
  return `${text.slice(0, from + begin.length)}\n${content}\n${text.slice(to)}`;
}
