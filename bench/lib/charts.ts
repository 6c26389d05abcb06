/** The charts that the results give: file name and SVG. */
import type { Run } from './results.js';
import { type Bar, barChart } from './svg.js';

const series = (r: Run): string => (r.path === '-' ? r.mode : `dpvs, ${r.path}`);

export function charts(runs: readonly Run[]): [file: string, svg: string][] {
  const out: [string, string][] = [];
  const packets = runs.filter((r) => r.mpps > 0 && /^(udp|tcp)-/.test(r.name));
  if (packets.length > 0) {
    const bars = packets.map((r): Bar => ({
      label: `${r.name} ${series(r)}`,
      value: r.mpps,
      min: r.min,
      max: r.max,
      series: series(r),
    }));
    out.push(['packets.svg', barChart('Packets per CPU second of one lcore', 'Mpps', bars)]);
    const shares = packets
      .filter((r) => r.path !== '-' && r.ratio !== null)
      .map((r): Bar => {
        const target = r.target?.of === 'ratio' ? { target: r.target.bound } : {};
        return { label: `${r.name} ${series(r)}`, value: r.ratio!, series: series(r), ...target };
      });
    if (shares.length > 0) out.push(['share.svg', barChart('Share of testpmd 5tswap', '', shares)]);
  }
  const conns = runs.filter((r) => r.unit === 'conns/s');
  if (conns.length > 0) {
    const bars = conns.map((r): Bar => {
      const target = r.target === undefined ? {} : { target: r.target.bound };
      return {
        label: `${r.name} ${series(r)}`,
        value: r.value!,
        min: r.min,
        max: r.max,
        series: series(r),
        ...target,
      };
    });
    out.push(['connections.svg', barChart('New connections per CPU second', 'conns/s', bars)]);
  }
  return out;
}
