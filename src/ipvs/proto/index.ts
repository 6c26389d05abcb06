/** Registry of transport protocols: a new one is a file here and a line below. */
import { icmp } from './icmp.js';
import { sctp } from './sctp.js';
import type { Proto, SetTimeouts, StateInfo } from './table.js';
import { tcp } from './tcp.js';
import { udp } from './udp.js';

export const PROTOS: readonly Proto[] = [tcp, udp, icmp, sctp];

/** By IP protocol number; a lookup on the packet path. */
export const PROTO_BY_NUMBER: readonly (Proto | undefined)[] = Array.from({ length: 256 }, (_, n) =>
  PROTOS.find((p) => p.number === n),
);

/** Milliseconds by state key (`established`, `synRecv`, …); what is absent keeps its default. */
export type Timeouts = Readonly<Record<string, number>>;

/** By name of the protocol. */
export type ConfiguredTimeouts = { readonly [P in Proto['name']]?: Timeouts };

export const AS_CONFIGURED: Readonly<SetTimeouts> = { tcp: 0, tcpFin: 0, udp: 0 };

const timeoutMs = (s: StateInfo, config: Timeouts = {}, set: SetTimeouts): number =>
  (s.set === undefined ? 0 : set[s.set] * 1000) || (config[s.key] ?? s.timeout * 1000);

/** Timeouts in force in seconds by state key: what `timeout.get` answers. */
export function timeoutsInForce(
  proto: Proto,
  config: ConfiguredTimeouts = {},
  set: SetTimeouts = AS_CONFIGURED,
): Record<string, number> {
  return Object.fromEntries(proto.states.map((s) => [s.key, timeoutMs(s, config[proto.name], set) / 1000]));
}

/** Timeouts in milliseconds by IP protocol number, then by state. */
export function timeoutTables(
  config: ConfiguredTimeouts,
  set: SetTimeouts = AS_CONFIGURED,
): (Uint32Array | undefined)[] {
  return PROTO_BY_NUMBER.map(
    (p) => p && Uint32Array.from(p.states, (s) => timeoutMs(s, config[p.name], set)),
  );
}
