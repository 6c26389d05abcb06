/** The grammar of services by match. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatMatch, listMatch, MATCH_PROTOS, type MatchSpec, parseMatch } from '../../../src/core/match.js';
import { formatIpv4 } from '../../../src/wire/ipv4.js';

const parse = (text: string): MatchSpec => parseMatch(text).match;
const all = { fromPort: 0, toPort: 65535 };

describe('a match', () => {
  it('of the tutorial', () => {
    const text = 'proto=tcp,src-range=192.168.100.0-192.168.100.254,oif=dpdk1';
    const { proto, match } = parseMatch(text);
    expect(proto).toBe('tcp');
    expect(match).toEqual({ src: { from: '192.168.100.0', to: '192.168.100.254', ...all }, oif: 'dpdk1' });
    expect(formatMatch(proto, match)).toBe(text);
    expect(listMatch(proto, match)).toBe('tcp,from=192.168.100.0-192.168.100.254:0-0,oif=dpdk1');
  });

  it.each([
    ['1.2.3.4', '1.2.3.4', '1.2.3.4', 0, 65535],
    ['1.2.3.4-1.2.3.5', '1.2.3.4', '1.2.3.5', 0, 65535],
    ['1.2.3.4:80', '1.2.3.4', '1.2.3.4', 80, 80],
    ['1.2.3.4-2.0.0.0:80-90', '1.2.3.4', '2.0.0.0', 80, 90],
    ['9.0.0.0-10.0.0.0:0-0', '9.0.0.0', '10.0.0.0', 0, 65535],
    ['9.0.0.0-10.0.0.0:0', '9.0.0.0', '10.0.0.0', 0, 65535],
  ])('with the range %s', (range, from, to, fromPort, toPort) => {
    expect(parse(`proto=udp,dst-range=${range}`).dst).toEqual({ from, to, fromPort, toPort });
  });

  it('without a range has its family', () => {
    expect(parse('iif=a,af=ipv4,proto=icmp,oif=b')).toEqual({ iif: 'a', oif: 'b' });
    expect(formatMatch('icmp', { iif: 'a' })).toBe('proto=icmp,af=ipv4,iif=a');
  });

  it.each([
    ['', 1, "'' is none of proto, af, src-range, dst-range, iif, oif"],
    ['proto=tcp,', 11, "'' is none of"],
    ['proto=tcp,color=red', 11, "'color' is none of"],
    ['proto', 6, "'proto' needs '='"],
    ['proto=tcp,proto=udp', 11, "'proto' is there twice"],
    ['proto=gre,af=ipv4', 7, "'gre' is none of tcp, udp, icmp, sctp"],
    ['proto=tcp,af=ipv6', 14, "'ipv6' is not ipv4"],
    ['af=ipv4', 8, "'proto=' is missing"],
    ['proto=tcp,oif=a', 16, "one of 'src-range=', 'dst-range=' and 'af=' is missing"],
    ['proto=tcp,af=ipv4,oif=', 23, "'' is no device name"],
    ['proto=tcp,src-range=1.2.3', 21, "'1.2.3' is not an IPv4 address"],
    ['proto=tcp,src-range=1.2.3.4-x', 29, "'x' is not an IPv4 address"],
    ['proto=tcp,src-range=1.2.3.4-', 29, "'' is not an IPv4 address"],
    ['proto=tcp,src-range=1.2.3.4-1.2.3.3', 29, "'1.2.3.3' is below '1.2.3.4'"],
    ['proto=tcp,src-range=1.2.3.4:', 29, "'' is not a port"],
    ['proto=tcp,src-range=1.2.3.4:80-x', 32, "'x' is not a port"],
    ['proto=tcp,src-range=1.2.3.4:65536', 29, "'65536' is not a port"],
    ['proto=tcp,src-range=1.2.3.4:9-8', 31, "'8' is below '9'"],
    ['proto=tcp,src-range=[::1]:80', 21, "'[' is not an IPv4 address"],
  ])('%s is refused at the place that is wrong', (text, position, why) => {
    expect(() => parseMatch(text)).toThrow(`illegal match specified: ${text}: character ${position}: ${why}`);
  });

  it('means the same after it was written and read', () => {
    const ends = (max: number): fc.Arbitrary<[number, number]> =>
      fc
        .tuple(fc.nat(max), fc.nat(max))
        .map(([a, b]): [number, number] => (a < b ? [a, b] : [b, a]))
        // Ports 0-0 stand for all.
        .map(([a, b]): [number, number] => (b === 0 ? [0, max] : [a, b]));
    const range = fc.record({ addrs: ends(0xffffffff), ports: ends(65535) }).map(({ addrs, ports }) => ({
      from: formatIpv4(addrs[0]),
      to: formatIpv4(addrs[1]),
      fromPort: ports[0],
      toPort: ports[1],
    }));
    const device = fc.constantFrom('dpdk0', 'dpdk1.100', 'bond0');
    const spec = fc.record({ src: range, dst: range, iif: device, oif: device }, { requiredKeys: [] });
    fc.assert(
      fc.property(fc.constantFrom(...MATCH_PROTOS), spec, (proto, match) => {
        expect(parseMatch(formatMatch(proto, match))).toEqual({ proto, match });
      }),
    );
  });
});
