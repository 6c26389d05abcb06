/** ICMP errors about packets of our connections reach the other end, in terms that it knows. */
import { describe, expect, it } from 'vitest';
import { checkFrame, datagram, decode, icmp, payloadOf, ramp, tcp, udp } from '../../support/frames.js';
import { CLIENT, LIP, OUR_MAC, PEER_MAC, Rig, RS, VIP } from './rig.js';

const ROUTER = '10.0.0.254';
const LOCAL = `${LIP}:1025`;
const sent = { smac: OUR_MAC, dmac: PEER_MAC };
const [rs, vip, client] = [RS, VIP, CLIENT].map((e) => e.split(':')[0]!) as [string, string, string];

/** What an ICMP error quotes of a frame. */
const quote = (frame: Uint8Array, bytes = 28): Uint8Array => payloadOf(frame).slice(0, bytes);

function withConnection(proto: 'tcp' | 'udp'): Rig {
  const rig = new Rig();
  rig.serve(proto);
  const open = proto === 'tcp' ? tcp({ src: CLIENT, dst: VIP, flags: 'S' }) : udp({ src: CLIENT, dst: VIP });
  expect(rig.fromClient(open)).toHaveLength(1);
  return rig;
}

describe.each([
  ['destination unreachable', 3, 3, 0],
  ['fragmentation needed', 3, 4, 1400],
  ['source quench', 4, 0, 0],
  ['time exceeded', 11, 0, 0],
  ['parameter problem', 12, 0, 0x14000000],
])('%s', (_name, type, code, rest) => {
  it.each(['tcp', 'udp'] as const)("from the client's side goes to the real server: %s", (proto) => {
    const rig = withConnection(proto);
    const build = proto === 'tcp' ? tcp : udp;
    const o = { data: ramp(100), df: true, id: 7, flags: 'A', seq: 77 };
    // Our packet to the client, as the router got it; the same as the real server had sent it.
    const ours = build({ src: VIP, dst: CLIENT, ...o });
    const theirs = build({ src: RS, dst: LOCAL, ...o });
    for (const len of [28, 40, 60, 140]) {
      const error = icmp({ src: ROUTER, dst: vip, type, code, rest, data: quote(ours, len), ttl: 60 });
      expect(rig.fromClient(error)).toEqual([
        icmp({ ...sent, src: LIP, dst: rs, type, code, rest, data: quote(theirs, len), ttl: 60 }),
      ]);
    }
    expect(rig.imbalance).toBe(0);
  });

  it.each(['tcp', 'udp'] as const)("from the real server's side goes to the client: %s", (proto) => {
    const rig = withConnection(proto);
    const build = proto === 'tcp' ? tcp : udp;
    const o = { data: ramp(100), df: true, id: 7, flags: 'A', seq: 77 };
    const ours = build({ src: LOCAL, dst: RS, ...o });
    const theirs = build({ src: CLIENT, dst: VIP, ...o });
    const error = icmp({ src: rs, dst: LIP, type, code, rest, data: quote(ours, 60) });
    expect(rig.fromServer(error)).toEqual([
      icmp({ ...sent, src: vip, dst: client, type, code, rest, data: quote(theirs, 60) }),
    ]);
    expect(rig.imbalance).toBe(0);
  });
});

describe('an ICMP error', () => {
  const ours = tcp({ src: VIP, dst: CLIENT, flags: 'A', data: ramp(100) });
  const about = (frame: Uint8Array, o: object = {}): Uint8Array =>
    icmp({ src: ROUTER, dst: vip, type: 3, code: 4, rest: 1400, data: quote(frame, 60), ...o });

  it('is counted for the real server but is no life sign of the connection', () => {
    const rig = withConnection('tcp');
    const before = rig.stat('inPackets');
    rig.advance(20_000);
    rig.fromClient(about(ours));
    expect(rig.stat('inPackets')).toBe(before + 1);
    rig.advance(10_100);
    expect(rig.conns).toBe(0);
  });

  it('about a UDP datagram without checksum quotes it without one', () => {
    const rig = withConnection('udp');
    const o = { data: 'x', noChecksum: true };
    const [out] = rig.fromClient(about(udp({ src: VIP, dst: CLIENT, ...o })));
    expect(decode(out!).icmp!.data).toEqual(payloadOf(udp({ src: RS, dst: LOCAL, ...o })));
  });

  it('about a packet whose quoted header has options is translated behind them', () => {
    const rig = withConnection('udp');
    const o = { data: 'xyz', options: [7, 7, 4, 0, 0, 0, 0, 0] };
    const [out] = rig.fromClient(about(udp({ src: VIP, dst: CLIENT, ...o })));
    expect(decode(out!).icmp!.data).toEqual(payloadOf(udp({ src: RS, dst: LOCAL, ...o })));
  });

  it('about a first fragment is translated', () => {
    const rig = withConnection('udp');
    const [out] = rig.fromClient(about(udp({ src: VIP, dst: CLIENT, data: ramp(32), mf: true })));
    expect(decode(out!).icmp!.data).toEqual(
      quote(udp({ src: RS, dst: LOCAL, data: ramp(32), mf: true }), 60),
    );
  });

  it('counts the hop when told to', () => {
    const rig = new Rig({ config: { xmitTtl: true } });
    rig.serve();
    rig.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'S' }));
    expect(decode(rig.fromClient(about(ours, { ttl: 9 }))[0]!).ip!.ttl).toBe(8);
    expect(rig.fromClient(about(ours, { ttl: 1 }))).toEqual([]);
    expect(rig.drops).toEqual({ IP_TTL: 1 });
  });

  it('with a wrong checksum is dropped', () => {
    const rig = withConnection('tcp');
    expect(rig.fromClient(about(ours, { badL4Checksum: true }))).toEqual([]);
    expect(rig.drops).toEqual({ ICMP_BAD: 1 });
  });

  it('about an unknown connection to a service or from a local port is dropped', () => {
    const rig = withConnection('tcp');
    rig.fromClient(about(tcp({ src: VIP, dst: '10.0.0.77:1', flags: 'A' })));
    rig.fromServer(about(tcp({ src: `${LIP}:4000`, dst: RS, flags: 'A' }), { dst: LIP }));
    expect(rig.drops).toEqual({ ICMP_NO_CONN: 2 });
  });

  it.each([
    ['is about something else of ours', about(tcp({ src: '10.1.1.1:81', dst: CLIENT, flags: 'A' }))],
    ['quotes another protocol', about(icmp({ src: vip, dst: client, type: 8 }))],
    ['quotes a later fragment', about(udp({ src: VIP, dst: CLIENT, data: ramp(32), offset: 64 }))],
    ['quotes less than the ports', icmp({ src: ROUTER, dst: vip, type: 3, data: quote(ours, 27) })],
    ['quotes less than a header', icmp({ src: ROUTER, dst: vip, type: 3, data: quote(ours, 19) })],
    ['quotes a header that says it is short', about(tcp({ src: VIP, dst: CLIENT, ihl: 4 }))],
    [
      'quotes a header that says it is longer than the quotation',
      about(tcp({ src: VIP, dst: CLIENT, ihl: 15 })),
    ],
    ['is a redirect', about(ours, { type: 5 })],
    ['is no error at all', icmp({ src: ROUTER, dst: vip, type: 8, data: quote(ours, 60) })],
  ])('that %s is left to the stack', (_what, frame) => {
    const rig = withConnection('tcp');
    rig.fromClient(frame);
    expect(rig.accepted).toBe(1);
    expect(rig.imbalance).toBe(0);
  });

  it('that is itself a fragment is left to the stack', () => {
    const rig = withConnection('tcp');
    const whole = decode(about(ours)).ip!.payload;
    const inner = datagram({ src: ROUTER, dst: vip, proto: 1, payload: whole, mf: true });
    const frame = about(ours).slice(0, 14 + inner.length);
    frame.set(inner, 14);
    rig.fromClient(frame);
    expect(rig.accepted).toBe(1);
  });

  it('is itself a frame that passes the judge of frames', () => {
    expect(() => checkFrame(about(ours))).not.toThrow();
  });
});
