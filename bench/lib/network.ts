/** The network that the source plays: clients behind a router on dpdk0, real servers on dpdk1. */

/** Unsigned 32-bit number of an IPv4 address. */
export const ip = (text: string): number => text.split('.').reduce((n, part) => n * 256 + Number(part), 0);

/** Address number as text. */
export const text = (n: number): string => [24, 16, 8, 0].map((s) => Math.floor(n / 2 ** s) % 256).join('.');

export const NET = {
  vip: '10.1.0.1',
  vport: 80,
  /** The clients' router on dpdk0. */
  router: '10.1.0.254',
  routerMac: '02:00:00:00:01:fe',
  client: '16.0.0.0',
  rs: '10.2.0.1',
  rsCount: 16,
  rsPort: 8080,
  rsMac: '02:00:00:00:02:01',
  /** Of dpdk1; tunnels come from it. */
  own: '10.2.255.254',
  lip: '10.2.1.1',
  lipCount: 16,
} as const;

/** A MAC as the source wants it: six bytes, the first one lowest. */
export const macNumber = (mac: string): bigint =>
  mac.split(':').reduceRight((n, byte) => n * 256n + BigInt(Number.parseInt(byte, 16)), 0n);

/** The settings of the source that describe the network; MACs of the load balancer's two ports. */
export function networkFields(macs: readonly [string, string]): Record<string, number | bigint> {
  return {
    VIP: ip(NET.vip),
    VPORT: NET.vport,
    RS: ip(NET.rs),
    RS_COUNT: NET.rsCount,
    RS_PORT: NET.rsPort,
    LIP: ip(NET.lip),
    LIP_COUNT: NET.lipCount,
    TUNNEL: ip(NET.own),
    CLIENT: ip(NET.client),
    MAC_LB0: macNumber(macs[0]),
    MAC_LB1: macNumber(macs[1]),
    MAC_CLIENT: macNumber(NET.routerMac),
    MAC_SERVER: macNumber(NET.rsMac),
  };
}

/** The first `n` addresses from `first`. */
export const range = (first: string, n: number): string[] =>
  Array.from({ length: n }, (_, i) => text(ip(first) + i));
