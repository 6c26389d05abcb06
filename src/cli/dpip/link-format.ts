/** Texts of `dpip link show`, in the shapes of the original. */
import type { Lcore, Link } from '../../control/results.js';

/** Rows of four columns: a line of headings, a line of values. */
export type Grid = (readonly (readonly [heading: string, value: number])[])[];

const INDENT = '    ';

export function formatGrid(grid: Grid, width: number, suffix = ''): string {
  const line = (cells: string[]): string =>
    INDENT +
    cells
      .map((c) => c.padEnd(width))
      .join('')
      .trimEnd() +
    '\n';
  return grid.map((row) => line(row.map(([h]) => h + suffix)) + line(row.map(([, v]) => String(v)))).join('');
}

/** Name, flags and address of a device. */
export function formatLink(l: Link): string {
  const flags = [
    l.up ? 'UP' : 'DOWN',
    `${l.speed} Mbps`,
    l.fullDuplex ? 'full-duplex' : 'half-duplex',
    l.autoneg ? 'auto-nego' : 'fixed-nego',
    l.promisc ? 'promisc' : 'promisc-off',
    ...(l.allmulticast ? ['allmulticast'] : []),
    ...(l.forward2kni ? ['foward2kni'] : []),
  ];
  const offloads = [
    ...(l.rxIpCsum ? ['OF_RX_IP_CSUM'] : []),
    ...(l.txIpCsum ? ['OF_TX_IP_CSUM'] : []),
    ...(l.txTcpCsum ? ['OF_TX_TCP_CSUM'] : []),
    ...(l.txUdpCsum ? ['OF_TX_UDP_CSUM'] : []),
    ...(l.txFastFree ? ['OF_TX_FAST_FREE'] : []),
  ];
  return (
    `${l.index}: ${l.name}: socket ${l.socket} mtu ${l.mtu} rx-queue ${l.rxQueues} tx-queue ${l.txQueues}\n` +
    `${INDENT}${flags.join(' ')}\n` +
    `${INDENT}${['addr', l.mac.toUpperCase(), ...offloads].join(' ')}\n`
  );
}

export function linkCounters({ stats: s }: Link): Grid {
  return [
    [
      ['ipackets', s.ipackets],
      ['opackets', s.opackets],
      ['ibytes', s.ibytes],
      ['obytes', s.obytes],
    ],
    [
      ['ierrors', s.ierrors],
      ['oerrors', s.oerrors],
      ['imissed', s.imissed],
      ['rx_nombuf', s.rxNombuf],
    ],
  ];
}

export const linkBuffers = (l: Link): Grid => [
  [
    ['mbuf-avail', l.mbufAvail],
    ['mbuf-inuse', l.mbufInUse],
  ],
];

/** What happened per second between two samples, with the headings of the velocity view. */
export function formatVelocity(before: Link, after: Link, seconds: number): string {
  const old = linkCounters(before);
  const grid = linkCounters(after).map((row, i) =>
    row.map(([heading, value], j): [string, number] => {
      const unit = heading.endsWith('bytes') ? 'Bps' : 'pps';
      return [`${heading}/${unit}`, perSecond(old[i]![j]![1], value, seconds)];
    }),
  );
  return formatGrid(grid, 16);
}

/** Never negative: a counter that was reset in between counts from zero. */
export function perSecond(before: number, after: number, seconds: number): number {
  return Math.round((after < before ? after : after - before) / seconds);
}

/** What `-v` adds: driver, steering, queues, multicast addresses, device info, extended statistics. */
export function formatDetail({ detail: d }: Link): string {
  if (!d) return '';
  const info = Object.entries(d.info);
  const xstats = Object.entries(d.xstats);
  const cells = info.map(([key, value]) => `${key} ${value}`);
  const lines = [
    `${INDENT}driver ${d.driver} devargs ${d.devargs} steering ${d.steering}`,
    ...chunk(cells, 4).map(
      (row) =>
        INDENT +
        row
          .map((c) => c.padEnd(28))
          .join('')
          .trimEnd(),
    ),
    `${INDENT}Queue Configuration:`,
    ...d.queues.map((q) => `${INDENT}${INDENT}${q.lcore}: rx ${list(q.rx)} tx ${list(q.tx)}`),
    `${INDENT}HW mcast list:`,
    ...d.mcast.map((m) => `${INDENT}${INDENT}link ${m}`),
    `${INDENT}xstats:${xstats.length === 0 ? ' not supported' : ''}`,
    ...xstats.map(([name, value], i) => `${INDENT}${INDENT}${String(i).padEnd(6)}${name}: ${value}`),
  ];
  return lines.join('\n') + '\n';
}

const list = (numbers: number[]): string => (numbers.length === 0 ? 'none' : numbers.join(','));

function chunk<T>(items: T[], size: number): T[][] {
  const rows: T[][] = [];
  for (let i = 0; i < items.length; i += size) rows.push(items.slice(i, i + size));
  return rows;
}

/** Lcores in the sections of the original. `drops` are the packets that each lcore dropped. */
export function formatLcores(lcores: readonly Lcore[], stats: boolean): string {
  const section = (title: string, role: Lcore['role']): string => {
    const members = lcores.filter((l) => l.role === role);
    return members.length === 0
      ? ''
      : `<< ${title} >>\n${members.map((l) => formatLcore(l, stats)).join('')}`;
  };
  // spelling as in the original
  return section('Controll Plane', 'master') + section('Data Plane', 'worker');
}

function formatLcore(l: Lcore, stats: boolean): string {
  const queues = l.queues.flatMap(({ dev, rx, tx }) => [
    ...rx.map((q) => `${dev}:rx${q}`),
    ...tx.map((q) => `${dev}:tx${q}`),
  ]);
  const state = `${l.state === 'running' ? '' : ` ${l.state}`}${l.stats['flood'] === 1 ? ' flood' : ''}`;
  return (
    `${l.id}: cpu${l.cpu}: socket ${l.socket}${state}\n` +
    `${INDENT}queues ${queues.length === 0 ? 'none' : queues.join(' ')}\n` +
    (stats ? formatGrid(lcoreCounters(l), 20) : '')
  );
}

export function lcoreCounters({ stats }: Lcore): Grid {
  const of = (name: string): number => stats[name] ?? 0;
  const packets = of('flowHits') + of('exceptions');
  const ticks = of('busyTicks') + of('idleTicks');
  return [
    [
      ['lcore_loop', of('loops')],
      ['pktburst', of('rxBursts')],
      ['zpktburst', of('rxEmpty')],
      ['fpktburst', of('rxFull')],
    ],
    [
      ['z2hpktburst', of('rxLowHalf')],
      ['h2fpktburst', of('rxHighHalf')],
      ['dropped', of('dropped')],
    ],
    [
      ['ipackets', of('rxPackets')],
      ['ibytes', of('rxBytes')],
      ['opackets', of('txPackets')],
      ['obytes', of('txBytes')],
    ],
    [
      ['flow_hits', of('flowHits')],
      ['flow_hits_%', percent(of('flowHits'), packets)],
      ['cycles/packet', packets === 0 ? 0 : Math.round(of('busyTicks') / packets)],
      ['idle_%', percent(of('idleTicks'), ticks)],
    ],
  ];
}

/** A share with one decimal; nothing of nothing is 0. */
const percent = (part: number, whole: number): number =>
  whole === 0 ? 0 : Math.round((part / whole) * 1000) / 10;
