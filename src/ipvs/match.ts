/**
 * Services by match, compiled for the packet path: a list, in the order in which they were added; the first that covers a
 * packet has it. Looked through only for packets that start a connection and that no other service covers.
 */
import { DpvsError } from '../core/errors.js';
import { formatMatch, type MatchRange, type MatchSpec } from '../core/match.js';
import { BROADCAST, parseIpv4 } from '../wire/ipv4.js';

/** Both ends belong to it. Addresses in host order. */
interface Range {
  readonly from: number;
  readonly to: number;
  readonly fromPort: number;
  readonly toPort: number;
}

export interface Match {
  readonly spec: MatchSpec;
  readonly proto: number;
  readonly src: Range;
  readonly dst: Range;
  /** Devices, 0 = any. */
  readonly iif: number;
  readonly oif: number;
}

const ANY: Range = { from: 0, to: BROADCAST, fromPort: 0, toPort: 65535 };

/**
 * @param name of the protocol
 * @param ports the protocol has ports
 * @param ifindexOf number of a device; throws DpvsError NODEV
 * @throws DpvsError INVAL for a range that ends before it begins
 */
export function compileMatch(
  spec: MatchSpec,
  name: string,
  proto: number,
  ports: boolean,
  ifindexOf: (dev: string) => number,
): Match {
  const text = formatMatch(name, spec);
  const bad = (why: string): DpvsError => new DpvsError('INVAL', `match ${text}: ${why}`);
  const range = (r: MatchRange | undefined): Range => {
    if (r === undefined) return ANY;
    const { fromPort, toPort } = r;
    const compiled = { from: parseIpv4(r.from), to: parseIpv4(r.to), fromPort, toPort };
    if (compiled.from > compiled.to || fromPort > toPort) throw bad('a range ends before it begins');
    if (!ports && (fromPort !== 0 || toPort !== 65535)) throw bad(`${name} has no ports`);
    return compiled;
  };
  return {
    spec,
    proto,
    src: range(spec.src),
    dst: range(spec.dst),
    iif: spec.iif === undefined ? 0 : ifindexOf(spec.iif),
    oif: spec.oif === undefined ? 0 : ifindexOf(spec.oif),
  };
}

/** True for a packet that the match covers. Allocates nothing. */
export function covers(
  m: Match,
  proto: number,
  saddr: number,
  sport: number,
  daddr: number,
  dport: number,
  iif: number,
  oif: number,
): boolean {
  const { src, dst } = m;
  return (
    m.proto === proto &&
    saddr >= src.from &&
    saddr <= src.to &&
    daddr >= dst.from &&
    daddr <= dst.to &&
    sport >= src.fromPort &&
    sport <= src.toPort &&
    dport >= dst.fromPort &&
    dport <= dst.toPort &&
    (m.iif === 0 || m.iif === iif) &&
    (m.oif === 0 || m.oif === oif)
  );
}
