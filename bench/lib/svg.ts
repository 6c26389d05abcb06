/** Horizontal bar charts as SVG, without a library. */

export interface Bar {
  label: string;
  value: number;
  /** Ends of the whisker. */
  min?: number;
  max?: number;
  /** A thin mark with the figure that is aimed at. */
  target?: number;
  /** Bars of the same series have the same colour. */
  series: string;
}

const COLOURS = ['#2f6f9f', '#d98324', '#5b8c5a', '#9b5094', '#777777'];
const ROW = 26;
const LEFT = 230;
const WIDTH = 760;

const escape = (s: string): string =>
  s.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');

/** @param unit written behind each value */
export function barChart(title: string, unit: string, bars: readonly Bar[]): string {
  const most = Math.max(...bars.flatMap((b) => [b.value, b.max ?? 0, b.target ?? 0]), Number.MIN_VALUE);
  const x = (v: number): number => LEFT + (v / most) * (WIDTH - LEFT - 130);
  const series = [...new Set(bars.map((b) => b.series))];
  const colour = (s: string): string => COLOURS[series.indexOf(s) % COLOURS.length]!;
  const height = 70 + bars.length * ROW;
  const rows = bars.map((b, i) => {
    const y = 58 + i * ROW;
    const parts = [
      `<text x="${LEFT - 8}" y="${y + 13}" text-anchor="end">${escape(b.label)}</text>`,
      `<rect x="${LEFT}" y="${y}" width="${(x(b.value) - LEFT).toFixed(1)}" height="18" fill="${colour(b.series)}"/>`,
    ];
    if (b.min !== undefined && b.max !== undefined) {
      parts.push(
        `<path d="M${x(b.min).toFixed(1)} ${y + 9}H${x(b.max).toFixed(1)}" stroke="#111" stroke-width="1.5"/>`,
      );
    }
    if (b.target !== undefined) {
      parts.push(`<path d="M${x(b.target).toFixed(1)} ${y - 2}v22" stroke="#c00" stroke-width="2"/>`);
    }
    const right = Math.max(x(b.value), x(b.max ?? 0), x(b.target ?? 0));
    parts.push(
      `<text x="${(right + 6).toFixed(1)}" y="${y + 13}">${Number(b.value.toPrecision(3))} ${escape(unit)}</text>`,
    );
    return parts.join('');
  });
  const legend = series.map(
    (s, i) =>
      `<rect x="${LEFT + i * 140}" y="34" width="12" height="12" fill="${colour(s)}"/><text x="${LEFT + i * 140 + 17}" y="44">${escape(s)}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
<text x="12" y="22" font-size="15" font-weight="bold">${escape(title)}</text>
${legend.join('\n')}
${rows.join('\n')}
</svg>
`;
}
