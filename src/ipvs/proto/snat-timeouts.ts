/**
 * Timeouts of SNAT as the RFCs on NAT want them (`ipvs_defs/conn/snat_timeouts rfc`): what is configured, but not less than
 * these. RFC 5382 REQ-5: TCP 2 h 4 min while established, else 4 min. RFC 4787 REQ-5: UDP 2 min, 5 recommended. RFC 5508 REQ-2:
 * ICMP queries 60 s. SCTP has no such RFC.
 */
import { PROTO_BY_NUMBER } from './index.js';

const TCP_ESTABLISHED_S = 2 * 3600 + 4 * 60;
const TCP_TRANSITORY_S = 4 * 60;
const UDP_S = 5 * 60;
const ICMP_S = 60;

const least = (proto: string, isActive: boolean): number => {
  switch (proto) {
    case 'tcp':
      return isActive ? TCP_ESTABLISHED_S : TCP_TRANSITORY_S;
    case 'udp':
      return UDP_S;
    case 'icmp':
      return ICMP_S;
    default:
      return 0;
  }
};

/** @param tables milliseconds by IP protocol number, then by state, as configured */
export function snatTimeoutTables(tables: readonly (Uint32Array | undefined)[]): (Uint32Array | undefined)[] {
  return tables.map((table, number) => {
    const proto = PROTO_BY_NUMBER[number];
    return (
      proto &&
      table?.map((ms, state) => Math.max(ms, least(proto.name, proto.states[state]!.active === true) * 1000))
    );
  });
}
