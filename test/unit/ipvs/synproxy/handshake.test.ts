/** Syn-proxy on the wire: both handshakes in every order, and what the ends see of each other afterwards. */
import { describe, expect, it } from 'vitest';
import type { SynproxyConfig } from '../../../../src/ipvs/synproxy/config.js';
import { GRACE_MS } from '../../../../src/ipvs/synproxy/doubts.js';
import { decode, tcp, type TcpOptions } from '../../../support/frames.js';
import { CLIENT, LIP, OUR_MAC, PEER_MAC, Rig, type RigOptions, RS, VIP } from '../rig.js';

const LOCAL = `${LIP}:1025`;
const ISN = 0xfffffff0;
const SERVER_ISN = 0x10;
const MAX = 0x100000000;
const plus = (a: number, b: number): number => (a + b + MAX) % MAX;

type Segment = Partial<TcpOptions> & { flags: string };
const MODES = ['fullnat', 'nat'] as const;

/** A service with syn-proxy, a client and a real server that say what they are told to. */
class Play {
  readonly rig: Rig;
  cookie = 0;
  private readonly local: string;

  constructor(
    fwd: (typeof MODES)[number] = 'fullnat',
    config: Partial<SynproxyConfig> = {},
    o: RigOptions = {},
  ) {
    this.rig = new Rig({ ...o, config: { ...o.config, synproxy: config } });
    this.rig.serve('tcp', { fwd, synproxy: true });
    this.local = fwd === 'fullnat' ? LOCAL : CLIENT;
  }

  fromClient(o: Segment): { client: Uint8Array[]; server: Uint8Array[] } {
    return this.rig.input(0, tcp({ src: CLIENT, dst: VIP, ...o }));
  }
  fromServer(o: Segment): { client: Uint8Array[]; server: Uint8Array[] } {
    return this.rig.input(1, tcp({ src: RS, dst: this.local, ...o }));
  }
  /** A frame of ours to the real server, or to the client. */
  toServer(o: Segment): Uint8Array {
    return tcp({ smac: OUR_MAC, dmac: PEER_MAC, src: this.local, dst: RS, ...o });
  }
  toClient(o: Segment): Uint8Array {
    return tcp({ smac: OUR_MAC, dmac: PEER_MAC, src: VIP, dst: CLIENT, ...o });
  }

  /** The client's SYN. @returns our answer */
  syn(o: Partial<TcpOptions> = {}): Uint8Array {
    const { client, server } = this.fromClient({ flags: 'S', seq: ISN, ...o });
    if (server.length > 0 || client.length !== 1) throw new Error('a SYN has one answer');
    this.cookie = decode(client[0]!).tcp!.seq;
    return client[0]!;
  }

  get ack(): number {
    return plus(this.cookie, 1);
  }

  /** The ACK that shows the cookie. @returns what the real server gets */
  acknowledge(o: Partial<TcpOptions> = {}): Uint8Array[] {
    return this.fromClient({ flags: 'A', seq: plus(ISN, 1), ack: this.ack, ...o }).server;
  }

  synAck(o: Partial<TcpOptions> = {}): { client: Uint8Array[]; server: Uint8Array[] } {
    return this.fromServer({ flags: 'SA', seq: SERVER_ISN, ack: plus(ISN, 1), ...o });
  }

  /** Up to the joined connection. */
  join(o: { syn?: Partial<TcpOptions>; ack?: Partial<TcpOptions>; synAck?: Partial<TcpOptions> } = {}): void {
    this.syn(o.syn);
    this.acknowledge(o.ack);
    this.synAck(o.synAck);
    if (this.rig.states.join() !== '6:1') throw new Error(`not joined: ${this.rig.states.join()}`);
  }
}

describe.each(MODES)('syn-proxy in mode %s', (fwd) => {
  it('answers a SYN with a cookie and remembers nothing', () => {
    const play = new Play(fwd);
    const answer = play.syn({ tcpOptions: [2, 4, 5, 180], tos: 8, id: 5, window: 99, ttl: 5 });
    expect(answer).toEqual(
      play.toClient({
        smac: '02:00:00:00:01:00',
        dmac: '02:00:00:00:00:aa',
        flags: 'SA',
        seq: play.cookie,
        ack: plus(ISN, 1),
        window: 3 * 1452,
        ttl: 63,
        df: true,
        tcpOptions: [2, 4, 5, 172],
      }),
    );
    expect(play.rig.conns).toBe(0);
    expect(play.rig.portsUsed).toBe(0);
    expect(play.rig.imbalance).toBe(0);
  });

  it('asks the real server when the client has shown the cookie, in its words', () => {
    const play = new Play(fwd);
    play.syn({ tcpOptions: [2, 4, 5, 180, 4, 2, 3, 3, 7, 1] });
    const server = play.acknowledge({ window: 1234 });
    expect(server).toEqual([
      play.toServer({
        flags: 'S',
        seq: ISN,
        window: 1234,
        df: true,
        tcpOptions: [2, 4, 5, 180, 4, 2, 1, 1],
      }),
    ]);
    expect(play.rig.states).toEqual(['6:2']);
    expect(play.rig.drops).toEqual({ SYNPROXY_ACK: 1 });
    expect(play.rig.imbalance).toBe(0);
  });

  it('joins both ends: numbers are shifted, both ways, over their wrap', () => {
    const play = new Play(fwd);
    play.syn();
    play.acknowledge({ window: 1234 });
    const { client, server } = play.synAck();
    expect(client).toEqual([]);
    expect(server).toEqual([
      play.toServer({ flags: 'A', seq: plus(ISN, 1), ack: SERVER_ISN + 1, window: 1234, df: true }),
    ]);
    expect(play.rig.states).toEqual(['6:1']);
    const seq = plus(ISN, 1);
    expect(play.fromClient({ flags: 'PA', seq, ack: play.ack, data: 'x'.repeat(40) }).server).toEqual([
      play.toServer({ flags: 'PA', seq, ack: SERVER_ISN + 1, data: 'x'.repeat(40) }),
    ]);
    expect(
      play.fromServer({ flags: 'PA', seq: SERVER_ISN + 1, ack: plus(seq, 40), data: 'hello' }).client,
    ).toEqual([play.toClient({ flags: 'PA', seq: play.ack, ack: plus(seq, 40), data: 'hello' })]);
    // SACK of the client names what the real server has sent.
    const edges = (from: number): number[] =>
      [plus(from, 10), plus(from, 20)].flatMap((v) => [v >>> 24, (v >>> 16) & 255, (v >>> 8) & 255, v & 255]);
    const sack = (from: number): number[] => [1, 1, 5, 10, ...edges(from)];
    expect(
      play.fromClient({ flags: 'A', seq, ack: plus(play.ack, 5), tcpOptions: sack(play.ack) }).server,
    ).toEqual([play.toServer({ flags: 'A', seq, ack: SERVER_ISN + 6, tcpOptions: sack(SERVER_ISN + 1) })]);
    expect(play.rig.imbalance).toBe(0);
  });

  it('keeps what the client sends meanwhile, and hands it over in order', () => {
    const play = new Play(fwd);
    play.syn();
    const data = (n: number): Segment => ({
      flags: 'PA',
      seq: plus(ISN, 1 + 4 * n),
      ack: play.ack,
      data: `dat${n}`,
    });
    // The first packet that shows the cookie has data: the ACK was lost.
    expect(play.fromClient(data(0)).server).toHaveLength(1);
    expect(play.fromClient(data(1)).server).toEqual([]);
    expect(play.fromClient(data(0)).server).toEqual([]);
    expect(play.fromClient({ flags: 'FA', seq: plus(ISN, 9), ack: play.ack }).server).toEqual([]);
    expect(play.rig.drops).toEqual({ SYNPROXY_ACK: 1 });
    expect(play.rig.imbalance).toBe(0);
    const { client, server } = play.synAck();
    expect(client).toEqual([]);
    expect(server).toEqual([
      play.toServer({ ...data(0), ack: SERVER_ISN + 1 }),
      play.toServer({ ...data(1), ack: SERVER_ISN + 1 }),
      play.toServer({ flags: 'FA', seq: plus(ISN, 9), ack: SERVER_ISN + 1 }),
    ]);
    expect(play.rig.imbalance).toBe(0);
  });

  it('keeps no more than it may', () => {
    const play = new Play(fwd, { maxAckSaved: 2 });
    play.syn();
    for (let n = 0; n < 4; n++)
      play.fromClient({ flags: 'PA', seq: plus(ISN, 1 + n), ack: play.ack, data: 'x' });
    expect(play.rig.drops).toEqual({ SYNPROXY_FULL: 2 });
    expect(play.synAck().server).toHaveLength(2);
    expect(play.rig.imbalance).toBe(0);
  });

  it('asks again when the real server does not answer, and gives up', () => {
    const play = new Play(fwd, { rsSynMaxRetry: 2 });
    play.syn();
    const [syn] = play.acknowledge({ flags: 'PA', data: 'hi' });
    for (let i = 0; i < 2; i++) {
      expect(play.rig.advance(2800)).toEqual({ client: [], server: [] });
      expect(play.rig.advance(300)).toEqual({ client: [], server: [syn] });
    }
    const { client, server } = play.rig.advance(3300);
    expect(server).toEqual([]);
    expect(client).toEqual([
      play.toClient({ flags: 'RA', seq: play.ack, ack: plus(ISN, 1), window: 0, df: true }),
    ]);
    expect(play.rig.conns).toBe(0);
    expect(play.rig.portsUsed).toBe(0);
    expect(play.rig.drops).toEqual({ SYNPROXY_UNANSWERED: 1 });
    expect(play.rig.imbalance).toBe(0);
  });

  it('tells the client when the real server refuses', () => {
    const play = new Play(fwd);
    play.syn();
    play.acknowledge({ flags: 'PA', data: 'hi' });
    const refusal = { flags: 'RA', seq: 0, ack: plus(ISN, 1), window: 0 };
    expect(play.fromServer(refusal).client).toEqual([play.toClient({ ...refusal, seq: play.ack })]);
    expect(play.rig.states).toEqual(['6:6']);
    expect(play.rig.drops).toEqual({ SYNPROXY_UNANSWERED: 1 });
    play.rig.advance(4000);
    expect(play.rig.conns).toBe(0);
    expect(play.rig.imbalance).toBe(0);
  });

  it('does not believe a refusal that acknowledges something else', () => {
    const play = new Play(fwd);
    play.syn();
    play.acknowledge();
    expect(play.fromServer({ flags: 'RA', seq: 0, ack: ISN })).toEqual({ client: [], server: [] });
    expect(play.fromServer({ flags: 'R', seq: 0, ack: 0 })).toEqual({ client: [], server: [] });
    expect(play.rig.states).toEqual(['6:2']);
    expect(play.synAck().server).toHaveLength(1);
  });

  it('resets a real server that remembers another connection, and asks again', () => {
    const play = new Play(fwd);
    play.syn();
    const [syn] = play.acknowledge();
    expect(play.fromServer({ flags: 'A', seq: 77, ack: 4711 })).toEqual({
      client: [],
      server: [play.toServer({ flags: 'R', seq: 4711, window: 0, df: true })],
    });
    expect(play.rig.advance(3100).server).toEqual([syn]);
  });

  it('tells the real server when the client gives up meanwhile', () => {
    const play = new Play(fwd);
    play.syn();
    play.acknowledge({ flags: 'PA', data: 'hi' });
    expect(play.fromClient({ flags: 'R', seq: plus(ISN, 1), ack: 5 }).server).toHaveLength(1);
    expect(play.rig.states).toEqual(['6:6']);
    expect(play.rig.drops).toEqual({ SYNPROXY_UNANSWERED: 1 });
    expect(play.rig.imbalance).toBe(0);
  });

  it('refuses what shows no cookie', () => {
    const play = new Play(fwd);
    play.syn();
    const bad = plus(play.cookie, 0x1001);
    const ask = (): unknown => play.fromClient({ flags: 'A', seq: plus(ISN, 1), ack: bad });
    // It may be ahead of a segment that is on its way.
    const none = { client: [], server: [] };
    expect(ask()).toEqual(none);
    play.rig.advance(GRACE_MS - 1, 100);
    expect(ask()).toEqual(none);
    play.rig.advance(1);
    expect(ask()).toEqual({
      client: [play.toClient({ flags: 'R', seq: bad, window: 0, df: true })],
      server: [],
    });
    // Of another client, or another first number.
    expect(play.fromClient({ flags: 'A', seq: plus(ISN, 2), ack: play.ack }).server).toEqual([]);
    expect(play.acknowledge({ src: '10.0.0.2:40000' })).toEqual([]);
    expect(play.acknowledge({ src: '10.0.0.1:40001' })).toEqual([]);
    // Half a handshake in one packet, and stray ones: no answer.
    for (const flags of ['SA', 'R', 'RA', 'F', 'P'])
      expect(play.fromClient({ flags, seq: plus(ISN, 1), ack: play.ack })).toEqual({
        client: [],
        server: [],
      });
    expect(play.rig.conns).toBe(0);
    expect(play.rig.drops).toEqual({ SYNPROXY_BAD_ACK: 6, CONN_NO_SYN: 5 });
    expect(play.rig.imbalance).toBe(0);
  });

  it('refuses at once what answers none of ours, whatever was offered: so often a second and no more', () => {
    const play = new Play(fwd);
    const ask = (ack: number): number => play.fromClient({ flags: 'A', seq: 5, ack }).client.length;
    const asks = (ack: number): number =>
      Array.from({ length: 1500 }, () => ask(ack)).reduce((n, v) => n + v);
    // As cookies go: no window scale, no SACK, no time stamps. And time stamps, which we don't agree upon.
    const [may, cannot] = [(15 << 4) + 1, (15 << 4) + 4 + 1];
    expect(ask(may)).toBe(0);
    expect(asks(cannot)).toBe(500);
    play.rig.advance(GRACE_MS);
    expect(asks(may)).toBe(500);
    expect(asks(cannot)).toBe(500);
    expect(play.rig.drops).toEqual({ SYNPROXY_BAD_ACK: 4501 });
    const agreed = new Play(fwd, { timestamp: true });
    expect(agreed.fromClient({ flags: 'A', seq: 5, ack: cannot }).client).toEqual([]);
  });

  it('waits for the first segment of a client of which later ones came, and acknowledgements of a second SYN-ACK', () => {
    const play = new Play(fwd);
    play.syn();
    const none = { client: [], server: [] };
    play.syn();
    expect(play.fromClient({ flags: 'PA', seq: plus(ISN, 6), ack: play.ack, data: 'world' })).toEqual(none);
    expect(play.fromClient({ flags: 'A', seq: plus(ISN, 11), ack: play.ack })).toEqual(none);
    play.rig.advance(1000);
    expect(play.acknowledge({ flags: 'PA', data: 'hello' })).toHaveLength(1);
    expect(play.rig.drops).toEqual({ SYNPROXY_BAD_ACK: 2 });
  });

  it('takes a cookie for two minutes, and not for four', () => {
    const play = new Play(fwd);
    play.syn();
    play.rig.advance(119_000, 1000);
    expect(play.acknowledge()).toHaveLength(1);
    const late = new Play(fwd);
    late.syn();
    late.rig.advance(240_000, 1000);
    expect(late.acknowledge()).toEqual([]);
    expect(late.rig.drops).toEqual({ SYNPROXY_BAD_ACK: 1 });
  });

  it('takes the answer to any of several SYN-ACKs, of whatever minute', () => {
    const play = new Play(fwd);
    play.syn();
    const first = play.cookie;
    play.rig.advance(70_000, 1000);
    play.syn();
    expect(play.cookie).not.toBe(first);
    play.cookie = first;
    expect(play.acknowledge()).toHaveLength(1);
  });

  it('answers neither damaged nor cut segments, nor without real servers', () => {
    const play = new Play(fwd);
    play.rig.judging = false;
    const syn = { src: CLIENT, dst: VIP, flags: 'S', seq: ISN };
    const none = { client: [], server: [] };
    expect(play.rig.input(0, tcp({ ...syn, badL4Checksum: true }))).toEqual(none);
    expect(play.rig.input(0, tcp({ ...syn, smac: '03:00:00:00:00:01' }))).toEqual(none);
    play.syn();
    expect(play.acknowledge({ badL4Checksum: true })).toEqual([]);
    play.rig.services.apply('dest.edit', {
      svc: { proto: 'tcp', addr: '10.1.1.1', port: 80 },
      dest: { addr: '192.168.0.2', port: 8080 },
      weight: 0,
    });
    expect(play.rig.input(0, tcp(syn))).toEqual(none);
    expect(play.acknowledge()).toEqual([]);
    expect(play.rig.drops).toEqual({
      SYNPROXY_BAD_SUM: 2,
      SYNPROXY_STRAY: 1,
      SYNPROXY_NO_DEST: 1,
      SVC_NO_DEST: 1,
    });
    expect(play.rig.imbalance).toBe(0);
  });

  it('waits for data with defer_rs_syn', () => {
    const play = new Play(fwd, { deferRsSyn: true, closeClientWindow: true });
    expect(decode(play.syn()).tcp!.window).toBe(3 * 1452);
    expect(play.acknowledge()).toEqual([]);
    expect(play.rig.conns).toBe(0);
    expect(play.rig.drops).toEqual({ SYNPROXY_NULL_ACK: 1 });
    expect(play.acknowledge({ flags: 'PA', data: 'GET' })).toHaveLength(1);
    const { client, server } = play.synAck();
    expect(client).toEqual([]);
    expect(server).toHaveLength(1);
  });

  it('opens the window of the client when the real server is there, with close_client_window', () => {
    const play = new Play(fwd, { closeClientWindow: true, wscale: 4 });
    const options = [2, 4, 5, 180, 1, 3, 3, 7];
    expect(decode(play.syn({ tcpOptions: options })).tcp!.window).toBe(0);
    play.acknowledge();
    const { client } = play.synAck({ window: 6400, tcpOptions: [2, 4, 5, 180, 1, 3, 3, 6] });
    expect(client).toEqual([
      play.toClient({ flags: 'A', seq: play.ack, ack: plus(ISN, 1), window: 400, df: true }),
    ]);
  });
});

describe('what was offered', () => {
  const ALL = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 3, 232, 0, 0, 0, 0, 1, 3, 3, 7];

  it('is answered as configured', () => {
    const options = (config: Partial<SynproxyConfig>, offered = ALL): number[] => {
      const play = new Play('nat', config, {});
      return [...decode(play.syn({ tcpOptions: offered })).tcp!.options];
    };
    expect(options({})).toEqual([2, 4, 5, 172, 4, 2, 1, 1]);
    expect(options({ sack: false })).toEqual([2, 4, 5, 172]);
    expect(options({ mss: 1400, wscale: 5 })).toEqual([2, 4, 5, 120, 4, 2, 1, 1, 1, 3, 3, 5]);
    expect(options({ timestamp: true })).toEqual([2, 4, 5, 172, 4, 2, 8, 10, 0, 0, 3, 232, 0, 0, 3, 232]);
    expect(options({ timestamp: true, sack: false })).toEqual([
      2, 4, 5, 172, 1, 1, 8, 10, 0, 0, 3, 232, 0, 0, 3, 232,
    ]);
    expect(options({ timestamp: true, wscale: 5 }, [])).toEqual([2, 4, 2, 24]);
    expect(options({ timestamp: true, wscale: 5 }, [3, 3, 7, 2, 9, 1, 1, 1])).toEqual([
      2, 4, 2, 24, 1, 3, 3, 5,
    ]);
  });

  it('is offered to the real server', () => {
    const play = new Play('fullnat', { timestamp: true, wscale: 5 });
    play.syn({ tcpOptions: ALL });
    const stamped = [1, 1, 8, 10, 0, 0, 3, 233, 0, 0, 3, 232];
    const [syn] = play.acknowledge({ window: 1000, tcpOptions: stamped });
    expect(syn).toEqual(
      play.toServer({
        flags: 'S',
        seq: ISN,
        window: 0xffff,
        df: true,
        tcpOptions: [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 3, 233, 0, 0, 0, 0, 1, 3, 3, 7],
      }),
    );
  });

  it.each([
    [4, 4, 1000, 1000],
    [4, 7, 1000, 8000],
    [4, 7, 60000, 65535],
    [7, 4, 1000, 125],
    [7, undefined, 1000, 7],
  ])('windows of the real server: we say scale %i, it says %s: %i becomes %i', (ours, its, window, seen) => {
    const play = new Play('fullnat', { wscale: ours });
    const offer = its === undefined ? [2, 4, 5, 180] : [2, 4, 5, 180, 1, 3, 3, its];
    play.join({ syn: { tcpOptions: [2, 4, 5, 180, 1, 3, 3, 2] }, synAck: { tcpOptions: offer } });
    const [out] = play.fromServer({ flags: 'A', seq: SERVER_ISN + 1, ack: plus(ISN, 1), window }).client;
    expect(decode(out!).tcp!.window).toBe(seen);
    // The client has said 2: a real server that scales knows it.
    const [inward] = play.fromClient({ flags: 'A', seq: plus(ISN, 1), ack: play.ack, window: 300 }).server;
    expect(decode(inward!).tcp!.window).toBe(its === undefined ? 1200 : 300);
  });

  it('time stamps of the real server go on where ours began', () => {
    const play = new Play('fullnat', { timestamp: true });
    play.syn({ tcpOptions: ALL });
    play.acknowledge({ tcpOptions: [1, 1, 8, 10, 0, 0, 3, 233, 0, 0, 3, 232] });
    play.synAck({ tcpOptions: [2, 4, 5, 180, 4, 2, 8, 10, 0xff, 0xff, 0xff, 0xf0, 0, 0, 3, 233] });
    const stamp = (tsval: number[], tsecr: number[]): number[] => [1, 1, 8, 10, ...tsval, ...tsecr];
    expect(
      decode(
        play.fromServer({
          flags: 'A',
          seq: SERVER_ISN + 1,
          ack: plus(ISN, 1),
          tcpOptions: stamp([0, 0, 0, 0], [0, 0, 3, 233]),
        }).client[0]!,
      ).tcp!.options,
    ).toEqual(stamp([0, 0, 3, 248], [0, 0, 3, 233]));
    expect(
      decode(
        play.fromClient({
          flags: 'A',
          seq: plus(ISN, 1),
          ack: play.ack,
          tcpOptions: stamp([0, 0, 3, 240], [0, 0, 3, 248]),
        }).server[0]!,
      ).tcp!.options,
    ).toEqual(stamp([0, 0, 3, 240], [0, 0, 0, 0]));
  });
});

describe('a client that comes again', () => {
  const reset = (play: Play): void => {
    play.fromServer({ flags: 'RA', seq: SERVER_ISN + 1, ack: plus(ISN, 1) });
    expect(play.rig.states).toEqual(['6:6']);
  };

  it('replaces a closed connection when it shows a new cookie', () => {
    const play = new Play();
    play.join();
    reset(play);
    const old = play.cookie;
    play.syn({ seq: 5 });
    expect(play.rig.states).toEqual(['6:6']);
    // A late ACK of the first connection does nothing of the kind.
    play.cookie = old;
    expect(play.acknowledge()).toHaveLength(1);
    expect(play.rig.states).toEqual(['6:6']);
    const again = play.syn({ seq: 5 });
    const ack = plus(decode(again).tcp!.seq, 1);
    const [syn] = play.fromClient({ flags: 'A', seq: 6, ack }).server;
    expect(decode(syn!).tcp!.seq).toBe(5);
    expect(play.rig.states).toEqual(['6:2']);
    expect(play.rig.conns).toBe(1);
    expect(play.rig.imbalance).toBe(0);
  });

  it('does not where that state is not to be reused', () => {
    const play = new Play('fullnat', {
      connReuse: { close: false, timeWait: true, finWait: false, closeWait: false, lastAck: false },
    });
    play.join();
    reset(play);
    expect(play.fromClient({ flags: 'S', seq: 5 }).server).toHaveLength(1);
    expect(play.rig.conns).toBe(1);
  });

  it('reaches its real server with a SYN over an established connection', () => {
    const play = new Play();
    play.join();
    expect(play.fromClient({ flags: 'S', seq: 5 })).toEqual({
      client: [],
      server: [play.toServer({ flags: 'S', seq: 5 })],
    });
    expect(play.rig.states).toEqual(['6:1']);
  });

  it('may begin anew while its real server is asked', () => {
    const play = new Play();
    play.syn();
    play.acknowledge();
    const again = play.syn({ seq: 5 });
    const ack = plus(decode(again).tcp!.seq, 1);
    const { server } = play.fromClient({ flags: 'A', seq: 6, ack });
    expect(server.map((f) => decode(f).tcp!.seq)).toEqual([5]);
    expect(play.rig.states).toEqual(['6:2']);
    expect(play.rig.imbalance).toBe(0);
  });

  it('leaves connections of services without syn-proxy alone: stray ACKs are not answered', () => {
    const rig = new Rig();
    rig.serve();
    expect(rig.input(0, tcp({ src: CLIENT, dst: VIP, flags: 'A', seq: 1, ack: 1 }))).toEqual({
      client: [],
      server: [],
    });
    expect(rig.drops).toEqual({ CONN_NO_SYN: 1 });
  });
});

describe('an lcore that comes back', () => {
  it('goes on with joined connections and forgets unfinished handshakes, whose clients begin again', () => {
    const play = new Play();
    play.join();
    const unfinished = { src: '10.0.0.7:7' };
    play.syn(unfinished);
    const { cookie } = play;
    play.acknowledge({ flags: 'PA', data: 'hi', ...unfinished });
    expect(play.rig.conns).toBe(2);
    const { native, destStats, shared } = play.rig;
    const back = new Rig({ native, destStats, shared });
    back.serve('tcp', { synproxy: true });
    expect(back.ipvs.rebuild()).toBe(1);
    expect(back.states).toEqual(['6:1']);
    const [syn] = back.fromClient(
      tcp({ ...unfinished, dst: VIP, flags: 'PA', seq: plus(ISN, 1), ack: plus(cookie, 1), data: 'hi' }),
    );
    expect(decode(syn!).tcp!.seq).toBe(ISN);
  });
});

describe('an established connection that expires', () => {
  it('is reset at both ends, each in its own numbers', () => {
    const play = new Play();
    play.join();
    play.fromServer({ flags: 'PA', seq: SERVER_ISN + 1, ack: plus(ISN, 1), data: 'hello' });
    const { client, server } = play.rig.advance(91_000, 1000);
    expect(client).toEqual([
      play.toClient({ flags: 'RA', seq: plus(play.ack, 5), ack: plus(ISN, 1), window: 0, df: true }),
    ]);
    expect(server).toEqual([
      play.toServer({ flags: 'RA', seq: plus(ISN, 1), ack: SERVER_ISN + 6, window: 0, df: true }),
    ]);
  });
});

describe('the real server behind Full-NAT', () => {
  const all = { config: { tcp: { rebase: true, keepTimestamps: false, toa: true } } };

  it('gets TOA with what first follows the handshake, in numbers of ours', () => {
    const play = new Play('fullnat', {}, all);
    play.syn();
    const [syn] = play.fromClient({ flags: 'PA', seq: plus(ISN, 1), ack: play.ack, data: 'hi' }).server;
    const isn = decode(syn!).tcp!.seq;
    expect(isn).not.toBe(ISN);
    const { server } = play.synAck({ ack: plus(isn, 1) });
    expect(server).toEqual([
      play.toServer({
        flags: 'PA',
        seq: plus(isn, 1),
        ack: SERVER_ISN + 1,
        tcpOptions: [254, 8, 0x9c, 0x40, 10, 0, 0, 1],
        data: 'hi',
      }),
    ]);
    expect(
      play.fromServer({ flags: 'A', seq: SERVER_ISN + 1, ack: plus(isn, 3), data: 'yes' }).client,
    ).toEqual([play.toClient({ flags: 'A', seq: play.ack, ack: plus(ISN, 3), data: 'yes' })]);
    expect(play.rig.imbalance).toBe(0);
  });

  it('gets a PROXY header in front of the first byte', () => {
    const play = new Play('fullnat', {}, all);
    play.rig.services.apply('svc.edit', {
      svc: { proto: 'tcp', addr: '10.1.1.1', port: 80 },
      proxyProtocol: 'v1',
    });
    play.syn();
    const [syn] = play.fromClient({ flags: 'PA', seq: plus(ISN, 1), ack: play.ack, data: 'hi' }).server;
    const isn = decode(syn!).tcp!.seq;
    const { server } = play.synAck({ ack: plus(isn, 1) });
    const header = 'PROXY TCP4 10.0.0.1 10.1.1.1 40000 80\r\n';
    expect(server.map((f) => Buffer.from(decode(f).tcp!.data).toString())).toEqual([`${header}hi`]);
    expect(decode(server[0]!).tcp!.seq).toBe(plus(isn, 1));
    const ack = plus(isn, 1 + header.length + 2);
    expect(play.fromServer({ flags: 'A', seq: SERVER_ISN + 1, ack }).client).toEqual([
      play.toClient({ flags: 'A', seq: play.ack, ack: plus(ISN, 3) }),
    ]);
    expect(play.rig.imbalance).toBe(0);
  });

  it('gets a SYN of its PROXY client as an acknowledgement in its own numbers', () => {
    const play = new Play('fullnat');
    play.rig.services.apply('svc.edit', {
      svc: { proto: 'tcp', addr: '10.1.1.1', port: 80 },
      proxyProtocol: 'v2',
    });
    play.join();
    play.fromServer({ flags: 'PA', seq: SERVER_ISN + 1, ack: plus(ISN, 1), data: 'hello' });
    expect(play.fromClient({ flags: 'S', seq: 99, data: 'evil' })).toEqual({
      client: [],
      server: [play.toServer({ flags: 'A', seq: ISN, ack: SERVER_ISN + 6 })],
    });
    expect(play.rig.imbalance).toBe(0);
  });
});
