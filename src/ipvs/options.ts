/**
 * What services and real servers can be given, with the values of one that is given nothing. Model, snapshots and listings
 * go by these keys; the schema of the control socket (src/control/schema.ts) validates the values.
 */
import type { DestOptions, SvcOptions } from '../control/schema.js';

export type { DestOptions, SvcOptions };

export const SVC_DEFAULTS: Readonly<SvcOptions> = {
  /**
   * Seconds that replace the timeout of established connections (UDP: all), 0 = by state. Holds for states entered from
   * now on; at most 24.8 days take effect.
   */
  connTimeout: 0,
  persistent: 0,
  netmask: '255.255.255.255',
  onePacket: false,
  synproxy: false,
  expireQuiescent: false,
  proxyProtocol: 'disable',
  bps: 0,
  limitProportion: 100,
  srcRate: 0,
  srcBurst: 0,
  srcConns: 0,
  srcPlen: 32,
  destCheck: { passive: null, external: [] },
};

export const DEST_DEFAULTS: Readonly<DestOptions> = {
  /** 0 = no new connections. */
  weight: 1,
  /** Connections over all lcores above which it gets no more, 0 = no limit. */
  maxConn: 0,
  /** Once the limit is reached it gets no more until it has fewer than these, 0 = fewer than the limit. */
  minConn: 0,
  /** By a command: of an operator or a health-check daemon. */
  inhibited: false,
  /** By the passive check of the service. */
  checkInhibited: false,
};

/** `from`'s values of the options in `defaults`, and `otherwise`'s where it has none. */
export function optionsOf<T extends object>(
  defaults: T,
  from: { [K in keyof T]?: T[K] | undefined },
  otherwise: T = defaults,
): T {
  const out = {} as T;
  for (const k in defaults) out[k] = from[k] ?? otherwise[k];
  return out;
}
